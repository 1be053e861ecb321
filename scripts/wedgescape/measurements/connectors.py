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
from wedgescape.landscapes.spans import Orthogonal, random_directions
from wedgescape.numerics.intervals import Estimate, Intervals
from wedgescape.numerics.judging import Claim, only_fit
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
    sets: Count = key(
        4, "Number of random sets of optima per size, of which no two share one; fewer, if need be.", smoke=2
    )
    steps: Count = key(300, "Steps of the search for a centre.", smoke=20)
    learning_rate: PositiveNumber = key(0.01, "Learning rate of the search (Adam); it falls to zero along a cosine.")
    batch_size: Count | None = key(None, "Examples per step of the search; null takes all.")


MINUTES = 120
JOINED = 3  # optima that the connector of a seed and its neighbours joins; two, if there are no more
PLACES = ("optima", "centroid", "centre")
NULLS = ("random", "initialisation")  # where the same search ends that did not start between optima


def find_centres(
    landscape: Landscape,
    optima: Tensor,
    recipe: Recipe,
    steps: int,
    seeds: Sequence[int],
    starts: Tensor | None = None,
) -> Descent:
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
        starts: (n, P), where the search starts instead of the centroids: a null, whose ends are no centres.

    Returns:
        The descent; its points (n, P) are the centres.

    Raises:
        InputError: if a set's optima are linearly dependent, for example if two of them are equal.
    """
    try:
        hull = Orthogonal(optima[:, 1:] - optima[:, :1])
    except ValueError as error:
        raise InputError(f"no connector joins {optima.shape[1]} optima of which some are equal or dependent") from error
    return descend(landscape, optima.mean(1) if starts is None else starts, recipe, steps, seeds, constraint=hull)


def search(
    landscape: Landscape, optima: Tensor, settings: Settings, seeds: Sequence[int], starts: Tensor | None = None
) -> Tensor:
    """Return the centres (n, P) of sets of optima (n, m, P), by the search that the settings describe."""
    recipe = Recipe("adam", settings.learning_rate, batch_size=settings.batch_size, schedule="cosine")
    return find_centres(landscape, optima, recipe, settings.steps, seeds, starts).points


def draw_sets(seeds: Sequence[int], size: int, count: int) -> list[list[int]]:
    """Return up to `count` random sets of `size` seeds, each sorted, of which no two share a seed.

    Sets that share seeds are no independent units. There are as many as the seeds allow.
    """
    order = stream("connector sets", size).permutation(np.asarray(seeds, dtype=int)).tolist()
    places = range(0, min(count, len(order) // size) * size, size)
    return [sorted(order[place : place + size]) for place in places]


def of_at_most(count: int, settings: Section) -> Section:
    """Return settings whose default sizes exceed no number of optima; sizes that were asked for stay."""
    if "sizes" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"sizes": [size for size in settings.sizes if size <= count]})


def outsiders(sets: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[int | None]:
    """Return for each set the seed that follows its last one and is not in it; None for a set of all seeds."""
    seeds, found = list(seeds), []
    for members in sets:
        after = seeds.index(members[-1]) + 1
        found.append(next((seed for seed in [*seeds[after:], *seeds[:after]] if seed not in members), None))
    return found


def null_starts(optima: Optima, sets: Sequence[Sequence[int]], size: int) -> dict[str, Tensor]:
    """Return where the search for each set's centre starts as a null: name -> (n, P).

    `random` is a Gaussian point, rescaled to the mean norm of the set's optima. `initialisation` is the
    initialisation of a network outside the set; it is left out where a set has all seeds, or where initialisations are
    unknown.
    """
    by_seed, at = optima.by_seed, {seed: place for place, seed in enumerate(optima.seeds)}
    norms = torch.stack([torch.stack([by_seed[seed] for seed in members]).norm(dim=1).mean() for members in sets])
    drawn = [random_directions(1, optima.landscape.dim, "connector start", size, number) for number in range(len(sets))]
    found = {"random": norms[:, None] * torch.cat(drawn).to(norms)}
    others = outsiders(sets, optima.seeds)
    if None not in others and "theta_init" in optima.weights:  # unknown of networks that were trained elsewhere
        found["initialisation"] = optima.starts[[at[seed] for seed in others]]
    return found


SETS = ("size", "set")
VARIABLES = {
    "loss": Variable((*SETS, "place", "split"), "mean cross-entropy", "nat"),
    "score": Variable((*SETS, "place", "split"), "score", "1"),
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

    Beside each centre stand two nulls: where the same search ends, orthogonal to the same optima's differences, that
    starts from a random point of the optima's norm, and from the initialisation of another network.

    Args:
        optima: of one setting, whose landscape also evaluates score.
        settings: of the measurement.
        everyone: from which sets are drawn: all networks of the setting; by default the optima.

    Returns:
        `measure_sets`, and `neighbour_centre` over (seed, param).

    Raises:
        InputError: if fewer runs stayed finite than the largest m.
    """
    everyone = optima if everyone is None else everyone
    settings = of_at_most(len(everyone), settings)
    sound, joinable = optima.fit(at_least=min(JOINED, len(optima))), everyone.fit(at_least=max(settings.sizes))
    points, joined = sound.points, min(JOINED, len(sound))
    circle = torch.stack([points.roll(-shift, 0) for shift in range(joined)], 1)  # (K, joined, P)
    centres = {"neighbour_centre": search(sound.landscape, circle, settings, sound.seeds).cpu()}
    store = measure_sets(joinable, settings, nulls=True).merge(labelled(VARIABLES, centres, {"seed": sound.seeds}))
    return everyone.flagged(store)


def measure_sets(
    optima: Optima,
    settings: Settings,
    arrange: Callable[[Sequence[int], Tensor], Tensor] = lambda _seeds, corners: corners,
    nulls: bool = False,
) -> xr.Dataset:
    """Measure the centres of connectors between random sets of optima.

    Args:
        optima: that did not diverge.
        settings: of the measurement.
        arrange: a set's seeds and its optima (m, P) -> the optima that are joined in their place (m, P).
        nulls: search from random points and from initialisations too.

    Returns:
        loss and score over (size, set, place, split), nats and fractions; place is the optima (their mean), the
        linear centroid, the connector's centre, and where the nulls end. Centres over (size, set, param). nan where
        there are fewer sets than `settings.sets`.
    """
    landscape, by_seed, sizes = optima.landscape, optima.by_seed, settings.sizes
    names = [*PLACES, *(NULLS if nulls else ())]
    sides = {"place": len(names), "split": len(SPLITS), "member": max(sizes), "param": landscape.dim}
    values = {}
    for name, variable in VARIABLES.items():
        if variable.dims[:2] == SETS:
            shape = (len(sizes), settings.sets, *(sides[dim] for dim in variable.dims[2:]))
            values[name] = np.full(shape, -1) if name == "members" else np.full(shape, np.nan, np.float32)
    for number, size in enumerate(sizes):
        chosen = draw_sets(optima.seeds, size, settings.sets)
        corners = torch.stack([arrange(seeds, torch.stack([by_seed[seed] for seed in seeds])) for seeds in chosen])
        centroid = corners.mean(1)
        starts = {"centre": centroid} | (null_starts(optima, chosen, size) if nulls else {})
        count = len(starts)
        ends = search(landscape, corners.repeat(count, 1, 1), settings, [*range(len(chosen))] * count,
                      torch.cat([*starts.values()]))  # fmt: skip
        found_at = dict(zip(starts, ends.split(len(chosen)), strict=True))
        centre = found_at["centre"]
        here = (number, slice(len(chosen)))
        for place, points in {"optima": corners.flatten(0, 1), "centroid": centroid, **found_at}.items():
            for column, split in enumerate(SPLITS):
                for name, found in landscape.evaluate(points, split).items():
                    means = found.reshape(len(chosen), -1).mean(1)
                    values[name][(*here, names.index(place), column)] = means.cpu()
        shift, edges = centre - centroid, corners[:, 1:] - corners[:, :1]
        lengths = (shift.norm(dim=1)[:, None] * edges.norm(dim=2)).clamp_min(1e-30)
        values["members"][(*here, slice(size))] = chosen
        values["displacement"][here] = shift.norm(dim=1).cpu()
        values["cosine"][here] = ((edges @ shift[:, :, None])[:, :, 0] / lengths).abs().amax(1).cpu()
        values["spread"][here] = (corners - centroid[:, None]).norm(dim=2).mean(1).cpu()
        values["centre"][here] = centre.cpu()
    return labelled(VARIABLES, values, {"size": sizes, "place": names, "split": list(SPLITS)})


def neighbour_centres(connectors: xr.Dataset, optima: Optima) -> Tensor:
    """Return the centres (K, P) of the connectors of some optima with the next two, as they are stored."""
    return torch.from_numpy(connectors["neighbour_centre"].sel(seed=optima.seeds).values).to(optima.points)


def work(case: Case, settings: Settings) -> Work:
    """Count the searches for the centres of random sets and of neighbours, the nulls, and the losses."""
    return work_on_sets(case, settings, nulls=True) + searching(case, settings, case.seeds)


def work_on_sets(case: Case, settings: Settings, nulls: bool = False) -> Work:
    """Count the searches for the centres of random sets of all sizes, and the losses."""
    total = Work()
    for size in settings.sizes:
        sets = min(settings.sets, case.all_seeds // size)
        beside = (1 + (case.all_seeds > size)) if nulls else 0
        total += searching(case, settings, (1 + beside) * sets)
        total += evaluations(case.model, sets * (size + 2 + beside))
    return total


def searching(case: Case, settings: Settings, sets: int) -> Work:
    """Count the search for the centres of some sets together."""
    return Work({Step(case.model, sets, settings.batch_size): settings.steps})


CLAIMS = ("connector", "connector_null")


def claims(connectors: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate for each m how far a connector's centre lies below the linear centroid, and below the nulls, in decades.

    The first is a check: the centre's position is optimised, so it lies below the centroid unless the search fails.
    """
    losses = np.log10(connectors["loss"].sel(split="train"))

    def below(size: int, place: str) -> tuple[Estimate, int]:
        part, members = losses.sel(size=size), connectors["members"].sel(size=size).values
        ratio = (part.sel(place="centre") - part.sel(place=place)).values
        ratio = np.where(only_fit(connectors, members), ratio, np.nan)
        return intervals.sets(ratio, members), int((members[:, 0] >= 0).sum() - np.isfinite(ratio).sum())

    for size in connectors["size"].values.tolist():
        found, lost = below(size, "centroid")
        yield Claim("connector", "log10(loss at the centre / at the centroid)", found, {"size": size}, lost)
        found, lost = below(size, "random")
        quantity = "log10(loss at the centre / where the same search ends from a random point)"
        other = {"from an initialisation": below(size, "initialisation")[0]}
        yield Claim("connector_null", quantity, found, {"size": size}, lost, other)
