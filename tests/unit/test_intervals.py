"""Intervals on samples whose answers are known."""

import math

import numpy as np
import pytest
from scipy import stats

from wedgescape.numerics.intervals import (
    bootstrap_correlation,
    bootstrap_mean,
    bootstrap_trend,
    exact_fraction,
    standard_error,
)
from wedgescape.numerics.randomness import stream

UNBOUNDED = (-math.inf, math.inf)


def ends(interval):
    return interval.low, interval.high


# The fraction


@pytest.mark.parametrize(("hits", "low", "high"), [(12, 0.025 ** (1 / 12), 1.0), (0, 0.0, 1 - 0.025 ** (1 / 12))])
def test_interval_of_a_fraction_is_not_empty_where_all_trials_agree(hits, low, high):
    """With all of n trials alike, the other end of the exact interval is where that still has 2.5 % of the chance."""
    interval = exact_fraction(hits, 12)
    assert interval.estimate == hits / 12
    assert ends(interval) == pytest.approx((low, high))


# The mean


def test_mean_of_two_values_has_them_as_its_interval():
    interval = bootstrap_mean([0.0, 1.0])
    assert vars(interval) == {"estimate": 0.5, "low": 0.0, "high": 1.0}


def test_interval_of_the_mean_covers_the_truth_about_as_often_as_it_says():
    """The percentile bootstrap of 20 Gaussian values is known to cover a little less: 93 % instead of 95 %."""
    samples = stream("test samples").normal(3.0, 2.0, (400, 20))
    intervals = [bootstrap_mean(sample, resamples=500) for sample in samples]
    covered = np.mean([interval.low <= 3.0 <= interval.high for interval in intervals])
    assert 0.89 < covered < 0.97
    widths = np.mean([interval.high - interval.low for interval in intervals])
    assert widths == pytest.approx(2 * 1.96 * 2.0 / np.sqrt(20), rel=0.05)
    for sample, interval in zip(samples, intervals, strict=True):
        assert interval.estimate == pytest.approx(sample.mean())
        assert interval.low < interval.estimate < interval.high


def test_interval_of_the_mean_narrows_with_less_confidence():
    sample = stream("test samples").normal(size=200)
    ratio = np.ptp(ends(bootstrap_mean(sample, 0.68))) / np.ptp(ends(bootstrap_mean(sample, 0.95)))
    assert ratio == pytest.approx(0.994 / 1.96, rel=0.1)


def test_values_that_are_not_finite_are_left_out():
    assert bootstrap_mean([1.0, np.nan, 2.0, np.inf, 4.0]) == bootstrap_mean([1.0, 2.0, 4.0])


def test_too_few_values_say_nothing_about_spread():
    assert math.isnan(bootstrap_mean([]).estimate)
    assert math.isnan(bootstrap_mean([np.nan]).estimate)
    assert bootstrap_mean([7.0]).estimate == 7
    for values in ([], [np.nan], [7.0], [7.0, np.nan]):
        assert ends(bootstrap_mean(values)) == UNBOUNDED


def test_equal_values_have_no_spread():
    assert vars(bootstrap_mean([0.5] * 7)) == {"estimate": 0.5, "low": 0.5, "high": 0.5}


# The trend


def noisy(noise, levels=5, seeds=12, key=0):
    """Values (level, seed) that rise with the level, and the levels."""
    values = np.arange(levels)[:, None] + noise * stream("test trend", key).standard_normal((levels, seeds))
    return values, np.geomspace(0.01, 1, levels)


def pairs(values, levels):
    where = np.isfinite(values)
    return np.broadcast_to(np.asarray(levels)[:, None], values.shape)[where], values[where]


@pytest.mark.parametrize("noise", [0.0, 0.3, 2.0, 20.0])
@pytest.mark.parametrize("rounded", [False, True])
def test_trend_is_spearmans_rho_over_all_pairs(noise, rounded):
    values, levels = noisy(noise)
    values = values.round() if rounded else values  # ties
    wanted = stats.spearmanr(*pairs(values, levels)).statistic
    assert bootstrap_trend(values, levels).estimate == pytest.approx(wanted, abs=1e-12)


def test_trend_leaves_diverged_runs_out():
    values, levels = noisy(2.0)
    values[1, 3] = values[4, :5] = np.nan
    interval = bootstrap_trend(values, levels)
    assert interval.estimate == pytest.approx(stats.spearmanr(*pairs(values, levels)).statistic, abs=1e-12)
    assert interval.low < interval.estimate < interval.high
    infinite = np.where(np.isnan(values), np.inf, values)
    assert bootstrap_trend(infinite, levels) == interval


@pytest.mark.parametrize("noise", [0.01, 0.2, 0.5, 2.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_estimate_lies_within_its_interval_also_where_the_correlation_is_nearly_perfect(noise, sign):
    for key in range(20):
        values, levels = noisy(noise, key=key)
        interval = bootstrap_trend(sign * values, levels, resamples=500)
        assert interval.low - 1e-12 <= interval.estimate <= interval.high + 1e-12
        assert interval.low >= -1 - 1e-12
        assert interval.high <= 1 + 1e-12


def test_interval_of_no_trend_covers_zero_about_as_often_as_it_says():
    levels = np.arange(5)
    samples = stream("test trend", 1).standard_normal((200, 5, 12))
    intervals = [bootstrap_trend(sample, levels, resamples=300) for sample in samples]
    assert 0.87 < np.mean([interval.low <= 0 <= interval.high for interval in intervals]) < 0.99


def test_correlation_of_two_measurements_is_spearmans_rho():
    x, y = stream("test trend", 5).standard_normal((2, 4, 9))
    x[0, 2], y[3, 3], y = np.nan, np.inf, y + x
    kept = np.isfinite(x) & np.isfinite(y)
    interval = bootstrap_correlation(x, y)
    assert interval.estimate == pytest.approx(stats.spearmanr(x[kept], y[kept]).statistic, abs=1e-12)
    assert interval.low < interval.estimate < interval.high
    assert vars(bootstrap_correlation(y, x)) == pytest.approx(vars(interval), abs=1e-12)
    assert ends(bootstrap_correlation(x, np.ones((4, 9)))) == UNBOUNDED


def test_standard_error():
    assert standard_error([1.0, 3.0]) == pytest.approx(1)
    assert math.isnan(standard_error([1.0]))


def test_trend_depends_on_ranks_alone():
    values, levels = noisy(1.0)
    assert bootstrap_trend(np.exp(values), np.log(levels)) == bootstrap_trend(values, levels)


def test_whole_seeds_are_drawn():
    """Seeds that all behave alike are no reason to doubt the trend, however noisy it is from level to level."""
    column = np.array([0.0, 3.0, 1.0, 2.0, 4.0])
    interval = bootstrap_trend(np.tile(column[:, None], 8), range(5))
    assert interval.estimate == pytest.approx(stats.spearmanr(range(5), column).statistic)
    assert ends(interval) == pytest.approx((interval.estimate, interval.estimate))


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([[1.0, 2.0, 3.0]], [1.0]),
        ([[1.0, 1.0], [1.0, 1.0]], [1.0, 2.0]),
        ([[1.0, np.nan], [2.0, np.nan]], [1.0, 2.0]),
        ([[np.nan, np.nan], [1.0, 2.0], [np.nan, np.nan]], [1.0, 2.0, 3.0]),
        (np.full((3, 4), np.nan), [1.0, 2.0, 3.0]),
    ],
    ids=["one level", "equal values", "two values", "one level left", "nothing left"],
)
def test_no_trend_can_be_said_of_too_little(values, levels):
    interval = bootstrap_trend(np.array(values), levels)
    assert math.isnan(interval.estimate)
    assert ends(interval) == UNBOUNDED


def test_one_seed_has_a_trend_but_no_interval():
    interval = bootstrap_trend(np.array([[1.0], [2.0], [3.0]]), [1, 2, 3])
    assert interval.estimate == pytest.approx(1)
    assert ends(interval) == UNBOUNDED


def test_intervals_are_the_same_every_time():
    values, levels = noisy(1.0)
    assert bootstrap_trend(values, levels) == bootstrap_trend(values, levels)
    assert bootstrap_mean(values[0]) == bootstrap_mean(values[0])
