"""Flat minima: what weight averaging and sharpness-aware minimisation do to the landscape around a solution.

Kaddour et al. 2022 asked when flat-minima optimisers work; here they are compared at an equal budget of gradients
(`methods.at_equal_budget`), seed by seed, with one solution trained for the whole of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from wedgescape.measurements.curvature import statistics_of
from wedgescape.numerics.intervals import Interval, Intervals, standardised_difference
from wedgescape.numerics.judging import is_large, is_small, row
from wedgescape.study.places import OfMethods
from wedgescape.study.settings import Rules

REFERENCE = "longer"
STATISTICS = {
    "angular_width": "angular width of the tunnel by the accuracy threshold, mean over rays, degrees",
    "large_scale": "large-scale curvature of the training loss, mean over directions, nats / radian^2",
    "top_eigenvalue": "largest eigenvalue of the Hessian of the training loss, nats / weight^2",
    "trace": "trace of that Hessian, nats / weight^2",
    "norm": "Euclidean norm of the weights",
    "test_error": "fraction of test examples wrong",
}


def gather(tunnels: dict[str, xr.Dataset], curvature: dict[str, xr.Dataset]) -> xr.Dataset:
    """Return `STATISTICS` and `diverged` over (method, seed); nan where a run diverged or a seed was not measured.

    Args:
        tunnels: name of a method -> store of `tunnels.measure` at its setting.
        curvature: the same of `curvature.measure`.
    """
    parts = []
    for method, store in tunnels.items():
        curved = curvature[method]
        found = statistics_of(curved)[["large_scale", "top_eigenvalue", "trace"]].assign(
            test_error=curved["test_error"]
        )
        width = store["width_accuracy"].mean("direction") * (180 / math.pi)
        found = found.reindex(seed=store["seed"]).assign(angular_width=width, norm=store["radius"])
        lost = store["diverged"].astype(bool)
        parts.append(found.where(~lost).assign(diverged=lost))
    return xr.concat(parts, xr.Variable("method", list(tunnels)))


def paired_differences(data: xr.Dataset, intervals: Intervals) -> pd.DataFrame:
    """Return by how much each method's statistics differ from one solution's of the same budget (our definition).

    The differences are taken seed by seed, since a seed's solutions share their initialisation, and averaged; the
    interval is bootstrapped over seeds. `effect` is the difference of the means in units of the pooled standard
    deviation over seeds.

    Args:
        data: of `gather`, `REFERENCE` among its methods.
        intervals: how they are computed.

    Returns:
        One row per (statistic, method): `estimate`, `low`, `high` in the units of the statistic, `effect`, `seeds`.
    """
    rows = []
    for name in STATISTICS:
        reference = data[name].sel({"method": REFERENCE}).values
        for method in [method for method in data["method"].values.tolist() if method != REFERENCE]:
            values = data[name].sel({"method": method}).values
            difference = values - reference
            interval = intervals.mean(difference)
            seeds = int(np.isfinite(difference).sum())
            effect = standardised_difference(reference, values)
            rows.append({"statistic": name, "method": method, **vars(interval), "effect": effect, "seeds": seeds})
    return pd.DataFrame(rows)


SOLUTIONS = {"swa": "weight averages", "sam": "sharpness-aware solutions"}
# Statistic -> (what is said of a flat method's solutions, whether the difference is to be large, its unit)
SENTENCES = {
    "angular_width": ("Tunnels around {} are wider than around one solution of the same budget", True, "degrees"),
    "large_scale": ("Large-scale curvature at {} is lower than at one solution", False, "nats / radian^2"),
    "top_eigenvalue": ("The top eigenvalue at {} is lower than at one solution", False, "nats / weight^2"),
    "test_error": ("The test error of {} is lower than of one solution", False, "fraction"),
}


def claims(tunnels: OfMethods, curvature: OfMethods, rules: Rules, intervals: Intervals) -> Iterator[dict]:
    """Judge whether weight averages and sharpness-aware solutions are flatter and better than one solution.

    The statistic is the difference seed by seed (`paired_differences`), the edge of the rule zero.
    """
    data = gather(tunnels, curvature)
    found = paired_differences(data, intervals).set_index(["statistic", "method"])
    for method, text in SOLUTIONS.items():
        lost = int(data["diverged"].sel({"method": [method, REFERENCE]}).any("method").sum())
        for name, (sentence, large, unit) in SENTENCES.items():
            part = found.loc[(name, method)]
            interval, seeds = Interval(part["estimate"], part["low"], part["high"]), int(part["seeds"])
            yield row(
                f"{method}_{name}",
                sentence.format(text),
                f"difference, {unit}",
                is_large(interval, 0.0) if large else is_small(interval, 0.0),
                seeds,
                seeds,
                lost,
                float(part["effect"]),
            )
