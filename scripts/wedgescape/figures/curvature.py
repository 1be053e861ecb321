"""Draw the curvature of the training loss at optima against each hyperparameter, and beside the tunnels' widths.

Columns are sweeps. Rows: trace and largest eigenvalue of the Hessian; curvature at a finite and at a vanishing angle;
curvature of the error rate. Dots are seeds, marks means over seeds, bars the interval of the mean; hollow marks are the
same networks with layers of equal norm. In the column of the width, dashed and dotted lines show what the base setting
would have if its networks' units were duplicated, or further weights did nothing. A triangle on the axis marks
the base setting's value; runs that are no optima are counted beside a cross and are in no mean. Below: Spearman's rho
between each statistic and the angular width of the tunnel around the same optimum, within sweeps, seed by seed.
"""

from __future__ import annotations

import math
import string
from numbers import Real

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.figures.tunnels import HOLLOW, dimension_handles, draw_dimension
from wedgescape.measurements.curvature import ALL, STATISTICS, correlations, tidy
from wedgescape.measurements.tunnels import summarise
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import AlongSweeps, AtBase, BaseSetting, Tables

CATEGORY = "6 Curvature"
TITLE = "curvature against hyperparameters and tunnels"
STANDS_FOR = {
    "curvature": "How fast the loss rises over large distances, against each hyperparameter, and the sharpness at the "
    "optimum itself.",
    "flatness": "The last row sets the width of tunnels against each measure of curvature.",
}
TABLES = ("curvature", "curvature_correlations")

COLUMNS = 5  # sweeps beside each other; more begin a second block
ROW_HEIGHT, LINE_HEIGHT = 1.25, 0.3  # inches: of a row of panels, of a line of correlations

# What a row of panels shows, in full colour and lighter, and its axis.
ROWS = (
    (("trace", "top_eigenvalue"), "Hessian\n(nats/weight²)"),
    (("large_scale", "small_scale"), "loss curvature\n(nats/rad²)"),
    (("large_scale_error",), "error curvature\n(1/rad²)"),
)
NAMES = {
    "top_eigenvalue": "largest eigenvalue",
    "trace": "trace",
    "frobenius": "Frobenius norm",
    "small_scale": "loss curvature, angle → 0",
    "large_scale": "loss curvature, {angle:.3g}°",
    "large_scale_error": "error curvature, {angle:.3g}°",
    "gradient_energy": "gradient energy in top {top}",
}


def tabulate(
    curvature: AlongSweeps,
    tunnels: AlongSweeps,
    balanced: AlongSweeps,
    dimension: AtBase,
    intervals: Intervals = Intervals(),
) -> dict[str, pd.DataFrame]:
    """Return one row per (sweep, value, seed), and how each statistic correlates with tunnels (`correlations`)."""
    rows = [tidy(store, sweep, balanced[sweep], dimension) for sweep, store in curvature.items()]
    related = correlations(curvature, tunnels, intervals)
    return {"curvature": pd.concat(rows, ignore_index=True), "curvature_correlations": related}


def draw(curvature: AlongSweeps, base: BaseSetting, tables: Tables, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure.

    Args:
        curvature: of every sweep.
        base: marked by a triangle in each.
        tables: of `tabulate`.
        intervals: how they are computed.
    """
    style.apply()
    blocks = [list(curvature)[first : first + COLUMNS] for first in range(0, len(curvature), COLUMNS)]
    columns, first = max(map(len, blocks)), next(iter(curvature.values()))
    heights = [*[len(ROWS) * ROW_HEIGHT + 0.3] * len(blocks), len(STATISTICS) * LINE_HEIGHT + 0.5]
    figure = Figure(figsize=(style.TWO_COLUMNS, sum(heights) + 0.55))
    *parts, last = np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights))
    letters = iter(string.ascii_letters)
    table, related = (tables[name] for name in TABLES)
    for part, sweeps in zip(parts, blocks, strict=True):
        axes = part.subplots(len(ROWS), columns, squeeze=False, sharex="col", sharey="row")
        for (shown, label), row in zip(ROWS, axes, strict=True):
            for panel, sweep in zip(row, sweeps, strict=False):
                _draw_panel(panel, table[table["sweep"] == sweep], shown, base.get(sweep), intervals)
                style.title(panel, next(letters))
            for panel in row[len(sweeps) :]:
                panel.set_axis_off()
            values = table[list(shown)].to_numpy()
            values = values[np.isfinite(values)]
            if values.size and values.min() > 0:
                style.log_axis(row[0])
            row[0].set_ylabel(label)
        for panel, sweep in zip(axes[-1], sweeps, strict=False):
            panel.set_xlabel(style.NAMES.get(sweep, sweep).replace(" (", "\n("))
    panel = last.subplots()
    style.title(panel, next(letters), "Correlation with the angular width of the tunnel around the same optimum")
    _draw_correlations(panel, related, _names(first))
    _legend(figure, first, table, intervals)
    style.thin_labels(figure)
    return figure


def _names(store: xr.Dataset) -> dict[str, str]:
    angle, top = math.degrees(store.attrs["angle"]), store.sizes["rank"]
    return {name: text.format(angle=angle, top=top) for name, text in NAMES.items()}


def _draw_panel(axes: Axes, table: pd.DataFrame, shown: tuple[str, ...], base, intervals: Intervals) -> None:
    sweep, values = table["sweep"].iloc[0], table["value"].unique().tolist()
    positions = style.value_axis(axes, values)
    for column, colour, marker in zip(
        shown, (style.SWEEPS[sweep], style.lighter(style.SWEEPS[sweep])), "Ds", strict=False
    ):
        kept = table.assign(**{column: table[column].where(table["fit"].astype(bool))})
        seen = kept.pivot_table(column, "value", "seed", sort=False, dropna=False, observed=False)
        style.dots(axes, positions, seen.loc[values].to_numpy(), colour, spread=4.0, s=3)
        means = summarise(table, column, intervals).set_index("value").loc[values]
        joined = all(isinstance(value, Real) for value in values)
        ends = (means["estimate"], means["low"], means["high"])
        style.intervals(axes, positions, *ends, colour, joined=joined, marker=marker)
        if f"{column}_balanced" in table:
            means = summarise(table, f"{column}_balanced", intervals).set_index("value").loc[values]
            ends = (means["estimate"], means["low"], means["high"])
            style.intervals(axes, positions, *ends, colour, 3.5, joined=False, **HOLLOW)
            draw_dimension(axes, table, column, base)
    below = {"transform": axes.get_xaxis_transform(), "clip_on": False, "markersize": 4}
    for value, position in zip(values, positions, strict=True):
        lost = int((~table.loc[table["value"] == value, "fit"].astype(bool)).sum())
        if lost:
            axes.plot(position, 0.06, "x", color=style.NEUTRAL, **below)
            place = {"xycoords": below["transform"], "textcoords": "offset points", "va": "center", "fontsize": 6.5}
            axes.annotate(f"{lost}", (position, 0.06), (4, 0), color=style.NEUTRAL, **place)
        if value == base:
            axes.plot(position, 0, "^", color="black", zorder=6, **below)


def _draw_correlations(axes: Axes, related: pd.DataFrame, names: dict[str, str]) -> None:
    """One line per statistic: all settings in black, each sweep in its colour below."""
    places = dict(zip(names, range(len(names)), strict=True))
    sets = list(dict.fromkeys(related["settings"]))
    steps = np.linspace(-0.36, 0.36, len(sets)) if len(sets) > 1 else [0.0]
    for step, name in zip(steps, sorted(sets, key=lambda name: name != ALL), strict=True):
        rows = related[related["settings"] == name].set_index("statistic").loc[list(places)]
        finite = np.isfinite(rows["low"]) & np.isfinite(rows["high"])
        reach = np.where(finite, [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]], 0.0)
        axes.errorbar(
            rows["estimate"],
            np.arange(len(places)) + step,
            xerr=np.clip(np.nan_to_num(reach), 0, None),
            color="black" if name == ALL else style.SWEEPS[name],
            marker="D" if name == ALL else "o",
            markersize=3.6 if name == ALL else 2.4,
            elinewidth=1,
            linestyle="none",
        )
    axes.axvline(0, color=style.FAINT, linewidth=0.6, zorder=0)
    for place in range(1, len(places)):
        axes.axhline(place - 0.5, color=style.FAINT, linewidth=0.3, zorder=0)
    axes.set_yticks(list(places.values()), [names[name] for name in places])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.set_xlim(-1.03, 1.03)
    axes.set_xlabel(
        "Spearman's $\\rho$ within a sweep, per seed: $-1$ where the more curved optimum always has the narrower tunnel"
    )
    handles = [
        Line2D([], [], color="black", marker="D", markersize=3.6, linestyle="none", label="all sweeps")
        if name == ALL
        else Line2D(
            [], [], color=style.SWEEPS[name], marker="o", markersize=2.4, linestyle="none",
            label=style.NAMES.get(name, name).split(" (")[0],
        )
        for name in sorted(sets, key=lambda name: name != ALL)
    ]  # fmt: skip
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), title="optima of …", alignment="left")


def _legend(figure: Figure, store: xr.Dataset, table: pd.DataFrame, intervals: Intervals) -> None:
    light, seeds = style.lighter(style.NEUTRAL), table["seed"].nunique()
    handles = [
        Line2D(
            [], [], color=style.NEUTRAL, marker="D", markersize=3,
            label=f"trace; curvature at {math.degrees(store.attrs['angle']):.3g}°",
        ),
        Line2D([], [], color=light, marker="s", markersize=3, label="largest eigenvalue; curvature at angle → 0"),
        Line2D([], [], color=style.NEUTRAL, marker=".", linestyle="none", label=f"each of {seeds} seeds"),
        Line2D([], [], color=style.NEUTRAL, linewidth=1.4, label=f"mean, {intervals.confidence:.0%} interval"),
        Line2D([], [], color="black", marker="^", linestyle="none", label="base setting"),
    ]  # fmt: skip
    if table["large_scale_balanced"].notna().any():
        handles.insert(
            1, Line2D([], [], color=style.NEUTRAL, linestyle="none", label="the same, layers of equal norm", **HOLLOW)
        )
    handles += dimension_handles(table, "large_scale")
    if not table["fit"].all():
        text = "number that are no optima, in no mean"
        handles.append(Line2D([], [], color=style.NEUTRAL, marker="x", linestyle="none", label=text))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
