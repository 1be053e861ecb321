"""Whether wide tunnels are where the loss is little curved, over all settings at which both were measured."""

from __future__ import annotations

from collections.abc import Iterator

from wedgescape.measurements.curvature import correlations
from wedgescape.numerics.intervals import Interval, Intervals
from wedgescape.numerics.judging import is_small, row
from wedgescape.stores.zarr_stores import along
from wedgescape.study.places import AtAllSettings
from wedgescape.study.settings import Rules

CURVATURES = {
    "large_scale": "large-scale curvature",
    "large_scale_error": "large-scale curvature of the error rate",
    "top_eigenvalue": "top eigenvalue",
    "trace": "trace of the Hessian",
}


def claims(curvature: AtAllSettings, tunnels: AtAllSettings, rules: Rules, intervals: Intervals) -> Iterator[dict]:
    """Judge whether wide tunnels are where the loss is little curved.

    The statistic is Spearman's rho of angular width and a curvature statistic over all (setting, seed) pairs,
    bootstrapped over seeds.
    """
    curved, wide = ({"all": along(stores, {name: name for name in curvature})} for stores in (curvature, tunnels))
    found = correlations(curved, wide, intervals).set_index("statistic")
    for name, text in CURVATURES.items():
        part = found.loc[name]
        interval = Interval(part["estimate"], part["low"], part["high"])
        yield row(
            f"flat_{name}",
            f"Wider tunnels have a lower {text}",
            "Spearman's rho",
            is_small(interval, -rules.minimum_correlation, rules.minimum_correlation),
            curved["all"].sizes["seed"],
            int(part["count"]),
            int(curved["all"]["diverged"].sum()),
        )
