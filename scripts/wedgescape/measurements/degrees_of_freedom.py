"""Degrees of freedom: how many random directions are still needed after a part of training (docs/science.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.operations import Case, Projection, Step, Work, evaluations
from wedgescape.landscapes.spans import HELD_BYTES, RandomSpan, Span, random_directions
from wedgescape.measurements.hyperplanes import capped, descend_within, first_reaching
from wedgescape.measurements.tunnels import excess
from wedgescape.numerics.intervals import Estimate, Intervals
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, Counts, Fraction, Parts, PositiveNumber, Section, key
from wedgescape.training.descent import Recipe
from wedgescape.training.optima import TrainedOptima
from wedgescape.training.repeated import Repeated, steps_of
from wedgescape.training.train import recipe_of


class Settings(Section):
    """Descents in random planes through the weights after a part of the training."""

    seeds: Count = key(6, "Number of networks (the first N seeds).", smoke=4)
    parts: Parts = key(
        [0, 0.0125, 0.025, 0.05],
        "After which parts of the steps of the training planes are laid through the weights. The training loss there "
        "should be above the one that `loss_fraction` asks for.",
        smoke=[0, 0.25],
    )
    planes: Count = key(2, "Random planes per network, the same at all parts.", smoke=1)
    dimensions: Counts = key(
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048],
        "Numbers d of dimensions. A d that exceeds the network's parameters is replaced by their number.",
        smoke=[2, 16],
    )
    loss_fraction: Fraction = key(
        0.05, "The training loss to be reached, as a share of the way from the optimum's to chance."
    )
    learning_rate: PositiveNumber = key(0.2, "Learning rate of the descent (Adam), which falls to 0 along a cosine.")
    epochs: Count = key(20, "Epochs of each descent.", smoke=1)
    batch_size: Count = key(128, "Examples per step.", smoke=64)
    snapshots: Count = key(
        16, "Snapshots of the training, evenly spaced, whose main directions span the lottery plane.", ge=2, smoke=2
    )


MINUTES = 60
MEMORY = 4000  # MB
APART = 2**32  # between the numbers of a network's planes, so that no plane is that of another network
EXPECTED = 200  # dimensions that are needed, as found on digits
RANDOM = 8  # random steps of the same distance
STARTS = ("trained", "equal distance", "equal loss")
HALVINGS = 20  # to find equal losses on a line
OF_PLANES = ("start", "seed", "part", "plane")
ON_THE_WAY = ("seed", "part")
CENSORED = "no; above: no d is enough; below: the smallest d is, or none is needed"
VARIABLES = {
    "threshold": Variable(
        OF_PLANES, "dimensions at which the descent reaches the target, interpolated in log d; a bound if censored", "1"
    ),
    "censored": Variable(OF_PLANES, CENSORED),
    "lottery_threshold": Variable(("seed",), "the same in the plane of the training's main directions", "1"),
    "lottery_censored": Variable(("seed",), CENSORED),
    "loss": Variable(("start", *ON_THE_WAY), "training loss where planes are laid", "nat"),
    "random_loss": Variable(ON_THE_WAY, "mean training loss as far from the optimum in random directions", "nat"),
    "distance": Variable(ON_THE_WAY, "Euclidean distance from the optimum", "weights"),
    "target": Variable(("seed",), "training loss to be reached", "nat"),
}

Plane = Callable[[int, int, int], Span | RandomSpan]  # number of the plane, d, points -> its first d directions


def random_planes(like: Tensor) -> Plane:
    """Return random planes through points such as these (K, P); a plane lies in each of more dimensions."""

    def plane(number: int, count: int, points: int) -> Span | RandomSpan:
        of = {"device": like.device, "dtype": like.dtype}
        if 4 * count * like.shape[1] > HELD_BYTES:
            return RandomSpan(count, like.shape[1], [number] * points, **of)
        return Span(RandomSpan(count, like.shape[1], [number], **of).directions(0).to(like))

    return plane


def thresholds(
    landscape: Landscape,
    starts: Tensor,
    targets: Tensor,
    plane: Plane,
    numbers: Sequence[int],
    dimensions: Sequence[int],
    recipe: Recipe,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return from how many dimensions on a descent reaches a loss, for K points, each in a plane of its own.

    A plane that reaches it does so too within any larger one. So d is bracketed by halving, and then interpolated in
    log d between the largest that fails and the smallest that does not. Points of one plane are moved together.

    Args:
        landscape: in R^P.
        starts: (K, P).
        targets: (K,), losses.
        plane: from its number, d and how many points it is for, to its directions.
        numbers: K, of the planes, and the seeds of the orders of examples.
        dimensions: (D,), rising.
        recipe: of the descent over coordinates.
        steps: of each descent.

    Returns:
        thresholds (K,) and how each is censored (K,), as `hyperplanes.first_reaching`; but a bound where no d is
        enough, and "below" where the start has reached its target already.
    """
    shape, each = (len(dimensions), len(starts)), np.arange(len(starts))
    goals, numbers = targets.double().cpu().numpy(), np.asarray(numbers)
    losses, there = np.full(shape, np.nan), _losses(landscape, starts)
    low, high = np.full(len(starts), -1), np.where(there <= goals, 0, len(dimensions))
    low[~np.isfinite(there)] = len(dimensions) - 1  # what diverged is not searched
    while (high - low > 1).any():
        middle, is_open = (low + high) // 2, high - low > 1
        for number, place in sorted({(numbers[k], middle[k]) for k in each[is_open]}):
            group = each[is_open & (numbers == number) & (middle == place)]
            span = plane(int(number), dimensions[place], len(group))
            orders = [int(number)] * len(group)
            found = descend_within(landscape, starts[group.tolist()], span, recipe, steps, orders)
            losses[place, group] = _losses(landscape, found.points)
        reached = losses[middle.clip(0, len(dimensions) - 1), each] <= goals
        high, low = np.where(is_open & reached, middle, high), np.where(is_open & ~reached, middle, low)
    found, censored = first_reaching(dimensions, -losses, -goals)
    found[censored == "above"] = dimensions[-1]
    found[there <= goals], censored[there <= goals] = dimensions[0], "below"
    found[~np.isfinite(there)] = np.nan
    return found, censored


def _losses(landscape: Landscape, points: Tensor) -> np.ndarray:
    with torch.no_grad():
        return landscape.losses(points).double().cpu().numpy()


def main_directions(snapshots: Tensor, start: Tensor) -> Tensor:
    """Return orthonormal directions (n, P) in which snapshots (n, P) of a training lie from its start, main ones first.

    Together they span all snapshots: the lottery subspace of Larsen, Fort, Becker & Ganguli (2022).
    """
    return torch.linalg.svd(snapshots - start, full_matrices=False)[2]


def straight(starts: Tensor, ends: Tensor, distances: Tensor) -> Tensor:
    """Return the points (K, P) on lines from starts to ends that lie at distances (K,) from the ends."""
    return ends + (starts - ends) * (distances / (starts - ends).norm(dim=1))[:, None]


def straight_to_loss(landscape: Landscape, starts: Tensor, ends: Tensor, losses: Tensor) -> Tensor:
    """Return points (K, P) on lines from starts to ends with losses (K,); starts, where these have no higher loss."""
    low, high = torch.zeros(len(starts)).to(starts), torch.ones(len(starts)).to(starts)
    for _halving in range(HALVINGS):
        middle = (low + high) / 2
        with torch.no_grad():
            below = landscape.losses(ends + middle[:, None] * (starts - ends)) < losses
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return ends + high[:, None] * (starts - ends)


def measure(optima: TrainedOptima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure from how many random directions on a descent reaches a low loss (Larsen, Fort, Becker & Ganguli 2022).

    A plane of d dimensions goes through the weights after a part t of the training, which is repeated so far. The share
    of planes in which the descent reaches the target is P_s(d, t). Planes are nested, so that each has one threshold
    and P_s is the share of thresholds up to d. d*(t) is their geometric mean: the estimate of Spearman and Kaerber of
    where half succeed, which needs no fit, while thresholds are too alike for a logistic curve.

    d* falls for two reasons: the weights come nearer to the optimum, and they come to differ from it in other
    directions. Two controls separate them: the points on the straight line from the initialisation to the optimum that
    are as far from the optimum, and that have the same loss. The loss as far from it in random directions is beside.

    It makes no sense for the toy model, which nobody trained, and cannot be had of networks trained elsewhere;
    `thresholds` takes any landscape, points and planes.

    Args:
        optima: of one setting; the first `settings.seeds` are measured.
        settings: of the measurement.

    Returns:
        Thresholds over (start, seed, part, plane), losses and distances.

    Raises:
        InputError: if nothing says how the networks were trained.
    """
    optima = optima.first(settings.seeds)
    landscape, ends = optima.landscape, optima.points
    repeated = Repeated.of(optima, "degrees_of_freedom", "measurements.degrees_of_freedom.thresholds")
    times = repeated.steps_after(settings.parts)
    kept = sorted({round(repeated.steps * place / settings.snapshots) for place in range(1, settings.snapshots + 1)})
    way = dict(zip(passed := sorted({*times, *kept}), repeated.after(passed), strict=True))
    trained = torch.stack([way[time] for time in times])
    distances = (trained - ends).norm(dim=2)  # (T, K)
    near = [straight(optima.starts, ends, row) for row in distances]
    level = [straight_to_loss(landscape, optima.starts, ends, landscape.losses(row)) for row in trained]
    places = torch.stack([trained, torch.stack(near), torch.stack(level)]).transpose(1, 2)  # (start, K, T, P)
    targets = excess(landscape.losses(ends), settings.loss_fraction, optima.chance_loss)
    recipe, search = _recipe(settings), capped(settings.dimensions, landscape.dim)
    descent = recipe, settings.epochs * recipe.steps_per_epoch(landscape.examples)
    shape = (len(STARTS), len(optima), len(times), settings.planes)
    # The initialisation is on all ways: it is measured once.
    found, censored = np.full(shape, np.nan), np.full(shape, "", dtype="U5")
    asked = [at for at in np.ndindex(shape) if not (at[0] and times[at[2]] == 0)]
    numbers = [optima.seeds[seed] + plane * APART for _start, seed, _time, plane in asked]
    chosen = torch.stack([places[start, seed, time] for start, seed, time, _plane in asked])
    goals = torch.stack([targets[seed] for _start, seed, _time, _plane in asked])
    for at, value, how in zip(
        asked,
        *thresholds(landscape, chosen, goals, random_planes(ends), numbers, search, *descent),
        strict=True,
    ):
        found[at], censored[at] = value, how
    if times[0] == 0:
        found[1:, :, 0], censored[1:, :, 0] = found[0, :, 0], censored[0, :, 0]
    ticket = _lottery(optima, torch.stack([way[time] for time in kept]), targets, search, descent)
    values = {
        "threshold": found,
        "censored": censored,
        "lottery_threshold": ticket[0],
        "lottery_censored": ticket[1],
        "loss": _losses(landscape, places.flatten(0, 2)).reshape(shape[:3]),
        "random_loss": _random_losses(optima, distances.T),
        "distance": distances.T.cpu(),
        "target": targets.cpu(),
    }
    coordinates = {
        "start": list(STARTS),
        "seed": optima.seeds,
        "part": described(("part",), np.array(times) / repeated.steps, "part of the training", "1"),
        "plane": range(settings.planes),
    }
    attributes = {
        "loss_fraction": settings.loss_fraction,
        "parameters": landscape.dim,
        "largest": search[-1],
        "smallest": search[0],
    }
    return optima.flagged(labelled(VARIABLES, values, coordinates, attributes))


def _recipe(settings: Settings) -> Recipe:
    return Recipe("adam", settings.learning_rate, batch_size=settings.batch_size, schedule="cosine")


def _lottery(
    optima: TrainedOptima, snapshots: Tensor, targets: Tensor, dimensions: Sequence[int], descent: tuple[Recipe, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return `thresholds` from the initialisations in the planes of their snapshots' (n, K, P) main directions."""
    starts, found, censored = optima.starts, np.full(len(optima), np.nan), np.full(len(optima), "above", dtype="U5")
    for k in np.flatnonzero(~optima.diverged):
        directions = main_directions(snapshots[:, k], starts[k])
        tried = capped(dimensions, len(directions))
        one = slice(k, k + 1)
        found[one], censored[one] = thresholds(
            optima.landscape,
            starts[one],
            targets[one],
            lambda _number, count, _points, rows=directions: Span(rows[:count]),
            optima.seeds[one],
            tried,
            *descent,
        )
    return found, censored


def _random_losses(optima: TrainedOptima, distances: Tensor) -> np.ndarray:
    """Return the mean loss (K, T) at random points at distances (K, T) from the optima."""
    found = np.full(distances.shape, np.nan)
    for k, (seed, point) in enumerate(zip(optima.seeds, optima.points, strict=True)):
        ways = random_directions(RANDOM, len(point), "steps from the optimum", seed).to(point)
        after = point + distances[k][:, None, None] * ways  # (T, n, P)
        found[k] = _losses(optima.landscape, after.flatten(0, 1)).reshape(-1, RANDOM).mean(1)
    return found


def work(case: Case, settings: Settings) -> Work:
    """Count the training that is repeated, and the descents of halving."""
    training, examples = case.study.training(case.setting)["training"], case.data.examples["train"]
    recipe, count = recipe_of(training, examples), min(settings.seeds, case.seeds)
    kind = (recipe.batch_size, recipe.optimizer, bool(recipe.dropout), bool(recipe.sharpness_radius))
    total = Work({Step(case.model, count, *kind): steps_of(training, examples)})
    steps = settings.epochs * _recipe(settings).steps_per_epoch(examples)
    tried = capped(settings.dimensions, case.parameters)
    places = (len(settings.parts) - 1) * len(STARTS) + 1  # the initialisation is where all ways begin
    low, high = -1, len(tried)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tried[middle] > EXPECTED else (middle, high)
        # Directions are read once for all points of a plane.
        total += Work({
            Step(case.model, places, settings.batch_size): steps * count * settings.planes,
            Projection(case.model): 2 * steps * count * settings.planes * tried[middle] * case.parameters,
        })  # fmt: skip
    rounds = math.ceil(math.log2(len(tried) + 1))
    points = count * len(settings.parts) * (len(STARTS) * (1 + settings.planes * rounds) + RANDOM + HALVINGS)
    total += Work({Step(case.model, 1, settings.batch_size): steps * count * math.ceil(math.log2(settings.snapshots))})
    return total + evaluations(case.model, points, ["train"])


def needed(store: xr.Dataset, start: str) -> tuple[np.ndarray, np.ndarray]:
    """Return log10 d* (K, T) and how each is censored: -1 a bound from above, 1 from below, 0 none; nan where both."""
    chosen = store.sel(start=start).transpose("seed", "part", "plane")
    logs, how = np.log10(chosen["threshold"].values).mean(2), chosen["censored"].values
    above, below = (how == "above").any(2), (how == "below").any(2)
    return np.where(above & below, np.nan, logs), above.astype(int) - below


def trend(parts: np.ndarray, logs: np.ndarray, censored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope of values (K, T) in time, times the span of times, and how each is censored (K,).

    A bound at an early time bounds the slope from one side, at a late time from the other. Where they bound it from
    both sides it is nan.

    Args:
        parts: (T,), at least two times.
        logs: (K, T).
        censored: (K, T), -1 where the truth is at most the value, 1 where it is at least the value, else 0.
    """
    away = parts - parts.mean()
    weights = away / (away**2).sum() * np.ptp(parts)
    signs = np.sign(weights) * censored
    up, down = (signs > 0).any(1), (signs < 0).any(1)
    return np.where(up & down, np.nan, logs @ weights), up.astype(int) - down


CLAIMS = ("freedom_falls", "freedom_beyond")


def claims(degrees_of_freedom: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate by how many decades d* falls, and by how many more than on the straight line, by distance and by loss.

    The slope of log10 d* in t, per seed, over all times measured. Where a network has reached the target before the
    last time, d* is only bounded from above there.
    """
    store, lost = degrees_of_freedom.isel(seed=fit(degrees_of_freedom).values), left_out(degrees_of_freedom)
    parts = store["part"].values
    if len(parts) < 2:
        return

    def estimate(logs: np.ndarray, censored: np.ndarray, chosen: Sequence[int] | slice = slice(None)) -> Estimate:
        return intervals.bounds(*trend(parts[chosen], logs[:, chosen], censored[:, chosen]))

    logs, censored = needed(store, "trained")
    cases, control = {"": (logs, censored)}, []
    for start in STARTS[1:]:
        line, bounded = needed(store, start)
        # A difference of two bounds of one kind has no bound.
        both = np.where((censored != 0) & (censored == bounded), np.nan, 0.0)
        cases[start.removeprefix("equal ")] = logs - line + both, np.clip(censored - bounded, -1, 1)
        control.append(f"straight line at {start} {estimate(line, bounded).estimate:.2g}")
    for name, case in cases.items():
        ways = {"first and last time alone": estimate(*case, [0, -1])}
        text = f"the same, minus that on the straight line at equal {name}" if name else "slope of log10(d*) in time"
        yield Claim("freedom_beyond" if name else "freedom_falls", f"{text}, decades over the times measured",
                    estimate(*case), {"control": name} if name else {}, lost, ways, "; ".join(control),
                    "slope over all times")  # fmt: skip


def successes(found: xr.DataArray, censored: xr.DataArray, dimensions: np.ndarray) -> np.ndarray:
    """Return the share (T, D) of planes in which the target is reached with at most so many dimensions (D,).

    Args:
        found: thresholds over `part` and planes, over seeds and what else there is.
        censored: how each is.
        dimensions: (D,).
    """
    reached = found.where((censored != "above") & found.notnull(), np.inf).transpose("part", ...).values
    return (reached.reshape(len(reached), -1)[:, :, None] <= np.asarray(dimensions)).mean(1)
