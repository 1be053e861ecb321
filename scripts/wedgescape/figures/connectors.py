"""Draw how low the loss is between m optima: at the straight middle, and at the centre of the connector.

Beside them are two nulls: where the same search ends that starts from a random point or from an initialisation. Columns
are splits, rows loss and score. Every dot is a set of m optima, larger marks their means (of losses, geometric ones),
bars the interval of the mean over sets. `optima` is the mean over the set's members.
"""

from __future__ import annotations

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "connectors between m optima"

LABELS = {
    "optima": "the optima",
    "centroid": "their linear centroid",
    "centre": "the connector's centre",
    "random": "null: same search from a random point",
    "initialisation": "null: from an initialisation",
}
SHIFTS = {"optima": -10.0, "centroid": -5.0, "centre": 0.0, "random": 5.0, "initialisation": 10.0}  # points
MARKS = {"random": "s", "initialisation": "^"}  # of nulls, which share their colours with the nulls of simplexes
SPREAD = 4.0  # points, of the dots of a size


def tabulate(connectors: AtBase) -> pd.DataFrame:
    """Return one row per (size, set, place, split) with loss and score."""
    dims, columns = ("size", "set", "place", "split"), ("loss", "score")
    return as_rows(connectors[[*columns]], dims, columns).dropna(subset="loss")


def draw(connectors: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    figure, axes = style.panels(2, 2, style.TWO_COLUMNS, 4.4, sharex=True, sharey="row")
    for row, (name, quantity, unit) in enumerate((("loss", "loss", "nats"), ("score", "accuracy", "fraction"))):
        for column, (split, text) in enumerate((("train", "Training"), ("test", "Test"))):
            panel = axes[row, column]
            _draw_panel(panel, connectors[name].sel(split=split), name == "loss", intervals)
            style.title(panel, "abcd"[2 * row + column], f"{text} {quantity}")
        axes[row, 0].set_ylabel(f"{quantity} ({unit})")
    style.log_axis(axes[0, 0])
    for panel in axes[1]:
        panel.set_xlabel("number $m$ of optima")
    handles = [
        Line2D([], [], color=style.PLACES[place], marker=MARKS.get(place, "D"), markersize=3, label=label)
        for place, label in LABELS.items()
    ]
    handles.append(Line2D([], [], color=style.NEUTRAL, marker=".", linestyle="none", label="each set"))
    handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=1.4, label=f"{intervals.confidence:.0%} interval"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.2)
    style.thin_labels(figure)
    return figure


def _draw_panel(axes: Axes, values: xr.DataArray, is_log: bool, intervals: Intervals) -> None:
    sizes = style.value_axis(axes, values["size"].values.tolist())
    for place, shift in SHIFTS.items():
        seen = values.sel(place=place).transpose("size", "set").values.astype(float)
        style.dots(axes, sizes, seen, style.PLACES[place], shift, SPREAD)
        mark = MARKS.get(place, "D")
        means = (style.geometric_means if is_log else style.means)(seen, intervals)
        style.intervals(axes, sizes, *means, style.PLACES[place], shift, marker=mark)
