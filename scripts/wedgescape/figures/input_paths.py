"""Draw paths between two inputs of a class through one network: inputs on them, the loss along them, all barriers.

(a) Inputs on the straight line, the Bezier curve and the best random bends, as long and twice as long, between two
inputs that were moved until the line's middle is of another class; above them the class that the network predicts. (b)
The loss along these paths. (c) Barriers of all pairs, by kind of pair and path: dots are pairs, diamonds medians;
dashed is the tolerance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape.figures import style
from wedgescape.measurements.input_paths import KINDS, PATHS
from wedgescape.numerics.judging import fit
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "paths between inputs of a class"
STANDS_FOR = {"inputs": "Where the straight line between two inputs of a class leaves it, and curves that do not."}

COLOURS = {"line": style.CURVES["line"], "bezier": style.CURVES["bezier"], "random": style.PLACES["random"],
           "longer": style.NEUTRAL}  # fmt: skip
NAMES = {"line": "line", "bezier": "curve", "random": "random", "longer": "longer"}
KIND_NAMES = {"real": "test inputs", "synthetic": "test, synthetic", "separated": "separated", "classes": "two classes"}
LOWEST = 1e-4  # of what is drawn of a barrier


def tabulate(input_paths: AtBase) -> pd.DataFrame:
    """Return one row per (seed, kind, path, pair); `fit` says whether the network is an optimum."""
    columns = input_paths[["barrier", "bend", "moved"]].assign(fit=fit(input_paths))
    return as_rows(columns, ("seed", "kind", "path", "pair"), ("barrier", "bend", "moved", "fit"))


def draw(input_paths: AtBase) -> Figure:
    """Draw the figure."""
    if "no_paths" in input_paths.attrs:
        return style.nothing("No paths", input_paths.attrs["no_paths"])
    store = input_paths.isel(seed=fit(input_paths).values)
    figure, axes = style.panels(1, 3, style.TWO_COLUMNS, 2.6, width_ratios=(1.75, 1, 1.25))
    known = store.isel(seed=store["shown"].values >= 0)
    note = ""
    if known.sizes["seed"]:
        pair = known["moved"].sel(kind="separated").min("pair").argmin("seed")  # the pair nearest to test inputs
        one = known.isel(seed=int(pair))
        _draw_inputs(axes[0, 0], one)
        _draw_losses(axes[0, 1], one)
        note = f"seed {int(one['seed'])}"
    _draw_barriers(axes[0, 2], store)
    axes[0, 0].set_axis_off()
    for panel, letter, text, beside in zip(
        axes.flat, "abc", ("Inputs on paths", "Loss along them", "Barriers"), (note, "", ""), strict=True
    ):
        style.title(panel, letter, text, beside)
    return figure


def _draw_inputs(axes: Axes, store: xr.Dataset) -> None:
    """Draw the inputs on each path, in a row, with the class predicted of each."""
    own = int(store["label"].sel(kind="separated").isel(pair=int(store["shown"]), end=0))
    for row, path in enumerate(PATHS):
        bottom = 1.4 * (len(PATHS) - 1 - row)
        axes.text(-0.12, bottom + 0.46, NAMES[path], ha="right", va="center", rotation=90, fontsize=6.5)
        for step in range(store.sizes["step"]):
            here = {"path": row, "step": step}
            extent = (step, step + 0.92, bottom, bottom + 0.92)
            axes.imshow(_picture(store, here), cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest")
            predicted = int(store["predicted"].isel(here))
            colour = style.NEUTRAL if predicted == own else COLOURS["line"]
            weight = "normal" if predicted == own else "bold"
            axes.text(step + 0.46, bottom + 0.98, predicted, ha="center", va="bottom", fontsize=7, color=colour,
                      fontweight=weight)  # fmt: skip
    axes.set(xlim=(-0.5, store.sizes["step"]), ylim=(-0.05, 1.4 * len(PATHS)), aspect="equal", anchor="N")


def _picture(store: xr.Dataset, here: dict) -> np.ndarray:
    """Return an input as `imshow` takes it; a vector is a column."""
    if "vectors" in store:
        return store["vectors"].isel(here).values[:, None].clip(0, 1)
    image = store["images"].isel(here).values.clip(0, 1)
    return image.transpose(1, 2, 0) if len(image) == 3 else image.mean(0)


def _draw_losses(axes: Axes, store: xr.Dataset) -> None:
    losses = store["loss"].sel(kind="separated").isel(pair=int(store["shown"]))
    for path in PATHS:
        axes.plot(store["t"].values, losses.sel(path=path).values, color=COLOURS[path], label=NAMES[path])
    axes.axhline(store.attrs["tolerance"], color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
    axes.set(xlabel="position on the path", ylabel="loss (share of chance)")
    axes.set_ylim(top=1.45 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper right", fontsize=6)


def _draw_barriers(axes: Axes, store: xr.Dataset) -> None:
    ticks = []
    for place, kind in enumerate(KINDS):
        for shift, path in enumerate(PATHS):
            row = -(place * (len(PATHS) + 1) + shift)
            found = store["barrier"].sel(kind=kind, path=path).values.ravel()
            found = found[np.isfinite(found)].clip(LOWEST)
            if len(found):
                style.strip(axes, row, found, (np.median(found), np.nan, np.nan), COLOURS[path], 0.6)
        ticks.append(-(place * (len(PATHS) + 1) + (len(PATHS) - 1) / 2))
    axes.axvline(store.attrs["tolerance"], color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
    axes.set_xscale("log")
    axes.set_yticks(ticks, [KIND_NAMES[kind] for kind in KINDS])
    axes.tick_params(axis="y", length=0)
    axes.set(
        xlabel="barrier (share of chance)",
        xlim=(LOWEST / 2, max(10, 2 * axes.get_xlim()[1])),
        ylim=(ticks[-1] - 2.3, 1.2),
    )
    axes.set_xticks([LOWEST, 1e-2, 1], [rf"$\leq${style.number(LOWEST)}", "0.01", "1"])
