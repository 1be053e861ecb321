"""Directions, spans of directions and what is orthogonal to them, and the random streams that draw them."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor


def stream(purpose: str, *key: int) -> np.random.Generator:
    """Return the random stream that belongs to a purpose and a key of up to three whole numbers.

    Randomness is a function of what it is for (say "order", seed 7, epoch 3) and never of what was drawn before: a
    seed gives the same numbers alone, among others, in another job or after a restart, and no state needs keeping.
    Counter-based (Philox), so that streams neither overlap nor collide.
    """
    counter = [0, *(int(number) for number in key), *[0] * (3 - len(key))]
    return np.random.Generator(np.random.Philox(key=zlib.crc32(purpose.encode()), counter=counter))


def gaussian(count: int, dim: int, purpose: str, *key: int) -> Tensor:
    """Return isotropic Gaussian vectors (count, dim), float32, from the stream of a purpose and key."""
    return torch.from_numpy(stream(purpose, *key).standard_normal((count, dim), dtype=np.float32))


def unit(vectors: Tensor) -> Tensor:
    """Return vectors (..., P) at Euclidean length 1."""
    return vectors / vectors.norm(dim=-1, keepdim=True)


def random_directions(count: int, dim: int, purpose: str, *key: int) -> Tensor:
    """Return isotropic random unit vectors (count, dim)."""
    return unit(gaussian(count, dim, purpose, *key))


def gram(vectors: Tensor) -> Tensor:
    """Return the inner products (n, n) of vectors (n, P), accumulated in float64."""
    vectors = vectors.double()
    return vectors @ vectors.T


class Span:
    """The linear span of d directions in R^P, one for all points or one for each.

    Args:
        directions: (d, P), shared by all points; or (K, d, P), a set for each of K points.
    """

    def __init__(self, directions: Tensor):
        self.directions = directions
        self.count, self.dim = directions.shape[-2:]
        self.batched = directions.ndim == 3

    def combine(self, coordinates: Tensor) -> Tensor:
        """Return the vectors (K, P) with coordinates (K, d)."""
        if self.batched:
            return (coordinates[:, None] @ self.directions)[:, 0]
        return coordinates @ self.directions

    def project(self, vectors: Tensor) -> Tensor:
        """Return the inner products (K, d) of vectors (K, P) with the directions."""
        if self.batched:
            return (self.directions @ vectors[:, :, None])[:, :, 0]
        return vectors @ self.directions.T


def orthonormal(vectors: Tensor) -> Tensor:
    """Return an orthonormal basis (..., d, P) of the span of vectors (..., d, P), accurate in float64.

    Raises:
        ValueError: if the vectors are linearly dependent.
    """
    basis, triangle = torch.linalg.qr(vectors.double().transpose(-1, -2))
    sizes = triangle.diagonal(dim1=-2, dim2=-1).abs()
    if sizes.numel() and bool((sizes <= 1e-7 * vectors.double().norm(dim=-1).amax(-1, keepdim=True)).any()):
        raise ValueError("the vectors are linearly dependent: they span fewer dimensions than there are vectors")
    return basis.transpose(-1, -2).to(vectors.dtype)


class Orthogonal:
    """The linear constraint "orthogonal to a span": removes from each move whatever lies in the span.

    Args:
        vectors: (d, P) or (K, d, P), the vectors to stay orthogonal to; not necessarily orthonormal.
    """

    def __init__(self, vectors: Tensor):
        self.span = Span(orthonormal(vectors))

    def __call__(self, moves: Tensor) -> Tensor:
        """Return moves (K, P) without their part in the span; twice, so that rounding leaves nothing behind."""
        for _ in range(2):
            moves = moves - self.span.combine(self.span.project(moves))
        return moves
