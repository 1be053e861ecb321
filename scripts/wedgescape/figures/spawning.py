"""Draw pairs of networks that share the beginning of their training, and the tangent kernel on the way.

(a) The barrier between children spawned after a part of the training, what a random step of half their distance does,
and the barrier between seeds. (b) Distances in weights. (c) The kernel's distance from the end. (d) How fast the kernel
turns. Thin lines are seeds, thick ones means of logarithms, bands their interval over seeds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape.figures import style
from wedgescape.measurements.spawning import OVER_TIME, VARIABLES
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import fit
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "3 Training"
TITLE = "children of one network, and its tangent kernel"
STANDS_FOR = {"spawning": "When the order of the examples no longer matters, beside random steps and other seeds."}

LOWEST = 1e-7  # of what is drawn of a barrier; below it is rounding
OPTIMA, CHILDREN, RANDOM = style.PLACES["optima"], style.CURVES["line"], style.PLACES["random"]
OTHER = style.METHODS["independent"]


def tabulate(spawning: AtBase) -> pd.DataFrame:
    """Return one row per (part, seed); `fit` says whether the network is an optimum."""
    names = list(VARIABLES)
    return as_rows(spawning[names].assign(fit=fit(spawning)), ("part", "seed"), [*names, "fit"])


def draw(spawning: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    figure, axes = style.panels(2, 2, style.TWO_COLUMNS, 4.4)
    store = spawning.isel(seed=fit(spawning).values)
    curves = {
        (0, 0): {"barrier": (CHILDREN, "children"), "random_rise": (RANDOM, "random step")},
        (0, 1): {"distance": (CHILDREN, "between children"), "to_end": (OPTIMA, "parent to optimum")},
        (1, 0): {"kernel_distance": (OPTIMA, "to its own end"), "kernel_other": (OTHER, "to another seed's end")},
    }
    levels = {(0, 0): "independent_barrier", (0, 1): "independent_distance", (1, 0): "kernel_independent"}
    for place, drawn in curves.items():
        for name, (colour, label) in drawn.items():
            _draw_curve(axes[place], store[name].transpose(*OVER_TIME), colour, label, intervals)
        _draw_level(axes[place], store[levels[place]].values, intervals)
    axes[0, 0].axhline(store.attrs["tolerance"], color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
    _draw_curve(axes[1, 1], _velocity(store), OPTIMA, "", intervals)
    texts = {
        "Barrier at the end": "share of the way to chance",
        "Distances": "distance (weights)",
        "Tangent kernel": "distance of kernels",
        "Its velocity": "turn (degrees / epoch)",
    }
    for panel, letter, (text, label) in zip(axes.flat, "abcd", texts.items(), strict=True):
        style.value_axis(panel, [float(f"{part:.4g}") for part in store["part"].values])
        panel.set(xlabel="part of the training before", ylabel=label)
        style.log_axis(panel)
        style.title(panel, letter, text)
        if panel is not axes[1, 1]:
            panel.legend(loc="best", fontsize=6)
    style.thin_labels(figure)
    return figure


def _velocity(store: xr.Dataset) -> xr.DataArray:
    """Return by how many degrees per epoch the kernel turns between a time and the next, or the end (seed, part)."""
    epochs = np.diff(np.append(store["part"].values, 1.0)) * store.attrs["epochs"]
    return np.degrees(store["kernel_angle"]).transpose(*OVER_TIME) / epochs


def _draw_curve(axes: Axes, values: xr.DataArray, colour: str, label: str, intervals: Intervals) -> None:
    """Draw every seed, and the geometric mean of the seeds with its interval."""
    parts, drawn = values["part"].values, values.values.clip(LOWEST).T
    axes.plot(parts, drawn, color=colour, linewidth=0.4, alpha=0.4)
    style.band(axes, parts, *style.geometric_means(drawn, intervals), colour, label=label)


def _draw_level(axes: Axes, values: np.ndarray, intervals: Intervals) -> None:
    """Draw what is found between optima of different seeds, which has no time."""
    found = intervals.mean(np.log(values.clip(LOWEST)))
    axes.axhline(np.exp(found.estimate), color=OTHER, linestyle=":", linewidth=1.2, label="between seeds")
