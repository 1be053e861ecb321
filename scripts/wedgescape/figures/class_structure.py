"""Draw how much of the Gauss-Newton matrix is due to classes.

(a) The largest eigenvalues, means over seeds, stacked by the part of the matrix that makes them; thin lines are seeds.
The dashed line is behind one eigenvalue less than there are classes. (b) The overlap of the eigenvectors before that
line with spans of as many vectors as classes: dots are seeds, diamonds means, bars the interval of the mean.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wedgescape.figures import style
from wedgescape.measurements.class_structure import MATRICES, PARTS, SPANS
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import fit
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "6 Curvature"
TITLE = "classes in the Gauss-Newton matrix"
STANDS_FOR = {
    "classes": "Which part of the curvature the class means span, beside means by shuffled labels.",
}

COLOURS = {"class": style.DIRECTIONS["short"], "cross": "#ddaa33", "within": style.DIRECTIONS["long"],
           "own": style.FAINT}  # fmt: skip
OF_SPANS = {
    "class": COLOURS["class"],
    "logit": COLOURS["cross"],
    "relabelled": "#882255",
    "groups": style.NEUTRAL,
    "random": style.PLACES["random"],
}


def tabulate(class_structure: AtBase) -> pd.DataFrame:
    """Return the eigenvalues' shares (`quantity` share) and the overlaps (overlap), one row each."""
    shares = as_rows(class_structure[["eigenvalue", "share"]], ("seed", "rank", "part"), ("eigenvalue", "share"))
    overlaps = as_rows(class_structure[["overlap"]], ("seed", "matrix", "span"), ("overlap",))
    shares = shares.rename(columns={"share": "value"}).assign(quantity="share")
    return pd.concat([shares, overlaps.rename(columns={"overlap": "value"}).assign(quantity="overlap")])


def draw(class_structure: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    store = class_structure.isel(seed=fit(class_structure).values)
    figure, axes = style.panels(1, 2, style.TWO_COLUMNS, 2.5, width_ratios=(1.4, 1))
    _draw_spectrum(axes[0, 0], store)
    _draw_overlaps(axes[0, 1], store, intervals)
    style.title(axes[0, 0], "a", "Gauss-Newton matrix", f"{store.sizes['seed']} optima")
    style.title(axes[0, 1], "b", "Top eigenvectors in spans")
    return figure


def _draw_spectrum(axes: Axes, store: xr.Dataset) -> None:
    rank, below = store["rank"].values, np.zeros(store.sizes["rank"])
    for part, text in PARTS.items():
        height = (store["eigenvalue"] * store["share"].sel(part=part)).mean("seed").values
        axes.bar(rank, height, 0.8, below, color=COLOURS[part], label=text, linewidth=0)
        below = below + height
    for row in store["eigenvalue"].transpose("seed", "rank").values:
        axes.plot(rank, row, color=style.NEUTRAL, linewidth=0.4, alpha=0.5)
    axes.axvline(store.attrs["classes"] - 0.5, color=style.NEUTRAL, linewidth=0.8, linestyle="--")
    axes.set(xlabel="rank", ylabel="eigenvalue (nats/weight²)", xlim=(0.4, rank[-1] + 0.6), ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper right")


def _draw_overlaps(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    found = store["overlap"].sel(matrix=MATRICES[0])
    for row, (span, colour) in enumerate(reversed(OF_SPANS.items())):
        values = found.sel(span=span).values
        mean = intervals.mean(values)
        style.strip(axes, row, values, (mean.estimate, mean.low, mean.high), colour, 0.5)
    axes.set_yticks(range(len(SPANS)), [SPANS[span] for span in reversed(OF_SPANS)])
    axes.axvline(0.5, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=0)
    axes.set(xlabel="overlap", xlim=(-0.03, 1.03), ylim=(-0.6, len(SPANS) - 0.4))
