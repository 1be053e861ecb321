"""Alignment: straight lines between optima before and after their units are matched (docs/science.md, Connectors)."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from wedgescape.errors import InputError
from wedgescape.landscapes import models
from wedgescape.landscapes.alignment import matched
from wedgescape.landscapes.base import SPLITS
from wedgescape.landscapes.lines import barrier, interpolate
from wedgescape.landscapes.operations import Case, MultiplyAdd, Work, evaluations, times
from wedgescape.landscapes.units import unit_groups
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim, fit
from wedgescape.numerics.pairs import draw_pairs
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.places import AtBase, AtWidths
from wedgescape.study.sections import Count, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """Optima whose hidden units are matched to another's, at every width, if the network can be aligned."""

    pairs: Count = key(
        12,
        "Random pairs of optima, at most, of which every optimum is in equally many; all pairs, if there are fewer.",
        smoke=2,
    )
    points: int = key(
        41,
        "Points on the straight line between two optima at which its barrier is sought, ends included.",
        ge=3,
        smoke=5,
    )
    passes: Count = key(
        100, "Largest number of passes of matching over all groups of units; it ends as soon as one changes nothing."
    )
    attempts: Count = key(
        4,
        "Number of matchings, each with its own random order of groups. The one that brings the weights closest is "
        "taken.",
        smoke=2,
    )


STAGES = ("before", "after")  # alignment
PASSES = 8  # of matching, until one changes nothing: as found on digits and on Fashion-MNIST
ON_LINES = ("alignment", "pair", "split", "t")
VARIABLES = {
    "loss": Variable(ON_LINES, "mean cross-entropy at position t of the straight line", "nat"),
    "score": Variable(ON_LINES, "score at position t of the straight line", "1"),
    "barrier": Variable(ON_LINES[:3], "largest excess of the loss over the chord on the straight line", "nat"),
    "distance": Variable(ON_LINES[:2], "Euclidean distance between the two optima", "weights"),
    "cosine": Variable(ON_LINES[:2], "cosine of the angle between the two optima, seen from the origin", "1"),
    "moved": Variable(("pair", "layer"), "fraction of units that moved", "1"),
    "passes": Variable(("pair",), "passes of the matching that was taken"),
    "attempt_cosine": Variable(
        ("pair", "attempt"), "cosine of the angle between the two optima after each matching, in falling order", "1"
    ),
    "converged": Variable(("pair",), "the last pass changed nothing"),
    "members": Variable(("pair", "end"), "the seeds of a pair"),
}


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure the straight lines between optima before and after alignment (our definition).

    A pair is one seed's optimum and another's, as it is or with its units matched to the first one's. The barrier is
    the largest excess of the loss over the chord between the ends' losses (`lines.barrier`).

    Args:
        optima: of one setting, whose landscape is a network's.
        settings: of the measurement.

    Returns:
        A dataset over (alignment, pair, …), with the attribute `width` of the network; one that says why (`left_out`)
        where the network cannot be aligned or there is no pair.
    """
    return optima.flagged(_measure(optima.fit(0), settings)).assign_attrs(width=optima.training["model"]["width"])


def _measure(optima: Optima, settings: Settings) -> xr.Dataset:
    landscape, by_seed = optima.landscape, optima.by_seed
    try:
        groups = unit_groups(landscape.module, landscape.splits["train"][0].ndim - 1)
    except InputError as error:
        return left_out(error)
    chosen = draw_pairs(optima.seeds, settings.pairs)
    if not chosen:
        return left_out(f"{len(optima)} runs stayed finite, and a pair needs 2")
    starts, before = (torch.stack([by_seed[pair[end]] for pair in chosen]) for end in (0, 1))
    limits = settings.passes, settings.attempts
    found = [matched(by_seed[one], by_seed[other], groups, *limits, (one, other)) for one, other in chosen]
    after = torch.stack([weights for weights, _matching in found])
    t = torch.linspace(0, 1, settings.points, dtype=torch.float64)
    seen = [
        interpolate(landscape, starts, ends, t, split) for ends, split in itertools.product((before, after), SPLITS)
    ]
    shape = (len(STAGES), len(SPLITS), len(chosen), len(t))
    loss, score = (
        torch.stack([one[name].cpu() for one in seen]).reshape(shape).transpose(1, 2).numpy()
        for name in ("loss", "score")
    )
    first, second = starts.cpu().double(), torch.stack([before, after]).cpu().double()  # (pair, P), (stage, pair, P)
    norms = [points.norm(dim=1).numpy() for points in (first, second[0])]
    values = {
        "loss": loss,
        "score": score,
        "barrier": barrier(loss.astype(np.float64)),
        "distance": (second - first).norm(dim=2),
        "cosine": torch.cosine_similarity(second, first, dim=2),
        "moved": [match.moved for _weights, match in found],
        "passes": [len(match.objective) - 1 for _weights, match in found],
        "converged": [match.converged for _weights, match in found],
        "attempt_cosine": [match.reached for _weights, match in found] / np.prod(norms, axis=0)[:, None],
        "members": chosen,
    }
    coordinates = {
        "alignment": list(STAGES), "pair": [f"{one}-{other}" for one, other in chosen], "split": list(SPLITS),
        "t": t.numpy(), "layer": [group.name for group in groups], "end": ["first", "second"],
    }  # fmt: skip
    return labelled(VARIABLES, values, coordinates)


def left_out(reason: InputError | str) -> xr.Dataset:
    """Return the store of what cannot be aligned: it says why, and holds nothing else."""
    return xr.Dataset(attrs={"not_aligned": str(reason).removeprefix("alignment: ")})


def aligned(alignment: dict[str, xr.Dataset]) -> list[xr.Dataset]:
    """Return the stores in which something was aligned, narrow networks first."""
    return [store for store in by_width(alignment) if "not_aligned" not in store.attrs]


def by_width(alignment: dict[str, xr.Dataset]) -> list[xr.Dataset]:
    """Return stores at several widths, narrow networks first."""
    return sorted(alignment.values(), key=lambda store: store.attrs["width"])


def work(case: Case, settings: Settings) -> Work:
    """Count the lines between optima before and after their alignment; nothing where the network cannot be aligned."""
    pairs, one = min(settings.pairs, math.comb(case.seeds, 2)), matching(case)
    return times(pairs, one) + evaluations(case.model, 2 * pairs * settings.points) if one else Work()


def matching(case: Case) -> Work:
    """Count matching one network to another; nothing where the network cannot be aligned."""
    try:
        module = models.build(json.loads(case.model), case.data.shape, case.data.classes)
        groups = unit_groups(module, len(case.data.shape))
    except InputError:
        return Work()
    one_pass = sum(group.units * axis.size for group in groups for axis in group.axes)
    attempts = case.study.config["alignment"]["attempts"]
    return Work({MultiplyAdd(): attempts * PASSES * one_pass})


CLAIMS = (
    "aligned_barrier",
    "aligned_width",
    "aligned_centroid",
)


def claims(
    alignment: AtWidths, connectors: AtBase, aligned_connectors: AtBase, intervals: Intervals
) -> Iterator[Claim]:
    """Estimate how much of what separates optima is a matter of the order of their units.

    At each width, the barrier of the training loss after matching over the one before, in decades, over pairs of seeds;
    how the barrier after matching changes from the narrowest to the widest network, on pairs of the same seeds; for the
    largest m, the training loss at the centroid of matched optima over that of the unmatched. A barrier that is gone
    after matching counts as `FLOOR` of the one before. Networks that no matching fits are left out.
    """
    stores = aligned(alignment)
    if not stores:
        return
    after = [floored(store["barrier"].sel(split="train")) for store in stores]
    for store, height in zip(stores, after, strict=True):
        ratio = _decades(height, store["barrier"].sel(split="train", alignment="before"))
        found, names = intervals.pairs(ratio, store["members"].values), {"width": store.attrs["width"]}
        yield Claim("aligned_barrier", "log10(barrier after / before matching)", found, names, int((~fit(store)).sum()))
    if len(stores) > 1:
        shared = [pair for pair in stores[0]["pair"].values if pair in stores[-1]["pair"].values]
        change = _decades(after[-1].sel(pair=shared), after[0].sel(pair=shared))
        found = intervals.pairs(change, stores[0]["members"].sel(pair=shared).values)
        yield Claim("aligned_width", "log10(barrier after matching, widest / narrowest network)", found)
    size = int(aligned_connectors["size"].max())
    before, after = (
        store["loss"].sel(split="train", size=size, place="centroid") for store in (connectors, aligned_connectors)
    )
    found = intervals.sets(_decades(after, before), aligned_connectors["members"].sel(size=size).values)
    yield Claim("aligned_centroid", "log10(loss at the centroid after / before matching)", found, {"size": size})


FLOOR = 1e-4  # of the barrier before matching


def floored(heights: xr.DataArray) -> xr.DataArray:
    """Return the barriers (alignment, pair) after matching, at least `FLOOR` of those before: zero has no logarithm."""
    return np.maximum(heights.sel(alignment="after"), FLOOR * heights.sel(alignment="before"))


def _decades(first: xr.DataArray, second: xr.DataArray) -> np.ndarray:
    """Return log10(first / second); nan where one of them is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log10(first.values / second.values)
    return np.where(np.isfinite(ratio), ratio, np.nan)
