"""Connectors: low-loss ways between whole sets of optima (docs/science.md, Connectors)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.base import SPLITS, Landscape
from wedgescape.landscapes.operations import Case, Step, Work, evaluations
from wedgescape.landscapes.spans import Orthogonal
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, PositiveNumber, Section, Sizes, key
from wedgescape.training.descent import Descent, Recipe, descend
from wedgescape.training.optima import AllOptima, Optima


class Settings(Section):
    """Low-loss points between sets of optima: the centres of connectors."""

    sizes: Sizes = key(
        [2, 3, 5, 7, 9, 11],
        "Numbers m of optima that a connector joins, at most `base_seeds`. Of the default, those above are dropped.",
        smoke=[2, 3],
        at_most="base_seeds",
    )
    sets: Count = key(6, "Number of random sets of optima per size; all sets, if there are fewer.", smoke=2)
    steps: Count = key(300, "Steps of the search for a centre.", smoke=20)
    learning_rate: PositiveNumber = key(0.01, "Learning rate of the search (Adam); it falls to zero along a cosine.")
    batch_size: Count | None = key(None, "Examples per step of the search; null takes all.")


MINUTES = 120
JOINED = 3  # optima that the connector of a seed and its neighbours joins; two, if there are no more
PLACES = ("optima", "centroid", "centre")


def find_centres(landscape: Landscape, optima: Tensor, recipe: Recipe, steps: int, seeds: Sequence[int]) -> Descent:
    """Find the centres of connectors (our definition): the linear centroid, displaced orthogonally to the hull.

    The search descends on the training loss from sum_i theta_i / m. Every move is orthogonal to
    span{theta_i - theta_1}, so the centre keeps the barycentric coordinates of the centroid and cannot slide back to an
    optimum.

    Args:
        landscape: in R^P.
        optima: (n, m, P), n sets of m optima.
        recipe: of the descent.
        steps: of the descent.
        seeds: n, of the sets' minibatches.

    Returns:
        The descent; its points (n, P) are the centres.

    Raises:
        InputError: if a set's optima are linearly dependent, for example if two of them are equal.
    """
    try:
        hull = Orthogonal(optima[:, 1:] - optima[:, :1])
    except ValueError as error:
        raise InputError(f"no connector joins {optima.shape[1]} optima of which some are equal or dependent") from error
    return descend(landscape, optima.mean(1), recipe, steps, seeds, constraint=hull)


def search(landscape: Landscape, optima: Tensor, settings: Settings, seeds: Sequence[int]) -> Tensor:
    """Return the centres (n, P) of sets of optima (n, m, P), by the search that the settings describe."""
    recipe = Recipe("adam", settings.learning_rate, batch_size=settings.batch_size, schedule="cosine")
    return find_centres(landscape, optima, recipe, settings.steps, seeds).points


def draw_sets(seeds: Sequence[int], size: int, count: int) -> list[list[int]]:
    """Return up to `count` random sets of `size` seeds, each sorted, of which no two share a seed.

    Sets that share seeds are no independent units. There are as many as the seeds allow.
    """
    order = stream("connector sets", size).permutation(np.asarray(seeds, dtype=int)).tolist()
    places = range(0, min(count, len(order) // size) * size, size)
    return [sorted(order[place : place + size]) for place in places]


SETS = ("size", "set")
VARIABLES = {
    "loss": Variable((*SETS, "place", "split"), "mean cross-entropy", "nat"),
    "accuracy": Variable((*SETS, "place", "split"), "accuracy", "1"),
    "members": Variable((*SETS, "member"), "the seeds of a set; -1 where there is none"),
    "displacement": Variable(SETS, "distance from centroid to centre", "weights"),
    "cosine": Variable(SETS, "largest cosine between displacement and an edge of the hull: 0", "1"),
    "spread": Variable(SETS, "mean distance from an optimum to the centroid", "weights"),
    "centre": Variable((*SETS, "param"), "the connector's centre, flat weights", "weights"),
    "neighbour_centre": Variable(
        ("seed", "param"),
        "centre of the connector of this seed's optimum and the next two seeds', in a circle",
        "weights",
    ),
}


def measure(optima: Optima, settings: Settings = Settings(), everyone: AllOptima | None = None) -> xr.Dataset:
    """Measure the centres of connectors between m optima, for each m, and of each optimum with the next two.

    Args:
        optima: of one setting, whose landscape also evaluates accuracy.
        settings: of the measurement.
        everyone: from which sets are drawn: all networks of the setting; by default the optima.

    Returns:
        `measure_sets`, and `neighbour_centre` over (seed, param).

    Raises:
        InputError: if fewer runs stayed finite than the largest m.
    """
    everyone = optima if everyone is None else everyone
    sound, joinable = optima.fit(at_least=min(JOINED, len(optima))), everyone.fit(at_least=max(settings.sizes))
    points, joined = sound.points, min(JOINED, len(sound))
    circle = torch.stack([points.roll(-shift, 0) for shift in range(joined)], 1)  # (K, joined, P)
    centres = {"neighbour_centre": search(sound.landscape, circle, settings, sound.seeds).cpu()}
    store = measure_sets(joinable, settings).merge(labelled(VARIABLES, centres, {"seed": sound.seeds}))
    return everyone.flagged(store)


def measure_sets(
    optima: Optima,
    settings: Settings,
    arrange: Callable[[Sequence[int], Tensor], Tensor] = lambda _seeds, corners: corners,
) -> xr.Dataset:
    """Measure the centres of connectors between random sets of optima.

    Args:
        optima: that did not diverge.
        settings: of the measurement.
        arrange: a set's seeds and its optima (m, P) -> the optima that are joined in their place (m, P).

    Returns:
        loss and accuracy over (size, set, place, split), nats and fractions; place is the optima (their mean), the
        linear centroid, the connector's centre. Centres over (size, set, param). nan where there are fewer sets than
        `settings.sets`.
    """
    landscape, by_seed, sizes = optima.landscape, optima.by_seed, settings.sizes
    sides = {"place": len(PLACES), "split": len(SPLITS), "member": max(sizes), "param": landscape.dim}
    values = {}
    for name, variable in VARIABLES.items():
        if variable.dims[:2] == SETS:
            shape = (len(sizes), settings.sets, *(sides[dim] for dim in variable.dims[2:]))
            values[name] = np.full(shape, -1) if name == "members" else np.full(shape, np.nan, np.float32)
    for number, size in enumerate(sizes):
        chosen = draw_sets(optima.seeds, size, settings.sets)
        corners = torch.stack([arrange(seeds, torch.stack([by_seed[seed] for seed in seeds])) for seeds in chosen])
        centroid = corners.mean(1)
        centre = search(landscape, corners, settings, range(len(chosen)))
        here = (number, slice(len(chosen)))
        for place, points in enumerate((corners.flatten(0, 1), centroid, centre)):
            for column, split in enumerate(SPLITS):
                for name, found in landscape.evaluate(points, split).items():
                    values[name][(*here, place, column)] = found.reshape(len(chosen), -1).mean(1).cpu()
        shift, edges = centre - centroid, corners[:, 1:] - corners[:, :1]
        lengths = (shift.norm(dim=1)[:, None] * edges.norm(dim=2)).clamp_min(1e-30)
        values["members"][(*here, slice(size))] = chosen
        values["displacement"][here] = shift.norm(dim=1).cpu()
        values["cosine"][here] = ((edges @ shift[:, :, None])[:, :, 0] / lengths).abs().amax(1).cpu()
        values["spread"][here] = (corners - centroid[:, None]).norm(dim=2).mean(1).cpu()
        values["centre"][here] = centre.cpu()
    return labelled(VARIABLES, values, {"size": sizes, "place": list(PLACES), "split": list(SPLITS)})


def neighbour_centres(connectors: xr.Dataset, optima: Optima) -> Tensor:
    """Return the centres (K, P) of the connectors of some optima with the next two, as they are stored."""
    return torch.from_numpy(connectors["neighbour_centre"].sel(seed=optima.seeds).values).to(optima.points)


def work(case: Case, settings: Settings) -> Work:
    """Count the searches for the centres of random sets and of neighbours, and the losses."""
    return work_on_sets(case, settings) + searching(case, settings, case.seeds)


def work_on_sets(case: Case, settings: Settings) -> Work:
    """Count the searches for the centres of random sets of all sizes, and the losses."""
    total = Work()
    for size in settings.sizes:
        sets = min(settings.sets, case.all_seeds // size)
        total += searching(case, settings, sets) + evaluations(case.model, sets * (size + 2))
    return total


def searching(case: Case, settings: Settings, sets: int) -> Work:
    """Count the search for the centres of some sets together."""
    return Work({Step(case.model, sets, settings.batch_size): settings.steps})


CLAIMS = ("connector",)


def claims(connectors: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate for each m how far a connector's centre lies below the linear centroid: a check of the search.

    The centre's position is optimised, so it lies below unless the search fails.
    """
    train = connectors["loss"].sel(split="train")
    for size in connectors["size"].values.tolist():
        part, members = train.sel(size=size), connectors["members"].sel(size=size).values
        ratio = np.log10((part.sel(place="centre") / part.sel(place="centroid")).values)
        found = intervals.sets(ratio, members)
        lost = int((members[:, 0] >= 0).sum() - np.isfinite(ratio).sum())
        yield Claim("connector", "log10(loss at the centre / at the centroid)", found, {"size": size}, lost)
