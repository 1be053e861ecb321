"""Curves of low loss between pairs of optima: Bezier curves and polygonal chains (docs/science.md, Curves)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
import xarray as xr
from pydantic import Field
from torch import Tensor

from wedgescape.landscapes.base import SPLITS
from wedgescape.landscapes.curves import CurveLandscape
from wedgescape.landscapes.lines import barrier
from wedgescape.landscapes.operations import Case, Step, Work, evaluations
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim, only_fit
from wedgescape.numerics.pairs import draw_pairs
from wedgescape.stores.zarr_stores import Variable, as_rows, described, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import AllDifferent, Count, PositiveNumber, Section, key
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima


class Settings(Section):
    """Curves of low loss between pairs of optima."""

    kinds: Annotated[list[Literal["bezier", "chain"]], Field(min_length=1), AllDifferent] = key(
        ["bezier", "chain"],
        "Kinds of curves: quadratic Bezier curves, polygonal chains.",
    )
    bends: Count = key(1, "Points at which a chain bends; all of a chain but its ends is trained.")
    pairs: Count = key(
        12,
        "Random pairs of optima, at most, of which every optimum is in equally many; all pairs, if there are fewer.",
        smoke=2,
    )
    steps: Count = key(500, "Steps of the descent that trains the curves.", smoke=20)
    learning_rate: PositiveNumber = key(0.01, "Learning rate of that descent.")
    batch_size: Count | None = key(128, "Examples per step; null takes all.")
    samples: Count = key(
        4, "Positions on each curve at which a step takes gradients, one in each of as many equal parts."
    )
    points: int = key(61, "Positions on each curve at which it is evaluated, ends included.", ge=5, smoke=9)


MINUTES = 120

VARIABLES = {
    "loss": Variable(("kind", "pair", "split", "t"), "mean cross-entropy at position t on the curve", "nat"),
    "score": Variable(("kind", "pair", "split", "t"), "score at position t on the curve", "1"),
    "norm": Variable(("kind", "pair", "t"), "Euclidean norm of the weights at position t on the curve", "weights"),
    "length": Variable(("kind", "pair"), "length of the polygon through the positions t", "weights"),
    "departure": Variable(
        ("kind", "pair", "end"), "angle between the curve and the straight line at an optimum", "radian"
    ),
    "barrier": Variable(
        ("kind", "pair", "split"), "largest excess of the loss over the line between the ends' losses", "nat"
    ),
    "largest_loss": Variable(("kind", "pair", "split"), "largest loss on the curve", "nat"),
    "members": Variable(("pair", "end"), "seeds of the pair's optima"),
} | {
    f"{kind}_controls": Variable(
        ("pair", f"{kind}_bend", "param"),
        f"inner control points of the {kind}, the ends being the optima of the pair",
        "weights",
    )
    for kind in ("bezier", "chain")
}


def train_curves(curve: CurveLandscape, pairs: Sequence[Sequence[int]], settings: Settings, steps: int) -> Tensor:
    """Train curves between pairs of optima from the straight lines, by Adam with a rate that falls along a cosine.

    Args:
        curve: of K curves.
        pairs: the two seeds of each curve. A curve's random streams follow from them alone, whichever other curves are
            trained with it.
        settings: learning rate and batch size of the descent.
        steps: of the descent; without any, the straight lines are returned.

    Returns:
        Inner control points (K, bends * P).
    """
    recipe = Recipe("adam", settings.learning_rate, batch_size=settings.batch_size, schedule="cosine")
    streams = [(int(min(pair)) << 32) + int(max(pair)) for pair in pairs]
    return descend(curve, curve.straight(), recipe, steps, streams).points


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Train curves between pairs of optima, and measure them beside the straight lines (our definition).

    The barrier is the largest excess of the loss over the chord between the ends' losses (`lines.barrier`).

    Args:
        optima: of the base setting, whose landscape also evaluates score. Runs that diverged are in no pair.
        settings: of the measurement.

    Returns:
        loss and score over (kind, pair, split, t), norm over (kind, pair, t), barriers, lengths, and the inner
        control points of each kind; the straight line is the first kind.

    Raises:
        InputError: if fewer than two runs did not diverge.
    """
    by_seed = optima.fit(at_least=2).by_seed
    pairs = draw_pairs(by_seed, settings.pairs)
    starts, ends = (torch.stack([by_seed[pair[end]] for pair in pairs]) for end in (0, 1))
    edges = (ends - starts)[:, None].double()
    t = torch.linspace(0, 1, settings.points).to(starts)
    values, by_kind = {"members": pairs}, []
    for kind in ("line", *settings.kinds):
        bends, shape = {"line": (0, "chain"), "bezier": (1, kind), "chain": (settings.bends, kind)}[kind]
        curve = CurveLandscape(optima.landscape, starts, ends, shape, bends, settings.samples)
        found = train_curves(curve, pairs, settings, settings.steps) if bends else curve.straight()
        if bends:
            values[f"{kind}_controls"] = found.unflatten(1, (bends, -1)).cpu()
        profiles = [curve.profiles(found, t, split) for split in SPLITS]
        norms, lengths = curve.trace(found, t)
        leaving = torch.cosine_similarity(curve.tangents(found, t[[0, -1]]).double(), edges, dim=2)
        along = {name: torch.stack([one[name] for one in profiles], 1) for name in ("loss", "score")}
        by_kind.append({**along, "norm": norms, "length": lengths, "departure": leaving.clamp(-1, 1).acos()})
    values |= {name: torch.stack([one[name] for one in by_kind]).cpu() for name in by_kind[0]}
    losses = values["loss"].numpy()
    values |= {"barrier": barrier(losses), "largest_loss": losses.max(-1)}
    coordinates = {
        "kind": ["line", *settings.kinds],
        "pair": [f"{first}-{second}" for first, second in pairs],
        "split": list(SPLITS),
        "t": described(("t",), t.cpu(), "position on the curve: 0 at its first end, 1 at its second", "1"),
        "end": ["first", "second"],
    }
    return optima.flagged(labelled(VARIABLES, values, coordinates))


def work(case: Case, settings: Settings) -> Work:
    """Count the training of curves between pairs, and the losses along them and the straight lines."""
    pairs, kinds = min(settings.pairs, math.comb(case.seeds, 2)), len(settings.kinds)
    step = Step(case.model, pairs * settings.samples, settings.batch_size)
    return Work({step: kinds * settings.steps}) + evaluations(case.model, (1 + kinds) * pairs * settings.points)


FLOOR = 1e-4  # of a ratio: a curve without a barrier counts as this far below
CLAIMS = ("curve",)


def claims(curves: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate for each kind of curve how far its barrier lies below that of the straight line, in decades.

    Pairs whose curve diverged or with a run that does not fit, and those without a barrier on the straight line, are
    left out and counted.
    """
    barriers = curves["barrier"].sel(split="train")
    straight = barriers.sel(kind="line").values
    for kind in curves["kind"].values.tolist()[1:]:
        bent = barriers.sel(kind=kind).values
        kept = np.isfinite(bent) & (straight > 0) & only_fit(curves, curves["members"].values)
        ratio = np.full(len(bent), np.nan)
        ratio[kept] = np.log10(np.maximum(bent[kept], FLOOR * straight[kept]) / straight[kept])
        found = intervals.pairs(ratio, curves["members"].values)
        names = {"kind": kind}
        yield Claim("curve", "log10(barrier of the curve / of the straight line)", found, names, int((~kept).sum()))


def tidy(curves: xr.Dataset) -> pd.DataFrame:
    """Return one row per (kind, pair, split, t): loss, score, norm, and the curve's barrier and relative length."""
    relative = curves["length"] / curves["length"].sel(kind="line", drop=True)
    table = curves[["loss", "score", "norm", "barrier"]].assign(relative_length=relative)
    return as_rows(table, ("kind", "pair", "split", "t"), ("loss", "score", "norm", "barrier", "relative_length"))
