"""The whole spectrum of the Hessian at optima, and loss and curvature at random points (docs/science.md, Curvature).

Fort & Scherlis (2019) asked at which distances from the origin the loss has an excess of positive curvature. Where
logits are linear in each weight alone, as in networks of linear layers and ReLUs, the trace of the Hessian is that of
its Gauss-Newton part, which is never negative: there the sign of the trace says nothing, only its size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.operations import Case, MultiplyAdd, Product, Trace, Work, evaluations, hessian, times
from wedgescape.landscapes.spans import gaussian, random_directions
from wedgescape.numerics.eigenpairs import hessian_eigenpairs
from wedgescape.numerics.judging import Claim
from wedgescape.numerics.lanczos import (
    density,
    directions_above,
    gaps,
    quadratic_forms,
    resolution,
    spectrum,
    trace_from,
)
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.sections import Count, PositiveNumber, PositiveNumbers, Section, key
from wedgescape.training.optima import Optima, TrainedOptima

KERNEL = 0.005  # width of the density's kernel, as a fraction of the range of all eigenvalues
GRID = 801  # points of the density
DECADES, PER_DECADE = 4, 12  # of thresholds below the largest eigenvalue
MINUTES = 120


class Settings(Section):
    """The Hessian's whole spectrum (without weight decay) at the base setting's optima, and curvature at random points.

    Loss and curvature at random points are measured against their distance from the origin.
    """

    seeds: Count = key(4, "Number of optima to measure (the first N seeds that are optima).", smoke=2)
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


NAT = "nat/weight^2"
VARIABLES = {
    "density": {
        "eigenvalue": Variable(("seed", "rank"), "largest Hessian eigenvalues", NAT),
        "residual": Variable(("seed", "rank"), "|H v - lambda v| of each of them", NAT),
        "ritz_value": Variable(("seed", "probe", "step"), "Ritz values of random probes", NAT),
        "ritz_mass": Variable(("seed", "probe", "step"), "share of directions that each stands for", "1"),
        "density": Variable(
            ("seed", "grid"), "spectral density, smoothed by a Gaussian of kernel_width", "weight^2/nat"
        ),
        "directions_above": Variable(("seed", "threshold"), "number of eigenvalues above", "1"),
        "directions_above_error": Variable(("seed", "threshold"), "standard error of that number", "1"),
        "directions_above_low": Variable(("seed", "threshold"), "the least number that quadrature allows", "1"),
        "directions_above_high": Variable(("seed", "threshold"), "the largest number that quadrature allows", "1"),
        "ritz_gap": Variable(("seed", "grid"), "distance of neighbouring Ritz values, mean over probes", NAT),
        "short_directions": Variable(("seed",), "number of eigenvalues above short_eigenvalue", "1"),
        "short_directions_error": Variable(("seed",), "standard error of that number", "1"),
        "short_directions_low": Variable(("seed",), "the least number that quadrature allows", "1"),
        "short_directions_high": Variable(("seed",), "the largest number that quadrature allows", "1"),
        "short_fraction": Variable(("seed",), "the same as a fraction of P", "1"),
        "radius": Variable(("seed",), "Euclidean norm of the optimum", "weights"),
    },
    "radii": {
        name: Variable(("radius", "point"), text, units)
        for name, text, units in (
            ("loss", "mean cross-entropy on the training split at random points", "nat"),
            ("score", "score on the training split", "1"),
            ("test_loss", "mean cross-entropy on the test split", "nat"),
            ("test_score", "score on the test split", "1"),
            ("trace", "trace of the Hessian of the training loss", NAT),
            ("trace_error", "standard error of the trace; 0 where it is exact", NAT),
            ("frobenius", "Frobenius norm of the Hessian of the training loss", NAT),
            ("positive", "share of random directions along which the loss curves upwards", "1"),
            ("trace_over_norm", "trace over Frobenius norm of the Hessian", "1"),
        )
    },
}


def measure(optima: TrainedOptima, settings: Settings = Settings()) -> dict[str, xr.Dataset]:
    """Measure the Hessian's spectrum at optima, and loss and curvature at random points (without weight decay).

    Args:
        optima: of one setting, one at least that did not diverge.
        settings: of the measurement.

    Returns:
        `density` (`spectra_at`) and `radii` (`at_random_points`).
    """
    sound = optima.fit()
    norm = float(np.linalg.norm(sound.starts.cpu().numpy(), axis=1).mean())
    parts = {
        "density": spectra_at(sound.first(settings.seeds), settings),
        "radii": at_random_points(optima.landscape, norm, settings),
    }
    return {name: optima.flagged(part) for name, part in parts.items()}


def spectra_at(optima: Optima, settings: Settings) -> xr.Dataset:
    """Measure the spectrum of the Hessian of the training loss, without weight decay, at optima.

    Args:
        optima: all finite. Each seed draws its own probes.
        settings: `top`, `samples`, `steps`, `short_eigenvalue`.

    Returns:
        Eigenvalues, Ritz values, density and numbers of directions, over seed.
    """
    points = optima.points
    dim = points.shape[1]
    top = min(settings.top, dim)
    found, residuals = [], []
    for seed, point in zip(optima.seeds, points, strict=True):
        pairs = hessian_eigenpairs(optima.landscape, point, top, 0)
        probes = gaussian(settings.samples, dim, "spectrum", int(seed)).to(point)
        found.append(spectrum(optima.landscape, point, probes, settings.steps, pairs))
        residuals.append(pairs.top_residuals.numpy())
    lows = [np.nanmin(np.append(one.values, one.top)) for one in found]
    high = max(float(one.top[0]) for one in found)
    span = (high - float(min(lows))) or 1.0
    width = KERNEL * span
    grid = np.linspace(min(lows) - 5 * width, high + 5 * width, GRID)
    thresholds = (high or 1.0) * np.logspace(-DECADES, 0, DECADES * PER_DECADE + 1)
    counts = np.array([directions_above(one, thresholds) for one in found])
    bounds = np.array([resolution(one, thresholds) for one in found])
    limit = [settings.short_eigenvalue]
    short = np.array([(*directions_above(one, limit), *resolution(one, limit)) for one in found])[..., 0]
    values = {
        "eigenvalue": [one.top for one in found],
        "residual": residuals,
        "ritz_value": [one.values for one in found],
        "ritz_mass": [one.masses for one in found],
        "density": [density(one, grid, width) for one in found],
        "directions_above": counts[:, 0],
        "directions_above_error": counts[:, 1],
        "directions_above_low": bounds[:, 0],
        "directions_above_high": bounds[:, 1],
        "ritz_gap": [gaps(one, grid) for one in found],
        "short_directions": short[:, 0],
        "short_directions_error": short[:, 1],
        "short_directions_low": short[:, 2],
        "short_directions_high": short[:, 3],
        "short_fraction": short[:, 0] / dim,
        "radius": points.norm(dim=1).cpu(),
    }
    coordinates = {
        "seed": optima.seeds,
        "rank": range(1, top + 1),
        "grid": described(("grid",), grid, "eigenvalue", NAT),
        "threshold": described(("threshold",), thresholds, "eigenvalue", NAT),
    }
    attributes = {"kernel_width": width, "short_eigenvalue": settings.short_eigenvalue, "parameters": dim}
    return labelled(VARIABLES["density"], values, coordinates, attributes)


def at_random_points(landscape: Landscape, norm: float, settings: Settings) -> xr.Dataset:
    """Measure loss and curvature at random points against their distance from the origin (our definition).

    A point is an isotropic Gaussian vector rescaled to a radius: the same directions at every radius. Its Hessian is
    that of the training loss without weight decay. From Gaussian probes z: the trace, mean z^T H z, where the landscape
    does not know it (`Landscape.hessian_trace`); the Frobenius norm, the root of mean |H z|^2; and the share of probes
    along which the loss curves upwards, z^T H z > 0.

    Args:
        landscape: that also evaluates score.
        norm: of the initialisation, in weights, the unit of radii.
        settings: `radii` in units of that norm, `points` at each radius, `probes` at each point.

    Returns:
        A dataset over (radius_factor, point); `radius` is the radius in weights. Where the Hessian is zero, as it is in
        float32 where every example is certain, the ratio of trace and norm is nan.
    """
    directions = random_directions(settings.points, landscape.dim, "random points").to(
        landscape.device, landscape.dtype
    )
    shape = (len(settings.radii), settings.points)
    values = {name: np.full(shape, np.nan, np.float32) for name in VARIABLES["radii"]}
    for row, factor in enumerate(settings.radii):
        where = factor * norm * directions
        for prefix, split in (("", "train"), ("test_", "test")):
            for name, found in landscape.evaluate(where, split).items():
                values[prefix + name][row] = found.cpu()
        for column, point in enumerate(where):
            drawn = gaussian(settings.probes, landscape.dim, "random point probes", column).to(point)
            forms, squares = quadratic_forms(landscape.hessian_at(point), drawn)
            finite = bool(forms.isfinite().all())
            values["trace"][row, column], values["trace_error"][row, column] = trace_from(landscape, point, forms)
            values["frobenius"][row, column] = squares.mean().sqrt()
            values["positive"][row, column] = (forms > 0).double().mean() if finite else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        values["trace_over_norm"] = values["trace"] / values["frobenius"]
    factors = np.asarray(settings.radii, float)
    coordinates = {
        "radius": described(("radius",), norm * factors, "distance from the origin", "weights"),
        "radius_factor": described(("radius",), factors, "radius over the norm of the initialisation", "1"),
        "point": range(settings.points),
    }
    attributes = {"initial_norm": float(norm), "probes": settings.probes}
    return labelled(VARIABLES["radii"], values, coordinates, attributes)


def work(case: Case, settings: Settings) -> Work:
    """Count the spectra at optima, and random points at all distances."""
    dim, steps = case.parameters, settings.steps
    basis = min(settings.top, dim) + steps / 2  # on average
    one = hessian(case, settings.top, 0) + Work(
        {
            Product(case.model): settings.samples * steps,
            MultiplyAdd(): settings.samples * steps * basis * dim * 2,
        }
    )
    points = len(settings.radii) * settings.points
    around = evaluations(case.model, points) + Work(
        {Product(case.model): points * (settings.probes + 1), Trace(case.model, 0): points}
    )
    return times(min(settings.seeds, case.seeds), one) + around


def claims() -> Iterator[Claim]:
    """Claim nothing of the spectrum alone; `analysis.fitted_wedges` compares its short directions with wedges."""
    return iter(())
