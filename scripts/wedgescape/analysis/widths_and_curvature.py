"""Whether wide tunnels are where the loss is little curved, at the settings of each sweep."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from wedgescape.measurements.curvature import paired, within_sweeps
from wedgescape.measurements.tunnels import DEFINITIONS, Definition, bisected, widths
from wedgescape.numerics.intervals import Intervals, rank_correlations
from wedgescape.numerics.judging import Claim
from wedgescape.study.places import AlongSweeps

CLAIMS = (
    "flat_large_scale",
    "flat_large_scale_error",
    "flat_top_eigenvalue",
    "flat_trace",
)


CURVATURES = ("large_scale", "large_scale_error", "top_eigenvalue", "trace")


def claims(curvature: AlongSweeps, tunnels: AlongSweeps, intervals: Intervals) -> Iterator[Claim]:
    """Estimate whether wide tunnels are where the loss is little curved, at the settings of each sweep.

    Seed by seed the rank correlation of angular width and curvature over the settings of a sweep, averaged over sweeps:
    differences between sweeps, and between networks of different width, pass for no correlation. The sweep over width
    changes both by dimension alone, so that it is left out once.
    """
    if not tunnels:
        return
    own = Definition("score", next(iter(tunnels.values())).attrs["score_fraction"])
    ways = {one: partial(widths, definition=one) for one in dict.fromkeys((own, *DEFINITIONS))} | {own: bisected}
    data = {one: paired(curvature, tunnels, read) for one, read in ways.items()}
    for name in CURVATURES:
        found = {}
        for way, parts in data.items():
            for text, omitted in (("all sweeps", ""), ("without that over width", "width")):
                kept = {sweep: part for sweep, part in parts.items() if sweep != omitted}
                if any(len(part["width"]) > 2 for part in kept.values()):
                    found[f"{way}; {text}"] = within_sweeps(kept, name, intervals)
        if not found:
            continue
        first, *others = found
        by_sweep = [rank_correlations(part[name], part["width"]) for part in data[own].values()]
        sweeps = [np.nanmean(one) for one in by_sweep if np.isfinite(one).any()]
        agreeing = sum(np.sign(sweep) == np.sign(found[first].estimate) for sweep in sweeps)
        yield Claim(
            f"flat_{name}",
            "Spearman's rho within sweeps, per seed",
            found[first],
            specifications={other: found[other] for other in others},
            control=f"the same sign in {agreeing} of {len(sweeps)} sweeps",
            specification=first,
        )
