"""Connectors as subspaces: surfaces of low loss over the hull of m optima (docs/science.md, Connectors).

A connector is a complex whose vertices are displaced orthogonally to the hull. What counts is the loss *between*
vertices, at points that were never optimised.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import SPLITS, Landscape
from wedgescape.landscapes.complexes import Complex, effective_dimension, rank, refine, skeleton, triangle
from wedgescape.landscapes.operations import Case, Step, Work, evaluations, times
from wedgescape.landscapes.spans import Orthogonal, unit
from wedgescape.measurements import connectors as centres
from wedgescape.measurements.connectors import Settings as ConnectorSettings
from wedgescape.measurements.connectors import draw_sets
from wedgescape.numerics.judging import Claim
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.places import AtSetting
from wedgescape.study.sections import Count, PositiveNumber, Section, Sizes, key
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima


class Settings(Section):
    """Connectors as whole subspaces, refined until the loss between their vertices is low."""

    sizes: Sizes = key(
        [3, 5, 11],
        "Numbers m of optima, each at most `seeds`. Of the default, sizes above `seeds` are dropped. 3 is a whole "
        "triangle, others are skeletons of lines.",
        smoke=[3, 4],
        at_most="seeds",
    )
    sets: Count = key(3, "Number of random sets of optima per size; all sets, if there are fewer.", smoke=2)
    steps: Count = key(100, "Steps of the vertices' descent at each level of refinement.", smoke=5)
    learning_rate: PositiveNumber = key(0.1, "Learning rate of that descent (SGD with momentum).")
    batch_size: Count | None = key(128, "Examples per step; null takes all.")
    subdivisions: Count = key(
        10, "Initial parts of each side of the triangle; n give (n + 1)(n + 2) / 2 vertices.", smoke=4
    )
    parts: Count = key(4, "Initial pieces of each line of a skeleton.", smoke=2)
    spokes: int = key(6, "Lines from the centre to random points of the hull.", ge=0, smoke=2)
    edges: Count = key(6, "Lines between two optima; all of them, if there are fewer.", smoke=2)
    tolerance: PositiveNumber = key(
        0.02, "Pieces whose training loss between vertices exceeds this value, in nats, are refined."
    )
    refinements: int = key(4, "How often pieces are halved at most.", ge=0, smoke=1)


MINUTES = 120
REFINEMENTS = 1  # of surfaces, after which the tolerance is met: as found on digits and on Fashion-MNIST
REFINED = 0.5  # share of a surface that a refinement concerns, found there too

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


OVER_POINTS, SETS = ("point", "split"), ("size", "set")
VARIABLES = {
    "loss": Variable(OVER_POINTS, "mean cross-entropy on the surface", "nat"),
    "accuracy": Variable(OVER_POINTS, "accuracy on the surface", "1"),
    "hull_loss": Variable(OVER_POINTS, "mean cross-entropy at the same place of the linear hull", "nat"),
    "hull_accuracy": Variable(OVER_POINTS, "accuracy at the same place of the linear hull", "1"),
    "barycentric": Variable(("point", "member"), "place over the hull; nan beyond m", "1"),
    "between": Variable(("point",), "a random point between vertices, where nothing was optimised or selected"),
    "point_size": Variable(("point",), "m of the point's surface"),
    "point_set": Variable(("point",), "set of the point's surface"),
    "largest_loss": Variable(
        (*SETS, "level"),
        "largest training loss at fixed points between vertices, before and after each refinement",
        "nat",
    ),
    "dimension": Variable(
        SETS, "principal directions that hold 99 % of the vertices' variance; the linear hull has m - 1"
    ),
    "rank": Variable(SETS, "rank of the vertices' differences"),
    "vertices": Variable(SETS, "vertices at the end"),
    "members": Variable((*SETS, "member"), "the seeds of a set; -1 where there is none"),
    "met": Variable(SETS, "the tolerance was met between all vertices"),
    "cosine": Variable(SETS, "largest cosine between a displacement and an edge of the hull: 0", "1"),
}


def measure(
    optima: Optima,
    connectors: AtSetting,
    search: ConnectorSettings = ConnectorSettings(),
    settings: Settings = Settings(),
) -> xr.Dataset:
    """Measure connectors of m optima as subspaces: their loss at vertices and, what counts, between them.

    For m = 3 the whole triangle; for other m a skeleton of rays, edges and spokes that reaches all over the hull.

    Args:
        optima: of one setting, whose landscape also evaluates accuracy.
        connectors: of the same optima, for the centres of the sets that it has.
        search: for the centres of the other sets.
        settings: of the measurement.

    Returns:
        A dataset over points of all surfaces (`point`) and over (size, set).

    Raises:
        InputError: if fewer runs stayed finite than the largest m.
    """
    sizes, sets = settings.sizes, settings.sets
    sound = optima.sound(at_least=max(sizes))
    landscape, by_seed = sound.landscape, sound.by_seed
    recipe = Recipe(learning_rate=settings.learning_rate, batch_size=settings.batch_size, schedule="cosine")
    shape = (len(sizes), sets)
    values = {
        "largest_loss": np.full((*shape, settings.refinements + 1), np.nan, np.float32),
        "dimension": np.full(shape, -1),
        "rank": np.full(shape, -1),
        "vertices": np.full(shape, 0),
        "met": np.zeros(shape, bool),
        "members": np.full((*shape, max(sizes)), -1),
        "cosine": np.full(shape, np.nan, np.float32),
    }
    columns: dict[str, list[Tensor]] = {}
    for place, size in enumerate(sizes):
        for number, seeds in enumerate(draw_sets(sound.seeds, size, sets)):
            corners, here = torch.stack([by_seed[seed] for seed in seeds]), (place, number)
            centre = _stored_centre(connectors, seeds)
            if centre is None:
                centre = centres.search(landscape, corners[None], search, [number])[0]
            if size == 3:
                begin = triangle(settings.subdivisions)
            else:
                begin = skeleton(size, settings.spokes, settings.edges, settings.parts, number)
            surface, levels = connect(
                landscape, corners, centre.to(corners), *begin, recipe, settings.steps, settings.tolerance,
                settings.refinements,
            )  # fmt: skip
            at = surface.points(corners)
            values["largest_loss"][(*here, slice(len(levels)))] = levels
            values["members"][(*here, slice(size))] = seeds
            values["met"][here] = levels[-1] <= settings.tolerance
            values["vertices"][here] = len(at)
            values["dimension"][here], values["rank"][here] = effective_dimension(at), rank(at)
            values["cosine"][here] = _largest_cosine(surface, corners)
            found = _evaluate(landscape, corners, surface, max(sizes))
            count = len(found["between"])
            found |= {"point_size": torch.full((count,), size), "point_set": torch.full((count,), number)}
            for name, value in found.items():
                columns.setdefault(name, []).append(value)
    values |= {name: torch.cat(parts).numpy() for name, parts in columns.items()}
    coordinates = {"size": sizes, "split": list(SPLITS), "level": range(settings.refinements + 1)}
    return optima.flagged(labelled(VARIABLES, values, coordinates, {"tolerance": settings.tolerance}))


def _stored_centre(connectors: xr.Dataset, seeds: Sequence[int]) -> Tensor | None:
    """Return the centre (P,) of the connector of some seeds; None if the store has none of them."""
    padded = np.full(connectors.sizes["member"], -1)
    if len(seeds) > len(padded):
        return None
    padded[: len(seeds)] = seeds
    found = np.argwhere((connectors["members"].values == padded).all(-1))
    return torch.from_numpy(connectors["centre"].values[tuple(found[0])]) if len(found) else None


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
    is_between = torch.cat([torch.zeros(len(surface.barycentric)), torch.ones(len(between))]).bool()
    padded = torch.nn.functional.pad(barycentric.cpu(), (0, width - barycentric.shape[1]), value=float("nan"))
    on_surface = torch.cat([vertices, surface.between(vertices, weights).flatten(0, 1)])
    columns = {"barycentric": padded, "between": is_between}
    for prefix, points in (("", on_surface), ("hull_", barycentric @ optima)):
        values = [landscape.evaluate(points, split) for split in SPLITS]
        for name in ("loss", "accuracy"):
            columns[prefix + name] = torch.stack([value[name].cpu() for value in values], 1)
    return columns


def _largest_cosine(surface: Complex, optima: Tensor) -> float:
    """Return the largest |cosine| between the hull's edges and the displacements."""
    lengths = surface.displacement.norm(dim=1, keepdim=True).clamp_min(1e-30)  # zero at the optima
    return float((surface.displacement / lengths @ unit(optima[1:] - optima[:1]).T).abs().max())


def work(case: Case, search: ConnectorSettings, settings: Settings) -> Work:
    """Count surfaces, refined as often as is expected: their vertices' descent and what lies between them.

    Centres are counted only for the sets that `connectors` does not have.
    """
    total = Work()
    levels = min(settings.refinements, REFINEMENTS)
    for size in settings.sizes:
        one, vertices, pieces = Work(), size, 0
        for level in range(levels + 1):
            share = REFINED if level else 1.0
            if size == 3:
                begin = triangle(settings.subdivisions * 2**level)
            else:
                begin = skeleton(size, settings.spokes, settings.edges, settings.parts * 2**level)
            all_vertices, all_pieces = map(len, begin)
            vertices += round(share * (all_vertices - vertices))
            pieces += round(share * (all_pieces - pieces))
            step = Step(case.model, max(1, round(share * (all_vertices - size))), settings.batch_size, "sgd")
            between = pieces * len(BETWEEN[3 if size == 3 else 2])
            one += Work({step: settings.steps}) + evaluations(case.model, between, ["train"])
        one += evaluations(case.model, 2 * (vertices + RANDOM_BETWEEN * pieces))
        sets = min(settings.sets, math.comb(case.seeds, size))
        stored = min(search.sets, sets) if size in search.sizes else 0
        total += times(sets, one) + times(sets - stored, centres.searching(case, search, 1))
    return total


def claims() -> Iterator[Claim]:
    """Claim nothing."""
    return iter(())


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row per (size, set): what the loss between vertices and on the hull comes to."""
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
