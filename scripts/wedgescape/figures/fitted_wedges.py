"""Draw one wedge model fitted to a network by four routes, and what each fit predicts of all that was measured.

(a) The short fraction s/D by route, seeds as dots, mean with interval. (b) to (e) The data of the routes; (f) to (h)
what no route was fitted to. Black is measured. A fit's line is solid where the fit used the data, dashed where it
predicts. (i) s/D by the same means where the loss is higher or lower, which on a wedge would be one number.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from wedgescape.analysis.fitted_wedges import ENDS, QUANTITIES, ROUTES, logarithms, tidy
from wedgescape.analysis.wedge_routes import share_cdf
from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import left_out
from wedgescape.numerics.ranges import largest_difference
from wedgescape.study.places import AtBase

CATEGORY = "4 Geometry"
TITLE = "one wedge model fitted by several routes"

DEGREES = 180 / np.pi
MANY = 20  # points, that marks would hide
NAMES = {
    "cut_line": "cuts: line",
    "cut_threshold": "cuts: threshold",
    "tunnel_spread": "tunnels: spread over rays",
    "point_spread": "random points: spread",
}
TICKS = ("cuts:\nline", "cuts:\nthreshold", "tunnels:\nspread", "points:\nspread")
MARKS = dict(zip(ROUTES, style.MARKERS, strict=False))
# Where the two fits to cuts predict the same, their dashes take turns.
DASHES = {route: (0, (3.5, 3.5)) for route in ROUTES} | {"cut_threshold": (3.5, (3.5, 3.5))}
FITTED = {"cut": ("cut_line", "cut_threshold"), "ray": ("tunnel_spread",), "random": ("point_spread",)}


def tabulate(fitted_wedges: AtBase) -> pd.DataFrame:
    """Return one row per observation (`fitted_wedges.tidy`)."""
    return tidy(fitted_wedges)


def draw(fitted_wedges: AtBase, intervals: Intervals = Intervals()) -> Figure:
    """Draw the figure."""
    store = fitted_wedges
    figure, axes = style.panels(3, 3, style.TWO_COLUMNS, 6.6)
    places = iter(axes.flat)
    _fractions(next(places), store, intervals)
    _losses(next(places), store, "cut", "dimensions $d$ of a random cut")
    _spreads(next(places), store)
    _losses(next(places), store, "ray", "angle along a random ray (degrees)", DEGREES)
    _losses(next(places), store, "random", "distance $r$ from the origin (weights)")
    _losses(next(places), store, "radial", "scale of the optimum's weights")
    _losses(next(places), store, "line", "place between two optima")
    _losses(next(places), store, "centroid", "number $m$ of optima")
    _levels(next(places), store)
    titles = ("Short fraction", "Random cuts", "Spread of $|u_S|$", "Tunnels", "Random points", "Radial profile")
    titles += ("Straight lines", "Linear centroids", "At other losses")
    for panel, letter, text in zip(axes.flat, "abcdefghi", titles, strict=True):
        style.title(panel, letter, text, "held out" if letter in "fgh" else "")
    marks = [
        Line2D([], [], color=style.ROUTES[route], marker=MARKS[route], markersize=3.5, label=NAMES[route])
        for route in ROUTES
    ]
    marks += [Line2D([], [], color="black", marker="o", markersize=2.5, label="measured")]
    marks += [Line2D([], [], color=style.NEUTRAL, label="by a fit to these data")]
    marks += [Line2D([], [], color=style.NEUTRAL, linestyle="--", label="by a fit to other data")]
    if lost := left_out(store):
        marks += [Line2D([], [], linestyle="none", label=f"no optima, left out: {lost}")]
    figure.legend(handles=marks, loc="outside upper center", ncols=4, columnspacing=1.4)
    style.thin_labels(figure)
    return figure


def _fractions(axes: Axes, store: xr.Dataset, intervals: Intervals) -> None:
    places = style.value_axis(axes, TICKS)
    axes.set_yscale("log")
    for place, route in zip(places, ROUTES, strict=True):
        part = store.sel(route=route)
        style.dots(axes, [place], part["fraction_seed"].values[None], style.ROUTES[route], spread=9)
        found = [[float(part[name])] for name in ("fraction", "fraction_low", "fraction_high")]
        style.intervals(axes, [place], *found, style.ROUTES[route], marker=MARKS[route], markersize=4)
    axes.tick_params(axis="x", labelsize=6)
    axes.set_ylabel("$s\\,/\\,D$")
    found = logarithms(store)
    if len(found) > 1:
        factor = largest_difference(found, intervals)
        ends = " to ".join(f"{10**end:.2g}" for end in (factor.low, factor.high))
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.25)
        _note(axes, f"largest over smallest:\n{10**factor.estimate:.2g} ({ends})")
    if np.isfinite(store["fraction"]).any():
        style.log_axis(axes)


def _losses(axes: Axes, store: xr.Dataset, name: str, label: str, unit: float = 1.0) -> None:
    """Draw one quantity: measured, and by every fit."""
    x = unit * store[QUANTITIES[name][0]].values
    mean, low, high = (store[f"{name}_{end}"].values for end in ENDS)
    mark = {"marker": "o", "markersize": 2.5} if len(x) < MANY else {}
    style.band(axes, x, mean, low, high, "black", linewidth=1.0, zorder=3, **mark)
    for route in ROUTES[:1] if name == "radial" else ROUTES:  # there all are one line
        own = route in FITTED.get(name, ())
        axes.plot(
            x,
            store[f"{name}_predicted"].sel(route=route),
            color=style.NEUTRAL if name == "radial" else style.ROUTES[route],
            linestyle="-" if own else DASHES[route],
            linewidth=1.4 if own else 1.0,
            zorder=2.5 if own else 2,
        )
    axes.set(xlabel=label, ylabel="loss (nats)")
    if name == "cut":
        style.value_axis(axes, x)
    elif name in ("random", "radial"):
        _log_x(axes)
    elif name == "ray":
        axes.set_xticks([0, 30, 60, 90])
    elif name == "centroid":
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if name == "random":
        style.log_axis(axes)
        return
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if name == "radial":
        _note(axes, "every fit: 0, a wedge is a cone")
    if name == "centroid":
        axes.set_ylim(top=1.4 * axes.get_ylim()[1])
        predicted = store["largest_predicted"].values[np.isfinite(store["largest_predicted"].values)]
        if len(predicted):
            found, tried = store.attrs["largest_found"], store.attrs["largest_tried"]
            span = f"{predicted.min():.0f} to {predicted.max():.0f}"
            _note(axes, f"largest $m$ with a connector:\nfound {found} of {tried} tried,\npredicted {span}")


def _log_x(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(style.log_ticks(*axes.get_xlim())))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: style.number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _spreads(axes: Axes, store: xr.Dataset) -> None:
    """Draw the distributions that the two spreads are of, and the fitted ones."""
    dim = store.attrs["parameters"]
    for route, name in (("tunnel_spread", "ray_deviation"), ("point_spread", "point_deviation")):
        values = np.sort(store[name].values.ravel())
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        colour = style.ROUTES[route]
        axes.step(
            values, (np.arange(len(values)) + 0.5) / len(values), color=style.lighter(colour, 0.35), linewidth=0.8
        )
        short = dim * float(store["fraction"].sel(route=route))
        if np.isfinite(short) and short < dim:
            reach = np.linspace(-1, 1, 200) * np.abs(values).max()
            axes.plot(reach, share_cdf(reach, short, dim), color=colour, linewidth=1.4)
    axes.set(xlabel=r"$\log|u_S|$ less its mean", ylabel="fraction below", ylim=(0, 1))


def _levels(axes: Axes, store: xr.Dataset) -> None:
    """Draw s/D against the loss where it is measured."""
    for route, name in (
        ("cut_threshold", "level_cut"),
        ("tunnel_spread", "level_ray"),
        ("point_spread", "level_random"),
    ):
        x = store["random_estimate"].values if name == "level_random" else store["level"].values
        found = [store[f"{name}_{end}"].values for end in ENDS]
        if np.isfinite(found[0]).any():
            style.band(axes, x, *found, style.ROUTES[route], marker=MARKS[route], markersize=3, linewidth=1.0)
    axes.set(xlabel="loss (nats)", ylabel="$s\\,/\\,D$", yscale="log")
    _log_x(axes)
    if axes.lines:
        style.log_axis(axes)


def _note(axes: Axes, text: str) -> None:
    axes.text(0.98, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=6.5, color=style.NEUTRAL)
