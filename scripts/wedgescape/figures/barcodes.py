"""Draw at which loss optima merge, before and after their units are matched, and how the longest bar depends on width.

(a, b) Merge trees at the base setting: every optimum begins at its own loss, and sets of optima meet at the highest
point of the lowest path between them. (c) The longest bar of sets of optima against the width, by kinds of paths, and
of shuffled copies of one network. Dotted lines lead towards where doubled units alone would. Dots are sets or networks,
diamonds means of logarithms, bars their interval.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape.figures import style
from wedgescape.measurements.alignment import by_width
from wedgescape.measurements.barcodes import (
    doubling,
    kinds,
    longest,
    longest_of_copies,
    matrix,
    sets_of,
    shared_seeds,
)
from wedgescape.numerics.barcodes import bars, merge_heights, merges
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import fit
from wedgescape.study.places import AtWidths, BaseSetting

CATEGORY = "4 Geometry"
TITLE = "barcodes of optima: at which loss they merge"
STANDS_FOR = {"barcodes": "How far the loss rises between optima on the best of the paths tried, in wider networks."}

COPIES = style.PLACES["random"]
LOOKS = {
    "line": (style.ALIGNMENT["before"], "straight lines"),
    "bezier": (style.CURVES["bezier"], "Bezier curves"),
    "matched": (style.ALIGNMENT["after"], "matched units"),
}
HALF_WAY = np.sqrt(2)  # to twice the width
SHIFTS = {"line": -3.0, "bezier": 0.0, "matched": 3.0}  # points


def tabulate(barcodes: AtWidths) -> pd.DataFrame:
    """Return one row per (width, kind, pair): the highest loss on the path, and the loss at which the two merge."""
    rows = []
    for store in by_width(barcodes):
        seeds = store["seed"].values[fit(store).values].tolist()
        for kind in kinds(store):
            births, heights = matrix(store, kind, seeds)
            merged = merge_heights(births, heights) if len(seeds) > 1 else heights
            for one, other in zip(*np.triu_indices(len(seeds), 1), strict=True):
                row = {"width": store.attrs["width"], "kind": kind, "first": seeds[one], "second": seeds[other]}
                rows.append(row | {"height": heights[one, other], "merge": merged[one, other]})
    return pd.DataFrame(rows, columns=["width", "kind", "first", "second", "height", "merge"])


def draw(barcodes: AtWidths, base: BaseSetting, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    stores = by_width(barcodes)
    figure, axes = style.panels(1, 3, style.TWO_COLUMNS, 2.5, width_ratios=(1, 1, 1.5))
    own = next(store for store in stores if store.attrs["width"] == base["width"])
    trees = ("line", "matched") if "matched" in kinds(own) else ("line", "bezier")
    for panel, letter, kind in zip(axes[0], "ab", trees, strict=False):
        _draw_tree(panel, own, kind)
        style.title(panel, letter, LOOKS[kind][1].capitalize())
    axes[0, 0].set_ylabel("training loss (nats)")
    axes[0, 1].sharey(axes[0, 0])
    style.log_axis(axes[0, 0])
    axes[0, 1].tick_params(labelleft=False)
    _draw_widths(axes[0, 2], stores, intervals)
    style.title(axes[0, 2], "c", "Longest bar", f"sets of {own.attrs['size']}")
    style.thin_labels(figure)
    return figure


def _draw_tree(axes: Axes, store: xr.Dataset, kind: str) -> None:
    """Draw the merge tree of all optima, the longest bar thick, and chance."""
    from scipy.cluster.hierarchy import dendrogram

    seeds = store["seed"].values[fit(store).values].tolist()
    axes.set(xlabel="seed")
    if len(seeds) < 2:
        axes.set_xticks([])
        return
    births, heights = matrix(store, kind, seeds)
    tree = dendrogram(merges(births, heights), no_plot=True)
    leaves = tree["leaves"]
    for across, tops in zip(tree["icoord"], tree["dcoord"], strict=True):
        # scipy puts all leaves at 0, the k-th at 5 + 10 k
        up = [top or births[leaves[round((x - 5) / 10)]] for x, top in zip(across, tops, strict=True)]
        axes.plot(across, up, color=LOOKS[kind][0], linewidth=1)
    chance = store.attrs["chance_loss"]
    axes.axhline(chance, color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
    axes.text(5, chance / 1.15, "chance", color=style.NEUTRAL, fontsize=6, va="top")
    axes.set_xticks(5 + 10 * np.arange(len(seeds)), [str(seeds[leaf]) for leaf in leaves])
    born, died = max(bars(births, heights), key=lambda bar: bar[1] - bar[0])
    right = 10 * len(seeds)
    axes.plot(2 * [right * 31 / 30], [born, died], color=LOOKS[kind][0], linewidth=3, solid_capstyle="butt")
    look = {"rotation": 90, "fontsize": 6, "color": style.NEUTRAL, "va": "center"}
    axes.text(right * 16 / 15, np.sqrt(born * died), "longest bar", **look)
    axes.set_xlim(0, right * 6 / 5)


def _draw_widths(axes: Axes, stores: list[xr.Dataset], intervals: Intervals) -> None:
    """Draw the longest bars of sets at each width with the interval of their mean, and those of copies."""
    positions, size = style.value_axis(axes, [store.attrs["width"] for store in stores]), stores[0].attrs["size"]
    seeds = shared_seeds(stores)
    axes.set(xlabel="width", ylabel="share of the way to chance")
    if len(seeds) < size:
        return
    members = sets_of(seeds, size)
    for kind in kinds(stores[0]):
        values = [longest(store, kind, seeds, size) for store in stores]
        found = [intervals.all_sets(row, members) for row in values]
        _draw_series(axes, positions, values, found, *LOOKS[kind], SHIFTS[kind])
    if "matched" in kinds(stores[0]):
        _draw_doubling(axes, stores, [10**one.estimate for one in found])  # the last kind
        values = [longest_of_copies(store, seeds) for store in stores]
        found = [intervals.mean(row) for row in values]
        _draw_series(axes, positions, values, found, COPIES, "shuffled copies", SHIFTS["line"] - 3)
    style.log_axis(axes)
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: labels[place] == "doubled units")
    axes.legend([handles[place] for place in order], [labels[place] for place in order], loc="best", fontsize=6)


def _draw_doubling(axes: Axes, stores: list[xr.Dataset], means: list[float]) -> None:
    """Draw from each mean of matched lines half of the way to where doubled units would lead it."""
    label = "doubled units"
    for store, mean in zip(stores, means, strict=True):
        exponents, width = doubling(store), store.attrs["width"]
        if not len(exponents):
            continue
        ends = [mean, mean * HALF_WAY ** exponents.mean()]
        look = {"color": LOOKS["matched"][0], "linestyle": ":", "linewidth": 1.2, "zorder": 2}
        axes.plot([width, HALF_WAY * width], ends, label=label, **look)
        label = "_again"


def _draw_series(axes: Axes, positions, values, found, colour: str, label: str, shift: float) -> None:
    ends = 10 ** np.array([(one.estimate, one.low, one.high) for one in found]).T
    style.dots(axes, positions, 10 ** np.stack(values), colour, shift, 2.5, s=3)
    style.intervals(axes, positions, *ends, colour, shift, label=label)
