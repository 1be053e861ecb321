"""Draw weight averages beside their members, the barriers between members, and the gain of ensembles.

(a) Training and (b) test loss at the average of a group's members against their own mean loss; on the line they are
equal. (c) The largest barrier on the straight lines between all pairs of members, as a share of the way from the
members' loss to chance. (d) What an ensemble gains in log-likelihood over its members against their disagreement, with
the mean over groups of Spearman's rho over methods. Dots are groups, of which no two share a seed, diamonds means with
the interval.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape.analysis.ensembles import gain, relative_barrier, several, summarise, tidy_averages
from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import AtBase

CATEGORY = "8 Ensembles"
TITLE = "weight averages, barriers and gains"

SPREAD = 0.44  # rows, over which the groups of a method are spread
SIZES = {"swa": 7.5, "snapshots": 5.5, "fge": 3.5}  # points, of their diamonds, which would hide each other
SMALL_BARRIER = 1e-3  # of the way to chance, below which the axis is linear
LETTERS = {"train": ("a", "Training loss"), "test": ("b", "Test loss")}


def tabulate(ensembles: AtBase) -> pd.DataFrame:
    """Return one row per (ensemble, seed) of methods with members."""
    return tidy_averages(ensembles["methods"])


def draw(ensembles: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    store = several(ensembles["methods"])
    figure, axes = style.panels(2, 2, style.TWO_COLUMNS, 5.0)
    for panel, (split, (letter, text)) in zip(axes[0], LETTERS.items(), strict=True):
        _draw_averages(panel, store.sel(split=split), intervals)
        style.title(panel, letter, text, "dashed: equal; colours as in c")
    _draw_barriers(axes[1, 0], relative_barrier(store).sel(split="train"), intervals)
    style.title(axes[1, 0], "c", "Barriers between members")
    _draw_gains(axes[1, 1], store, intervals)
    style.title(axes[1, 1], "d", "Gain of ensembles")
    return figure


def _cloud(axes: Axes, x: xr.DataArray, y: xr.DataArray, intervals: Intervals) -> None:
    """Draw each group as a dot and each method's means as a diamond with both intervals."""
    ends_x, ends_y = (summarise(part, intervals) for part in (x, y))
    for row, method in enumerate(x["ensemble"].values):
        colour = style.METHODS[method]
        axes.scatter(x.values[row], y.values[row], s=7, color=colour, alpha=0.45, linewidths=0, zorder=3)
        mean, other = ends_x[row], ends_y[row]
        if np.isfinite([*mean, *other]).all():
            axes.plot(mean[1:], [other[0]] * 2, color=colour, linewidth=1, zorder=4)
            axes.plot([mean[0]] * 2, other[1:], color=colour, linewidth=1, zorder=4)
        look = {"markersize": SIZES.get(method, 4.5), "markeredgecolor": "white", "markeredgewidth": 0.6, "zorder": 5}
        axes.plot(mean[0], other[0], "D", color=colour, **look)


def _draw_averages(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    _cloud(axes, store["members_loss"], store["average_loss"], intervals)
    axes.set(xscale="log", xlabel="members' mean loss (nats)", ylabel="loss at their average (nats)")
    axes.margins(0.08)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(ticker.FixedLocator(style.log_ticks(low, high)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _place: style.number(value)))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    style.log_axis(axes)
    bottom, top = axes.get_ylim()
    axes.axline((1, 1), (2, 2), color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
    axes.set(xlim=(low, high), ylim=(bottom, top))


def _draw_barriers(axes: Axes, values: xr.DataArray, intervals: Intervals) -> None:
    means = summarise(values, intervals)
    axes.set_xscale("symlog", linthresh=SMALL_BARRIER)
    for row, method in enumerate(values["ensemble"].values):
        style.strip(axes, row, values.values[row], means[row], style.METHODS[method], SPREAD)
    axes.set_yticks(range(len(means)), [style.METHOD_NAMES[method] for method in values["ensemble"].values])
    for label, method in zip(axes.get_yticklabels(), values["ensemble"].values, strict=True):
        label.set_color(style.METHODS[method])
    axes.set(ylim=(len(means) - 0.5, -0.5), xlabel="largest barrier / way to chance, training loss")
    axes.grid(axis="y", color=style.FAINT, linewidth=0.3)


def _draw_gains(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    gains = gain(store["nll"])
    kept = np.isfinite(gains).any("seed").values
    x, y = store["disagreement"].isel(ensemble=kept), gains.isel(ensemble=kept)
    _cloud(axes, x, y, intervals)
    rho = intervals.correlation(x.values, y.values)
    text = rf"$\rho = {rho.estimate:.2f}$ [{rho.low:.2f}, {rho.high:.2f}]"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=7)
    axes.set(xlabel="members' disagreement (fraction)", ylabel="gain in log-likelihood (nats)")
