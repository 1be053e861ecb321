"""Random hyperplanes: how many random directions a descent needs to reach a low loss (docs/science.md, Hyperplanes)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.base import Landscape, Slice
from wedgescape.landscapes.operations import Case, Projection, Step, Work, evaluations
from wedgescape.landscapes.spans import HELD_BYTES, RandomSpan, Span
from wedgescape.numerics.intervals import Interval, Intervals
from wedgescape.numerics.judging import Claim, fit
from wedgescape.stores.zarr_stores import Variable, as_json, as_rows, labelled
from wedgescape.study.places import AtWidths, Tell
from wedgescape.study.sections import Count, Counts, Fraction, PositiveNumber, Section, key
from wedgescape.training.descent import Descent, Recipe, descend
from wedgescape.training.optima import TrainedOptima


class Settings(Section):
    """Descents in random hyperplanes through the initialisation, at every width swept and at the base setting."""

    dimensions: Counts = key(
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096],
        "Numbers d of dimensions, tried in order until every seed has reached the fraction below. A d that exceeds the "
        "network's parameters is replaced by their number.",
        smoke=[2, 8, 32],
    )
    seeds: Count = key(8, "Number of seeds that descend (the first N).", smoke=3)
    learning_rate: PositiveNumber = key(0.2, "Learning rate of the descent (Adam), which falls to 0 along a cosine.")
    epochs: Count = key(20, "Epochs of each descent.", smoke=2)
    batch_size: Count = key(128, "Examples per step.", smoke=64)
    score_fraction: Fraction = key(
        0.9,
        "The threshold is the d at which the training score reaches this fraction of the same seed's optimum's.",
    )


SPLITS = ("train", "test")


def descend_in_hyperplanes(
    landscape: Landscape, starts: Tensor, count: int, recipe: Recipe, steps: int, seeds: Sequence[int]
) -> Descent:
    """Descend from K points, each inside a random affine hyperplane through it (our definition, after Li et al. 2018).

    A point is theta = start + A^T c with c optimised from 0; the rows of A are d random unit vectors (`RandomSpan`).

    Args:
        landscape: in R^P.
        starts: (K, P).
        count: d, dimensions of each hyperplane.
        recipe: of the descent over c.
        steps: of the descent.
        seeds: K numbers; each draws its own hyperplane. One of fewer dimensions lies in one of more.

    Returns:
        The descent, its points lifted to (K, P).

    Raises:
        InputError: if d exceeds P.
    """
    if not 1 <= count <= landscape.dim:
        allowed = f"1 to {landscape.dim}, the dimensions of the space"
        raise InputError(f"hyperplane: found {count} dimensions; allowed: {allowed}")
    span = RandomSpan(count, landscape.dim, seeds, device=starts.device, dtype=starts.dtype)
    return descend_within(landscape, starts, span, recipe, steps, seeds)


def descend_within(
    landscape: Landscape, starts: Tensor, span: Span | RandomSpan, recipe: Recipe, steps: int, seeds: Sequence[int]
) -> Descent:
    """Descend from K points, each inside the affine space through it along a span; see `descend_in_hyperplanes`.

    Args:
        landscape: in R^P.
        starts: (K, P).
        span: the same for all points, or one for each.
        recipe: of the descent over coordinates.
        steps: of the descent.
        seeds: K numbers, of the orders of examples.

    Returns:
        The descent, its points lifted to (K, P).
    """
    cut = Slice(landscape, starts, span)
    descent = descend(cut, torch.zeros(len(starts), span.count).to(starts), recipe, steps, seeds)
    descent.points = cut.lift(descent.points)
    return descent


def capped(dimensions: Sequence[int], dim: int) -> list[int]:
    """Return dimensions in order, those beyond P replaced by P: a hyperplane of P dimensions is the whole space."""
    return sorted({min(int(dimension), dim) for dimension in dimensions})


def first_reaching(dimensions: Sequence[int], values, target: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest number of dimensions at which each seed reaches a target, interpolated in log d.

    Args:
        dimensions: (D,), rising.
        values: (D, K), larger is better; nan counts as not reached.
        target: one for all or (K,).

    Returns:
        thresholds (K,) and how each is censored (K,): "no"; "above" where no d reaches the target and the threshold is
        nan; "below" where the smallest d, 2 or more, reaches it already, and the threshold may be lower than that d.
    """
    dimensions, values = np.asarray(dimensions, dtype=float), np.asarray(values, dtype=float)
    targets = np.broadcast_to(np.asarray(target, dtype=float), values.shape[1:])
    thresholds, censored = np.full(len(targets), np.nan), np.full(len(targets), "above", dtype="U5")
    for k, (column, wanted) in enumerate(zip(values.T, targets, strict=True)):
        reached = np.flatnonzero(column >= wanted)
        if not len(reached):
            continue
        last = reached[0]
        thresholds[k], censored[k] = dimensions[last], "no" if last or dimensions[0] == 1 else "below"
        if last and np.isfinite(column[last - 1]):
            part = (wanted - column[last - 1]) / (column[last] - column[last - 1])
            ends = np.log(dimensions[last - 1 : last + 1])
            thresholds[k] = np.exp(ends[0] + part * (ends[1] - ends[0]))
    return thresholds, censored


def search(
    landscape: Landscape,
    starts: Tensor,
    dimensions: Sequence[int],
    recipe: Recipe,
    steps: int,
    seeds: Sequence[int],
    enough: Callable[[dict[str, np.ndarray]], np.ndarray],
    tell: Callable[[str], None] = lambda _text: None,
) -> dict[str, np.ndarray]:
    """Descend in hyperplanes of more and more dimensions, until every seed has reached enough on one of them.

    Args:
        landscape: in R^P.
        starts: (K, P).
        dimensions: (D,), rising, at most P.
        recipe: of the descents.
        steps: of each descent.
        seeds: K numbers, of hyperplanes and orders of examples.
        enough: from values (K, split) of one d, by name, to (K,) bool. Whoever has once had enough counts as done.
        tell: receives a line of progress per d.

    Returns:
        Values (D, K, split) as `Landscape.evaluate` names them, and `distance` (D, K) from the start; nan where the
        search had ended, and where a descent diverged.
    """
    shape = (len(dimensions), len(seeds))
    found: dict[str, np.ndarray] = {}
    done = np.zeros(len(seeds), dtype=bool)
    for place, count in enumerate(dimensions):
        points = []
        for some in torch.arange(len(seeds)).split(RandomSpan.fitting(count, landscape.dim)):
            chosen = [seeds[k] for k in some]
            points.append(descend_in_hyperplanes(landscape, starts[some], count, recipe, steps, chosen).points)
        points = torch.cat(points)
        values = [landscape.evaluate(points, split) for split in SPLITS]
        here = {name: torch.stack([value[name] for value in values], 1).cpu().numpy() for name in values[0]}
        here["distance"] = (points - starts).norm(dim=1).cpu().numpy()
        for name, value in here.items():
            found.setdefault(name, np.full(shape + value.shape[1:], np.nan, dtype=np.float32))[place] = value
        done |= enough(here)
        tell(f"{count} dimensions: {int(done.sum())} of {len(seeds)} seeds have reached enough")
        if done.all():
            break
    return found


ALONG = ("dimension", "seed", "split")
VARIABLES = {
    "loss": Variable(ALONG, "mean cross-entropy at the end of a descent in a random hyperplane", "nat"),
    "score": Variable(ALONG, "score there", "1"),
    "distance": Variable(ALONG[:2], "Euclidean distance from the initialisation", "weights"),
    "full_loss": Variable(ALONG[1:], "mean cross-entropy after training in the full space", "nat"),
    "full_score": Variable(ALONG[1:], "score after training in the full space", "1"),
    "threshold": Variable(
        ("seed",),
        "dimensions at which the fraction of the full space's training score is reached, interpolated in log d; "
        "nan where it never is",
        "1",
    ),
    "censored": Variable(("seed",), "no; above: never reached; below: reached on the smallest hyperplane"),
}
EXPECTED_THRESHOLD = 512  # dimensions at which every seed has reached its fraction, as found on digits
MEMORY = 4000  # MB
MINUTES = 120


def measure(optima: TrainedOptima, settings: Settings = Settings(), tell: Tell = lambda _text: None) -> xr.Dataset:
    """Measure how far networks descend in random hyperplanes through their initialisations, and the threshold d_90.

    Adam's rate falls to zero along a cosine. The threshold of a seed is the smallest d, interpolated in log d, at which
    the training score reaches a fraction of that at the seed's own optimum; nothing is chosen by the test split.
    Hyperplanes of more and more dimensions are tried until every seed has reached it; what lies beyond is not measured,
    nan.

    Args:
        optima: of one setting, whose landscape also evaluates score.
        settings: of the measurement.
        tell: receives a line of progress per d.

    Returns:
        A dataset over (dimension, seed, split).
    """
    optima = optima.first(settings.seeds)
    landscape, train = optima.landscape, SPLITS.index("train")
    dimensions = capped(settings.dimensions, landscape.dim)
    recipe = _recipe(settings)
    full = [landscape.evaluate(optima.points, split) for split in SPLITS]
    full = {name: torch.stack([values[name] for values in full], 1).cpu().numpy() for name in ("loss", "score")}
    targets = settings.score_fraction * full["score"][:, train]
    found = search(
        landscape,
        optima.starts,
        dimensions,
        recipe,
        settings.epochs * recipe.steps_per_epoch(landscape.examples),
        optima.seeds,
        # A seed that diverged in the full space has no target: nothing waits for it.
        lambda values: (values["score"][:, train] >= targets) | ~np.isfinite(targets),
        tell,
    )
    thresholds, censored = first_reaching(dimensions, found["score"][:, :, train], targets)
    values = {
        **{name: found[name] for name in ("loss", "score", "distance")},
        **{f"full_{name}": value for name, value in full.items()},
        "threshold": thresholds,
        "censored": censored,
    }
    descent = {"optimizer": recipe.optimizer, "schedule": recipe.schedule}
    descent |= {key: getattr(settings, key) for key in ("learning_rate", "epochs", "batch_size")}
    attributes = {
        "parameters": landscape.dim,
        "width": optima.training["model"]["width"],
        "dimensions_asked": as_json(settings.dimensions),
        "score_fraction": settings.score_fraction,
        "descent": as_json(descent),
        "directions": "landscapes.spans.RandomSpan(dimension, parameters, seeds) regenerates the hyperplanes",
    }
    coordinates = {"dimension": dimensions, "seed": optima.seeds, "split": list(SPLITS)}
    return optima.flagged(labelled(VARIABLES, values, coordinates, attributes))


def _recipe(settings: Settings) -> Recipe:
    return Recipe("adam", settings.learning_rate, batch_size=settings.batch_size, schedule="cosine")


def work(case: Case, settings: Settings) -> Work:
    """Count descents in hyperplanes up to the expected threshold."""
    model, dim, count = case.model, case.parameters, min(settings.seeds, case.seeds)
    tried = capped(settings.dimensions, dim)
    enough = [d for d in tried if d >= EXPECTED_THRESHOLD][:1]
    steps = settings.epochs * _recipe(settings).steps_per_epoch(case.data.examples["train"])
    total = evaluations(model, count)
    for d in [d for d in tried if d < EXPECTED_THRESHOLD] + enough:
        # A step lifts and projects; rows are drawn once where they can be held, which takes five products.
        passes = 2 * steps + 5 if d * dim <= HELD_BYTES else 10 * steps
        total += Work({Step(model, count, settings.batch_size): steps, Projection(model): count * d * dim * passes})
        total += evaluations(model, count)
    return total


CLAIMS = ("hyperplane",)


def claims(hyperplanes: AtWidths, intervals: Intervals) -> Iterator[Claim]:
    """Estimate at each width the share of random directions that are enough to descend, in decades.

    A seed that never reached the threshold gives a bound: it needs more than the most that was tried. Seeds that are no
    optima in the full space have no threshold, are left out and counted.
    """
    for store in hyperplanes.values():
        kept, dim = fit(store).values, store.attrs["parameters"]
        above = store["censored"].values == "above"
        needed = np.where(above, float(measured(store).max()), store["threshold"].values)
        censored = np.select([above, store["censored"].values == "below"], [1, -1], 0)
        found = intervals.bounds(np.log10(needed / dim)[kept], censored[kept])
        names = {"width": store.attrs["width"]}
        share = f"{store.attrs['score_fraction']:.0%}"
        quantity = f"log10(dimensions for {share} of the training accuracy / parameters)"
        yield Claim("hyperplane", quantity, found, names, int((~kept).sum()))


def measured(store: xr.Dataset) -> np.ndarray:
    """Return the dimensions that were tried before every seed had reached its target."""
    tried = np.isfinite(store["loss"]).any(("seed", "split")).values
    tried[:1] = True  # also where every seed diverged, so that nothing is left of its descents
    return store["dimension"].values[tried]


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row per (dimension, seed) measured, with the threshold of its seed and how that is censored."""
    wide = [
        store[name].sel(split=split, drop=True).rename(f"{split}_{name}")
        for split in SPLITS
        for name in ("loss", "score")
    ]
    relative = (store["score"] / store["full_score"]).sel(split="train", drop=True).rename("relative_score")
    merged = xr.merge([*wide, relative, store[["distance", "threshold", "censored"]]])
    columns = [*(part.name for part in wide), relative.name, "distance", "threshold", "censored"]
    table = as_rows(merged, ("dimension", "seed"), columns)
    table = table[table["dimension"].isin(measured(store))].reset_index(drop=True)
    return table.assign(parameters=store.attrs["parameters"])


def mean_threshold(store: xr.Dataset, intervals: Intervals) -> Interval:
    """Return the geometric mean of thresholds over seeds with its interval, without seeds that are no optima.

    Nan with an unbounded interval where a seed never reached its target: a mean over the others would be too low.
    """
    kept = fit(store).values
    if (store["censored"].values[kept] == "above").any():
        return Interval(np.nan, -np.inf, np.inf)
    found = intervals.mean(np.log(store["threshold"].values[kept]))
    return Interval(*(float(np.exp(end)) for end in (found.estimate, found.low, found.high)))
