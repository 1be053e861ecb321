"""m-connectors: low-loss ways between whole sets of optima (science, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.base import SPLITS, Landscape
from wedgescape.landscapes.spans import Orthogonal
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import as_rows, described
from wedgescape.training.descent import Descent, Recipe, descend


def find_centres(landscape: Landscape, optima: Tensor, recipe: Recipe, steps: int, seeds: Sequence[int]) -> Descent:
    """Find the centres of connectors (our definition): the linear centroid, displaced orthogonally to the hull.

    From sum_i theta_i / m, descent on the training loss; every move is orthogonal to span{theta_i - theta_1}, so the
    centre keeps the barycentric coordinates of the centroid and cannot slide back to an optimum.

    Args:
        landscape: in R^P.
        optima: (n, m, P), n sets of m optima.
        recipe: of the descent.
        steps: of the descent.
        seeds: n, of the sets' minibatches.

    Returns:
        The descent; its points (n, P) are the centres.

    Raises:
        InputError: if a set's optima are linearly dependent, two of them equal for instance.
    """
    try:
        hull = Orthogonal(optima[:, 1:] - optima[:, :1])
    except ValueError as error:
        raise InputError(f"no connector joins {optima.shape[1]} optima of which some are equal or dependent") from error
    return descend(landscape, optima.mean(1), recipe, steps, seeds, constraint=hull)


def centre_recipe(learning_rate: float, batch_size: int | None) -> Recipe:
    """Return how centres descend: Adam, the rate falling to zero along a cosine."""
    return Recipe(optimizer="adam", learning_rate=learning_rate, batch_size=batch_size, schedule="cosine")


def draw_sets(seeds: Sequence[int], size: int, count: int) -> list[list[int]]:
    """Return `count` random sets of `size` different seeds, each sorted; all there are, where there are fewer."""
    drawn: list[list[int]] = []
    draw = stream("connector sets", size)
    for _attempt in range(50 * count):
        chosen = sorted(int(seed) for seed in draw.choice(list(seeds), size, replace=False))
        if chosen not in drawn:
            drawn.append(chosen)
        if len(drawn) == count:
            break
    return drawn


def measure(
    landscape: Landscape,
    optima: dict[int, Tensor],
    sizes: Sequence[int],
    sets: int,
    steps: int,
    learning_rate: float,
    batch_size: int | None,
    arrange: Callable[[Sequence[int], Tensor], Tensor] = lambda _seeds, corners: corners,
) -> xr.Dataset:
    """Measure the centres of connectors between m optima, for each m.

    Args:
        landscape: that also evaluates accuracy.
        optima: seed -> (P,).
        sizes: the m's.
        sets: random sets of optima for each m.
        steps: of the descent (Adam, the rate falling to zero along a cosine).
        learning_rate: of the descent.
        batch_size: examples a step; None for all.
        arrange: a set's seeds and its optima (m, P) -> the optima that are joined in their place (m, P).

    Returns:
        loss and accuracy over (size, set, place, split); place is the optima (their mean), the linear centroid, the
        connector's centre. nan where there are fewer sets than asked for.
    """
    recipe = centre_recipe(learning_rate, batch_size)
    places = ("optima", "centroid", "centre")
    shape = (len(sizes), sets, len(places), len(SPLITS))
    values = {name: np.full(shape, np.nan, np.float32) for name in ("loss", "accuracy")}
    members = np.full((len(sizes), sets, max(sizes)), -1)
    moved = {name: np.full(shape[:2], np.nan, np.float32) for name in ("displacement", "cosine", "spread")}
    for row, size in enumerate(sizes):
        chosen = draw_sets(list(optima), size, sets)
        sets_of_optima = [torch.stack([optima[seed] for seed in group]) for group in chosen]
        corners = torch.stack(list(map(arrange, chosen, sets_of_optima)))  # (n, m, P)
        centroid = corners.mean(1)
        centre = find_centres(landscape, corners, recipe, steps, range(len(chosen))).points
        for column, split in enumerate(SPLITS):
            found = [
                landscape.evaluate(corners.flatten(0, 1), split),
                landscape.evaluate(centroid, split),
                landscape.evaluate(centre, split),
            ]
            for name, table in values.items():
                table[row, : len(chosen), 0, column] = found[0][name].reshape(len(chosen), size).mean(1).cpu()
                table[row, : len(chosen), 1, column] = found[1][name].cpu()
                table[row, : len(chosen), 2, column] = found[2][name].cpu()
        members[row, : len(chosen), :size] = chosen
        shift, edges = centre - centroid, corners[:, 1:] - corners[:, :1]
        lengths = (shift.norm(dim=1)[:, None] * edges.norm(dim=2)).clamp_min(1e-30)
        moved["displacement"][row, : len(chosen)] = shift.norm(dim=1).cpu()
        moved["cosine"][row, : len(chosen)] = ((edges @ shift[:, :, None])[:, :, 0] / lengths).abs().amax(1).cpu()
        moved["spread"][row, : len(chosen)] = (corners - centroid[:, None]).norm(dim=2).mean(1).cpu()
    dims = ("size", "set", "place", "split")
    variables = {
        "loss": described(dims, values["loss"], "mean cross-entropy", "nat"),
        "accuracy": described(dims, values["accuracy"], "accuracy", "1"),
        "members": described(("size", "set", "member"), members, "the seeds of a set; -1 where there is none"),
        "displacement": described(dims[:2], moved["displacement"], "distance from centroid to centre", "weights"),
        "cosine": described(
            dims[:2], moved["cosine"], "largest cosine between displacement and an edge of the hull: 0"
        ),
        "spread": described(dims[:2], moved["spread"], "mean distance from an optimum to the centroid", "weights"),
    }
    coordinates = {"size": list(sizes), "place": list(places), "split": list(SPLITS)}
    return xr.Dataset(variables, coordinates)


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row a (size, set, place, split) with loss and accuracy."""
    return as_rows(store[["loss", "accuracy"]], store["loss"].dims, ("loss", "accuracy")).dropna(subset="loss")
