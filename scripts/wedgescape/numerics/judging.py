"""Judging a claim: an estimate with its interval against a rule that stood in the config before the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import xarray as xr

from wedgescape.numerics.intervals import Interval, Intervals, standardised_difference
from wedgescape.study.settings import Rules


def judge(interval: Interval, supported_above: float, contradicted_below: float) -> str:
    """Return the verdict on "the statistic is large": supported, contradicted or undecided."""
    if interval.low > supported_above:
        return "supported"
    if interval.high < contradicted_below:
        return "contradicted"
    return "undecided"


def is_large(interval: Interval, above: float, contradicted_below: float | None = None) -> dict:
    """Judge the claim that a statistic lies above a value; return the columns of a row that say so.

    Args:
        interval: of the statistic.
        above: supported where the whole interval lies above it.
        contradicted_below: where the whole interval lies below it; the same value by default.
    """
    below = above if contradicted_below is None else contradicted_below
    return {**vars(interval), "verdict": judge(interval, above, below), "wanted": "above", "threshold": above}


def is_small(interval: Interval, below: float, contradicted_above: float | None = None) -> dict:
    """Judge the claim that a statistic lies below a value: `is_large`, mirrored."""
    above = below if contradicted_above is None else contradicted_above
    mirrored = Interval(-interval.estimate, -interval.high, -interval.low)
    return {**vars(interval), "verdict": judge(mirrored, -below, -above), "wanted": "below", "threshold": below}


def row(
    name: str,
    sentence: str,
    statistic: str,
    judged: dict,
    seeds: int,
    points: int,
    diverged: int = 0,
    effect: float = np.nan,
) -> dict:
    """Return a claim.

    Args:
        name: its id; what stands before the first "_" is its chapter.
        sentence: the claim.
        statistic: what was estimated, with its unit.
        judged: by `is_large` or `is_small`.
        seeds: how many different seeds it rests on.
        points: how many numbers the interval was estimated from.
        diverged: how many more were left out, since they left the finite numbers.
        effect: for a trend, the difference of the ends in units of the seeds' spread.
    """
    return {
        "id": name,
        "sentence": sentence,
        "statistic": statistic,
        **judged,
        "effect": effect,
        "seeds": seeds,
        "points": points,
        "diverged": diverged,
    }


def trend_claims(
    sweeps: dict[str, xr.Dataset],
    quantity: str,
    name: str,
    sentences: dict[str, str],
    is_wanted: Callable,
    rules: Rules,
    intervals: Intervals,
) -> Iterator[dict]:
    """Judge how a measurement moves over each sweep of numbers that has a sentence and two values or more.

    The statistic is Spearman's rho over all (value, seed) pairs, bootstrapped over seeds; `effect` is the difference of
    the means at the largest and smallest value in units of the pooled standard deviation over seeds. Supported where
    the interval lies beyond `minimum_correlation` on the wanted side, contradicted where it does on the other. Runs
    that diverged are left out and counted.

    Args:
        sweeps: name of a sweep -> its store over `value`, with `diverged` over (value, seed).
        quantity: of the store, over (value, seed, direction), of which the mean over directions counts.
        name: the claims' ids, less the sweep's name.
        sentences: name of a sweep -> the claim, in the order of the rows.
        is_wanted: `is_large` where the sentences say that the measurement rises, `is_small` where it falls.
        rules: of the verdicts.
        intervals: how they are computed.
    """
    for sweep, store in in_order(sweeps, sentences):
        diverged = store["diverged"].values.astype(bool)
        values = np.where(diverged, np.nan, store[quantity].mean("direction").values)
        levels = store["value"].values.astype(float)
        edge = rules.minimum_correlation if is_wanted is is_large else -rules.minimum_correlation
        ends = values[[int(levels.argmin()), int(levels.argmax())]]
        yield row(
            f"{name}_{sweep}",
            sentences[sweep],
            "Spearman's rho",
            is_wanted(intervals.trend(values, levels), edge, -edge),
            store.sizes["seed"],
            int((~diverged).sum()),
            int(diverged.sum()),
            standardised_difference(*ends),
        )


def in_order(sweeps: dict[str, xr.Dataset], order: Iterable[str]) -> list[tuple[str, xr.Dataset]]:
    """Return the sweeps that have a trend, those of two values or more, in an order of their names."""
    return [(name, sweeps[name]) for name in order if name in sweeps and sweeps[name].sizes["value"] > 1]
