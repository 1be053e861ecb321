"""Draw a picture, the loss on a random plane around an optimum, and on a plane found so that it shows the picture.

(a) The picture. (b, c) The training loss on the first examples, of the seed whose plane shows it best. (d) How much of
the picture's variance the loss explains in the course of the search, and the same search on a toy wedge: a line a seed.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape.figures import style
from wedgescape.numerics.judging import fit
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "a plane that shows a picture"

NETWORK, WEDGE = style.PLACES["optima"], style.PLACES["random"]


def tabulate(patterns: AtBase) -> pd.DataFrame:
    """Return one row per (seed, step): the shares explained on the network and on the wedge."""
    names = ("explained", "wedge_explained")
    return as_rows(patterns[[*names, "all_explained", "moved"]], ("seed", "step"), (*names, "all_explained", "moved"))


def draw(patterns: AtBase) -> Figure:
    """Draw the figure."""
    store = patterns.isel(seed=fit(patterns).values)
    figure, axes = style.panels(1, 4, style.TWO_COLUMNS, 1.9, width_ratios=(1, 1, 1, 1.15))
    wanted = store["wanted"].values
    limits = {"vmin": 0.0, "vmax": 1.15 * wanted.max(), "cmap": style.colour_map("loss")}
    axes[0, 0].imshow(wanted, extent=(-1, 1, -1, 1), **limits)
    style.title(axes[0, 0], "a", "Picture")
    for panel, letter, plane, text in zip(
        axes[0, 1:3], "bc", ("random", "found"), ("Random plane", "Plane found"), strict=True
    ):
        if store.sizes["seed"]:
            best = int(store["explained"].isel(step=-1).argmax("seed"))
            loss = store["loss"].isel(seed=best).sel(plane=plane).transpose("b", "a").values
            drawn = panel.imshow(loss, extent=(-1, 1, -1, 1), interpolation="bilinear", **limits)
        style.title(panel, letter, text)
    if store.sizes["seed"]:
        style.colour_bar(axes[0, 2], drawn, "training loss (nats)")
    for panel in axes[0, :3]:
        panel.set(xticks=[], yticks=[], aspect="equal")
    _draw_search(axes[0, 3], store)
    return figure


def _draw_search(axes: Axes, store) -> None:
    steps = store["step"].values
    for name, colour, label in (("explained", NETWORK, "network"), ("wedge_explained", WEDGE, "toy wedge")):
        lines = axes.plot(steps, store[name].transpose("step", "seed").values, color=colour, linewidth=1)
        for line in lines[:1]:
            line.set_label(label)
    axes.set(xlabel="step", ylabel="picture explained", ylim=(-0.05, 1.02))
    axes.legend(loc="best", fontsize=6)
    style.title(axes, "d", "Search")
