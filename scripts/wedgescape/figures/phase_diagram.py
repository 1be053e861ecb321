"""Draw what grids of hyperparameters do to the landscape: maps of statistics, effects, and how alike they are.

Each row of maps is a grid, each column a statistic, with its mean over seeds in every cell. The shade compares within a
column, and dark is where networks are good: wide tunnels, low curvature and barriers, alike, accurate. Of a grid of
more than two hyperparameters the map is a plane, the others at the base setting's value. Below: the standardised effect
of each hyperparameter on each statistic, rank correlations between statistics, and the cosine between the effects of
two hyperparameters. All intervals are over seeds. Runs that are no optima are in no mean; the cells of the
first column count them, as "lost".
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wedgescape.analysis import phase_diagram
from wedgescape.analysis.phase_diagram import STATISTICS
from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import BaseSetting, Grids, InGrids, Tables

CATEGORY = "7 Hyperparameters"
TITLE = "grids of hyperparameters"
STANDS_FOR = {
    "similar": "Two hyperparameters varied together. If they acted alike, lines of equal colour would run the same "
    "way in every map.",
}
TABLES = ("phase_diagram", "phase_diagram_numbers")

TITLES = {
    "angular_width": "angular\nwidth\n(degrees)",
    "large_scale": "large-scale\ncurvature\n(nats/rad²)",
    "top_eigenvalue": "top eigenvalue\nof the Hessian\n(nats/weight²)",
    "trace": "trace of\nthe Hessian\n(nats/weight²)",
    "barrier": "barrier to\nanother seed\n(nats)",
    "disagreement": "disagreement\nof two seeds\n(%)",
    "test_error": "test\nerror\n(%)",
}
NAMES = {name: text.rsplit("\n", 1)[0] for name, text in TITLES.items()}  # without units
PERCENT = ("disagreement", "test_error")
MAP_HEIGHT, EFFECTS_HEIGHT, LIKENESS_HEIGHT = 1.12, 1.55, 2.75  # inches
WIDEST_RANGE = 20  # beyond that ratio shades are logarithmic


def tabulate(
    tunnels: InGrids,
    curvature: InGrids,
    similarity: InGrids,
    grids: Grids,
    intervals: Intervals = Intervals(),
) -> dict[str, pd.DataFrame]:
    """Return all statistics, one row per (setting, seed); and what is estimated from them, one row per estimate."""
    data = _gathered(tunnels, curvature, similarity, grids)
    keys = phase_diagram.varied(grids, ordered=True)
    parts = [
        phase_diagram.correlations(data, intervals),
        phase_diagram.effects(data, keys, intervals),
        phase_diagram.likeness(data, keys, intervals),
        phase_diagram.tidy_contrasts(data, keys, intervals),
    ]
    return {
        "phase_diagram": phase_diagram.tidy(data, phase_diagram.varied(grids)),
        "phase_diagram_numbers": pd.concat([part for part in parts if len(part)], ignore_index=True),
    }


def _gathered(tunnels: InGrids, curvature: InGrids, similarity: InGrids, grids: Grids) -> xr.Dataset:
    stores = {"tunnels": tunnels, "curvature": curvature, "similarity": similarity}
    return phase_diagram.gather(grids, stores)


def draw(
    tunnels: InGrids,
    curvature: InGrids,
    similarity: InGrids,
    grids: Grids,
    base: BaseSetting,
    tables: Tables,
    intervals: Intervals = Intervals(),
) -> Figure:
    """Draw the figure.

    Args:
        tunnels: at all settings of the grids.
        curvature: the same.
        similarity: the same.
        grids: of the study.
        base: the base setting's hyperparameters.
        tables: of `tabulate`.
        intervals: how they were computed.
    """
    data, numbers = _gathered(tunnels, curvature, similarity, grids), tables["phase_diagram_numbers"]
    style.apply()
    heights = (0.75 + MAP_HEIGHT * len(grids), EFFECTS_HEIGHT, LIKENESS_HEIGHT)
    figure = Figure(figsize=(style.TWO_COLUMNS, sum(heights)))
    above, middle, below = figure.subfigures(3, 1, height_ratios=heights)
    maps = above.subplots(len(grids), len(STATISTICS), squeeze=False)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    for place, (row, grid) in enumerate(zip(maps, grids.values(), strict=True)):
        _draw_grid(row, data, grid, base, next(letters), first=place == 0)
    shades = [Patch(color=style.colour_map("loss")(end)) for end in (0.0, 1.0)]
    texts = ("wide tunnels, flat, low barriers, alike, accurate", "the opposite")
    above.legend(shades, texts, loc="outside upper center", ncols=2)
    effects = middle.subplots(1, 1)
    correlation, likeness = below.subplots(1, 2, width_ratios=(1.55, 1))
    _draw_effects(effects, numbers[numbers["quantity"] == "effect"])
    style.title(effects, next(letters), "Effects of raising a hyperparameter from its lowest to its highest value")
    _draw_correlations(correlation, numbers[numbers["quantity"] == "correlation"])
    style.title(correlation, next(letters), rf"Rank correlations $\rho$, {intervals.confidence:.0%} intervals")
    _draw_likeness(likeness, numbers[numbers["quantity"] == "likeness"])
    style.title(likeness, next(letters), "Likeness of effects")
    return figure


def _draw_grid(row, data: xr.Dataset, grid: dict, base: dict, letter: str, first: bool) -> None:
    """Draw the maps of one grid, one per statistic."""
    keys = grid["keys"]
    horizontal, vertical, names = phase_diagram.plane_of(grid["settings"], keys, base)
    part = data.sel(setting=np.ravel(names))
    lost = (~part["fit"]).sum("seed").values.reshape(np.shape(names))
    for axes, name in zip(row, STATISTICS, strict=True):
        factor = 100 if name in PERCENT else 1
        values = part[name].mean("seed").values.reshape(np.shape(names)) * factor
        colours = style.colour_map("score") if name == "angular_width" else style.colour_map("loss")
        norm = _norm(data[name].mean("seed").values * factor)  # of all settings: the same in every grid
        axes.imshow(np.ma.masked_invalid(values), cmap=colours, norm=norm, origin="lower", aspect="auto")
        width = 61 / len(horizontal)  # points, of a cell
        for (y, x), value in np.ndenumerate(values):
            dark = np.isfinite(value) and np.dot(colours(norm(value))[:3], (0.299, 0.587, 0.114)) < 0.5
            look = {"color": "white" if dark else "black", "ha": "center", "va": "center"}
            counted = lost[y, x] and axes is row[0]
            size = float(np.clip(width / 3.1, 4, 6))
            axes.text(x, y - (0.12 if counted else 0), _short(value), fontsize=size, **look)
            if counted:
                axes.text(x, y + 0.46, f"{lost[y, x]} lost", fontsize=4.5, **look | {"va": "top"})
        axes.set_xticks(range(len(horizontal)), [_label(value) for value in horizontal])
        axes.set_yticks(range(len(vertical)), [_label(value) for value in vertical] if axes is row[0] else [])
        axes.tick_params(length=0, labelsize=6)
        axes.spines[:].set_visible(False)
        if first:
            axes.set_title(TITLES[name], fontsize=7)
    row[0].set_ylabel(_key(keys[1]))
    row[len(row) // 2].set_xlabel(_key(keys[0]) + _held(grid, base))
    row[0].annotate(
        rf"$\mathbf{{{letter}}}$", (0, 1), (-22, 4), xycoords="axes fraction", textcoords="offset points", fontsize=8
    )


def _norm(values: np.ndarray) -> Normalize:
    """Return how values become shades: by their logarithm, where all are positive and far apart."""
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return LogNorm(low, high) if low > 0 and high / low > WIDEST_RANGE else Normalize(low, high)


def _short(value: float) -> str:
    """Return a number in at most five characters where that can be, two digits of it at least."""
    if not np.isfinite(value):
        return "nan"
    size = abs(value)
    return f"{value:.{0 if size >= 10 else 1 if size >= 1 else 2 if size >= 0.095 else 3}f}"


def _label(value) -> str:
    return value if isinstance(value, str) else style.number(value)


def _key(key: str) -> str:
    """Return the name of a hyperparameter, without its unit."""
    return style.NAMES.get(key, key).split(" (")[0]


def _held(grid: dict, base: dict) -> str:
    """Return at which values the hyperparameters beyond the first two are held."""
    point = grid["settings"][phase_diagram.plane_of(grid["settings"], grid["keys"], base)[2][0][0]]
    held = [f"{_key(key)} {_label(point[key])}" for key in grid["keys"][2:]]
    return f" ({', '.join(held)})" if held else ""


def _draw_effects(axes: Axes, effects: pd.DataFrame) -> None:
    """Draw effects on all statistics, one colour per hyperparameter."""
    keys = effects["first"].unique().tolist()
    places = np.arange(len(STATISTICS))
    axes.axhline(0, color=style.FAINT, linewidth=0.8)
    for key, shift in zip(keys, 8.0 * (np.arange(len(keys)) - (len(keys) - 1) / 2), strict=True):
        part = effects[effects["first"] == key].set_index("second").loc[list(STATISTICS)]
        colour = style.SWEEPS.get(key, style.NEUTRAL)
        style.intervals(axes, places, part["estimate"], part["low"], part["high"], colour, shift, joined=False)
    axes.set_xlim(-0.5, len(STATISTICS) - 0.5)
    axes.set_xticks(places, list(NAMES.values()))
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("effect\n(standard deviations)")
    handles = [Line2D([], [], color=style.SWEEPS.get(key, style.NEUTRAL), marker="D", label=_key(key)) for key in keys]
    if keys:
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5))
    else:
        axes.text(0.5, 0.6, "no hyperparameter is a number", transform=axes.transAxes, ha="center")


def _draw_correlations(axes: Axes, correlations: pd.DataFrame) -> None:
    """Draw the lower triangle of the matrix of correlations, intervals written below each."""
    rows, columns = list(STATISTICS)[1:], list(STATISTICS)[:-1]
    matrix = np.full((len(rows), len(columns)), np.nan)
    for pair in correlations.itertuples():
        y, x = rows.index(pair.second), columns.index(pair.first)
        matrix[y, x] = pair.estimate
        strong = abs(pair.estimate) > 0.6
        look = {"ha": "center", "color": "white" if strong else "black"}
        axes.text(x, y - 0.02, _signed(pair.estimate), va="bottom", fontsize=6.5, **look)
        if np.isfinite([pair.low, pair.high]).all():
            axes.text(x, y + 0.08, f"{_signed(pair.low)} … {_signed(pair.high)}", va="top", fontsize=4.8, **look)
    axes.imshow(np.ma.masked_invalid(matrix), cmap=style.colour_map("correlation"), vmin=-1, vmax=1, aspect="auto")
    axes.set_yticks(range(len(rows)), [NAMES[name] for name in rows], fontsize=6)
    axes.set_xticks(range(len(columns)), [NAMES[name] for name in columns], fontsize=6, rotation=45, ha="right")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")  # noqa: RUF001, a minus sign


def _draw_likeness(axes: Axes, likeness: pd.DataFrame) -> None:
    """Draw the cosine of the effects of each pair of hyperparameters beside what chance would give."""
    axes.set(xlim=(-1.05, 1.05), xticks=(-1, -0.5, 0, 0.5, 1))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if not len(likeness):
        axes.text(0, 0.5, "fewer than two hyperparameters\nare numbers", ha="center")
        return
    chance = likeness["chance"].iloc[0]
    axes.axvspan(-chance, chance, color=style.FAINT, alpha=0.3, linewidth=0)
    axes.axvline(0, color=style.FAINT, linewidth=0.8)
    for y, pair in enumerate(likeness.itertuples()):
        text = f"{_key(pair.first)} and {_key(pair.second)}"
        if np.isfinite([pair.low, pair.high]).all():
            axes.plot([pair.low, pair.high], [y, y], color=style.NEUTRAL, linewidth=1.4)
        axes.plot(pair.estimate, y, "D", color=style.NEUTRAL, markersize=3.5)
        axes.text(0, y - 0.22, text, ha="center", va="bottom", fontsize=7)
    axes.set_ylim(len(likeness) - 0.5, -0.75)
    axes.set_xlabel(
        f"cosine of the effects of two hyperparameters\n(grey: root mean square by chance, {chance:.2f})", fontsize=7
    )
