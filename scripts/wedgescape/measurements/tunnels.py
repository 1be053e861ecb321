"""Radial tunnels: how wide, as an angle, the low-loss region around an optimum is (science, section 7)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.spans import gaussian, unit
from wedgescape.numerics.crossings import first_crossing, halvings
from wedgescape.numerics.intervals import bootstrap_mean
from wedgescape.stores.zarr_stores import as_rows, described

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


def measure(
    landscape: Landscape,
    optima: Tensor,
    seeds,
    directions: int,
    accuracy_fraction: float,
    loss_threshold: float,
    angle_error: float,
) -> xr.Dataset:
    """Measure both angular widths of networks' optima on the training split.

    Args:
        landscape: that also evaluates accuracy.
        optima: (K, P).
        seeds: K seeds, each of which draws its own rays.
        directions: U, rays an optimum.
        accuracy_fraction: of the optimum's accuracy, the first definition.
        loss_threshold: nats, the second.
        angle_error: degrees.

    Returns:
        A dataset over (seed, direction): both widths, and loss and accuracy along the rays over `angle`.
    """
    rays = tangents(optima, directions, seeds)
    profile = ray_profile(landscape, optima, rays)
    rules = {"accuracy": keeps_accuracy(accuracy_fraction), "loss": keeps_loss(loss_threshold)}
    variables = {}
    for name, inside in rules.items():
        width = angular_width(landscape, optima, rays, inside, math.radians(angle_error), profile)
        text = f"angular width of the tunnel by the {name} threshold, training split"
        variables[f"width_{name}"] = described(("seed", "direction"), width.angle, text, "radian")
        text = f"rays that stay inside up to pi/2 by the {name} threshold"
        variables[f"open_{name}"] = described(("seed", "direction"), width.open, text)
    normal = (rays * unit(optima)[:, None]).sum(-1)
    variables["radial_cosine"] = described(
        ("seed", "direction"), normal.cpu(), "cosine between a ray and its optimum: 0"
    )
    for name, values in profile.items():
        text, units = PROFILES[name]
        variables[name] = described(("seed", "direction", "angle"), values, text, units)
    variables["radius"] = described(("seed",), optima.norm(dim=1).cpu(), "Euclidean norm of the optimum")
    attributes = {
        "angle_error": width.error,
        "accuracy_fraction": accuracy_fraction,
        "loss_threshold": loss_threshold,
        "directions": "tangents(optima, directions, seeds) regenerates the rays",
    }
    angle = described(("angle",), coarse_angles(), "angle between a point of a ray and its optimum", "radian")
    coordinates = {"seed": list(seeds), "direction": range(directions), "angle": angle}
    return xr.Dataset(variables, coordinates, attributes)


PROFILES = {
    "loss": ("mean cross-entropy on the training split along each ray", "nat"),
    "accuracy": ("accuracy on the training split along each ray", "1"),
}


def tidy(sweep: xr.Dataset, name: str) -> pd.DataFrame:
    """Return one row a (value, seed): the sweep's name and value, and the widths in degrees, averaged over rays."""
    means = sweep[["width_accuracy", "width_loss"]].mean("direction") * (180 / math.pi)
    table = xr.merge([means, sweep[["diverged"]]], compat="override")
    rows = as_rows(table, ("value", "seed"), ("width_accuracy", "width_loss", "diverged"))
    rows.insert(0, "sweep", name)
    return rows


def summarise(table: pd.DataFrame, column: str, confidence: float, resamples: int) -> pd.DataFrame:
    """Return one row a (sweep, value): mean over seeds that did not diverge, with its bootstrap interval."""
    rows = []
    for (sweep, value), group in table.groupby(["sweep", "value"], sort=False):
        interval = bootstrap_mean(group.loc[~group["diverged"].astype(bool), column], confidence, resamples)
        rows.append({"sweep": sweep, "value": value, **vars(interval), "seeds": len(group)})
    return pd.DataFrame(rows)
