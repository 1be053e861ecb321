"""Draw phases over network width and temperature, and whether connectivity or trace orders the test error.

(a) The phase of each setting that differs from the base setting only in width, learning rate or batch size. Then the
error of a setting (b) against the barrier between its seeds and (c) against the trace, all networks trained to one
loss; (d, e) the same of networks as they were trained. A mark is a setting's mean over seeds, larger for a larger
value; a line joins a sweep. (f) Rank correlations within each sweep, filled for one loss, hollow as trained, and their
mean over sweeps. The control is the sweep in which barrier and trace order the settings alike: it cannot tell them
apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.measurements.taxonomy import AS_TRAINED, MATCHED, PHASES, ROWS, correlations, long, phase
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import fit
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AlongMatchedSweeps, AlongSweeps, AtAllSettings, BaseSetting, Grids

CATEGORY = "7 Hyperparameters"
TITLE = "phases, connectivity and trace"
STANDS_FOR = {
    "taxonomy": "If connectivity ordered the test error, the lines of all sweeps would rise with the barrier.",
}
TABLES = ("taxonomy", "taxonomy_correlations")

PLANE = ("width", "learning_rate", "batch_size")  # load, and the temperature learning_rate / batch_size
COLOURS = dict(zip(PHASES, ("#5b2a4f", "#b5557a", "#dd9a5b", "#7fb7be", "#1f6f78"), strict=True))
BARRIER, TRACE = style.PLACES["centroid"], style.DIRECTIONS["long"]
COLUMNS = ["line", "line_error", "curve", "cka", "trace", "train_loss", "train_error", "test_loss", "test_error"]


def tabulate(
    taxonomy: AlongSweeps, matched_taxonomy: AlongMatchedSweeps, all_taxonomy: AtAllSettings
) -> dict[str, pd.DataFrame]:
    """Return means over seeds and the phase, one row per setting; and rank correlations, one row per sweep."""
    rows = []
    for networks, sweeps in ((AS_TRAINED, taxonomy), (MATCHED, matched_taxonomy)):
        for sweep, store in sweeps.items():
            part = as_rows(_means(store), ("value",), (*COLUMNS, "phase", "seeds"))
            rows.append(part.assign(sweep=sweep, networks=networks, setting=""))
    for setting, store in all_taxonomy.items():
        part = as_rows(_means(store.expand_dims("value")), ("value",), (*COLUMNS, "phase", "seeds"))
        rows.append(part.assign(value=np.nan, sweep="", networks=AS_TRAINED, setting=setting))
    names = ["networks", "sweep", "value", "setting", "phase", *COLUMNS, "seeds"]
    means = pd.concat(rows, ignore_index=True).reindex(columns=names)
    rows = []
    for networks, sweeps in ((AS_TRAINED, long(taxonomy)), (MATCHED, long(matched_taxonomy))):
        for sweep, found in zip(sweeps, correlations(sweeps)[:, 0], strict=True):
            of_error = {name.replace(" ", "_"): found[0, place] for name, place in ROWS.items()}
            rows.append({"networks": networks, "sweep": sweep, **of_error, "barrier_and_trace": found[1, 2]})
    names = ["networks", "sweep", *(name.replace(" ", "_") for name in ROWS), "barrier_and_trace"]
    return {"taxonomy": means, "taxonomy_correlations": pd.DataFrame(rows, columns=names)}


def _means(store: xr.Dataset) -> xr.Dataset:
    """Return means over the seeds that are optima (value,), how many these are, and the phase."""
    kept = fit(store)
    means = store[COLUMNS].where(kept).mean("seed")
    return means.assign(phase=("value", np.atleast_1d(phase(store))), seeds=("value", kept.sum("seed").values))


def draw(
    taxonomy: AlongSweeps,
    matched_taxonomy: AlongMatchedSweeps,
    all_taxonomy: AtAllSettings,
    grids: Grids,
    base: BaseSetting,
    intervals: Intervals = Intervals(),
) -> Figure:
    """Draw the figure."""
    figure, axes = style.panels(2, 3, style.TWO_COLUMNS, 4.4)
    _draw_plane(axes[0, 0], plane(taxonomy, all_taxonomy, grids, base))
    style.title(axes[0, 0], "a", "Phases")
    rows = ((axes[0, 1:], "bc", matched_taxonomy, "at one loss"), (axes[1, :2], "de", taxonomy, "as trained"))
    for panels, letters, sweeps, text in rows:
        for panel, letter, name in zip(panels, letters, ("line", "trace"), strict=True):
            _draw_settings(panel, sweeps, name)
            style.title(panel, letter, f"{'Barrier' if name == 'line' else 'Trace'}, {text}")
    _draw_correlations(axes[1, 2], taxonomy, matched_taxonomy, intervals)
    style.title(axes[1, 2], "f", "Rank correlations")
    handles = [
        Line2D([], [], color=style.SWEEPS[sweep], marker=marker, markersize=4, label=style.short_name(sweep))
        for sweep, marker in zip(taxonomy, style.MARKERS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=6.5)
    return figure


def plane(
    taxonomy: Mapping[str, xr.Dataset], everywhere: Mapping[str, xr.Dataset], grids: dict, base: dict
) -> pd.DataFrame:
    """Return the settings in the plane of load and temperature: `width`, `temperature`, `phase`, and what is `varied`.

    Args:
        taxonomy: sweep -> store over `value`.
        everywhere: setting -> store.
        grids: of the study.
        base: the base setting's hyperparameters.
    """
    found = []
    for sweep, store in taxonomy.items():
        if sweep in PLANE:
            found += [(base | {sweep: value}, phase(store.sel(value=value)), sweep) for value in store["value"].values]
    for grid in grids.values():
        for name, values in grid["settings"].items():
            if all(values[key] == base[key] for key in base if key not in PLANE):
                found.append((values, phase(everywhere[name]), "batch_size" if "batch_size" in grid["keys"] else ""))
    rows = [
        {
            "width": float(values.get("width") or 0),
            "temperature": values["learning_rate"] / values["batch_size"],
            "phase": str(one),
            "varied": varied,
        }
        for values, one, varied in found
        if "learning_rate" in values and "batch_size" in values
    ]
    return pd.DataFrame(rows, columns=["width", "temperature", "phase", "varied"]).drop_duplicates(
        ["width", "temperature", "phase"]
    )


def _draw_plane(axes: Axes, settings: pd.DataFrame) -> None:
    there = settings[settings["phase"] != ""]
    if not len(there):
        axes.text(0.5, 0.5, "no setting with\ntwo optima", transform=axes.transAxes, ha="center")
        return
    style.value_axis(axes, sorted(there["width"].unique()))
    for (of_batches, name), part in there.groupby([there["varied"] == "batch_size", "phase"]):
        shift = style.shifted(axes, 7 if of_batches else 0)
        look = {"s": 34, "marker": "s" if of_batches else "o", "color": COLOURS[name], "linewidths": 0}
        axes.scatter(part["width"], part["temperature"], transform=shift, zorder=3, **look)
    low, high = there["temperature"].min(), there["temperature"].max()
    axes.set(xlabel="width", ylabel="learning rate / batch size", ylim=(low / 1.5, 3 * high))
    style.log_axis(axes)
    handles = [
        Line2D([], [], color=COLOURS[name], marker="o", linestyle="none", markersize=5, label=name)
        for name in PHASES
        if name in set(there["phase"])
    ]
    axes.legend(handles=handles, fontsize=6, loc="upper center", ncols=5, columnspacing=0.8, handletextpad=0.1)


def _draw_settings(axes: Axes, sweeps: Mapping[str, xr.Dataset], name: str) -> None:
    for (sweep, store), marker in zip(sweeps.items(), style.MARKERS * len(sweeps), strict=False):
        means = store[[name, "test_error"]].where(fit(store)).mean("seed")
        style.settings_of_sweep(axes, abs(means[name]), 100 * means["test_error"], sweep, marker)
    label = "barrier between seeds (nats)" if name == "line" else "trace (nats/weight²)"
    axes.set(xlabel=label, ylabel="test error (%)")


def _draw_correlations(
    axes: Axes, sweeps: Mapping[str, xr.Dataset], matched: Mapping[str, xr.Dataset], intervals: Intervals
) -> None:
    kinds = {True: long(matched), False: long(sweeps)}
    names = list(long(sweeps))
    for filled, part in kinds.items():
        found = correlations(part)[:, 0] if part else np.zeros((0, 4, 4))
        for colour, which, shift in ((BARRIER, 1, -0.3), (TRACE, 2, 0.1)):
            shift = shift if filled else shift + 0.2
            rows = np.array([names.index(name) for name in part]) + shift
            look = {"marker": "o", "s": 16, "linewidths": 0.9, "edgecolors": colour, "zorder": 3, "clip_on": False}
            axes.scatter(found[:, 0, which], rows, facecolors=colour if filled else "white", **look)
            mean = intervals.mean(found[:, 0, which], "sweep")
            if np.isfinite(mean.low):
                row, ends = len(names) + shift, np.clip([mean.low, mean.high], -1, 1)
                axes.plot(ends, [row, row], color=colour, linewidth=1.3)
                axes.scatter(mean.estimate, row, facecolors=colour if filled else "white", **look | {"marker": "D"})
    axes.axvline(0, color=style.FAINT, linewidth=0.8, zorder=1)
    axes.axhline(len(names) - 0.5, color=style.FAINT, linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(names) + 1), [*map(style.short_name, names), "mean"], fontsize=6.5)
    axes.set(xlim=(-1.05, 1.05), ylim=(len(names) + 0.5, -0.5), xlabel="rho with the test error")
    looks = ((BARRIER, BARRIER, "barrier"), (TRACE, TRACE, "trace"))
    looks += ((style.NEUTRAL, style.NEUTRAL, "at one loss"), (style.NEUTRAL, "white", "as trained"))
    handles = [
        Line2D([], [], color=edge, markerfacecolor=face, marker="o", linestyle="none", markersize=4, label=label)
        for edge, face, label in looks
    ]
    axes.legend(handles=handles, fontsize=6, loc="upper center", bbox_to_anchor=(0.4, -0.24), ncols=4,
                columnspacing=0.8, handletextpad=0.1)  # fmt: skip
