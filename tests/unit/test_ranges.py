"""The largest of several differences: intervals that cover although the two that differ most were not chosen before."""

import math

import numpy as np
import pytest

from wedgescape.numerics.intervals import Intervals, StudentT
from wedgescape.numerics.ranges import Largest, Leaving, largest_difference

SEEDS = 12


def mean_of(values, units=range(SEEDS)):
    """The mean of values (n,), one per unit."""
    values = np.asarray(values, dtype=float)
    return Leaving(float(values.mean()), (values.sum() - values) / (len(values) - 1), list(units)[: len(values)])


def test_two_means_of_the_same_seeds_differ_as_their_paired_differences_do():
    draw = np.random.default_rng(0)
    effects = draw.standard_normal(SEEDS)
    first, second = effects + 3, effects + 0.1 * draw.standard_normal(SEEDS)
    found = largest_difference({"first": mean_of(first), "second": mean_of(second)}, Intervals())
    wanted = Intervals().mean(first - second)
    assert (found.estimate, found.low, found.high) == pytest.approx((wanted.estimate, wanted.low, wanted.high))
    assert found.p_at_least(3.05) == pytest.approx(wanted.p_at_least(3.05))
    assert found.p_at_most(2.9) == pytest.approx(wanted.p_at_most(2.9))
    assert (found.unit, found.units) == ("seed", SEEDS)


def test_two_means_of_different_units_differ_as_by_welch():
    draw = np.random.default_rng(1)
    first, second = draw.standard_normal(8), 2 + 3 * draw.standard_normal(30)
    points = [f"point {place}" for place in range(30)]
    found = largest_difference({"first": mean_of(first), "second": mean_of(second, points)}, Intervals())
    (known,) = found.known.differences
    assert known.error == pytest.approx(math.hypot(first.std(ddof=1) / 8**0.5, second.std(ddof=1) / 30**0.5))
    assert 30 < known.freedom < 37
    assert found.units == 8


def test_large_is_said_of_one_difference_and_small_of_all():
    one, other = StudentT(0.5, 0.1, 20), StudentT(-0.1, 0.2, 20)
    known = Largest((one, other))
    assert known.below(0.3) == pytest.approx(2 * (one.below(0.3) + one.below(-0.8 + 0.5)), rel=0.2)
    assert known.above(0.3) == max(one.above(0.3), one.below(-0.3))
    low, high = known.ends(0.95)
    assert low < one.estimate - 0.2  # wider than one difference alone has it: 2.09 standard errors
    assert high == pytest.approx(one.ends(0.95)[1])
    assert known.below(0.0) < 0.01


@pytest.mark.parametrize(("centres", "truth"), [((0, 0, 0, 0), 0.0), ((0, 0, 0, 1), 1.0), ((-0.5, 0, 0, 0.5), 1.0)])
def test_the_interval_covers_the_truth_and_no_verdict_comes_of_choosing(centres, truth):
    """Three estimates share seeds, the fourth rests on points; the rule lies at 1."""
    draw, held, verdicts = np.random.default_rng(2), [], []
    points = [f"point {place}" for place in range(32)]
    for _study in range(400):
        effects = draw.standard_normal(SEEDS)
        made = [centre + effects + draw.standard_normal(SEEDS) for centre in centres[:3]]
        found = {str(k): mean_of(values) for k, values in enumerate(made)}
        found["points"] = mean_of(centres[3] + draw.standard_normal(32), points)
        estimate = largest_difference(found, Intervals())
        held.append(estimate.low <= truth <= estimate.high)
        verdicts.append([estimate.p_at_most(1.0) <= 0.025, truth == 1 and estimate.p_at_least(1.0) <= 0.025])
    assert np.mean(held) > 0.93
    assert (np.mean(verdicts, axis=0) < 0.045).all()
