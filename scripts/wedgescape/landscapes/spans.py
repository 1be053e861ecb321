"""Directions, spans of directions and what is orthogonal to them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from wedgescape.numerics.randomness import stream

HELD_BYTES = 2**31  # of 8-bit rows that random spans may hold; what does not fit is drawn again for every product
BLOCK_NUMBERS = {"cpu": 2**18, "cuda": 2**26, "mps": 2**26}  # that become floats at once; on a CPU they fit its cache

# Random byte -> number: the 256 quantiles of a Gaussian, rounded. 44 is as much as lets the largest be 127.
_LEVELS = np.array([round(44 * NormalDist().inv_cdf((byte + 0.5) / 256)) for byte in range(256)], np.int8).tobytes()


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
            # As rows, since the product with a column differs in its last bits between one point and many.
            return (vectors[:, None] @ self.directions.mT)[:, 0]
        return vectors @ self.directions.T


class RandomSpan:
    """The spans of K independent sets of d random directions in R^P, one for each point; the interface of `Span`.

    Row i of a set is a function of its seed and of i alone: a set is the same among others, and its first d rows are
    those of a larger one. A row is P random bytes turned into Gaussian numbers of 8 bits (256 quantiles, so within 2.9
    standard deviations), divided by its length: a unit vector up to float rounding, whatever P is. Gaussian and not,
    say, signs, which would need a bit each: any few coordinates of d rows shall be linearly independent.

    Rows become floats a block at a time, in the cache, on their way into a product. That is as fast as reading floats
    from memory, in a quarter of the memory, and adds up the same numbers in the same order whether the bytes are held
    or, where all sets together take more than `HELD_BYTES`, drawn again for every product. One core (Xeon, AVX-512)
    takes K d P / 3.5e9 seconds a product where they are held, and five times that where they are drawn.

    Args:
        count: d.
        dim: P.
        seeds: K numbers, each the seed of a set.
        purpose: of the random streams.
        device: where products are computed.
        dtype: of products.
    """

    batched = True

    def __init__(self, count: int, dim: int, seeds: Sequence[int], purpose: str = "hyperplane",
                 device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32):  # fmt: skip
        self.count, self.dim, self.seeds, self.purpose = count, dim, [int(seed) for seed in seeds], purpose
        self.device, self.dtype = torch.device(device), dtype
        numbers = BLOCK_NUMBERS[self.device.type]
        self._step = max(1, numbers // dim)  # rows of a block: a matter of P, so that K and d leave every sum as it is
        self.held = len(self.seeds) * count * dim <= HELD_BYTES
        self._held = torch.empty(len(self.seeds), count, dim, dtype=torch.int8, device=device) if self.held else None
        squares = torch.empty(len(self.seeds), count, dtype=torch.int64)
        for k in range(len(self.seeds)):
            for block in self._blocks():
                rows = self._draw(k, block)
                # In whole numbers: exact, where a float sum of 10^6 squares would be wrong in its fourth digit.
                squares[k, block] = torch.from_numpy(np.square(rows.numpy(), dtype=np.int32).sum(1, dtype=np.int64))
                if self.held:
                    self._held[k, block] = rows.to(self.device)
        self._scales = squares.double().rsqrt().to(dtype).to(self.device)  # (K, d), of the rows
        # Small sets are all multiplied at once, as floats. A matter of d and P, for the same reason.
        self._small = None
        if count * dim <= BLOCK_NUMBERS["cpu"]:
            self._small = Span(torch.stack([self.directions(k) for k in range(len(self.seeds))]))
            self._held = None

    @staticmethod
    def fitting(count: int, dim: int) -> int:
        """Return how many sets of d directions in R^P can be held; at least 1, which then may have to be drawn anew."""
        return max(1, HELD_BYTES // (count * dim))

    def directions(self, k: int) -> Tensor:
        """Return the unit vectors (d, P) of one set, all of them: for small sets, checks and readers."""
        return torch.cat([self._rows(k, block).to(self.dtype) for block in self._blocks()]) * self._scales[k][:, None]

    def combine(self, coordinates: Tensor) -> Tensor:
        """Return the vectors (K, P) with coordinates (K, d)."""
        if self._small:
            return self._small.combine(coordinates)
        sums = coordinates.new_zeros(len(self.seeds), self.dim)
        buffer = coordinates.new_empty(self._step, self.dim)
        for k, weights in enumerate(coordinates * self._scales):
            for block in self._blocks():
                rows = buffer[: block.stop - block.start].copy_(self._rows(k, block))
                sums[k].addmv_(rows.T, weights[block])
        return sums

    def project(self, vectors: Tensor) -> Tensor:
        """Return the inner products (K, d) of vectors (K, P) with the directions."""
        if self._small:
            return self._small.project(vectors)
        products = vectors.new_empty(len(self.seeds), self.count)
        buffer = vectors.new_empty(self._step, self.dim)
        for k, vector in enumerate(vectors):
            for block in self._blocks():
                rows = buffer[: block.stop - block.start].copy_(self._rows(k, block))
                torch.mv(rows, vector, out=products[k, block])
        return products * self._scales

    def _blocks(self) -> list[slice]:
        """Slices of rows."""
        return [slice(first, min(first + self._step, self.count)) for first in range(0, self.count, self._step)]

    def _rows(self, k: int, block: slice) -> Tensor:
        """Return rows (n, P) of a set before they are scaled, int8: those held, or the same ones drawn."""
        return self._draw(k, block) if self._held is None else self._held[k, block]

    def _draw(self, k: int, block: slice) -> Tensor:
        rows = np.empty((block.stop - block.start, self.dim), np.int8)
        for row, number in zip(rows, range(block.start, block.stop), strict=True):
            words = stream(self.purpose, self.seeds[k], number).bit_generator.random_raw(-(-self.dim // 8))
            # `bytes.translate` looks up 1e9 bytes a second; fancy indexing would first turn each into 8.
            drawn = words.astype("<u8", copy=False).tobytes().translate(_LEVELS)
            row[:] = np.frombuffer(drawn, np.int8, self.dim)
        return torch.from_numpy(rows)


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
