"""By how much several estimates differ at most: without choosing the two that happen to lie farthest apart."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wedgescape.numerics.intervals import Estimate, Intervals, StudentT


@dataclass(frozen=True)
class Leaving:
    """An estimate with what it would be without each of the units that it rests on.

    Args:
        estimate: from all units.
        without: (n,), without each; nan for a unit that it does not rest on.
        units: (n,), what the units are, such as seeds; two estimates may share some.
    """

    estimate: float
    without: np.ndarray
    units: Sequence

    @property
    def count(self) -> int:
        """How many units it rests on."""
        return int(np.isfinite(self.without).sum())


@dataclass(frozen=True)
class Largest:
    """What is known of the largest absolute value among several differences.

    That it is large is said of the one that shows it best, with a p-value multiplied by the number of differences
    (Bonferroni); that it is small only if each of them is (an intersection-union test, which needs no correction).
    """

    differences: tuple[StudentT, ...]

    def below(self, value: float) -> float:
        """Return the p-value of the hypothesis that the largest is at most a value."""
        sizes = [StudentT(abs(one.estimate), one.error, one.freedom) for one in self.differences]
        return min(1.0, len(sizes) * min(size.below(value) + size.below(-value) for size in sizes))

    def above(self, value: float) -> float:
        """Return the p-value of the hypothesis that the largest is at least a value."""
        return max(max(one.above(value), one.below(-value)) for one in self.differences)

    def ends(self, confidence: float) -> tuple[float, float]:
        """Return the ends of the interval."""
        each = 1 - (1 - confidence) / len(self.differences)
        low = [abs(one.estimate) - (one.ends(each)[1] - one.estimate) for one in self.differences]
        high = [abs(one.estimate) + (one.ends(confidence)[1] - one.estimate) for one in self.differences]
        return max(0.0, *low), max(high)


def largest_difference(found: Mapping[str, Leaving], intervals: Intervals) -> Estimate:
    """Return the largest absolute difference between any two of several estimates, with its interval.

    Two that share units are compared without each unit in turn (the jackknife), two that share none by the sum of
    their variances with Welch's degrees of freedom.

    Args:
        found: name -> estimate, at least two.
        intervals: how intervals are computed.
    """
    known = Largest(tuple(_difference(*pair) for pair in itertools.combinations(found.values(), 2)))
    low, high = known.ends(intervals.confidence)
    estimate = max(abs(one.estimate) for one in known.differences)
    return Estimate(estimate, low, high, "seed", min(one.count for one in found.values()), known)


def _difference(first: Leaving, second: Leaving) -> StudentT:
    estimate = first.estimate - second.estimate
    moves = [_moves(one) for one in (first, second)]
    shared = set(moves[0]) & set(moves[1])
    if shared:
        units = set(moves[0]) | set(moves[1])
        squares = [(moves[0].get(unit, 0.0) - moves[1].get(unit, 0.0)) ** 2 for unit in units]
        return StudentT(estimate, float(np.sqrt(sum(squares))), min(first.count, second.count) - 1)
    parts = [sum(move**2 for move in part.values()) for part in moves]
    freedom = sum(parts) ** 2 / sum(part**2 / (one.count - 1) for part, one in zip(parts, (first, second), strict=True))
    return StudentT(estimate, float(np.sqrt(sum(parts))), int(freedom))


def _moves(one: Leaving) -> dict:
    """Return by how much the estimate moves without each unit, scaled so that the squares sum to its variance."""
    kept = np.isfinite(one.without)
    values, count = np.asarray(one.without)[kept], one.count
    scaled = np.sqrt((count - 1) / count) * (values - values.mean())
    return dict(zip(np.asarray(one.units)[kept].tolist(), scaled.tolist(), strict=True))
