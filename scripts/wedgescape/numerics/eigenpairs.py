"""Curvature of the training loss at a point: the ends of the Hessian's spectrum (docs/science.md, Curvature)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from wedgescape.numerics.randomness import stream

if TYPE_CHECKING:
    from wedgescape.landscapes.base import Landscape

KRYLOV = 160  # vectors of the Lanczos basis at most: on the digits one basis holds both ends of the spectrum
LEAST_KRYLOV = 20
BASIS_BYTES = (
    2**30
)  # of the basis and its products; where they do not fit, the basis is smaller and restarts more often
TOLERANCE = 1e-6  # residuals over the Hessian's norm
LOOSEST = 1e-2  # residuals that are still taken where no more products may be spent
PRODUCTS = 20  # at most, per vector of the basis


@dataclass(frozen=True)
class Eigenpairs:
    """Both ends of a Hessian's spectrum.

    Args:
        top: (top,) the largest eigenvalues, falling.
        top_vectors: (top, P) unit vectors.
        top_residuals: (top,) Euclidean norms of H v - lambda v: an eigenvalue of H lies within this of lambda.
        bottom: (bottom,) the algebraically smallest (most negative) eigenvalues, rising.
        bottom_vectors: (bottom, P) unit vectors.
        bottom_residuals: (bottom,)
    """

    top: Tensor
    top_vectors: Tensor
    top_residuals: Tensor
    bottom: Tensor
    bottom_vectors: Tensor
    bottom_residuals: Tensor


def hessian_eigenpairs(
    landscape: Landscape, point: Tensor, top: int, bottom: int, krylov: int = KRYLOV, tolerance: float = TOLERANCE
) -> Eigenpairs:
    """Find the eigenpairs at both ends of the spectrum of the Hessian of the training loss.

    Lanczos with full reorthogonalisation, which makes no ghost copies, and with thick restarts (Wu & Simon 2000). It
    ends as soon as all residuals are small enough. Of an eigenvalue that many vectors share exactly, it is rounding
    that finds the second and further copies. Both ends come from one Krylov space. A space of no more dimensions than
    the Lanczos basis is diagonalised densely instead. At an optimum of a network the top stands apart and takes some
    30 products, while the bottom is crowded and takes more than a hundred.

    Args:
        landscape: whose Hessian-vector products are asked for, in its own precision.
        point: (P,), where nothing is changed.
        top: how many of the largest eigenvalues.
        bottom: how many of the smallest.
        krylov: vectors of the Lanczos basis at most; more take more memory and fewer restarts.
        tolerance: residuals at which the search ends, over the largest eigenvalue's size.

    Returns:
        `Eigenpairs` in float64, on the CPU; each vector's first coordinate of largest size is positive. Residuals are
        those of the products that were computed.

    Raises:
        ValueError: if the point is not finite, or none or more eigenpairs are asked for than there are dimensions.
        RuntimeError: if not even residuals of a hundredth of the Hessian's norm are reached.
    """
    dim, count = len(point), top + bottom
    if not bool(point.isfinite().all()):
        raise ValueError("the Hessian at a point that is not finite has no eigenpairs")
    if not 0 < count <= dim:
        raise ValueError(f"found top + bottom = {count}; allowed: 1 to {dim}, the number of dimensions")

    hessian = landscape.hessian_at(point)
    if dim <= max(krylov, 2 * count):
        basis = torch.eye(dim).to(point)
        images = hessian(basis)
    else:
        fitting = BASIS_BYTES // (2 * point.element_size() * dim)
        basis, images = _ends(
            hessian, point, top, bottom, max(min(krylov, fitting), 2 * count + 1, LEAST_KRYLOV), tolerance
        )
    values, vectors, images = _refined(basis, images)
    rows = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    residuals = (images - values[:, None] * vectors).norm(dim=1)
    found = [values, rows, residuals]
    return Eigenpairs(*(part.flip(0)[:top] for part in found), *(part[:bottom] for part in found))


def _ends(
    products: Callable[[Tensor], Tensor], like: Tensor, top: int, bottom: int, most: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Return orthonormal vectors (n, P) that span the eigenvectors at both ends, and their products (n, P).

    Args:
        products: (V, P) -> (V, P).
        like: (P,), of whose type and place vectors are.
        top: how many at the upper end.
        bottom: how many at the lower end.
        most: vectors in the basis.
        tolerance: of residuals, over the largest eigenvalue's size.
    """
    dim, count = len(like), top + bottom
    basis, images, projected = like.new_empty(most, dim), like.new_empty(most, dim), np.zeros((most, most))
    fresh = (torch.from_numpy(stream("lanczos", number).standard_normal(dim)).to(like) for number in itertools.count())
    rest, size, since, before = next(fresh), 0, 0, None
    for left_over in reversed(range(PRODUCTS * most)):
        basis[size] = rest / rest.norm()
        images[size] = products(basis[size : size + 1])[0]
        size, since = size + 1, since + 1
        rest, along = _without(images[size - 1], basis[:size])
        projected[size - 1, :size] = projected[:size, size - 1] = along.double().cpu().numpy()
        left = float(rest.norm())
        closed = left <= 10 * torch.finfo(like.dtype).eps * np.abs(projected[:size, :size]).max()
        full = size == most
        if size <= count or not (closed or full or not left_over or since % max(1, size // 10) == 0):
            if closed:
                rest, since = _without(next(fresh), basis[:size])[0], 0
            continue
        values, ways = np.linalg.eigh(projected[:size, :size])
        ends = np.r_[:bottom, size - top : size]
        norm = np.abs(values).max()
        residual = left * np.abs(ways[-1, ends]).max() / norm if norm else 0.0
        if closed or (residual <= tolerance and (before is None or since >= LEAST_KRYLOV)):
            # A space that is closed under the Hessian holds what its first vector has a part of, and of a null space at
            # the lower end one vector has one direction. Does a fresh vector find something that is missing?
            found = before is not None and np.allclose(values[ends], before, rtol=0, atol=tolerance * norm)
            if found or not (closed or bottom):
                break
            before, since, rest = values[ends], 0, _without(next(fresh), basis[:size])[0]
        if full and left_over:
            each = (most + count) // 2
            kept = np.arange(size - each, size) if not bottom else np.r_[: each // 2, size - each // 2 : size]
            size = len(kept)
            basis[:size], images[:size] = _turned(ways[:, kept], basis), _turned(ways[:, kept], images)
            projected[:] = 0
            projected[range(size), range(size)] = values[kept]
    else:
        if residual > LOOSEST:
            raise RuntimeError(f"residuals of {residual:.2g} of the Hessian's norm after {PRODUCTS * most} products")
    return _turned(ways[:, ends], basis[:size]), _turned(ways[:, ends], images[:size])


def _without(vector: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return a vector (P,) without its part in the span of an orthonormal basis (n, P), and that part (n,)."""
    along = basis @ vector
    rest = vector - along @ basis
    if float(rest.norm()) < 0.7 * float(vector.norm()):  # once more, since rounding leaves a part of what was large
        again = basis @ rest
        rest, along = rest - again @ basis, along + again
    return rest, along


def _turned(ways: np.ndarray, vectors: Tensor) -> Tensor:
    """Return the combinations (k, P) of vectors (n, P), with weights (n, k)."""
    return torch.from_numpy(np.ascontiguousarray(ways.T)).to(vectors) @ vectors


def _refined(basis: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the eigenvalues, rising, vectors and their products inside a span, in float64 on the CPU (Rayleigh-Ritz).

    Args:
        basis: (n, P), orthonormal up to rounding.
        images: (n, P), the products of the Hessian with it.
    """
    basis, images = basis.cpu().double(), images.cpu().double()
    mixed = torch.linalg.cholesky(basis @ basis.T)
    basis, images = (torch.linalg.solve_triangular(mixed, part, upper=False) for part in (basis, images))
    inner = basis @ images.T
    values, ways = torch.linalg.eigh((inner + inner.T) / 2)
    return values, ways.T @ basis, ways.T @ images
