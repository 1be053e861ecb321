"""Planes: through three optima, around one, and along a trajectory (docs/science.md, Planes)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.base import SPLITS, Landscape, Slice
from wedgescape.landscapes.lines import barrier
from wedgescape.landscapes.models import filter_normalised
from wedgescape.landscapes.operations import Case, Work, evaluations
from wedgescape.landscapes.spans import Span, gaussian, gram, orthonormal
from wedgescape.measurements.connectors import neighbour_centres
from wedgescape.numerics.judging import Claim
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.places import AtSetting
from wedgescape.study.sections import Odd, PositiveNumber, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """Loss on planes through three optima, and on the lines between them."""

    resolution: Odd = key(31, "Grid points per side of a plane.", ge=5, smoke=7)
    margin: float = key(
        0.25, "Space around the triangle of optima on each side, as a fraction of its size.", ge=0, le=10
    )
    reach: PositiveNumber = key(1.0, "Half a side of the plane around an optimum, in units of the norm of its weights.")
    profile_points: int = key(41, "Points on each line between two optima.", ge=5, smoke=7)


OVER_PLANE, ON_SIDES = ("split", "alpha", "beta"), ("split", "pair", "t")
VARIABLES = {
    "loss": Variable(OVER_PLANE, "loss over the plane", "nat"),
    "score": Variable(OVER_PLANE, "score over the plane", "1"),
    "gram": Variable(("axis", "axis_"), "inner products of the plane's axes: the identity", "1"),
    "axes": Variable(("axis", "param"), "unit vectors along alpha and beta", "1"),
    "origin": Variable(("param",), "weights at alpha = beta = 0", "weights"),
    "optimum_alpha": Variable(("optimum",), "where an optimum lies along alpha", "weights"),
    "optimum_beta": Variable(("optimum",), "where an optimum lies along beta", "weights"),
    "profile_loss": Variable(ON_SIDES, "loss along straight lines between optima", "nat"),
    "profile_score": Variable(ON_SIDES, "score along straight lines between optima", "1"),
    "barrier": Variable(("split", "pair"), "largest excess of the loss over the line between the ends' losses", "nat"),
    "connector_place": Variable(("axis",), "where the connector's centre projects to", "weights"),
    "connector_distance": Variable((), "distance of the connector's centre from the plane", "weights"),
    "connector_loss": Variable(("split",), "loss at the connector's centre", "nat"),
    "path": Variable(("step", "axis"), "where the trajectory projects to", "weights"),
    "path_distance": Variable(("step",), "distance of the trajectory from the plane", "weights"),
    "variance_share": Variable((), "share of the trajectory's variance that the plane holds", "1"),
}


def measure(optima: Optima, connectors: AtSetting, settings: Settings = Settings()) -> dict[str, xr.Dataset]:
    """Measure the planes through the first three optima, around the first one, and along its trajectory.

    Args:
        optima: of one setting, whose landscape is a network's.
        connectors: of the same optima, for the centre of the connector of the first three.
        settings: of the measurement.

    Returns:
        The parts `optima` (`plane_through`, `with_connector`), `around` (`plane_around`) and, if there are snapshots,
        `trajectory` (`plane_along`).
    """
    sound = optima.fit(at_least=3)
    landscape, points, seeds = sound.landscape, sound.points, sound.seeds[:3]
    grid = {"resolution": settings.resolution, "margin": settings.margin}
    through = plane_through(landscape, points[:3], seeds, **grid, profile_points=settings.profile_points)
    planes = {
        "optima": with_connector(through, landscape, neighbour_centres(connectors, sound)[0]),
        "around": plane_around(landscape, points[0], sound.layout, seeds[0], settings.resolution, settings.reach),
    }
    if sound.trajectories is not None:
        planes["trajectory"] = plane_along(landscape, sound.trajectories[0], sound.steps, **grid)
    return {part: optima.flagged(plane) for part, plane in planes.items()}


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
        resolution: grid points per side.
        margin: how far the grid reaches beyond the triangle, as a fraction of the triangle's size.
        profile_points: points on each segment, ends included.

    Returns:
        loss and score over (split, alpha, beta) and (split, pair, t), barriers, coordinates of the optima over their
        seeds (`optimum`).

    Raises:
        InputError: if the optima lie on one line, so that they span no plane.
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
    along = _evaluate(plane, segments, (len(pairs), -1))
    values = {
        "optimum_alpha": corners[:, 0].cpu(),
        "optimum_beta": corners[:, 1].cpu(),
        **{f"profile_{name}": value for name, value in along.items()},
        "barrier": barrier(along["loss"].numpy()),
    }
    names = {"t": t.cpu().numpy(), "pair": [f"{seeds[i]}-{seeds[j]}" for i, j in pairs], "optimum": list(seeds)}
    grid = _grid(landscape, optima[0], axes, _sides(corners, resolution, margin))
    return grid.merge(labelled(VARIABLES, values, names))


def _sides(points: Tensor, resolution: int, margin: float) -> list[Tensor]:
    """Return grid coordinates along both axes that reach beyond points (n, 2) by a fraction of their extent."""
    low, high = points.amin(0), points.amax(0)
    reach = margin * float((high - low).max())
    return [torch.linspace(float(low[i]) - reach, float(high[i]) + reach, resolution) for i in (0, 1)]


def _evaluate(plane: Slice, coordinates: Tensor, shape: tuple[int, int]) -> dict[str, Tensor]:
    """Return loss and score (split, *shape) at coordinates (n, 2) of a plane."""
    seen = [plane.evaluate(coordinates, split) for split in SPLITS]
    return {name: torch.stack([one[name].reshape(shape) for one in seen]).cpu() for name in ("loss", "score")}


def _grid(landscape: Landscape, origin: Tensor, axes: Tensor, sides: list[Tensor]) -> xr.Dataset:
    """Evaluate origin + alpha axis_1 + beta axis_2 on a grid: loss and score over (split, alpha, beta), the axes."""
    grid = torch.cartesian_prod(*sides).to(origin)
    values = {
        **_evaluate(Slice(landscape, origin, Span(axes)), grid, (len(sides[0]), len(sides[1]))),
        "gram": gram(axes).cpu(),
        "axes": axes.cpu(),
        "origin": origin.cpu(),
    }
    return labelled(VARIABLES, values, {"split": list(SPLITS), "alpha": sides[0].numpy(), "beta": sides[1].numpy()})


def locate(plane: xr.Dataset, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return where points (n, P) lie over a plane: coordinates (n, 2) and distances (n,) from it, in weights."""
    axes, origin = (torch.from_numpy(plane[name].values).to(points) for name in ("axes", "origin"))
    away = points - origin
    coordinates = away @ axes.T
    return coordinates, (away - coordinates @ axes).norm(dim=1)


def with_connector(plane: xr.Dataset, landscape: Landscape, centre: Tensor) -> xr.Dataset:
    """Return a plane through optima with the centre (P,) of their connector projected in.

    What is drawn in a plane need not lie in it. So the store also holds the distance from the plane and the loss at the
    centre itself.
    """
    coordinates, distance = locate(plane, centre[None])
    values = {
        "connector_place": coordinates[0].cpu(),
        "connector_distance": float(distance),
        "connector_loss": [float(landscape.evaluate(centre[None], split)["loss"]) for split in SPLITS],
    }
    return plane.merge(labelled(VARIABLES, values, {}))


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
        resolution: grid points per side, odd, so that the middle one is the optimum.
        reach: half a side, in units of the optimum's norm.

    Returns:
        loss and score over (split, alpha, beta); the attribute `scale` holds the norm in weights.
    """
    directions = filter_normalised(gaussian(2, len(optimum), "plane", seed).to(optimum), optimum, layout)
    scale = float(optimum.norm())
    side = torch.linspace(-reach, reach, resolution)
    side[resolution // 2] = 0.0
    plane = _grid(landscape, optimum, orthonormal(directions), [side * scale, side * scale])
    return plane.assign_coords(alpha=side.numpy(), beta=side.numpy()).assign_attrs(scale=scale, seed=int(seed))


def plane_along(landscape: Landscape, trajectory: Tensor, steps, resolution: int, margin: float) -> xr.Dataset:
    """Evaluate the plane of a trajectory's first two principal components, the path projected in (our definition).

    Args:
        landscape: in R^P.
        trajectory: (S, P), the last point is the origin.
        steps: the S steps.
        resolution: grid points per side.
        margin: how far the grid reaches beyond the path, as a fraction of its extent.

    Returns:
        loss and score over (split, alpha, beta), the path over `step` with its distance from the plane, and the
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
    values = {
        "path": places.cpu(),
        "path_distance": distances.cpu(),
        "variance_share": float((sizes[:2] ** 2).sum() / (sizes**2).sum()),
    }
    return plane.merge(labelled(VARIABLES, values, {"step": list(steps)}))


def work(case: Case, settings: Settings) -> Work:
    """Count the grids of all planes, the lines in one of them, and the connector's centre."""
    grids = 3 if case.study.config["training"].get("snapshot_epochs") else 2
    return evaluations(case.model, grids * settings.resolution**2 + 3 * settings.profile_points + 1)


def claims() -> Iterator[Claim]:
    """Nothing is claimed of planes: barriers are judged on the lines of `profiles`."""
    return iter(())
