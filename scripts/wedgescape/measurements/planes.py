"""Planes: through three optima, around one, and along a trajectory (science, section 4)."""

from __future__ import annotations

import itertools

import torch
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.base import SPLITS, Landscape, Slice
from wedgescape.landscapes.lines import barrier
from wedgescape.landscapes.models import filter_normalised
from wedgescape.landscapes.spans import Span, gaussian, gram, orthonormal
from wedgescape.stores.zarr_stores import described

UNITS = {"loss": "nat", "accuracy": "1"}


def plane_through(
    landscape: Landscape, optima: Tensor, seeds, resolution: int, margin: float, profile_points: int
) -> xr.Dataset:
    """Evaluate the plane through three optima and the three segments between them (our definition).

    The axes are orthonormal in weight space: alpha along theta_2 - theta_1, beta towards theta_3; theta_1 is the
    origin. So distances in the figure are distances between weights.

    Args:
        landscape: in R^P.
        optima: (3, P).
        seeds: the three seeds.
        resolution: grid points a side.
        margin: how far the grid reaches beyond the triangle, as a fraction of the triangle's size.
        profile_points: points on each segment, ends included.

    Returns:
        loss and accuracy over (split, alpha, beta) and (split, pair, t), barriers, the optima's coordinates.

    Raises:
        InputError: if the optima lie on one line, so that no plane is theirs alone.
    """
    edges = optima[1:] - optima[:1]
    try:
        axes = orthonormal(edges)
    except ValueError as error:
        raise InputError(f"seeds {list(seeds)}: their optima lie on one line and span no plane") from error
    axes = axes * (axes * edges).sum(1).sign()[:, None]  # alpha points to theta_2, beta to theta_3's side
    plane = Slice(landscape, optima[0], Span(axes))
    corners = torch.cat([torch.zeros_like(edges[:1]), edges]) @ axes.T  # (3, 2)
    t = torch.linspace(0, 1, profile_points).to(optima)
    pairs = list(itertools.combinations(range(3), 2))
    segments = torch.cat([corners[i] + t[:, None] * (corners[j] - corners[i]) for i, j in pairs])
    along = {split: plane.evaluate(segments, split) for split in SPLITS}
    variables = {
        "optimum_alpha": described(("optimum",), corners[:, 0].cpu(), "where an optimum lies along alpha", "weights"),
        "optimum_beta": described(("optimum",), corners[:, 1].cpu(), "where an optimum lies along beta", "weights"),
    }
    for name, units in UNITS.items():
        over_lines = torch.stack([along[split][name].reshape(len(pairs), -1) for split in SPLITS])
        variables[f"profile_{name}"] = described(
            ("split", "pair", "t"), over_lines.cpu(), f"{name} along straight lines between optima", units
        )
    lines = variables["profile_loss"][1]
    variables["barrier"] = described(
        ("split", "pair"), barrier(lines), "largest excess of the loss over the line between the ends' losses", "nat"
    )
    coordinates = {
        "t": t.cpu().numpy(),
        "pair": [f"{seeds[i]}-{seeds[j]}" for i, j in pairs],
        "seed": ("optimum", list(seeds)),
    }
    sides = _sides(corners, resolution, margin)
    return _grid(landscape, optima[0], axes, sides).assign(variables).assign_coords(coordinates)


def _sides(points: Tensor, resolution: int, margin: float) -> list[Tensor]:
    """Return grid coordinates along both axes that reach beyond points (n, 2) by a fraction of their extent."""
    low, high = points.amin(0), points.amax(0)
    reach = margin * float((high - low).max())
    return [torch.linspace(float(low[i]) - reach, float(high[i]) + reach, resolution) for i in (0, 1)]


def _grid(landscape: Landscape, origin: Tensor, axes: Tensor, sides: list[Tensor]) -> xr.Dataset:
    """Evaluate origin + alpha axis_1 + beta axis_2 on a grid: loss and accuracy over (split, alpha, beta), the axes."""
    plane = Slice(landscape, origin, Span(axes))
    values = {split: plane.evaluate(torch.cartesian_prod(*sides).to(origin), split) for split in SPLITS}
    shape = (len(sides[0]), len(sides[1]))
    variables = {
        name: described(
            ("split", "alpha", "beta"),
            torch.stack([values[split][name].reshape(shape) for split in SPLITS]).cpu(),
            f"{name} over the plane",
            units,
        )
        for name, units in UNITS.items()
    }
    variables |= {
        "gram": described(("axis", "axis_"), gram(axes).cpu(), "inner products of the plane's axes: the identity"),
        "axes": described(("axis", "param"), axes.cpu(), "unit vectors along alpha and beta"),
        "origin": described(("param",), origin.cpu(), "weights at alpha = beta = 0"),
    }
    coordinates = {"split": list(SPLITS), "alpha": sides[0].numpy(), "beta": sides[1].numpy()}
    return xr.Dataset(variables, coordinates)


def locate(plane: xr.Dataset, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return where points (n, P) lie over a plane: coordinates (n, 2) and distances (n,) from it, in weights."""
    axes, origin = (torch.from_numpy(plane[name].values).to(points) for name in ("axes", "origin"))
    away = points - origin
    coordinates = away @ axes.T
    return coordinates, (away - coordinates @ axes).norm(dim=1)


def with_connector(plane: xr.Dataset, landscape: Landscape, centre: Tensor) -> xr.Dataset:
    """Return a plane through optima with the centre (P,) of their connector projected in.

    What is drawn in a plane need not lie in it: the distance from the plane is stored beside, and the loss at the
    centre itself beside the loss of the plane below it.
    """
    coordinates, distance = locate(plane, centre[None])
    losses = [float(landscape.evaluate(centre[None], split)["loss"]) for split in SPLITS]
    return plane.assign(
        connector_place=described(
            ("axis",), coordinates[0].cpu(), "where the connector's centre projects to", "weights"
        ),
        connector_distance=described(
            (), float(distance), "distance of the connector's centre from the plane", "weights"
        ),
        connector_loss=described(("split",), losses, "loss at the connector's centre", "nat"),
    )


def plane_around(
    landscape: Landscape, optimum: Tensor, layout: list[dict], seed: int, resolution: int, reach: float
) -> xr.Dataset:
    """Evaluate the plane of two filter-normalised random directions around an optimum (Li et al. 2018, our reading).

    The two directions are made orthonormal, so that a circle in the figure is a sphere's cut in weight space;
    coordinates are lengths over the optimum's norm.

    Args:
        landscape: in R^P.
        optimum: (P,).
        layout: of the flat vector (`models.layout`).
        seed: draws the directions.
        resolution: grid points a side, odd, so that the middle one is the optimum.
        reach: half a side, in units of the optimum's norm.

    Returns:
        loss and accuracy over (split, alpha, beta); the attribute `scale` holds the norm in weights.
    """
    directions = filter_normalised(gaussian(2, len(optimum), "plane", seed).to(optimum), optimum, layout)
    scale = float(optimum.norm())
    side = torch.linspace(-reach, reach, resolution)
    side[resolution // 2] = 0.0
    plane = _grid(landscape, optimum, orthonormal(directions), [side * scale, side * scale])
    coordinates = {"alpha": side.numpy(), "beta": side.numpy()}
    return plane.assign_coords(coordinates).assign_attrs(scale=scale, seed=int(seed))


def plane_along(landscape: Landscape, trajectory: Tensor, steps, resolution: int, margin: float) -> xr.Dataset:
    """Evaluate the plane of a trajectory's first two principal components, the path projected in (our definition).

    Args:
        landscape: in R^P.
        trajectory: (S, P), the last point is the origin.
        steps: the S steps.
        resolution: grid points a side.
        margin: how far the grid reaches beyond the path, as a fraction of its extent.

    Returns:
        loss and accuracy over (split, alpha, beta), the path over `step` with its distance from the plane, and the
        share of the trajectory's variance that the plane holds.

    Raises:
        InputError: if the trajectory spans no plane.
    """
    centred = (trajectory - trajectory.mean(0)).double()
    _, sizes, ways = torch.linalg.svd(centred, full_matrices=False)
    if len(sizes) < 2 or sizes[1] <= 1e-6 * sizes[0]:
        raise InputError(
            f"a trajectory of {len(trajectory)} points spans no plane; keep more: training.snapshot_epochs"
        )
    axes = ways[:2].to(trajectory)
    axes = axes * ((trajectory[-1] - trajectory[0]) @ axes.T).sign()[:, None]  # the path goes right and up
    path = (trajectory - trajectory[-1]) @ axes.T
    middle, half = (path.amin(0) + path.amax(0)) / 2, (path.amax(0) - path.amin(0)).max() / 2
    square = torch.stack([middle - half, middle + half])
    plane = _grid(landscape, trajectory[-1], axes, _sides(square, resolution, margin))
    places, distances = locate(plane, trajectory)
    share = float((sizes[:2] ** 2).sum() / (sizes**2).sum())
    return plane.assign(
        path=described(("step", "axis"), places.cpu(), "where the trajectory projects to", "weights"),
        path_distance=described(("step",), distances.cpu(), "distance of the trajectory from the plane", "weights"),
        variance_share=described((), share, "share of the trajectory's variance that the plane holds", "1"),
    ).assign_coords(step=list(steps))
