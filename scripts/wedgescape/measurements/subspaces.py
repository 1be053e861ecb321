"""Connectors as subspaces: surfaces of low loss over the hull of m optima (science, section 6).

A connector is a complex whose vertices are displaced orthogonally to the hull. What counts is the loss *between*
vertices, at points that were never optimised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import SPLITS, Landscape
from wedgescape.landscapes.complexes import Complex, effective_dimension, rank, refine, skeleton, triangle
from wedgescape.landscapes.spans import Orthogonal, unit
from wedgescape.measurements.connectors import draw_sets, find_centres
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import described
from wedgescape.training.descent import Recipe, descend

# Where a piece is looked at between its vertices, as weights of its vertices.
BETWEEN = {
    2: ((0.75, 0.25), (0.5, 0.5), (0.25, 0.75)),
    3: (
        (1 / 2, 1 / 2, 0),
        (0, 1 / 2, 1 / 2),
        (1 / 2, 0, 1 / 2),
        (1 / 3, 1 / 3, 1 / 3),
        (2 / 3, 1 / 6, 1 / 6),
        (1 / 6, 2 / 3, 1 / 6),
        (1 / 6, 1 / 6, 2 / 3),
    ),
}
RANDOM_BETWEEN = 3  # random points of each piece at which a finished surface is judged


def settle(
    landscape: Landscape, optima: Tensor, surface: Complex, recipe: Recipe, steps: int, which: Tensor
) -> Complex:
    """Move some vertices (bool (V,)) down the training loss, each orthogonally to the hull, from where they are.

    All see the same minibatches, so that neighbours stay neighbours.
    """
    hull = Orthogonal(optima[1:] - optima[:1])
    starts = surface.points(optima)[which]
    moved = descend(landscape, starts, recipe, steps, seeds=[0] * len(starts), constraint=hull).points
    displacement = surface.displacement.clone()
    displacement[which] += moved - starts
    return Complex(surface.barycentric, surface.pieces, displacement)


def largest_between(landscape: Landscape, optima: Tensor, surface: Complex) -> Tensor:
    """Return the largest training loss (S,) of each piece at fixed points between its vertices (`BETWEEN`)."""
    weights, vertices, found = torch.tensor(BETWEEN[surface.pieces.shape[1]]), surface.points(optima), []
    for some in surface.pieces.split(16):
        points = surface.between(vertices, weights, some)
        found.append(landscape.losses(points.flatten(0, 1)).reshape(points.shape[:2]).amax(1).cpu())
    return torch.cat(found)


def connect(
    landscape: Landscape,
    optima: Tensor,
    centre: Tensor,
    barycentric: Tensor,
    pieces: Tensor,
    recipe: Recipe,
    steps: int,
    tolerance: float,
    refinements: int,
) -> tuple[Complex, list[float]]:
    """Find a low-loss surface over the hull of optima (our definition).

    Every vertex starts over its place in the hull, displaced as the connector's centre is, by the part m min_i a_i of
    it; it descends orthogonally to the hull; then pieces whose loss between vertices exceeds the tolerance are
    halved, and their old and new vertices descend on, the new from the middle of the surface, until no piece does or
    the refinements are used up.

    Args:
        landscape: in R^P.
        optima: (m, P).
        centre: (P,), of the connector (`connectors.find_centres`).
        barycentric: (V, m), vertices to begin with.
        pieces: (S, 2) or (S, 3).
        recipe: of the descent.
        steps: of the descent, at each level.
        tolerance: nats of training loss.
        refinements: how often pieces are halved at most.

    Returns:
        The surface, and the largest training loss between its vertices at each level; the last tells whether the
        tolerance was met.
    """
    size = len(optima)
    barycentric = barycentric.to(optima)
    inwards = size * barycentric.amin(1)
    surface = Complex(barycentric, pieces, inwards[:, None] * (centre - optima.mean(0)))
    is_optimum = barycentric.amax(1) > 1 - 1e-6
    surface = settle(landscape, optima, surface, recipe, steps, ~is_optimum)
    losses = largest_between(landscape, optima, surface)
    levels = [float(losses.max())]
    for _ in range(refinements):
        if levels[-1] <= tolerance:
            break
        surface, concerned = refine(surface, ~(losses <= tolerance))
        is_optimum = surface.barycentric.amax(1) > 1 - 1e-6
        surface = settle(landscape, optima, surface, recipe, steps, concerned & ~is_optimum.cpu())
        losses = largest_between(landscape, optima, surface)
        levels.append(float(losses.max()))
    return surface, levels


def measure(
    landscape: Landscape,
    optima: dict[int, Tensor],
    centre_recipe: Recipe,
    centre_steps: int,
    sizes: Sequence[int],
    sets: int,
    steps: int,
    learning_rate: float,
    batch_size: int | None,
    subdivisions: int,
    parts: int,
    spokes: int,
    edges: int,
    tolerance: float,
    refinements: int,
) -> xr.Dataset:
    """Measure connectors of m optima as subspaces: their loss at vertices and, what counts, between them.

    For m = 3 the whole triangle; for other m a skeleton of rays, edges and spokes that reaches all over the hull.

    Args:
        landscape: that also evaluates accuracy.
        optima: seed -> (P,).
        centre_recipe: of the search for the centres.
        centre_steps: of that search.
        sizes: the m's.
        sets: random sets of optima for each m; each is a connector of its own.
        steps: of the vertices' descent (SGD, the rate falling to zero along a cosine), at each level.
        learning_rate: of that descent.
        batch_size: examples a step; None for all.
        subdivisions: of the triangle, to begin with.
        parts: pieces of each line of a skeleton, to begin with.
        spokes: lines from the centre to random points of the hull.
        edges: lines between two optima.
        tolerance: nats of training loss.
        refinements: how often pieces are halved at most.

    Returns:
        A dataset over points of all surfaces (`point`) and over (size, set).
    """
    recipe = Recipe(learning_rate=learning_rate, batch_size=batch_size, schedule="cosine")
    shape = (len(sizes), sets)
    over_sets = {
        "largest_loss": np.full((*shape, refinements + 1), np.nan, np.float32),
        "dimension": np.full(shape, -1),
        "rank": np.full(shape, -1),
        "vertices": np.full(shape, 0),
        "met": np.zeros(shape, bool),
        "members": np.full((*shape, max(sizes)), -1),
        "cosine": np.full(shape, np.nan, np.float32),
    }
    rows: dict[str, list[Tensor]] = {}
    for row, size in enumerate(sizes):
        for number, seeds in enumerate(draw_sets(list(optima), size, sets)):
            corners = torch.stack([optima[seed] for seed in seeds])
            centre = find_centres(landscape, corners[None], centre_recipe, centre_steps, [number]).points[0]
            begin = triangle(subdivisions) if size == 3 else skeleton(size, spokes, edges, parts, number)
            surface, levels = connect(landscape, corners, centre, *begin, recipe, steps, tolerance, refinements)
            at = surface.points(corners)
            over_sets["largest_loss"][row, number, : len(levels)] = levels
            over_sets["members"][row, number, :size] = seeds
            over_sets["met"][row, number] = levels[-1] <= tolerance
            over_sets["vertices"][row, number] = len(at)
            over_sets["dimension"][row, number], over_sets["rank"][row, number] = effective_dimension(at), rank(at)
            over_sets["cosine"][row, number] = _largest_cosine(surface, corners)
            for name, values in _evaluate(landscape, corners, surface, max(sizes)).items():
                rows.setdefault(name, []).append(values)
            count = len(rows["kind"][-1])
            rows.setdefault("size", []).append(torch.full((count,), size))
            rows.setdefault("set", []).append(torch.full((count,), number))
    columns = {name: torch.cat(parts).numpy() for name, parts in rows.items()}
    descriptions = {
        "loss": "mean cross-entropy on the surface",
        "accuracy": "accuracy on the surface",
        "hull_loss": "mean cross-entropy at the same place of the linear hull",
        "hull_accuracy": "accuracy at the same place of the linear hull",
    }
    units = {"loss": "nat", "hull_loss": "nat"}
    variables = {
        name: described(("point", "split"), columns[name], text, units.get(name, "1"))
        for name, text in descriptions.items()
    }
    variables |= {
        "barycentric": described(("point", "member"), columns["barycentric"], "place over the hull; nan beyond m"),
        "between": described(
            ("point",), columns["kind"] == 1, "a random point between vertices, where nothing was optimised or selected"
        ),
        "point_size": described(("point",), columns["size"], "m of the point's surface"),
        "point_set": described(("point",), columns["set"], "set of the point's surface"),
        "largest_loss": described(
            ("size", "set", "level"),
            over_sets["largest_loss"],
            "largest training loss at fixed points between vertices, before and after each refinement",
            "nat",
        ),
        "dimension": described(
            ("size", "set"),
            over_sets["dimension"],
            "principal directions that hold 99 % of the vertices' variance; the linear hull has m - 1",
        ),
        "rank": described(("size", "set"), over_sets["rank"], "rank of the vertices' differences"),
        "vertices": described(("size", "set"), over_sets["vertices"], "vertices at the end"),
        "members": described(
            ("size", "set", "member"), over_sets["members"], "the seeds of a set; -1 where there is none"
        ),
        "met": described(("size", "set"), over_sets["met"], "the tolerance was met between all vertices"),
        "cosine": described(
            ("size", "set"), over_sets["cosine"], "largest cosine between a displacement and an edge of the hull: 0"
        ),
    }
    coordinates = {"size": list(sizes), "split": list(SPLITS), "level": range(refinements + 1)}
    return xr.Dataset(variables, coordinates, {"tolerance": tolerance})


def _evaluate(landscape: Landscape, optima: Tensor, surface: Complex, width: int) -> dict[str, Tensor]:
    """Evaluate a surface at its vertices and at fresh random points of its pieces, and the hull at the same places.

    Refinement looked at fixed points of each piece; these are others, so that nothing was selected on them.
    """
    count, corners = surface.pieces.shape
    drawn = stream("between vertices").dirichlet(np.ones(corners), (count, RANDOM_BETWEEN))
    weights = torch.from_numpy(drawn).float()
    vertices = surface.points(optima)
    between = surface.between(surface.barycentric, weights).flatten(0, 1)
    barycentric = torch.cat([surface.barycentric, between])
    kind = torch.cat([torch.zeros(len(surface.barycentric)), torch.ones(len(between))])
    padded = torch.nn.functional.pad(barycentric.cpu(), (0, width - barycentric.shape[1]), value=float("nan"))
    on_surface = torch.cat([vertices, surface.between(vertices, weights).flatten(0, 1)])
    columns = {"barycentric": padded, "kind": kind}
    for prefix, points in (("", on_surface), ("hull_", barycentric @ optima)):
        values = [landscape.evaluate(points, split) for split in SPLITS]
        for name in ("loss", "accuracy"):
            columns[prefix + name] = torch.stack([value[name].cpu() for value in values], 1)
    return columns


def _largest_cosine(surface: Complex, optima: Tensor) -> float:
    """Return the largest |cosine| between the hull's edges and the displacements."""
    lengths = surface.displacement.norm(dim=1, keepdim=True).clamp_min(1e-30)  # zero at the optima
    return float((surface.displacement / lengths @ unit(optima[1:] - optima[:1]).T).abs().max())


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row a (size, set): what the loss between vertices and on the hull comes to."""
    between = store["between"].values
    rows = []
    for size in store["size"].values.tolist():
        for number in range(store.sizes["set"]):
            if store["vertices"].sel(size=size).values[number] == 0:
                continue
            here = between & (store["point_size"].values == size) & (store["point_set"].values == number)
            losses, hull = store["loss"].values[here], store["hull_loss"].values[here]
            accuracy = store["accuracy"].values[here]
            rows.append(
                {
                    "size": size,
                    "set": number,
                    "largest_train_loss": losses[:, 0].max(),
                    "median_train_loss": np.median(losses[:, 0]),
                    "train_loss_95": np.quantile(losses[:, 0], 0.95),
                    "largest_test_loss": losses[:, 1].max(),
                    "smallest_test_accuracy": accuracy[:, 1].min(),
                    "largest_hull_train_loss": hull[:, 0].max(),
                    **{
                        name: store[name].sel(size=size).values[number]
                        for name in ("dimension", "rank", "vertices", "met")
                    },
                }
            )
    return pd.DataFrame(rows)
