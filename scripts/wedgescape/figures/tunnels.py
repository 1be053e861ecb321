"""Draw the angular width of tunnels against each hyperparameter, one panel per sweep, with the controls.

Dots are seeds (the same seed is at the same place everywhere), marks means over seeds, bars the interval of the mean.
The full colour is the width by the accuracy threshold, the lighter one by the loss threshold; hollow marks are of the
same networks with layers of equal norm. In the panel of the width, dashed and dotted lines show what the base setting's
networks would have if their units were duplicated, or their further weights did nothing. A triangle on the axis marks
the base setting's value. Runs that are no optima are counted beside a cross at the bottom and are in no mean.
"""

from __future__ import annotations

import math
from numbers import Real

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.measurements.tunnels import summarise, tidy
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import AlongSweeps, AtBase, BaseSetting, Tables

CATEGORY = "5 Tunnels"
TITLE = "angular width against hyperparameters"
STANDS_FOR = {
    "tunnels": "How far one can turn away from a trained network before it gets worse, in degrees, against each "
    "hyperparameter. Each dot is a seed.",
}

COLUMNS = {1: 1, 2: 2, 4: 2}  # by the number of sweeps; 3 otherwise
PANEL_HEIGHT, LEGEND_HEIGHT = 2.0, (1.5, 0.7)  # inches; of a legend above one column, or several
SHIFTS = {"width_score": -3.5, "width_balanced": 0.0, "width_loss": 3.5}  # points that a series is moved by
HOLLOW = {"marker": "D", "markerfacecolor": "white", "markersize": 3.2, "markeredgewidth": 0.7}  # balanced networks
LINES = {"duplicated": "--", "idle": ":"}  # of what dimension alone makes


def tabulate(tunnels: AlongSweeps, balanced: AlongSweeps, dimension: AtBase) -> pd.DataFrame:
    """Return one row per (sweep, value, seed); widths in degrees."""
    rows = [tidy(store, sweep, balanced[sweep], dimension) for sweep, store in tunnels.items()]
    return pd.concat(rows, ignore_index=True)


def draw(tunnels: AlongSweeps, base: BaseSetting, tables: Tables, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure; a triangle marks the base setting's value of each sweep."""
    count = len(tunnels)
    columns = COLUMNS.get(count, 3)
    rows = math.ceil(count / columns)
    width = style.TWO_COLUMNS if columns > 1 else style.ONE_COLUMN
    above = 0.35 if rows * columns > count else LEGEND_HEIGHT[columns > 1]
    figure, axes = style.panels(rows, columns, width, PANEL_HEIGHT * rows + above, sharey=True)
    table = tables["tunnels"]
    for panel, letter, sweep in zip(axes.flat, "abcdefghi", tunnels, strict=False):
        part = table[table["sweep"] == sweep]
        _draw_sweep(panel, part, base.get(sweep), intervals)
        panel.set_xlabel(style.NAMES.get(sweep, sweep))
        style.title(panel, letter)
    if not table["fit"].all():  # room for the crosses
        low, high = axes[0, 0].get_ylim()
        axes[0, 0].set_ylim(low - 0.13 * (high - low), high)
    for panel in axes[:, 0]:
        panel.set_ylabel("angular width (degrees)")
    _legend(figure, axes.flat[count:], tunnels, table, intervals)
    style.thin_labels(figure)
    return figure


def _draw_sweep(axes: Axes, table: pd.DataFrame, base, intervals: Intervals) -> None:
    sweep, values = table["sweep"].iloc[0], table["value"].unique().tolist()
    positions = style.value_axis(axes, values)
    joined = all(isinstance(value, Real) for value in values)
    for column, shift in SHIFTS.items():
        colour = style.lighter(style.SWEEPS[sweep]) if column == "width_loss" else style.SWEEPS[sweep]
        means = summarise(table, column, intervals).set_index("value").loc[values]
        ends = (means["estimate"], means["low"], means["high"])
        if column == "width_balanced":
            style.intervals(axes, positions, *ends, colour, shift, joined=False, **HOLLOW)
            continue
        kept = table.assign(**{column: table[column].where(table["fit"])})
        seen = kept.pivot_table(column, "value", "seed", sort=False, dropna=False, observed=False)
        style.dots(axes, positions, seen.loc[values].to_numpy(), colour, shift)
        marker = "D" if column == "width_score" else "s"
        style.intervals(axes, positions, *ends, colour, shift, joined=joined, marker=marker)
    draw_dimension(axes, table, "width_score", base)
    for value, position in zip(values, positions, strict=True):
        lost = int((~table.loc[table["value"] == value, "fit"].astype(bool)).sum())
        if lost:
            axes.plot(position, 0.05, "x", color=style.NEUTRAL, transform=axes.get_xaxis_transform(), markersize=4)
            axes.annotate(
                f"{lost}",
                (position, 0.05),
                (4, 0),
                xycoords=axes.get_xaxis_transform(),
                color=style.NEUTRAL,
                textcoords="offset points",
                ha="left",
                va="center",
                fontsize=6.5,
            )
        if value == base:
            axes.plot(
                position,
                0,
                "^",
                color="black",
                markersize=4,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
                zorder=6,
            )


def draw_dimension(axes: Axes, table: pd.DataFrame, column: str, base) -> None:
    """Draw what dimension alone makes of the base setting's mean, from there on.

    Args:
        axes: to draw on.
        table: of a sweep, with `fit`; the columns that end in one of `LINES` are the base setting's, made as large.
        column: the measurement.
        base: the base setting's value.
    """
    kept = table[table["fit"].astype(bool)]
    start = kept.loc[kept["value"] == base, column].mean()
    for control, line in LINES.items():
        name = f"{column.removesuffix('_score')}_{control}"
        means = kept.groupby("value")[name].mean().dropna() if name in kept else ()
        if len(means):
            axes.plot([base, *means.index], [start, *means], line, color=style.NEUTRAL, linewidth=1.1, zorder=3.5)


def dimension_handles(table: pd.DataFrame, column: str) -> list[Line2D]:
    """Return the legend of `draw_dimension`."""
    texts = {"duplicated": "base setting, units duplicated", "idle": "base setting, further weights idle"}
    return [
        Line2D([], [], color=style.NEUTRAL, linestyle=LINES[control], label=text)
        for control, text in texts.items()
        if f"{column}_{control}" in table and table[f"{column}_{control}"].notna().any()
    ]


def _legend(figure: Figure, spare, tunnels: dict[str, xr.Dataset], table: pd.DataFrame, intervals: Intervals) -> None:
    """Explain the marks in a spare panel, or above all panels where there is none."""
    attributes = next(iter(tunnels.values())).attrs
    dark, light = style.NEUTRAL, style.lighter(style.NEUTRAL)
    handles = [
        Line2D(
            [],
            [],
            color=dark,
            marker="D",
            label=f"accuracy falls below {attributes['score_fraction']:.0%} of the optimum's",
        ),
        Line2D(
            [],
            [],
            color=light,
            marker="s",
            label=f"loss has risen by {attributes['loss_fraction']:.0%} of the way to chance",
        ),
        Line2D([], [], color=dark, marker=".", linestyle="none", label=f"each of {table['seed'].nunique()} seeds"),
        Line2D([], [], color=dark, linewidth=1.4, label=f"mean, {intervals.confidence:.0%} interval"),
        Line2D([], [], color="black", marker="^", linestyle="none", label="base setting"),
    ]
    if table["width_balanced"].notna().any():
        handles.insert(
            1, Line2D([], [], color=dark, linestyle="none", label="the same, layers of equal norm", **HOLLOW)
        )
    handles += dimension_handles(table, "width")
    if not table["fit"].all():
        handles.append(
            Line2D([], [], color=dark, marker="x", linestyle="none", label="number that are no optima, in no mean")
        )
    for panel in spare:
        panel.set_axis_off()
    look = {"handles": handles, "title": "A tunnel ends where …", "alignment": "left"}
    if len(spare):
        spare[0].legend(loc="center left", labelspacing=0.8, **look)
    else:
        figure.legend(loc="outside upper center", ncols=3 if figure.get_figwidth() > style.ONE_COLUMN else 1, **look)
