"""What the paper claims about statistics over hyperparameters and about methods of finding solutions, judged."""

from __future__ import annotations

import xarray as xr

from wedgescape.analysis import flatness
from wedgescape.analysis.claims import in_order, trend_claim
from wedgescape.analysis.phase_diagram import gather, likeness, points_of, varied
from wedgescape.analysis.verdicts import Rules, is_large, is_small, row
from wedgescape.measurements import curvature as sharpness
from wedgescape.numerics.intervals import Interval
from wedgescape.stores.zarr_stores import along

Points = dict[str, dict[str, xr.Dataset]]  # measurement -> {point: its store}

# The paper says that learning rate, L2 and width act alike on the large-scale curvature; the rest we ask beside, and of
# the error rate as well, since a network that is less confident is curved otherwise in its loss.
SWEEPS = {
    "learning_rate": "the learning rate",
    "weight_decay": "L2 regularisation",
    "width": "width",
    "dropout": "dropout",
    "batch_size": "the batch size",
}
LARGE_SCALE = {
    "large_scale": ("curvature", "Large-scale curvature of the loss"),
    "large_scale_error": ("roughness", "Large-scale curvature of the error rate"),
}
CURVATURES = {
    "large_scale": "large-scale curvature",
    "large_scale_error": "large-scale curvature of the error rate",
    "top_eigenvalue": "top eigenvalue",
    "trace": "trace of the Hessian",
}
HYPERPARAMETERS = {"learning_rate": "learning rate", "weight_decay": "L2", "batch_size": "batch size"}
FLAT_METHODS = {"swa": "weight averages", "sam": "sharpness-aware solutions"}
# Statistic -> (what is said of a flat method's solutions, whether the difference is to be large, its unit)
FLAT_SENTENCES = {
    "angular_width": ("Tunnels around {} are wider than around one solution of the same budget", True, "degrees"),
    "large_scale": ("Large-scale curvature at {} is lower than at one solution", False, "nats / radian^2"),
    "top_eigenvalue": ("The top eigenvalue at {} is lower than at one solution", False, "nats / weight^2"),
    "test_error": ("The test error of {} is lower than of one solution", False, "fraction"),
}


def curvature_claims(curvature: dict[str, xr.Dataset], rules: Rules) -> list[dict]:
    """Judge how the large-scale curvature of loss and of error rate moves over each sweep (`claims.trend_claim`)."""
    return [
        trend_claim(store, store[quantity], f"{name}_{sweep}", f"{text} falls with {SWEEPS[sweep]}", is_small, rules)
        for sweep, store in in_order(curvature, SWEEPS)
        for quantity, (name, text) in LARGE_SCALE.items()
    ]


def width_claims(points: Points, rules: Rules) -> list[dict]:
    """Judge whether wide tunnels are where the loss is little curved, over all points at which both were measured.

    The statistic is Spearman's rho of angular width and a curvature statistic over all (point, seed) pairs,
    bootstrapped over seeds.
    """
    everywhere = {point: point for point in points["curvature"]}
    curvature, tunnels = (along(points[name], everywhere) for name in ("curvature", "tunnels"))
    found = sharpness.correlations({"all": curvature}, {"all": tunnels}, rules.confidence, rules.resamples)
    found = found.set_index("statistic")
    diverged = int(curvature["diverged"].sum())
    rows = []
    for name, text in CURVATURES.items():
        part = found.loc[name]
        interval = Interval(part["estimate"], part["low"], part["high"])
        rows.append(
            row(
                f"flat_{name}",
                f"Wider tunnels have a lower {text}",
                "Spearman's rho",
                is_small(interval, -rules.minimum_correlation, rules.minimum_correlation),
                curvature.sizes["seed"],
                int(part["count"]),
                diverged,
            )
        )
    return rows


def flatness_claims(points: Points, methods: dict[str, str], rules: Rules) -> list[dict]:
    """Judge whether weight averages and sharpness-aware solutions are flatter and better than one solution.

    The statistic is the difference seed by seed (`flatness.paired_differences`), the edge of the rule zero.

    Args:
        points: measurement -> {point: store}.
        methods: name of a method -> its point.
        rules: of the verdicts.
    """
    tunnels, curvature = (
        {method: points[name][point] for method, point in methods.items()} for name in ("tunnels", "curvature")
    )
    data = flatness.gather(tunnels, curvature)
    found = flatness.paired_differences(data, rules.confidence, rules.resamples).set_index(["statistic", "method"])
    rows = []
    for method, text in FLAT_METHODS.items():
        runs = data["diverged"].sel({"method": [method, flatness.REFERENCE]})
        lost = int(runs.any("method").sum())
        for name, (sentence, large, unit) in FLAT_SENTENCES.items():
            part = found.loc[(name, method)]
            interval = Interval(part["estimate"], part["low"], part["high"])
            rows.append(
                row(
                    f"{method}_{name}",
                    sentence.format(text),
                    f"difference, {unit}",
                    is_large(interval, 0.0) if large else is_small(interval, 0.0),
                    int(part["seeds"]),
                    int(part["seeds"]),
                    lost,
                    float(part["effect"]),
                )
            )
    return rows


def likeness_claims(points: Points, grids: dict[str, dict], rules: Rules) -> list[dict]:
    """Judge whether two hyperparameters of a grid act in similar ways on all statistics together.

    The statistic is the cosine of their vectors of standardised effects (`phase_diagram.likeness`). Supported where
    its interval lies above `minimum_likeness`, contradicted where it lies below zero: the one then acts as the other
    lowered. What chance would give stands in the statistic, for the statistics depend on one another.

    Args:
        points: measurement -> {point: store}.
        grids: name -> `keys` of the grid, and its `points` {name: hyperparameters}.
        rules: of the verdicts.
    """
    if not grids:
        return []
    data, keys = gather(points_of(grids), points), varied(grids, ordered=True)
    rows = []
    for part in likeness(data, keys, rules.confidence, rules.resamples).itertuples():
        interval = Interval(part.estimate, part.low, part.high)
        first, second = (HYPERPARAMETERS.get(name, name) for name in (part.first, part.second))
        rows.append(
            row(
                f"similar_{part.first}_{part.second}",
                f"{first[0].upper()}{first[1:]} and {second} act in similar ways on all statistics together",
                f"cosine of their effects (by chance {part.chance:.2f})",
                is_large(interval, rules.minimum_likeness, 0.0),
                part.seeds,
                part.points,
            )
        )
    return rows
