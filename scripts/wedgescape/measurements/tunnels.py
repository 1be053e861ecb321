"""Radial tunnels: how wide, as an angle, the low-loss region around an optimum is (docs/science.md, Tunnels)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.operations import Case, Work, evaluations
from wedgescape.landscapes.spans import gaussian, unit
from wedgescape.numerics.crossings import first_crossing, halvings
from wedgescape.numerics.intervals import Intervals, ends_of
from wedgescape.numerics.judging import Claim, change_over, in_order, left_out
from wedgescape.stores.zarr_stores import Variable, as_rows, described, labelled
from wedgescape.study.places import AlongSweeps
from wedgescape.study.sections import Count, Fraction, PositiveNumber, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """Angular width of the tunnel around an optimum."""

    directions: Count = key(8, "Random directions per optimum.", smoke=2)
    accuracy_fraction: Fraction = key(
        0.9,
        "The tunnel ends where the training accuracy falls below this fraction of the optimum's.",
    )
    loss_threshold: PositiveNumber = key(
        0.5,
        "By the second definition, it ends where the training loss rises above this value, in nats.",
    )
    angle_error: float = key(0.25, "Largest error of the crossing's angle, in degrees.", gt=0, le=45, smoke=2.0)


COARSE_ANGLES = 9  # 0, 11.25, … 90 degrees, among which the first crossing is bracketed
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


def coarse_angles() -> Tensor:
    """Return the angles (9,) among which a crossing is bracketed, radians."""
    return torch.linspace(0, math.pi / 2, COARSE_ANGLES, dtype=torch.float64)


def ray_profile(landscape: Landscape, optima: Tensor, directions: Tensor) -> dict[str, Tensor]:
    """Evaluate rays (K, U, P) from optima (K, P) at the coarse angles: name -> (K, U, 9), on the CPU."""
    count, rays = directions.shape[:2]
    angles = coarse_angles().to(optima)
    parts = []
    for some in torch.arange(count * rays * len(angles)).split(POINTS_AT_ONCE):
        ray, place = some // len(angles), some % len(angles)
        k, u = ray // rays, ray % rays
        values = landscape.evaluate(rotate(optima[k], directions[k, u], angles[place]))
        parts.append({name: value.cpu() for name, value in values.items()})
    return {name: torch.cat([part[name] for part in parts]).reshape(count, rays, -1) for name in parts[0]}


def angular_width(
    landscape: Landscape,
    optima: Tensor,
    directions: Tensor,
    inside: Callable[[dict[str, Tensor], dict[str, Tensor]], Tensor],
    error: float = math.radians(0.25),
    profile: dict[str, Tensor] | None = None,
) -> Width:
    """Measure the angular width of tunnels (our definition).

    At an optimum theta of radius r, along theta(phi) = r (cos(phi) theta/|theta| + sin(phi) u), phi in [0, pi/2]: the
    smallest phi at which `inside` no longer holds. It is bracketed on 9 equal angles, then bisected.

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
    on_grid = None
    if profile is not None:
        seen = {name: values[:, :, 1:] for name, values in profile.items()}
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

    grid = coarse_angles()
    halve = halvings(float(grid[1]), error)
    crossing = first_crossing(holds, grid, count * rays, halve, on_grid)
    place, is_open = crossing.place.reshape(count, rays), crossing.open.reshape(count, rays)
    lost = ~inside(reference, reference).cpu()  # an optimum that is outside itself has no tunnel
    place[lost], is_open[lost] = 0.0, False
    place[reference["loss"].isnan().cpu()] = math.nan  # a point that diverged is no optimum
    return Width(place, float(grid[1]) / 2 ** (halve + 1), is_open)


def keeps_accuracy(fraction: float):
    """Inside: the accuracy is at least a fraction of the optimum's."""
    return lambda values, optimum: values["accuracy"] >= fraction * optimum["accuracy"]


def keeps_loss(threshold: float):
    """Inside: the loss is at most a threshold (nats for networks), the second definition."""
    return lambda values, _optimum: values["loss"] <= threshold


VARIABLES = {
    "width_accuracy": Variable(
        ("seed", "direction"), "angular width of the tunnel by the accuracy threshold, training split", "radian"
    ),
    "width_loss": Variable(
        ("seed", "direction"), "angular width of the tunnel by the loss threshold, training split", "radian"
    ),
    "open_accuracy": Variable(("seed", "direction"), "rays that stay inside up to pi/2 by the accuracy threshold"),
    "open_loss": Variable(("seed", "direction"), "rays that stay inside up to pi/2 by the loss threshold"),
    "radial_cosine": Variable(("seed", "direction"), "cosine between a ray and its optimum: 0", "1"),
    "loss": Variable(("seed", "direction", "angle"), "mean cross-entropy on the training split along each ray", "nat"),
    "accuracy": Variable(("seed", "direction", "angle"), "accuracy on the training split along each ray", "1"),
    "radius": Variable(("seed",), "Euclidean norm of the optimum", "weights"),
}


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure both angular widths of optima on the training split (`angular_width`).

    Args:
        optima: of one setting, whose landscape also evaluates accuracy. Each seed draws its own rays.
        settings: of the measurement.

    Returns:
        A dataset over (seed, direction): both widths, and loss and accuracy along the rays over `angle`. The widths of
        runs that diverged are nan.
    """
    points = optima.points
    rays = tangents(points, settings.directions, optima.seeds)
    profile = ray_profile(optima.landscape, points, rays)
    values = {
        **profile,
        "radial_cosine": (rays * unit(points)[:, None]).sum(-1).cpu(),
        "radius": points.norm(dim=1).cpu(),
    }
    rules = {"accuracy": keeps_accuracy(settings.accuracy_fraction), "loss": keeps_loss(settings.loss_threshold)}
    for name, inside in rules.items():
        width = angular_width(optima.landscape, points, rays, inside, math.radians(settings.angle_error), profile)
        values |= {f"width_{name}": width.angle, f"open_{name}": width.open}
    angle = described(("angle",), coarse_angles(), "angle between a point of a ray and its optimum", "radian")
    coordinates = {"seed": optima.seeds, "direction": range(settings.directions), "angle": angle}
    attributes = {
        "angle_error": width.error,
        "accuracy_fraction": settings.accuracy_fraction,
        "loss_threshold": settings.loss_threshold,
        "directions": "tangents(optima, directions, seeds) regenerates the rays",
    }
    return optima.flagged(labelled(VARIABLES, values, coordinates, attributes))


def work(case: Case, settings: Settings) -> Work:
    """Count the losses at all rays' points that both widths take."""
    rays, grid = case.seeds * settings.directions, coarse_angles()
    halve = halvings(float(grid[1]), math.radians(settings.angle_error))
    return evaluations(case.model, rays * (len(grid) + 2 * halve) + 2 * case.seeds, ["train"])


SWEEPS = ("learning_rate", "weight_decay", "width", "dropout", "batch_size")


CLAIMS = (
    "tunnel_learning_rate",
    "tunnel_weight_decay",
    "tunnel_width",
    "tunnel_dropout",
    "tunnel_batch_size",
)


def claims(tunnels: AlongSweeps, intervals: Intervals) -> Iterator[Claim]:
    """Estimate by how much angular width (accuracy threshold, mean over rays) changes over each sweep of numbers."""
    for sweep, store in in_order(tunnels, SWEEPS):
        width = store["width_accuracy"].mean("direction") * (180 / math.pi)
        change = change_over(store, width, intervals)
        yield Claim(f"tunnel_{sweep}", "change of the angular width, degrees", change, left_out=left_out(store))


def tidy(sweep: xr.Dataset, name: str) -> pd.DataFrame:
    """Return one row per (value, seed): the sweep's name and value, and the widths in degrees, averaged over rays."""
    means = sweep[["width_accuracy", "width_loss"]].mean("direction") * (180 / math.pi)
    table = xr.merge([means, sweep[["diverged"]]], compat="override")
    rows = as_rows(table, ("value", "seed"), ("width_accuracy", "width_loss", "diverged"))
    rows.insert(0, "sweep", name)
    return rows


def summarise(table: pd.DataFrame, column: str, intervals: Intervals) -> pd.DataFrame:
    """Return one row per (sweep, value): mean over seeds that did not diverge, with its interval."""
    rows = []
    for (sweep, value), group in table.groupby(["sweep", "value"], sort=False):
        interval = intervals.mean(group.loc[~group["diverged"].astype(bool), column])
        rows.append({"sweep": sweep, "value": value, **ends_of(interval), "seeds": len(group)})
    return pd.DataFrame(rows)
