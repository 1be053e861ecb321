"""Radial tunnels: how wide, as an angle, the low-loss region around an optimum is (docs/science.md, Tunnels)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.operations import Case, Work, evaluations
from wedgescape.landscapes.spans import gaussian, unit
from wedgescape.numerics.counted import counted
from wedgescape.numerics.crossings import first_crossing, halvings
from wedgescape.numerics.intervals import Estimate, Intervals, ends_of
from wedgescape.numerics.judging import Claim, change_over, fit, in_order, left_out
from wedgescape.stores.zarr_stores import Variable, as_rows, described, labelled
from wedgescape.study.places import AlongMatchedSweeps, AlongSweeps, AtBase, BaseSetting
from wedgescape.study.sections import Count, Fraction, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """Angular width of the tunnel around an optimum."""

    directions: Count = key(8, "Random directions per optimum.", smoke=2)
    steps: Count = key(
        3,
        "Steps into which each bracket of 10 degrees is divided, if a ray leaves there by any definition.",
        smoke=2,
    )
    score_fraction: Fraction = key(
        0.9,
        "The tunnel ends where the training score falls below this fraction of the optimum's.",
    )
    loss_fraction: Fraction = key(
        0.25,
        "By the second definition, it ends where the training loss has risen by this fraction of the way from the "
        "optimum's to chance, ln(classes).",
    )
    angle_error: float = key(0.25, "Largest error of the crossing's angle, in degrees.", gt=0, le=45, smoke=2.0)


COARSE_ANGLES = 10  # 0, 10, … 90 degrees, at which every ray is looked at
POINTS_AT_ONCE = 64


@dataclass(frozen=True)
class Width:
    """Where rays leave a tunnel.

    Args:
        angle: (K, U) radians, the middle of the bracket; pi/2 where a ray never leaves, nan where the optimum is nan.
        error: half the bracket, radians, the same for all that leave.
        open: (K, U) bool, rays that stay inside up to pi/2.
    """

    angle: Tensor
    error: float
    open: Tensor


@dataclass(frozen=True)
class Profile:
    """What rays meet on their way.

    Args:
        angles: (A,) radians, float64, from 0 to pi/2.
        values: name -> (K, U, A), on the CPU; nan between two coarse angles between which a ray does not leave.
    """

    angles: Tensor
    values: dict[str, Tensor]


def tangents(optima: Tensor, count: int, seeds) -> Tensor:
    """Return random unit vectors (K, U, P) orthogonal to each optimum (K, P), drawn from K seeds."""
    draws = torch.stack([gaussian(count, optima.shape[1], "tangents", seed) for seed in seeds]).to(optima)
    radial = unit(optima)[:, None]
    for _ in range(2):  # twice, so that rounding leaves nothing radial
        draws = draws - (draws * radial).sum(-1, keepdim=True) * radial
    return unit(draws)


def rotate(optima: Tensor, directions: Tensor, angles: Tensor) -> Tensor:
    """Return r (cos(phi) theta/|theta| + sin(phi) u): (K, P), (K, P), (K,) radians -> (K, P)."""
    radius = optima.norm(dim=-1, keepdim=True)
    return angles.cos()[:, None] * optima + angles.sin()[:, None] * radius * directions


def coarse_angles(steps: int = 1) -> Tensor:
    """Return the angles at which every ray is looked at, radians; the brackets between them divided into steps."""
    return torch.linspace(0, math.pi / 2, steps * (COARSE_ANGLES - 1) + 1, dtype=torch.float64)


Inside = Callable[[dict[str, Tensor], dict[str, Tensor]], Tensor]  # (values at points, at their optima) -> (n,) bool


def ray_profile(
    landscape: Landscape, optima: Tensor, directions: Tensor, steps: int = 1, ends: Sequence[Inside] = ()
) -> Profile:
    """Evaluate rays at the coarse angles, and more closely where they leave by any of some definitions.

    At a right angle only rays are looked at that have not left by all of them before.

    A ray lies in a plane, so a network of linear layers computes its first layer twice for all angles.

    Args:
        landscape: in R^P.
        optima: (K, P).
        directions: (K, U, P), as `angular_width` takes them.
        steps: into which the bracket of a first crossing is divided.
        ends: the definitions.
    """
    angles, (count, rays) = coarse_angles(steps), directions.shape[:2]
    at_rest = {name: one.cpu() for name, one in landscape.evaluate(optima).items()}
    values = {name: one.new_full((count, rays, len(angles)), math.nan) for name, one in at_rest.items()}
    turns = torch.stack([angles.cos(), angles.sin()], 1).to(optima)
    for k, u in counted([*itertools.product(range(count), range(rays))], "ray"):
        vectors = torch.stack([optima[k], optima[k].norm() * directions[k, u]])
        seen, reference = {name: one[k, u] for name, one in values.items()}, {n: one[k] for n, one in at_rest.items()}
        for name, one in at_rest.items():
            seen[name][0] = one[k]

        def look(places: Tensor, vectors=vectors, seen=seen) -> None:
            for name, found in landscape.evaluate_combinations(vectors, turns[places.to(turns.device)]).items():
                seen[name][places] = found.cpu()

        def exits(seen=seen, reference=reference) -> list[Tensor]:
            coarse = {name: one[::steps] for name, one in seen.items()}
            return [~inside(coarse, reference) for inside in ends]

        look(torch.arange(steps, len(angles) - 1, steps))
        if not all(is_outside[:-1].any() for is_outside in exits()) or not ends:
            look(torch.tensor([len(angles) - 1]))
        firsts = {int(is_outside.int().argmax()) for is_outside in exits() if is_outside.any()} - {0}
        between = [steps * (first - 1) + step for first in sorted(firsts) for step in range(1, steps)]
        if between:
            look(torch.tensor(between))
    return Profile(angles, values)


def held(values: np.ndarray) -> np.ndarray:
    """Return values (…, A) whose gaps hold what was seen before."""
    place = np.where(np.isfinite(values), np.arange(values.shape[-1]), 0)
    return np.take_along_axis(values, np.maximum.accumulate(place, -1), -1)


def angular_width(
    landscape: Landscape,
    optima: Tensor,
    directions: Tensor,
    inside: Inside,
    error: float = math.radians(0.25),
    profile: Profile | None = None,
) -> Width:
    """Measure the angular width of tunnels (our definition).

    At an optimum theta of radius r, along theta(phi) = r (cos(phi) theta/|theta| + sin(phi) u), phi in [0, pi/2]: the
    smallest phi at which `inside` no longer holds. It is bracketed on 10 equal angles, or on those of the profile, then
    bisected.

    Args:
        landscape: in R^P, a network's or a toy one.
        optima: (K, P).
        directions: (K, U, P), u of each ray, unit vectors orthogonal to the optimum (`tangents`).
        inside: (values at points, values at their optima), each as `Landscape.evaluate` returns them, -> (n,) bool.
        error: half of the bracket that is good enough, radians.
        profile: of the same rays, where it is known already (`ray_profile`).

    Returns:
        A `Width` over (K, U).
    """
    count, rays = directions.shape[:2]
    reference = landscape.evaluate(optima)
    on_grid, grid = None, coarse_angles()
    if profile is not None:
        grid = profile.angles
        seen = {name: torch.from_numpy(held(values.numpy()))[:, :, 1:] for name, values in profile.values.items()}
        optimum = {name: value.cpu()[:, None, None] for name, value in reference.items()}
        on_grid = inside(seen, optimum).reshape(count * rays, -1)

    def holds(which: Tensor, angles: Tensor) -> Tensor:
        """Rays are built a few at a time, to spare memory."""
        found = []
        for some in torch.arange(len(which)).split(POINTS_AT_ONCE):
            k, u = which[some] // rays, which[some] % rays
            values = landscape.evaluate(rotate(optima[k], directions[k, u], angles[some].to(optima)))
            found.append(inside(values, {name: value[k] for name, value in reference.items()}).cpu())
        return torch.cat(found)

    halve = halvings(float(grid[1]), error)
    crossing = first_crossing(holds, grid, count * rays, halve, on_grid)
    place, is_open = crossing.place.reshape(count, rays), crossing.open.reshape(count, rays)
    lost = ~inside(reference, reference).cpu()  # an optimum that is outside itself has no tunnel
    place[lost], is_open[lost] = 0.0, False
    place[reference["loss"].isnan().cpu()] = math.nan  # a point that diverged is no optimum
    return Width(place, float(grid[1]) / 2 ** (halve + 1), is_open)


def keeps_score(fraction: float):
    """Inside: the score is at least a fraction of the optimum's."""
    return lambda values, optimum: values["score"] >= fraction * optimum["score"]


def keeps_loss(threshold: float):
    """Inside: the loss is at most a threshold, for landscapes where there is no chance."""
    return lambda values, _optimum: values["loss"] <= threshold


def excess(loss, fraction: float, chance: float):
    """Return the loss that lies a fraction of the way from an optimum's loss to chance: L + f (chance - L)."""
    return loss + fraction * (chance - loss)


def keeps_excess(fraction: float, chance: float):
    """Inside: the loss has risen by at most a fraction of the way to chance, the second definition."""
    return lambda values, optimum: values["loss"] <= excess(optimum["loss"], fraction, chance)


# Widths from profiles


@dataclass(frozen=True)
class Definition:
    """Where a tunnel ends, as read off the profiles of rays.

    Args:
        quantity: score, which must stay above a fraction of the optimum's; or loss, which may rise by a fraction of
            the way to chance.
        fraction: of it.
    """

    quantity: str
    fraction: float

    def __str__(self) -> str:
        """What stands in tables and beside the specification curve."""
        if self.quantity == "score":
            return f"accuracy {self.fraction:.0%} of the optimum's"
        return f"{self.quantity} {self.fraction:.0%} of the way to chance"

    def inside(self, chance: float) -> Inside:
        """Return whether points are inside.

        Args:
            chance: the loss of a uniform guess.
        """
        return keeps_score(self.fraction) if self.quantity == "score" else keeps_excess(self.fraction, chance)

    def outside(self, store: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
        """Return the quantity along rays (…, angle), turned so that it falls, and the value below which it is outside.

        Args:
            store: with `loss` and `score` over angles from 0 on, and the attribute `chance_loss`.
        """
        values, at_rest = store[self.quantity], store[self.quantity].isel(angle=0, drop=True)
        if self.quantity == "score":
            return values, self.fraction * at_rest
        return -values, -excess(at_rest, self.fraction, store.attrs["chance_loss"])


DEFINITIONS = tuple(Definition("score", fraction) for fraction in (0.8, 0.9, 0.95)) + tuple(
    Definition("loss", fraction) for fraction in (0.1, 0.25, 0.5)
)


def all_ends(settings: Settings, chance: float) -> list[Inside]:
    """Return where tunnels end by any definition, those of the config among them."""
    own = (Definition("score", settings.score_fraction), Definition("loss", settings.loss_fraction))
    return [definition.inside(chance) for definition in dict.fromkeys((*own, *DEFINITIONS))]


def widths(store: xr.Dataset, definition: Definition) -> xr.DataArray:
    """Return angular widths (…, seed), degrees, averaged over rays: linear interpolation of each ray's profile.

    Args:
        store: with profiles of rays over `angle`, as `measure` returns it, perhaps over further dimensions.
        definition: of the tunnel's end.
    """
    values, edge = definition.outside(store)
    values = values.transpose(..., "angle")
    edge = edge.transpose(*values.dims[:-1])
    found = crossings(np.degrees(store["angle"].values), held(values.values), edge.values)
    return edge.copy(data=found).mean("direction")


def crossings(angles: np.ndarray, values: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Return where values (…, A) along angles (A,) first fall below an edge (…); the last angle where they never do."""
    is_outside = ~(values >= edge[..., None])
    place = np.clip(is_outside.argmax(-1), 1, None)[..., None]
    before, after = (np.take_along_axis(values, one, -1)[..., 0] for one in (place - 1, place))
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((before - edge) / (before - after), 0, 1)
    low, high = angles[place[..., 0] - 1], angles[place[..., 0]]
    found = np.where(np.isfinite(part), low + part * (high - low), (low + high) / 2)
    found = np.where(is_outside.any(-1), found, angles[-1])
    found = np.where(is_outside[..., 0], 0.0, found)  # outside by its own edge
    return np.where(np.isnan(values[..., 0]), np.nan, found)


GAPS = "where it does not leave, every 10 degrees alone"
ALONG = {
    "loss": Variable(("seed", "direction", "angle"), f"training loss along each ray; {GAPS}", "nat"),
    "score": Variable(("seed", "direction", "angle"), f"training score along each ray; {GAPS}", "1"),
}
VARIABLES = {
    "width_score": Variable(
        ("seed", "direction"), "angular width of the tunnel by the score threshold, training split", "radian"
    ),
    "width_loss": Variable(
        ("seed", "direction"), "angular width of the tunnel by the loss threshold, training split", "radian"
    ),
    "open_score": Variable(("seed", "direction"), "rays that stay inside up to pi/2 by the score threshold"),
    "open_loss": Variable(("seed", "direction"), "rays that stay inside up to pi/2 by the loss threshold"),
    "loss_threshold": Variable(("seed",), "the loss threshold", "nat"),
    "radial_cosine": Variable(("seed", "direction"), "cosine between a ray and its optimum: 0", "1"),
    **ALONG,
    "radius": Variable(("seed",), "Euclidean norm of the optimum", "weights"),
    "parameters": Variable((), "number of weights", "1"),
}
ANGLE = ("angle between a point of a ray and its optimum", "radian")


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure both angular widths of optima on the training split (`angular_width`).

    Args:
        optima: of one setting, whose landscape also evaluates score. Each seed draws its own rays.
        settings: of the measurement.

    Returns:
        A dataset over (seed, direction): both widths, and loss and score along the rays over `angle`. The widths of
        runs that diverged are nan.
    """
    points, chance = optima.points, optima.chance_loss
    rays = tangents(points, settings.directions, optima.seeds)
    profile = ray_profile(optima.landscape, points, rays, settings.steps, all_ends(settings, chance))
    values = {
        **profile.values,
        "radial_cosine": (rays * unit(points)[:, None]).sum(-1).cpu(),
        "radius": points.norm(dim=1).cpu(),
        "loss_threshold": excess(optima.landscape.losses(points).cpu(), settings.loss_fraction, chance),
        "parameters": points.shape[1],
    }
    for name, inside in zip(("score", "loss"), all_ends(settings, chance), strict=False):
        width = angular_width(optima.landscape, points, rays, inside, math.radians(settings.angle_error), profile)
        values |= {f"width_{name}": width.angle, f"open_{name}": width.open}
    coordinates = {
        "seed": optima.seeds,
        "direction": range(settings.directions),
        "angle": described(("angle",), profile.angles, *ANGLE),
    }
    attributes = {
        "angle_error": width.error,
        "score_fraction": settings.score_fraction,
        "loss_fraction": settings.loss_fraction,
        "chance_loss": chance,
        "steps": settings.steps,
        "directions": "tangents(optima, directions, seeds) regenerates the rays",
    }
    return optima.flagged(labelled(VARIABLES, values, coordinates, attributes))


def work(case: Case, settings: Settings) -> Work:
    """Count the losses at all rays' points that both widths take."""
    halve = halvings(float(coarse_angles(settings.steps)[1]), math.radians(settings.angle_error))
    points = case.seeds * settings.directions * (angles_of_ray(settings) + 2 * halve)
    return evaluations(case.model, points + 4 * case.seeds, ["train"])


def angles_of_ray(settings: Settings) -> int:
    """Return at how many angles a ray is looked at, about: definitions often share the bracket where it leaves."""
    return COARSE_ANGLES - 1 + 3 * (settings.steps - 1)


# Claims


SWEEPS = ("learning_rate", "weight_decay", "width", "dropout", "batch_size")
AS_TRAINED, BALANCED, MATCHED = "as trained", "balanced layers", "trained to one loss"
# What the widest networks of a sweep are compared with; the first that can be had is registered.
CONTROLS = {
    "duplicated": "against duplicated units",
    "idle": "against idle weights",
    "none": "dimension not controlled",
}
Read = Callable[[xr.Dataset], xr.DataArray]  # a store -> one number per network (…, seed)


CLAIMS = (
    "tunnel_learning_rate",
    "tunnel_weight_decay",
    "tunnel_width",
    "tunnel_dropout",
    "tunnel_batch_size",
)


def claims(
    tunnels: AlongSweeps,
    matched_tunnels: AlongMatchedSweeps,
    balanced: AlongSweeps,
    dimension: AtBase,
    base: BaseSetting,
    intervals: Intervals,
) -> Iterator[Claim]:
    """Estimate by how much angular width (score threshold, mean over rays) changes over each sweep of numbers.

    Of the sweep over width: by how much it is larger at the largest width than dimension alone makes it (`dimension`).
    """
    for sweep, store in in_order(tunnels, SWEEPS):
        stores = {AS_TRAINED: store, BALANCED: balanced[sweep]}
        stores |= {MATCHED: matched_tunnels[sweep]} if sweep in matched_tunnels else {}
        own = Definition("score", store.attrs["score_fraction"])
        ways: dict[str, Read] = {
            str(one): partial(widths, definition=one) for one in dict.fromkeys((own, *DEFINITIONS))
        }
        if sweep != "width":  # there, what it is compared with was not bisected
            ways[str(own)] = bisected
        yield claim_of(
            f"tunnel_{sweep}", sweep, ("the angular width", "degrees"), ways, stores, dimension, base, intervals
        )


def bisected(store: xr.Dataset) -> xr.DataArray:
    """Return angular widths (…, seed) by the score threshold, degrees: bisected, or else as `widths`."""
    if "width_score" in store:
        return store["width_score"].mean("direction") * (180 / math.pi)
    return widths(store, Definition("score", store.attrs["score_fraction"]))


def claim_of(
    rule: str,
    sweep: str,
    what: tuple[str, str],
    ways: dict[str, Read],
    stores: dict[str, xr.Dataset],
    dimension: xr.Dataset,
    base: dict,
    intervals: Intervals,
) -> Claim:
    """Return the claim of how a number changes over a sweep, with all other ways to measure it.

    Args:
        rule: its name.
        sweep: over what.
        what: changes, and its unit.
        ways: name -> how the number follows from a store; the first is registered.
        stores: name of how networks were trained or scaled -> the sweep's stores; the first is registered.
        dimension: of `measurements.dimension`.
        base: the base setting's hyperparameters.
        intervals: how they are computed.
    """
    lost, controls = left_out(next(iter(stores.values()))), [""]
    text, said = f"change of {what[0]}, {what[1]}", ""
    if sweep == "width":
        controls = [name for name in CONTROLS if has_control(dimension, name)]
        text = f"{what[0]} beyond what dimension alone makes it, {what[1]}"
    found: dict[tuple[str, str, str], Estimate] = {}
    for (way, read), (kind, store), control in itertools.product(ways.items(), stores.items(), controls):
        if control:
            found[way, kind, control] = intervals.mean(beyond_dimension(store, dimension, base, read, kind, control))
        else:
            found[way, kind, control] = change_over(store, read(store), intervals)
    first = next(iter(found))
    if sweep == "width":
        said = "; ".join(f"{CONTROLS[one]} {found[(*first[:2], one)].estimate:.3g}" for one in controls)
    others = {_label(*key): one for key, one in found.items() if key != first and one.units}
    return Claim(rule, text, found[first], {}, lost, others, said, _label(*first))


def _label(way: str, kind: str, control: str) -> str:
    """Return the name of a specification: its choices."""
    return "; ".join((way, kind, *([CONTROLS[control]] if control else ())))


def has_control(dimension: xr.Dataset, control: str) -> bool:
    """Return whether there are networks that are as large as the widest by this control alone."""
    return control == "none" or bool(np.isfinite(dimension["loss"].sel(control=control)).any())


def beyond_dimension(
    sweep: xr.Dataset, dimension: xr.Dataset, base: dict, read: Read, kind: str, control: str
) -> xr.DataArray:
    """Return by how much a number of the widest networks exceeds what dimension alone makes it (seed).

    Args:
        sweep: stores over `value`, the widths.
        dimension: of `measurements.dimension`: the base setting's networks with as many weights.
        base: the base setting's hyperparameters; where no width is larger, nothing is left.
        read: a store -> the number (…, seed).
        kind: of the networks: as trained, or balanced.
        control: one of `CONTROLS`; none compares with the base setting's networks as they are.
    """
    numbers = read(sweep).where(fit(sweep))
    values = sweep["value"].values.astype(float)
    widest = numbers.isel(value=int(values.argmax()), drop=True)
    narrow, scalings = np.flatnonzero(values == base["width"]), dimension["scaling"].values
    if values.max() <= base["width"] or (not len(narrow) if control == "none" else kind not in scalings):
        return widest.isel(seed=[])
    if control == "none":
        return widest - numbers.isel(value=int(narrow[0]), drop=True)
    alone = read(dimension).where(fit(dimension))
    return widest - alone.sel(scaling=kind, control=control, width=int(values.max()), drop=True)


# Tables


def made_alone(dimension: xr.Dataset, read: Read, sweep: xr.Dataset) -> xr.DataArray:
    """Return a number (control, value, seed) of the base setting's networks, as large as those of a sweep over width.

    Args:
        dimension: of `measurements.dimension`.
        read: a store -> the number (…, seed).
        sweep: stores over `value`, the widths; nan where a width is not larger than the base setting's.
    """
    alone = read(dimension).sel(scaling=AS_TRAINED, drop=True).where(fit(dimension)).rename(width="value")
    alone = alone.assign_coords(value=alone["value"].values.astype(float))
    found = alone.reindex(value=sweep["value"].values.astype(float), seed=sweep["seed"].values)
    return found.assign_coords(value=sweep["value"].values)


WIDTHS = ("width_score", "width_loss", "width_balanced", "width_idle", "width_duplicated", "fit")


def tidy(sweep: xr.Dataset, name: str, balanced: xr.Dataset, dimension: xr.Dataset) -> pd.DataFrame:
    """Return one row per (value, seed) of a sweep: its name, its value, widths in degrees (means over rays), `fit`.

    By both thresholds; by the score threshold also of balanced networks, and of the base setting's networks where
    more weights alone make them as large as those of a width.

    Args:
        sweep: stores of `measure` over `value`.
        name: of the sweep.
        balanced: the same of `measurements.balanced`.
        dimension: of `measurements.dimension`.
    """
    columns = sweep[["width_score", "width_loss"]].mean("direction") * (180 / math.pi)
    columns = columns.assign(width_balanced=bisected(balanced), fit=fit(sweep))
    alone = made_alone(dimension, bisected, sweep if name == "width" else sweep.isel(value=[]))
    for control in alone["control"].values.tolist():
        columns[f"width_{control}"] = alone.sel(control=control, drop=True)
    rows = as_rows(columns, ("value", "seed"), WIDTHS)
    rows.insert(0, "sweep", name)
    return rows


def summarise(table: pd.DataFrame, column: str, intervals: Intervals) -> pd.DataFrame:
    """Return one row per (sweep, value): mean over seeds whose runs are optima, with its interval."""
    rows = []
    for (sweep, value), group in table.groupby(["sweep", "value"], sort=False):
        interval = intervals.mean(group.loc[group["fit"].astype(bool), column])
        rows.append({"sweep": sweep, "value": value, **ends_of(interval), "seeds": len(group)})
    return pd.DataFrame(rows)
