"""Random hyperplanes: how many random directions a descent needs to reach a low loss (science, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.base import Landscape, Slice
from wedgescape.landscapes.spans import RandomSpan
from wedgescape.numerics.intervals import Interval, bootstrap_mean
from wedgescape.stores.zarr_stores import as_json, as_rows, described
from wedgescape.study.sections import Count, Counts, Fraction, PositiveNumber, Section, key
from wedgescape.training.descent import Descent, Recipe, descend


class Settings(Section):
    """Descents in random hyperplanes through the initialisation, at every width of `sweeps.width`, else at the
    base point."""

    dimensions: Counts = key(
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096],
        "Numbers d of dimensions, tried in order until every seed has reached the fraction below; those that "
        "exceed the network's parameters are replaced by their number.",
        smoke=[2, 8, 32],
    )
    seeds: Count = key(8, "How many of the study's seeds descend; all, where there are fewer.", smoke=3)
    learning_rate: PositiveNumber = key(0.2, "Learning rate of the descent (Adam), which falls to 0 along a cosine.")
    epochs: Count = key(20, "Epochs of each descent.", smoke=2)
    batch_size: Count = key(128, "Examples per step.", smoke=64)
    accuracy_fraction: Fraction = key(
        0.9,
        "The threshold is the d at which the test accuracy reaches this fraction of the same seed's in the full space.",
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
    cut = Slice(landscape, starts, span)
    descent = descend(cut, torch.zeros(len(starts), count).to(starts), recipe, steps, seeds)
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
        tell: receives a line of progress a d.

    Returns:
        Values (D, K, split) as `Landscape.evaluate` names them, and `distance` (D, K) from the start; nan where the
        search had ended, and where a descent left the finite numbers.
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


def measure(
    landscape: Landscape,
    starts: Tensor,
    optima: Tensor,
    seeds: Sequence[int],
    dimensions: Sequence[int],
    learning_rate: float,
    epochs: int,
    batch_size: int,
    accuracy_fraction: float,
    tell: Callable[[str], None] = lambda _text: None,
) -> xr.Dataset:
    """Measure how far networks descend in random hyperplanes through their initialisations, and the threshold d_90.

    Adam's rate falls to zero along a cosine. The threshold of a seed is the smallest d, interpolated in log d, at which
    the test accuracy reaches a fraction of the seed's own in the full space. Hyperplanes of more and more dimensions
    are tried until every seed has reached it; what lies beyond is not measured, nan.

    Args:
        landscape: that also evaluates accuracy.
        starts: (K, P), initialisations.
        optima: (K, P), what the same seeds reached in the full space.
        seeds: K numbers.
        dimensions: of the hyperplanes, rising, at most P (`capped`).
        learning_rate: of Adam.
        epochs: of each descent.
        batch_size: examples a step.
        accuracy_fraction: of the full space's test accuracy: 0.9 makes the threshold d_90.
        tell: receives a line of progress a d.

    Returns:
        A dataset over (dimension, seed, split).

    Raises:
        InputError: if a hyperplane has more dimensions than the network has parameters.
    """
    recipe = Recipe(optimizer="adam", learning_rate=learning_rate, batch_size=batch_size, schedule="cosine")
    full = [landscape.evaluate(optima, split) for split in SPLITS]
    full = {name: torch.stack([values[name] for values in full], 1).cpu().numpy() for name in ("loss", "accuracy")}
    targets = accuracy_fraction * full["accuracy"][:, SPLITS.index("test")]
    found = search(
        landscape,
        starts,
        dimensions,
        recipe,
        epochs * recipe.steps_per_epoch(landscape.examples),
        list(seeds),
        # A seed that diverged in the full space has no target: nothing waits for it.
        lambda values: (values["accuracy"][:, SPLITS.index("test")] >= targets) | ~np.isfinite(targets),
        tell,
    )
    thresholds, censored = first_reaching(dimensions, found["accuracy"][:, :, SPLITS.index("test")], targets)
    along = ("dimension", "seed", "split")
    variables = {
        "loss": described(
            along, found["loss"], "mean cross-entropy at the end of a descent in a random hyperplane", "nat"
        ),
        "accuracy": described(along, found["accuracy"], "accuracy there", "1"),
        "distance": described(along[:2], found["distance"], "Euclidean distance from the initialisation", "weights"),
        "full_loss": described(along[1:], full["loss"], "mean cross-entropy after training in the full space", "nat"),
        "full_accuracy": described(along[1:], full["accuracy"], "accuracy after training in the full space", "1"),
        "threshold": described(
            along[1:2],
            thresholds,
            "dimensions at which the fraction of the full space's test "
            "accuracy is reached, interpolated in log d; nan where it never is",
        ),
        "censored": described(
            along[1:2], censored, "no; above: never reached; below: reached on the smallest hyperplane"
        ),
    }
    attributes = {
        "parameters": landscape.dim,
        "accuracy_fraction": accuracy_fraction,
        "descent": as_json(
            {
                "optimizer": "adam",
                "learning_rate": learning_rate,
                "epochs": epochs,
                "batch_size": batch_size,
                "schedule": "cosine",
            }
        ),
        "directions": "landscapes.spans.RandomSpan(dimension, parameters, seeds) regenerates the hyperplanes",
    }
    return xr.Dataset(
        variables, {"dimension": list(dimensions), "seed": list(seeds), "split": list(SPLITS)}, attributes
    )


def measured(store: xr.Dataset) -> np.ndarray:
    """Return the dimensions that were tried before every seed had reached its target."""
    return store["dimension"].values[np.isfinite(store["loss"]).any(("seed", "split")).values]


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row a (dimension, seed) that was measured, with the threshold of its seed and how that is censored."""
    wide = [
        store[name].sel(split=split, drop=True).rename(f"{split}_{name}")
        for split in SPLITS
        for name in ("loss", "accuracy")
    ]
    relative = (store["accuracy"] / store["full_accuracy"]).sel(split="test", drop=True).rename("relative_accuracy")
    merged = xr.merge([*wide, relative, store[["distance", "threshold", "censored"]]])
    columns = [*(part.name for part in wide), relative.name, "distance", "threshold", "censored"]
    table = as_rows(merged, ("dimension", "seed"), columns)
    table = table[table["dimension"].isin(measured(store))].reset_index(drop=True)
    return table.assign(parameters=store.attrs["parameters"])


def mean_threshold(store: xr.Dataset, confidence: float, resamples: int) -> Interval:
    """Return the mean threshold over seeds with its bootstrap interval, without seeds that diverged in the full space.

    Nan with an unbounded interval where a seed never reached its target: a mean over the others would be too low.
    """
    kept = ~store["diverged"].values.astype(bool)
    if (store["censored"].values[kept] == "above").any():
        return Interval(np.nan, -np.inf, np.inf)
    return bootstrap_mean(store["threshold"].values[kept], confidence, resamples)
