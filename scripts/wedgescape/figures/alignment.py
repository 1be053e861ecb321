"""Draw what lies between optima before and after the units of their hidden layers are matched.

Against the width: (a) the barrier of the training loss and (b) of the test loss on the straight line between the optima
of a pair, (c) the angle between them. (d) The training loss on these lines at the base point. Against the number m of
optima there: (e, f) the loss at their linear centroid and at the connector's centre, (g) how far the one is from the
other. Dots and thin lines are pairs or sets, marks and thick lines means, bars and bands the bootstrap interval of the
mean. What could not be aligned is left out, and the figure says why.
"""

import textwrap

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.figures.publish import interval_settings, publish
from wedgescape.measurements.alignment import STAGES, tidy
from wedgescape.measurements.alignment import tidy_connectors as tabulate_connectors
from wedgescape.numerics.intervals import bootstrap_mean
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import open_store, write_table

SHIFTS = {"before": -2.5, "after": 2.5}  # points
SPREAD = 4.0  # points, of the dots of a series
MARKS = {"centroid": {"marker": "s", "markerfacecolor": "white", "markeredgewidth": 0.8}, "centre": {"marker": "D"}}
NO_MARKS = {"color": style.NEUTRAL, "linestyle": "none"}


def tabulate(stores: list[xr.Dataset]) -> pd.DataFrame:
    """Return one row a (width, pair, split, alignment)."""
    return pd.concat([tidy(store) for store in _by_width(stores)], ignore_index=True)


def draw(lines: list[xr.Dataset], base: xr.Dataset, connectors: dict[str, xr.Dataset], confidence: float,
         resamples: int) -> Figure:  # fmt: skip
    """Draw the figure.

    Args:
        lines: of `measure_alignment`, one a width.
        base: the one of the base point.
        connectors: of `measure_connectors` and `measure_aligned_connectors`, by stage.
        confidence: of the interval.
        resamples: of the bootstrap.
    """
    aligned = _by_width([store for store in lines if "not_aligned" not in store.attrs])
    if not aligned:
        return _draw_reason(lines[0].attrs["not_aligned"])
    figure, axes = style.panels(2, 4, style.TWO_COLUMNS, 3.9)
    interval = {"confidence": confidence, "resamples": resamples}
    train, test, angle, line = axes[0]
    for panel, split in ((train, "train"), (test, "test")):
        _draw_widths(panel, [store["barrier"].sel(split=split) for store in aligned], aligned, base, **interval)
        _barrier_axis(panel)
    train.sharey(test)
    _draw_widths(
        angle, [np.degrees(np.arccos(store["cosine"].clip(-1, 1))) for store in aligned], aligned, base, **interval
    )
    angle.axhline(90, color=style.FAINT, linestyle="--", linewidth=0.8, zorder=1)
    angle.set(ylabel="angle (degrees)", ylim=(0, 99), yticks=[0, 30, 60, 90])
    if "not_aligned" not in base.attrs:
        _draw_line(line, base["loss"].sel(split="train"), **interval)
    train_loss, test_loss, displacement, spare = axes[1]
    for panel, split in ((train_loss, "train"), (test_loss, "test")):
        _draw_places(panel, {stage: store["loss"].sel(split=split) for stage, store in connectors.items()}, **interval)
    for stage, store in connectors.items():
        _draw_sizes(displacement, store["displacement"], stage, MARKS["centre"], **interval)
    displacement.set(ylabel="centroid to centre (weights)", ylim=(0, None))
    for panel in axes[1, :3]:
        panel.set_xlabel("number $m$ of optima")
    texts = ("Training barrier", "Test barrier", "Angle", "Straight line", "Training loss", "Test loss", "Distance")
    for panel, letter, text in zip(axes.flat, "abcdefg", texts, strict=False):
        style.title(panel, letter, text)
    _legend(spare, lines, base, confidence)
    style.thin_labels(figure)
    return figure


def _by_width(stores: list[xr.Dataset]) -> list[xr.Dataset]:
    return sorted(stores, key=lambda store: store.attrs["width"])


def _means(values: np.ndarray, **interval) -> np.ndarray:
    """Return estimates, lower and upper ends (3, n) of the means of values (n, K)."""
    means = [bootstrap_mean(row, **interval) for row in values]
    return np.array([(part.estimate, part.low, part.high) for part in means]).T


def _draw_widths(
    axes: Axes, values: list[xr.DataArray], stores: list[xr.Dataset], base: xr.Dataset, **interval
) -> None:
    """Draw pairs (alignment, pair) of each width."""
    positions = style.value_axis(axes, [store.attrs["width"] for store in stores])
    most = max(part.sizes["pair"] for part in values)
    for stage in STAGES:
        rows = [part.sel(alignment=stage).values for part in values]
        seen = np.stack([np.pad(row, (0, most - len(row)), constant_values=np.nan) for row in rows])
        _draw_series(axes, positions, seen, stage, MARKS["centre"], **interval)
    place = axes.get_xaxis_transform()
    axes.plot(base.attrs["width"], 0, "^", color="black", markersize=4, transform=place, clip_on=False, zorder=6)
    axes.set_xlabel("width")


def _barrier_axis(axes: Axes) -> None:
    """Make the y axis logarithmic down to the smallest barrier that matters, and linear from there to 0."""
    ticks = [0, *(10.0**power for power in range(-2, 4))]
    axes.set_yscale("symlog", linthresh=ticks[1], linscale=0.6)
    axes.set_ylim(-0.1 * ticks[1], max(1.5 * axes.dataLim.y1, ticks[2]))
    axes.yaxis.set_major_locator(ticker.FixedLocator(ticks))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _place: style.number(value)))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_ylabel("barrier (nats)")


def _draw_series(axes: Axes, positions, seen: np.ndarray, stage: str, marks: dict, **interval) -> None:
    colour, shift = style.ALIGNMENT[stage], SHIFTS[stage]
    style.dots(axes, positions, seen, colour, shift, SPREAD)
    style.intervals(axes, positions, *_means(seen, **interval), colour, shift, **marks)


def _draw_line(axes: Axes, losses: xr.DataArray, **interval) -> None:
    places = losses["t"].values
    for stage in STAGES:
        seen, colour = losses.sel(alignment=stage).transpose("t", "pair").values.astype(float), style.ALIGNMENT[stage]
        axes.plot(places, seen, color=colour, linewidth=0.4, alpha=0.45)
        style.band(axes, places, *_means(seen, **interval), colour, linewidth=1.2)
    style.log_axis(axes)
    axes.set(xlabel="place $t$ on the line", xlim=(0, 1), xticks=[0, 0.5, 1], ylabel="training loss (nats)")


def _draw_places(axes: Axes, losses: dict[str, xr.DataArray], **interval) -> None:
    """Draw sets (size, set, place): centroids and centres before and after, and the optima themselves."""
    for place, marks in MARKS.items():
        for stage, values in losses.items():
            _draw_sizes(axes, values.sel(place=place), stage, marks, **interval)
    optima = losses["before"].sel(place="optima").mean("set")
    axes.plot(optima["size"], optima, color=style.PLACES["optima"], linestyle=":", linewidth=1)
    axes.set_ylabel("loss (nats)")
    style.log_axis(axes)


def _draw_sizes(axes: Axes, values: xr.DataArray, stage: str, marks: dict, **interval) -> None:
    sizes = style.value_axis(axes, values["size"].values.tolist())
    _draw_series(axes, sizes, values.transpose("size", "set").values.astype(float), stage, marks, **interval)


def _legend(axes: Axes, lines: list[xr.Dataset], base: xr.Dataset, confidence: float) -> None:
    handles = [Line2D([], [], color=colour, label=f"{stage} alignment") for stage, colour in style.ALIGNMENT.items()]
    handles += [
        Line2D([], [], label="linear centroid", **NO_MARKS, **MARKS["centroid"]),
        Line2D([], [], label="connector's centre", **NO_MARKS, **MARKS["centre"]),
        Line2D([], [], color=style.PLACES["optima"], linestyle=":", label="the optima, mean"),
        Line2D([], [], marker=".", label="each pair, each set", **NO_MARKS),
        Line2D([], [], color=style.NEUTRAL, linewidth=1.4, label=f"mean, {confidence:.0%} interval"),
        Line2D([], [], color="black", marker="^", linestyle="none", label="base point"),
    ]
    lost = sum(store.attrs["diverged"] for store in lines)
    if lost:
        handles.append(Line2D([], [], linestyle="none", label=f"{lost} runs diverged, in no pair"))
    widths = [style.number(store.attrs["width"]) for store in _by_width(lines) if "not_aligned" in store.attrs]
    if widths:
        handles.append(Line2D([], [], linestyle="none", label=f"no pair at width {', '.join(widths)}"))
    axes.set_axis_off()
    look = {"title": f"d to g at width {base.attrs['width']}", "alignment": "left", "labelspacing": 0.7}
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(-0.25, 0.5), **look)


def _draw_reason(reason: str) -> Figure:
    """Say why there is nothing to draw."""
    figure, axes = style.panels(1, 1, style.TWO_COLUMNS, 1.0)
    style.title(axes[0, 0], "a", "Nothing was aligned")
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0, 1, "\n".join(textwrap.wrap(reason, 110)), va="top", transform=axes[0, 0].transAxes)
    return figure


if __name__ == "__main__":
    with job(snakemake):
        intervals = interval_settings(snakemake)
        lines = [open_store(path).load() for path in snakemake.input.lines]
        base = open_store(snakemake.input.base).load()
        connectors = {stage: open_store(snakemake.input[stage]).load() for stage in STAGES}
        figure = draw(lines, base, connectors, **intervals)
        write_table(tabulate_connectors(connectors), snakemake.output.connectors)
        publish(snakemake, figure, tabulate(lines))
