"""Judging claims: an estimate with its interval against a rule that was fixed in the config before the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import xarray as xr

from wedgescape.numerics.intervals import Interval, Intervals, standardised_difference
from wedgescape.study.settings import Rules


def judge(interval: Interval, supported_above: float, contradicted_below: float) -> str:
    """Return the verdict on the claim that a statistic is large: supported, contradicted or undecided."""
    if interval.low > supported_above:
        return "supported"
    if interval.high < contradicted_below:
        return "contradicted"
    return "undecided"


def is_large(interval: Interval, above: float, contradicted_below: float | None = None) -> dict:
    """Judge the claim that a statistic is above a value.

    Args:
        interval: of the statistic.
        above: the claim is supported if the whole interval is above it.
        contradicted_below: the claim is contradicted if the whole interval is below it; by default, the same value.

    Returns:
        The columns of a row that hold estimate, interval, rule and verdict.
    """
    below = above if contradicted_below is None else contradicted_below
    return {**vars(interval), "verdict": judge(interval, above, below), "wanted": "above", "threshold": above}


def is_small(interval: Interval, below: float, contradicted_above: float | None = None) -> dict:
    """Judge the claim that a statistic is below a value: `is_large`, mirrored."""
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
    """Return a claim as a row of the table of verdicts.

    Args:
        name: its id.
        sentence: the claim.
        statistic: what was estimated, with its unit.
        judged: by `is_large` or `is_small`.
        seeds: number of different seeds behind it.
        points: number of observations that the interval was estimated from.
        diverged: number of further observations that were left out because a run or descent diverged.
        effect: of a trend, the difference between its ends in units of the spread over seeds.
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
    """Judge how a measurement moves over each sweep of numbers that has a sentence and at least two values.

    The statistic is Spearman's rho over all (value, seed) pairs, bootstrapped over seeds; `effect` is the difference of
    the means at the largest and smallest value in units of the pooled standard deviation over seeds. A claim is
    supported if the interval is beyond `minimum_correlation` on the wanted side, and contradicted if it is beyond it on
    the other side. Runs that diverged are left out and counted.

    Args:
        sweeps: name of a sweep -> its store over `value`, with `diverged` over (value, seed).
        quantity: variable over (value, seed, direction); its mean over directions is judged.
        name: what the claims' ids have before the sweep's name.
        sentences: name of a sweep -> the claim, in the order of the rows.
        is_wanted: `is_large` if the sentences say that the measurement rises, `is_small` if it falls.
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
    """Return the sweeps that can have a trend (those of at least two values), in a given order of their names."""
    return [(name, sweeps[name]) for name in order if name in sweeps and sweeps[name].sizes["value"] > 1]
