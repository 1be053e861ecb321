"""Whether wide tunnels are where the loss is little curved, at the settings of each sweep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wedgescape.measurements.curvature import paired, within_sweeps
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
    differences between sweeps, and between networks of different width, pass for no correlation.
    """
    data = paired(curvature, tunnels)
    for name in CURVATURES:
        found = within_sweeps(data, name, intervals)
        sweeps = [np.nanmean(rank_correlations(part[name], part["width"])) for part in data.values()]
        agreeing = sum(np.sign(sweep) == np.sign(found.estimate) for sweep in sweeps)
        control = f"the same sign in {agreeing} of {len(sweeps)} sweeps"
        yield Claim(f"flat_{name}", "Spearman's rho within sweeps, per seed", found, control=control)
