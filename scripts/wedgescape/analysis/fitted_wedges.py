"""One toy wedge for all that is measured of a network, fitted by several routes (docs/science.md, Fitted wedges).

A network's loss is modelled as kappa max(0, distance - eps): the distance, in weights, to a wedge with s short of D
directions, a slope kappa (nats per weight) and a thickness eps (weights). All of it is our own definition, and each
route estimates s without knowing kappa:

- cuts: on a random cut of d dimensions L^2 falls linearly in d and is zero from d = s, so that the line fitted where L
  is still large meets zero at s (`cut_line`), and so does the descents' threshold d_90, another s (`cut_threshold`);
- tunnels: the share |u_S|^2 of a random unit u in R^n that lies in short directions follows Beta(s/2, (n - s)/2). A ray
  along u from an optimum reaches any one loss at sin(phi) ~ |u_S|^-1, whatever kappa and eps and whatever rising
  function of the distance the loss is: the spread of log sin(phi) over rays gives s (`tunnel_spread`);
- random points: at radius r, L is a rising function of r |u_S|, so that the spread of log L over points, divided by
  d log L / d log r, is that of log |u_S| (`point_spread`).

Directions of a network are not all equally short. If the distance is the root of sum_i w_i x_i^2, spreads measure the
participation ratio (sum w)^2 / sum w^2: an effective number, which the shortest directions dominate. Of many wedges the
nearest counts, whose distance varies less than one wedge's: far from all optima, spreads then make s too large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from wedgescape.analysis import wedge_routes as routes
from wedgescape.landscapes import wedges
from wedgescape.landscapes.operations import Case, PlainPython, Work
from wedgescape.measurements.hyperplanes import mean_threshold, measured
from wedgescape.numerics.intervals import Interval, Intervals, ends_of
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.numerics.ranges import Leaving, largest_difference
from wedgescape.stores.zarr_stores import Variable, as_rows, described, labelled
from wedgescape.study.places import AtBase, AtSetting

ROUTES = ("cut_line", "cut_threshold", "tunnel_spread", "point_spread")
# What is predicted: name -> (its axis, what the axis is, units).
QUANTITIES = {
    "cut": ("dimension", "dimensions of a random cut", "1"),
    "ray": ("angle", "angle from the optimum along a random ray", "radian"),
    "random": ("radius", "distance of a random point from the origin", "weights"),
    "radial": ("scale", "length of the weights over the optimum's", "1"),
    "line": ("alpha", "place on the straight line between two optima", "1"),
    "centroid": ("size", "number of optima", "1"),
}
LEVELS = {
    "level_cut": ("level", "cuts that reach a training loss"),
    "level_ray": ("level", "rays that reach a training loss"),
    "level_random": ("radius", "random points at a radius"),
}
ENDS = {"estimate": "mean", "low": "lower end of its interval", "high": "upper end of its interval"}


@dataclass(frozen=True)
class Fit:
    """A wedge with a slope: what it predicts, in nats, one wedge per optimum and all optima at one radius.

    Args:
        dim: D.
        short: s, not necessarily whole.
        slope: kappa, nats per weight.
        thickness: eps, weights.
    """

    dim: int
    short: float
    slope: float
    thickness: float = 0.0

    def loss(self, distance) -> np.ndarray:
        """Return kappa max(0, distance - eps); 0 where the distance is 0."""
        return self.slope * np.maximum(0.0, np.asarray(distance) - self.thickness)

    def at_random(self, radius) -> np.ndarray:
        """Loss of a random point at a radius."""
        return self.loss(wedges.random_loss(radius, self.short, self.dim))

    def on_cuts(self, radius: float, cut) -> np.ndarray:
        """Lowest loss on a random cut of `cut` dimensions through a random point at a radius."""
        return self.loss(wedges.cut_loss(radius, self.short, cut, self.dim))

    def on_rays(self, radius: float, angle) -> np.ndarray:
        """Loss at an angle along a random ray from an optimum."""
        return self.loss(np.sin(angle) * wedges.random_loss(radius, self.short, self.dim))

    def on_lines(self, radius: float, alpha) -> np.ndarray:
        """Loss on the line between two optima: the nearer one's wedge is r sqrt(s/D) min(alpha, 1 - alpha) away."""
        alpha = np.asarray(alpha)
        return self.loss(np.minimum(alpha, 1 - alpha) * wedges.random_loss(radius, self.short, self.dim))

    def at_centroids(self, radius: float, size) -> np.ndarray:
        """Loss at the linear centroid of m optima: of their sum over m, m - 1 parts leave any one wedge."""
        size = np.asarray(size)
        return self.loss(np.sqrt(size - 1) / size * wedges.random_loss(radius, self.short, self.dim))

    def largest_connector(self) -> float:
        """Return the largest m with a connector; nan without a fit."""
        return float(wedges.largest_connector(self.short, self.dim)) if np.isfinite(self.short) else np.nan


# All of it, for one network.


@dataclass(frozen=True)
class Measured:
    """The arrays that are fitted, without seeds that diverged (nan).

    Args:
        dim: D.
        radius: mean norm of the optima, weights.
        start_radius: mean norm of the points that the cuts go through.
        dimensions: (d,) of the cuts.
        cuts: (d, K) lowest losses on them.
        thresholds: (K,) d_90 of seeds.
        threshold: their mean with its interval; nan where a seed never reached its own.
        crossings: (K, U) angles at which rays reach the loss threshold.
        crossing_error: half a bracket of those.
        angles: (A,), radians.
        rays: (K, U, A) losses at them.
        radii: (R,) of random points.
        randoms: (R, N) losses there.
    """

    dim: int
    radius: float
    start_radius: float
    dimensions: np.ndarray
    cuts: np.ndarray
    thresholds: np.ndarray
    threshold: Interval
    crossings: np.ndarray
    crossing_error: float
    angles: np.ndarray
    rays: np.ndarray
    radii: np.ndarray
    randoms: np.ndarray


def take(
    tunnels: xr.Dataset, hyperplanes: xr.Dataset, radii: xr.Dataset, start_radii, intervals: Intervals
) -> Measured:
    """Return what is fitted, from the stores of `measure`."""
    radii = radii.sortby("radius")
    tunnels = tunnels.where(fit(tunnels))
    tunnels = tunnels.isel(angle=slice(None, -1, tunnels.attrs["steps"]))  # where all rays were looked at
    kept = fit(hyperplanes)
    cuts = hyperplanes["loss"].sel(split="train", dimension=measured(hyperplanes)).where(kept)
    return Measured(
        dim=int(hyperplanes.attrs["parameters"]),
        radius=float(tunnels["radius"].mean()),
        start_radius=_mean(start_radii),
        dimensions=cuts["dimension"].values,
        cuts=cuts.transpose("dimension", "seed").values,
        thresholds=hyperplanes["threshold"].where(kept).values,
        threshold=mean_threshold(hyperplanes, intervals),
        crossings=tunnels["width_loss"].transpose("seed", "direction").values,
        crossing_error=float(tunnels.attrs["angle_error"]),
        angles=tunnels["angle"].values,
        rays=tunnels["loss"].transpose("seed", "direction", "angle").values,
        radii=radii["radius"].values,
        randoms=radii["loss"].transpose("radius", "point").values,
    )


@dataclass(frozen=True)
class Short:
    """What a route says about s.

    Args:
        whole: s from all units, with its interval.
        seeds: (K,), each seed's own; none by random points, which belong to no seed.
        without: (K,) or (N,), s from all units but each seed, or each random point.
    """

    whole: Interval
    seeds: np.ndarray
    without: np.ndarray


def short_directions(taken: Measured, intervals: Intervals) -> dict[str, Short]:
    """Return s by every route; at most D."""
    dim, across = taken.dim, taken.dim - 1  # rays are orthogonal to their optimum
    # Cuts on which the loss hardly falls would make s more than D.
    lines = np.minimum(routes.cut_line(taken.dimensions, taken.cuts)[0], dim)
    variances = routes.ray_variances(taken.crossings, taken.crossing_error)
    squares = _point_squares(taken, taken.randoms)
    thresholds = taken.thresholds if np.isfinite(taken.threshold.estimate) else np.full(len(taken.thresholds), np.nan)
    points = taken.randoms.shape[1]  # of fewer than two left, there is no spread
    spreads = [_point_squares(taken, part).mean() if points > 2 else np.nan for part in _leave_one_out(taken.randoms.T)]
    return {
        "cut_line": Short(intervals.mean(lines), lines, routes.means_without(lines)),
        "cut_threshold": Short(taken.threshold, taken.thresholds, np.exp(routes.means_without(np.log(thresholds)))),
        "tunnel_spread": Short(
            routes.short_interval(intervals.mean(variances), across),
            np.array([routes.short_of(variance, across) for variance in variances]),
            np.array([routes.short_of(variance, across) for variance in routes.means_without(variances)]),
        ),
        "point_spread": Short(
            routes.short_interval(routes.variance_interval(squares, intervals.confidence), dim),
            np.empty(0),
            np.array([routes.short_of(spread, dim) if np.isfinite(spread) else np.nan for spread in spreads]),
        ),
    }


def _point_squares(taken: Measured, losses: np.ndarray) -> np.ndarray:
    """Return what averages to the variance of log |u_S| over random points as far out as the optima: (N,)."""
    return routes.at_radius(taken.radii, routes.point_squares(taken.radii, losses), taken.radius)


def _leave_one_out(values: np.ndarray) -> list[np.ndarray]:
    """Return values (N, R) without each of the N in turn, transposed: N arrays (R, N - 1)."""
    return [np.delete(values, place, axis=0).T for place in range(len(values))]


def wedge_fits(taken: Measured, shorts: dict[str, float]) -> dict[str, Fit]:
    """Return the wedge of every route, with the slope that makes it equal to the route's own losses.

    Those are L_0 of the cuts, the line fitted along rays, and the loss of random points as far out as the optima. Along
    rays alone a thickness shows: the loss stays zero up to an onset. Elsewhere it is taken as zero.
    """
    start = _mean(routes.cut_line(taken.dimensions, taken.cuts)[1]) / taken.start_radius
    rise, kink = (_mean(column) for column in onsets(taken).T)
    out = np.exp(routes.at_radius(taken.radii, np.log(taken.randoms.mean(1)), taken.radius)) / taken.radius
    steepness = {"cut_line": start, "cut_threshold": start, "tunnel_spread": rise / taken.radius, "point_spread": out}
    fits = {}
    for route, short in shorts.items():
        slope = float(steepness[route]) / np.sqrt(short / taken.dim)
        fits[route] = Fit(taken.dim, short, slope, float(kink) / slope if route == "tunnel_spread" else 0.0)
    return fits


def onsets(taken: Measured) -> np.ndarray:
    """Return kappa r sqrt(s/D) and kappa eps (seed, 2) from the loss along rays, averaged over them."""
    sines = np.sin(taken.angles)
    return np.array([routes.hinge(sines, row) for row in taken.rays.mean(1)])


def found_connector(connectors: xr.Dataset, threshold: float) -> int:
    """Return the largest m whose connectors have a mean training loss of at most a threshold at the centre; else 0."""
    centres = connectors["loss"].sel(place="centre", split="train").mean("set").values
    found = connectors["size"].values[centres <= threshold]
    return int(found.max()) if len(found) else 0


def misfit(observed, predicted) -> np.ndarray:
    """Return the root mean square of predictions (route, x) less what was observed (x,), over that of the latter."""
    return np.sqrt(((predicted - observed) ** 2).mean(-1) / (np.asarray(observed) ** 2).mean())


VARIABLES = {
    "fraction": Variable(("route",), "short fraction s / D", "1"),
    "fraction_low": Variable(("route",), "lower end of its interval", "1"),
    "fraction_high": Variable(("route",), "upper end of its interval", "1"),
    "fraction_seed": Variable(("route", "seed"), "s / D of one seed", "1"),
    "fraction_without": Variable(("route", "seed"), "s / D from all seeds but this one", "1"),
    "fraction_without_point": Variable(("point",), "s / D by point_spread from all points but this one", "1"),
    "slope": Variable(("route",), "kappa", "nat/weight"),
    "thickness": Variable(("route",), "eps; 0 where a route tells nothing of it", "weights"),
    "onset": Variable(("seed",), "sin(phi) where the loss along rays sets in", "1"),
    "largest_predicted": Variable(("route",), "largest m with a connector, by each fit", "1"),
    "ray_deviation": Variable(("seed", "direction"), "log |u_S| of a ray less its optimum's mean", "1"),
    "point_deviation": Variable(
        ("point",), "log |u_S| of random points as far out as the optima, less their mean", "1"
    ),
    **{
        f"{name}_{end}": Variable((axis,), f"measured training loss, {name}: {text}", "nat")
        for name, (axis, _text, _units) in QUANTITIES.items()
        for end, text in ENDS.items()
    },
    **{
        f"{name}_predicted": Variable(("route", axis), f"loss by each fit, {name}", "nat")
        for name, (axis, _text, _units) in QUANTITIES.items()
    },
    "misfit": Variable(
        ("route", "quantity"),
        "root mean square of prediction less measurement, over that of the measurement; 1: as bad as zero everywhere",
        "1",
    ),
    **{
        f"{name}_{end}": Variable((axis,), f"s / D by {of}: {text}", "1")
        for name, (axis, of) in LEVELS.items()
        for end, text in ENDS.items()
    },
    "diverged": Variable(("seed",), "the run diverged"),
}
MEMORY = 2000  # MB
MINUTES = 10


def measure(
    tunnels: AtSetting,
    hyperplanes: AtSetting,
    spectrum: AtSetting,
    profiles: AtSetting,
    connectors: AtSetting,
    training: AtSetting,
    intervals: Intervals = Intervals(),
) -> xr.Dataset:
    """Fit wedges to the measurements of one setting by every route, and predict all of them with each fit.

    Nothing is shared between routes but D and the radius of the optima.

    Args:
        tunnels: of that setting.
        hyperplanes: the same; its cuts go through the initialisations.
        spectrum: of which the part `radii` has losses at random points.
        profiles: of the same setting.
        connectors: the same.
        training: which has the norms of the initialisations.
        intervals: over seeds; over points for random points, by the distribution that a wedge has.

    Returns:
        A dataset over `route` with s / D, its interval and each seed's; per quantity of `QUANTITIES` what was measured
        and what each route's fit predicts; and s / D again at other losses.
    """
    start_radii = training["norm"].isel(epoch=0).sel(seed=hyperplanes["seed"]).values
    taken = take(tunnels, hyperplanes, spectrum["radii"], start_radii, intervals)
    shorts = short_directions(taken, intervals)
    fits = wedge_fits(taken, {route: short.whole.estimate for route, short in shorts.items()})
    seeds = {"tunnel_spread": tunnels["seed"].values, "point_spread": np.empty(0, int)}

    def over_seeds(name: str) -> np.ndarray:
        """Return one of a `Short`'s arrays (route, seed), nan where a route says nothing of a seed."""
        rows = []
        for route, short in shorts.items():
            known = seeds.get(route, hyperplanes["seed"].values)
            values = getattr(short, name)[: len(known)]
            rows.append(xr.DataArray(values, {"seed": known}, ("seed",)).reindex(seed=tunnels["seed"].values))
        return np.stack(rows)

    along = np.array([[ends_of(short.whole)[end] for end in ENDS] for short in shorts.values()]) / taken.dim
    kinks = onsets(taken)
    deviations = routes.point_deviations(taken.radii, taken.randoms)
    values = {
        "fraction": along[:, 0],
        "fraction_low": along[:, 1],
        "fraction_high": along[:, 2],
        "fraction_seed": over_seeds("seeds") / taken.dim,
        "fraction_without": over_seeds("without") / taken.dim,
        "fraction_without_point": shorts["point_spread"].without / taken.dim,
        "slope": [wedge.slope for wedge in fits.values()],
        "thickness": [wedge.thickness for wedge in fits.values()],
        "onset": kinks[:, 1] / kinks[:, 0],
        "largest_predicted": [wedge.largest_connector() for wedge in fits.values()],
        "ray_deviation": routes.ray_deviations(taken.crossings),
        "point_deviation": routes.at_radius(taken.radii, deviations, taken.radius),
        **_predictions(taken, fits, profiles, connectors, intervals),
        **_levels(taken, intervals),
        "diverged": tunnels["diverged"].values.astype(bool),
    }
    coordinates = {
        "route": list(ROUTES),
        "seed": tunnels["seed"].values,
        "direction": tunnels["direction"].values,
        "quantity": list(QUANTITIES),
        "level": described(("level",), list(routes.LEVELS), "training loss at which s is estimated again", "nat"),
    }
    outwards = _outwards(profiles)[1]
    places = (taken.dimensions, taken.angles, taken.radii, outwards, profiles["alpha"], connectors["size"])
    for (axis, text, units), place in zip(QUANTITIES.values(), places, strict=True):
        coordinates[axis] = described((axis,), place, text, units)
    threshold = float(tunnels["loss_threshold"].mean())
    attributes = {
        "parameters": taken.dim,
        "optima_radius": taken.radius,
        "start_radius": taken.start_radius,
        "loss_threshold": threshold,
        "score_fraction": float(hyperplanes.attrs["score_fraction"]),
        "largest_found": found_connector(connectors, threshold),
        "largest_tried": int(connectors["size"].max()),
    }
    return labelled(VARIABLES, values, coordinates, attributes)


def _predictions(taken: Measured, fits: dict[str, Fit], profiles, connectors, intervals: Intervals) -> dict:
    """Return what was measured of every quantity, what each fit predicts, and the misfit of both."""
    kept, scale = _outwards(profiles)
    train = profiles.sel(split="train")
    start, radius = taken.start_radius, taken.radius
    sizes = connectors["size"].values
    lines, members = np.full((train.sizes["alpha"], 1), np.nan), None  # one optimum alone has no line to another
    if "pair_loss" in train:
        lines, members = train["pair_loss"].transpose("alpha", "pair").values, train["members"].values
    # name -> (measured (x, n), a fit's prediction (x,))
    cases: dict[str, tuple[np.ndarray, Callable[[Fit], np.ndarray]]] = {
        "cut": (taken.cuts, lambda wedge: wedge.on_cuts(start, taken.dimensions)),
        "ray": (taken.rays.mean(1).T, lambda wedge: wedge.on_rays(radius, taken.angles)),
        "random": (taken.randoms, lambda wedge: wedge.at_random(taken.radii)),
        # A wedge is a cone and an optimum lies on it.
        "radial": (
            train["loss"].sel(direction="radial").transpose("step", "seed").values[kept],
            lambda wedge: wedge.loss(np.zeros(len(scale))),
        ),
        "line": (
            lines,
            lambda wedge: wedge.on_lines(radius, train["alpha"].values),
        ),
        "centroid": (
            connectors["loss"].sel(place="centroid", split="train").transpose("size", "set").values,
            lambda wedge: wedge.at_centroids(radius, sizes),
        ),
    }
    found, misfits = {}, []
    for name, (values, predict) in cases.items():
        of_pairs = name == "line" and members is not None
        seen = [intervals.pairs(row, members) if of_pairs else intervals.mean(row) for row in values]
        found |= {f"{name}_{end}": [ends_of(interval)[end] for interval in seen] for end in ENDS}
        found[f"{name}_predicted"] = np.stack([predict(wedge) for wedge in fits.values()])
        misfits.append(misfit(np.asarray(found[f"{name}_estimate"]), found[f"{name}_predicted"]))
    return found | {"misfit": np.stack(misfits, 1)}


def _levels(taken: Measured, intervals: Intervals) -> dict:
    """Return s / D where losses are higher or lower: on a wedge it would be the same."""
    cuts = routes.cut_levels(taken.dimensions, taken.cuts)
    rays = routes.ray_levels(taken.angles, taken.rays)
    points = routes.point_squares(taken.radii, taken.randoms)
    variances = [routes.variance_interval(row, intervals.confidence) for row in points]
    found = {
        "level_cut": [intervals.mean(row) for row in cuts],
        "level_ray": [routes.short_interval(intervals.mean(row), taken.dim - 1) for row in rays],
        "level_random": [routes.short_interval(variance, taken.dim) for variance in variances],
    }
    return {
        f"{name}_{end}": np.array([ends_of(interval)[end] for interval in row]) / taken.dim
        for name, row in found.items()
        for end in ENDS
    }


def _outwards(profiles: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Which steps of the radial profile keep the sign of the weights, and their lengths over the optimum's."""
    scale = 1 + profiles["t"].values
    return scale > 0, scale[scale > 0]


def _mean(values) -> float:
    """Mean of what is finite; nan of nothing."""
    return Intervals(resamples=1).mean(values).estimate


def work(case: Case) -> Work:
    """Count part of a start: the fits take no networks."""
    return Work({PlainPython(): 0.6})


SENTENCES = {
    "cut_line": "the loss on random cuts",
    "cut_threshold": "the threshold on random cuts",
    "tunnel_spread": "the spread of tunnels' widths",
    "point_spread": "the spread of random points' losses",
}


CLAIMS = (
    "short_hessian",
    "short_agreement",
)


def claims(spectrum: AtBase, fitted_wedges: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate the share of short directions of the Hessian, and by how much the routes to a wedge's share differ.

    The routes differ by the largest of all differences between two of them, in decades; which two that is was not
    chosen beforehand, and the interval allows for it (`ranges.largest_difference`). A route without an estimate, such
    as that of a threshold which a seed never reached, is left out.
    """
    density = spectrum["density"]
    kept = density.isel(seed=fit(density).values)
    share, least, most = (
        # Fewer than one short direction counts as one: none at all has no logarithm.
        intervals.mean(np.log10(np.maximum(kept[f"short_directions{end}"], 1) / density.attrs["parameters"]))
        for end in ("", "_low", "_high")
    )
    other = {"the least that quadrature allows": least, "the most that quadrature allows": most}
    quantity = "log10(share of eigenvalues above the threshold)"
    yield Claim("short_hessian", quantity, share, left_out=left_out(density), specifications=other)
    found = logarithms(fitted_wedges)
    if len(found) > 1:
        quantity = f"largest |log10(s / s)| between two of {len(found)} routes"
        lost = left_out(fitted_wedges)
        yield Claim("short_agreement", quantity, largest_difference(found, intervals), left_out=lost)


def logarithms(store: xr.Dataset) -> dict[str, Leaving]:
    """Return log10 of s by each route that has an estimate, and what it is without each seed or random point."""
    found = {}
    for route in store["route"].values.tolist():
        part = store.sel(route=route)
        without, units = part["fraction_without"].values, part["seed"].values.tolist()
        if route == "point_spread":
            without = store["fraction_without_point"].values
            units = [f"point {place}" for place in range(len(without))]
        one = Leaving(float(np.log10(part["fraction"])), np.log10(without), units)
        if np.isfinite(one.estimate) and one.count > 1:
            found[route] = one
    return found


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row per observation.

    `quantity` is `fraction` (s / D by a route, with interval; one row per seed too), one of `QUANTITIES` (measured with
    interval, and by each route's fit), `largest_connector`, or one of `LEVELS`.
    """
    parts = [as_rows(store[["fraction", "fraction_low", "fraction_high"]], ("route",),
                     ("fraction", "fraction_low", "fraction_high")).set_axis(
                         ["route", "estimate", "low", "high"], axis=1).assign(quantity="fraction")]  # fmt: skip
    parts.append(
        as_rows(store[["fraction_seed"]], ("route", "seed"), ("fraction_seed",))
        .rename(columns={"fraction_seed": "estimate"})
        .dropna(subset="estimate")
        .assign(quantity="fraction")
    )
    for name, (axis, _text, _units) in QUANTITIES.items():
        columns = [f"{name}_{end}" for end in (*ENDS, "predicted")]
        part = as_rows(store[columns], ("route", axis), columns)
        parts.append(part.set_axis(["route", "x", *ENDS, "predicted"], axis=1).assign(quantity=name))
    for name, (axis, _text) in LEVELS.items():
        columns = [f"{name}_{end}" for end in ENDS]
        parts.append(as_rows(store[columns], (axis,), columns).set_axis(["x", *ENDS], axis=1).assign(quantity=name))
    largest = as_rows(store[["largest_predicted"]], ("route",), ("largest_predicted",))
    largest = largest.rename(columns={"largest_predicted": "predicted"})
    parts.append(largest.assign(quantity="largest_connector", estimate=store.attrs["largest_found"]))
    table = pd.concat(parts, ignore_index=True)
    return table[["quantity", "route", "seed", "x", "estimate", "low", "high", "predicted"]]
