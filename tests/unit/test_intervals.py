"""Intervals on samples whose answers are known: they cover what they say, and never less on normal data."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from wedgescape.numerics.intervals import Intervals, rank_correlations, standard_error
from wedgescape.numerics.randomness import stream

INTERVALS = Intervals(0.95, 400)
UNBOUNDED = (-math.inf, math.inf)


def ends(interval):
    return interval.low, interval.high


def coverage(found, truth):
    return np.mean([one.low <= truth <= one.high for one in found])


# One number per seed


def test_the_mean_of_seeds_has_students_interval():
    sample = stream("test samples").normal(3.0, 2.0, 7)
    found = INTERVALS.mean(sample)
    wanted = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert ends(found) == pytest.approx((wanted.low, wanted.high))
    assert (found.estimate, found.unit, found.units) == (pytest.approx(sample.mean()), "seed", 7)
    assert found.p_at_most(1.0) == pytest.approx(stats.ttest_1samp(sample, 1.0, alternative="greater").pvalue)
    assert found.p_at_least(1.0) == pytest.approx(stats.ttest_1samp(sample, 1.0, alternative="less").pvalue)


@pytest.mark.parametrize("count", [4, 6, 12, 20])
def test_intervals_over_seeds_cover_as_often_as_they_say(count):
    samples = stream("test samples", count).normal(3.0, 2.0, (3000, count))
    assert 0.94 < coverage([INTERVALS.mean(sample) for sample in samples], 3.0) < 0.96


def test_too_few_values_say_nothing_about_spread():
    assert math.isnan(INTERVALS.mean([]).estimate)
    for values in ([], [np.nan], [7.0], [7.0, np.nan]):
        found = INTERVALS.mean(values)
        assert ends(found) == UNBOUNDED
        assert (found.p_at_most(0.0), found.p_at_least(0.0)) == (1.0, 1.0)


def test_equal_values_have_no_spread():
    found = INTERVALS.mean([0.5] * 7)
    assert (found.estimate, *ends(found)) == (0.5, 0.5, 0.5)
    assert (found.p_at_most(0.4), found.p_at_most(0.5), found.p_at_least(0.6)) == (0.0, 1.0, 0.0)


def test_values_that_are_not_finite_are_left_out():
    found = INTERVALS.mean([1.0, np.nan, 2.0, np.inf, 4.0])
    assert (found.estimate, found.units) == (pytest.approx(7 / 3), 3)


# Pairs


def all_pairs(count):
    return np.array([(i, j) for i in range(count) for j in range(i)])


def ring(count):
    return np.stack([np.arange(count), (np.arange(count) + 1) % count], 1)


@pytest.mark.parametrize("count", [4, 6, 12, 20])
@pytest.mark.parametrize("design", [all_pairs, ring])
@pytest.mark.parametrize("effect", [1.0, 0.0], ids=["seeds have effects", "seeds have none"])
def test_intervals_over_pairs_are_never_too_short(count, design, effect):
    draw, members, found = stream("test pairs", count), design(count), []
    for _ in range(800):
        seeds = effect * draw.normal(size=count)
        values = 2.0 + seeds[members].sum(1) + 0.5 * draw.normal(size=len(members))
        found.append(INTERVALS.pairs(values, members))
    assert coverage(found, 2.0) >= 0.93


def test_pairs_taken_for_independent_would_be_far_too_short():
    """Why the jackknife: with seed effects, an interval over 66 pairs of 12 seeds covers half of the time."""
    draw, members = stream("test pairs", 1), all_pairs(12)
    values = [draw.normal(size=12)[members].sum(1) for _ in range(500)]
    assert coverage([INTERVALS.mean(value) for value in values], 0.0) < 0.7


def test_pairs_count_their_seeds_as_units():
    found = INTERVALS.pairs([1.0, 2.0, 4.0, np.nan], [(0, 1), (1, 2), (0, 2), (2, 3)])
    assert (found.estimate, found.unit, found.units) == (pytest.approx(7 / 3), "seed, in pairs", 3)
    without = np.array([2.0, 4.0, 1.0])  # the pairs that each seed is not in
    error = math.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    assert found.high - found.estimate == pytest.approx(stats.t.ppf(0.975, 2) * error)


def test_two_seeds_make_one_pair_and_no_interval():
    assert ends(INTERVALS.pairs([1.0], [(0, 1)])) == UNBOUNDED


def test_the_jackknife_of_a_mean_is_students_interval():
    sample = stream("test samples").normal(size=9)
    without = [np.delete(sample, place).mean() for place in range(9)]
    assert ends(INTERVALS.jackknife(sample.mean(), without)) == pytest.approx(ends(INTERVALS.mean(sample)))


# Sets


def test_disjoint_sets_are_units():
    found = INTERVALS.sets([1.0, 2.0, np.nan], [[0, 1], [2, 3], [4, 5]])
    assert (found.unit, found.units) == ("disjoint set", 2)


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_intervals_over_all_sets_are_never_too_short(effect):
    """The largest of a set's three pairs, in all sets of 3 of 6 seeds, with effects of seeds and of pairs."""
    draw, sets = stream("test all sets", int(effect)), np.array(list(itertools.combinations(range(6), 3)))

    def largest(count, seeds):
        own, pairs = draw.normal(size=(count, seeds)), draw.normal(size=(count, seeds, seeds))
        both = effect * (own[:, :, None] + own[:, None]) + pairs
        chosen = np.array(list(itertools.combinations(range(seeds), 3)))
        return np.max([both[:, chosen[:, one], chosen[:, other]] for one, other in ((0, 1), (0, 2), (1, 2))], 0)

    found = [INTERVALS.all_sets(values, sets) for values in largest(1500, 6)]
    assert coverage(found, largest(100_000, 3).mean()) >= 0.93
    assert (found[0].unit, found[0].units) == ("seed, in sets", 6)


def test_all_sets_of_two_are_all_pairs():
    pairs, values = all_pairs(5), stream("test all pairs").normal(size=10)
    found, wanted = INTERVALS.all_sets(values, pairs), INTERVALS.pairs(values, pairs)
    assert (found.estimate, *ends(found)) == pytest.approx((wanted.estimate, *ends(wanted)))
    assert ends(INTERVALS.all_sets([1.0], [(0, 1)])) == UNBOUNDED


def test_sets_that_share_a_seed_are_refused():
    with pytest.raises(ValueError, match="share a seed"):
        INTERVALS.sets([1.0, 2.0], [[0, 1, -1], [1, 2, -1]])
    INTERVALS.sets([1.0, np.nan], [[0, 1, -1], [1, 2, -1]])  # a set without a value shares nothing


# Shares


@pytest.mark.parametrize(("hits", "low", "high"), [(12, 0.025 ** (1 / 12), 1.0), (0, 0.0, 1 - 0.025 ** (1 / 12))])
def test_a_share_has_an_interval_also_where_all_trials_agree(hits, low, high):
    """With all of n trials alike, the other end of the exact interval is where that still has 2.5 % of the chance."""
    found = INTERVALS.share(hits, 12)
    assert found.estimate == hits / 12
    assert ends(found) == pytest.approx((low, high))
    assert INTERVALS.share(12, 12).p_at_most(0.5) == pytest.approx(0.5**12)


# Seeds and examples


@pytest.mark.parametrize("count", [4, 12])
def test_intervals_over_seeds_and_examples_are_never_too_short(count):
    draw, found = stream("test examples", count), []
    for _ in range(400):
        seeds, examples = 0.1 * draw.normal(size=(count, 1)), 0.3 * draw.normal(size=(1, 120))
        found.append(INTERVALS.examples(0.2 + seeds + examples + draw.normal(size=(count, 120))))
    assert coverage(found, 0.2) >= 0.93


def test_a_difference_that_rests_on_few_examples_is_not_certain():
    """Seven predictions of 4320 differ: certain if the images are taken for fixed, open if they are drawn, too."""
    values = np.zeros((12, 360))
    values[[0, 1, 2, 3, 5, 7, 9], [3, 3, 3, 3, 3, 3, 3]] = -1.0
    assert INTERVALS.mean(values.mean(1)).high < 0
    assert INTERVALS.examples(values).high >= 0


# Correlations


def test_correlations_are_within_strata_and_seed_by_seed():
    levels = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0])
    x = np.repeat(levels[:, None], 5, 1)
    y = np.repeat(np.array([3.0, 2.0, 1.0, 13.0, 12.0, 11.0])[:, None], 5, 1)  # falls within, rises between strata
    strata = [range(3), range(3, 6)]
    assert rank_correlations(x, y, strata) == pytest.approx(-np.ones((2, 5)))
    found = INTERVALS.correlation(x, y, strata)
    assert (found.estimate, found.units) == (pytest.approx(-1.0), 5)
    assert INTERVALS.correlation(x, y).estimate > 0  # what pooling would say


def test_two_settings_have_no_rank_correlation_and_one_that_does_not_move_has_none():
    assert np.isnan(rank_correlations(np.ones((2, 3)), np.ones((2, 3)))).all()
    assert np.isnan(rank_correlations(np.arange(12.0).reshape(4, 3), np.ones((4, 3)))).all()


def test_intervals_of_no_correlation_cover_zero():
    draws = stream("test trend", 1).standard_normal((2, 600, 5, 12))
    found = [INTERVALS.correlation(x, y) for x, y in zip(*draws, strict=True)]
    assert coverage(found, 0.0) >= 0.93


# Bounds


def test_bounds_leave_that_end_open():
    values = [1.0, 2.0, 3.0, 4.0]
    plain, above = INTERVALS.mean(values), INTERVALS.bounds(values, [0, 0, 0, 1])
    assert (above.low, above.high) == (plain.low, math.inf)
    assert (above.p_at_most(0.0), above.p_at_least(10.0)) == (plain.p_at_most(0.0), 1.0)
    below = INTERVALS.bounds(values, [-1, 0, 0, 0])
    assert (below.low, below.high) == (-math.inf, plain.high)
    assert ends(INTERVALS.bounds(values, [-1, 0, 0, 1])) == UNBOUNDED
    assert ends(INTERVALS.bounds([*values, np.nan], [0, 0, 0, 0, 1])) == ends(plain)


def test_standard_error():
    assert standard_error([1.0, 3.0]) == pytest.approx(1)
    assert math.isnan(standard_error([1.0]))


def test_the_same_values_give_the_same_interval():
    values = stream("test samples").normal(size=(6, 50))
    assert INTERVALS.examples(values) == INTERVALS.examples(values)
