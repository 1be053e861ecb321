"""Draw the spectrum of the Hessian at the base setting's optima, and what random points look like at any distance.

Above: the spectral density, and how many eigenvalues lie above a threshold. Lines are seeds, ticks their largest
eigenvalues. Where quadrature does not resolve the spectrum, lines are dash-dotted; bands show between which numbers it
must lie, as far as the probes see it. Below, against the distance from the origin: loss, trace over Frobenius norm of
the Hessian, and the share of random directions along which the loss curves upwards; dots are random points, diamonds
their means, of losses the geometric one, bars the interval of the mean.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.zarr_stores import as_rows
from wedgescape.study.places import AtBase

CATEGORY = "6 Curvature"
TITLE = "the Hessian's spectrum, and random points"

# What is drawn of random points: variable, title, axis, whether logarithmic. Their score is chance everywhere.
PANELS = (
    ("loss", "Loss at random points", "training loss (nats)", True),
    ("trace_over_norm", "Excess of positive curvature", "trace / Frobenius norm", False),
    ("positive", "Directions that curve upwards", "share of directions", False),
)


SMOOTH = 2.0  # kernels: Gaussians that lie farther apart show as bumps of their own
FACTOR = 2.0  # between the least and the largest number that quadrature allows, where the number is still drawn solid


def tabulate(spectrum: AtBase) -> pd.DataFrame:
    """Return the numbers of directions above thresholds (part "spectrum") and the random points (part "radii")."""
    density, radii = spectrum["density"], spectrum["radii"]
    names = [f"directions_above{part}" for part in ("", "_error", "_low", "_high")]
    counts = as_rows(density[names], ("seed", "threshold"), names)
    names = ["loss", "score", "trace", "trace_error", "frobenius", "trace_over_norm", "positive"]
    points = as_rows(radii[names], ("radius", "point"), ("radius_factor", *names))
    return pd.concat([counts.assign(part="spectrum"), points.assign(part="radii")], ignore_index=True)


def draw(spectrum: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    density, radii = spectrum["density"], spectrum["radii"]
    style.apply()
    figure = Figure(figsize=(style.TWO_COLUMNS, 4.6))
    above, below = figure.subfigures(2, 1, height_ratios=[2.3, 2.0])
    left, counts = above.subplots(1, 2)
    _draw_density(left, density)
    _draw_counts(counts, density)
    style.title(left, "a", "Spectral density", f"kernel {density.attrs['kernel_width']:.2g} nats/weight²")
    style.title(counts, "b", "Directions above an eigenvalue")
    for panel, letter, (name, text, label, is_log) in zip(below.subplots(1, len(PANELS)), "cde", PANELS, strict=True):
        _draw_radii(panel, radii, name, style.geometric_means if is_log else style.means, intervals)
        optima = float(density["radius"].mean()) / radii.attrs["initial_norm"]
        panel.axvline(optima, color=style.PLACES["optima"], linewidth=0.8, linestyle=":", zorder=0)
        if is_log:
            style.log_axis(panel)
        panel.set_ylabel(label)
        style.title(panel, letter, text)
    below.supxlabel("distance from the origin (in units of the initialisation's norm)", fontsize=8)
    _legend(figure, density, radii, intervals)
    style.thin_labels(figure)
    return figure


def _draw_density(axes: Axes, store: xr.Dataset) -> None:
    """The density on a logarithmic axis, down to less than one eigenvalue adds; ticks below, one row per seed."""
    width, parameters = store.attrs["kernel_width"], store.attrs["parameters"]
    single = 1 / (parameters * width * np.sqrt(2 * np.pi))
    highest = float(store["density"].max())
    resolved = (store["ritz_gap"] <= SMOOTH * width).transpose("seed", "grid").values
    for row, is_resolved in zip(store["density"].transpose("seed", "grid").values, resolved, strict=True):
        _draw_where(axes, store["grid"].values, np.where(row > 0.1 * single, row, np.nan), is_resolved)
    axes.set_ylim(single / 300, 3 * highest)
    axes.set_yscale("log")
    places = np.linspace(0.03, 0.03 + 0.035 * (store.sizes["seed"] - 1), store.sizes["seed"])
    for place, values in zip(places, store["eigenvalue"].transpose("seed", "rank").values, strict=True):
        short = values > store.attrs["short_eigenvalue"]
        for some, kind in ((short, "short"), (~short, "long")):
            axes.plot(
                values[some], np.full(some.sum(), place), "|", color=style.DIRECTIONS[kind], markersize=4,
                transform=axes.get_xaxis_transform(), markeredgewidth=0.8,
            )  # fmt: skip
    axes.set_xlabel("eigenvalue (nats/weight²)")
    axes.set_ylabel("density (weight²/nat)")


def _draw_where(axes: Axes, x: np.ndarray, y: np.ndarray, resolved: np.ndarray) -> None:
    """Draw a line, dash-dotted where it is not resolved."""
    look = {"color": style.NEUTRAL, "linewidth": 0.8, "alpha": 0.7}
    axes.plot(x, y, linestyle="-.", **look)
    axes.plot(x, np.where(resolved, y, np.nan), **look)


def _draw_counts(axes: Axes, store: xr.Dataset) -> None:
    """Numbers of eigenvalues, with what quadrature allows and twice the standard error; none below one eigenvalue."""
    threshold = store["threshold"].values
    names = [f"directions_above{part}" for part in ("", "_error", "_low", "_high")]
    for count, error, low, high in zip(
        *(store[name].transpose("seed", "threshold").values for name in names), strict=True
    ):
        seen = count >= 0.5
        ends = np.clip(low - 2 * error, 0.3, None), high + 2 * error
        axes.fill_between(threshold[seen], *(end[seen] for end in ends), color=style.FAINT, alpha=0.3, lw=0)
        _draw_where(axes, threshold[seen], count[seen], (high <= FACTOR * low)[seen])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(0.7, None)
    limit, parameters = store.attrs["short_eigenvalue"], store.attrs["parameters"]
    axes.axvline(limit, color=style.DIRECTIONS["short"], linewidth=1)
    count, share = float(store["short_directions"].mean()), float(store["short_fraction"].mean())
    text = f" short: {count:.0f} of {parameters:,}\n ({share:.2%} of all directions)"
    axes.annotate(text, (limit, 0.97), xycoords=axes.get_xaxis_transform(), va="top", fontsize=6.5)
    axes.set_xlabel("eigenvalue (nats/weight²)")
    axes.set_ylabel("number of larger eigenvalues")


def _draw_radii(axes: Axes, store: xr.Dataset, name: str, means: Callable, intervals: Intervals) -> None:
    positions = style.value_axis(axes, store["radius_factor"].values.tolist())
    values = store[name].transpose("radius", "point").values
    style.dots(axes, positions, values, style.NEUTRAL, spread=4.0, s=3)
    ends = means(values, intervals)
    style.intervals(axes, positions, *(ends.clip(0, 1) if name == "positive" else ends), style.NEUTRAL)
    axes.axvline(1, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=0)


def _legend(figure: Figure, density: xr.Dataset, radii: xr.Dataset, intervals: Intervals) -> None:
    limit, points = density.attrs["short_eigenvalue"], radii.sizes["point"]
    handles = [
        Line2D([], [], color=style.NEUTRAL, linewidth=0.8, label=f"each of {density.sizes['seed']} optima"),
        *(
            Line2D(
                [], [], color=style.DIRECTIONS[kind], marker="|", linestyle="none",
                label=f"one of the {density.sizes['rank']} largest eigenvalues, {sign} {limit:g}",
            )
            for kind, sign in (("short", ">"), ("long", "≤"))
            if bool(((density["eigenvalue"] > limit) == (kind == "short")).any())
        ),
        Line2D([], [], color=style.NEUTRAL, linewidth=0.8, linestyle="-.", label="not resolved by quadrature"),
        Line2D([], [], color=style.FAINT, linewidth=4, alpha=0.4, label="what quadrature allows, ± 2 standard errors"),
        Line2D([], [], color=style.NEUTRAL, marker=".", linestyle="none", label=f"each of {points} random points"),
        Line2D(
            [], [], color=style.NEUTRAL, marker="D", markersize=3, label=f"mean, {intervals.confidence:.0%} interval",
        ),
        Line2D([], [], color=style.FAINT, linewidth=0.8, linestyle="--", label="norm of the initialisation"),
        Line2D([], [], color=style.PLACES["optima"], linewidth=0.8, linestyle=":", label="norm of the optima"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
