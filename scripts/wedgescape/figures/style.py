"""The one place of look: colours and what they mean, sizes, fonts, axes of swept values, intervals, and saved files.

A colour means the same thing in every figure. Where a palette is too long for colours alone to be told apart (sweeps,
levels), marks, line styles or panels tell the same.
"""

from __future__ import annotations

import json
import logging
import math
import textwrap
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.transforms import ScaledTranslation

from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.whole_files import whole_file
from wedgescape.study.settings import swept

ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9  # inches, the widths of a paper's columns
PDF_DPI = 450  # of what is an image in a PDF
LAYOUT_DPI = 200  # at which text is measured, so that the layout does not depend on the saved resolution

# Okabe and Ito's palette, as seaborn's "colorblind" has it, for what stands side by side within one panel.
SPLITS = {"train": "#0173b2", "test": "#de8f05"}
# Centre: of a connector. Far: a point that lies far off the plane into which it is projected. The last two are nulls:
# the same search without optima, from random points and from initialisations.
PLACES = {"optima": "#333333", "centroid": "#d55e00", "centre": "#029e73", "far": "#ff2d2d", "random": "#8a8a8a",
          "initialisation": "#b8899a"}  # fmt: skip
CURVES = {"line": PLACES["centroid"], "bezier": "#6a3d9a", "chain": "#2a9d9d"}  # between two optima
DIRECTIONS = {"long": "#56b4e9", "short": "#cc78bc"}
# Pairs and sets of optima as they are, and with the units of their hidden layers matched.
ALIGNMENT = {"before": CURVES["line"], "after": "#1d3461"}
# Ways to one number, of which the first two are of one kind: dark and light of one hue.
ROUTES = {
    "cut_line": "#54278f",
    "cut_threshold": "#9e86c8",
    "tunnel_spread": "#bf5b17",
    "point_spread": "#1b8a8f",
}
# Of each hyperparameter: its colour, and its name on axes. Tol's "muted" palette, the two lightest darkened, and a grey
# blue.
SWEEPS = {key: sweep.colour for key, (_section, _field, sweep) in swept().items()}
NAMES = {key: sweep.label for key, (_section, _field, sweep) in swept().items()}
# Methods of finding solutions, cyclic ones in two greens; the name of each in legends beside its colour.
METHODS = {
    "longer": "#787048",
    "sam": "#a65628",
    "swa": "#e6a100",
    "snapshots": "#1b7837",
    "fge": "#7fbf4d",
    "tunnel": "#2b8cbe",
    "connector": CURVES["bezier"],
    "independent": "#d6336c",
}
METHOD_NAMES = {
    "longer": "one solution",
    "sam": "sharpness-aware",
    "swa": "weight average",
    "snapshots": "snapshots",
    "fge": "fast geometric",
    "tunnel": "tunnel samples",
    "connector": "connector",
    "independent": "independent",
}
# The ends of the "BrBG" map; undecided is neither, and no effect is a finding of its own.
VERDICTS = {"supported": "#01665e", "contradicted": "#8c510a", "no effect": "#3f4b8c", "undecided": "#949494"}
NEUTRAL, FAINT = "#4d4d4d", "#b3b3b3"  # what has no colour of its own; guides

# Colours of quantities: which of seaborn's palettes, and which part of its 256 colours. The ends are cut off so that
# black and white marks show on them.
MAPS = {
    "loss": ("mako", slice(24, 248)),  # dark is where a network is good: low loss, high accuracy
    "score": ("mako", slice(247, 23, -1)),
    "difference": ("rocket_r", slice(8, 232)),  # of two networks: pale is alike
    "correlation": ("PuOr_r", slice(20, 236)),  # -1 to 1: white is none
}

# What a hyperparameter is called on an axis.


def apply() -> None:
    """Set fonts, lines and files for all figures drawn afterwards."""
    mpl.rcParams.update(
        {
            "text.color": ".15",
            "axes.axisbelow": True,
            "lines.solid_capstyle": "round",
            "patch.edgecolor": "white",
            "patch.force_edgecolor": True,
            "patch.linewidth": 0.8,
            "figure.dpi": LAYOUT_DPI,
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.h_pad": 0.03,
            "figure.constrained_layout.w_pad": 0.03,
            "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
            "mathtext.fontset": "dejavusans",
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "legend.fontsize": 7,
            "legend.title_fontsize": 7,
            "legend.frameon": False,
            "legend.handlelength": 1.6,
            "legend.borderaxespad": 0.3,
            "axes.linewidth": 0.6,
            "axes.edgecolor": NEUTRAL,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlepad": 4,
            "axes.labelpad": 2,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "xtick.minor.width": 0.4,
            "ytick.minor.width": 0.4,
            "xtick.major.size": 2.5,
            "ytick.major.size": 2.5,
            "xtick.minor.size": 1.5,
            "ytick.minor.size": 1.5,
            "xtick.color": NEUTRAL,
            "ytick.color": NEUTRAL,
            "xtick.labelcolor": "black",
            "ytick.labelcolor": "black",
            "lines.linewidth": 1.2,
            "lines.markersize": 4,
            "pdf.fonttype": 42,  # text stays text
        }
    )


def colour_bar(axes: Axes, drawn, label: str):
    """Return the colour bar of what is drawn on axes, beside them and exactly as high."""
    bar = axes.get_figure().colorbar(drawn, cax=axes.inset_axes([1.03, 0, 0.045, 1]), label=label)
    bar.outline.set_visible(False)
    bar.ax.minorticks_off()
    return bar


def panels(rows: int, columns: int, width: float, height: float, **kwargs) -> tuple[Figure, np.ndarray]:
    """Return a figure of a size in inches that no window manager knows of, and its axes (rows, columns)."""
    apply()
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def title(axes: Axes, letter: str, text: str = "", note: str = "") -> None:
    """Write a panel's letter and title above it, and a fainter note at the right."""
    axes.set_title(rf"$\mathbf{{{letter}}}$  {text}".rstrip(), loc="left")
    if note:
        axes.set_title(note, loc="right", fontsize=6.5, color=NEUTRAL)


def lighter(colour: str, amount: float = 0.5) -> tuple[float, float, float]:
    """Return a colour mixed with white."""
    return tuple(1 - (1 - part) * (1 - amount) for part in to_rgb(colour))


def levels(count: int) -> list[tuple[float, float, float]]:
    """Return the colours of an ordered quantity without a palette of its own, light to dark."""
    return _palette("flare", count) if count > 1 else [to_rgb(DIRECTIONS["short"])]


def colour_map(name: str) -> LinearSegmentedColormap:
    """Return the colours of a quantity, one of `MAPS`."""
    palette, part = MAPS[name]
    return LinearSegmentedColormap.from_list(name, _palette(palette, 256)[part])


def _palette(name: str, count: int) -> list[tuple[float, float, float]]:
    from seaborn import color_palette  # with scipy behind it takes longer than most figures, of which few need it

    return color_palette(name, count)


MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")  # beside the colours of levels


def number(value: float) -> str:
    """Return the shortest way to write a number on an axis."""
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.10g}"
    mantissa, exponent = f"{value:.10e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = rf"10^{{{int(exponent)}}}"
    return f"${power}$" if mantissa == "1" else rf"${mantissa}{{\times}}{power}$"


def short_name(sweep: str) -> str:
    """Return what a hyperparameter is called where there is little room."""
    return {"weight_decay": "L2", "dropout": "dropout"}.get(sweep, NAMES[sweep].partition(" (")[0])


def nothing(title_text: str, reason: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure, axes = panels(1, 1, TWO_COLUMNS, 1.0)
    title(axes[0, 0], "a", title_text)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0, 1, "\n".join(textwrap.wrap(reason, 110)), va="top", transform=axes[0, 0].transAxes)
    return figure


def settings_of_sweep(axes: Axes, x, y, sweep: str, marker: str) -> None:
    """Draw a sweep's settings by two statistics (value,), in order: a line joins them, marks grow with the value."""
    axes.plot(x, y, color=SWEEPS[sweep], linewidth=0.8, alpha=0.7)
    sizes = 6 + 14 * np.linspace(0, 1, len(x))
    axes.scatter(x, y, s=sizes, marker=marker, color=SWEEPS[sweep], linewidths=0, zorder=3)


def value_axis(axes: Axes, values: Sequence) -> np.ndarray:
    """Lay out the x axis for the values that something was swept over: a tick at each of them and nowhere else.

    Numbers that span a factor of 5 lie on a logarithmic axis; a zero stands beside it, behind a break. Text is spread
    evenly.

    Args:
        axes: whose x axis it is.
        values: numbers or text, at least one.

    Returns:
        The positions (value,) on the axis.
    """
    if not all(isinstance(value, Real) for value in values):
        positions = np.arange(len(values), dtype=float)
        axes.set_xlim(-0.6, len(values) - 0.4)
        _tick(axes, positions, [str(value) for value in values])
        return positions
    positions = np.asarray(values, dtype=float)
    positive = positions[positions > 0]
    smallest, largest = (positive.min(), positive.max()) if len(positive) else (1.0, 1.0)
    if len(positive) and positions.min() >= 0 and largest / smallest >= 5:
        factor = (largest / smallest) ** 0.1
        if len(positive) == len(positions):
            axes.set_xscale("log")
            axes.set_xlim(smallest / factor, largest * factor)
        else:
            axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
            axes.set_xlim(-0.4 * smallest, largest * factor)
            axes.plot(
                smallest / 2,
                0,
                marker="$//$",
                markersize=5,
                color=NEUTRAL,
                markeredgewidth=0.2,
                clip_on=False,
                transform=axes.get_xaxis_transform(),
                zorder=5,
                label="_break",
            )
    else:
        pad = 0.12 * np.ptp(positions) or 0.5 * abs(positions[0]) or 0.5
        axes.set_xlim(positions.min() - pad, positions.max() + pad)
    _tick(axes, positions, [number(value) for value in positions])
    return positions


def _tick(axes: Axes, positions: np.ndarray, labels: Sequence[str]) -> None:
    axes.xaxis.set_major_locator(ticker.FixedLocator(positions))
    axes.xaxis.set_major_formatter(ticker.FixedFormatter(labels))
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def log_ticks(low: float, high: float) -> list[float]:
    """Return ticks between two positive numbers: 1, 2, 5, 10, … on a short axis, powers of ten on a long one."""
    mantissas = (1, 2, 5) if high / low < 300 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [tick for power in powers for mantissa in mantissas if low <= (tick := mantissa * 10.0**power) <= high]
    if len(ticks) < 2:  # less than a factor of 2
        ticks = [tick for tick in ticker.MaxNLocator(4).tick_values(low, high).tolist() if low <= tick <= high]
    return ticks


def log_axis(axes: Axes) -> None:
    """Make the y axis logarithmic, with plain numbers.

    To be called when everything is drawn, since it settles the limits.
    """
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(ticker.FixedLocator(log_ticks(low, high)))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _place: number(value)))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_ylim(low, high)


def settle(figure: Figure) -> None:
    """Lay a figure out, once and for all: each format would do it anew, which takes longer than to draw it."""
    engine = figure.get_layout_engine()
    if engine and not isinstance(engine, PlaceHolderLayoutEngine):
        engine.execute(figure)  # `draw_without_rendering` would also draw it, for nothing
        figure.set_layout_engine("none")


def thin_labels(figure: Figure) -> None:
    """Settle a figure that is complete, and hide x tick labels that run into the one before them; their ticks stay."""
    settle(figure)
    for axes in figure.axes:
        right = -math.inf
        for label in axes.get_xticklabels():
            extent = label.get_window_extent()
            if not label.get_text() or not label.get_visible():
                continue
            label.set_visible(extent.x0 > right)
            right = max(right, extent.x1 + 0.02 * figure.dpi) if label.get_visible() else right


def means(values, intervals: Intervals, members=None) -> np.ndarray:
    """Return estimates, lower and upper ends (3, n) of the means of values (n, K).

    Args:
        values: (n, K), one per independent unit, or one per pair of seeds.
        intervals: how they are computed.
        members: (K, 2), the seeds of pairs.
    """
    found = [intervals.mean(row) if members is None else intervals.pairs(row, members) for row in values]
    return np.array([(one.estimate, one.low, one.high) for one in found]).T


def geometric_means(values, intervals: Intervals, members=None) -> np.ndarray:
    """Return `means` of logarithms, as numbers again: for a logarithmic axis, where bars then stay above zero."""
    with np.errstate(divide="ignore"):
        logs = np.log(values)
    return np.exp(means(logs, intervals, members))


def band(axes: Axes, x, mean, low, high, colour: str, **line) -> None:
    """Draw a curve of means with the band of its interval; nothing where an end is unbounded."""
    finite = np.isfinite(low) & np.isfinite(high)
    axes.fill_between(x, np.where(finite, low, np.nan), np.where(finite, high, np.nan), color=colour, alpha=0.25, lw=0)
    axes.plot(x, mean, color=colour, **line)


def intervals(axes: Axes, x, mean, low, high, colour: str, shift: float = 0.0, joined: bool = True, **marks) -> None:
    """Draw means with bars from end to end of their intervals; no bar where an end is unbounded.

    Args:
        axes: to draw on.
        x: positions.
        mean: estimates.
        low: lower ends.
        high: upper ends.
        colour: of all of it.
        shift: points to the right, so that series at the same positions stay apart.
        joined: whether a line joins the means, where x is a quantity and not a name.
        **marks: of the means, as `Axes.plot` takes them.
    """
    mean, low, high = (np.asarray(part, dtype=float) for part in (mean, low, high))
    finite = np.isfinite(low) & np.isfinite(high)
    ends = np.where(finite, np.stack([mean - low, high - mean]), 0.0)
    marks = {"marker": "D", "markersize": 2.4, "markeredgewidth": 1, **marks}
    axes.errorbar(
        x,
        mean,
        np.clip(ends, 0, None),
        color=colour,
        elinewidth=1,
        capsize=2,
        zorder=4,
        linestyle="-" if joined else "none",
        linewidth=0.8,
        transform=shifted(axes, shift),
        **marks,
    )
    _reach(axes, x, mean - ends[0], mean + ends[1])


def _reach(axes: Axes, x, *rows) -> None:
    """Let axes know of data whose marks are shifted: matplotlib leaves those out of its limits."""
    points = np.concatenate([np.column_stack([np.asarray(x, dtype=float), row]) for row in rows])
    axes.update_datalim(points[np.isfinite(points).all(1)])
    axes.autoscale_view(scalex=False)


def shifted(axes: Axes, points: float):
    """Return the data transform of axes, moved some points to the right: marks stay beside their exact value."""
    return axes.transData + ScaledTranslation(points / 72, 0, axes.get_figure().dpi_scale_trans)


def dots(axes: Axes, x, values, colour, shift: float = 0.0, spread: float = 5.0, **marks) -> list[PathCollection]:
    """Draw every observation as a dot: values (n, K) at n positions.

    The K of a position are spread evenly over some points of width, in order: the same seed stands at the same place
    everywhere, and the jitter is the same in every run.
    """
    values = np.asarray(values, dtype=float)
    marks = {"s": 5, "linewidths": 0.4, "edgecolors": "none", "alpha": 0.55, "zorder": 3, **marks}
    places = np.linspace(-spread / 2, spread / 2, values.shape[1]) if values.shape[1] > 1 else [0.0]
    _reach(axes, x, *values.T)
    return [
        axes.scatter(x, values[:, k], color=colour, transform=shifted(axes, shift + place), **marks)
        for k, place in enumerate(places)
    ]


def strip(axes: Axes, row: float, values, mean, colour: str, spread: float) -> None:
    """Draw observations (K,) as dots along a row of a horizontal panel, with their mean and its interval.

    Args:
        axes: to draw on.
        row: y of the row.
        values: (K,), nan where there is none.
        mean: estimate, low, high; no bar where an end is unbounded.
        colour: of all of it.
        spread: of the dots, in rows.
    """
    values = np.asarray(values, dtype=float)
    places = row + spread * (np.linspace(-0.5, 0.5, len(values)) if len(values) > 1 else np.zeros(1))
    axes.scatter(values, places, s=7, color=colour, alpha=0.45, linewidths=0, zorder=3)
    if np.isfinite(mean[1:]).all():
        axes.plot(mean[1:], [row, row], color=colour, linewidth=1.6, zorder=4)
    look = {"markersize": 4.5, "markeredgecolor": "white", "markeredgewidth": 0.6, "zorder": 5}
    axes.plot(mean[0], row, "D", color=colour, **look)


def save(figure: Figure, outputs: Iterable[str | Path], dpi: int, name: str, metadata: dict) -> None:
    """Write a figure to files that are equal in every byte when the figure is, and that say what they were made from.

    They hold no date and no version. Each is moved into place when it is complete.

    Args:
        figure: its layout is settled here.
        outputs: paths that end in `.pdf` or `.png`.
        dpi: of the PNG.
        name: of the figure.
        metadata: plain JSON types; it is written as JSON to "Keywords" of both formats, beside "Title" and "Subject".
    """
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every table of a font that it drops
    settle(figure)
    said = {
        "Title": f"Wedgescape: {name}",
        "Subject": f"study {metadata.get('study', '')}".strip(),
        "Keywords": json.dumps(metadata, sort_keys=True),
    }

    # `Figure.savefig` would draw each format twice, in order to lay out anew what is settled.
    def write_pdf(file: Path) -> None:
        FigureCanvasPdf(figure).print_pdf(file, metadata=said | {"CreationDate": None})

    def write_png(file: Path) -> None:
        FigureCanvasAgg(figure).print_png(file, metadata=said | {"Software": None})

    kinds = {".pdf": (PDF_DPI, write_pdf), ".png": (dpi, write_png)}
    for path in map(Path, outputs):
        resolution, write = kinds[path.suffix]
        with whole_file(path) as beside:
            figure.set_dpi(resolution)
            write(beside)
    figure.set_dpi(LAYOUT_DPI)
