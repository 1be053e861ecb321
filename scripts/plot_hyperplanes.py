"""Draw how far networks descend in random hyperplanes of d dimensions, and how many dimensions are enough.

(a) The test accuracy at the end of a descent over what the same seed reaches in the full space, against d; diamonds on
the dashed line mark the thresholds, the means over seeds. (b) The training loss there; ticks at the right, the full
space's. Thin lines are seeds, thick ones their mean, bands the bootstrap interval of the mean. (c) The threshold of each
seed (dots) against the number P of parameters, with means and intervals. A seed that never reached it is an open
triangle at the largest d tried; then no mean is drawn, since that of the others would be too low. Seeds that diverged in
the full space are left out and counted.
"""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape import style
from wedgescape.figures import publish
from wedgescape.hyperplanes import mean_threshold, tidy
from wedgescape.provenance import job
from wedgescape.statistics import bootstrap_mean
from wedgescape.stores import open_store

HEIGHT = 2.75  # inches


def tabulate(stores: list[xr.Dataset]) -> pd.DataFrame:
    """Return one row a (width, dimension, seed) that was measured."""
    parts = [tidy(store).assign(width=store.attrs["width"]) for store in stores]
    return pd.concat(parts, ignore_index=True)


def draw(stores: list[xr.Dataset], confidence: float, resamples: int, rule: float) -> Figure:
    """Draw the figure.

    Args:
        stores: of `measure_hyperplanes`, one a width.
        confidence: of the interval.
        resamples: of the bootstrap.
        rule: the fraction of the parameters below which a threshold is judged small.
    """
    figure, axes = style.panels(1, 3, style.TWO_COLUMNS, HEIGHT)
    accuracy, loss, threshold = axes[0]
    stores = sorted(stores, key=lambda store: store.attrs["parameters"])
    colours = style.levels(len(stores))
    for store, colour, marker in zip(stores, colours, style.MARKERS * len(stores), strict=False):
        kept = store.isel(seed=np.flatnonzero(~store["diverged"].values.astype(bool)))
        relative = (kept["accuracy"] / kept["full_accuracy"]).sel(split="test")
        _draw_along(accuracy, relative, colour, confidence, resamples)
        _draw_along(loss, kept["loss"].sel(split="train"), colour, confidence, resamples)
        mean = mean_threshold(store, confidence, resamples)
        accuracy.plot(
            mean.estimate,
            store.attrs["accuracy_fraction"],
            marker,
            color=colour,
            markeredgecolor="white",
            zorder=5,
            markersize=5,
        )
        _draw_threshold(threshold, kept, mean, colour, marker)
    for panel in (accuracy, loss):
        panel.set(xscale="log", xlabel="dimensions $d$ of the hyperplane")
    ...
    return figure
