"""Draw how stiff networks are: whether a step on one example lowers the loss of others.

(a) Mean cosines between the gradients of a training and a test example, by their classes, at the optimum; the mean over
seeds. (b) Means within a class and between classes, at the initialisation and at the optimum, and with shuffled labels:
dots are seeds, diamonds means, bars the interval of the mean.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape.figures import style
from wedgescape.measurements.stiffness import GROUPS, TIMES
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import fit
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "6 Curvature"
TITLE = "stiffness: gradients of two examples"
STANDS_FOR = {"stiffness": "Whether a step on one example helps others, of its class and of other classes."}

COLOURS = {"initialisation": style.PLACES["random"], "optimum": style.PLACES["optima"]}


def tabulate(stiffness: AtBase) -> pd.DataFrame:
    """Return one row per (seed, time, pairs, group)."""
    return as_rows(stiffness[["stiffness"]], ("seed", "time", "pairs", "group"), ("stiffness",))


def draw(stiffness: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    store = stiffness.isel(seed=fit(stiffness).values)
    figure, axes = style.panels(1, 2, style.TWO_COLUMNS, 2.6, width_ratios=(1, 1.3))
    _draw_classes(axes[0, 0], store["by_class"].sel(time="optimum"))
    _draw_groups(axes[0, 1], store["stiffness"].sel(pairs="unseen"), intervals)
    style.title(axes[0, 0], "a", "By class, at the optimum")
    style.title(axes[0, 1], "b", "Within and between classes", f"{store.sizes['seed']} networks")
    return figure


def _draw_classes(axes: Axes, cosines: xr.DataArray) -> None:
    mean = cosines.mean("seed").transpose("first", "second").values
    largest = float(np.nanmax(np.abs(mean))) if np.isfinite(mean).any() else 1.0
    drawn = axes.imshow(mean, cmap="PuOr_r", vmin=-largest, vmax=largest)
    axes.set(xlabel="class of the test example", ylabel="class of the training example")
    ticks = np.arange(0, len(mean), 1 + len(mean) // 11)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    style.colour_bar(axes, drawn, "mean cosine")


def _draw_groups(axes: Axes, values: xr.DataArray, intervals: Intervals) -> None:
    rows = [(group, time) for group in GROUPS for time in TIMES]
    for row, (group, time) in enumerate(reversed(rows)):
        found = values.sel(group=group, time=time).values
        mean = intervals.mean(found)
        style.strip(axes, row, found, (mean.estimate, mean.low, mean.high), COLOURS[time], 0.5)
    names = {"within": "one class", "between": "two classes"}
    labels = [
        f"{names[group.split()[0]]}{', shuffled' if 'relabelled' in group else ''}, {time}" for group, time in rows
    ]
    axes.set_yticks(range(len(rows)), labels[::-1])
    axes.axvline(0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set(xlabel="mean cosine", ylim=(-0.6, len(rows) - 0.4))
