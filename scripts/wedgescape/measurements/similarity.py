"""How alike networks are: as functions, in weight space, and by the barrier between them (science, section 9).

Matrices are over all pairs of K members, in float64 and on the CPU. They are exactly symmetric; a member that is not
finite has a row and a column of nan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import normalize

from wedgescape.landscapes.base import SPLITS, Landscape
from wedgescape.landscapes.lines import barrier_along
from wedgescape.stores.zarr_stores import described
from wedgescape.study.sections import Section, key


class Settings(Section):
    """How alike the networks of a point are, as functions and in weight space; of every point of a grid."""

    points: int = key(
        41,
        "Points on the straight line from each optimum to the next at which its barrier is sought, ends included.",
        ge=3,
        smoke=5,
    )


NUMBERS_AT_ONCE = 2**21  # of one member that become float64 together


# As functions


def disagreement(probabilities: Tensor) -> Tensor:
    """Return on which fraction of examples two members predict different classes: (K, N, C) -> (K, K).

    The class predicted is the one of the largest probability, the first of several.
    """
    classes = probabilities.argmax(2).cpu()  # (K, N)

    def differing(k: int, others: slice) -> Tensor:
        return (classes[k] != classes[others]).double().mean(1)

    return _matrix(probabilities, differing, 0.0)


def jensen_shannon(probabilities: Tensor) -> Tensor:
    """Return the mean Jensen-Shannon divergence of two members' predictions: (K, N, C) -> (K, K), nats.

    Of distributions p and q with the middle m = (p + q) / 2 it is H(m) - (H(p) + H(q)) / 2, between 0 and ln 2
    (Lin 1991). H(p) = -sum_c p_c ln p_c.
    """
    count = probabilities.shape[1]
    entropy = torch.stack([sum(_entropy(part).sum() for part in _parts(member)) for member in probabilities])

    def divergence(k: int, others: slice) -> Tensor:
        middle = torch.zeros(len(probabilities[others]), dtype=torch.float64)
        for row, other in enumerate(probabilities[others]):
            pairs = zip(_parts(probabilities[k]), _parts(other), strict=True)
            middle[row] = sum(_entropy((p + q) / 2).sum() for p, q in pairs)
        return ((middle - (entropy[k] + entropy[others]) / 2) / count).clamp(0, np.log(2))  # rounding goes beyond

    return _matrix(probabilities, divergence, 0.0)


def probability_cosine(probabilities: Tensor) -> Tensor:
    """Return the mean cosine of the angle between two members' probability vectors: (K, N, C) -> (K, K)."""
    count = probabilities.shape[1]

    def cosine(k: int, others: slice) -> Tensor:
        sums = torch.zeros(len(probabilities[others]), dtype=torch.float64)
        for row, other in enumerate(probabilities[others]):
            pairs = zip(_parts(probabilities[k]), _parts(other), strict=True)
            sums[row] = sum((normalize(p, dim=-1) * normalize(q, dim=-1)).sum() for p, q in pairs)
        return (sums / count).clamp(0, 1)

    return _matrix(probabilities, cosine, 1.0)


def _entropy(probabilities: Tensor) -> Tensor:
    """-p ln p, element by element; 0 where p is 0."""
    return torch.special.entr(probabilities)


# In weight space


def weight_cosine(points: Tensor) -> Tensor:
    """Return the cosines of the angles between weight vectors, seen from the origin: (K, P) -> (K, K)."""
    norms = torch.stack([_inner(point, point) for point in points]).sqrt()

    def cosine(k: int, others: slice) -> Tensor:
        products = torch.stack([_inner(points[k], other) for other in points[others]])
        return (products / (norms[k] * norms[others])).clamp(-1, 1)

    return _matrix(points, cosine, 1.0)


def weight_distance(points: Tensor) -> Tensor:
    """Return the Euclidean distances of weight vectors: (K, P) -> (K, K), weights."""

    def distance(k: int, others: slice) -> Tensor:
        # From differences: |x|^2 + |y|^2 - 2 x y would lose the distance of near neighbours to rounding.
        rows = [zip(_parts(points[k]), _parts(other), strict=True) for other in points[others]]
        return torch.stack([sum((x - y).square().sum() for x, y in pairs) for pairs in rows]).sqrt()

    return _matrix(points, distance, 0.0)


def _inner(first: Tensor, second: Tensor) -> Tensor:
    return sum((x * y).sum() for x, y in zip(_parts(first), _parts(second), strict=True))


def _parts(member: Tensor):
    """Yield a member (N, ...) as float64 on the CPU, some of its rows at a time."""
    rows = max(1, NUMBERS_AT_ONCE // max(1, member[0].numel()))
    for part in member.split(rows):
        yield part.cpu().double()


def _matrix(members: Tensor, compare: Callable[[int, slice], Tensor], itself: float) -> Tensor:
    """Return the matrix (K, K) of comparisons of each member with those after it, and on its diagonal `itself`."""
    count = len(members)
    matrix = torch.full((count, count), itself, dtype=torch.float64)
    for k in range(count - 1):
        matrix[k, k + 1 :] = matrix[k + 1 :, k] = compare(k, slice(k + 1, count))
    lost = torch.tensor([not bool(member.isfinite().all()) for member in members], dtype=torch.bool)
    matrix[lost] = matrix[:, lost] = torch.nan
    return matrix


# At one point of the grid


MATRICES = {
    "disagreement": ("fraction of test examples on which two seeds predict different classes", "1"),
    "jensen_shannon": ("mean Jensen-Shannon divergence of two seeds' predictions, test split", "nat"),
    "probability_cosine": ("mean cosine of two seeds' predicted probabilities, test split", "1"),
    "weight_cosine": ("cosine of the angle between two seeds' weights, seen from the origin", "1"),
    "weight_distance": ("Euclidean distance between two seeds' weights", "weights"),
}


def measure(
    landscape: Landscape, optima: Tensor, seeds: Sequence[int], diverged: Sequence[bool], points: int
) -> xr.Dataset:
    """Measure how alike the networks of one point of the grid are (our definition).

    Runs that diverged are in no pair: their rows are nan, and a line leads past them to the next sound seed, the
    last one's to the first.

    Args:
        landscape: that also predicts and evaluates accuracy.
        optima: (K, P).
        seeds: K.
        diverged: (K,), runs that left the finite numbers.
        points: on each straight line, ends included.

    Returns:
        `MATRICES` over (seed, other); the barrier to the next seed and which that is, loss and error over seeds.
    """
    diverged = np.asarray(diverged, dtype=bool)
    sound = np.flatnonzero(~diverged)
    kept = optima[torch.from_numpy(sound).to(optima.device)]
    count = len(optima)
    matrices = {name: np.full((count, count), np.nan) for name in MATRICES}
    loss, error, barriers = (np.full((count, len(SPLITS)), np.nan) for _ in range(3))
    following = np.full(count, -1)
    if len(sound):
        probabilities = landscape.predictions(kept, "test")
        for name, matrix in matrices.items():
            members = probabilities if name in FUNCTIONS else kept
            matrix[np.ix_(sound, sound)] = COMPARISONS[name](members)
        for column, split in enumerate(SPLITS):
            values = landscape.evaluate(kept, split)
            loss[sound, column], error[sound, column] = values["loss"].cpu(), 1 - values["accuracy"].cpu()
    if len(sound) > 1:
        following[sound] = np.asarray(seeds)[np.roll(sound, -1)]
        for column, split in enumerate(SPLITS):
            barriers[sound, column] = barrier_along(landscape, kept, kept.roll(-1, 0), points, split)
    variables = {
        name: described(("seed", "other"), matrices[name], text, units) for name, (text, units) in MATRICES.items()
    } | {
        "barrier": described(
            ("seed", "split"), barriers,
            "largest excess of the loss over the chord on the straight line to the next sound seed", "nat",
        ),
        "next": described(("seed",), following, "the seed that the straight line leads to; -1 where there is none"),
        "loss": described(("seed", "split"), loss, "mean cross-entropy of the seed's network", "nat"),
        "error": described(("seed", "split"), error, "fraction of examples that the seed's network gets wrong", "1"),
        "diverged": described(("seed",), diverged, "the run left the finite numbers"),
    }  # fmt: skip
    coordinates = {"seed": list(seeds), "other": list(seeds), "split": list(SPLITS)}
    return xr.Dataset(variables, coordinates, {"line_points": points})


FUNCTIONS = {
    "disagreement": disagreement,
    "jensen_shannon": jensen_shannon,
    "probability_cosine": probability_cosine,
}
COMPARISONS = FUNCTIONS | {"weight_cosine": weight_cosine, "weight_distance": weight_distance}
