"""Curvature of the training loss at optima, at small and at large scale (docs/science.md, Curvature).

All of it is over the training loss without weight decay, also where the networks were trained with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Batch, Landscape
from wedgescape.landscapes.operations import Case, Product, Step, Trace, Work, evaluations, hessian, times
from wedgescape.landscapes.spans import gaussian, unit
from wedgescape.measurements.tunnels import (
    AS_TRAINED,
    BALANCED,
    MATCHED,
    Read,
    bisected,
    claim_of,
    coarse_angles,
    made_alone,
    rotate,
    tangents,
)
from wedgescape.numerics.counted import counted
from wedgescape.numerics.eigenpairs import Eigenpairs, hessian_eigenpairs
from wedgescape.numerics.intervals import Estimate, Intervals, ends_of
from wedgescape.numerics.judging import Claim, fit, in_order
from wedgescape.numerics.lanczos import hessian_moments
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import Variable, as_rows, labelled
from wedgescape.study.places import AlongMatchedSweeps, AlongSweeps, AtBase, BaseSetting
from wedgescape.study.sections import Count, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """Curvature of the training loss (without weight decay) at the optima of every setting.

    Each optimum costs about 4 times `top` (at least 20) plus `trace_samples` Hessian-vector products, each of which
    costs about three gradients.
    """

    seeds: Count = key(
        12,
        "Number of optima to measure per setting (the first N seeds).",
        smoke=3,
    )
    top: Count = key(10, "Number of the largest Hessian eigenvalues; at most all there are.", smoke=2)
    trace_samples: int = key(
        8, "Random probes for the Frobenius norm, and for the trace where it is not exact.", ge=2, smoke=4
    )
    angle: float = key(
        30.0,
        "Angle of the large-scale curvature, to either side of the optimum, in degrees.",
        gt=0,
        le=90,
    )
    directions: Count = key(
        16,
        "Random directions of the large-scale curvature; the first of those of `tunnels`.",
        smoke=2,
    )
    gradients: Count = key(
        32,
        "Minibatches of `training.batch_size` whose gradients are compared with the top eigenspace.",
        smoke=2,
    )


GRADIENTS_AT_ONCE = 32
MINUTES = 120

# What a table and a figure hold of each optimum.
STATISTICS = {
    "top_eigenvalue": ("largest Hessian eigenvalue", "nat/weight^2"),
    "trace": ("trace of the Hessian", "nat/weight^2"),
    "frobenius": ("Frobenius norm of the Hessian", "nat/weight^2"),
    "small_scale": ("second derivative along random tangents, averaged over all of them", "nat/radian^2"),
    "large_scale": ("second difference of the loss at a finite angle, averaged over directions", "nat/radian^2"),
    "large_scale_error": ("second difference of the error rate, averaged over directions", "1/radian^2"),
    "gradient_energy": ("share of minibatch gradients' energy in the top eigenspace", "1"),
}


def large_scale_curvature(landscape: Landscape, optima: Tensor, directions: Tensor, angle: float) -> dict[str, Tensor]:
    """Measure the curvature of the training loss at a finite angle (our definition).

    [f(theta(phi)) + f(theta(-phi)) - 2 f(theta)] / phi^2, where theta(phi) rotates an optimum theta towards a random
    tangent u (`tunnels.rotate`): at a vanishing phi the second derivative of f along the sphere of radius |theta|.

    Args:
        landscape: in R^P.
        optima: (K, P).
        directions: (K, U, P), unit vectors orthogonal to the optima (`tunnels.tangents`).
        angle: phi, radians.

    Returns:
        (K, U), for each f that the landscape evaluates: `loss`, in nats / radian^2; of a classifier, `score` too.
    """
    count, rays = directions.shape[:2]
    starts, ways = optima.repeat_interleave(rays, 0), directions.flatten(0, 1)
    at_rest = landscape.evaluate(optima)
    sides = [
        landscape.evaluate(rotate(starts, ways, starts.new_full((count * rays,), turn))) for turn in (angle, -angle)
    ]
    return {
        name: (sides[0][name] + sides[1][name]).reshape(count, rays).sub(2 * value[:, None]) / angle**2
        for name, value in at_rest.items()
    }


def small_scale_curvature(landscape: Landscape, optimum: Tensor, gradient: Tensor, trace: float) -> float:
    """Return what the large-scale curvature tends to at a vanishing angle, averaged over all tangents.

    r^2 (tr H - n^T H n) / (P - 1) - theta . grad L, with r = |theta| and n = theta / r; in nats / radian^2.

    Args:
        landscape: in R^P.
        optimum: (P,).
        gradient: (P,), of the training loss there.
        trace: of its Hessian there.
    """
    radial = unit(optimum)
    along = float(landscape.hvp(optimum, radial[None])[0].double() @ radial.double())
    square = float(optimum.double().square().sum())
    return square * (trace - along) / (len(optimum) - 1) - float(optimum.double() @ gradient.double())


def energy_in(vectors: Tensor, gradients: Tensor) -> Tensor:
    """Return |V g|^2 / |g|^2 of gradients (n, P) in the span of orthonormal vectors (k, P): (n,), nan of a zero one.

    Of a random direction it would be k / P.
    """
    gradients = gradients.double()
    return (gradients @ vectors.to(gradients).T).square().sum(1) / gradients.square().sum(1)


def gradient_energy(
    landscape: Landscape, point: Tensor, vectors: Tensor, seed: int, count: int, batch_size: int
) -> Tensor:
    """Return the energy (count,) of minibatch gradients at a point in the span of vectors (k, P).

    Minibatches are drawn without replacement, each from its own stream, and without dropout.
    """
    found = []
    for some in torch.arange(count).split(GRADIENTS_AT_ONCE):
        streams = [stream("gradient energy", seed, int(number)) for number in some]
        size = min(batch_size, landscape.examples)
        chosen = np.stack([draw.choice(landscape.examples, size, replace=False) for draw in streams])
        batch = Batch(torch.from_numpy(chosen).to(point.device), streams, torch.zeros(len(some)))
        found.append(energy_in(vectors, landscape.gradients(point.expand(len(some), -1), batch)))
    return torch.cat(found).cpu()


VARIABLES = {
    "eigenvalue": Variable(
        ("seed", "rank"), "largest eigenvalues of the Hessian of the training loss without weight decay", "nat/weight^2"
    ),
    "residual": Variable(("seed", "rank"), "|H v - lambda v| of each eigenpair", "nat/weight^2"),
    "trace": Variable(("seed",), "trace of the Hessian", "nat/weight^2"),
    "trace_error": Variable(("seed",), "standard error of the trace; 0 where it is exact", "nat/weight^2"),
    "frobenius": Variable(("seed",), "Frobenius norm of the Hessian", "nat/weight^2"),
    "frobenius_error": Variable(("seed",), "standard error of the Frobenius norm", "nat/weight^2"),
    "small_scale": Variable(
        ("seed",), "second derivative of the loss by the angle, averaged over all tangents", "nat/radian^2"
    ),
    "large_scale": Variable(
        ("seed", "direction"),
        "second difference of the loss at the attribute angle along random tangents",
        "nat/radian^2",
    ),
    "large_scale_error": Variable(("seed", "direction"), "the same second difference of the error rate", "1/radian^2"),
    "gradient_energy": Variable(("seed",), "mean share of minibatch gradients' energy in the top eigenspace", "1"),
    "full_gradient_energy": Variable(("seed",), "the same share of the full gradient", "1"),
    "gradient_norm": Variable(("seed",), "Euclidean norm of the full gradient", "nat/weight"),
    "radius": Variable(("seed",), "Euclidean norm of the optimum", "weights"),
    "train_loss": Variable(("seed",), "mean cross-entropy on the training split", "nat"),
    "train_error": Variable(("seed",), "share of the training split that is misclassified", "1"),
    "test_loss": Variable(("seed",), "mean cross-entropy on the test split", "nat"),
    "test_error": Variable(("seed",), "share of the test split that is misclassified", "1"),
}


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure the curvature of the training loss, without weight decay, at optima.

    Args:
        optima: of one setting, whose landscape also evaluates score and draws minibatches. Each seed draws its own
            probes; its rays are the first of those of its tunnels.
        settings: of the measurement.

    Returns:
        A dataset over (seed,), (seed, rank) and (seed, direction).
    """
    optima = optima.first(settings.seeds)
    landscape, points = optima.landscape, optima.points
    dim = points.shape[1]
    batch_size = optima.training["training"]["batch_size"]
    top, phi = min(settings.top, dim), math.radians(settings.angle)
    sizes = {"seed": len(optima), "rank": top, "direction": settings.directions}
    rows = {name: np.full([sizes[dim] for dim in one.dims], np.nan) for name, one in VARIABLES.items()}
    for k in counted(np.flatnonzero(~optima.diverged & points.isfinite().all(1).cpu().numpy()), "optimum"):
        seed, optimum = optima.seeds[k], points[k]
        pairs = hessian_eigenpairs(landscape, optimum, top, 0)
        found = _of_one(landscape, optimum, seed, pairs, settings, batch_size)
        rays = tangents(optimum[None], settings.directions, [seed])
        turned = large_scale_curvature(landscape, optimum[None], rays, phi)
        found |= {"large_scale": turned["loss"][0].cpu()}
        found |= {"large_scale_error": -turned["score"][0].cpu()} if "score" in turned else {}
        for split in ("train", "test"):
            seen = landscape.evaluate(optimum[None], split)
            found[f"{split}_loss"] = float(seen["loss"])
            found[f"{split}_error"] = 1 - float(seen["score"]) if "score" in seen else np.nan
        for name, value in found.items():
            rows[name][k] = value
    coordinates = {"seed": optima.seeds, "rank": range(1, top + 1), "direction": range(settings.directions)}
    attributes = {
        "angle": phi,
        "parameters": dim,
        "batch_size": batch_size,
        "random_energy": top / dim,
        "directions": "tangents(optima, directions, seeds) regenerates the rays",
    }
    return optima.flagged(labelled(VARIABLES, rows, coordinates, attributes))


def _of_one(
    landscape: Landscape, optimum: Tensor, seed: int, pairs: Eigenpairs, settings: Settings, batch_size: int
) -> dict:
    probes = gaussian(settings.trace_samples, len(optimum), "trace probes", seed).to(optimum)
    moments = hessian_moments(landscape, optimum, probes, pairs)
    gradient = landscape.gradients(optimum[None])[0]
    energy = gradient_energy(landscape, optimum, pairs.top_vectors, seed, settings.gradients, batch_size)
    return {
        "eigenvalue": pairs.top,
        "residual": pairs.top_residuals,
        **vars(moments),
        "small_scale": small_scale_curvature(landscape, optimum, gradient, moments.trace),
        "gradient_energy": float(energy.nanmean()),
        "full_gradient_energy": float(energy_in(pairs.top_vectors, gradient[None])[0]),
        "gradient_norm": float(gradient.norm()),
        "radius": float(optimum.norm()),
    }


def work(case: Case, settings: Settings) -> Work:
    """Count the top of the spectrum, probes, gradients and turned points at each optimum."""
    model, batch = case.model, case.study.training(case.setting)["training"]["batch_size"]
    one = hessian(case, settings.top, 0) + Work({Product(model): settings.trace_samples + 3, Trace(model, 0): 1})
    one += evaluations(model, 2 * settings.directions + 2, ["train"]) + evaluations(model, 1, ["test"])
    one += Work({Step(model, 1, None): 1, Step(model, settings.gradients, batch): 1})
    return times(min(settings.seeds, case.seeds), one)


# The paper says that learning rate, L2 and width act alike on the large-scale curvature. The rest we ask beside, and of
# the error rate as well, since a network that is less confident is curved otherwise in its loss.


ALL = "all"  # sweeps together
SWEEPS = ("learning_rate", "weight_decay", "width", "dropout", "batch_size")
LARGE_SCALE = {"curvature": "large_scale", "roughness": "large_scale_error"}
ANGLES = (30.0, 20.0, 40.0)  # degrees, at which curvature along rays is taken: of those where every ray is looked at
NAMES = {
    "curvature": "the large-scale curvature of the loss",
    "roughness": "the large-scale curvature of the error rate",
}
CLAIMS = (
    "curvature_learning_rate",
    "curvature_weight_decay",
    "curvature_width",
    "curvature_dropout",
    "curvature_batch_size",
    "roughness_learning_rate",
    "roughness_weight_decay",
    "roughness_width",
    "roughness_dropout",
    "roughness_batch_size",
)


def claims(
    curvature: AlongSweeps,
    tunnels: AlongSweeps,
    matched_tunnels: AlongMatchedSweeps,
    balanced: AlongSweeps,
    dimension: AtBase,
    base: BaseSetting,
    intervals: Intervals,
) -> Iterator[Claim]:
    """Estimate by how much the large-scale curvature of loss and of error rate changes over each sweep of numbers.

    The curvature of the loss is positive and skewed, so its change is in decades; that of the error rate may be zero.
    The other ways to measure it go by the tunnels' rays, as does what dimension alone makes of it (`along_rays`).
    """
    for name, quantity in LARGE_SCALE.items():
        for sweep, store in in_order(curvature, SWEEPS):
            angle, unit = math.degrees(store.attrs["angle"]), "1/radian^2" if name == "roughness" else "decades"
            rays = tunnels[sweep].assign({quantity: store[quantity].mean("direction")})
            ways: dict[str, Read] = {f"{angle:.3g}°, both sides": partial(of_directions, quantity=quantity)}
            ways = {} if sweep == "width" else ways  # there it is compared with rays
            ways |= {f"{one:.3g}°": partial(along_rays, angle=math.radians(one), quantity=quantity) for one in ANGLES}
            stores = {AS_TRAINED: rays, BALANCED: balanced[sweep]}
            stores |= {MATCHED: matched_tunnels[sweep]} if sweep in matched_tunnels else {}
            yield claim_of(f"{name}_{sweep}", sweep, (NAMES[name], unit), ways, stores, dimension, base, intervals)


def of_directions(store: xr.Dataset, quantity: str) -> xr.DataArray:
    """Return large-scale curvatures (…, seed) as they were measured; of the loss, log10."""
    values = store[quantity] if quantity in store else xr.full_like(store["radius"], np.nan)
    return np.log10(values.where(values > 0)) if quantity == "large_scale" else values


def along_rays(store: xr.Dataset, angle: float, quantity: str) -> xr.DataArray:
    """Return large-scale curvatures (…, seed) from rays to one side: 2 [f(theta(phi)) - f(theta)] / phi^2.

    A random direction is as likely as its opposite, so that the mean over directions is the same as to both sides.

    Args:
        store: with `loss` and `score` along rays over `angle`.
        angle: phi, radians; the nearest of the tunnels' coarse angles is taken.
        quantity: `large_scale` of the loss, of which log10 is returned; or `large_scale_error`, of the error rate.
    """
    along = store["loss"] if quantity == "large_scale" else 1 - store["score"]
    angles = coarse_angles().numpy()
    angle = float(angles[1:][np.abs(angles[1:] - angle).argmin()])
    turned, at_rest = along.sel(angle=angle, method="nearest", drop=True), along.isel(angle=0, drop=True)
    values = (2 * (turned - at_rest) / angle**2).mean("direction")
    return np.log10(values.where(values > 0)) if quantity == "large_scale" else values


def statistics_of(store: xr.Dataset) -> xr.Dataset:
    """Return `STATISTICS` of each optimum of a store of `measure`, averaged over directions, and `diverged`."""
    means = store[["large_scale", "large_scale_error"]].mean("direction", skipna=False)
    top = store["eigenvalue"].isel(rank=0, drop=True).rename("top_eigenvalue")
    others = [name for name in STATISTICS if name not in (*means, "top_eigenvalue")]
    flags = [name for name in ("diverged", "unfit") if name in store]
    return xr.merge([means, top, store[[*others, *flags]]], compat="override")


def tidy(
    sweep: xr.Dataset, name: str, balanced: xr.Dataset | None = None, dimension: xr.Dataset | None = None
) -> pd.DataFrame:
    """Return one row per (value, seed) of a sweep: its name, its value, `STATISTICS`, controls, and `fit`.

    The controls (`CONTROLLED`) are large-scale curvatures along rays (`along_rays`): of balanced networks, and of the
    base setting's networks where more weights alone make them as large as those of a width.

    Args:
        sweep: stores of `measure` over `value`.
        name: of the sweep.
        balanced: the same of `measurements.balanced`.
        dimension: of `measurements.dimension`.
    """
    columns = statistics_of(sweep).assign(fit=fit(sweep))
    for quantity in LARGE_SCALE.values():
        read = partial(along_rays, angle=sweep.attrs["angle"], quantity=quantity)
        if balanced is not None:
            columns[f"{quantity}_balanced"] = _plain(read(balanced), quantity)
        if dimension is not None:
            alone = made_alone(dimension, read, sweep if name == "width" else sweep.isel(value=[]))
            for control in alone["control"].values.tolist():
                columns[f"{quantity}_{control}"] = _plain(alone.sel(control=control, drop=True), quantity)
    more = [name for name in CONTROLLED if name in columns]
    rows = as_rows(columns, ("value", "seed"), (*STATISTICS, *more, "fit"))
    rows.insert(0, "sweep", name)
    return rows


def _plain(values: xr.DataArray, quantity: str) -> xr.DataArray:
    return 10**values if quantity == "large_scale" else values


CONTROLLED = tuple(
    f"{quantity}_{control}" for quantity in LARGE_SCALE.values() for control in ("balanced", "idle", "duplicated")
)


def paired(
    curvature: dict[str, xr.Dataset], tunnels: dict[str, xr.Dataset], read: Read = bisected
) -> dict[str, dict[str, np.ndarray]]:
    """Return each statistic, and the angular width of the tunnel around the same optimum as `width`, by sweep.

    The first directions of the large-scale curvature are the tunnels' rays. Where there are others, it goes by those
    alone: what is peculiar to a ray would be in both measurements.

    Args:
        curvature: sweep -> stores of `measure`, joined over `value`.
        tunnels: the same of `tunnels.measure`; seeds that one of the two lacks are left out.
        read: how the angular width follows from a store.

    Returns:
        Sweep -> name -> (value, seed); nan where a run is no optimum.
    """
    found = {}
    for name, store in curvature.items():
        shared = tunnels[name].sizes["direction"]
        if store.sizes["direction"] > shared:
            store = store.isel(direction=slice(shared, None))
        width = read(tunnels[name]).where(fit(tunnels[name]))
        statistics, width = xr.align(statistics_of(store).where(fit(store)), width, join="inner", exclude=["value"])
        parts = {one: statistics[one] for one in STATISTICS} | {"width": width}
        found[name] = {one: part.transpose("value", "seed").values for one, part in parts.items()}
    return found


def within_sweeps(data: dict[str, dict[str, np.ndarray]], statistic: str, intervals: Intervals) -> Estimate:
    """Return the mean over seeds and sweeps of the rank correlation with the angular width over a sweep's settings.

    Args:
        data: of `paired`.
        statistic: one of `STATISTICS`.
        intervals: how they are computed.
    """
    x, y = (np.concatenate([part[name] for part in data.values()]) for name in (statistic, "width"))
    ends = np.cumsum([len(part["width"]) for part in data.values()])
    strata = [range(end - len(part["width"]), end) for end, part in zip(ends, data.values(), strict=True)]
    strata = [stratum for stratum in strata if len(stratum) > 2]
    return intervals.correlation(x, y, strata) if strata else intervals.mean([])


def correlations(
    curvature: dict[str, xr.Dataset], tunnels: dict[str, xr.Dataset], intervals: Intervals
) -> pd.DataFrame:
    """Correlate each statistic with the angular width of the tunnel around the same optimum, within sweeps.

    Args:
        curvature: sweep -> stores of `measure`, joined over `value`.
        tunnels: the same of `tunnels.measure`.
        intervals: how they are computed.

    Returns:
        One row per (sweep, statistic), and one per statistic for all sweeps together (`ALL`): the mean over seeds of
        Spearman's rho over the settings, with its interval. Of sweeps with fewer than three values there is none.
    """
    data, rows = paired(curvature, tunnels), []
    for name, part in {ALL: data, **{sweep: {sweep: one} for sweep, one in data.items()}}.items():
        for statistic in STATISTICS:
            found = within_sweeps(part, statistic, intervals)
            rows.append({"settings": name, "statistic": statistic, **ends_of(found), "count": found.units})
    return pd.DataFrame(rows)
