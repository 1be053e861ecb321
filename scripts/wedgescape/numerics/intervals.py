"""Intervals: every number comes with its spread over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wedgescape.numerics.randomness import stream


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval; nan where there was nothing to estimate from."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """How intervals are computed: percentile bootstraps over seeds, and exact binomial ones of fractions.

    Args:
        confidence: of every interval.
        resamples: of every bootstrap.
    """

    confidence: float = 0.95
    resamples: int = 2000

    def mean(self, values) -> Interval:
        """Return `bootstrap_mean` of values (n,)."""
        return bootstrap_mean(values, self.confidence, self.resamples)

    def fraction(self, hits: int, count: int) -> Interval:
        """Return `exact_fraction` of hits in a count of trials."""
        return exact_fraction(hits, count, self.confidence)

    def trend(self, values: np.ndarray, levels) -> Interval:
        """Return `bootstrap_trend` of values (level, seed) over levels (level,)."""
        return bootstrap_trend(values, levels, self.confidence, self.resamples)

    def correlation(self, x: np.ndarray, y: np.ndarray) -> Interval:
        """Return `bootstrap_correlation` of two measurements (setting, seed)."""
        return bootstrap_correlation(x, y, self.confidence, self.resamples)


def bootstrap_mean(values, confidence: float = 0.95, resamples: int = 2000) -> Interval:
    """Return the mean of values (n,) with its percentile bootstrap interval; nan values are left out.

    With fewer than two values the interval is unbounded: one seed says nothing about spread.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else np.nan, -np.inf, np.inf)
    drawn = stream("bootstrap").integers(len(values), size=(resamples, len(values)))
    ends = np.quantile(values[drawn].mean(1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(ends[0]), float(ends[1]))


def standard_error(values) -> float:
    """Return the standard error of the mean of values (n,); nan from fewer than two."""
    values = np.asarray(values, dtype=float)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def exact_fraction(hits: int, count: int, confidence: float = 0.95) -> Interval:
    """Return the fraction of hits in a count of trials, with its exact binomial interval (Clopper & Pearson 1934)."""
    from scipy import stats  # takes half a second to import, and of a hundred jobs one needs it

    ends = stats.binomtest(hits, count).proportion_ci(confidence, "exact")
    return Interval(hits / count, float(ends.low), float(ends.high))


def bootstrap_trend(values: np.ndarray, levels, confidence: float = 0.95, resamples: int = 2000) -> Interval:
    """Return Spearman's rho of a hyperparameter and a measurement, with an interval from a bootstrap over seeds.

    Args:
        values: (level, seed), the measurement; nan where a run diverged.
        levels: (level,), the hyperparameter's values.
        confidence: of the interval.
        resamples: of the bootstrap. Whole seeds are drawn, since one seed's runs share their initialisation.
    """
    values = np.asarray(values, dtype=float)
    levels = np.broadcast_to(np.asarray(levels, dtype=float)[:, None], values.shape)
    return bootstrap_correlation(levels, values, confidence, resamples)


def bootstrap_correlation(x: np.ndarray, y: np.ndarray, confidence: float = 0.95, resamples: int = 2000) -> Interval:
    """Return Spearman's rho of two measurements, with an interval from a bootstrap over seeds.

    Args:
        x: (point, seed), a measurement; nan where there is none.
        y: (point, seed), another.
        confidence: of the interval.
        resamples: of the bootstrap. Whole seeds are drawn, since one seed's runs share their initialisation.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    finite = np.isfinite(first) & np.isfinite(second)
    seeds = first.shape[1]
    if finite.sum() < 3 or np.ptp(first[finite]) == 0 or np.ptp(second[finite]) == 0:
        return Interval(np.nan, -np.inf, np.inf)
    # Ranks are taken once: a seed that is drawn twice would tie with itself and raise the correlation of every draw.
    x, y = np.zeros(first.shape), np.zeros(first.shape)
    x[finite], y[finite] = (pd.Series(values[finite]).rank() for values in (first, second))

    def correlation(draws: np.ndarray) -> np.ndarray:
        """(draw, seed) indices -> Pearson's correlation (draw,) of the ranks."""
        kept = np.moveaxis(finite[:, draws], 1, 0)  # (draw, level, seed)
        sums = [
            (np.moveaxis(part[:, draws], 1, 0) * kept).sum((1, 2)) / kept.sum((1, 2))
            for part in (x, y, x * x, y * y, x * y)
        ]
        spread = (sums[2] - sums[0] ** 2) * (sums[3] - sums[1] ** 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (sums[4] - sums[0] * sums[1]) / np.sqrt(spread)

    estimate = float(correlation(np.arange(seeds)[None])[0])
    if seeds < 2:
        return Interval(estimate, -np.inf, np.inf)
    draws = correlation(stream("bootstrap").integers(seeds, size=(resamples, seeds)))
    ends = np.nanquantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(ends[0]), float(ends[1]))


def standardised_difference(first: np.ndarray, last: np.ndarray) -> float:
    """Return (mean of last - mean of first) over the pooled standard deviation; nan without spread."""
    first, last = first[np.isfinite(first)], last[np.isfinite(last)]
    if min(len(first), len(last)) < 2:
        return np.nan
    pooled = np.sqrt((first.var(ddof=1) + last.var(ddof=1)) / 2)
    return float((last.mean() - first.mean()) / pooled) if pooled > 0 else np.nan
