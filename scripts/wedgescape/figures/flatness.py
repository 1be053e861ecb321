"""Draw how flat the solutions of weight averaging and of sharpness-aware minimisation are, at an equal budget.

One panel per statistic. Each faint line is a seed, whose solutions share their initialisation; diamonds are means over
seeds, bars the interval of the mean. The first column was trained for a fraction of the budget.
"""

from __future__ import annotations

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape.analysis.flatness import gather, paired_differences
from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import OfMethods

CATEGORY = "6 Curvature"
TITLE = "weight averaging and sharpness-aware minimisation"
STANDS_FOR = {
    "methods": "Two methods that look for flat minima, beside an ordinary solution of the same computing time.",
}

LABELS = {"base": "base\nsetting", "longer": "one\nsolution", "swa": "weight\naverage", "sam": "sharp-\naware"}
PANELS = {
    "angular_width": "angular width (degrees)",
    "top_eigenvalue": "top eigenvalue (nats / weight²)",
    "trace": "trace (nats / weight²)",
    "large_scale": "large-scale curvature (nats / rad²)",
    "norm": "norm of the optimum (weights)",
    "test_error": "test error (fraction)",
}
COLOURS = {"base": style.FAINT, **style.METHODS}
LOGARITHMIC = ("top_eigenvalue", "trace")


def tabulate(tunnels: OfMethods, curvature: OfMethods, intervals: Intervals = Intervals()) -> pd.DataFrame:
    """Return by how much each method differs from one solution (`flatness.paired_differences`)."""
    return paired_differences(gather(tunnels, curvature), intervals)


def draw(tunnels: OfMethods, curvature: OfMethods, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    data = gather(tunnels, curvature)
    figure, axes = style.panels(2, 3, style.TWO_COLUMNS, 4.2)
    for panel, letter, (name, label) in zip(axes.flat, "abcdef", PANELS.items(), strict=True):
        _draw_panel(panel, data[name], intervals)
        panel.set_ylabel(label)
        style.title(panel, letter)
        if name in LOGARITHMIC and float(data[name].min()) > 0:
            style.log_axis(panel)
    return figure


def _draw_panel(axes: Axes, values: xr.DataArray, intervals: Intervals) -> None:
    methods = values["method"].values.tolist()
    positions = style.value_axis(axes, [LABELS[method] for method in methods])
    axes.plot(positions, values.transpose("method", "seed").values, color=style.FAINT, linewidth=0.5, zorder=1)
    for position, method in zip(positions, methods, strict=True):
        seen = values.sel({"method": method}).values
        mean = intervals.mean(seen)
        colour = COLOURS[method]
        style.dots(axes, [position], seen[None], colour, spread=0)
        style.intervals(axes, [position], [mean.estimate], [mean.low], [mean.high], colour, shift=5)
