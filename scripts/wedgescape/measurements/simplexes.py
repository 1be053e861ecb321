"""Bezier simplexes: smooth surfaces of low loss through sets of optima (docs/science.md, Connectors)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import SPLITS, Landscape
from wedgescape.landscapes.operations import Case, Step, Work, evaluations
from wedgescape.landscapes.simplexes import REGIONS, SimplexLandscape, draw_positions
from wedgescape.landscapes.spans import random_directions
from wedgescape.measurements.connectors import draw_sets, of_at_most, outsiders
from wedgescape.measurements.similarity import disagreement
from wedgescape.numerics.intervals import Estimate, Intervals
from wedgescape.numerics.judging import Claim, only_fit
from wedgescape.numerics.randomness import stream
from wedgescape.numerics.scores import mixture
from wedgescape.stores.zarr_stores import Variable, as_rows, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, Fraction, PositiveNumber, PositiveNumbers, Section, Sizes, key
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import AllOptima, Optima


class Settings(Section):
    """Bezier simplexes of low loss through sets of optima, and how far they have to leave the linear hull."""

    sizes: Sizes = key(
        [2, 3, 5, 11],
        "Numbers m of optima, at most `base_seeds`. Of the default, those above are dropped.",
        smoke=[2, 3],
        at_most="base_seeds",
    )
    sets: Count = key(4, "Number of random sets of optima per size; no two sets share an optimum.", smoke=1)
    bounds: PositiveNumbers = key(
        [0.1, 0.2, 0.4, 1.2],
        "Longest displacement of a control point from the middle of its two optima, as a share of their distance. Each "
        "bound has a simplex of its own. One above 1 lets the verdict be `contradicted`.",
        smoke=[0.5],
    )
    steps: Count = key(100, "Steps of the descent that moves the control points.", smoke=10)
    learning_rate: PositiveNumber = key(0.007, "Learning rate of that descent (Adam); it falls to zero along a cosine.")
    batch_size: Count | None = key(64, "Examples per step; null takes all.")
    samples: Count = key(4, "Positions per region at which a step takes gradients.", smoke=1)
    points: Count = key(25, "Positions per region at which a simplex is judged; no step has seen them.", smoke=4)
    loss_fraction: Fraction = key(
        0.1, "A training loss is low if its excess over the optima's is below this share of the way to chance."
    )
    low_share: Fraction = key(0.95, "Share of the positions of a region that must be low for the region to be low.")


MINUTES = 120
KINDS = ("optima", "random", "initialisation")  # what the vertices are; the last two are nulls
LARGEST_NORM = 1.05  # of positions, over that of the longest optimum: a simplex stays in the optima's range
BYTES = 2**25  # of the control points that descend together, at least one simplex
SHAPE_POSITIONS = 256  # uniform ones, from which volume and dimension are estimated
CHORDS, CHORD_POSITIONS = 3, 13  # straight lines in barycentric coordinates through the first set of each size
TRIANGLE = 12  # parts of each side of the grid on the first set of three

SETS, KIND = ("size", "set"), ("size", "set", "kind", "bound")
PLACED = (*KIND, "region", "split", "position")
VARIABLES = {
    "loss": Variable(
        PLACED, "mean cross-entropy at positions that no step has seen; bound 0 is the linear hull", "nat"
    ),
    "score": Variable(PLACED, "score at these positions", "1"),
    "norm": Variable((*KIND, "region"), "largest norm at these positions over that of the set's optima", "1"),
    "departure": Variable(
        KIND, "mean distance from the linear hull at uniform positions, over the optima's mean distance", "1"
    ),
    "displacement": Variable(KIND, "largest displacement of a control point, over its two optima's distance", "1"),
    "log_volume": Variable(KIND, "ln of the volume over that of the linear simplex", "1"),
    "dimension": Variable(KIND, "principal directions with 99 % of the variance of uniform positions", "1"),
    "hub_loss": Variable(
        (*SETS, "region", "split", "position"), "the same as loss with a further optimum as every control point", "nat"
    ),
    "hub_displacement": Variable(SETS, "largest displacement of its control points, over the optima's distance", "1"),
    "optimum_loss": Variable((*SETS, "split"), "mean cross-entropy, mean over the set's optima", "nat"),
    "threshold": Variable(SETS, "training loss below which a position is low", "nat"),
    "disagreement": Variable(
        (*SETS, "bound"), "share of test examples on which two of m uniform positions differ, mean over pairs", "1"
    ),
    "optima_disagreement": Variable(SETS, "the same between the optima", "1"),
    "ensemble_loss": Variable((*SETS, "bound"), "test cross-entropy of an ensemble of m uniform positions", "nat"),
    "optima_ensemble_loss": Variable(SETS, "the same of the optima", "nat"),
    "ensemble_gain": Variable((*SETS, "bound"), "members' mean test cross-entropy minus the ensemble's", "nat"),
    "optima_ensemble_gain": Variable(SETS, "the same of the optima", "nat"),
    "members": Variable((*SETS, "member"), "the seeds of a set; -1 where there is none"),
    "chord_loss": Variable(
        ("size", "surface", "chord", "along"),
        "training loss along random chords of each size's first set: of the linear hull, and of the simplex with the "
        "smallest bound at which all regions are low (the largest, if there is none)",
        "nat",
    ),
    "triangle_loss": Variable(
        ("surface", "place"), "training loss over the first set of three, of the same two surfaces", "nat"
    ),
    "triangle_position": Variable(("place", "corner"), "barycentric coordinates of these places", "1"),
}


def measure(optima: AllOptima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure Bezier simplexes through disjoint random sets of m optima, at bounded displacement (our definition).

    The control point c_ij of two optima starts half-way between them, and a descent moves all control points to lower
    the training loss on the simplex. What is bounded is its way from there: |c_ij - (theta_i + theta_j) / 2| is at most
    rho |theta_i - theta_j|. So the whole simplex stays within rho (1 - 1/m) of the largest distance between its
    optima from its linear hull. Without a bound, low loss in the interior is evidence of nothing but free control
    points: over random vertices they find it too. How small the bound may be can be judged.

    A position is *low* where the training loss is below tau = L* + f (ln C - L*): L* is the optima's mean loss, ln C
    that of chance over C classes, f is `loss_fraction`. A region (`REGIONS`) is low where `low_share` of its random
    positions are. No step has seen these.

    Beside each simplex stand the linear hull (bound 0) and the hub: one further optimum as every control point, without
    descent or bound. At the largest m there are nulls: simplexes over random vertices of the optima's norm, and over
    the initialisations from which the optima were trained, with control points bounded by the optima's distances, at
    bounds below 1. Nulls are bad near their vertices by construction, so they are compared at uniform positions.

    Args:
        optima: of one setting, whose landscape also predicts and evaluates score.
        settings: of the measurement.

    Returns:
        Losses and accuracies over (size, set, kind, bound, region, split, position), of nulls for the training split
        alone; shapes, hubs, disagreement and ensembles. nan where there is no such set.

    Raises:
        InputError: if fewer runs are fit than the largest m.
    """
    settings = of_at_most(len(optima), settings)
    sound, sizes, bounds = optima.fit(at_least=max(settings.sizes)), settings.sizes, [0.0, *sorted(settings.bounds)]
    sides = {
        **{"size": len(sizes), "set": settings.sets, "kind": len(KINDS), "bound": len(bounds), "region": len(REGIONS)},
        **{"split": len(SPLITS), "position": settings.points, "member": max(sizes), "surface": 2},
        **{"chord": CHORDS, "along": CHORD_POSITIONS},
    }
    values = {}
    for name, variable in VARIABLES.items():
        if "place" not in variable.dims:
            shape = [sides[dim] for dim in variable.dims]
            values[name] = np.full(shape, -1) if name == "members" else np.full(shape, np.nan, np.float32)
    for row, size in enumerate(sizes):
        chosen = draw_sets(sound.seeds, size, settings.sets)
        for number, (seeds, other) in enumerate(zip(chosen, outsiders(chosen, sound.seeds), strict=True)):
            found, simplexes = measure_set(sound, seeds, other, number, settings)
            for name, value in found.items():
                values[name][(row, number, *[slice(side) for side in np.shape(value)])] = value
            if number == 0:
                values["chord_loss"][row] = _on_both(*simplexes, _chords(size)).unflatten(1, (CHORDS, -1))
                if size == 3:
                    places = triangle(TRIANGLE)
                    values |= {"triangle_loss": _on_both(*simplexes, places), "triangle_position": places}
    coordinates = {
        **{"size": sizes, "kind": list(KINDS), "bound": bounds, "region": list(REGIONS), "split": list(SPLITS)},
        **{"surface": ["hull", "simplex"], "along": np.linspace(0, 1, CHORD_POSITIONS)},
    }
    attributes = {"low_share": settings.low_share, "loss_fraction": settings.loss_fraction}
    return optima.flagged(labelled(VARIABLES, values, coordinates, attributes))


def measure_set(
    optima: Optima, seeds: Sequence[int], other: int | None, number: int, settings: Settings
) -> tuple[dict[str, np.ndarray], tuple[SimplexLandscape, Tensor]]:
    """Measure the simplexes through one set of optima, its nulls and its hub.

    Args:
        optima: that are fit.
        seeds: of the set.
        other: the seed of the hub; None where the set has all seeds.
        number: of the set, for random numbers.
        settings: of the measurement.

    Returns:
        What `VARIABLES` have over (size, set), for this set; and the simplex that is drawn, with its landscape: that of
        the smallest bound at which all regions are low, else of the largest.
    """
    landscape, by_seed, size = optima.landscape, optima.by_seed, len(seeds)
    corners = torch.stack([by_seed[seed] for seed in seeds])
    distances, longest = torch.pdist(corners), corners.norm(dim=1).max()
    losses = [landscape.losses(corners, split).mean().item() for split in SPLITS]
    threshold = losses[0] + settings.loss_fraction * (optima.chance_loss - losses[0])
    draw = stream("simplex positions", size, number)
    positions = {region: draw_positions(region, size, settings.points, draw) for region in REGIONS}
    uniform, members = (draw_positions("uniform", size, count, draw) for count in (SHAPE_POSITIONS, size))
    found = {
        "optimum_loss": losses,
        "threshold": threshold,
        "members": seeds,
        **{f"optima_{name}": value for name, value in _together(landscape, corners).items()},
    }
    shape = (len(KINDS), 1 + len(settings.bounds))
    over = {"loss": (len(REGIONS), len(SPLITS), settings.points), "norm": (len(REGIONS),)}
    over |= {"score": over["loss"], "departure": (), "displacement": (), "log_volume": (), "dimension": ()}
    found |= {name: np.full((*shape, *rest), np.nan) for name, rest in over.items()}
    found |= {name: np.full(shape[1], np.nan) for name in ("disagreement", "ensemble_loss", "ensemble_gain")}
    drawn, is_low = None, False
    for kind, vertices in _vertices(optima, corners, seeds, number, settings).items():
        bounds = [bound for bound in sorted(settings.bounds) if kind == "optima" or bound < 1]
        moved = _descended(landscape, vertices, bounds, distances, number, settings)
        for bound, (simplex, k, points) in zip([0.0, *bounds], moved, strict=True):
            column = [0.0, *sorted(settings.bounds)].index(bound)
            here = (KINDS.index(kind), column)
            seen = {split: {region: simplex.profile(points, k, places, split) for region, places in positions.items()}
                    for split in (SPLITS if kind == "optima" else SPLITS[:1])}  # fmt: skip
            for name in ("loss", "score"):
                for place, split in enumerate(seen):
                    found[name][(*here, slice(None), place)] = [one[name].cpu().numpy() for one in seen[split].values()]
            form = simplex.shape(points, k)
            found["norm"][here] = [form.norms(places).max() / longest.cpu() for places in positions.values()]
            found["departure"][here] = form.departures(uniform).mean() / distances.mean().cpu()
            found["displacement"][here] = (simplex.displacements(points)[k].norm(dim=1) / distances).max().cpu()
            found["log_volume"][here] = form.log_volume(uniform)
            found["dimension"][here] = form.effective_dimension(uniform)
            if kind == "optima":
                one = SimplexLandscape(landscape, simplex.vertices[k : k + 1])
                for name, value in _together(landscape, one.at(points[k : k + 1], members)[0]).items():
                    found[name][column] = value
                if not is_low:
                    drawn = one, points[k : k + 1].clone()
                    shares = (found["loss"][here][:, 0] < threshold).mean(-1)
                    is_low = bool((shares >= settings.low_share).all())
    if other is not None:
        hub = SimplexLandscape(landscape, corners[None])
        points = (by_seed[other] - hub.midpoints()).flatten(1)
        found["hub_loss"] = np.array([
            [hub.profile(points, 0, places, split)["loss"].cpu().numpy() for split in SPLITS]
            for places in positions.values()
        ])  # fmt: skip
        found["hub_displacement"] = (hub.displacements(points)[0].norm(dim=1) / distances).max().item()
    return found, drawn


def _vertices(optima: Optima, corners: Tensor, seeds: Sequence[int], number: int, settings: Settings):
    """Return what the simplexes of a set join: kind -> (m, P)."""
    found = {"optima": corners}
    if len(seeds) == max(settings.sizes):
        drawn = random_directions(*corners.shape, "simplex vertices", len(seeds), number).to(corners)
        at = {seed: place for place, seed in enumerate(optima.seeds)}
        found["random"] = drawn * corners.norm(dim=1, keepdim=True)
        if "theta_init" in optima.weights:  # unknown of networks that were trained elsewhere
            found["initialisation"] = optima.starts[[at[seed] for seed in seeds]]
    return found


def _descended(
    landscape: Landscape,
    vertices: Tensor,
    bounds: Sequence[float],
    distances: Tensor,
    number: int,
    settings: Settings,
) -> Iterator[tuple[SimplexLandscape, int, Tensor]]:
    """Yield the linear hull and the simplex of each bound: its landscape, its place in it, and the points (K, dim).

    All see the same minibatches and positions. As many descend together as fit into `BYTES`.
    """
    recipe = Recipe("adam", settings.learning_rate, batch_size=settings.batch_size, schedule="cosine")
    hull = SimplexLandscape(landscape, vertices[None])
    yield hull, 0, hull.hulls()
    together = max(1, BYTES // (4 * hull.dim))
    for first in range(0, len(bounds), together):
        some = torch.tensor(bounds[first : first + together]).to(distances)
        own = vertices.expand(len(some), -1, -1)
        simplex = SimplexLandscape(landscape, own, settings.samples, some[:, None] * distances)
        seeds = [(len(vertices) << 32) + number] * len(some)
        moved = descend(simplex, simplex.hulls(), recipe, settings.steps, seeds, bound=simplex.shorten)
        yield from ((simplex, k, moved.points) for k in range(len(some)))


def _together(landscape: Landscape, points: Tensor) -> dict[str, float]:
    """Return how points (K, P) differ on the test split, and what an ensemble of them gains."""
    predicted, rows = (
        landscape.predictions(points, "test").cpu().double(),
        torch.triu_indices(len(points), len(points), 1),
    )
    labels = landscape.splits["test"][1].cpu()

    def loss(probabilities: Tensor) -> float:
        right = probabilities[torch.arange(len(labels)), labels]
        return float(-right.clamp_min(torch.finfo(right.dtype).tiny).log().mean())

    together = loss(mixture(predicted))
    return {
        "disagreement": float(disagreement(predicted)[rows[0], rows[1]].mean()),
        "ensemble_loss": together,
        "ensemble_gain": float(np.mean([loss(one) for one in predicted])) - together,
    }


def _on_both(simplex: SimplexLandscape, points: Tensor, positions: Tensor) -> Tensor:
    """Return the training loss (2, T) at positions (T, m) of the linear hull and of a simplex."""
    surfaces = (simplex.hulls(), points)
    return torch.stack([simplex.profile(one, 0, positions)["loss"].cpu() for one in surfaces])


def _chords(size: int) -> Tensor:
    """Return positions (chords * T, m) on random chords: from face to face, through two uniform positions."""
    start, other = draw_positions("uniform", size, 2 * CHORDS, stream("chords", size)).unflatten(0, (2, CHORDS))
    way = other - start
    reach = start / way  # start + s way leaves the simplex where a coordinate reaches zero, at s = -reach
    ahead = torch.where(way < 0, -reach, torch.inf).amin(1)
    back = torch.where(way > 0, -reach, -torch.inf).amax(1)
    along = back[:, None] + (ahead - back)[:, None] * torch.linspace(0, 1, CHORD_POSITIONS, dtype=torch.float64)
    return (start[:, None] + along[..., None] * way[:, None]).clamp_min(0).flatten(0, 1)


def triangle(parts: int) -> Tensor:
    """Return the barycentric grid (T, 3) of a triangle whose sides have so many parts; T = (n + 1)(n + 2) / 2."""
    rows = [(i, j, parts - i - j) for i in range(parts + 1) for j in range(parts + 1 - i)]
    return torch.tensor(rows, dtype=torch.float64) / parts


def work(case: Case, settings: Settings) -> Work:
    """Count the descents of simplexes, and the losses on them, on their hubs and along what is drawn."""
    total, bounds, below = Work(), len(settings.bounds), sum(bound < 1 for bound in settings.bounds)
    at_once = len(REGIONS) * settings.points
    for size in settings.sizes:
        sets = min(settings.sets, case.all_seeds // size)
        nulls = (len(KINDS) - 1) * (size == max(settings.sizes))
        together = max(1, BYTES // (size * (size - 1) // 2 * case.parameters * 4))
        for count, times in ((bounds, 1), (below, nulls)):
            for first in range(0, count, together):
                moved = min(together, count - first)
                step = Step(case.model, moved * len(REGIONS) * settings.samples, settings.batch_size)
                total += Work({step: settings.steps * sets * times})
        total += evaluations(case.model, sets * (1 + bounds + nulls * (1 + below)) * at_once, ["train"])
        total += evaluations(case.model, sets * (1 + bounds) * (at_once + size), ["test"])
        total += evaluations(case.model, sets * size + (case.all_seeds > size) * sets * at_once)
        total += evaluations(case.model, sets * size, ["test"])
        drawn = 2 * CHORDS * CHORD_POSITIONS * bool(sets) + (size == 3) * (TRIANGLE + 1) * (TRIANGLE + 2)
        total += evaluations(case.model, drawn, ["train"])
    return total


# Verdicts


def low_shares(simplexes: xr.Dataset, fraction: float | None = None) -> xr.DataArray:
    """Return the share of positions (size, set, kind, bound, region) whose training loss is low.

    Args:
        simplexes: the store.
        fraction: of the way from the optima's loss to chance at which it is low; that of the settings by default.
    """
    optimum = simplexes["optimum_loss"].sel(split="train", drop=True)
    factor = 1.0 if fraction is None else fraction / simplexes.attrs["loss_fraction"]
    loss = simplexes["loss"].sel(split="train", drop=True)
    return (loss < optimum + factor * (simplexes["threshold"] - optimum)).mean("position")


def smallest_bound(shares: np.ndarray, bounds: np.ndarray, wanted: float, used: float) -> tuple[float, int]:
    """Return the smallest bound at which a share is at least what is wanted, interpolated linearly in ln bound.

    Args:
        shares: (B,), at each bound; nan counts as not reached.
        bounds: (B,), positive and rising.
        wanted: of the share.
        used: the largest displacement under the largest bound. Where the descent ended within the bound and the share
            is not reached, more steps might reach it; nothing is known beyond what was used.

    Returns:
        The bound, and whether it is one: 1 where the truth is above `used`, -1 where it is at most the smallest bound.
    """
    reached = np.flatnonzero(np.asarray(shares) >= wanted)
    if not len(reached):
        return min(float(used), float(bounds[-1])), 1
    first = int(reached[0])
    if first == 0:
        return float(bounds[0]), -1
    part = (wanted - shares[first - 1]) / (shares[first] - shares[first - 1])
    low, high = np.log(bounds[first - 1 : first + 1])
    return float(np.exp(low + part * (high - low))), 0


def smallest_bounds(
    simplexes: xr.Dataset, size: int, fraction: float | None = None, wanted: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest bound (set,) at which all regions are low and norms stay in the optima's range.

    Args:
        simplexes: the store.
        size: m.
        fraction: see `low_shares`.
        wanted: the share of positions that must be low; that of the settings by default.

    Returns:
        The bounds, nan where there is no such set or not all of it are optima, and which of them are bounds only
        (`smallest_bound`).
    """
    simplexes = simplexes.sel(size=size, kind="optima").isel(bound=slice(1, None)).sortby("bound")
    short = simplexes["norm"].max("region") <= LARGEST_NORM
    shares = low_shares(simplexes, fraction).min("region").where(short, 0.0).transpose("set", "bound").values
    used = simplexes["displacement"].isel(bound=-1).values
    wanted = simplexes.attrs["low_share"] if wanted is None else wanted
    values, sides = np.full(len(shares), np.nan), np.zeros(len(shares), int)
    for row in np.flatnonzero(only_fit(simplexes, simplexes["members"].values)):
        values[row], sides[row] = smallest_bound(shares[row], simplexes["bound"].values, wanted, used[row])
    return values, sides


def beside_null(simplexes: xr.Dataset, kind: str) -> xr.DataArray:
    """Return log10 of the median loss at uniform positions, through optima over through the vertices of a null.

    Over (set, bound), at the largest m and at the bounds below 1 except the hull's. The loss under one bound hardly
    depends on the number of steps, as the smallest bound at which a null is low does.
    """
    where = {"size": simplexes["size"].values.max(), "region": "uniform", "split": "train"}
    loss = np.log10(simplexes["loss"].sel(where, drop=True).median("position"))
    bounds = loss["bound"].values
    loss = loss.sel(bound=bounds[(bounds > 0) & (bounds < 1)])
    kept = only_fit(simplexes, simplexes["members"].sel(size=where["size"]).values)
    return (loss.sel(kind="optima") - loss.sel(kind=kind)).transpose("set", "bound").where(kept[:, None])


def inside(simplexes: xr.Dataset, size: int, name: str) -> np.ndarray:
    """Return by how much a quantity of the interior (set,) exceeds that of the optima.

    The interior is that of the simplex with the smallest bound, of those tried, at which all regions are low; nan where
    there is none.
    """
    simplexes = simplexes.sel(size=size).isel(bound=slice(1, None)).sortby("bound")  # without the linear hull
    shares = low_shares(simplexes).sel(kind="optima").min("region").transpose("set", "bound").values
    low = shares >= simplexes.attrs["low_share"]
    values = simplexes[name].transpose("set", "bound").values[np.arange(len(low)), low.argmax(1)]
    known = low.any(1) & only_fit(simplexes, simplexes["members"].values)
    return np.where(known, values, np.nan) - simplexes[f"optima_{name}"].values


FRACTIONS, LOW_SHARES = (0.05, 0.25), (0.9, 0.99)  # other thresholds of a low position, and of a low region
OF_CLASSES = True  # it compares predicted probabilities, or which labels are predicted

CLAIMS = ("simplex", "simplex_null", "simplex_disagreement", "simplex_ensemble")


def claims(simplexes: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate how near to the linear hull a low simplex is, also against the null, and what its interior is good for.

    Quantities about the interior are taken at each set's smallest bound, of those that were tried, at which all regions
    are low. Sets without one are left out and counted. Pairs of optima are the subject of `curves`.
    """
    sizes = [size for size in simplexes["size"].values.tolist() if size > 2]

    def bounds(size: int, **how) -> Estimate:
        values, censored = smallest_bounds(simplexes, size, **how)
        return intervals.bounds(np.log10(values), censored, "disjoint set")

    for size in sizes:
        names = {"size": size}
        ways = {f"loss {fraction:g}": bounds(size, fraction=fraction) for fraction in FRACTIONS}
        ways |= {f"{share:.0%} of positions": bounds(size, wanted=share) for share in LOW_SHARES}
        quantity = "log10(smallest displacement / distance of the optima)"
        members = simplexes["members"].sel(size=size).values
        there = int((members[:, 0] >= 0).sum())
        unfit = there - int(only_fit(simplexes, members).sum())
        yield Claim("simplex", quantity, bounds(size), names, unfit, ways, _control(simplexes, size))

        inner = [inside(simplexes, size, name) for name in ("disagreement", "ensemble_loss")]
        differing, loss = (intervals.sets(values, members) for values in inner)
        lost = there - int(np.isfinite(inner[0]).sum())
        yield Claim("simplex_disagreement", "share of test examples, inside minus optima", differing, names, lost)
        yield Claim("simplex_ensemble", "test loss of the ensemble, inside minus optima, nats", loss, names, lost)

    ratios = {kind: beside_null(simplexes, kind) for kind in KINDS[1:]}
    size = int(simplexes["size"].values.max())
    if ratios["random"].sizes["bound"]:
        members = simplexes["members"].sel(size=size).values
        ways = {f"bound {bound:g}": ratios["random"].sel(bound=bound) for bound in ratios["random"]["bound"].values}
        ways["initialisations"] = ratios["initialisation"].mean("bound")
        found = {name: intervals.sets(ratio.values, members) for name, ratio in ways.items()}
        registered = intervals.sets(ratios["random"].mean("bound").values, members)
        quantity = "log10(median loss of uniform positions, optima / random vertices), mean over bounds below 1"
        lost = int((members[:, 0] >= 0).sum()) - registered.units
        yield Claim("simplex_null", quantity, registered, {"size": size}, lost, found)


def _control(simplexes: xr.Dataset, size: int) -> str:
    """Return in words what the null and the hub of a size show."""
    null = (
        simplexes.sel(size=size, kind="random").isel(bound=slice(1, None)).dropna("bound", subset=["norm"], how="all")
    )
    said = []
    if null.sizes["bound"]:
        low = low_shares(null).isel(bound=-1).mean("set")
        uniform, near = (float(low.sel(region=region)) for region in ("uniform", "vertices"))
        said.append(
            f"over random vertices, {uniform:.0%} of uniform positions and {near:.0%} near vertices are low at bound "
            f"{float(null['bound'][-1]):g}"
        )
    hub = simplexes["hub_loss"].sel(size=size, split="train")
    if np.isfinite(hub).any():
        shares = (hub < simplexes["threshold"].sel(size=size)).mean("position").mean("set")
        said.append(f"over a hub, {float(shares.sel(region='uniform')):.0%} of uniform positions and "
                    f"{float(shares.min()):.0%} in the worst region")  # fmt: skip
    return "; ".join(said)


def tidy(simplexes: xr.Dataset, intervals: Intervals = Intervals()) -> pd.DataFrame:
    """Return one row per (size, set, kind, bound, region): quantiles of losses, and the share of low positions.

    The share has its exact binomial interval over random positions (`share_low`, `share_high`).
    """
    loss, low = simplexes["loss"].sel(split="train", drop=True), low_shares(simplexes)
    test = simplexes["score"].sel(split="test", drop=True)
    table = xr.Dataset(
        {
            "median_train_loss": loss.median("position"),
            "train_loss_95": loss.quantile(0.95, "position", skipna=False).drop_vars("quantile"),
            "largest_train_loss": loss.max("position"),
            "median_test_score": test.median("position"),
            "smallest_test_score": test.min("position"),
            "share": low.where(np.isfinite(loss).any("position")),
            "norm": simplexes["norm"],
            **{name: simplexes[name] for name in ("departure", "displacement", "log_volume", "dimension")},
        }
    )
    rows = as_rows(table, (*KIND, "region"), list(table)).dropna(subset="share").reset_index(drop=True)
    count = simplexes.sizes["position"]
    found = [intervals.share(round(share * count), count, "random position") for share in rows["share"]]
    ends = {"share_low": [one.low for one in found], "share_high": [one.high for one in found]}
    return rows.assign(**ends)
