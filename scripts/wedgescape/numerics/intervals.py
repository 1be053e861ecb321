"""Intervals: every number comes with its spread, by what its independent units are (docs/science.md, Verdicts).

The independent unit is a seed: an initialisation with its order of examples. Pairs share seeds, so they are no units of
their own; sets count only where no two share a seed; test examples are drawn as well as seeds are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from wedgescape.numerics.randomness import stream

ROUNDING = 1e-12  # of what is left of a variance, in shares of it


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval; nan where there was nothing to estimate from."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class StudentT:
    """What is known of an estimate: Student's t about it.

    Args:
        estimate: the centre.
        error: its standard error.
        freedom: degrees of freedom; 0 where nothing is known about spread.
    """

    estimate: float
    error: float
    freedom: int

    def below(self, value: float) -> float:
        """Return the p-value of the hypothesis that the truth is at most a value: small, if it lies clearly above."""
        if self.freedom < 1 or not np.isfinite(self.estimate):
            return 1.0
        if self.error == 0:
            return 0.0 if self.estimate > value else 1.0
        from scipy import special  # scipy.stats takes half a second to import, and of a hundred jobs one needs it

        return float(special.stdtr(self.freedom, (value - self.estimate) / self.error))

    def above(self, value: float) -> float:
        """Return the p-value of the hypothesis that the truth is at least a value."""
        return StudentT(-self.estimate, self.error, self.freedom).below(-value)

    def ends(self, confidence: float) -> tuple[float, float]:
        """Return the ends of the interval; infinite where nothing is known about spread."""
        if self.freedom < 1:
            return -np.inf, np.inf
        from scipy import special

        reach = float(special.stdtrit(self.freedom, (1 + confidence) / 2)) * self.error
        return self.estimate - reach, self.estimate + reach


@dataclass(frozen=True)
class Binomial:
    """What is known of a share: the exact binomial test, and the interval of Clopper & Pearson (1934)."""

    hits: int
    count: int

    def below(self, value: float) -> float:
        """Return the p-value of the hypothesis that the share is at most a value."""
        return self._test(value, "greater")

    def above(self, value: float) -> float:
        """Return the p-value of the hypothesis that the share is at least a value."""
        return self._test(value, "less")

    def _test(self, value: float, alternative: str) -> float:
        from scipy import stats

        if not self.count:
            return 1.0
        return float(stats.binomtest(self.hits, self.count, min(max(value, 0.0), 1.0), alternative).pvalue)

    def ends(self, confidence: float) -> tuple[float, float]:
        """Return the ends of the interval."""
        from scipy import stats

        if not self.count:
            return -np.inf, np.inf
        ends = stats.binomtest(self.hits, self.count).proportion_ci(confidence, "exact")
        return float(ends.low), float(ends.high)


@dataclass(frozen=True)
class Draws:
    """What is known of an estimate: how resampling moves it."""

    values: np.ndarray

    def below(self, value: float) -> float:
        """Return the p-value of the hypothesis that the truth is at most a value; never less than the draws resolve."""
        return float((1 + (self.values <= value).sum()) / (1 + len(self.values)))

    def above(self, value: float) -> float:
        """Return the p-value of the hypothesis that the truth is at least a value."""
        return float((1 + (self.values >= value).sum()) / (1 + len(self.values)))

    def ends(self, confidence: float) -> tuple[float, float]:
        """Return the percentile interval."""
        low, high = np.quantile(self.values, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)


@dataclass(frozen=True)
class Estimate(Interval):
    """An estimate that can be judged: its interval, its independent units, and the tests that the interval inverts.

    Args:
        estimate: of the quantity.
        low: lower end of the interval; -inf where the values are only bounds from above.
        high: upper end; inf where the values are only bounds from below.
        unit: what is independent: seed, pair, disjoint set, random point, …
        units: how many there were. Pairs and sets count the seeds and sets behind them that are independent.
        known: the tests.
    """

    unit: str = "seed"
    units: int = 0
    known: StudentT | Binomial | Draws = field(default=StudentT(np.nan, np.nan, 0), compare=False)

    def p_at_most(self, value: float) -> float:
        """Return the p-value of "the truth is at most this value"; 1 where the values bound it from above alone."""
        return 1.0 if self.low == -np.inf else self.known.below(value)

    def p_at_least(self, value: float) -> float:
        """Return the p-value of "the truth is at least this value"; 1 where the values bound it from below alone."""
        return 1.0 if self.high == np.inf else self.known.above(value)


@dataclass(frozen=True)
class Intervals:
    """How intervals are computed, by what the values have in common.

    Args:
        confidence: of every interval.
        resamples: of the bootstrap over seeds and examples.
    """

    confidence: float = 0.95
    resamples: int = 2000

    def mean(self, values, unit: str = "seed") -> Estimate:
        """Return the mean of values (n,), one per independent unit, with Student's t interval.

        Values that are not finite are left out. With fewer than two values the interval is unbounded: one seed says
        nothing about spread. Positive, skewed quantities (losses, ratios, curvatures) belong on a log scale first.
        """
        values = np.asarray(values, dtype=float).ravel()
        values = values[np.isfinite(values)]
        estimate = float(values.mean()) if len(values) else np.nan
        return self._of(StudentT(estimate, standard_error(values), len(values) - 1), unit, len(values))

    def pairs(self, values, members) -> Estimate:
        """Return the mean over pairs of seeds, with the jackknife that deletes one seed at a time.

        The interval is Student's t with n - 1 degrees of freedom for n seeds. Where seeds have effects of their own,
        pairs that share one are alike, and an interval over pairs would be too short. Pairs of which no two share a
        seed are independent: then it is Student's t over pairs, since the jackknife's would be half as wide again.

        Args:
            values: (pair,), nan where there is none.
            members: (pair, 2), the seeds of each pair. Every seed should be in equally many.
        """
        values, members = np.asarray(values, dtype=float), np.asarray(members)
        kept = np.isfinite(values)
        values, members = values[kept], members[kept]
        seeds = np.unique(members)
        if len(seeds) == members.size:
            return self.mean(values, "pair")
        estimate = float(values.mean()) if len(values) else np.nan
        without = [values[(members != seed).all(1)] for seed in seeds]
        means = [part.mean() if len(part) else np.nan for part in without]
        return self.jackknife(estimate, means, "seed, in pairs")

    def jackknife(self, estimate: float, without, unit: str = "seed") -> Estimate:
        """Return an estimate of any kind with the jackknife's interval, Student's t with n - 1 degrees of freedom.

        Args:
            estimate: from all units.
            without: (n,), the same with one unit left out each time.
            unit: what is left out.
        """
        without = np.asarray(without, dtype=float)
        count = len(without)
        if count < 2 or not np.isfinite(without).all():
            return self._of(StudentT(float(estimate), np.nan, 0), unit, count)
        error = float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
        return self._of(StudentT(float(estimate), error, count - 1), unit, count)

    def sets(self, values, members) -> Estimate:
        """Return the mean over sets of seeds, of which no two share one, with Student's t interval.

        Args:
            values: (set,), nan where there is none.
            members: (set, m), the seeds of each set; -1 where there is none.

        Raises:
            ValueError: if two sets share a seed. They would be counted as independent and are not.
        """
        values, members = np.asarray(values, dtype=float), np.asarray(members)
        taken = members[np.isfinite(values)]
        taken = taken[taken >= 0]
        if len(np.unique(taken)) < len(taken):
            raise ValueError("sets that share a seed are not independent")
        return self.mean(values, "disjoint set")

    def all_sets(self, values, members) -> Estimate:
        """Return the mean over all sets of m of n seeds, with the jackknife that deletes one seed at a time.

        Sets share seeds, so they are no units; the mean over all of them is a U-statistic (Hoeffding 1948), for which
        the jackknife is never too short on average (Efron & Stein 1981). With m = 2 it is `pairs`.

        Args:
            values: (set,), one per set.
            members: (set, m), the seeds of each; every set of m of them is there.
        """
        values, members = np.asarray(values, dtype=float), np.asarray(members)
        without = [values[(members != seed).all(1)] for seed in np.unique(members)]
        means = [part.mean() if len(part) else np.nan for part in without]
        estimate = float(values.mean()) if len(values) else np.nan
        return self.jackknife(estimate, means, "seed, in sets")

    def share(self, hits: int, count: int, unit: str = "seed") -> Estimate:
        """Return the share of hits in a count of independent trials, with its exact binomial interval."""
        known = Binomial(int(hits), int(count))
        low, high = known.ends(self.confidence)
        return Estimate(hits / count if count else np.nan, low, high, unit, int(count), known)

    def examples(self, values) -> Estimate:
        """Return the mean over seeds and test examples, both of them drawn (the pigeonhole bootstrap of Owen 2007).

        With examples taken for fixed, a difference that rests on a handful of images looks certain.

        Args:
            values: (seed, example); rows that are not finite are left out.
        """
        values = np.asarray(values, dtype=float)
        values = values[np.isfinite(values).all(1)]
        seeds, examples = values.shape
        if seeds < 2:
            return self._of(StudentT(float(values.mean()) if seeds else np.nan, np.nan, 0), "seed and example", seeds)
        draw = stream("bootstrap of seeds and examples")
        rows = draw.multinomial(seeds, np.full(seeds, 1 / seeds), self.resamples) / seeds
        columns = draw.multinomial(examples, np.full(examples, 1 / examples), self.resamples) / examples
        known = Draws(np.einsum("rs,rs->r", rows, columns @ values.T))
        low, high = known.ends(self.confidence)
        return Estimate(float(values.mean()), low, high, "seed and example", seeds, known)

    def correlation(self, x, y, strata: Sequence[Sequence[int]] | None = None) -> Estimate:
        """Return the mean over seeds of each seed's rank correlation over settings, with Student's t interval.

        The settings are fixed: the estimate is about these. Within a stratum (one sweep) they differ in one thing, so
        no difference between strata can pass for a correlation. A seed's correlation is the mean over strata.

        Args:
            x: (setting, seed), a measurement; nan where there is none.
            y: (setting, seed), another.
            strata: the settings of each stratum, at least three in each; all of them are one by default.
        """
        found = self.mean(rank_correlations(x, y, strata).mean(0))
        if not np.isfinite(found.low):
            return found
        return replace(found, low=max(-1.0, found.low), high=min(1.0, found.high))  # others cannot occur

    def bounds(self, values, censored, unit: str = "seed") -> Estimate:
        """Return the mean of values of which some are only bounds.

        Args:
            values: (n,), one per independent unit; where censored, the bound.
            censored: (n,), -1 where the truth is at most the value, 1 where it is at least the value, else 0.
            unit: what is independent.

        Returns:
            As `mean`; its interval has no upper end where any truth may lie above its value, no lower end where any
            may lie below: only what the bounds alone decide can be judged.
        """
        kept = np.isfinite(np.asarray(values, dtype=float))
        censored, found = np.asarray(censored)[kept], self.mean(values, unit)
        low = -np.inf if (censored < 0).any() else found.low
        high = np.inf if (censored > 0).any() else found.high
        return Estimate(found.estimate, low, high, unit, found.units, found.known)

    def _of(self, known: StudentT, unit: str, units: int) -> Estimate:
        return Estimate(known.estimate, *known.ends(self.confidence), unit, units, known)


def ends_of(found: Interval) -> dict[str, float]:
    """Return an interval as columns of a table: `estimate`, `low`, `high`."""
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def standard_error(values) -> float:
    """Return the standard error of the mean of values (n,); nan from fewer than two."""
    values = np.asarray(values, dtype=float)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def rank_correlations(x, y, strata: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """Return Spearman's rho over the settings of each stratum, seed by seed: (stratum, seed).

    Args:
        x: (setting, seed), a measurement; nan where there is none.
        y: (setting, seed), another.
        strata: the settings of each stratum; all of them are one by default.

    Returns:
        nan where a seed has fewer than three settings in a stratum, or where one of the measurements does not move.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    both = np.isfinite(x) & np.isfinite(y)
    strata = [range(len(x))] if strata is None else strata
    found = np.full((len(strata), x.shape[1]), np.nan)
    for row, stratum in enumerate(strata):
        for seed in range(x.shape[1]):
            kept = [setting for setting in stratum if both[setting, seed]]
            first, second = (pd.Series(part[kept, seed]).rank().to_numpy() for part in (x, y))
            if len(kept) >= 3 and np.ptp(first) and np.ptp(second):
                found[row, seed] = np.corrcoef(first, second)[0, 1]
    return found


def partial_correlation(correlations: np.ndarray, first: int, second: int, held: int) -> float:
    """Return the partial correlation of two variables with a third held fixed; nan where the third is one of them.

    (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)): the correlation of what is left of x and of y after a linear
    fit of each by z. Of rank correlations it is the partial rank correlation.

    Args:
        correlations: (n, n).
        first: the place of x.
        second: of y.
        held: of z.
    """
    both, x, y = correlations[first, second], correlations[first, held], correlations[second, held]
    left = (1 - x**2) * (1 - y**2)
    return float((both - x * y) / np.sqrt(left)) if left > ROUNDING else np.nan
