"""Draw connectors as whole subspaces: the triangle between three optima, and how low the loss stays for more.

Above, the training loss over the barycentric coordinates of three optima, on their linear hull and on the connector, on
one scale. Below, the largest loss at random points between the vertices, where nothing was optimised, and how
refinement brought it down.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.measurements.subspaces import tidy
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "connectors as subspaces"

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])  # where three optima are drawn
SERIES = {
    "largest_hull_train_loss": ("centroid", "linear hull, largest"),
    "largest_train_loss": ("centre", "connector, largest"),
    "median_train_loss": ("centre", "connector, median"),
}
SPREAD = 6.0  # points, of the dots of a size


def tabulate(subspaces: AtBase) -> pd.DataFrame:
    """Return one row per (size, set): what the loss between vertices and on the hull comes to."""
    return tidy(subspaces)


def draw(subspaces: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure; the triangle is drawn if the store has one."""
    has_triangle = 3 in subspaces["size"].values
    figure, axes = style.panels(2 if has_triangle else 1, 2, style.TWO_COLUMNS, 5.2 if has_triangle else 2.5)
    if has_triangle:
        _draw_triangles(axes[0], subspaces)
    letters = "cd" if has_triangle else "ab"
    _draw_losses(axes[-1, 0], subspaces, intervals)
    style.title(axes[-1, 0], letters[0], "Between vertices")
    _draw_levels(axes[-1, 1], subspaces)
    style.title(axes[-1, 1], letters[1], "Refinement")
    style.thin_labels(figure)
    return figure


def _draw_triangles(axes: np.ndarray, store: xr.Dataset) -> None:
    """Draw the first set of three optima: training loss on the hull and on the connector."""
    chosen = (store["point_size"].values == 3) & (store["point_set"].values == 0)
    places = store["barycentric"].values[chosen][:, :3] @ CORNERS
    losses = {name: store[name].sel(split="train").values[chosen] for name in ("hull_loss", "loss")}
    finite = np.concatenate([values[np.isfinite(values) & (values > 0)] for values in losses.values()])
    norm = LogNorm(finite.min(), finite.max())
    levels = np.geomspace(finite.min(), finite.max(), 41)
    members = store["members"].sel(size=3).values[0, :3]
    titles = ("Linear hull", "Connector over it")
    for panel, letter, text, values in zip(axes, "ab", titles, losses.values(), strict=True):
        clipped = np.clip(np.nan_to_num(values, nan=finite.max()), levels[0], levels[-1])
        drawn = panel.tricontourf(*places.T, clipped, levels=levels, norm=norm, cmap=style.colour_map("loss"))
        drawn.set_edgecolor("face")  # else hairlines show between levels in a PDF
        panel.scatter(
            *CORNERS.T, s=22, color=style.PLACES["optima"], edgecolors="white", linewidths=0.8, zorder=4, clip_on=False
        )
        for corner, seed, (side, upright) in zip(
            CORNERS, members, (("center", "top"), ("center", "top"), ("center", "bottom")), strict=True
        ):
            away = (corner - CORNERS.mean(0)) * 0.07
            panel.text(*(corner + away), f"seed {seed}", ha=side, va=upright, fontsize=7)
        panel.set_aspect("equal")
        panel.set_xlim(-0.2, 1.2)
        panel.set_ylim(-0.12, 1.0)
        panel.axis("off")
        style.title(panel, letter, text, f"largest {np.nanmax(values):.2g} nats")
    bar = style.colour_bar(axes[1], drawn, "training loss (nats)")  # of both
    ticks = style.log_ticks(levels[0], levels[-1])
    bar.set_ticks(ticks, labels=[style.number(tick) for tick in ticks])


def _draw_losses(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    table = tidy(store)
    sizes = store["size"].values.tolist()
    positions = style.value_axis(axes, sizes)
    for column, (place, label) in SERIES.items():
        values = table.pivot_table(column, "size", "set", dropna=False).reindex(sizes).values
        colour = style.PLACES[place] if column != "median_train_loss" else style.lighter(style.PLACES[place])
        style.dots(axes, positions, values, colour, spread=SPREAD)
        style.intervals(axes, positions, *style.means(values, intervals), colour, label=label)
    axes.axhline(
        store.attrs["tolerance"], color=style.FAINT, linewidth=0.8, linestyle="--", zorder=1, label="tolerance"
    )
    axes.set_xlabel("number $m$ of optima")
    axes.set_ylabel("training loss (nats)")
    axes.legend(loc="center right")
    style.log_axis(axes)


def _draw_levels(axes: Axes, store: xr.Dataset) -> None:
    sizes = store["size"].values.tolist()
    for size, colour, marker in zip(sizes, style.levels(len(sizes)), style.MARKERS, strict=False):
        for row in store["largest_loss"].sel(size=size).values:
            axes.plot(store["level"], row, color=colour, marker=marker, markersize=3, linewidth=0.8, clip_on=False)
    axes.axhline(store.attrs["tolerance"], color=style.FAINT, linewidth=0.8, linestyle="--", zorder=1)
    axes.set_xlabel("times that pieces were halved")
    axes.set_ylabel("largest training loss (nats)")
    axes.set_xticks(store["level"].values)
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=3, label=f"$m = {size}$")
        for size, colour, marker in zip(sizes, style.levels(len(sizes)), style.MARKERS, strict=False)
    ]
    axes.legend(handles=handles, title="every set")
    style.log_axis(axes)
