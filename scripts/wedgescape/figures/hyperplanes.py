"""Draw how far networks descend in random hyperplanes of d dimensions, and how many dimensions are enough.

(a) The training accuracy at the end of a descent over what the same seed reaches in the full space, against d; marks
on the dashed line are the thresholds, geometric means over seeds. (b) The training loss there; at the right, the full
space's. Thin lines are seeds, thick ones their mean, of losses the geometric one, bands the interval of the mean. (c)
Each seed's threshold (dots) against the number P of parameters, with means and intervals. A seed that never reached it
is an open triangle at the largest d tried, a lower bound; then no mean is drawn, since that of the others would be too
low. Seeds that are no optima in the full space are left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.measurements.hyperplanes import mean_threshold, measured, tidy
from wedgescape.numerics.intervals import Interval, Intervals
from wedgescape.numerics.judging import fit, left_out
from wedgescape.study.places import AtWidths

CATEGORY = "4 Geometry"
TITLE = "descents in random hyperplanes"
STANDS_FOR = {
    "directions": "Training in a random flat slice of weight space: how many directions are enough to reach a good "
    "accuracy, at each width.",
}

HEIGHT = 2.6  # inches
GUIDE = {"color": style.FAINT, "linestyle": "--", "linewidth": 0.8, "zorder": 1}


def tabulate(hyperplanes: AtWidths) -> pd.DataFrame:
    """Return one row per (width, dimension, seed) that was measured."""
    parts = [tidy(store).assign(width=store.attrs["width"]) for store in hyperplanes.values()]
    return pd.concat(parts, ignore_index=True)


def draw(hyperplanes: AtWidths, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    stores = sorted(hyperplanes.values(), key=lambda store: store.attrs["parameters"])
    figure, axes = style.panels(1, 3, style.TWO_COLUMNS, HEIGHT)
    accuracy, loss, threshold = axes[0]
    fraction = stores[0].attrs["score_fraction"]
    name = rf"$d_{{{100 * fraction:g}}}$"
    looks = [
        {"color": colour, "marker": style.MARKERS[place % len(style.MARKERS)]}
        for place, colour in enumerate(style.levels(len(stores)))
    ]
    accuracy.axhline(fraction, **GUIDE)
    accuracy.annotate(
        f"{100 * fraction:g} %",
        (0, fraction),
        (3, 2),
        xycoords=accuracy.get_yaxis_transform(),
        textcoords="offset points",
        fontsize=6.5,
        color=style.NEUTRAL,
    )
    for store, look in zip(stores, looks, strict=True):
        kept = store.isel(seed=np.flatnonzero(fit(store).values))
        relative = (kept["score"] / kept["full_score"]).sel(split="train")
        mean = mean_threshold(store, intervals)
        _draw_along(accuracy, relative, look["color"], style.means, intervals)
        _draw_along(loss, kept["loss"].sel(split="train"), look["color"], style.geometric_means, intervals)
        accuracy.plot(mean.estimate, fraction, **look, markersize=3.5, zorder=5, clip_on=False)
        loss.axhline(_full_loss(kept), 0.95, 1, color=look["color"], linewidth=1.2)
        _draw_thresholds(threshold, kept, mean, look)
    for panel in (accuracy, loss):
        _dimension_axis(panel, stores)
    accuracy.set(ylabel="training accuracy / full space's", ylim=(0, 1.02))
    loss.set_ylabel("training loss (nats)")
    style.log_axis(loss)
    middle = np.exp(np.mean([np.log(_full_loss(store)) for store in stores]))
    loss.text(
        0.93,
        middle,
        "full space",
        transform=loss.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=6.5,
        color=style.NEUTRAL,
    )
    _finish_thresholds(threshold, [store.attrs["parameters"] for store in stores])
    threshold.set_ylabel(f"dimensions {name} that are enough")
    for panel, letter, text in zip(axes[0], "abc", ("Accuracy", "Loss", f"Threshold {name}"), strict=True):
        style.title(panel, letter, text)
    _legend(figure, stores, looks, intervals, name)
    style.thin_labels(figure)
    return figure


def _full_loss(store: xr.Dataset) -> float:
    """Return the training loss in the full space, the geometric mean over seeds."""
    return float(np.exp(np.log(store["full_loss"].sel(split="train")).mean()))


def _draw_along(axes: Axes, values: xr.DataArray, colour, means: Callable, intervals: Intervals) -> None:
    """Draw all seeds, their mean and its interval, as far as was measured."""
    dims, seen = values["dimension"].values, values.transpose("dimension", "seed").values.astype(float)
    axes.plot(dims, seen, color=colour, linewidth=0.4, alpha=0.3)
    style.band(axes, dims, *means(seen, intervals), colour, linewidth=1.2)


def _dimension_axis(axes: Axes, stores: list[xr.Dataset]) -> None:
    """Lay out the x axis for all dimensions that were tried: a tick at each, six numbers at most, the last one too."""
    dims = np.unique(np.concatenate([measured(store) for store in stores]))
    style.value_axis(axes, dims.tolist())
    every = math.ceil(len(dims) / 6)
    numbered = [style.number(d) if (len(dims) - 1 - place) % every == 0 else "" for place, d in enumerate(dims)]
    axes.xaxis.set_major_formatter(ticker.FixedFormatter(numbered))
    axes.set_xlabel("dimensions $d$ of the hyperplane")


def _draw_thresholds(axes: Axes, store: xr.Dataset, mean: Interval, look: dict) -> None:
    parameters, censored = store.attrs["parameters"], store["censored"].values == "above"
    axes.set_xscale("log")
    if not store.sizes["seed"]:  # every seed of this width diverged
        return
    style.dots(axes, [parameters], store["threshold"].values[None], look["color"], spread=8.0)
    style.intervals(axes, [parameters], [mean.estimate], [mean.low], [mean.high], look["color"], joined=False)
    if censored.any():
        lost = np.where(censored, float(measured(store).max()), np.nan)[None]
        outline = {"edgecolors": [look["color"]], "linewidths": 0.7, "alpha": 1}
        style.dots(axes, [parameters], lost, "none", spread=8.0, s=12, marker="^", **outline)
    elif np.isfinite(mean.estimate):
        share = f"{100 * mean.estimate / parameters:.2g} %"
        place = (parameters, np.nanmin(store["threshold"].values))
        axes.annotate(share, place, (0, -4), textcoords="offset points", ha="center", va="top", fontsize=6.5)


def _finish_thresholds(axes: Axes, parameters: list[int]) -> None:
    """Lay out the axes and draw the whole space and a tenth of it."""
    lowest = min(axes.dataLim.y0, 0.05 * min(parameters))
    style.value_axis(axes, parameters)
    ends = np.array(axes.get_xlim())
    middle = math.sqrt(min(parameters) * max(parameters))
    for share, text in ((1.0, "$d = P$"), (0.1, "$d = P / 10$")):
        axes.plot(ends, share * ends, **GUIDE)
        axes.text(
            middle,
            1.08 * share * middle,
            text,
            rotation=math.degrees(math.atan(share)),
            rotation_mode="anchor",
            transform_rotates_text=True,
            ha="center",
            va="bottom",
            fontsize=7,
            color=style.NEUTRAL,
        )
    axes.set_ylim(lowest / 2, max(max(parameters), 2.5 * middle))
    axes.set_xlabel("parameters $P$")
    style.log_axis(axes)


def _legend(figure: Figure, stores: list[xr.Dataset], looks: list[dict], intervals: Intervals, name: str) -> None:
    seeds = max(int(fit(store).sum()) for store in stores)
    handles = [
        Line2D([], [], label=f"width {store.attrs['width']}", markersize=4, **look)
        for store, look in zip(stores, looks, strict=True)
    ]
    handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=0.5, label=f"each of {seeds} seeds"))
    handles.append(
        Line2D([], [], color=style.NEUTRAL, linewidth=1.6, label=f"mean, {intervals.confidence:.0%} interval")
    )
    if any((store["censored"].values == "above").any() for store in stores):
        look = {"color": style.NEUTRAL, "linestyle": "none", "marker": "^", "markerfacecolor": "none"}
        handles.append(Line2D([], [], label=f"{name} not reached", **look))
    lost = sum(left_out(store) for store in stores)
    if lost:
        handles.append(Line2D([], [], linestyle="none", label=f"no optima: {lost}"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 7), columnspacing=1.2)
