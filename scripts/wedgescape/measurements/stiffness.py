"""Stiffness: whether a step on one example lowers the loss of others too (docs/science.md, Stiffness)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.landscapes.operations import Case, Product, Work
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, Section, key
from wedgescape.training.optima import TrainedOptima


class Settings(Section):
    """Cosines between the gradients of single examples, at the initialisation and at the optimum."""

    seeds: Count = key(12, "Number of optima to measure (the first N seeds).", smoke=4)
    examples: Count = key(200, "Examples of each split (the first N).", smoke=12)
    shuffles: Count = key(2, "Random orders of the labels, the control of classes.", smoke=1)


MINUTES = 60
TIMES = ("initialisation", "optimum")
PAIRS = ("train", "unseen")  # of two training examples, of a training example and a test example
GROUPS = ("within", "between", "within relabelled", "between relabelled")
VARIABLES = {
    "stiffness": Variable(
        ("seed", "time", "pairs", "group"), "mean cosine between the gradients of two examples' losses", "1"
    ),
    "by_class": Variable(
        ("seed", "time", "first", "second"), "the same of a training and a test example, by their classes", "1"
    ),
    "share": Variable(("seed", "time", "pairs"), "share of pairs of one class whose gradients agree in sign", "1"),
}


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosines (N, M) between gradients (N, P) and (M, P); nan where a gradient is zero."""
    first, second = first.double(), second.double()
    return (first / first.norm(dim=1, keepdim=True)) @ (second / second.norm(dim=1, keepdim=True)).T


def grouped(cosine: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the mean cosine within classes and between them.

    Args:
        cosine: (N, M); nan is left out, such as an example with itself.
        first: (N,), classes of the rows.
        second: (M,), classes of the columns.
    """
    same = first[:, None] == second
    return tuple(float(np.nanmean(cosine[mask])) if np.isfinite(cosine[mask]).any() else np.nan
                 for mask in (same, ~same))  # fmt: skip


def measure(optima: TrainedOptima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure how stiff networks are (Fort, Nowak, Jastrzebski & Narayanan 2019).

    The stiffness of two examples is the cosine between the gradients of their losses by the weights: where it is
    positive, a small step on one lowers the loss of the other. Means are over pairs of training examples, and over
    pairs of a training example and a test example, which training has not seen; within a class and between classes.
    Two examples of one label agree for a trivial reason: the gradient by the outputs, p - y, holds the label. So the
    control takes all gradients anew with shuffled labels, and groups them by these. It makes no sense for the toy
    model, which has no examples.

    Args:
        optima: of one setting, whose landscape is a network's cross-entropy.
        settings: of the measurement.

    Returns:
        A dataset over (seed, time, …).
    """
    optima = optima.first(settings.seeds)
    landscapes = [optima.landscape.of_first(settings.examples, split) for split in ("train", "test")]
    labels = [landscape.splits["train"][1].cpu().numpy() for landscape in landscapes]
    classes = optima.landscape.classes
    sizes = {"time": TIMES, "pairs": PAIRS, "group": GROUPS, "first": range(classes), "second": range(classes)}
    coordinates = {"seed": optima.seeds, **{name: list(values) for name, values in sizes.items()}}
    rows = {name: np.full([len(coordinates[dim]) for dim in one.dims], np.nan) for name, one in VARIABLES.items()}
    for k in np.flatnonzero(~optima.diverged):
        for time, point in enumerate((optima.starts[k], optima.points[k])):
            found = _at(landscapes, labels, point, optima.seeds[k], settings.shuffles, classes)
            for name, values in found.items():
                rows[name][k, time] = values
    return optima.flagged(labelled(VARIABLES, rows, coordinates))


def _at(landscapes: list[NetworkLandscape], labels: list[np.ndarray], point: Tensor, seed: int, shuffles: int,
        classes: int) -> dict[str, np.ndarray]:  # fmt: skip
    """Return the variables of one network at one time."""
    draw, mixed = stream("labels of stiffness", seed), []
    for _shuffle in range(shuffles):
        others = [draw.permutation(some) for some in labels]
        found = zip(_cosines(landscapes, point, others), (others[0], others[1]), strict=True)
        mixed.append([grouped(cosine, others[0], second) for cosine, second in found])
    own, across = _cosines(landscapes, point, labels)
    groups, shares = [], []
    for place, cosine in enumerate((own, across)):
        second = labels[place]
        groups.append([*grouped(cosine, labels[0], second), *np.mean([one[place] for one in mixed], axis=0)])
        known = cosine[(labels[0][:, None] == second) & np.isfinite(cosine)]
        shares.append((known > 0).mean() if len(known) else np.nan)
    table = np.full((classes, classes), np.nan)
    for one in range(classes):
        for other in range(classes):
            some = across[np.ix_(labels[0] == one, labels[1] == other)]
            table[one, other] = np.nanmean(some) if np.isfinite(some).any() else np.nan
    return {"stiffness": np.array(groups), "by_class": table, "share": np.array(shares)}


def _cosines(landscapes: list[NetworkLandscape], point: Tensor, labels: list[np.ndarray]) -> list[np.ndarray]:
    """Return the cosines (N, N) of training examples, themselves left out, and (N, M) with test examples."""
    seen, unseen = (
        landscape.example_gradients(point, torch.from_numpy(some).to(point.device))
        for landscape, some in zip(landscapes, labels, strict=True)
    )
    own = cosines(seen, seen).cpu().numpy()
    np.fill_diagonal(own, np.nan)
    return [own, cosines(seen, unseen).cpu().numpy()]


def work(case: Case, settings: Settings) -> Work:
    """Count one gradient of all examples' losses per example and time, which costs about half a product."""
    share = min(1.0, settings.examples / case.data.examples["train"])
    gradients = 2 * 2 * (1 + settings.shuffles) * settings.examples  # of times and splits
    return Work({Product(case.model): min(settings.seeds, case.seeds) * gradients * share / 2})


OF_CLASSES = True  # it compares examples of one class with those of others

CLAIMS = ("stiffness_within", "stiffness_control", "stiffness_between", "stiffness_training")


def claims(stiffness: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate mean cosines between the gradients of a training and a test example, at the optimum.

    Within a class; the same less that with shuffled labels, also at the initialisation; between classes; and by how
    much training has changed it within a class.
    """
    store, lost = stiffness.isel(seed=fit(stiffness).values), left_out(stiffness)
    values = store["stiffness"]
    unseen, seen = (values.sel(pairs=pairs) for pairs in PAIRS[::-1])

    def mean(found: xr.DataArray):
        return intervals.mean(found.transpose("seed").values)

    def change(found: xr.DataArray) -> xr.DataArray:
        return found.sel(time="optimum", group="within") - found.sel(time="initialisation", group="within")

    at = {name: one.sel(time="optimum") for name, one in (("unseen", unseen), ("training examples alone", seen))}
    control = f"shuffled labels {float(at['unseen'].sel(group='within relabelled').mean()):.2g}"
    for rule, quantity, of in (
        ("stiffness_within", "cosine within a class", lambda one: one.sel(group="within")),
        (
            "stiffness_control",
            "cosine within a class, minus that with shuffled labels",
            lambda one: one.sel(group="within") - one.sel(group="within relabelled"),
        ),
        ("stiffness_between", "cosine between classes", lambda one: one.sel(group="between")),
    ):
        ways = {"training examples alone": mean(of(at["training examples alone"]))}
        yield Claim(rule, quantity, mean(of(at["unseen"])), {}, lost, ways, control, "a training and a test example")
    ways = {"training examples alone": mean(change(seen))}
    quantity = "cosine within a class at the optimum, minus that at the initialisation"
    yield Claim("stiffness_training", quantity, mean(change(unseen)), {}, lost, ways,
                specification="a training and a test example")  # fmt: skip
