"""Scales: how fast the loss grows with the distance from an optimum, and how unlike its sides are (docs/science.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from scipy.interpolate import CubicSpline
from torch import Tensor

from wedgescape.landscapes.base import Batch, Landscape
from wedgescape.landscapes.operations import Case, Step, Work, evaluations, hessian, times
from wedgescape.landscapes.spans import random_directions, unit
from wedgescape.measurements.profiles import loss_thresholds, profile
from wedgescape.measurements.tunnels import crossings
from wedgescape.numerics.eigenpairs import hessian_eigenpairs
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, Fraction, PositiveNumber, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """How fast the loss grows with the distance from an optimum, and how unlike its two sides are."""

    seeds: Count = key(12, "Number of optima to measure (the first N seeds).", smoke=3)
    random: Count = key(4, "Random directions per optimum.", smoke=1)
    minibatches: int = key(
        4, "Directions of gradients of minibatches of `training.batch_size` per optimum.", ge=0, smoke=1
    )
    hessian_top: int = key(1, "Hessian directions of the largest eigenvalues.", ge=0)
    reach: PositiveNumber = key(2.0, "Largest distance from the optimum, in units of its norm.")
    octaves: int = key(
        13, "How often that distance is halved: two distances per octave are looked at, on either side.", ge=3, smoke=9
    )
    loss_fraction: Fraction = key(
        0.25,
        "A direction ends where the loss, averaged over its two sides, has risen by this fraction of the way from the "
        "optimum's to chance, ln of the number of classes.",
    )


STEP = math.log(2) / 2  # between the logarithms of neighbouring distances
NODES = 32  # of Gauss and Legendre's rule
RESOLVED = 1e-6  # of the way to chance: below, rounding of float32 losses would pass for growth

# What a kind of direction is called.
KINDS = {
    "random": "random",
    "optimum": "towards another optimum, along the sphere",
    "minibatch": "gradient of a minibatch",
    "gradient": "gradient",
    "hessian_top": "top Hessian",
}
OF_DIRECTIONS = ("direction", "seed", "distance")
VARIABLES = {
    "even": Variable(OF_DIRECTIONS, "rise of the training loss, averaged over the two sides of the optimum", "nat"),
    "odd": Variable(OF_DIRECTIONS, "half of the difference of the training loss between the two sides", "nat"),
    "length": Variable(
        OF_DIRECTIONS[:2],
        "distance at which the rise averaged over both sides reaches the fraction of the way to chance; nan where it "
        "does not",
        "1",
    ),
    "train_loss": Variable(("seed",), "training loss at the optimum", "nat"),
    "way": Variable(("seed",), "from the training loss at the optimum to chance", "nat"),
    "radius": Variable(("seed",), "Euclidean norm of the optimum", "weights"),
}


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure the training loss on both sides of an optimum, on straight lines, against the distance (our definition).

    Along a unit vector u, with s in units of the optimum's norm r and L* the optimum's loss, the two sides split into

        even(s) = [L(theta + s r u) + L(theta - s r u)] / 2 - L*,    odd(s) = [L(theta + s r u) - L(theta - s r u)] / 2.

    From these follow the scale exponent p(s) = d log even / d log s (`exponents`), the asymmetry A(s) = odd / even
    (`asymmetries`) and how well a parabola fits (`parabola_share`). The even part has no slope at the optimum, so a
    parabola has p = 2 also where training stopped short of the minimum; log (L - L*) of one side would have p near 1.

    Directions: isotropic random ones; along the sphere of the optimum's radius towards the next seed's optimum (u is
    that way's part orthogonal to theta, since its radial part alone makes the two sides unlike); the gradient, and
    those of minibatches; top eigenvectors of the Hessian. Scale exponents: Ma, Kunin, Wu & Ying (2022). Parabolas on
    lines along minibatch gradients: Mutschler & Zell (2020, 2021), there during training, here at its end. Asymmetry:
    He, Huang & Yuan (2019).

    Args:
        optima: of one setting. A landscape that is no mean over examples (the toy wedges) has no minibatches, and one
            without classes has no way to chance: there the way is 1. A direction that does not exist, such as the
            gradient on a wedge, is nan.
        settings: of the measurement.

    Returns:
        A dataset over (direction, seed, distance), with `kind` of each direction.
    """
    first = optima.first(settings.seeds)
    sound = first.sound()
    landscape, points = sound.landscape, sound.points
    radius, losses = points.norm(dim=1), landscape.losses(points)
    distances = settings.reach * torch.exp(STEP * torch.arange(-2 * settings.octaves, 1, dtype=torch.float64))
    found = _directions(sound, settings)
    even, odd = [], []
    for number, point in enumerate(points):
        ways = torch.stack([one[number] for one in found.values()])
        steps = torch.cat([-distances.flip(0), distances]) * float(radius[number])
        is_there = ways.isfinite().all(1, keepdim=True)  # one that is not would spoil the others' sums
        along = profile(landscape, point, ways.where(is_there, 0.0), steps)["loss"]
        before, after = along.where(is_there, torch.nan).cpu().double().chunk(2, 1)
        before = before.flip(1)
        even.append((after + before) / 2 - float(losses[number]))
        odd.append((after - before) / 2)
    way = (loss_thresholds(losses, optima.chance_loss, 1.0) - losses).cpu().double()
    even, odd = torch.stack(even, 1), torch.stack(odd, 1)
    values = {
        "even": even,
        "odd": odd,
        "length": lengths(distances.numpy(), even.numpy(), (settings.loss_fraction * way).numpy()),
        "train_loss": losses.cpu(),
        "way": way,
        "radius": radius.cpu(),
    }
    coordinates = {
        "direction": list(found),
        "kind": ("direction", [name.rpartition("_")[0] for name in found]),
        "seed": sound.seeds,
        "distance": described(("distance",), distances, "distance from the optimum over its norm", "1"),
    }
    return first.flagged(labelled(VARIABLES, values, coordinates, {"loss_fraction": settings.loss_fraction}))


def _directions(optima: Optima, settings: Settings) -> dict[str, Tensor]:
    """Return kind and number of each direction -> unit vectors (K, P)."""
    landscape, points = optima.landscape, optima.points
    drawn = [random_directions(settings.random, landscape.dim, "scales", seed) for seed in optima.seeds]
    found = {"random": torch.stack(drawn, 1).to(points)}
    if len(optima) > 1:
        normal, to = unit(points), points.roll(-1, 0)
        found["optimum"] = unit(to - (to * normal).sum(1, keepdim=True) * normal)[None]
    if landscape.examples and settings.minibatches:
        size = min(optima.training["training"]["batch_size"], landscape.examples)
        found["minibatch"] = unit(minibatch_gradients(landscape, points, optima.seeds, settings.minibatches, size))
    found["gradient"] = unit(landscape.gradients(points))[None]
    top = min(settings.hessian_top, landscape.dim)
    if top:
        spectra = [hessian_eigenpairs(landscape, point, top, 0).top_vectors for point in points]
        found["hessian_top"] = torch.stack(spectra, 1).to(points)
    return {f"{kind}_{number + 1}": way for kind, ways in found.items() for number, way in enumerate(ways)}


def minibatch_gradients(landscape: Landscape, points: Tensor, seeds, count: int, size: int) -> Tensor:
    """Return the gradients (count, K, P) of minibatches at points (K, P), without dropout, each seed's own draws."""
    found = []
    for number in range(count):
        streams = [stream("minibatches of scales", seed, number) for seed in seeds]
        chosen = np.stack([draw.choice(landscape.examples, size, replace=False) for draw in streams])
        batch = Batch(torch.from_numpy(chosen).to(points.device), streams, torch.zeros(len(points)))
        found.append(landscape.gradients(points, batch))
    return torch.stack(found)


# What follows from the two parts


def lengths(distances: np.ndarray, even: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """Return the distances (direction, seed) at which even parts first reach a rise; nan where they do not.

    Args:
        distances: (T,), rising.
        even: (direction, seed, T).
        rise: (seed,), nats.
    """
    edge = np.broadcast_to(-np.log(rise), even.shape[:2])
    growing = -np.log(np.maximum(even, np.finfo(float).tiny))
    found = np.exp(crossings(np.log(distances), growing, edge))
    is_reached = (even >= rise[:, None]).any(-1) & ~(growing[..., 0] < edge)
    return np.where(is_reached, found, np.nan)


def exponents(store: xr.Dataset) -> xr.DataArray:
    """Return the scale exponents p = d log even / d log distance (direction, seed, distance), by central differences.

    Over an octave, from half an octave below to half an octave above: exact for powers. nan at both ends, and where the
    even part is below `RESOLVED` of the way to chance or not positive.
    """
    even = store["even"].transpose(*OF_DIRECTIONS)
    logs = np.log(even.where(even > RESOLVED * store["way"]))
    return (logs.shift(distance=-1) - logs.shift(distance=1)) / (2 * STEP)


def asymmetries(store: xr.Dataset) -> xr.DataArray:
    """Return A = [L(+s) - L(-s)] / [L(+s) + L(-s) - 2 L*] over (direction, seed, distance); nan as `exponents`.

    1 where the loss rises ahead alone, -1 where it rises behind alone; beyond where one side lies below the optimum.
    """
    even = store["even"].transpose(*OF_DIRECTIONS)
    return store["odd"] / even.where(even > RESOLVED * store["way"])


def parabola_share(store: xr.Dataset) -> xr.DataArray:
    """Return how much of what a straight line leaves of L on [-s, s] a parabola explains (direction, seed, distance).

    Least squares with uniform weight on the interval, on cubic splines through the distances looked at. It is R^2 of a
    parabola where there is no slope. R^2 itself says little on short pieces, where any smooth loss is a line already.
    |x| has 0.94, |x|^3 0.97 and x^4 0.92, so that a high share alone does not make a parabola. nan as `exponents`.
    """
    x = np.concatenate([[0.0], store["distance"].values])
    template = store["even"].transpose(*OF_DIRECTIONS)
    parts = np.stack([template.values, store["odd"].transpose(*OF_DIRECTIONS).values])
    spline = CubicSpline(x, np.pad(np.nan_to_num(parts), [(0, 0)] * 3 + [(1, 0)]), axis=-1)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    s, weights = (1 + nodes) / 2, weights / 2
    square, found = s**2 - 1 / 3, np.full(template.shape, np.nan)
    for place, distance in enumerate(x[1:]):
        even, odd = spline(distance * s)
        even = even - (even @ weights)[..., None]
        odd = odd - 3 * ((odd * s) @ weights)[..., None] * s  # without the line
        with np.errstate(divide="ignore", invalid="ignore"):
            found[..., place] = ((even * square) @ weights) ** 2 / (4 / 45) / ((even**2 + odd**2) @ weights)
    return template.copy(data=found).where(template > RESOLVED * store["way"])


def read_at(values: xr.DataArray, places: xr.DataArray) -> xr.DataArray:
    """Return values (direction, seed, distance) at places (direction, seed), linear in the logarithm of the distance.

    nan where a neighbour is nan or the place lies beyond the distances looked at.
    """
    values = values.transpose(*OF_DIRECTIONS)
    one = values.isel(distance=0, drop=True)
    places = np.log(places.broadcast_like(one).transpose(*one.dims).values)
    logs, found = np.log(values["distance"].values), np.full(one.shape, np.nan)
    for index in np.ndindex(one.shape):
        found[index] = np.interp(places[index], logs, values.values[index], np.nan, np.nan)
    return one.copy(data=found)


def of_kind(values: xr.DataArray, kind: str) -> xr.DataArray:
    """Return the mean over the directions of a kind: (seed,)."""
    return values.isel(direction=(values["kind"] == kind).values).mean("direction", skipna=False)


def work(case: Case, settings: Settings) -> Work:
    """Count the losses along all directions, the gradients, and the tops of the spectra."""
    count = min(settings.seeds, case.seeds)
    directions = settings.random + settings.minibatches + settings.hessian_top + 1 + (count > 1)
    batch = case.study.training(case.setting)["training"]["batch_size"]
    total = evaluations(case.model, count * (directions * 2 * (2 * settings.octaves + 1) + 1), ["train"])
    total += Work({Step(case.model, count, None): 1, Step(case.model, count, batch): settings.minibatches})
    return total + (times(count, hessian(case, settings.hessian_top, 0)) if settings.hessian_top else Work())


PARTS = (0.5, 0.25, 1.0)  # of a direction's length, at which it is looked at; the first is registered
BOTTOM = 1e-4  # of the way to chance: a rise near the bottom
CLAIMS = (
    "scale_exponent",
    "scale_change",
    "scale_asymmetry",
    "scale_parabola",
)


def claims(scales: AtBase, tunnels: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate scale exponents, their change over scales, asymmetry and the fit of parabolas, per seed.

    At half of each direction's own length; for random ones at half of the tunnel's angular width phi, that is at the
    distance tan(phi / 2) on the straight line. Seeds of which one direction does not reach its length have no value.
    """
    lost, own = left_out(scales), scales["length"]
    kept = scales.isel(seed=fit(scales).values)
    grown, sides, fits = exponents(kept), asymmetries(kept), parabola_share(kept)
    own = own.sel(seed=kept["seed"])
    half_width = np.tan(tunnels["width_score"].mean("direction").reindex(seed=kept["seed"].values) / 2)
    at_rise = xr.zeros_like(own) + lengths(kept["distance"].values, _even(kept), (BOTTOM * kept["way"]).values)
    for kind in [kind for kind in KINDS if kind in kept["kind"].values]:
        ways = {f"{part:g} of its length": intervals.mean(_at(grown, part * own, kind) - 2) for part in PARTS}
        name = next(iter(ways))
        if kind == "random":
            name = "half of the tunnel's angular width"
            ways[name] = intervals.mean(_at(grown, half_width, kind) - 2)
        found, quantity = ways.pop(name), "scale exponent minus 2"
        yield Claim("scale_exponent", quantity, found, {"kind": kind}, lost, ways, "a parabola has 0", name)
    change = _at(grown, half_width, "random") - _at(grown, at_rise, "random")
    quantity = f"scale exponent at half of the tunnel's angular width, minus where the loss has risen by {BOTTOM:g}"
    yield Claim("scale_change", quantity, intervals.mean(change), {}, lost, {}, "any power of the distance has 0")
    for rule, values, kind, quantity in (
        ("scale_asymmetry", sides, "optimum", "asymmetry, 1 where the loss rises towards the other optimum alone"),
        ("scale_parabola", fits, "minibatch", "share of what a line leaves that a parabola explains"),
    ):
        if kind not in kept["kind"].values:
            continue
        ways = {f"{part:g} of its length": intervals.mean(_at(values, part * own, kind)) for part in PARTS}
        name = next(iter(ways))
        found = ways.pop(name)
        yield Claim(rule, quantity, found, {}, lost, ways, specification=name)


def _even(store: xr.Dataset) -> np.ndarray:
    return store["even"].transpose(*OF_DIRECTIONS).values


def _at(values: xr.DataArray, places: xr.DataArray, kind: str) -> np.ndarray:
    return of_kind(read_at(values, places), kind).values
