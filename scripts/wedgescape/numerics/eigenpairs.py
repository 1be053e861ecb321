"""Curvature of the training loss at a point: the ends of the Hessian's spectrum (docs/science.md, Curvature)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from wedgescape.numerics.randomness import stream

if TYPE_CHECKING:
    from wedgescape.landscapes.base import Landscape

KRYLOV = 160  # vectors of the Lanczos basis: on the digits one basis holds both ends, and 128 took restarts at times
LEAST_KRYLOV = 20
RESTARTS = 20
TOLERANCES = (1e-6, 1e-4, 1e-2)  # residuals over the Hessian's norm, tried in turn where noise forbids the smaller


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


def hessian_eigenpairs(landscape: Landscape, point: Tensor, top: int, bottom: int, krylov: int = KRYLOV) -> Eigenpairs:
    """Find the eigenpairs at both ends of the spectrum of the Hessian of the training loss.

    Lanczos with implicit restarts and full reorthogonalisation in float64 (ARPACK, Lehoucq et al. 1998), which makes no
    ghost copies and skips no eigenvalue; of one that many vectors share exactly, it is rounding that finds the second
    and further copies. Both ends come from one Krylov space. A space of no more dimensions than the Lanczos basis is
    diagonalised densely instead. At an optimum of a network the top stands apart and takes some 20 products, while the
    bottom is crowded and takes about as many as the basis has vectors.

    Args:
        landscape: whose Hessian-vector products are asked for, in its own precision.
        point: (P,), where nothing is changed.
        top: how many of the largest eigenvalues.
        bottom: how many of the smallest.
        krylov: vectors of the Lanczos basis where the bottom is asked for; more take more memory and fewer restarts.

    Returns:
        `Eigenpairs` in float64, on the CPU; each vector's first coordinate of largest size is positive.

    Raises:
        ValueError: if the point is not finite, or none or more eigenpairs are asked for than there are dimensions.
        ArpackNoConvergence: if not even residuals of a hundredth of the Hessian's norm are reached.
    """
    dim = len(point)
    if not bool(point.isfinite().all()):
        raise ValueError("the Hessian at a point that is not finite has no eigenpairs")
    if not 0 < top + bottom <= dim:
        raise ValueError(f"found top + bottom = {top + bottom}; allowed: 1 to {dim}, the number of dimensions")

    hessian = landscape.hessian_at(point)

    def products(vectors: np.ndarray) -> np.ndarray:
        """(V, P) -> (V, P), float64."""
        moved = hessian(torch.from_numpy(vectors).to(point))
        return moved.cpu().double().numpy()

    if dim <= max(krylov, 2 * (top + bottom)):
        matrix = products(np.eye(dim))
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)  # columns
    elif bottom:
        values, vectors = _lanczos(products, dim, "BE", 2 * max(top, bottom), krylov)
    else:
        values, vectors = _lanczos(products, dim, "LA", top)
    rows = vectors.T * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])[:, None]
    parts = []
    for some, ways in ((values[::-1][:top], rows[::-1][:top]), (values[:bottom], rows[:bottom])):
        some, ways = some.copy(), ways.copy()  # torch takes no negative strides
        residuals = np.linalg.norm(products(ways) - some[:, None] * ways, axis=1) if len(some) else some
        parts += [torch.from_numpy(part) for part in (some, ways, residuals)]
    return Eigenpairs(*parts)


def _lanczos(
    products: Callable[[np.ndarray], np.ndarray], dim: int, which: str, count: int, krylov: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` eigenvalues, rising, and vectors (P, count): the largest (LA), or half of either end (BE)."""
    start = stream("lanczos").standard_normal(dim)
    norm = float(np.linalg.norm(products(start[None])))  # its square has the mean of the squared Frobenius norm
    if norm == 0:  # only the zero Hessian maps a random vector to zero; ARPACK would refuse it
        return np.zeros(count), np.linalg.qr(stream("lanczos").standard_normal((dim, count)))[0]
    # ARPACK's tolerance is relative to each eigenvalue, so that an eigenvalue of zero would never be good enough and be
    # passed over for its neighbour. Shifted by the norm, all of them are held to the same residual.
    operator = LinearOperator(
        (dim, dim), lambda vector: products(vector.reshape(1, -1))[0] + norm * vector.ravel(), dtype=np.float64
    )
    basis = min(dim, max(krylov, 2 * count + 1, LEAST_KRYLOV))

    def ends(tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        found = eigsh(operator, count, which=which, v0=start, ncv=basis, maxiter=RESTARTS, tol=tolerance)
        order = found[0].argsort()
        return found[0][order] - norm, found[1][:, order]

    *stricter, loosest = TOLERANCES
    for tolerance in stricter:
        with contextlib.suppress(ArpackNoConvergence):
            return ends(tolerance)
    return ends(loosest)
