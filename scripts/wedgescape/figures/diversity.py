"""Draw how alike solutions are as functions and in weight space, and how networks change along paths.

(a) On which fraction of test examples two networks predict different classes and (b) the angle between their weights,
for all members of all methods in the first group. (c-e) How far predictions are from those at the start of a path,
against the angle between the weights: out of a tunnel, along a connector, and back along the training. Thin lines are
groups, thick ones means with the interval. Dotted: the mean over pairs of independent solutions.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.analysis.ensembles import groups_of, summarise, tidy_paths
from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import AtBase

CATEGORY = "8 Ensembles"
TITLE = "how alike solutions are, and networks along paths"

TITLES = {
    "tunnel": ("Out of a tunnel", style.METHODS["tunnel"]),
    "connector": ("Along a connector", style.METHODS["connector"]),
    "trajectory": ("Back along the training", style.NEUTRAL),
}
MEASURES = {"disagreement": ("-", "disagreement"), "jensen_shannon": ("--", "Jensen-Shannon divergence (nats)")}
LABEL_ROWS = 1.6  # of a matrix, between two names
LOWEST = 2e-4  # below, on a logarithmic axis, nothing is shown


def tabulate(ensembles: AtBase) -> pd.DataFrame:
    """Return one row per (path, seed, place)."""
    return tidy_paths(ensembles["paths"])


def draw(ensembles: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    methods, paths = (groups_of(ensembles[part]) for part in ("methods", "paths"))
    style.apply()
    figure = Figure(figsize=(style.TWO_COLUMNS, 5.4))
    above, below = figure.subfigures(2, 1, height_ratios=(1.3, 1))
    left, right = above.subplots(1, 2)
    _draw_matrix(left, methods, methods["disagreement_matrix"].values, "disagreement (fraction of test examples)")
    style.title(left, "a", "As functions")
    angles = np.degrees(np.arccos(methods["weight_cosine_matrix"].values))
    _draw_matrix(right, methods, angles, "angle between weights (degrees)", 90)
    style.title(right, "b", "In weight space")
    panels = below.subplots(1, paths.sizes["path"], sharey=True, squeeze=False)[0]
    independent = float(methods["disagreement"].sel(ensemble="independent").mean())
    for panel, letter, name in zip(panels, "cde", paths["path"].values, strict=False):
        _draw_path(panel, paths.sel(path=name), TITLES[name][1], intervals)
        panel.axhline(independent, color=style.METHODS["independent"], linestyle=":", linewidth=1, zorder=2)
        style.title(panel, letter, TITLES[name][0])
    if "tunnel" in paths["path"]:
        panel, width = panels[0], np.degrees(methods["tunnel_width"].mean().item())
        fraction = methods.attrs["tunnel_fraction"]
        for angle, text in ((fraction * width, "samples"), (width, "tunnel ends")):
            panel.axvline(angle, color=style.FAINT, linewidth=0.8, zorder=1)
            panel.annotate(
                text, (angle, LOWEST), (2, 3), textcoords="offset points", fontsize=6, rotation=90, va="bottom"
            )
    style.log_axis(panels[0])
    panels[0].set_ylabel("difference from the start")
    handles = [Line2D([], [], color=style.NEUTRAL, linestyle=line, label=label) for line, label in MEASURES.values()]
    label = f"disagreement of each of {paths.sizes['seed']} groups"
    handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=0.4, label=label))
    handles.append(Line2D([], [], color=style.NEUTRAL, linestyle="-.", linewidth=0.8, label="test error there"))
    look = {"color": style.METHODS["independent"], "linestyle": ":"}
    handles.append(Line2D([], [], label="disagreement of independent solutions, mean", **look))
    below.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _draw_matrix(axes: Axes, store: xr.Dataset, values: np.ndarray, label: str, largest: float | None = None) -> None:
    """Draw a matrix over networks, with white lines between methods and, at the left of the first one, their names."""
    owners = store["network_ensemble"].values
    drawn = axes.imshow(
        np.ma.masked_invalid(values), cmap=style.colour_map("difference"), vmin=0, vmax=largest, interpolation="nearest"
    )
    methods = list(dict.fromkeys(owners.tolist()))
    places = {method: np.flatnonzero(owners == method) for method in methods}
    for place in places.values():
        for line in (axes.axhline, axes.axvline):
            line(place[0] - 0.5, color="white", linewidth=0.8)
    middles = [place.mean() for place in places.values()]
    axes.set(xticks=[], yticks=[])
    lowest = -math.inf
    for method, middle in zip(methods, middles, strict=True):
        lowest = max(lowest + LABEL_ROWS, middle - 0.5)  # single networks are narrower than their names
        if largest is None:
            where = {"xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "center", "annotation_clip": False}
            look = {"textcoords": "offset points", "fontsize": 7, "color": style.METHODS[method]}
            axes.annotate(style.METHOD_NAMES[method], (0, lowest), (-4, 0), **where, **look)
    axes.spines[:].set_visible(False)
    style.colour_bar(axes, drawn, label)


def _draw_path(axes: Axes, path: xr.Dataset, colour: str, intervals: Intervals) -> None:
    path = path.isel(place=np.isfinite(path["along"].values))
    angles = np.degrees(path["weight_angle"])
    seen = path["disagreement"].where(path["disagreement"] >= LOWEST)
    axes.plot(
        angles.transpose("place", "seed"), seen.transpose("place", "seed"), color=colour, linewidth=0.4, alpha=0.4
    )
    x = angles.mean("seed").values
    for name, (line, _label) in MEASURES.items():
        estimate, low, high = summarise(path[name], intervals).T
        shown = estimate >= LOWEST
        ends = (np.clip(low, LOWEST, None), np.clip(high, LOWEST, None))
        ends = [np.where(np.isfinite(raw), end, raw) for raw, end in zip((low, high), ends, strict=True)]
        style.band(axes, x, np.where(shown, estimate, np.nan), *ends, colour, linestyle=line)
    axes.plot(x, 1 - path["accuracy"].mean("seed"), color=style.NEUTRAL, linestyle="-.", linewidth=0.8)
    axes.set(xlabel="angle to the start (degrees)", ylim=(LOWEST, 1.3), xlim=(0, None))
