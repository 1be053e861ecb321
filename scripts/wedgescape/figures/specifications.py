"""Draw for each claim all ways to measure it: specification curves (Simonsohn, Simmons & Nelson 2020).

One panel per claim: the estimates of all specifications in their order, bars their intervals, coloured by the verdict
that each would give if it stood alone. A ring marks the registered one, on which the verdict of the table rests; the
grey band is the smallest effect of interest. The squares below say which choices each makes, of each kind the
registered one first. Beside the letter is the share of specifications that give the registered one's verdict.
"""

from __future__ import annotations

import itertools
import string
import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import VERDICTS
from wedgescape.study.places import Specifications, Verdicts

CATEGORY = "1 Verdicts"
TITLE = "every claim by every way to measure it"

COLUMNS = 5  # claims beside each other
CURVE, CHOICE, MARGIN = 1.1, 0.105, 0.22  # inches: a curve with its title, a row of dots, what is below both
LABELS = 1.75  # inches at the left, for the names of choices
BETWEEN = "; "  # choices


def blocks(table: pd.DataFrame) -> list[list[str]]:
    """Return the claims that are drawn beside each other: those of one kind, at most `COLUMNS`."""
    groups = itertools.groupby(table["id"].unique(), key=lambda name: name.partition("_")[0])
    kinds = [list(names) for _kind, names in groups]
    return [names[first : first + COLUMNS] for names in kinds for first in range(0, len(names), COLUMNS)]


def choices_of(table: pd.DataFrame) -> list[list[str]]:
    """Return what there is to choose: for each place in the names of specifications, its choices in order."""
    parts = [name.split(BETWEEN) for name in table["specification"]]
    places = range(max(map(len, parts)))
    return [list(dict.fromkeys(one[place] for one in parts if place < len(one))) for place in places]


def draw(specifications: Specifications, verdicts: Verdicts, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure.

    Args:
        specifications: one row per claim and specification, the registered one of each claim first.
        verdicts: of all claims.
        intervals: how they were computed.
    """
    style.apply()
    parts = [specifications[specifications["id"].isin(names)] for names in blocks(specifications)]
    heights = [CURVE + MARGIN + CHOICE * sum(map(len, choices_of(part))) for part in parts]
    figure = Figure(figsize=(style.TWO_COLUMNS, max(1.0, sum(heights) + 0.3)))
    figure.set_layout_engine("none")  # every axes has its place here
    if not parts:
        figure.text(0.5, 0.5, "no claim was measured in several ways", ha="center")
        return figure
    effects, letters = verdicts.set_index("id")["smallest_effect"], itertools.cycle(string.ascii_letters)
    top, (wide, high) = sum(heights), figure.get_size_inches()
    for part, height in zip(parts, heights, strict=True):
        quantity = verdicts.set_index("id")["quantity"].get(part["id"].iloc[0], "")
        quantity = quantity.partition(" beyond ")[0]
        figure.text(0.08 / wide, (top - 0.3) / high, textwrap.fill(quantity, 26), va="top", fontsize=6.5)
        _draw_block(figure, part, top, effects, letters)
        top -= height
    handles = [Line2D([], [], color=style.VERDICTS[name], marker="o", markersize=3, label=name) for name in VERDICTS]
    ring = {"marker": "o", "markerfacecolor": "none", "markersize": 6, "linestyle": "none"}
    handles.append(Line2D([], [], color="black", label="registered", **ring))
    handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=0.8, label=f"{intervals.confidence:.0%} interval"))
    figure.legend(handles=handles, loc="upper center", ncols=6, columnspacing=1.4)
    return figure


def _draw_block(figure: Figure, part: pd.DataFrame, top: float, effects: pd.Series, letters) -> None:
    """Draw claims of one kind beside each other, below a height in inches."""
    (wide, high), names = figure.get_size_inches(), part["id"].unique()
    choices = choices_of(part)
    width, rows = (wide - LABELS) / COLUMNS, sum(map(len, choices))
    for column, name in enumerate(names):
        left = (LABELS + column * width + 0.3) / wide
        inner, middle = (width - 0.36) / wide, top - CURVE
        curve = figure.add_axes((left, middle / high, inner, (CURVE - 0.22) / high))
        dots = figure.add_axes((left, (middle - 0.06 - CHOICE * rows) / high, inner, CHOICE * rows / high))
        claim = part[part["id"] == name]
        ordered = claim.assign(registered=np.arange(len(claim)) == 0).sort_values("estimate", kind="stable")
        _draw_curve(curve, ordered, effects.get(name, np.nan))
        _draw_choices(dots, ordered, choices, column == 0)
        agreeing = (claim["verdict"] == claim["verdict"].iloc[0]).mean()
        curve.set_title(
            rf"$\mathbf{{{next(letters)}}}$  {_title(name)}, {agreeing:.0%}", loc="left", fontsize=5.5, x=-0.2
        )


def _title(name: str) -> str:
    """Return what is over a panel: a claim's name without its kind, which is beside all of them."""
    rest = name.partition("_")[2]
    return style.NAMES.get(rest, rest.replace("_", " ")).split(" (")[0].replace(" probability", "") or name


def _draw_curve(axes: Axes, ordered: pd.DataFrame, effect: float) -> None:
    """Draw the estimates of a claim's specifications, in their order."""
    if np.isfinite(effect):
        axes.axhspan(-effect, effect, color=style.FAINT, alpha=0.35, linewidth=0)
    axes.axhline(0, color=style.FAINT, linewidth=0.6)
    for place, one in enumerate(ordered.itertuples()):
        colour = style.VERDICTS[one.verdict]
        if np.isfinite([one.low, one.high]).all():
            axes.plot([place, place], [one.low, one.high], color=colour, linewidth=0.8)
        axes.plot(place, one.estimate, "o", color=colour, markersize=1.6)
        if one.registered:
            axes.plot(
                place, one.estimate, "o", color="black", markerfacecolor="none", markersize=5, markeredgewidth=0.8
            )
    axes.set_xlim(-0.8, len(ordered) - 0.2)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(labelsize=5.5, pad=1)


def _draw_choices(axes: Axes, ordered: pd.DataFrame, choices: list[list[str]], named: bool) -> None:
    """Draw which choices the specifications make, one row of dots per choice."""
    rows = [(place, choice) for place, some in enumerate(choices) for choice in some]
    for place, one in enumerate(ordered.itertuples()):
        made = [rows.index(pair) for pair in enumerate(one.specification.split(BETWEEN))]
        axes.plot([place] * len(made), made, "s", color=style.VERDICTS[one.verdict], markersize=1.5)
        if one.registered:
            axes.axvspan(place - 0.5, place + 0.5, color=style.FAINT, alpha=0.4, linewidth=0, zorder=0)
    for edge in np.cumsum([len(some) for some in choices])[:-1]:
        axes.axhline(edge - 0.5, color=style.FAINT, linewidth=0.4)
    axes.set_xlim(-0.8, len(ordered) - 0.2)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(range(len(rows)), [choice for _place, choice in rows] if named else [])
    axes.tick_params(axis="y", length=0, labelsize=5.5, pad=1)
    axes.spines[:].set_visible(False)
