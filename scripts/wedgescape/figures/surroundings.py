"""Draw the training loss in the plane around one optimum, and in the plane of its trajectory.

(a) Two filter-normalised random directions; lengths are in units of the norm of the optimum's weights. (b) The first
two principal components of the trajectory, the path drawn in; each of its dots is a snapshot, and its colour says
whether it lies far from the plane.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from wedgescape.figures import style
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "planes around an optimum and along its trajectory"

COLOURS = 40  # steps of a colour scale
OUTLINE = [withStroke(linewidth=1.5, foreground="#333333")]  # white text is read on light and dark


def tabulate(planes: AtBase) -> pd.DataFrame:
    """Return one row per point evaluated: plane, split, alpha, beta, loss, score."""
    parts = [
        as_rows(planes[name][["loss", "score"]], ("split", "alpha", "beta"), ("loss", "score")).assign(plane=name)
        for name in ("around", "trajectory")
        if name in planes
    ]
    return pd.concat(parts, ignore_index=True)[["plane", "split", "alpha", "beta", "loss", "score"]]


def draw(planes: AtBase) -> Figure:
    """Draw the figure; without a trajectory, its panel is left out."""
    around, trajectory = planes["around"], planes.get("trajectory")
    figure, axes = style.panels(1, 1 if trajectory is None else 2, style.TWO_COLUMNS, 2.9)
    _draw_loss(axes[0, 0], around)
    axes[0, 0].plot(0, 0, "o", color=style.PLACES["optima"], markeredgecolor="white", markersize=5)
    axes[0, 0].set_xlabel("direction 1 (norms)")
    axes[0, 0].set_ylabel("direction 2 (norms)")
    for axis in (axes[0, 0].xaxis, axes[0, 0].yaxis):
        axis.set_major_locator(MaxNLocator(5))
    style.title(axes[0, 0], "a", "Around an optimum", f"norm {around.attrs['scale']:.1f} weights")
    if trajectory is not None:
        _draw_loss(axes[0, 1], trajectory)
        _draw_path(axes[0, 1], trajectory)
        axes[0, 1].set_xlabel("component 1 (weights)")
        axes[0, 1].set_ylabel("component 2 (weights)")
        share = float(trajectory["variance_share"])
        style.title(axes[0, 1], "b", "Along its trajectory", f"{share:.0%} of the variance")
    return figure


def _draw_loss(axes: Axes, plane: xr.Dataset) -> None:
    losses = plane["loss"].sel(split="train").transpose("beta", "alpha").values
    losses = np.log10(np.where(np.isfinite(losses) & (losses > 0), losses, np.nan))
    steps = np.linspace(np.nanmin(losses), np.nanmax(losses) + 1e-6, COLOURS + 1)
    filled = axes.contourf(plane["alpha"], plane["beta"], losses, steps, cmap=style.colour_map("loss"))
    bar = style.colour_bar(axes, filled, "training loss (nats)")
    ticks = style.log_ticks(10.0 ** steps[0], 10.0 ** steps[-1])
    bar.set_ticks(np.log10(ticks), labels=[style.number(tick) for tick in ticks])
    axes.set_aspect("equal")


def _draw_path(axes: Axes, plane: xr.Dataset) -> None:
    path, distance = plane["path"].values, plane["path_distance"].values
    axes.plot(*path.T, color="white", linewidth=0.8, zorder=3)
    shades = np.where(distance > distance.max() / 2, style.PLACES["far"], "white")
    axes.scatter(*path.T, c=shades, s=7, edgecolors="#333333", linewidths=0.4, zorder=4)
    axes.plot(*path[-1], "o", color=style.PLACES["optima"], markeredgecolor="white", markersize=5, zorder=5)
    for place, text in ((path[0], "initialisation"), (path[-1], "optimum")):
        axes.annotate(
            text,
            place,
            (0, -7),
            textcoords="offset points",
            fontsize=6.5,
            ha="center",
            va="top",
            color="white",
            path_effects=OUTLINE,
        )
    axes.annotate(
        f"red: over {distance.max() / 2:.1f} weights off the plane",
        (0.03, 0.97), xycoords="axes fraction", fontsize=6.5, ha="left", va="top", color="black",
    )  # fmt: skip
