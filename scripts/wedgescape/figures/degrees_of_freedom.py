"""Draw in how many random dimensions a descent still reaches a low loss, from weights on their way through training.

(a) The share of random planes in which it is reached, against their dimension, for each part of the training; all seeds
and planes together; and of planes of the training's main directions. (b) The dimension at which half succeed, from the
weights and from the straight line to the optimum, as far from it or at the same loss; triangles are bounds. (c) The
loss where planes are laid. Dots and thin lines are seeds, diamonds and thick lines means of logarithms, bars and bands
their interval over seeds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape.figures import style
from wedgescape.measurements.degrees_of_freedom import OF_PLANES, STARTS, needed, successes
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import fit
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "3 Training"
TITLE = "degrees of freedom on the way through training"
STANDS_FOR = {"freedom": "How many random directions are enough, from the weights after a part of the training."}

RANDOM = style.PLACES["random"]
SHIFT = 6.0  # points between the marks of two kinds of starts
COLOURS = dict(zip(STARTS, (style.PLACES["optima"], style.CURVES["line"], style.CURVES["chain"]), strict=True))
LOTTERY = style.DIRECTIONS["long"]
NAMES = {"trained": "weights", "equal distance": "line, equal distance", "equal loss": "line, equal loss"}


def tabulate(degrees_of_freedom: AtBase) -> pd.DataFrame:
    """Return one row per (start, seed, part, plane); `fit` says whether the network is an optimum."""
    names = ["threshold", "censored", "loss", "distance", "target", "random_loss", "lottery_threshold"]
    store = degrees_of_freedom[names].assign(fit=fit(degrees_of_freedom))
    return as_rows(store, OF_PLANES, [*names, "fit"])


def draw(degrees_of_freedom: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    store = degrees_of_freedom.isel(seed=fit(degrees_of_freedom).values)
    figure, axes = style.panels(1, 3, style.TWO_COLUMNS, 2.5)
    shares, dimensions, loss = axes[0]
    if store.sizes["seed"]:
        _draw_shares(shares, store)
        for place, (start, colour) in enumerate(COLOURS.items()):
            _draw_dimensions(dimensions, store, start, colour, SHIFT * (place - 1), intervals)
            if start != "equal loss":
                _draw_losses(loss, store["loss"].sel(start=start), colour, NAMES[start], intervals)
        _draw_losses(loss, store["random_loss"], RANDOM, "random directions", intervals)
        loss.axhline(float(store["target"].mean()), color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
        for panel in (dimensions, loss):
            style.value_axis(panel, [float(f"{part:.4g}") for part in store["part"].values])
            style.log_axis(panel)
            panel.legend(loc="best", fontsize=6)
    shares.set(xlabel="dimensions $d$ of the plane", ylabel="share that reaches the loss", ylim=(-0.03, 1.03))
    dimensions.set(xlabel="part of the training", ylabel="dimensions $d^*$")
    loss.set(xlabel="part of the training", ylabel="training loss (nats)")
    style.title(shares, "a", "Random planes", f"{store.sizes['seed']} networks")
    style.title(dimensions, "b", "Half of the planes succeed")
    style.title(loss, "c", "Loss there")
    style.thin_labels(figure)
    return figure


def _draw_shares(axes: Axes, store: xr.Dataset) -> None:
    """Draw the share of planes that succeed as steps: a line per time, and the planes of main directions."""
    dims = np.geomspace(0.7, 2 * max(np.nanmax(store["threshold"].values, initial=1), 2), 600)
    axes.set_xscale("log")
    colours = style.levels(store.sizes["part"])
    found = store["threshold"].sel(start="trained"), store["censored"].sel(start="trained")
    for share, part, colour in zip(successes(*found, dims), store["part"].values, colours, strict=True):
        axes.plot(dims, share, color=colour, label=f"random, {100 * part:.3g} %")
    main = (store[name].expand_dims("part") for name in ("lottery_threshold", "lottery_censored"))
    axes.plot(dims, successes(*main, dims)[0], color=LOTTERY, linestyle="--", label="main directions")
    axes.axhline(0.5, color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
    axes.xaxis.set_major_formatter(lambda value, _place: style.number(value))
    axes.legend(loc="center left", fontsize=6, bbox_to_anchor=(0.09, 0.72))


def _draw_dimensions(
    axes: Axes, store: xr.Dataset, start: str, colour: str, shift: float, intervals: Intervals
) -> None:
    """Draw d* of every seed, those that are bounds as triangles, and the mean with its interval."""
    parts, (logs, censored) = store["part"].values, needed(store, start)
    axes.set_yscale("log")
    for sign, mark in ((0, "o"), (-1, "v"), (1, "^")):
        chosen = np.where(censored == sign, 10**logs, np.nan)
        if np.isfinite(chosen).any():
            style.dots(axes, parts, chosen.T, colour, shift, 3.0, marker=mark, s=5 if sign == 0 else 12)
    mean, low, high = style.means(logs.T, intervals)
    style.intervals(axes, parts, 10**mean, 10**low, 10**high, colour, shift, label=NAMES[start])


def _draw_losses(axes: Axes, values: xr.DataArray, colour: str, label: str, intervals: Intervals) -> None:
    logs = np.log10(values.transpose("seed", "part").values)
    _draw_curve(axes, values["part"].values, logs, colour, label, intervals)


def _draw_curve(axes: Axes, parts: np.ndarray, logs: np.ndarray, colour: str, label: str, intervals: Intervals) -> None:
    """Draw every seed (K, T), log10, and the mean with its interval."""
    axes.plot(parts, 10**logs.T, color=colour, linewidth=0.4, alpha=0.4)
    style.band(axes, parts, *10 ** style.means(logs.T, intervals), colour, label=label)
