"""The whole spectrum of a Hessian, without its matrix: moments, density, short directions (science, section 8).

All of it is over the training loss without weight decay, and takes nothing but Hessian-vector products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.spans import gaussian
from wedgescape.numerics.eigenpairs import Eigenpairs, hessian_eigenpairs
from wedgescape.numerics.intervals import standard_error
from wedgescape.stores.zarr_stores import described
from wedgescape.study.sections import Count, PositiveNumber, PositiveNumbers, Section, key


class Settings(Section):
    """The whole spectrum of the Hessian of the training loss, without weight decay, at the base point's optima;
    and loss and curvature at random points against their distance from the origin."""

    seeds: Count = key(4, "Optima measured, those of the first seeds; all of them, where there are fewer.", smoke=2)
    top: Count = key(
        40,
        "Largest eigenvalues that are found one by one and counted exactly; at most all there are.",
        smoke=2,
    )
    samples: int = key(6, "Random probes of the rest of the spectrum (stochastic Lanczos quadrature).", ge=2, smoke=2)
    steps: int = key(60, "Lanczos steps of each probe.", ge=2, smoke=6)
    short_eigenvalue: PositiveNumber = key(
        0.01,
        "A direction is short where its eigenvalue exceeds this, in nats per squared weight.",
    )
    radii: PositiveNumbers = key(
        [0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8],
        "Distances of random points from the origin, in units of the norm of PyTorch's initialisation.",
        smoke=[0.5, 1, 2],
    )
    points: Count = key(32, "Random points at each distance.", smoke=2)
    probes: int = key(4, "Random directions along which the Hessian is probed at each of these points.", ge=2, smoke=2)


NO_PAIRS = torch.zeros(0)
INVARIANT = (
    1e-7  # of the tridiagonal matrix's largest entry: what is left of a product that lies in the Krylov space already
)
KERNEL = 0.005  # width of the density's kernel, as a fraction of the range of all eigenvalues
GRID = 801  # points of the density
DECADES, PER_DECADE = 4, 12  # of thresholds below the largest eigenvalue


@dataclass(frozen=True)
class Moments:
    """Trace and Frobenius norm of a Hessian, each with its standard error; nan from a single probe."""

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


def _without(vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return vectors (..., P) without their part in the span of an orthonormal basis (k, P); twice, for rounding."""
    for _ in range(2):
        vectors = vectors - (vectors @ basis.T) @ basis
    return vectors


def quadratic_forms(hessian: Callable[[Tensor], Tensor], probes: Tensor) -> tuple[Tensor, Tensor]:
    """Return z^T H z and |H z|^2, both (n,) in float64, of probes (n, P)."""
    moved, probes = hessian(probes).double(), probes.double()
    return (probes * moved).sum(1).cpu(), moved.square().sum(1).cpu()


def hessian_moments(landscape: Landscape, point: Tensor, probes: Tensor, pairs: Eigenpairs | None = None) -> Moments:
    """Estimate the trace and the Frobenius norm of the Hessian of the training loss from random probes.

    With P the projector onto eigenvectors known already, tr H = tr PHP + E[z^T H z] and |H|^2 = |HP|^2 + E[|H z|^2], z
    Gaussian outside of them (Hutchinson 1989; deflated as in Hutch++, Meyer et al. 2021). Both hold for any orthonormal
    vectors, so that residuals of the eigenpairs leave no bias; a few large eigenvalues, known, take most of the noise.

    Args:
        landscape: whose Hessian-vector products are asked for.
        point: (P,).
        probes: (n, P), Gaussian, of unit variance.
        pairs: whose top eigenvectors are known.
    """
    known, fixed, square = NO_PAIRS, 0.0, 0.0
    if pairs is not None and len(pairs.top):
        known = pairs.top_vectors.numpy()
        fixed, square = float(pairs.top.sum()), float((pairs.top**2 + pairs.top_residuals**2).sum())
        probes = torch.from_numpy(_without(probes.cpu().double().numpy(), known)).to(probes)
    forms, squares = quadratic_forms(landscape.hessian_at(point), probes)
    frobenius = float(np.sqrt(square + float(squares.mean())))
    spread = standard_error(squares)
    return Moments(
        fixed + float(forms.mean()),
        standard_error(forms),
        frobenius,
        spread / (2 * frobenius) if frobenius else spread,  # of a square root
    )


def lanczos(
    products: Callable[[np.ndarray], np.ndarray], start: np.ndarray, steps: int, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Ritz values and Gauss weights (at most `steps` of each) of a symmetric operator and a unit vector (P,).

    Lanczos with full reorthogonalisation in float64, also against known eigenvectors (k, P): no ghost copies. Ends
    before `steps` where the Krylov space does. The weights, squares of the first components of the tridiagonal
    matrix's eigenvectors, sum to 1 (Golub & Meurant 2010).
    """
    steps = min(steps, len(start) - len(known))
    basis = np.concatenate([known, np.empty((steps, len(start)))])  # known ones first, so that one product removes all
    diagonal, beside, rest = [], [], start
    for row in range(len(known), len(known) + steps):
        basis[row] = rest
        moved = products(rest)
        diagonal.append(float(moved @ rest))
        moved = moved - diagonal[-1] * rest
        if beside:
            moved -= beside[-1] * basis[row - 1]
        moved -= (basis[: row + 1] @ moved) @ basis[: row + 1]
        size = float(np.linalg.norm(moved))
        if size <= INVARIANT * max(np.abs(diagonal).max(), *beside, 0.0):
            break
        beside.append(size)
        rest = moved / size
    values, vectors = eigh_tridiagonal(diagonal, beside[: len(diagonal) - 1])
    return values, vectors[0] ** 2


def spectrum(landscape: Landscape, point: Tensor, probes: Tensor, steps: int, pairs: Eigenpairs) -> Spectrum:
    """Estimate the spectrum of the Hessian of the training loss by stochastic Lanczos quadrature.

    The top eigenpairs count exactly; random probes orthogonal to them stand for all other directions (Ubaru, Chen &
    Saad 2017; for networks Ghorbani, Krishnan & Xiao 2019, Papyan 2019). From m steps, the first 2 m moments of the
    measure are unbiased.

    Args:
        landscape: whose Hessian-vector products are asked for.
        point: (P,).
        probes: (n, P), Gaussian.
        steps: m, of each Lanczos run.
        pairs: top eigenpairs, none or some.
    """
    hessian, known = landscape.hessian_at(point), pairs.top_vectors.numpy()

    def products(vector: np.ndarray) -> np.ndarray:
        return hessian(torch.from_numpy(vector[None]).to(point))[0].cpu().double().numpy()

    count, dim = len(known), len(point)
    values, masses = np.full((len(probes), steps), np.nan), np.zeros((len(probes), steps))
    for row, probe in enumerate(_without(probes.cpu().double().numpy(), known)):
        if count < dim:
            found, weights = lanczos(products, probe / np.linalg.norm(probe), steps, known)
            values[row, : len(found)], masses[row, : len(found)] = found, weights * (dim - count) / dim
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


def density(found: Spectrum, grid: np.ndarray, width: float) -> np.ndarray:
    """Return the spectral density (g,) on a grid (g,), smoothed by a Gaussian of a standard deviation; integrates to 1.

    A Gaussian of that width stands for each eigenvalue, which hides what is finer.
    """
    places = np.concatenate([found.top, found.values.ravel()])
    masses = np.concatenate([np.full(len(found.top), 1 / found.dim), found.masses.ravel() / len(found.values)])
    places, masses = places[np.isfinite(places)], masses[np.isfinite(places)]
    bumps = np.exp(-0.5 * ((grid[:, None] - places) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return bumps @ masses


def measure(
    landscape: Landscape, optima: Tensor, seeds, top: int, samples: int, steps: int, short_eigenvalue: float
) -> xr.Dataset:
    """Measure the spectrum of the Hessian of the training loss, without weight decay, at networks' optima.

    Args:
        landscape: of the networks.
        optima: (K, P), all finite.
        seeds: K seeds, each of which draws its own probes.
        top: eigenvalues found one by one; at most P.
        samples: random probes of the rest of the spectrum.
        steps: Lanczos steps of each probe.
        short_eigenvalue: a direction is short where its eigenvalue is larger, nats per squared weight.

    Returns:
        Eigenvalues, Ritz values, density and numbers of directions, over seed.
    """
    top = min(top, optima.shape[1])
    found, residuals = [], []
    for seed, point in zip(seeds, optima, strict=True):
        pairs = hessian_eigenpairs(landscape, point, top, 0)
        probes = gaussian(samples, len(point), "spectrum", int(seed)).to(point)
        found.append(spectrum(landscape, point, probes, steps, pairs))
        residuals.append(pairs.top_residuals.numpy())
    lows = [np.nanmin(np.append(one.values, one.top)) for one in found]
    high = max(float(one.top[0]) for one in found)
    span = (high - float(min(lows))) or 1.0
    width = KERNEL * span
    grid = np.linspace(min(lows) - 5 * width, high + 5 * width, GRID)
    thresholds = (high or 1.0) * np.logspace(-DECADES, 0, DECADES * PER_DECADE + 1)
    counts = np.array([directions_above(one, thresholds) for one in found])
    short = np.array([directions_above(one, [short_eigenvalue]) for one in found])[..., 0]
    unit_of = "nat/weight^2"
    variables = {
        "eigenvalue": described(("seed", "rank"), [one.top for one in found], "largest Hessian eigenvalues", unit_of),
        "residual": described(("seed", "rank"), residuals, "|H v - lambda v| of each of them", unit_of),
        "ritz_value": described(
            ("seed", "probe", "step"), [one.values for one in found], "Ritz values of random probes", unit_of
        ),
        "ritz_mass": described(
            ("seed", "probe", "step"),
            [one.masses for one in found],
            "share of directions that each stands for",
            "1",
        ),
        "density": described(
            ("seed", "grid"),
            [density(one, grid, width) for one in found],
            "spectral density, smoothed by a Gaussian of kernel_width",
            "weight^2/nat",
        ),
        "directions_above": described(("seed", "threshold"), counts[:, 0], "number of eigenvalues above", "1"),
        "directions_above_error": described(("seed", "threshold"), counts[:, 1], "standard error of that number", "1"),
        "short_directions": described(("seed",), short[:, 0], "number of eigenvalues above short_eigenvalue", "1"),
        "short_directions_error": described(("seed",), short[:, 1], "standard error of that number", "1"),
        "short_fraction": described(("seed",), short[:, 0] / optima.shape[1], "the same as a fraction of P", "1"),
    }
    variables["radius"] = described(("seed",), optima.norm(dim=1).cpu(), "Euclidean norm of the optimum", "weights")
    coordinates = {
        "seed": list(seeds),
        "rank": range(1, top + 1),
        "grid": described(("grid",), grid, "eigenvalue", unit_of),
        "threshold": described(("threshold",), thresholds, "eigenvalue", unit_of),
    }
    attributes = {"kernel_width": width, "short_eigenvalue": short_eigenvalue, "parameters": optima.shape[1]}
    return xr.Dataset(variables, coordinates, attributes)
