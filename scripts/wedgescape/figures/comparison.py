"""Draw the verdicts of several studies side by side: a row per claim, a column per study.

A square has the colour of its verdict; where a study makes no such claim there is none. A bar at the right marks claims
on which all studies agree that judge them. Claims that one study alone makes are counted and not drawn; the table has
them.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from wedgescape.figures import style
from wedgescape.numerics.judging import VERDICTS

ROW, HEAD = 0.128, 0.75  # inches
MARGIN, COLUMN = 0.3, 0.62  # inches: beside the sentences, of a study
POINTS = 6  # size of the sentences


def draw(table: pd.DataFrame, studies: list[str]) -> Figure:
    """Draw the figure.

    Args:
        table: of `analysis.comparison.compared`.
        studies: its columns.
    """
    style.apply()
    shared = table[(table[studies] != "").sum(axis=1) > 1] if len(studies) > 1 else table
    alone, table = len(table) - len(shared), shared
    widths = [TextPath((0, 0), one, POINTS).get_extents().width for one in table["sentence"]]
    sentences = MARGIN + max(widths, default=0) / 72
    width, height = sentences + COLUMN * len(studies) + 0.3, ROW * len(table) + HEAD
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    axes = figure.add_axes((sentences / width, 0.1 / height, COLUMN * len(studies) / width, ROW * len(table) / height))
    for row, claim in table.reset_index(drop=True).iterrows():
        for column, study in enumerate(studies):
            if claim[study]:
                colour = style.VERDICTS[claim[study]]
                axes.plot(column, row, "s", color=colour, markersize=5.5, markeredgewidth=0)
        if claim["everywhere"]:
            axes.plot(
                [len(studies) - 0.42] * 2,
                [row - 0.5, row + 0.5],
                color=style.VERDICTS[claim["everywhere"]],
                linewidth=2,
            )
        looks = "italic" if claim["kind"] == "check" else "normal"
        axes.text(-0.6, row, claim["sentence"], ha="right", va="center_baseline", fontsize=POINTS, style=looks)
    for row in range(1, len(table)):
        if table["family"].iloc[row] != table["family"].iloc[row - 1]:
            axes.axhline(row - 0.5, color=style.FAINT, linewidth=0.5)
    axes.set(xlim=(-0.5, len(studies) - 0.4), ylim=(max(len(table), 1) - 0.5, -0.5), yticks=[])
    axes.set_xticks(range(len(studies)), studies, rotation=30, ha="left", fontsize=6.5)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    handles = [
        Line2D([], [], color=style.VERDICTS[name], marker="s", linestyle="none", markersize=4, label=name)
        for name in VERDICTS
    ]
    handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=2, label="the same in all studies that judge it"))
    handles += (
        [Line2D([], [], linestyle="none", label=f"not drawn: {alone} claims of one study alone")] if alone else []
    )
    figure.legend(handles=handles, loc="upper left", ncols=1, fontsize=6)
    return figure
