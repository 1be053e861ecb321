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
from wedgescape.numerics.intervals import Intervals, ends_of
from wedgescape.numerics.judging import Claim, fit
from wedgescape.study.places import OfMethods

REFERENCE = "longer"
ON_LOG_SCALE = ("large_scale", "top_eigenvalue", "trace")
STATISTICS = {
    "angular_width": "angular width of the tunnel by the accuracy threshold, mean over rays, degrees",
    "large_scale": "large-scale curvature of the training loss, mean over directions, nats / radian^2",
    "top_eigenvalue": "largest eigenvalue of the Hessian of the training loss, nats / weight^2",
    "trace": "trace of that Hessian, nats / weight^2",
    "norm": "Euclidean norm of the weights",
    "test_error": "fraction of test examples wrong",
}


def gather(tunnels: dict[str, xr.Dataset], curvature: dict[str, xr.Dataset]) -> xr.Dataset:
    """Return `STATISTICS` and `fit` over (method, seed); nan where a run is no optimum or a seed was not measured.

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
        width = store["width_score"].mean("direction") * (180 / math.pi)
        found = found.reindex(seed=store["seed"]).assign(angular_width=width, norm=store["radius"])
        parts.append(found.where(fit(store)).assign(fit=fit(store)))
    return xr.concat(parts, xr.Variable("method", list(tunnels)))


def differences(data: xr.Dataset, statistic: str, method: str) -> np.ndarray:
    """Return by how much a method's statistic differs, seed by seed, from one solution's of the same budget.

    A seed's solutions share their initialisation. Curvatures are positive and skewed: their difference is in decades.

    Args:
        data: of `gather`, `REFERENCE` among its methods.
        statistic: one of `STATISTICS`.
        method: one of the data's.
    """
    values = data[statistic].transpose("method", "seed")
    if statistic in ON_LOG_SCALE:
        values = np.log10(values.where(values > 0))
    return (values.sel({"method": method}) - values.sel({"method": REFERENCE})).values


def paired_differences(data: xr.Dataset, intervals: Intervals) -> pd.DataFrame:
    """Return one row per (statistic, method): `differences` with their interval, and how many seeds have one.

    Args:
        data: of `gather`, `REFERENCE` among its methods.
        intervals: how they are computed.
    """
    rows = []
    for name in STATISTICS:
        for method in [method for method in data["method"].values.tolist() if method != REFERENCE]:
            found = intervals.mean(differences(data, name, method))
            rows.append({"statistic": name, "method": method, **ends_of(found), "seeds": found.units})
    return pd.DataFrame(rows)


SOLUTIONS = {"swa": "weight averages", "sam": "sharpness-aware solutions"}
UNITS = {"angular_width": "degrees", "large_scale": "decades", "top_eigenvalue": "decades"}
NAMES = {
    "angular_width": "the tunnel's angular width",
    "large_scale": "the large-scale curvature",
    "top_eigenvalue": "the largest eigenvalue",
}
OF_CLASSES = True  # it compares predicted probabilities, or which labels are predicted

CLAIMS = (
    "swa_angular_width",
    "swa_large_scale",
    "swa_top_eigenvalue",
    "swa_test_error",
    "sam_angular_width",
    "sam_large_scale",
    "sam_top_eigenvalue",
    "sam_test_error",
)


def claims(tunnels: OfMethods, curvature: OfMethods, training: OfMethods, intervals: Intervals) -> Iterator[Claim]:
    """Estimate by how much weight averages and sharpness-aware solutions are flatter and better than one solution.

    Differences seed by seed; of curvatures, which are positive and skewed, in decades; of the test error over seeds and
    test examples, since a handful of images may make all of it.
    """
    data = gather(tunnels, curvature)
    for method in SOLUTIONS:
        lost = int((~data["fit"].sel({"method": [method, REFERENCE]})).any("method").sum())
        for name, unit in UNITS.items():
            found = intervals.mean(differences(data, name, method))
            yield Claim(f"{method}_{name}", f"difference of {NAMES[name]}, {unit}", found, left_out=lost)
        found = intervals.examples(error_differences(data["fit"], training, method))
        yield Claim(f"{method}_test_error", "difference of the test error, fraction", found, left_out=lost)


def error_differences(kept: xr.DataArray, training: dict[str, xr.Dataset], method: str) -> np.ndarray:
    """Return by how much more often than one solution of the same budget a method is wrong: (seed, example), -1 to 1.

    Args:
        kept: (method, seed), the networks that are optima.
        training: name of a method -> `correct` (seed, example) on the test split.
        method: one of them.
    """
    right = [
        training[name]["correct"].astype(float).where(kept.sel({"method": name}, drop=True))
        for name in (method, REFERENCE)
    ]
    return (right[1] - right[0]).transpose("seed", "example").values
