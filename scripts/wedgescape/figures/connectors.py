"""Draw how low the loss is between m optima: at the straight middle, and at the centre of the connector.

Columns are splits, rows loss and accuracy. Every dot is a random set of m optima, diamonds their means, bars the
bootstrap interval of the mean over sets. `optima` is the mean over the set's members.
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.figures.publish import interval_settings, publish
from wedgescape.measurements.connectors import tidy
from wedgescape.numerics.intervals import bootstrap_mean
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import open_store

LABELS = {"optima": "the optima", "centroid": "their linear centroid", "centre": "the connector's centre"}
SHIFTS = {"optima": -9.0, "centroid": 0.0, "centre": 9.0}  # points
SPREAD = 8.0  # points, of the dots of a size


def draw(store: xr.Dataset, confidence: float, resamples: int) -> Figure:
    """Draw the figure.

    Args:
        store: of `measure_connectors`.
        confidence: of the interval.
        resamples: of the bootstrap.
    """
    figure, axes = style.panels(2, 2, style.TWO_COLUMNS, 4.4, sharex=True, sharey="row")
    for row, (quantity, unit) in enumerate((("loss", "nats"), ("accuracy", "fraction"))):
        for column, (split, text) in enumerate((("train", "Training"), ("test", "Test"))):
            panel = axes[row, column]
            _draw_panel(panel, store[quantity].sel(split=split), confidence, resamples)
            style.title(panel, "abcd"[2 * row + column], f"{text} {quantity}")
        axes[row, 0].set_ylabel(f"{quantity} ({unit})")
    style.log_axis(axes[0, 0])
    for panel in axes[1]:
        panel.set_xlabel("number $m$ of optima")
    handles = [Line2D([], [], color=style.PLACES[place], marker="D", label=label) for place, label in LABELS.items()]
    handles.append(Line2D([], [], color=style.NEUTRAL, marker=".", linestyle="none", label="each set"))
    handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=1.4, label=f"{confidence:.0%} interval"))
    figure.legend(handles=handles, loc="outside upper center", ncols=5, columnspacing=1.2)
    style.thin_labels(figure)
    return figure


def _draw_panel(axes: Axes, values: xr.DataArray, confidence: float, resamples: int) -> None:
    sizes = style.value_axis(axes, values["size"].values.tolist())
    for place, shift in SHIFTS.items():
        seen = values.sel(place=place).transpose("size", "set").values.astype(float)
        style.dots(axes, sizes, seen, style.PLACES[place], shift, SPREAD)
        means = [bootstrap_mean(row, confidence, resamples) for row in seen]
        estimate, low, high = np.array([(part.estimate, part.low, part.high) for part in means]).T
        style.intervals(axes, sizes, estimate, low, high, style.PLACES[place], shift)


if __name__ == "__main__":
    with job(snakemake):
        store = open_store(snakemake.input[0]).load()
        intervals = interval_settings(snakemake)
        publish(snakemake, draw(store, **intervals), tidy(store))
