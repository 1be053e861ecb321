"""Draw the toy model's closed forms and what simulation finds, four predictions in four panels.

Lines are closed forms, marks are simulated. (a) The loss of a random point against its distance from the origin.
(b) The lowest loss on a random cut against the cut's dimensions. (c) The angular width of a wedge against the distance
from the origin. (d) The dimensions that m wedges share against m; the mark is filled where a connector between m points
on m wedges was found, and theory expects one as long as the line stays above m - 1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator

from wedgescape.figures import style
from wedgescape.landscapes import wedges as theory
from wedgescape.measurements.wedges import connected, tidy
from wedgescape.study.places import AtBase

CATEGORY = "2 Toy wedges"
TITLE = "predictions against simulation"

FINE = 200  # points on a line
DEGREES = 180 / np.pi


def tabulate(wedges: AtBase) -> pd.DataFrame:
    """Return the simulated cases beside their closed forms (`wedges.tidy`) and the fraction of connectors found."""
    found = xr.DataArray(
        connected(wedges["connector_residual"].values),
        dims=("short", "size"),
        name="connected",
        coords={"short": wedges["short"], "size": wedges["size"]},
    )
    found = found.to_dataframe().reset_index().assign(quantity="shared_dim")
    return tidy(wedges).merge(found, how="left", on=["quantity", "short", "size"])


def draw(wedges: AtBase) -> Figure:
    """Draw the figure."""
    table = tabulate(wedges)
    figure, axes = style.panels(2, 2, style.TWO_COLUMNS, 5.4)
    shorts = wedges["short"].values.tolist()
    looks = {
        s: {"color": colour, "marker": style.MARKERS[k % len(style.MARKERS)]}
        for k, (s, colour) in enumerate(zip(shorts, style.levels(len(shorts)), strict=True))
    }
    _random(axes[0, 0], table, looks, wedges)
    _cuts(axes[0, 1], table, looks, wedges)
    _widths(axes[1, 0], table, looks, wedges)
    _meetings(axes[1, 1], table, looks, wedges)
    marks = [Line2D([], [], label=f"$s = {s}$", markersize=4, **look) for s, look in looks.items()]
    marks += [
        Line2D([], [], linestyle="none", label=f"$D = {wedges.attrs['dimension']}$"),
        Line2D([], [], color=style.NEUTRAL, label="closed form"),
        Line2D([], [], color=style.NEUTRAL, marker="o", linestyle="none", markersize=4, label="simulated, ± std"),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=len(marks), columnspacing=1.4)
    style.thin_labels(figure)
    return figure


def error_note(rows: pd.DataFrame, least: float = 0.0) -> str:
    """Say how far simulation is from the closed forms, where those are above the least."""
    errors = rows.loc[rows["predicted"] > least, "relative_error"].abs().dropna()
    if errors.empty:
        return ""
    return f"relative error: median {errors.median():.1%}, largest {errors.max():.1%}"


def _marks(axes: Axes, x, rows: pd.DataFrame, look: dict, scale: float = 1.0, **marks) -> None:
    """Draw simulated means with their spread over trials."""
    mean, spread = scale * rows["simulated"].to_numpy(), scale * rows["std"].to_numpy()
    below = np.minimum(spread, 0.999 * mean) if axes.get_yscale() == "log" else spread
    axes.errorbar(
        x,
        mean,
        np.stack([below, spread]),
        **{"linestyle": "none", "elinewidth": 0.7, "markersize": 4, "markeredgewidth": 0.7, **look, **marks},
    )


def _random(axes: Axes, table: pd.DataFrame, looks: dict, store: xr.Dataset) -> None:
    rows = table[table["quantity"] == "random_loss"]
    radii, dim = store["radius"].values, store.attrs["dimension"]
    style.value_axis(axes, radii)
    axes.set_yscale("log")
    fewest, most = int(store["wedges"].min()), int(store["wedges"].max())
    for s, look in looks.items():
        axes.plot(radii, theory.random_loss(radii, s, dim), color=look["color"])
        part = rows[(rows["short"] == s) & (rows["wedges"] == fewest)]
        _marks(axes, part["radius"], part, look)
        if most > fewest:
            part = rows[(rows["short"] == s) & (rows["wedges"] == most)]
            _marks(
                axes,
                part["radius"],
                part,
                look,
                markerfacecolor="white",
                markersize=3,
                zorder=1,
                linestyle=":",
                linewidth=0.8,
            )
    axes.set(xlabel="distance $r$ from the origin", ylabel="loss of a random point")
    note = error_note(rows[rows["wedges"] == fewest]) + f" ($W = {fewest}$)"
    _note(axes, "bottom", note, *([f"open: $W = {most}$ wedges"] if most > fewest else []))
    style.log_axis(axes)
    style.title(axes, "a", r"Random points: $r\,\sqrt{s/D}$")


def _cuts(axes: Axes, table: pd.DataFrame, looks: dict, store: xr.Dataset) -> None:
    rows = table[table["quantity"] == "cut_loss"]
    radius, dim = store.attrs["cut_radius"], store.attrs["dimension"]
    for s, look in looks.items():
        ratio = np.linspace(0, 1, FINE)
        axes.plot(ratio, theory.cut_loss(radius, s, ratio * s, dim), color=look["color"])
        dims = store["cut_dim"].sel(short=s).values
        _marks(axes, dims / s, rows[rows["short"] == s].sort_values("ratio"), look)
    ends = axes.get_xlim()[1]
    axes.plot([1, ends], [0, 0], color=style.NEUTRAL, zorder=1)
    axes.set(
        xlabel="dimensions of the cut over short ones, $d\\,/\\,s$",
        ylabel="lowest loss on a random cut",
        xlim=(0, ends),
    )
    style.title(axes, "b", rf"Random cuts: $r\,\sqrt{{(s-d)/D}}$, $r = {radius:g}$")
    _note(axes, "top", error_note(rows) + " ($d < s$)")


def _widths(axes: Axes, table: pd.DataFrame, looks: dict, store: xr.Dataset) -> None:
    rows = table[table["quantity"] == "width"]
    radii, dim, threshold = store["radius"].values, store.attrs["dimension"], store.attrs["threshold"]
    style.value_axis(axes, radii)
    axes.set_yscale("log")
    fine = np.geomspace(radii.min(), radii.max(), FINE)
    for s, look in looks.items():
        axes.plot(fine, DEGREES * theory.half_width(threshold, fine, s, dim), color=look["color"])
        part = rows[rows["short"] == s]
        _marks(axes, part["radius"], part, look, DEGREES)
    axes.set(xlabel="distance $r$ from the origin", ylabel="angular width (degrees)")
    _note(axes, "bottom", error_note(rows))
    style.log_axis(axes)
    style.title(axes, "c", r"Wedges: $\arcsin(\tau\,/\,r\sqrt{s/D})$")


def _meetings(axes: Axes, table: pd.DataFrame, looks: dict, store: xr.Dataset) -> None:
    rows = table[table["quantity"] == "shared_dim"]
    sizes, dim = store["size"].values, store.attrs["dimension"]
    style.value_axis(axes, sizes)
    fine = np.geomspace(sizes.min(), sizes.max(), FINE)
    needed = fine - 1
    axes.plot(fine, needed, color=style.FAINT, linestyle="--")
    axes.annotate("$m-1$", (fine[0], needed[0]), (4, 4), textcoords="offset points", color=style.NEUTRAL, fontsize=7)
    for s, look in looks.items():
        axes.plot(fine, theory.intersection(s, fine, dim), color=look["color"])
        part = rows[rows["short"] == s].sort_values("size")
        for found, case in part.groupby(part["connected"] >= 0.5):
            _marks(axes, case["size"], case, look, markerfacecolor=look["color"] if found else "white")
        largest = int(store["largest_connector"].sel(short=s))
        if sizes.min() <= largest <= sizes.max():
            axes.axvline(largest, ymax=0.06, color=look["color"], linewidth=2)
    axes.set(xlabel="number $m$ of wedges that meet", ylabel="dimensions that $m$ wedges share")
    axes.yaxis.set_major_locator(FixedLocator([t for t in MaxNLocator(5).tick_values(0, dim) if 0 <= t <= dim]))
    style.title(axes, "d", r"Intersections: $D\,(1-s/D)^m$")
    _note(
        axes,
        "top",
        "connector between $m$ points found: filled; not: open",
        "largest $m$ for which one is expected: bars below",
        error_note(rows, 1.0) + " (closed form > 1)",
    )


def _note(axes: Axes, edge: str, *lines: str) -> None:
    """Write lines along the bottom or top edge of a panel and make room for them."""
    scale = axes.yaxis.get_transform()
    low, high = scale.transform(axes.get_ylim())
    room = 0.075 * len(lines) * (high - low)
    axes.set_ylim(scale.inverted().transform([low - room, high] if edge == "bottom" else [low, high + room]))
    place = (0.98, 0.03 if edge == "bottom" else 0.98)
    text = axes.text(*place, "\n".join(lines), transform=axes.transAxes, ha="right", va=edge)
    text.set(fontsize=6.5, color=style.NEUTRAL)
