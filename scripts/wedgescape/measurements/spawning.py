"""Spawning: when the order of examples no longer decides where training ends (docs/science.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.operations import Case, Product, Step, Work, evaluations
from wedgescape.landscapes.spans import random_directions
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, Fraction, Parts, Section, key
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima, TrainedOptima
from wedgescape.training.repeated import Repeated, steps_of
from wedgescape.training.train import recipe_of


class Settings(Section):
    """Pairs of networks that share their training up to some time, and then see the examples in different orders."""

    seeds: Count = key(6, "Number of networks that spawn (the first N seeds).", smoke=4)
    parts: Parts = key(
        [0, 0.0125, 0.05, 0.1, 0.2],
        "When children are spawned, as parts of the steps of the training.",
        smoke=[0, 0.5],
    )
    points: Count = key(21, "Points on the line between two children, ends included.", ge=3, smoke=5)
    directions: Count = key(8, "Random steps from each child, as long as half of the line.", smoke=1)
    tolerance: Fraction = key(
        0.02, "Training is stable where the barrier between children is below this share of the way to chance."
    )
    kernel_examples: Count = key(40, "Training examples of the tangent kernel (the first N).", smoke=4)


MINUTES = 60
MEMORY = 4000  # MB, of the gradients of all logits
CHILDREN = 2
APART = 2**32  # between the seeds of a network and of its children, so that no order is that of another network
EARLY = 0.2  # of the steps of the training
OVER_TIME = ("seed", "part")
VARIABLES = {
    "barrier": Variable(OVER_TIME, "barrier of the training loss between children, share of the way to chance", "1"),
    "random_rise": Variable(
        OVER_TIME, "rise of the training loss after random steps of half the children's distance, same share", "1"
    ),
    "distance": Variable(OVER_TIME, "Euclidean distance between the children", "weights"),
    "to_end": Variable(OVER_TIME, "Euclidean distance of the parent from the optimum", "weights"),
    "independent_barrier": Variable(("seed",), "barrier between the optimum and the next seed's, same share", "1"),
    "independent_distance": Variable(("seed",), "Euclidean distance between these optima", "weights"),
    "kernel_distance": Variable(OVER_TIME, "distance of the tangent kernel from that of the optimum", "1"),
    "kernel_other": Variable(OVER_TIME, "distance of the tangent kernel from that of the next seed's optimum", "1"),
    "kernel_independent": Variable(("seed",), "distance between the tangent kernels of these optima", "1"),
    "kernel_angle": Variable(OVER_TIME, "angle between the tangent kernels at this time and at the next", "radian"),
}


def spawn(
    landscape: Landscape, parents: Tensor, recipe: Recipe, steps: int, first_step: int, orders: Sequence[Sequence[int]]
) -> Tensor:
    """Train children of K parents to the end (Frankle, Dziugaite, Roy & Carbin 2020).

    A child goes on with the schedule of the whole training, and without the parent's momentum, so that all children of
    a parent differ in nothing but their streams.

    Args:
        landscape: in R^P.
        parents: (K, P), as they are after `first_step` steps.
        recipe: of the whole training.
        steps: of the whole training.
        first_step: how many of them the parents have behind them.
        orders: C times K numbers, the seeds of each child's order of examples, dropout and noise.

    Returns:
        Children (C, K, P). Equal orders give equal children.
    """
    seeds = [seed for child in orders for seed in child]
    starts = parents.repeat(len(orders), 1)
    found = descend(landscape, starts, recipe, steps, seeds, first_step=first_step)
    return found.points.unflatten(0, (len(orders), -1))


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """Return 1 - <K, K'> / (|K| |K'|) of two kernels (Fort et al. 2020); 0 where one is a multiple of the other."""
    first, second = first.double(), second.double()
    return float(1 - (first * second).sum() / (first.norm() * second.norm()))


def measure(optima: TrainedOptima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure barriers between children spawned on the way, and how far the tangent kernel is from its end.

    The parents are trained again from their initialisations as far as needed, which gives the same weights. Where the
    weights are averages of iterates, children are not averaged. The control for the barrier is a random step from a
    child, as long as half of the children's distance: near an optimum of Hessian H, the barrier over its rise is
    u^T H u / (tr H / P) along the line u. A low barrier between children that hardly differ says nothing.

    It makes no sense for the toy model, which nobody trained, and cannot be had of networks that were trained
    elsewhere, since their training cannot be repeated. `spawn` takes any landscape, points and recipe.

    Args:
        optima: of one setting; the first `settings.seeds` are measured.
        settings: of the measurement.

    Returns:
        Barriers and distances over (seed, part of the training).

    Raises:
        InputError: if nothing says how the networks were trained.
    """
    optima = optima.first(settings.seeds)
    landscape, repeated = optima.landscape, Repeated.of(optima, "spawning", "measurements.spawning.spawn")
    recipe, steps, times = repeated.recipe, repeated.steps, repeated.steps_after(settings.parts)
    way = repeated.after(times)
    values = {name: [] for name in ("barrier", "random_rise", "distance", "to_end")}
    orders = [[seed + child * APART for seed in optima.seeds] for child in range(1, CHILDREN + 1)]
    for parents, time in zip(way, times, strict=True):
        one, other = spawn(landscape.in_training(), parents, recipe, steps, time, orders)
        found = _between(landscape, one, other, optima, settings) | {"to_end": (parents - optima.points).norm(dim=1)}
        for name, numbers in found.items():
            values[name].append(torch.as_tensor(numbers).cpu())
    stacked: dict[str, Tensor | np.ndarray] = {name: torch.stack(rows, 1) for name, rows in values.items()}
    others = optima.points.roll(-1, 0)
    away = _shares(
        optima, landscape.losses(optima.points), barrier_along(landscape, optima.points, others, settings.points)
    )
    stacked |= {"independent_barrier": away, "independent_distance": (optima.points - others).norm(dim=1).cpu()}
    stacked |= _kernels(optima, way, settings.kernel_examples)
    coordinates = {
        "seed": optima.seeds,
        "part": described(("part",), np.array(times) / steps, "part of the training before children are spawned", "1"),
    }
    attributes = {"tolerance": settings.tolerance, "steps": steps, "epochs": repeated.training["epochs"]}
    return optima.flagged(labelled(VARIABLES, stacked, coordinates, attributes))


def _shares(optima: Optima, losses: Tensor, heights) -> np.ndarray:
    """Return heights (K,) in nats as shares of the way from losses (K,) to chance."""
    return np.asarray(heights) / (optima.chance_loss - losses.cpu().double().numpy())


def _between(
    landscape: Landscape, one: Tensor, other: Tensor, optima: Optima, settings: Settings
) -> dict[str, np.ndarray | Tensor]:
    """Return what lies between two children (K, P) of each parent, and what a random step does."""
    ends = torch.stack([landscape.losses(one), landscape.losses(other)]).mean(0)
    distance = (one - other).norm(dim=1)
    rises = []
    for seed, length, pair in zip(optima.seeds, distance / 2, torch.stack([one, other], 1), strict=True):
        ways = random_directions(2 * settings.directions, landscape.dim, "steps from children", seed).to(one)
        after = pair.repeat(settings.directions, 1) + length * ways
        rises.append(float(landscape.losses(after).double().mean() - landscape.losses(pair).double().mean()))
    return {
        "barrier": _shares(optima, ends, barrier_along(landscape, one, other, settings.points)),
        "random_rise": _shares(optima, ends, rises),
        "distance": distance,
    }


def _kernels(optima: Optima, way: Tensor, examples: int) -> dict[str, np.ndarray]:
    """Return the distances of kernels on the way from those at the ends, and the angles between neighbours in time."""
    finite = [bool(row.isfinite().all()) for row in optima.points]
    kernels: list[list[Tensor]] = []
    for points, end, sound in zip(way.transpose(0, 1), optima.points, finite, strict=True):
        kernels.append([optima.landscape.tangent_kernel(point, examples) for point in (*points, end)] if sound else [])
    names = ("kernel_distance", "kernel_other", "kernel_angle")
    found = {name: np.full((len(optima), len(way)), np.nan) for name in names}
    found["kernel_independent"] = np.full(len(optima), np.nan)
    for seed, row in enumerate(kernels):
        other = kernels[(seed + 1) % len(kernels)]
        if row and other:
            found["kernel_independent"][seed] = kernel_distance(row[-1], other[-1])
        for time, kernel in enumerate(row[:-1]):
            found["kernel_distance"][seed, time] = kernel_distance(kernel, row[-1])
            found["kernel_angle"][seed, time] = math.acos(min(1.0, 1 - kernel_distance(kernel, row[time + 1])))
            found["kernel_other"][seed, time] = kernel_distance(kernel, other[-1]) if other else np.nan
    return found


def work(case: Case, settings: Settings) -> Work:
    """Count the parents' steps and the children's, losses on lines and after random steps, and kernels."""
    training, count = case.study.training(case.setting)["training"], min(settings.seeds, case.seeds)
    recipe = recipe_of(training, case.data.examples["train"])
    steps = steps_of(training, case.data.examples["train"])
    times = sorted({round(part * steps) for part in settings.parts})
    kind = (recipe.batch_size, recipe.optimizer, bool(recipe.dropout), bool(recipe.sharpness_radius))
    total = Work({Step(case.model, count, *kind): times[-1]})
    total += Work({Step(case.model, CHILDREN * count, *kind): sum(steps - time for time in times)})
    points = count * (settings.points + 2 * settings.directions + 4)
    total += evaluations(case.model, points * (len(times) + 1), ["train"])
    gradients = settings.kernel_examples * case.data.classes * settings.kernel_examples  # of single examples
    passes = count * (len(times) + 1) * gradients / case.data.examples["train"] / 2
    return total + Work({Product(case.model): passes})


def onset(parts: np.ndarray, barriers: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return from which part of the training on each seed is stable (K,), and which seeds never are (K,).

    From there on, the barrier is below the tolerance at all later times. Interpolated linearly between the last time at
    which it is not and the next; 0 where it never is. For a seed that is not stable at the last time, that time.

    Args:
        parts: (T,), rising.
        barriers: (K, T).
        tolerance: of them.
    """
    starts, never = np.zeros(len(barriers)), np.zeros(len(barriers), dtype=bool)
    for seed, row in enumerate(barriers):
        high = np.flatnonzero(~(row < tolerance))
        if not len(high):
            continue
        last = high[-1]
        never[seed] = last == len(parts) - 1
        starts[seed] = parts[last]
        if not never[seed]:
            share = (row[last] - tolerance) / (row[last] - row[last + 1])
            starts[seed] += share * (parts[last + 1] - parts[last])
    return starts, never


CLAIMS = ("spawning_onset", "spawning_line", "kernel_settles", "kernel_shared")


def claims(spawning: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate when training becomes stable, whether lines between children are flat, and when the kernel settles.

    The line: log10 of the barrier between children of the first time over the rise of a random step, whatever their
    distance. The kernel settles: what is left of its distance to the end, over what is left of the squared distance of
    the weights, log10, mean over the times up to `EARLY`. A kernel that depends linearly on the weights has 0, since
    this distance is of second order; so no schedule passes for a kernel that settles early. The kernel is shared: log10
    of the distance between two seeds' kernels at the end over that of each from its own start.
    """
    lost, kept = left_out(spawning), fit(spawning)
    store, seeds = spawning.where(kept), spawning["seed"].values
    parts, barriers = store["part"].values, store["barrier"].transpose("seed", "part").values
    starts, never = onset(parts, barriers[kept.values], store.attrs["tolerance"])
    first = store.isel(part=0)
    found = intervals.bounds(starts, never.astype(int))
    quantity = "part of the training until the barrier stays low"
    yield Claim("spawning_onset", quantity, found, left_out=lost, control=_said(first))
    with np.errstate(divide="ignore", invalid="ignore"):
        line = np.log10((first["barrier"] / first["random_rise"]).values)
        left = store[["kernel_distance", "to_end"]] / first[["kernel_distance", "to_end"]]
        settled = np.log10(left["kernel_distance"] / left["to_end"] ** 2)
        own, between = (np.log10(one.values) for one in (first["kernel_distance"], store["kernel_independent"]))
    yield Claim("spawning_line", "log10(barrier / rise of a random step)", intervals.mean(line), left_out=lost)
    early = settled.isel(part=(parts > 0) & (parts <= EARLY))
    if early.sizes["part"]:
        text = "log10(share left of the kernel's distance / of the weights' squared distance)"
        yield Claim("kernel_settles", text, intervals.mean(early.mean("part").values), left_out=lost)
    text = "log10(distance between two seeds' kernels at the end / of each from its start)"
    pairs = np.stack([seeds, np.roll(seeds, -1)], 1)
    shared = intervals.pairs(between - (own + np.roll(own, -1)) / 2, pairs)
    yield Claim("kernel_shared", text, shared, left_out=lost)


def _said(first: xr.Dataset) -> str:
    """Say how high the controls are at the first time, as shares of the way to chance."""
    names = {"barrier": "barrier at the first time", "random_rise": "random step", "independent_barrier": "other seed"}
    return "; ".join(f"{text} {float(first[name].mean()):.2g}" for name, text in names.items())
