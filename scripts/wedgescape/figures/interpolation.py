"""Draw straight lines from the initialisation to the optimum: of single layers, of all weights, and over the sweeps.

(a, b) The training loss, mean over seeds, where one layer moves and where all others do. (c) At the end of the way, the
part of the fall that a layer covers alone, and that is lost without it; dots are seeds, grey marks random parts of as
many weights. (d) The line of all weights at both ends of each sweep, with a parabola. (e) Plateau length against test
error: a mark is the mean of a setting, lines join a sweep. (f) Their rank correlation over each sweep, per seed; pale
below, that of networks trained to one loss.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.measurements.interpolation import FEWEST_VALUES, by_seed, plateaus
from wedgescape.measurements.layers import covered
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import fit
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AlongMatchedSweeps, AlongSweeps, AtBase

CATEGORY = "4 Geometry"
TITLE = "straight lines from the initialisation"
STANDS_FOR = {
    "interpolation": "The way from the initialisation to the optimum: what each layer covers alone, and how long the "
    "loss stays high, beside the test error.",
}
TABLES = ("interpolation", "layers")

ALONE, LEFT = style.DIRECTIONS["long"], style.DIRECTIONS["short"]  # a layer moved alone; a layer left behind
RANDOM = style.PLACES["random"]


def tabulate(interpolation: AlongSweeps, layers: AtBase) -> dict[str, pd.DataFrame]:
    """Return one row per (sweep, value, seed), and one per (layer, seed) of the base setting.

    `covered_alone` is the part of the fall of the loss that a layer covers alone, `lost_without` what is lost without
    it; `…_random` are the same of random parts of as many weights.
    """
    parts = []
    for sweep, store in interpolation.items():
        columns = store[["rise", "test_loss", "test_error"]].assign(plateau=plateaus(store), fit=fit(store))
        rows = as_rows(columns, ("value", "seed"), ("plateau", "rise", "test_loss", "test_error", "fit"))
        parts.append(rows.assign(sweep=sweep))
    names = ["sweep", "value", "seed", "plateau", "rise", "test_loss", "test_error", "fit"]
    sweeps = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    by_layer = _shares(layers).assign(moved_by=layers["moved_by"], weights=layers["weights"], fit=fit(layers))
    return {
        "interpolation": sweeps.reindex(columns=names),
        "layers": as_rows(by_layer, ("layer", "seed"), [str(name) for name in by_layer.data_vars]),
    }


def _shares(layers: xr.Dataset) -> xr.Dataset:
    """Return the part of the way that each layer covers alone, and that is lost without it (seed, layer)."""
    ends = {"": covered(layers).isel(alpha=-1, drop=True), "_random": covered(layers, "random_loss").mean("draw")}
    found = {}
    for kind, share in ends.items():
        found[f"covered_alone{kind}"] = share.sel(moved="alone", drop=True)
        found[f"lost_without{kind}"] = 1 - share.sel(moved="others", drop=True)
    return xr.Dataset(found)


def draw(
    interpolation: AlongSweeps,
    matched_interpolation: AlongMatchedSweeps,
    layers: AtBase,
    intervals: Intervals = Intervals(),
) -> Figure:
    """Draw the figure."""
    figure, axes = style.panels(2, 3, style.TWO_COLUMNS, 4.4)
    store = layers.isel(seed=fit(layers).values)
    heat = {"alone": "One layer moves", "others": "All others move"}
    highest = float(store["loss"].mean("seed").max())
    for panel, letter, (moved, text) in zip(axes[0], "ab", heat.items(), strict=False):
        _draw_lines(panel, store["loss"].sel(moved=moved).mean("seed"), highest)
        style.title(panel, letter, text)
    _draw_shares(axes[0, 2], _shares(store), intervals)
    style.title(axes[0, 2], "c", "At the end of the way")
    _draw_whole(axes[1, 0], interpolation)
    style.title(axes[1, 0], "d", "All weights move")
    _draw_settings(axes[1, 1], interpolation)
    style.title(axes[1, 1], "e", "Settings")
    _draw_correlations(axes[1, 2], interpolation, matched_interpolation, intervals)
    style.title(axes[1, 2], "f", "Plateau and test error")
    return figure


def layer_labels(store: xr.Dataset | xr.DataArray) -> list[str]:
    """Return what layers are called in figures: their names, or their places where a name is only a number."""
    names = [str(name) for name in store["layer"].values]
    return [f"layer {place}" if name.isdigit() else name for place, name in enumerate(names, 1)]


def _draw_lines(axes: Axes, loss: xr.DataArray, highest: float) -> None:
    alpha, count = loss["alpha"].values, loss.sizes["layer"]
    edges = np.concatenate([alpha[:1], (alpha[1:] + alpha[:-1]) / 2, alpha[-1:]])
    colours = {"cmap": style.colour_map("loss"), "vmin": 0.0, "vmax": highest}
    drawn = axes.pcolormesh(edges, np.arange(count + 1) - 0.5, loss.transpose("layer", "alpha").values, **colours)
    axes.set(xlim=(0, 1), ylim=(count - 0.5, -0.5), xlabel="part of the way")
    axes.set_yticks(range(count), layer_labels(loss), fontsize=6.5)
    style.colour_bar(axes, drawn, "training loss (nats)")


def _draw_shares(axes: Axes, shares: xr.Dataset, intervals: Intervals) -> None:
    labels, looks = layer_labels(shares), {"covered_alone": (ALONE, -0.2), "lost_without": (LEFT, 0.2)}
    for name, (colour, shift) in looks.items():
        for row in range(len(labels)):
            own, random = (shares[name + kind].isel(layer=row).values for kind in ("", "_random"))
            for values, hue, aside in ((own, colour, 0.0), (random, RANDOM, 0.14)):
                found = intervals.mean(values)
                ends = (found.estimate, found.low, found.high)
                style.strip(axes, row + shift + aside - 0.07, values, ends, hue, spread=0.08)
    axes.set_yticks(range(len(labels)), labels, fontsize=6.5)
    axes.set(ylim=(len(labels) - 0.5, -0.5), xlabel="part of the fall of the loss")
    handles = [
        Line2D([], [], color=colour, marker="D", linestyle="none", label=label)
        for colour, label in ((ALONE, "alone"), (LEFT, "left behind"), (RANDOM, "random"))
    ]
    axes.legend(handles=handles, fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3,
                columnspacing=0.8, handletextpad=0.1)  # fmt: skip


def _draw_whole(axes: Axes, sweeps: dict[str, xr.Dataset]) -> None:
    for sweep, store in sweeps.items():
        loss = store["loss"].where(fit(store))
        fallen = (loss - loss.isel(alpha=-1)) / (loss.isel(alpha=0) - loss.isel(alpha=-1))
        ends = fallen.mean("seed").transpose("value", "alpha")
        for place, line in ((0, "--"), (-1, "-")):
            axes.plot(store["alpha"], ends[place], line, color=style.SWEEPS[sweep], linewidth=0.9)
    way = np.linspace(0, 1, 101)
    axes.plot(way, (1 - way) ** 2, ":", color=style.NEUTRAL, linewidth=0.9)
    axes.set(xlim=(0, 1), xlabel="part of the way", ylabel="part of the fall that is left")
    looks = {"lowest value": "--", "highest value": "-", "parabola": ":"}
    handles = [Line2D([], [], color=style.NEUTRAL, linestyle=line, label=label) for label, line in looks.items()]
    axes.legend(handles=handles, fontsize=6, loc="upper right")


def _draw_settings(axes: Axes, sweeps: dict[str, xr.Dataset]) -> None:
    for (sweep, store), marker in zip(sweeps.items(), style.MARKERS * len(sweeps), strict=False):
        kept = fit(store)
        length, error = (part.where(kept).mean("seed") for part in (plateaus(store), store["test_error"]))
        style.settings_of_sweep(axes, length, error, sweep, marker)
    axes.set(xlabel="plateau (part of the way)", ylabel="test error (fraction)")


def _draw_correlations(
    axes: Axes, sweeps: dict[str, xr.Dataset], matched: dict[str, xr.Dataset], intervals: Intervals
) -> None:
    rows = [sweep for sweep, store in sweeps.items() if store.sizes["value"] >= FEWEST_VALUES]
    for row, sweep in enumerate(rows):
        for shift, pale, store in ((-0.18, 0.0, sweeps[sweep]), (0.18, 0.5, matched.get(sweep))):
            if store is None:
                continue
            seeds = by_seed(store)
            found = intervals.mean(seeds)
            ends, colour = (found.estimate, found.low, found.high), style.lighter(style.SWEEPS[sweep], pale)
            style.strip(axes, row + shift, seeds, ends, colour, spread=0.25)
    axes.axvline(0, color=style.FAINT, linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(rows)), list(map(style.short_name, rows)), fontsize=6.5)
    axes.set(xlim=(-1.05, 1.05), ylim=(max(len(rows), 1) - 0.5, -0.5), xlabel="Spearman's rho over settings")
