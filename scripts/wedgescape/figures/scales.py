"""Draw how fast the loss grows with the distance from an optimum, and how unlike its two sides are.

(a) The scale exponent of the loss, averaged over both sides, against the distance, by kind of direction: lines are
means over seeds, bands their intervals. A parabola has 2, a wedge 1, a loss that no longer grows 0. The dotted line is
half of the tunnel's angular width, on a straight line; diamonds are half of the length of a kind. (b) The asymmetry of
the two sides at half of the length: dots are directions of seeds, diamonds means over seeds with the interval. (c) How
much of what a straight line leaves a parabola explains, against how far the fitted piece of line reaches to either
side.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.figures.profiles import COLOURS as OF_KINDS
from wedgescape.measurements.scales import KINDS, asymmetries, exponents, of_kind, parabola_share, read_at
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import fit
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "how fast the loss grows"
STANDS_FOR = {
    "scales": "How fast the loss grows with the distance from an optimum, by kind of direction: 2 is a parabola.",
}

COLOURS = {**OF_KINDS, "minibatch": "#e0a100", "gradient": style.NEUTRAL}
RELATIVE = np.exp2(np.arange(-8, 3) / 2)  # of a direction's length, at which parabolas are looked at
OTHERS = {"$|x|$": 15 / 16, "$x^4$": 45 / 49}  # what a parabola explains of other powers


def tabulate(scales: AtBase) -> pd.DataFrame:
    """Return one row per (direction, seed, distance): both parts of the loss, and what follows from them."""
    derived = {"exponent": exponents(scales), "asymmetry": asymmetries(scales), "parabola": parabola_share(scales)}
    columns = ("kind", "even", "odd", *derived, "length")
    return as_rows(scales[["even", "odd", "length"]].assign(derived), ("direction", "seed", "distance"), columns)


def draw(scales: AtBase, tunnels: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    store = scales.isel(seed=fit(scales).values)
    figure, axes = style.panels(1, 3, style.TWO_COLUMNS, 2.5, width_ratios=(1.25, 1, 1))
    grown, sides, parabola = axes[0]
    width = float(tunnels["width_score"].isel(seed=fit(tunnels).values).mean())
    _draw_exponents(grown, store, np.tan(width / 2), intervals)
    _draw_sides(sides, store, intervals)
    _draw_parabolas(parabola, store, intervals)
    texts = ("Scale exponent", "Asymmetry", "Fit of a parabola")
    for panel, letter, text in zip(axes[0], "abc", texts, strict=True):
        style.title(panel, letter, text)
    handles = [Line2D([], [], color=COLOURS[kind], label=KINDS[kind]) for kind in _kinds(store)]
    handles.append(
        Line2D([], [], color=style.PLACES["optima"], linewidth=0.8, linestyle=":", label="half of the tunnel")
    )
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _kinds(store: xr.Dataset) -> list[str]:
    return [kind for kind in KINDS if kind in store["kind"].values]


def _log_x(axes: Axes, label: str, values) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(values[0], values[-1])
    axes.set_xlabel(label)


def _draw_exponents(axes: Axes, store: xr.Dataset, half_width: float, intervals: Intervals) -> None:
    distance, found = store["distance"].values, exponents(store)
    axes.axhline(2, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=0)
    axes.axvline(half_width, color=style.PLACES["optima"], linewidth=0.8, linestyle=":", zorder=0)
    for kind in _kinds(store):
        rows = of_kind(found, kind).transpose("distance", "seed")
        means = style.means(rows.where(np.isfinite(rows).all("seed")).values, intervals)  # the same seeds everywhere
        style.band(axes, distance, *means, COLOURS[kind], linewidth=1.0)
        half = np.exp(float(np.log(of_kind(store["length"], kind) / 2).mean()))
        on_line = np.interp(np.log(half), np.log(distance), means[0])
        axes.plot(half, on_line, "D", color=COLOURS[kind], markersize=4, markeredgecolor="white", markeredgewidth=0.6)
    axes.set_ylim(0, None)
    axes.set_ylabel(r"$p = \mathrm{d} \log \mathrm{rise} \, / \, \mathrm{d} \log \mathrm{distance}$")
    _log_x(axes, "distance / norm of the optimum", distance)


def _draw_sides(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    kinds, found = _kinds(store), read_at(asymmetries(store), store["length"] / 2)
    axes.axvline(0, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=0)
    for row, kind in enumerate(reversed(kinds)):
        mean = intervals.mean(of_kind(found, kind).values)
        ends = (mean.estimate, mean.low, mean.high)
        style.strip(axes, row, found[(found["kind"] == kind).values].values.ravel(), ends, COLOURS[kind], 0.5)
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(kinds) - 0.4)
    axes.set_xlabel("asymmetry at half of the length")


def _draw_parabolas(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    found = parabola_share(store)
    for (text, value), side in zip(OTHERS.items(), ("bottom", "top"), strict=True):
        axes.axhline(value, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=0)
        axes.annotate(text, (0.02, value), xycoords=axes.get_yaxis_transform(), fontsize=6, va=side)
    for kind in _kinds(store):
        rows = np.array([of_kind(read_at(found, part * store["length"]), kind).values for part in RELATIVE])
        rows[np.isnan(rows).any(1)] = np.nan
        style.band(axes, RELATIVE, *style.means(rows, intervals), COLOURS[kind], linewidth=1.0)
    axes.set_ylim(None, 1.005)
    axes.set_ylabel("share explained beyond a line")
    _log_x(axes, "distance / length of the direction", RELATIVE)
