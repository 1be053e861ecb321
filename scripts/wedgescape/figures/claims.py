"""Draw all verdicts on one page: a forest plot, one row per claim, coloured by its verdict.

Claims with a smallest effect of interest are drawn in units of it: between the two lines there is no effect worth
the name, right of them the claim is supported, left of them contradicted. Claims that two effects are alike are
supported between the lines and contradicted on both sides. Claims with a threshold are drawn by how far their interval
lies from it, in units of half its width: an interval that touches the line decides nothing. Beside each row are the
estimate and its interval in the units of its quantity; a square before them has the colour of the verdict on fresh
seeds, once there is one. Checks of the implementation stand apart.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import VERDICTS
from wedgescape.study.places import Verdicts

CATEGORY = "1 Verdicts"
TITLE = "all verdicts on one page"

WIDTH, PAGE = 7.5, 10.8  # inches: a page of A4 or letter paper within narrow margins
ROW, AXIS, HEAD = 0.128, 0.45, 0.3  # inches: the most that a row takes, a block's axis, the legend
LABELS = {
    "effects": "effect on the claimed side / smallest effect of interest",
    "thresholds": "distance from the threshold on the claimed side / half the interval",
    "checks": "checks: distance from the threshold / half the interval",
}
FARTHEST = 300.0  # of both axes; what lies beyond is drawn at their end


def blocks(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the claims by what can share an axis, with the columns `x`, `left` and `right` to draw."""
    kinds = np.where(table["smallest_effect"].notna(), "effects", "thresholds")
    kinds = np.where(table["kind"] == "check", "checks", kinds)
    return {kind: _scaled(table[kinds == kind], kind) for kind in LABELS if (kinds == kind).any()}


def _scaled(part: pd.DataFrame, kind: str) -> pd.DataFrame:
    side = np.where(part["wanted"] == "below", -1.0, 1.0)
    ends = part[["estimate", "low", "high"]]
    if kind == "effects":
        ends = ends.div(part["smallest_effect"], axis=0)
    else:
        half = ((ends["high"] - ends["low"]) / 2).replace([np.inf, 0], np.nan)
        half = half.fillna((ends["estimate"] - part["threshold"]).abs()).replace(0, 1)
        ends = ends.sub(part["threshold"], axis=0).div(half, axis=0)
    ends = ends.mul(side, axis=0).clip(-FARTHEST, FARTHEST)
    left, right = ends[["low", "high"]].min(axis=1), ends[["low", "high"]].max(axis=1)
    return part.assign(x=ends["estimate"], left=left, right=right)


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
    if verdicts["confirmed"].fillna("").ne("").any():
        label = "verdict on fresh seeds"
        handles.append(Line2D([], [], color=style.NEUTRAL, marker="s", linestyle="none", markersize=2.6, label=label))
    figure.legend(handles=handles, loc="upper center", ncols=6, columnspacing=1.5)
    return figure


def _draw_block(axes: Axes, part: pd.DataFrame, kind: str, size: float) -> None:
    """Draw claims below each other, with text of a size in points."""
    for place, claim in enumerate(part.itertuples()):
        colour = style.VERDICTS[claim.verdict]
        if np.isfinite(claim.left) and np.isfinite(claim.right):
            axes.plot([claim.left, claim.right], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
        if np.isfinite(claim.x):
            axes.plot(claim.x, place, "D", color=colour, markersize=2.6)
        said = f"{claim.estimate:.3g} [{claim.low:.3g}, {claim.high:.3g}]"
        across = {"transform": axes.get_yaxis_transform(), "va": "center_baseline", "fontsize": size}
        looks = "italic" if kind == "checks" else "normal"
        axes.text(-0.03, place, claim.sentence, ha="right", style=looks, **across)
        axes.text(1.05, place, said, ha="left", color=colour, **across)
        if isinstance(claim.confirmed, str) and claim.confirmed:
            beside = {"transform": axes.get_yaxis_transform(), "clip_on": False, "markersize": 2.6}
            axes.plot(1.02, place, "s", color=style.VERDICTS[claim.confirmed], **beside)
    edges = (-1.0, 1.0) if kind == "effects" else (0.0,)
    for edge in edges:
        axes.axvline(edge, color=style.NEUTRAL, linewidth=0.6, zorder=0)
    if kind == "effects":
        axes.axvspan(*edges, color=style.FAINT, alpha=0.35, linewidth=0, zorder=0)
    axes.set_ylim(len(part) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(LABELS[kind], fontsize=6.5, labelpad=1.5)
    axes.set_xscale("symlog", linthresh=2.0)
    axes.set_xlim(-FARTHEST * 1.1, FARTHEST * 1.1)
    axes.set_xticks([-100, -10, -1, 1, 10, 100] if kind == "effects" else [-100, -10, 0, 10, 100])
    axes.xaxis.set_major_formatter(lambda value, _place: style.number(value))
    axes.tick_params(labelsize=6)
