"""Draw Bezier simplexes: how low they are, against how far their control points may leave the linear hull.

Above, the training loss over three optima, on their linear hull and on the simplex. In the middle, the loss against
the bound, in four regions, with the nulls and the hub; and against the number of optima. Below, the loss along random
chords, and the smallest bound at which all regions are low.
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
from wedgescape.measurements.simplexes import smallest_bounds, tidy
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "simplexes through m optima"
STANDS_FOR = {
    "connectors": "Surfaces of low loss through several trained networks at once, and how high the loss is between "
    "random points.",
}

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])  # where three optima are drawn
REGIONS = {"uniform": "uniform", "faces": "near faces", "vertices": "near vertices", "edges": "on edges"}
NULLS = {"random": "null: random vertices", "initialisation": "null: initialisations"}
SURFACES = {"hull": ("centroid", "linear hull"), "simplex": ("centre", "simplex")}
QUANTILE = 0.95
SPREAD = 6.0  # points, of the dots of a size


def tabulate(simplexes: AtBase, intervals: Intervals = Intervals()) -> pd.DataFrame:
    """Return one row per (size, set, kind, bound, region): quantiles of losses, the share of low positions, shape."""
    return tidy(simplexes, intervals)


def draw(simplexes: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure; the triangle is drawn if the store has one."""
    has_triangle = "triangle_loss" in simplexes
    rows = 3 if has_triangle else 2
    figure, axes = style.panels(rows, 2, style.TWO_COLUMNS, 2.5 * rows)
    letters = iter("abcdef")
    if has_triangle:
        _draw_triangles(axes[0], simplexes)
        next(letters), next(letters)
    panels = axes[-2:].ravel()
    size = int(simplexes["size"].values.max())
    _draw_bounds(panels[0], simplexes.sel(size=size))
    style.title(panels[0], next(letters), f"Bounded simplexes, $m = {size}$")
    _draw_sizes(panels[1], simplexes, intervals)
    style.title(panels[1], next(letters), "Worst region")
    _draw_chords(panels[2], simplexes.sel(size=size))
    style.title(panels[2], next(letters), f"Random chords, $m = {size}$")
    _draw_smallest(panels[3], simplexes, intervals)
    style.title(panels[3], next(letters), "Smallest bound at which all regions are low")
    style.thin_labels(figure)
    return figure


def _draw_triangles(axes: np.ndarray, store: xr.Dataset) -> None:
    """Draw the first set of three optima: training loss on the hull and on the simplex."""
    places, losses = store["triangle_position"].values @ CORNERS, store["triangle_loss"]
    finite = losses.values[np.isfinite(losses.values) & (losses.values > 0)]
    norm, levels = LogNorm(finite.min(), finite.max()), np.geomspace(finite.min(), finite.max(), 41)
    members = store["members"].sel(size=3).values[0, :3]
    for panel, letter, (surface, (_, text)) in zip(axes, "ab", SURFACES.items(), strict=True):
        values = losses.sel(surface=surface).values
        clipped = np.clip(np.nan_to_num(values, nan=finite.max()), levels[0], levels[-1])
        drawn = panel.tricontourf(*places.T, clipped, levels=levels, norm=norm, cmap=style.colour_map("loss"))
        drawn.set_edgecolor("face")  # else hairlines show between levels in a PDF
        panel.scatter(
            *CORNERS.T, s=22, color=style.PLACES["optima"], edgecolors="white", linewidths=0.8, zorder=4, clip_on=False
        )
        for corner, seed, upright in zip(CORNERS, members, ("top", "top", "bottom"), strict=True):
            away = (corner - CORNERS.mean(0)) * 0.07
            panel.text(*(corner + away), f"seed {seed}", ha="center", va=upright, fontsize=7)
        panel.set_aspect("equal")
        panel.set_xlim(-0.2, 1.2)
        panel.set_ylim(-0.12, 1.0)
        panel.axis("off")
        style.title(panel, letter, text[0].upper() + text[1:], f"largest {np.nanmax(values):.2g} nats")
    bar = style.colour_bar(axes[1], drawn, "training loss (nats)")  # of both
    ticks = style.log_ticks(levels[0], levels[-1])
    bar.set_ticks(ticks, labels=[style.number(tick) for tick in ticks])


def _quantiles(losses: xr.DataArray) -> np.ndarray:
    """Return the quantile over positions, and its mean over sets (the geometric one: losses span decades)."""
    found = np.log(losses.quantile(QUANTILE, "position", skipna=False))
    return np.exp(found.mean("set")).values


def _draw_bounds(axes: Axes, store: xr.Dataset) -> None:
    bounds = style.value_axis(axes, store["bound"].values.tolist())
    losses = store["loss"].sel(split="train")
    looks = dict(zip(REGIONS, zip(style.levels(len(REGIONS)), style.MARKERS, strict=False), strict=True))
    for region, (colour, marker) in looks.items():
        seen = _quantiles(losses.sel(kind="optima", region=region))
        axes.plot(bounds, seen, color=colour, marker=marker, markersize=3.5, linewidth=1, label=REGIONS[region])
    for kind, label in NULLS.items():
        seen = _quantiles(losses.sel(kind=kind, region="uniform"))
        if np.isfinite(seen).any():
            axes.plot(bounds, seen, color=style.PLACES[kind], linestyle="--", marker="x", markersize=4, linewidth=1,
                      label=f"{label}, uniform")  # fmt: skip
    if np.isfinite(store["hub_loss"]).any():
        at = float(store["hub_displacement"].mean("set"))
        for region, (colour, marker) in looks.items():
            seen = _quantiles(store["hub_loss"].sel(split="train", region=region))
            axes.plot(at, seen, marker, color="white", markeredgecolor=colour, markersize=4, zorder=4)
        axes.plot([], [], "o", color="white", markeredgecolor=style.NEUTRAL, markersize=4, label="hub, same regions")
    _draw_threshold(axes, float(store["threshold"].mean("set")))
    axes.set_xlabel("longest displacement / distance of optima")
    axes.set_ylabel(f"training loss, {QUANTILE:.0%} quantile (nats)")
    axes.legend(loc="lower left", fontsize=6, handlelength=1.8)
    style.log_axis(axes)


def _draw_threshold(axes: Axes, threshold: float) -> None:
    axes.axhline(threshold, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=1)


def _draw_sizes(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    sizes = store["size"].values.tolist()
    positions = style.value_axis(axes, sizes)
    worst = (
        store["loss"]
        .sel(split="train", kind="optima")
        .quantile(QUANTILE, "position", skipna=False)
        .max("region", skipna=False)
    )
    bounds = store["bound"].values.tolist()
    looks = [(style.PLACES["centroid"], "D"), *zip(style.levels(len(bounds) - 1), style.MARKERS, strict=False)]
    for bound, (colour, marker) in zip(bounds, looks, strict=False):
        means = style.geometric_means(worst.sel(bound=bound).transpose("size", "set").values, intervals)
        label = "linear hull" if bound == 0 else f"bound {bound:g}"
        style.intervals(axes, positions, *means, colour, marker=marker, label=label)
    _draw_threshold(axes, float(store["threshold"].mean()))
    axes.set_xlabel("number $m$ of optima")
    axes.set_ylabel(f"training loss, {QUANTILE:.0%} quantile (nats)")
    axes.legend(loc="lower right", fontsize=6)
    style.log_axis(axes)


def _draw_chords(axes: Axes, store: xr.Dataset) -> None:
    for surface, (place, _) in SURFACES.items():
        for chord in store["chord_loss"].sel(surface=surface).values:
            axes.plot(store["along"], chord, color=style.PLACES[place], linewidth=1)
    _draw_threshold(axes, float(store["threshold"].mean()))
    handles = [Line2D([], [], color=style.PLACES[place], label=text) for place, text in SURFACES.values()]
    axes.legend(handles=handles, loc="center right")
    axes.set_xlabel("position on the chord, from face to face")
    axes.set_ylabel("training loss (nats)")
    style.log_axis(axes)


def _draw_smallest(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    sizes = store["size"].values.tolist()
    positions, colour = style.value_axis(axes, sizes), style.PLACES["centre"]
    found = [smallest_bounds(store, size) for size in sizes]
    for side, marker in ((0, "o"), (-1, "v"), (1, "^")):
        values = np.array([np.where(sides == side, bounds, np.nan) for bounds, sides in found])
        style.dots(axes, positions, values, colour, spread=SPREAD, marker=marker, s=9)
    means = [intervals.bounds(np.log10(bounds), sides) for bounds, sides in found]
    ends = [[10 ** getattr(one, name) for one in means] for name in ("estimate", "low", "high")]
    bounded = [np.isfinite(one.low) and np.isfinite(one.high) for one in means]
    low, high = (np.where(bounded, part, np.nan) for part in ends[1:])
    style.intervals(axes, positions, ends[0], low, high, colour)
    axes.axhline(1.0, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=1)
    handles = [Line2D([], [], color=colour, linestyle="none", marker=marker, markersize=3, label=text)
               for marker, text in (("o", "each set"), ("v", "at most"), ("^", "at least"))]  # fmt: skip
    handles.append(Line2D([], [], color=colour, marker="D", markersize=2.4, label="geometric mean"))
    axes.legend(handles=handles, loc="lower right", fontsize=6)
    axes.set_xlabel("number $m$ of optima")
    axes.set_ylabel("displacement / distance of optima")
    style.log_axis(axes)
