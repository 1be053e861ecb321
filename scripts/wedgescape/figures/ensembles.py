"""Draw how good ensembles are, at one budget of gradients for every method.

Columns are scores on the test split. (a-d) Against the number of members: means over groups, and over subsets of a
group's members, with the interval over groups; methods that yield one network are dashed lines. (e-h) All members
together: dots are groups, of which no two share a seed, diamonds means with their intervals.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.analysis.ensembles import complete, groups_of, summarise, tidy
from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import AtBase

CATEGORY = "8 Ensembles"
TITLE = "ensembles of solutions at one budget"
STANDS_FOR = {
    "ensembles": "Several ways to find solutions for the same computing time: how different they are, and how well "
    "they predict together.",
}

TITLES = {
    "accuracy": ("Accuracy", "accuracy (fraction)"),
    "nll": ("Likelihood", "neg. log-likelihood (nats)"),
    "brier": ("Brier score", "Brier score (0 to 2)"),
    "calibration_error": ("Calibration", "calibration error"),
}
SPREAD = 0.44  # rows, over which the groups of a method are spread
SHIFT = 2.0  # points between series


def tabulate(ensembles: AtBase) -> pd.DataFrame:
    """Return one row per (ensemble, seed, size)."""
    return tidy(ensembles["methods"])


def draw(ensembles: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    store = groups_of(ensembles["methods"])
    figure, axes = style.panels(2, len(TITLES), style.TWO_COLUMNS, 4.7, height_ratios=(1, 1.1))
    for column, (name, (text, label)) in enumerate(TITLES.items()):
        above, below = axes[:, column]
        _draw_sizes(above, store[name], intervals)
        above.set(xlabel="members", ylabel=label)
        style.title(above, "abcd"[column], text)
        _draw_groups(below, complete(store[name]), intervals)
        below.set_xlabel(label)
        style.title(below, "efgh"[column], "All members")
        below.tick_params(labelleft=column == 0)
    diverged = store["group_diverged"].sum("seed").values
    names = [style.METHOD_NAMES[method] for method in store["ensemble"].values]
    axes[1, 0].set_yticks(
        range(len(names)),
        [f"{name}\n({count} diverged)" if count else name for name, count in zip(names, diverged, strict=True)],
    )
    for label, method in zip(axes[1, 0].get_yticklabels(), store["ensemble"].values, strict=True):
        label.set_color(style.METHODS[method])
    count = store.sizes["seed"]
    handles = [
        Line2D([], [], color=style.NEUTRAL, marker="D", label=f"mean, {intervals.confidence:.0%} interval"),
        Line2D([], [], color=style.NEUTRAL, linestyle="--", label="one network"),
        Line2D([], [], color=style.NEUTRAL, marker=".", linestyle="none", label=f"each of {count} groups"),
    ]
    title = (
        "One budget of gradients for every method. High accuracy is good; of the other scores, low. Colours as in e."
    )
    figure.legend(handles=handles, loc="outside upper center", ncols=3, title=title)
    return figure


def _draw_sizes(axes: Axes, values: xr.DataArray, intervals: Intervals) -> None:
    means = summarise(values, intervals)  # (ensemble, size, 3)
    sizes = values["size"].values
    several = [row for row in range(len(means)) if np.isfinite(means[row, -1, 0])]
    for row, method in enumerate(values["ensemble"].values):
        colour = style.METHODS[method]
        if row in several:
            shift = SHIFT * (several.index(row) - (len(several) - 1) / 2)
            style.intervals(axes, sizes, *means[row].T, colour, shift)
        else:
            axes.axhline(means[row, 0, 0], color=colour, linestyle="--", linewidth=0.9, zorder=2)
    axes.set_xlim(sizes[0] - 0.5, sizes[-1] + 0.5)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5))


def _draw_groups(axes: Axes, values: xr.DataArray, intervals: Intervals) -> None:
    means = summarise(values, intervals)  # (ensemble, 3)
    for row, method in enumerate(values["ensemble"].values):
        style.strip(axes, row, values.values[row], means[row], style.METHODS[method], SPREAD)
    axes.set_yticks(range(len(means)))
    axes.set_ylim(len(means) - 0.5, -0.5)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.3)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(3))
