"""Draw which directions from an optimum are long and which are short.

(a) The length, over the norm of the optimum's weights, at which accuracy falls below the threshold, by kind of
direction, longest first: every dot a seed, diamonds the geometric means with the bootstrap interval; hollow where rays
do not end within the reach, so that the true length is larger. (b) Mean loss along some of them. (c) Loss on straight
lines.
"""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape import style
from wedgescape.figures import publish
from wedgescape.profiles import by_kind, summarise, tidy
from wedgescape.provenance import job
from wedgescape.statistics import bootstrap_mean
from wedgescape.stores import open_store

SHOWN = {  # kinds of direction whose profiles are drawn
    "radial": ("radial", "-", "#117733"),
    "random": ("random", "-", style.DIRECTIONS["long"]),
    "filter": ("filter-normalised", "--", "#332288"),
    "hessian_bottom": ("bottom Hessian", ":", "#882255"),
    "hessian_top": ("top Hessian", "-", style.DIRECTIONS["short"]),
}
LOWEST = 1e-6  # nats; outwards along the radius the loss falls without end
LINES = {
    "init": ("seed", "initialisation to optimum", style.PLACES["optima"]),
    "pair": ("pair", "optimum to optimum", style.PLACES["centroid"]),
}


def draw(store: xr.Dataset, confidence: float, resamples: int) -> Figure:
    """Draw the figure.

    Args:
        store: of `measure_profiles`.
        confidence: of the intervals.
        resamples: of the bootstrap.
    """
    style.apply()
    figure = Figure(figsize=(style.TWO_COLUMNS, 3.9))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1))
    lengths, rays, lines = (figure.add_subplot(part) for part in (grid[:, 0], grid[0, 1], grid[1, 1]))
    _draw_lengths(lengths, by_kind(store), confidence, resamples)
    style.title(lengths, "a", "Length of directions")
    _draw_rays(rays, store)
    style.title(rays, "b", "Training loss along them")
    _draw_lines(lines, store, confidence, resamples)
    style.title(lines, "c", "Training loss on straight lines")
    return figure


def _draw_lengths(axes: Axes, table: pd.DataFrame, confidence: float, resamples: int) -> None:
    means = summarise(table, confidence, resamples)
    for row, mean in enumerate(means.itertuples()):
        seeds = table[(table["kind"] == mean.kind) & (table["name"] == mean.name)]
        places = row + np.linspace(-0.22, 0.22, len(seeds)) if len(seeds) > 1 else [row]
        colour = style.NEUTRAL
        for place, seed in zip(places, seeds.itertuples(), strict=True):
            face = "none" if seed.open > 0 else colour
            axes.scatter(
                np.exp(seed.log_length), place, s=7, facecolors=face, edgecolors=colour, linewidths=0.5, alpha=0.6
            )
        if np.isfinite([mean.low, mean.high]).all() and mean.low > 0:
            axes.plot([mean.low, mean.high], [row, row], color=style.PLACES["centre"], linewidth=1.4, zorder=4)
        axes.plot(mean.estimate, row, "D", color=style.PLACES["centre"], markersize=3.5, zorder=5)
        if mean.open > 0:
            axes.annotate(
                f"{mean.open:.0%} open",
                (mean.estimate, row),
                (0, 7),
                textcoords="offset points",
                fontsize=6,
                ha="center",
            )
    axes.set_yticks(range(len(means)), means["name"], fontsize=6.5)
    axes.invert_yaxis()
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = style.log_ticks(low, high)
    axes.set_xticks(ticks, [style.number(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("length / norm of the optimum")
    axes.grid(axis="x", color=style.FAINT, linewidth=0.3)


def _draw_rays(axes: Axes, store: xr.Dataset) -> None:
    losses = store["loss"].sel(split="train")
    for kind, (label, line, colour) in SHOWN.items():
        if kind in store["kind"].values:
            part = losses.isel(direction=store["kind"].values == kind)
            finite = part.where(np.isfinite(part) & (part > 0))
            mean = np.exp(np.log(finite).mean(("direction", "seed")))
            axes.plot(store["t"], mean, line, color=colour, label=label)
    axes.set_xlim(-1.5, 1.5)
    axes.set_xlabel("length / norm of the optimum")
    axes.set_ylabel("loss (nats)")
    axes.legend(loc="lower left", fontsize=6)
    axes.set_ylim(bottom=LOWEST)
    style.log_axis(axes)


def _draw_lines(axes: Axes, store: xr.Dataset, confidence: float, resamples: int) -> None:
    for name, (dim, label, colour) in LINES.items():
        if f"{name}_loss" not in store:
            continue
        values = store[f"{name}_loss"].sel(split="train").transpose(dim, "alpha").values
        axes.plot(store["alpha"], values.T, color=colour, linewidth=0.4, alpha=0.4)
        means = [bootstrap_mean(column, confidence, resamples) for column in values.T]
        estimate, low, high = np.array([(part.estimate, part.low, part.high) for part in means]).T
        style.band(axes, store["alpha"], estimate, low, high, colour, label=label)
    axes.set_xlim(0, 1)
    axes.set_xlabel("part of the way")
    axes.set_ylabel("loss (nats)")
    axes.legend(loc="lower left", fontsize=6)
    style.log_axis(axes)


if __name__ == "__main__":
    with job(snakemake):
        store = open_store(snakemake.input[0]).load()
        claims = snakemake.params.job["claims"]
        publish(snakemake, draw(store, claims["confidence"], claims["resamples"]), tidy(store))
