"""Draw all verdicts on one page: a forest plot, one row per claim, coloured by its verdict.

Claims are in three blocks, by what can share an axis: correlations; differences, for which zero is the edge, each in
units of the farther end of its interval; and positive numbers, each as the factor by which it passes the edge of its
rule, so that a claim is supported right of 1. Beside each row are the estimate and its interval in the units of its
statistic.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.analysis.verdicts import VERDICTS
from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import Verdicts

CATEGORY = "1 Verdicts"
TITLE = "all verdicts on one page"

WIDTH, PAGE = 7.5, 10.8  # inches: a page of A4 or letter paper within narrow margins
ROW, AXIS, HEAD = 0.128, 0.45, 0.3  # inches: the most that a row takes, a block's axis, the legend
LABELS = {
    "correlations": "correlation (grey tick: the edge of the rule)",
    "differences": "difference / farther end of its interval",
    "factors": "factor by which the rule is passed",
}
SMALLEST_FACTOR, LARGEST_FACTOR = 1e-1, 1e4  # of the axis; factors beyond it are drawn at its end


def blocks(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the claims by what can share an axis, with the columns `x`, `left`, `right` and `edge` to draw."""
    correlation = table["statistic"].str.contains("Spearman|correlation|cosine", regex=True)
    kinds = np.select([correlation, table["threshold"] == 0], ["correlations", "differences"], "factors")
    return {kind: _scaled(table[kinds == kind], kind) for kind in LABELS if (kinds == kind).any()}


def _scaled(part: pd.DataFrame, kind: str) -> pd.DataFrame:
    ends = part[["estimate", "low", "high"]].replace([np.inf, -np.inf], np.nan)
    edge = part["threshold"]
    if kind == "differences":
        farther = ends[["low", "high"]].abs().max(axis=1).fillna(ends["estimate"].abs()).replace(0, 1)
        ends = ends.div(farther, axis=0)
    elif kind == "factors":
        ends = ends.clip(lower=0).div(edge, axis=0)
        small = part["wanted"] == "below"
        with np.errstate(divide="ignore"):
            flipped = (1 / ends[small]).set_axis(["estimate", "high", "low"], axis=1)
        ends = pd.concat([ends[~small], flipped]).loc[part.index, ["estimate", "low", "high"]]
        ends, edge = ends.clip(SMALLEST_FACTOR, LARGEST_FACTOR), pd.Series(1.0, part.index)
    return part.assign(x=ends["estimate"], left=ends["low"], right=ends["high"], edge=edge)


def draw(verdicts: Verdicts, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    parts = blocks(verdicts)
    row = min(ROW, (PAGE - HEAD - AXIS * len(parts)) / len(verdicts))
    heights = [row * len(part) + AXIS for part in parts.values()]
    style.apply()
    figure = Figure(figsize=(WIDTH, sum(heights) + HEAD))
    figure.set_layout_engine("none")  # every axes has its place here
    top = sum(heights)
    for letter, (kind, part) in zip("abc", parts.items(), strict=False):
        height = row * len(part)
        top -= height
        box = (0.555, top / (sum(heights) + HEAD), 0.25, height / (sum(heights) + HEAD))
        axes = figure.add_axes(box)
        _draw_block(axes, part, kind, 5.4 * row / ROW + 0.6)
        axes.text(-2.2, 1.0, rf"$\mathbf{{{letter}}}$", transform=axes.transAxes, va="bottom")
        top -= AXIS
    counts = verdicts["verdict"].value_counts()
    handles = [
        Line2D([], [], color=style.VERDICTS[name], marker="D", markersize=3, label=f"{counts.get(name, 0)} {name}")
        for name in VERDICTS
    ]
    handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=1, label=f"{intervals.confidence:.0%} interval"))
    figure.legend(handles=handles, loc="upper center", ncols=4, columnspacing=1.5)
    return figure


def _draw_block(axes: Axes, part: pd.DataFrame, kind: str, size: float) -> None:
    """Draw claims below each other, with text of a size in points."""
    rows = np.arange(len(part))
    for place, claim in zip(rows, part.itertuples(), strict=True):
        colour = style.VERDICTS[claim.verdict]
        if np.isfinite(claim.left) and np.isfinite(claim.right):
            axes.plot([claim.left, claim.right], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
        if np.isfinite(claim.x):
            axes.plot(claim.x, place, "D", color=colour, markersize=2.6)
        if kind == "correlations":
            axes.plot([claim.edge] * 2, [place - 0.4, place + 0.4], color=style.FAINT, linewidth=1, zorder=1)
        said = f"{claim.estimate:.3g} [{claim.low:.3g}, {claim.high:.3g}]"
        across = {"transform": axes.get_yaxis_transform(), "va": "center_baseline", "fontsize": size}
        axes.text(-0.03, place, claim.sentence, ha="right", **across)
        axes.text(1.04, place, said, ha="left", color=colour, **across)
    axes.axvline(1.0 if kind == "factors" else 0.0, color=style.NEUTRAL, linewidth=0.6, zorder=0)
    axes.set_ylim(len(part) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(LABELS[kind], fontsize=6.5, labelpad=1.5)
    axes.tick_params(labelsize=6)
    if kind == "factors":
        axes.set_xscale("log")
        axes.set_xlim(SMALLEST_FACTOR, LARGEST_FACTOR)
    else:
        axes.set_xlim(-1.05, 1.05)
