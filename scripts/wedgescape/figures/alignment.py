"""Draw what lies between optima before and after the units of their hidden layers are matched.

Against the width: (a) the barrier of the training loss and (b) of the test loss on the straight line between the optima
of a pair, (c) the angle between them. (d) The training loss on these lines at the base setting. Against the number m of
optima there: (e, f) the loss at their linear centroid and at the connector's centre, (g) how far the one is from the
other. Dots and thin lines are pairs or sets, marks and thick lines means, in (d) to (f) geometric ones, bars and bands
their interval: over seeds for pairs, over sets of which no two share a seed. What could not be aligned is left out, and
the figure says why.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.measurements.alignment import STAGES, aligned, by_width
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import left_out
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase, AtWidths, BaseSetting

CATEGORY = "4 Geometry"
TITLE = "optima before and after alignment"
STANDS_FOR = {
    "alignment": "The barrier between two networks, before and after their hidden units are put into the same order.",
}
TABLES = ("alignment", "aligned_connectors")

SHIFTS = {"before": -2.5, "after": 2.5}  # points
SPREAD = 4.0  # points, of the dots of a series
MARKS = {"centroid": {"marker": "s", "markerfacecolor": "white", "markeredgewidth": 0.8}, "centre": {"marker": "D"}}
NO_MARKS = {"color": style.NEUTRAL, "linestyle": "none"}


def tabulate(alignment: AtWidths, connectors: AtBase, aligned_connectors: AtBase) -> dict[str, pd.DataFrame]:
    """Return one row per (width, pair, split, alignment), and one per (alignment, size, set, place, split)."""
    columns, tables = ("barrier", "distance", "cosine", "moved"), []
    for store in aligned(alignment):
        table = store[["barrier", "distance", "cosine"]].assign(moved=store["moved"].mean("layer"))
        tables.append(as_rows(table, ("pair", "split", "alignment"), columns).assign(width=store.attrs["width"]))
    lines = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    dims, values = ("size", "set", "place", "split"), ("loss", "score", "displacement", "spread")
    sets = [
        as_rows(store[[*values]], dims, values).dropna(subset="loss").assign(alignment=stage)
        for stage, store in _by_stage(connectors, aligned_connectors).items()
    ]
    return {
        "alignment": lines.reindex(columns=["width", "pair", "split", "alignment", *columns]),
        "aligned_connectors": pd.concat(sets, ignore_index=True)[["alignment", *dims, *values]],
    }


def _by_stage(connectors: xr.Dataset, aligned_connectors: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the connectors before and after alignment; without the latter, where nothing was aligned."""
    stores = zip(STAGES, (connectors, aligned_connectors), strict=True)
    return {stage: store for stage, store in stores if "not_aligned" not in store.attrs}


def draw(
    alignment: AtWidths,
    connectors: AtBase,
    aligned_connectors: AtBase,
    base: BaseSetting,
    intervals: Intervals = Intervals(),
) -> Figure:
    """Draw the figure; without a store in which something was aligned, it says why."""
    stores, sets = aligned(alignment), _by_stage(connectors, aligned_connectors)
    if not stores:
        return style.nothing("Nothing was aligned", by_width(alignment)[0].attrs["not_aligned"])
    figure, axes = style.panels(2, 4, style.TWO_COLUMNS, 3.9)
    train, test, angle, line = axes[0]
    for panel, split in ((train, "train"), (test, "test")):
        _draw_widths(panel, [store["barrier"].sel(split=split) for store in stores], stores, base, intervals)
        _barrier_axis(panel)
    train.sharey(test)
    angles = [np.degrees(np.arccos(store["cosine"].clip(-1, 1))) for store in stores]
    _draw_widths(angle, angles, stores, base, intervals)
    angle.axhline(90, color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
    angle.set(ylabel="angle (degrees)", ylim=(0, 99), yticks=[0, 30, 60, 90])
    for store in stores:
        if store.attrs["width"] == base["width"]:
            _draw_line(line, store["loss"].sel(split="train"), store["members"].values, intervals)
    train_loss, test_loss, displacement, spare = axes[1]
    for panel, split in ((train_loss, "train"), (test_loss, "test")):
        _draw_places(panel, {stage: store["loss"].sel(split=split) for stage, store in sets.items()}, intervals)
    for stage, store in sets.items():
        _draw_sizes(displacement, store["displacement"], stage, MARKS["centre"], intervals)
    displacement.set(ylabel="centroid to centre (weights)", ylim=(0, None))
    for panel in axes[1, :3]:
        panel.set_xlabel("number $m$ of optima")
    texts = ("Training barrier", "Test barrier", "Angle", "Straight line", "Training loss", "Test loss", "Distance")
    for panel, letter, text in zip(axes.flat, "abcdefg", texts, strict=False):
        style.title(panel, letter, text)
    _legend(spare, by_width(alignment), base, intervals)
    style.thin_labels(figure)
    return figure


def _draw_widths(
    axes: Axes, values: list[xr.DataArray], stores: list[xr.Dataset], base: dict, intervals: Intervals
) -> None:
    """Draw pairs (alignment, pair) of each width."""
    positions = style.value_axis(axes, [store.attrs["width"] for store in stores])
    most = max(part.sizes["pair"] for part in values)
    for stage in STAGES:
        rows = [part.sel(alignment=stage).values for part in values]
        seen = np.stack([np.pad(row, (0, most - len(row)), constant_values=np.nan) for row in rows])
        pairs = zip(rows, (store["members"].values for store in stores), strict=True)
        means = np.concatenate([style.means([row], intervals, members) for row, members in pairs], 1)
        _draw_series(axes, positions, seen, stage, MARKS["centre"], means)
    place = axes.get_xaxis_transform()
    axes.plot(base["width"], 0, "^", color="black", markersize=4, transform=place, clip_on=False, zorder=6)
    axes.set_xlabel("width")


def _barrier_axis(axes: Axes) -> None:
    """Make the y axis logarithmic down to the smallest barrier that matters, and linear from there to 0."""
    ticks = [0, *(10.0**power for power in range(-2, 4))]
    axes.set_yscale("symlog", linthresh=ticks[1], linscale=0.6)
    axes.set_ylim(-0.1 * ticks[1], max(1.5 * axes.dataLim.y1, ticks[2]))
    axes.yaxis.set_major_locator(ticker.FixedLocator(ticks))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _place: style.number(value)))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_ylabel("barrier (nats)")


def _draw_series(axes: Axes, positions, seen: np.ndarray, stage: str, marks: dict, means: np.ndarray) -> None:
    colour, shift = style.ALIGNMENT[stage], SHIFTS[stage]
    style.dots(axes, positions, seen, colour, shift, SPREAD)
    style.intervals(axes, positions, *means, colour, shift, **marks)


def _draw_line(axes: Axes, losses: xr.DataArray, members: np.ndarray, intervals: Intervals) -> None:
    places = losses["t"].values
    for stage in STAGES:
        seen, colour = losses.sel(alignment=stage).transpose("t", "pair").values.astype(float), style.ALIGNMENT[stage]
        axes.plot(places, seen, color=colour, linewidth=0.4, alpha=0.45)
        style.band(axes, places, *style.geometric_means(seen, intervals, members), colour, linewidth=1.2)
    style.log_axis(axes)
    axes.set(xlabel="position $t$ on the line", xlim=(0, 1), xticks=[0, 0.5, 1], ylabel="training loss (nats)")


def _draw_places(axes: Axes, losses: dict[str, xr.DataArray], intervals: Intervals) -> None:
    """Draw sets (size, set, place): centroids and centres before and after, and the optima themselves."""
    for place, marks in MARKS.items():
        for stage, values in losses.items():
            _draw_sizes(axes, values.sel(place=place), stage, marks, intervals, style.geometric_means)
    optima = losses["before"].sel(place="optima").mean("set")
    axes.plot(optima["size"], optima, color=style.PLACES["optima"], linestyle=":", linewidth=1)
    axes.set_ylabel("loss (nats)")
    style.log_axis(axes)


def _draw_sizes(
    axes: Axes, values: xr.DataArray, stage: str, marks: dict, intervals: Intervals, means=style.means
) -> None:
    sizes = style.value_axis(axes, values["size"].values.tolist())
    seen = values.transpose("size", "set").values.astype(float)
    _draw_series(axes, sizes, seen, stage, marks, means(seen, intervals))


def _legend(axes: Axes, stores: list[xr.Dataset], base: dict, intervals: Intervals) -> None:
    handles = [Line2D([], [], color=colour, label=f"{stage} alignment") for stage, colour in style.ALIGNMENT.items()]
    handles += [
        Line2D([], [], label="linear centroid", **NO_MARKS, **MARKS["centroid"]),
        Line2D([], [], label="connector's centre", **NO_MARKS, **MARKS["centre"]),
        Line2D([], [], color=style.PLACES["optima"], linestyle=":", label="the optima, mean"),
        Line2D([], [], marker=".", label="each pair, each set", **NO_MARKS),
        Line2D([], [], color=style.NEUTRAL, linewidth=1.4, label=f"mean, {intervals.confidence:.0%} interval"),
        Line2D([], [], color="black", marker="^", linestyle="none", label="base setting"),
    ]
    lost = sum(left_out(store) for store in stores)
    if lost:
        handles.append(Line2D([], [], linestyle="none", label=f"{lost} runs are no optima, in no pair"))
    widths = [style.number(store.attrs["width"]) for store in stores if "not_aligned" in store.attrs]
    if widths:
        handles.append(Line2D([], [], linestyle="none", label=f"no pair at width {', '.join(widths)}"))
    axes.set_axis_off()
    look = {"title": f"d to g at width {base['width']}", "alignment": "left", "labelspacing": 0.7}
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(-0.25, 0.5), **look)
