"""The whole spectrum of a Hessian, without its matrix: moments, density, short directions (docs/science.md, Curvature).

All of it is over the training loss without weight decay, and takes nothing but Hessian-vector products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from wedgescape.numerics.eigenpairs import Eigenpairs
from wedgescape.numerics.intervals import standard_error

if TYPE_CHECKING:
    from wedgescape.landscapes.base import Landscape

# Of the tridiagonal matrix's largest entry: what is left of a product that lies in the Krylov space already. In float32
# it is ten times the precision instead.
INVARIANT = 1e-7
BASES_IN_MEMORY = 2**30  # bytes of all bases of the probes that advance together


@dataclass(frozen=True)
class Moments:
    """Trace and Frobenius norm of a Hessian, each with its standard error.

    The error of a trace that is exact is 0, and that of a single probe nan.
    """

    trace: float
    trace_error: float
    frobenius: float
    frobenius_error: float


@dataclass(frozen=True)
class Spectrum:
    """An estimate of all P eigenvalues, as the masses of a probability measure.

    Args:
        top: (k,) the largest eigenvalues, falling; each has the mass 1 / P, exactly.
        values: (n, m) Ritz values of n random probes, rising; nan where a probe's Krylov space was smaller.
        masses: (n, m) of the Ritz values; those of each probe sum to (P - k) / P.
        dim: P.
    """

    top: np.ndarray
    values: np.ndarray
    masses: np.ndarray
    dim: int


def _without(vectors: Tensor, basis: Tensor) -> Tensor:
    """Return vectors (..., P) without their part in the span of an orthonormal basis (k, P); twice, for rounding."""
    for _ in range(2):
        vectors = vectors - (vectors @ basis.T) @ basis
    return vectors


def quadratic_forms(hessian: Callable[[Tensor], Tensor], probes: Tensor) -> tuple[Tensor, Tensor]:
    """Return z^T H z and |H z|^2, both (n,) in float64, of probes (n, P)."""
    moved, probes = hessian(probes).double(), probes.double()
    return (probes * moved).sum(1).cpu(), moved.square().sum(1).cpu()


def trace_from(landscape: Landscape, point: Tensor, forms: Tensor, known: float = 0.0) -> tuple[float, float]:
    """Return the trace of the Hessian at a point (P,) and its standard error.

    Where the landscape knows the trace (`Landscape.hessian_trace`) it is that one, and the error is 0.

    Args:
        landscape: whose Hessian it is.
        point: (P,).
        forms: (n,), z^T H z of random probes.
        known: the trace on the directions that the probes leave out.
    """
    exact = landscape.hessian_trace(point)
    return (known + float(forms.mean()), standard_error(forms)) if exact is None else (exact, 0.0)


def hessian_moments(landscape: Landscape, point: Tensor, probes: Tensor, pairs: Eigenpairs | None = None) -> Moments:
    """Estimate the trace and the Frobenius norm of the Hessian of the training loss from random probes.

    With P the projector onto eigenvectors known already, tr H = tr PHP + E[z^T H z] and |H|^2 = |HP|^2 + E[|H z|^2], z
    Gaussian outside of them (Hutchinson 1989; deflated as in Hutch++, Meyer et al. 2021). Both hold for any orthonormal
    vectors, so that residuals of the eigenpairs leave no bias; a few large eigenvalues, known, take most of the noise.
    The trace is exact where the landscape knows it (`trace_from`).

    Args:
        landscape: whose Hessian-vector products are asked for.
        point: (P,).
        probes: (n, P), Gaussian, of unit variance.
        pairs: whose top eigenvectors are known.
    """
    fixed, square = 0.0, 0.0
    if pairs is not None and len(pairs.top):
        fixed, square = float(pairs.top.sum()), float((pairs.top**2 + pairs.top_residuals**2).sum())
        probes = _without(probes.double(), pairs.top_vectors.to(probes.device)).to(probes)
    forms, squares = quadratic_forms(landscape.hessian_at(point), probes)
    frobenius = float(np.sqrt(square + float(squares.mean())))
    spread = standard_error(squares)
    return Moments(
        *trace_from(landscape, point, forms, fixed),
        frobenius,
        spread / (2 * frobenius) if frobenius else spread,  # of a square root
    )


def lanczos(
    products: Callable[[Tensor], Tensor], starts: Tensor, steps: int, known: Tensor
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return Ritz values and Gauss weights (at most `steps` of each) of a symmetric operator and unit vectors (n, P).

    Lanczos with full reorthogonalisation, also against known eigenvectors (k, P): no ghost copies. Each start has its
    own Krylov space. They advance together, so that an operator that is faster for many vectors at once gets all of
    them in one call (n, P) -> (n, P). Nothing else is shared: a start's numbers do not depend on the others, as far as
    those of the operator do not. A start ends before `steps` where its Krylov space does. Its weights, squares of the
    first components of the tridiagonal matrix's eigenvectors, sum to 1 (Golub & Meurant 2010).

    Vectors are kept in the precision of the starts, the tridiagonal matrices in float64.
    """
    steps = min(steps, starts.shape[1] - len(known))
    bases = starts.new_empty(len(starts), steps, starts.shape[1])
    diagonals, besides = [[] for _ in starts], [[] for _ in starts]
    going, rests = list(range(len(starts))), list(starts)
    invariant = max(INVARIANT, 10 * torch.finfo(starts.dtype).eps)
    for step in range(steps):
        still = []
        for row, moved in zip(going, products(torch.stack([rests[row] for row in going])), strict=True):
            rest, basis, diagonal, beside = rests[row], bases[row, : step + 1], diagonals[row], besides[row]
            basis[step] = rest
            diagonal.append(float(moved @ rest))
            moved = moved - diagonal[-1] * rest
            if beside:
                moved -= beside[-1] * basis[step - 1]
            for vectors in (known, basis):
                moved -= (vectors @ moved) @ vectors
            size = float(moved.norm())
            if size > invariant * max(*map(abs, diagonal), *beside, 0.0):
                beside.append(size)
                rests[row] = moved / size
                still.append(row)
        going = still
        if not going:
            break
    found = []
    for diagonal, beside in zip(diagonals, besides, strict=True):
        values, vectors = eigh_tridiagonal(diagonal, beside[: len(diagonal) - 1])
        found.append((values, vectors[0] ** 2))
    return found


def spectrum(landscape: Landscape, point: Tensor, probes: Tensor, steps: int, pairs: Eigenpairs) -> Spectrum:
    """Estimate the spectrum of the Hessian of the training loss by stochastic Lanczos quadrature.

    The top eigenpairs count exactly; random probes orthogonal to them stand for all other directions (Ubaru, Chen &
    Saad 2017; for networks Ghorbani, Krishnan & Xiao 2019, Papyan 2019). From m steps, the first 2 m moments of the
    measure are unbiased.

    Args:
        landscape: whose Hessian-vector products are asked for, of all probes in one call a step.
        point: (P,).
        probes: (n, P), Gaussian.
        steps: m, of each Lanczos run.
        pairs: top eigenpairs, none or some.
    """
    known, dim = pairs.top_vectors.to(point), len(point)
    values, masses = np.full((len(probes), steps), np.nan), np.zeros((len(probes), steps))
    share = (dim - len(known)) / dim
    if share:
        starts = torch.stack([_without(probe, known) for probe in probes.to(point)])  # alike alone and among others
        starts /= starts.norm(dim=1, keepdim=True)
        together = max(1, BASES_IN_MEMORY // (steps * dim * starts.element_size()))
        hessian = landscape.hessian_at(point)
        found = [pair for some in starts.split(together) for pair in lanczos(hessian, some, steps, known)]
        for row, (ritz, weights) in enumerate(found):
            values[row, : len(ritz)], masses[row, : len(ritz)] = ritz, weights * share
    return Spectrum(pairs.top.numpy(), values, masses, dim)


def directions_above(found: Spectrum, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many eigenvalues lie above thresholds (t,), and the standard errors of these estimates, both (t,).

    The known top counts exactly, so that the error is zero above the last of it.
    """
    thresholds = np.asarray(thresholds, dtype=float)
    above = found.values[..., None] > thresholds  # (n, m, t); nan is above nothing
    counts = (above * found.masses[..., None]).sum(1) * found.dim  # (n, t)
    exact = (found.top[:, None] > thresholds).sum(0)
    return exact + counts.mean(0), np.array([standard_error(column) for column in counts.T])


def resolution(found: Spectrum, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return between which numbers (t,) and (t,) the number of eigenvalues above thresholds (t,) must lie.

    A probe's quadrature does not see where between two of its Ritz values the mass of these lies: by the inequalities
    of Chebyshev, Markov and Stieltjes (Golub & Meurant 2010), the mass above a threshold is at least that of all Ritz
    values above but the nearest, and at most that of all above and the nearest below. Means over probes; what the
    probes themselves may miss is the standard error of `directions_above`. The known top counts exactly.
    """
    thresholds = np.asarray(thresholds, dtype=float)
    exact = (found.top[:, None] > thresholds).sum(0)
    ends = []
    for values, masses in zip(found.values, found.masses, strict=True):
        known = np.isfinite(values)
        values, masses = values[known], masses[known]
        below = np.searchsorted(values, thresholds, side="right")
        beyond = np.append(np.cumsum(masses[::-1])[::-1], 0.0)  # mass of the k-th Ritz value and all above it
        ends.append([beyond[np.minimum(below + 1, len(values))], beyond[np.maximum(below - 1, 0)]])
    low, high = np.mean(ends, axis=0) * found.dim
    rest = thresholds < (found.top.min() if len(found.top) else np.inf)  # elsewhere only the top is above
    return exact + np.where(rest, low, 0), exact + np.where(rest, high, 0)


def gaps(found: Spectrum, grid: np.ndarray) -> np.ndarray:
    """Return how far apart the two Ritz values on either side of each eigenvalue of a grid (g,) are, mean over probes.

    Finer than that, quadrature sees nothing. Beyond the Ritz values it is 0: there are none but the known eigenvalues.
    """
    rows = []
    for values in found.values:
        values = values[np.isfinite(values)]
        place = np.searchsorted(values, grid)
        inside = (place > 0) & (place < len(values))
        row = np.zeros(len(grid))
        row[inside] = np.diff(values)[place[inside] - 1]
        rows.append(row)
    return np.mean(rows, axis=0)


def density(found: Spectrum, grid: np.ndarray, width: float) -> np.ndarray:
    """Return the spectral density (g,) on a grid (g,), smoothed by a Gaussian of a standard deviation; integrates to 1.

    A Gaussian of that width stands for each eigenvalue, which hides what is finer.
    """
    places = np.concatenate([found.top, found.values.ravel()])
    masses = np.concatenate([np.full(len(found.top), 1 / found.dim), found.masses.ravel() / len(found.values)])
    places, masses = places[np.isfinite(places)], masses[np.isfinite(places)]
    bumps = np.exp(-0.5 * ((grid[:, None] - places) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return bumps @ masses
