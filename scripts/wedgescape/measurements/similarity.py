"""How alike networks are: as functions, in weight space, and by the barrier between them (docs/science.md, Ensembles).

Matrices are over all pairs of K members, in float64 and on the CPU. They are exactly symmetric; a member that is not
finite has a row and a column of nan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import normalize

from wedgescape.landscapes.base import SPLITS
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.operations import Case, Comparison, Evaluation, Work, evaluations
from wedgescape.numerics.judging import Claim
from wedgescape.numerics.pairs import pairs_in_circle
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.sections import Count, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """How alike the networks of a setting are, as functions and in weight space, at every setting of a grid."""

    neighbours: Count = key(
        2,
        "Straight lines lead from each optimum to so many on either side, in a circle of all seeds.",
        smoke=1,
    )
    points: int = key(
        21,
        "Points on the straight line between two optima at which its barrier is sought, ends included.",
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


def linear_cka(outputs: Tensor) -> Tensor:
    """Return the linear centred kernel alignment of two members' outputs: (K, N, C) -> (K, K) (Kornblith et al. 2019).

    |Y^T X|^2 / (|X^T X| |Y^T Y|) of outputs X and Y (N, C) whose columns have mean 0, with Frobenius norms: 1 for
    outputs that are equal up to a rotation, a scale and a shift, about 0 for unrelated ones of many examples.
    """
    centred = [_centred(member) for member in outputs]
    norms = torch.stack([(member.T @ member).norm() for member in centred])

    def alignment(k: int, others: slice) -> Tensor:
        products = torch.stack([(other.T @ centred[k]).square().sum() for other in centred[others]])
        return (products / (norms[k] * norms[others])).clamp(0, 1)

    return _matrix(outputs, alignment, 1.0)


def _centred(member: Tensor) -> Tensor:
    member = member.cpu().double()
    return member - member.mean(0)


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


FUNCTIONS = {
    "disagreement": disagreement,
    "jensen_shannon": jensen_shannon,
    "probability_cosine": probability_cosine,
}
COMPARISONS = FUNCTIONS | {"weight_cosine": weight_cosine, "weight_distance": weight_distance}


# At one setting


OF_CLASSES = True  # it compares predicted probabilities, or which labels are predicted

VARIABLES = {
    "disagreement": Variable(
        ("seed", "other"), "fraction of test examples on which two seeds predict different classes", "1"
    ),
    "jensen_shannon": Variable(
        ("seed", "other"), "mean Jensen-Shannon divergence of two seeds' predictions, test split", "nat"
    ),
    "probability_cosine": Variable(
        ("seed", "other"), "mean cosine of two seeds' predicted probabilities, test split", "1"
    ),
    "weight_cosine": Variable(
        ("seed", "other"), "cosine of the angle between two seeds' weights, seen from the origin", "1"
    ),
    "weight_distance": Variable(("seed", "other"), "Euclidean distance between two seeds' weights", "weights"),
    "barrier": Variable(
        ("seed", "split"),
        "largest excess of the loss over the chord on the straight line to another seed, mean over this seed's lines",
        "nat",
    ),
    "pair_barrier": Variable(
        ("pair", "split"), "largest excess of the loss over the chord on the straight line between two seeds", "nat"
    ),
    "members": Variable(("pair", "end"), "the seeds of a pair; every seed is in equally many"),
    "loss": Variable(("seed", "split"), "mean cross-entropy of the seed's network", "nat"),
    "error": Variable(("seed", "split"), "fraction of examples that the seed's network gets wrong", "1"),
}


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure how alike the networks of one setting are (our definition).

    Runs that are no optima are in no pair: their rows are nan. The others stand in a circle, in which straight lines
    lead from each to its nearest neighbours, so that each is in equally many pairs.

    Args:
        optima: of one setting, whose landscape also predicts and evaluates score.
        settings: of the measurement.

    Returns:
        Comparisons over (seed, other); barriers over pairs and, as means, over seeds; loss and error over seeds.
    """
    landscape, finite = optima.landscape, int((~optima.diverged).sum())
    chosen = optima.fit(min(2, finite))
    sound = np.flatnonzero(np.isin(optima.seeds, chosen.seeds))
    count, seeds = len(optima), np.asarray(optima.seeds)
    values = {name: np.full((count, count), np.nan) for name in COMPARISONS}
    values |= {name: np.full((count, len(SPLITS)), np.nan) for name in ("barrier", "loss", "error")}
    pairs = pairs_in_circle(len(sound), settings.neighbours)
    values["members"] = seeds[sound][pairs]
    values["pair_barrier"] = np.full((len(pairs), len(SPLITS)), np.nan)
    if len(sound):
        kept = chosen.points
        probabilities = landscape.predictions(kept, "test")
        for name, compare in COMPARISONS.items():
            values[name][np.ix_(sound, sound)] = compare(probabilities if name in FUNCTIONS else kept)
        for column, split in enumerate(SPLITS):
            seen = landscape.evaluate(kept, split)
            values["loss"][sound, column] = seen["loss"].cpu()
            values["error"][sound, column] = 1 - seen["score"].cpu()
    if len(pairs):
        starts, ends = (kept[end] for end in pairs.T)
        for column, split in enumerate(SPLITS):
            lines = barrier_along(landscape, starts, ends, settings.points, split)
            values["pair_barrier"][:, column] = lines
            values["barrier"][sound, column] = [lines[(pairs == k).any(1)].mean() for k in range(len(sound))]
    names = [f"{one}-{other}" for one, other in values["members"]]
    coordinates = {"seed": optima.seeds, "other": optima.seeds, "split": list(SPLITS)}
    coordinates |= {"pair": names, "end": ["first", "second"]}
    return optima.flagged(labelled(VARIABLES, values, coordinates, {"line_points": settings.points}))


def work(case: Case, settings: Settings) -> Work:
    """Count predictions, comparisons of all pairs, and lines between some."""
    lines = len(pairs_in_circle(case.seeds, settings.neighbours))
    pairs = Work({Comparison(case.model): math.comb(case.seeds, 2), Evaluation(case.model, "test"): case.seeds})
    return evaluations(case.model, case.seeds + lines * settings.points) + pairs


def claims() -> Iterator[Claim]:
    """Claim nothing of it alone; `analysis.phase_diagram` compares it with other statistics."""
    return iter(())
