"""Draw the loss over the plane through three optima, and along the straight lines between them.

(a) The training loss and (b) the test accuracy over the plane; axes are distances between weights, the origin is the
first optimum, the cross is where the connector's centre projects to, with its distance from the plane and its own loss.
(c-e) The loss along the three sides of the triangle, with the height of each barrier: the largest excess over the line
between the ends' losses.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "the plane through three optima"

COLOURS = 40  # steps of a colour scale


def tabulate(planes: AtBase) -> pd.DataFrame:
    """Return one row per point evaluated: on the plane (split, alpha, beta) or on a side (split, pair, t)."""
    store = planes["optima"]
    plane = as_rows(store[["loss", "score"]], ("split", "alpha", "beta"), ("loss", "score")).assign(part="plane")
    profiles = ["profile_loss", "profile_score"]
    sides = as_rows(store[profiles], ("split", "pair", "t"), profiles).assign(part="side")
    sides = sides.rename(columns={"profile_loss": "loss", "profile_score": "score"})
    columns = ["part", "split", "alpha", "beta", "pair", "t", "loss", "score"]
    return pd.concat([plane, sides], ignore_index=True)[columns]


def draw(planes: AtBase) -> Figure:
    """Draw the figure."""
    store = planes["optima"]
    style.apply()
    figure = Figure(figsize=(style.TWO_COLUMNS, 4.9))
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
    loss, accuracy = above.subplots(1, 2, sharex=True, sharey=True)
    _draw_loss(loss, store)
    _draw_score(accuracy, store)
    for axes, letter, text in ((loss, "a", "Training loss"), (accuracy, "b", "Test accuracy")):
        _draw_triangle(axes, store)
        axes.set_aspect("equal")
        axes.set_xlabel(r"distance $\alpha$ (weights)")
        style.title(axes, letter, text)
    _draw_connector(loss, store)
    loss.set_ylabel(r"distance $\beta$ (weights)")
    sides = below.subplots(1, 3, sharey=True)
    for axes, letter, pair in zip(sides, "cde", store["pair"].values, strict=True):
        _draw_side(axes, store.sel(pair=pair), letter)
    style.log_axis(sides[0])
    sides[0].set_ylabel("loss (nats)")
    handles = [Line2D([], [], color=colour, label=split) for split, colour in style.SPLITS.items()]
    handles.append(Line2D([], [], color=style.FAINT, linestyle="--", label="line between the ends' losses"))
    below.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _draw_loss(axes: Axes, store: xr.Dataset) -> None:
    losses = store["loss"].sel(split="train").transpose("beta", "alpha").values
    losses = np.where(np.isfinite(losses) & (losses > 0), losses, np.nan)
    steps = _scale(np.log10(np.nanmin(losses)), np.log10(np.nanmax(losses)))
    filled = axes.contourf(store["alpha"], store["beta"], np.log10(losses), steps, cmap=style.colour_map("loss"))
    axes.contour(
        store["alpha"],
        store["beta"],
        np.log10(losses),
        np.arange(np.ceil(steps[0]), steps[-1]),
        colors="white",
        linewidths=0.4,
        linestyles="-",
        alpha=0.35,
    )
    bar = style.colour_bar(axes, filled, "loss (nats)")
    ticks = style.log_ticks(10.0 ** steps[0], 10.0 ** steps[-1])
    bar.set_ticks(np.log10(ticks), labels=[style.number(tick) for tick in ticks])


def _draw_score(axes: Axes, store: xr.Dataset) -> None:
    accuracy = store["score"].sel(split="test").transpose("beta", "alpha").values
    steps = _scale(np.nanmin(accuracy), np.nanmax(accuracy))
    filled = axes.contourf(store["alpha"], store["beta"], accuracy, steps, cmap=style.colour_map("score"))
    bar = style.colour_bar(axes, filled, "accuracy (fraction)")
    bar.set_ticks([tick for tick in np.arange(0, 1.01, 0.1) if steps[0] <= tick <= steps[-1]])


def _scale(low: float, high: float) -> np.ndarray:
    """Return the steps of a colour scale; a constant surface has one, too."""
    return np.linspace(low, high if high > low else low + 1e-6, COLOURS + 1)


def _draw_triangle(axes: Axes, store: xr.Dataset) -> None:
    corners = np.stack([store["optimum_alpha"].values, store["optimum_beta"].values], 1)
    axes.plot(*np.concatenate([corners, corners[:1]]).T, color="white", linewidth=1, linestyle="--")
    middle = corners.mean(0)
    for corner, seed in zip(corners, store["optimum"].values, strict=True):
        axes.plot(*corner, "o", color=style.PLACES["optima"], markeredgecolor="white", markersize=5)
        above = corner[1] > middle[1]
        axes.annotate(
            f"seed {seed}",
            corner,
            (0, 6 if above else -6),
            textcoords="offset points",
            color="white",
            fontsize=7,
            ha="center",
            va="bottom" if above else "top",
        )


def _draw_connector(axes: Axes, store: xr.Dataset) -> None:
    """Mark where the connector's centre projects to, and say how far from the plane it lies, and its loss."""
    place = store["connector_place"].values
    axes.plot(*place, "X", color=style.PLACES["centre"], markeredgecolor="white", markersize=6, zorder=5)
    distance, loss = float(store["connector_distance"]), float(store["connector_loss"].sel(split="train"))
    note = f"connector's centre\n{distance:.1f} weights off the plane:\n{style.number(float(f'{loss:.1g}'))} nats"
    axes.annotate(
        note, place, (0, 8), textcoords="offset points", color="black", fontsize=6, ha="center", va="bottom", zorder=5
    )


def _draw_side(axes: Axes, side: xr.Dataset, letter: str) -> None:
    first, last = str(side["pair"].values).split("-")
    notes = []
    for split, colour in style.SPLITS.items():
        losses = side["profile_loss"].sel(split=split).values
        axes.plot(side["t"], losses, color=colour)
        axes.plot([0, 1], losses[[0, -1]], color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
        notes.append(f"{split} {float(side['barrier'].sel(split=split)):.3f}")
    axes.set(xlim=(0, 1))
    axes.set_xlabel(f"position on the line (fraction)\nbarrier: {', '.join(notes)} nats", fontsize=7)
    style.title(axes, letter, f"Seed {first} to seed {last}")
