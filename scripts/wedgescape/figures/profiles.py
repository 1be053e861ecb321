"""Draw which directions from an optimum are long and which are short.

(a) The length, over the norm of the optimum's weights, at which score falls below the threshold, by kind of
direction, longest first: marks are seeds, diamonds geometric means with their interval. A triangle is a seed of
which some rays do not end within the reach (dashed), so that its length is a lower bound. (b) The training loss along
the kinds that have a colour: means of logarithms over directions and sides with the interval over seeds. (c) The
training loss on straight lines; thin lines are seeds or pairs, thick ones means of logarithms with their interval.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.measurements.profiles import KINDS, RULES, SIGNS, by_kind, sound_seeds, summarise
from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "long and short directions"
STANDS_FOR = {
    "lines": "The loss along straight lines through weight space, and how far one can go along each before it is high.",
}

COLOURS = {  # kinds of direction whose profiles are drawn; the others are grey
    "radial": "#117733",
    "connector": style.PLACES["centre"],
    "optimum": style.PLACES["centroid"],
    "random": "#3d94c7",
    "filter": "#332288",
    "hessian_bottom": "#882255",
    "hessian_top": style.DIRECTIONS["short"],
}
LOWEST = 5e-5  # nats; outwards along the radius the loss falls without end
LINES = {
    "init": ("seed", "initialisation to optimum", style.PLACES["optima"]),
    "pair": ("pair", "optimum to optimum", style.CURVES["line"]),
}
SEEDS_HEIGHT = 0.5  # rows, over which the seeds of a kind are spread


def tabulate(profiles: AtBase) -> pd.DataFrame:
    """Return one row per observation, of seeds that did not diverge.

    `quantity` is `length` by the score or loss threshold (one row per direction, seed and sign; in weights, and
    `relative` to the norm of the optimum), or the `rise` and `barrier` of a straight line from the initialisation
    (`init`) or between two optima (`pair`), in nats.
    """
    parts, store = [], sound_seeds(profiles)
    for rule in RULES:
        names = {f"{name}_{rule}": name for name in ("length", "error", "open")}
        part = store[[*names, "radius"]].rename(names)
        table = as_rows(part, ("direction", "seed", "sign"), ("kind", *names.values(), "radius"))
        table = table.assign(quantity=f"length_{rule}", value=table["length"] * table["radius"])
        parts.append(table.rename(columns={"length": "relative"}))
    for line, (dim, _label, _colour) in LINES.items():
        for name in ("rise", "barrier"):
            if f"{line}_{name}" in store:
                table = as_rows(store[f"{line}_{name}"].to_dataset(name="value"), (dim, "split"), ("value",))
                table = table.astype({dim: str}).rename(columns={dim: "seed"})
                parts.append(table.assign(quantity=name, kind=line))
    columns = ["quantity", "kind", "direction", "seed", "sign", "split", "value", "relative", "error", "open"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


def draw(profiles: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    style.apply()
    figure = Figure(figsize=(style.TWO_COLUMNS, 4.3))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.3, 1))
    lengths, rays, lines = (figure.add_subplot(part) for part in (grid[:, 0], grid[0, 1], grid[1, 1]))
    store = sound_seeds(profiles)
    _draw_lengths(lengths, store, intervals)
    style.title(lengths, "a", "Lengths of directions")
    _draw_rays(rays, store, intervals)
    style.title(rays, "b", "Training loss along them")
    _draw_lines(lines, store, intervals)
    style.title(lines, "c", "Training loss on straight lines")
    return figure


def _log_x(axes: Axes, low: float, high: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = style.log_ticks(low, high)
    axes.set_xticks(ticks, [style.number(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("length / norm of the optimum")


def _draw_lengths(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    table, reach = by_kind(store), store.attrs["reach"]
    means = summarise(table, intervals)
    shortest = float(np.exp(table["log_length"].min()))
    _log_x(axes, 0.75 * shortest, 1.6 * reach)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.3)
    axes.axvline(reach, color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
    for row, mean in enumerate(means.itertuples()):
        seeds = table[(table["kind"] == mean.kind) & (table["name"] == mean.name)]
        colour = COLOURS.get(mean.kind, style.NEUTRAL)
        ends = (seeds["open"] == 0).to_numpy()
        places = row + SEEDS_HEIGHT * (np.linspace(-0.5, 0.5, len(seeds)) if len(seeds) > 1 else np.zeros(1))
        for chosen, marker in ((ends, "o"), (~ends, ">")):
            axes.scatter(
                np.exp(seeds["log_length"][chosen]), places[chosen], s=7, marker=marker, color=colour, alpha=0.5,
                linewidths=0,
            )  # fmt: skip
        if np.isfinite([mean.low, mean.high]).all():
            axes.plot([mean.low, mean.high], [row, row], color=colour, linewidth=1.6, zorder=4)
        look = {"markersize": 4.5, "markeredgecolor": "white", "markeredgewidth": 0.6, "zorder": 5}
        axes.plot(mean.estimate, row, "D" if ends.all() else ">", color=colour, **look)
        if not ends.all():
            text = f"{int((~ends).sum())} of {len(ends)}\nopen"
            axes.annotate(text, (reach, row), (7, 0), textcoords="offset points", va="center", fontsize=6)
    axes.set_yticks(range(len(means)), means["name"], fontsize=6.5)
    for label, kind in zip(axes.get_yticklabels(), means["kind"], strict=True):
        label.set_color(COLOURS.get(kind, "black"))
    axes.set_ylim(len(means) - 0.4, -0.6)


def _sides(store: xr.Dataset) -> list[tuple[str, int | None]]:
    """Return the kinds to draw with the side that is drawn, None for both together."""
    kinds = [kind for kind in COLOURS if kind in store["kind"].values]
    sides = {kind: SIGNS if kind == "radial" else SIGNS[:1] for kind in kinds if len(KINDS[kind]) == 2}
    return [(kind, side) for kind in kinds for side in sides.get(kind, (None,))]


def _draw_rays(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    losses, lengths = store["loss"].sel(split="train"), store["t"].values
    middle = len(lengths) // 2
    for kind, side in _sides(store):
        part = losses.isel(direction=store["kind"].values == kind)
        halves = {
            1: part.isel(step=slice(middle + 1, None)).values,
            -1: part.isel(step=slice(middle - 1, None, -1)).values,
        }
        seen = np.concatenate([halves[sign] for sign in SIGNS if side in (sign, None)])  # (n, seed, step)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(seen).mean(0)
        estimate, low, high = np.exp(style.means(logs.T, intervals))
        line = "--" if side == -1 else "-"
        style.band(axes, lengths[middle + 1 :], estimate, low, high, COLOURS[kind], linestyle=line, linewidth=1)
    axes.set_ylabel("loss (nats)")
    _log_x(axes, float(lengths[middle + 1]), float(lengths[-1]))
    axes.set_ylim(bottom=LOWEST)
    style.log_axis(axes)
    inwards = Line2D([], [], color=COLOURS["radial"], linestyle="--", linewidth=1, label=KINDS["radial"][1])
    axes.legend(handles=[inwards], loc="upper left", fontsize=6, title="colours as in a", title_fontsize=6,
                alignment="left")  # fmt: skip


def _draw_lines(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    for name, (dim, label, colour) in LINES.items():
        if f"{name}_loss" not in store:
            continue
        values = store[f"{name}_loss"].sel(split="train").transpose(dim, "alpha").values
        axes.plot(store["alpha"], values.T, color=colour, linewidth=0.4, alpha=0.4)
        members = store["members"].values if name == "pair" else None
        means = style.geometric_means(values.T, intervals, members)
        style.band(axes, store["alpha"], *means, colour, label=label)
    axes.set(xlim=(0, 1), xlabel="part of the way", ylabel="loss (nats)")
    axes.legend(loc="lower center", fontsize=6)
    style.log_axis(axes)
