"""Barcodes: at which loss optima merge, along lines, curves and lines between matched units (docs/science.md)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.alignment import matched, permute
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.controls import with_duplicated_units
from wedgescape.landscapes.curves import CurveLandscape
from wedgescape.landscapes.lines import interpolate
from wedgescape.landscapes.operations import Case, Step, Work, evaluations, times
from wedgescape.landscapes.units import UnitGroup, unit_groups
from wedgescape.measurements.alignment import Settings as AlignmentSettings
from wedgescape.measurements.alignment import by_width, matching
from wedgescape.measurements.curves import Settings as CurveSettings
from wedgescape.measurements.curves import train_curves
from wedgescape.numerics.barcodes import bars
from wedgescape.numerics.intervals import Estimate, Intervals
from wedgescape.numerics.judging import Claim, fit, left_out, only_fit
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.places import AtWidths
from wedgescape.study.sections import Count, Odd, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """Optima and the paths between all pairs of them, at every width."""

    seeds: Count = key(6, "Number of optima, of which all pairs are joined (the first N seeds).", smoke=4)
    size: int = key(
        3,
        "Optima in each set whose longest bar is taken, and copies of one network beside it.",
        ge=2,
        smoke=2,
        below="barcodes.seeds",
    )
    points: Odd = key(15, "Points on each path at which its highest loss is sought, ends included.", ge=3, smoke=5)
    curve_steps: Count = key(200, "Steps of the descent that trains the Bezier curves.", smoke=3)


MINUTES = 60
KINDS = {"line": ("line",), "bezier": ("line", "bezier"), "matched": ("line", "matched")}  # the paths of each barcode
COPIES = "copies"
VARIABLES = {
    "birth": Variable(("seed",), "training loss of the optimum", "nat"),
    "height": Variable(("path", "pair"), "highest training loss on the path between two optima", "nat"),
    "members": Variable(("pair", "end"), "the seeds of a pair"),
    "copies_height": Variable(
        ("seed", "link"), "highest training loss on the line between two copies of one network, units shuffled", "nat"
    ),
    "doubled_height": Variable(
        ("pair",),
        "as `height` of the matched line, of networks whose every unit is doubled; nan where not tried",
        "nat",
    ),
    "rematched_height": Variable(("seed",), "the same from an optimum to a copy whose units are matched to it", "nat"),
}


def highest(landscape: Landscape, starts: Tensor, ends: Tensor, points: int) -> np.ndarray:
    """Return the highest training loss (K,) on straight lines between points (K, P), seen at evenly spaced points."""
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    return _highest(interpolate(landscape, starts, ends, t)["loss"])


def highest_on_curves(
    landscape: Landscape,
    starts: Tensor,
    ends: Tensor,
    pairs: Sequence[Sequence[int]],
    settings: Settings,
    curves: CurveSettings,
) -> np.ndarray:
    """Return the highest training loss (K,) on quadratic Bezier curves that are trained between points (K, P).

    A step takes a gradient at one position of each curve. A curve that diverged has inf.
    """
    curve = CurveLandscape(landscape, starts, ends, samples=1)
    found = train_curves(curve, pairs, curves, settings.curve_steps)
    t = torch.linspace(0, 1, settings.points).to(starts)
    return _highest(curve.profiles(found, t)["loss"])


def _highest(losses: Tensor) -> np.ndarray:
    return losses.amax(1).nan_to_num(nan=torch.inf, posinf=torch.inf).cpu().double().numpy()


def measure(
    optima: Optima,
    settings: Settings = Settings(),
    alignment: AlignmentSettings = AlignmentSettings(),
    curves: CurveSettings = CurveSettings(),
) -> xr.Dataset:
    """Measure the highest loss on paths between all pairs of optima: how they merge follows from it (`bars`).

    There are three paths between two optima: the straight line, a quadratic Bezier curve, and the straight line after
    the second one's units were matched to the first one's. A matched line ends at another point of weight space and at
    the same function, so it is a path in the space of networks whose units have no order. All heights are bounds from
    above: a path that nobody tried may lie lower.

    Two controls. Copies of each optimum with its units in random orders are one function: whatever separates them is
    the order of their units, and matching must bring them together. Networks whose every unit is doubled are wider, and
    compute the same: along straight lines their heights are the same, exactly; along matched lines doubling says what
    more units to choose from do for matching alone (pairs of which no two share a seed).

    On the toy wedges there are lines and curves, and no units: `highest`, `highest_on_curves` and `bars` take them.

    Args:
        optima: of one setting; the first `settings.seeds` are measured.
        settings: of the measurement.
        alignment: how units are matched.
        curves: learning rate and minibatches of the curves' descent.

    Returns:
        Heights over (path, pair) and of copies, with the network's `width` and its `chance_loss`. Without the matched
        lines and the copies where units cannot be matched; `not_aligned` says why.
    """
    first = optima.first(settings.seeds)
    kept, landscape = first.fit(0), optima.landscape
    pairs = list(itertools.combinations(range(len(kept)), 2))
    starts, ends = (kept.points[[pair[end] for pair in pairs]] for end in (0, 1))
    members = [(kept.seeds[one], kept.seeds[other]) for one, other in pairs]
    attributes = {"width": optima.training["model"]["width"], "chance_loss": optima.chance_loss, "size": settings.size}
    values = {"members": np.reshape(members, (-1, 2)).astype(int)}
    found = {path: np.zeros(0) for path in ("line", "bezier")}
    if pairs:
        found["line"] = highest(landscape, starts, ends, settings.points)
        found["bezier"] = highest_on_curves(landscape, starts, ends, members, settings, curves)
    try:
        groups = unit_groups(landscape.module, landscape.splits["train"][0].ndim - 1)
    except InputError as error:
        attributes["not_aligned"] = str(error).removeprefix("alignment: ")
    else:
        limits = alignment.passes, alignment.attempts
        after = [
            matched(start, end, groups, *limits, pair)[0]
            for start, end, pair in zip(starts, ends, members, strict=True)
        ]
        found["matched"] = highest(landscape, starts, torch.stack(after), settings.points) if pairs else np.zeros(0)
        values |= _copies(kept, groups, settings, alignment)
        values["doubled_height"] = _doubled(kept, pairs, settings, alignment)
    values |= {"birth": landscape.losses(kept.points).cpu().double(), "height": np.stack(list(found.values()))}
    coordinates = {
        "seed": kept.seeds, "path": list(found), "pair": [f"{one}-{other}" for one, other in members],
        "end": ["first", "second"],
    }  # fmt: skip
    return first.flagged(labelled(VARIABLES, values, coordinates, attributes))


def _copies(
    optima: Optima, groups: Sequence[UnitGroup], settings: Settings, alignment: AlignmentSettings
) -> dict[str, np.ndarray]:
    """Return what lies between `settings.size` copies of each optimum, the first of which is itself."""
    links, found, again = list(itertools.combinations(range(settings.size), 2)), [], []
    for seed, point in optima.by_seed.items():
        copies = [point]
        for copy in range(1, settings.size):
            draw = stream("shuffled copies", seed, copy)
            shuffled = permute(point.cpu().numpy(), groups, [draw.permutation(group.units) for group in groups])
            copies.append(torch.from_numpy(shuffled).to(point))
        stacked = torch.stack(copies)
        starts, ends = (stacked[[link[end] for link in links]] for end in (0, 1))
        found.append(highest(optima.landscape, starts, ends, settings.points))
        back = matched(point, copies[1], groups, alignment.passes, alignment.attempts, (seed, seed))[0]
        again.append(float(highest(optima.landscape, point[None], back[None], settings.points)[0]))
    return {"copies_height": np.reshape(found, (-1, len(links))), "rematched_height": np.array(again)}


def _doubled(
    optima: Optima, pairs: Sequence[tuple[int, int]], settings: Settings, alignment: AlignmentSettings
) -> np.ndarray:
    """Return heights (pair,) of matched lines between networks with doubled units; nan where that cannot be."""
    found, model = np.full(len(pairs), np.nan), optima.training["model"]
    chosen = [place for place, (one, other) in enumerate(pairs) if one % 2 == 0 and other == one + 1]
    if not chosen:
        return found
    try:
        wider = model | {"width": 2 * model["width"]}
        landscape, points = with_duplicated_units(optima.landscape, optima.points, wider)
        groups = unit_groups(landscape.module, landscape.splits["train"][0].ndim - 1)
    except InputError:
        return found
    starts, ends = (points[[pairs[place][end] for place in chosen]] for end in (0, 1))
    limits = alignment.passes, alignment.attempts
    after = [
        matched(start, end, groups, *limits, pairs[place])[0]
        for start, end, place in zip(starts, ends, chosen, strict=True)
    ]
    found[chosen] = highest(landscape, starts, torch.stack(after), settings.points)
    return found


def work(case: Case, settings: Settings) -> Work:
    """Count the losses on paths, the training of curves, and the matching."""
    count = min(settings.seeds, case.seeds)
    pairs, links = math.comb(count, 2), math.comb(settings.size, 2)
    batch_size = case.study.config["curves"]["batch_size"]
    total = Work({Step(case.model, pairs, batch_size): settings.curve_steps})
    total += evaluations(case.model, 2 * pairs * settings.points + count, ["train"])
    if one := matching(case):
        doubled = 4 * (count // 2)  # in units of the network's own cost
        total += times(pairs + count + doubled, one)
        total += evaluations(case.model, (pairs + count * (links + 1) + doubled) * settings.points, ["train"])
    return total


def kinds(store: xr.Dataset) -> list[str]:
    """Return the kinds of barcodes that a store holds, of `KINDS`."""
    return [kind for kind, paths in KINDS.items() if paths[-1] in store["path"].values]


def matrix(store: xr.Dataset, kind: str, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return births (K,) and heights (K, K) of some seeds by the lowest of a kind's paths, as `bars` takes them."""
    lowest = store["height"].sel(path=list(KINDS[kind])).min("path").values
    place = {seed: k for k, seed in enumerate(seeds)}
    heights = np.zeros((len(seeds), len(seeds)))
    for (one, other), height in zip(store["members"].values.tolist(), lowest, strict=True):
        if one in place and other in place:
            heights[place[one], place[other]] = heights[place[other], place[one]] = height
    return store["birth"].sel(seed=list(seeds)).values.astype(float), heights


def lengths(births, heights, chance: float | None) -> np.ndarray:
    """Return the lengths (K - 1,) of bars, as shares of the way from a bar's birth to chance; without chance, nats."""
    born, died = bars(births, heights).T
    return died - born if chance is None else (died - born) / (chance - born)


FLOOR = 1e-4  # of the way to chance, or nats: a shorter bar counts as this long, for zero has no logarithm


def longest(store: xr.Dataset, kind: str, seeds: Sequence[int], size: int, relative: bool = True) -> np.ndarray:
    """Return log10 of the longest bar (set,) of every set of some seeds, in the order of `sets_of`.

    Args:
        store: of `measure`.
        kind: of paths, of `KINDS`.
        seeds: K, optima of the store.
        size: of the sets.
        relative: as a share of the way to chance, else in nats.
    """
    (births, heights), found = matrix(store, kind, seeds), []
    chance = store.attrs["chance_loss"] if relative else None
    for some in sets_of(range(len(seeds)), size):
        found.append(lengths(births[some], heights[np.ix_(some, some)], chance).max())
    return np.log10(np.maximum(found, FLOOR))


def longest_of_copies(store: xr.Dataset, seeds: Sequence[int]) -> np.ndarray:
    """Return log10 of the longest bar (seed,) of shuffled copies of each network."""
    chosen, size = store.sel(seed=list(seeds)), store.attrs["size"]
    upper = np.triu_indices(size, 1)
    found = []
    for birth, row in zip(chosen["birth"].values, chosen["copies_height"].values, strict=True):
        heights = np.zeros((size, size))
        heights[upper] = row
        found.append(lengths(np.full(size, birth), heights + heights.T, store.attrs["chance_loss"]).max())
    return np.log10(np.maximum(found, FLOOR))


def doubling(store: xr.Dataset) -> np.ndarray:
    """Return the exponent (n,) that doubled units alone give to matched lines, of the pairs that were doubled."""
    matched_line = store["height"].sel(path="matched").values
    births = store["birth"].sel(seed=store["members"].values.ravel()).values.reshape(-1, 2).max(1)
    least = FLOOR * (store.attrs["chance_loss"] - births)
    change = np.maximum(store["doubled_height"].values - births, least) / np.maximum(matched_line - births, least)
    found = np.log2(change[only_fit(store, store["members"].values)])
    return found[np.isfinite(found)]


def sets_of(seeds: Sequence[int], size: int) -> np.ndarray:
    """Return all sets (set, size) of some seeds, in the order of `longest`."""
    return np.array(list(itertools.combinations(seeds, size))).reshape(-1, size)


def shared_seeds(stores: Sequence[xr.Dataset]) -> list[int]:
    """Return the seeds that are optima at all widths."""
    fits = [set(store["seed"].values[fit(store).values].tolist()) for store in stores]
    return sorted(set.intersection(*fits))


def exponents(stores: Sequence[xr.Dataset], values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the slope (n,) of logarithms (width, n) over log10 of the width: -1 for what falls as 1 / width."""
    widths = np.log10([store.attrs["width"] for store in stores])
    away = widths - widths.mean()
    return away @ np.stack(values) / (away @ away)


CLAIMS = ("barcode_width", "barcode_copies", "barcode_matching")


def claims(barcodes: AtWidths, intervals: Intervals) -> Iterator[Claim]:
    """Estimate how the longest bar depends on the width of the network.

    The longest bar of all optima is one number without independent units: its jackknife covers 79 to 98 % in
    simulations. Each seed's lowest merge is shared with another seed, and Student's t over them covers 69 to 88 %. So
    the estimate is the mean over all sets of `size` optima of the logarithm of their longest bar, with the jackknife
    that deletes a seed (`Intervals.all_sets`). Sets of other sizes are among the specifications.

    Nothing is claimed of Bezier curves: their heights fall with the steps of their descent, so that an exponent at one
    number of steps would be the search's.

    That bars along straight lines fall with width says nothing about different solutions if those of one network's
    shuffled copies fall as fast; hence the difference of the exponents. Doubled units have the exponent 0 along
    straight lines, and their own along matched ones (`doubling`). Matching has a claim of its own: by how much its
    exponent lies below that of straight lines.
    """
    stores = by_width(barcodes)
    if len(stores) < 2:
        return
    seeds, size = shared_seeds(stores), stores[0].attrs["size"]
    lost = sum(left_out(store) for store in stores)
    if len(seeds) < size:
        return
    members = sets_of(seeds, size)
    found = {kind: _over_widths(stores, kind, seeds, size) for kind in kinds(stores[0])}
    matchable = "matched" in found
    copies = exponents(stores, [longest_of_copies(store, seeds) for store in stores]) if matchable else np.zeros(0)
    said = {"line": f"one network's shuffled copies: {copies.mean():.2f}"} if matchable else {}
    doubled = np.concatenate([doubling(store) for store in stores]) if matchable else np.zeros(0)
    if len(doubled):
        said["matched"] = f"doubled units: {doubled.mean():.2f}"
    quantity = "d log10(longest bar) / d log10(width)"
    for kind, values in found.items():
        if kind == "bezier":
            continue
        others = _specifications(stores, kind, seeds, size, intervals)
        estimate = intervals.all_sets(values, members)
        yield Claim("barcode_width", quantity, estimate, {"kind": kind}, lost, others, said.get(kind, ""), _way(size))
    if not matchable:
        return
    place = {seed: k for k, seed in enumerate(seeds)}
    own = np.array([[copies[place[seed]] for seed in some] for some in members]).mean(1)
    difference = "difference of these exponents"
    yield Claim("barcode_copies", difference, intervals.all_sets(found["line"] - own, members), left_out=lost)
    again = max(float(store["rematched_height"].sel(seed=seeds).max()) for store in stores)
    born = max(float(store["birth"].sel(seed=seeds).max()) for store in stores)
    yield Claim(
        "barcode_matching",
        difference,
        intervals.all_sets(found["matched"] - found["line"], members),
        left_out=lost,
        control=f"matched copies of one network: at most {again:.2g} nats, optima {born:.2g}",
    )


def _over_widths(
    stores: Sequence[xr.Dataset], kind: str, seeds: Sequence[int], size: int, relative: bool = True
) -> np.ndarray:
    return exponents(stores, [longest(store, kind, seeds, size, relative) for store in stores])


def _specifications(
    stores: Sequence[xr.Dataset], kind: str, seeds: Sequence[int], own: int, intervals: Intervals
) -> dict[str, Estimate]:
    """Return the exponents by sets of other sizes, and of bars in nats."""
    found = {}
    for size, relative in [*((size, True) for size in (2, 3, 4) if size != own), (own, False)]:
        if size < len(seeds):
            values = _over_widths(stores, kind, seeds, size, relative)
            found[_way(size, relative)] = intervals.all_sets(values, sets_of(seeds, size))
    return found


def _way(size: int, relative: bool = True) -> str:
    return f"sets of {size}, {'share of the way to chance' if relative else 'nats'}"
