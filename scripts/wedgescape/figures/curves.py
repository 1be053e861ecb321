"""Draw curves between pairs of optima beside the straight lines: Bezier curves and polygonal chains.

(a) The training loss, (b) the test error and (c) the norm of the weights along the curves; thin lines are pairs, thick
ones their mean, of losses the geometric one, bands the interval of the mean. (d) Barriers and (e) lengths: dots are
pairs, diamonds means with their intervals. A barrier is the largest excess of the loss over the line between the ends'
losses; it is zero if the loss exceeds that line nowhere.
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
from wedgescape.measurements.curves import tidy
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "curves between pairs of optima"

LABELS = {"line": "straight line", "bezier": "Bezier curve", "chain": "polygonal chain"}
SHORT = {"line": "line", "bezier": "Bezier", "chain": "chain"}
SHIFTS = {"train": -6.0, "test": 6.0}  # points
SPREAD = 6.0  # points, of the dots of a kind


def tabulate(curves: AtBase) -> pd.DataFrame:
    """Return one row per (kind, pair, split, t)."""
    return tidy(curves)


def draw(curves: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    style.apply()
    figure = Figure(figsize=(style.TWO_COLUMNS, 4.6))
    above, below = figure.subfigures(2, 1, height_ratios=(1.16, 1))
    loss, error = above.subplots(1, 2)
    norm, barrier, length = below.subplots(1, 3)
    train, test = (curves.sel(split=split) for split in style.SPLITS)
    _draw_along(loss, train["loss"].where(train["loss"] > 0), style.geometric_means, intervals)
    _draw_along(error, 1 - test["score"], style.means, intervals)
    _draw_along(norm, curves["norm"], style.means, intervals)
    _draw_barriers(barrier, curves["barrier"], intervals)
    _draw_lengths(length, curves["length"] / curves["length"].sel(kind="line"), intervals)
    style.log_axis(loss)
    loss.set_ylabel("loss (nats)")
    error.set(ylabel="error (fraction)", ylim=(0, None))
    norm.set_ylabel("norm (weights)")
    texts = ("Training loss", "Test error", "Weights", "Barriers", "Lengths")
    for axes, letter, text in zip((loss, error, norm, barrier, length), "abcde", texts, strict=True):
        style.title(axes, letter, text)
    kinds = curves["kind"].values.tolist()
    handles = [Line2D([], [], color=style.CURVES[kind], label=LABELS[kind]) for kind in kinds]
    handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=0.5, label=f"each of {curves.sizes['pair']} pairs"))
    handles.append(
        Line2D([], [], color=style.NEUTRAL, linewidth=1.6, label=f"mean, {intervals.confidence:.0%} interval")
    )
    above.legend(handles=handles, loc="outside upper center", ncols=5, columnspacing=1.4)
    return figure


def _draw_along(axes: Axes, values: xr.DataArray, means: Callable, intervals: Intervals) -> None:
    positions = values["t"].values
    for kind in values["kind"].values.tolist():
        seen, colour = values.sel(kind=kind).transpose("t", "pair").values.astype(float), style.CURVES[kind]
        axes.plot(positions, seen, color=colour, linewidth=0.4, alpha=0.45)
        style.band(axes, positions, *means(seen, intervals), colour, linewidth=1.2)
    axes.set(xlabel="position $t$ on the curve", xlim=(0, 1))


def _draw_barriers(axes: Axes, barriers: xr.DataArray, intervals: Intervals) -> None:
    positions = style.value_axis(axes, [SHORT[kind] for kind in barriers["kind"].values.tolist()])
    for split, shift in SHIFTS.items():
        seen = barriers.sel(split=split).transpose("kind", "pair").values
        style.dots(axes, positions, seen, style.SPLITS[split], shift, SPREAD)
        means = style.means(seen, intervals)
        style.intervals(axes, positions, *means, style.SPLITS[split], shift, joined=False)
    _logarithmic_from_zero(axes, barriers.values)
    axes.set_ylabel("barrier (nats)")
    handles = [Line2D([], [], color=colour, marker="D", markersize=2.4, linestyle="none", label=split)
               for split, colour in style.SPLITS.items()]  # fmt: skip
    axes.legend(handles=handles, loc="best", handletextpad=0.2)


def _logarithmic_from_zero(axes: Axes, values: np.ndarray) -> None:
    """Make the y axis logarithmic down to the smallest positive value, six powers of ten at most, and linear to 0."""
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        return
    high = math.ceil(math.log10(positive.max()))
    low = min(max(math.floor(math.log10(positive.min())), high - 6), high - 1)
    axes.set_yscale("symlog", linthresh=10.0**low, linscale=0.5)
    axes.set_ylim(-0.3 * 10.0**low, 10.0**high)
    axes.yaxis.set_major_locator(ticker.FixedLocator([0, *(10.0**power for power in range(low, high + 1))]))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _place: style.number(value)))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def _draw_lengths(axes: Axes, lengths: xr.DataArray, intervals: Intervals) -> None:
    kinds = lengths["kind"].values.tolist()
    positions = style.value_axis(axes, [SHORT[kind] for kind in kinds])
    seen = lengths.transpose("kind", "pair").values.astype(float)
    for position, row, kind in zip(positions, seen, kinds, strict=True):
        style.dots(axes, [position], row[None], style.CURVES[kind], spread=2 * SPREAD)
        means = style.means(row[None], intervals)
        style.intervals(axes, [position], *means, style.CURVES[kind], joined=False)
    axes.set_ylabel("length / straight line's")
