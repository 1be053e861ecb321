"""Draw how the base setting's networks were trained: loss, accuracy and the length of the weights over epochs.

Thin lines are seeds, thick ones their mean, bands the interval of the mean. Runs that diverged are dotted and grey.
Runs that stayed finite and do not fit the training data are crosses. Both are counted, and are in no mean or interval.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from wedgescape.figures import style
from wedgescape.numerics.intervals import Interval, Intervals
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import TrainedAtBase

CATEGORY = "3 Training"
TITLE = "training at the base setting"

KEPT_OUT = ("diverged", "unfit")
CURVES = [f"{split}_{name}" for name in ("loss", "score") for split in style.SPLITS] + ["norm", "distance_from_init"]
CROSSES = 12  # along a curve
UNFIT = {"color": style.NEUTRAL, "linestyle": "none", "marker": "x", "markersize": 3, "markeredgewidth": 0.7}
DIVERGED = {"color": style.FAINT, "linestyle": ":", "linewidth": 0.8}


def tabulate(training: TrainedAtBase) -> pd.DataFrame:
    """Return one row per (seed, epoch)."""
    return as_rows(training[[*CURVES, *KEPT_OUT]], ("seed", "epoch"), [*CURVES, *KEPT_OUT])


def draw(training: TrainedAtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    figure, axes = style.panels(1, 3, style.TWO_COLUMNS, 2.5)
    loss, accuracy, size = axes[0]
    kept_out = {name: training[name].values.astype(bool) for name in KEPT_OUT}
    drawn = [(loss, f"{split}_loss", colour, "-") for split, colour in style.SPLITS.items()]
    drawn += [(accuracy, f"{split}_score", colour, "-") for split, colour in style.SPLITS.items()]
    drawn += [(size, "norm", style.NEUTRAL, "-"), (size, "distance_from_init", style.NEUTRAL, "--")]
    ends = ["after the last epoch:"]
    for panel, name, colour, line in drawn:
        last = _curves(panel, training[name], kept_out, colour, line, intervals)
        if panel is accuracy:
            ends.append(f"{name.removesuffix('_score')} {last.estimate:.3f} [{last.low:.3f}, {last.high:.3f}]")
    style.log_axis(loss)
    loss.set_ylabel("loss (nats)")
    accuracy.set(ylabel="accuracy (fraction)", ylim=(None, 1.02))
    size.set(ylabel="length (weights)", ylim=(0, None))
    if not np.any([*kept_out.values()], axis=0).all():
        _say(accuracy, ends, low=float(training["test_score"][:, -1].mean()) > 0.5)
    for panel, letter, text in zip(axes[0], "abc", ("Loss", "Accuracy", "Weights"), strict=True):
        panel.set(xlabel="epoch", xlim=(training["epoch"].min(), training["epoch"].max()))
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        style.title(panel, letter, text)
    size.legend(
        handles=[
            Line2D([], [], color=style.NEUTRAL, label="norm"),
            Line2D([], [], color=style.NEUTRAL, ls="--", label="distance from the start"),
        ],
        loc="best",
    )
    figure.legend(handles=_legend(kept_out, intervals), loc="outside upper center", ncols=6, columnspacing=1.4)
    return figure


def _say(axes: Axes, lines: list[str], low: bool) -> None:
    """Write lines into the lower or the upper right corner, whichever the curves leave free."""
    place = (0.98, 0.04 if low else 0.96)
    va = "bottom" if low else "top"
    axes.text(*place, "\n".join(lines), transform=axes.transAxes, ha="right", va=va, fontsize=7, color=style.NEUTRAL)


def _curves(
    axes: Axes, curves: xr.DataArray, kept_out: dict[str, np.ndarray], colour: str, line: str, intervals: Intervals
) -> Interval:
    """Draw all seeds, their mean and its interval, and return both for the last epoch."""
    epochs, values = curves["epoch"].values, curves.transpose("seed", "epoch").values.astype(float)
    every = max(1, len(epochs) // CROSSES)
    for row, diverged, unfit in zip(values, *kept_out.values(), strict=True):
        look = {"color": colour, "linestyle": line, "linewidth": 0.4, "alpha": 0.35}
        look = DIVERGED if diverged else {**UNFIT, "color": colour, "markevery": every} if unfit else look
        axes.plot(epochs, np.where(np.isfinite(row), row, np.nan), **look)
    fits = ~np.any([*kept_out.values()], axis=0)
    means = [intervals.mean(column) for column in values[fits].T]
    mean, low, high = np.array([(part.estimate, part.low, part.high) for part in means]).T
    style.band(axes, epochs, mean, low, high, colour, linestyle=line, linewidth=1.2)
    return means[-1]


def _legend(kept_out: dict[str, np.ndarray], intervals: Intervals) -> list[Line2D]:
    handles = [Line2D([], [], color=colour, label=split) for split, colour in style.SPLITS.items()]
    kept = int((~np.any([*kept_out.values()], axis=0)).sum())
    if kept:
        mean = f"mean, {intervals.confidence:.0%} interval"
        handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=0.5, label=f"each of {kept} seeds"))
        handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=1.6, label=mean))
    for name, label, look in (("diverged", "diverged", DIVERGED), ("unfit", "do not fit", UNFIT)):
        if kept_out[name].any():
            handles.append(Line2D([], [], label=f"{label}: {int(kept_out[name].sum())}", **look))
    return handles
