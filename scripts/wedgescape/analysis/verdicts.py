"""Verdicts: a claim has a statistic, an interval and a rule that stood in the config before the run."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wedgescape.numerics.intervals import Interval

VERDICTS = ("supported", "contradicted", "undecided")


@dataclass(frozen=True)
class Rules:
    """The `claims` section of the config.

    Args:
        confidence: of every interval.
        resamples: of every bootstrap.
        minimum_correlation: a trend is supported where the interval of Spearman's rho lies above it, contradicted
            where it lies below its negative, undecided otherwise.
        maximum_loss_ratio: a connector is supported where the interval of the ratio lies below it, contradicted
            where it lies above.
        maximum_relative_error: the toy model follows a closed form where the interval of the mean error lies below it.
        maximum_connector_loss: nats; a connector is a low-loss subspace where the interval of the largest training loss
            between its vertices lies below it.
        maximum_threshold_fraction: few random directions are enough where the interval of (dimensions at the
            threshold) / (parameters) lies below it.
        minimum_barrier: nats; a barrier separates optima where the interval of the straight line's lies above it.
        maximum_rise: nats; the loss falls monotonically on a line where it nowhere rises by more.
        minimum_fraction: what holds for single seeds is supported where the interval of their fraction lies above it.
        minimum_likeness: two hyperparameters act in similar ways where the interval of the cosine of their effects lies
            above it.
        maximum_fold_difference: two estimates of one number agree where the interval of their ratio, the larger over
            the smaller, lies below it.
    """

    confidence: float
    resamples: int
    minimum_correlation: float
    maximum_loss_ratio: float
    maximum_relative_error: float
    maximum_connector_loss: float
    maximum_threshold_fraction: float
    minimum_barrier: float
    maximum_rise: float
    minimum_fraction: float
    minimum_likeness: float
    maximum_fold_difference: float


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


# Of a page on its own, light and without anything fetched: it is embedded in the report.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Verdicts: {study}</title><style>
body {{ font: 14px/1.4 sans-serif; margin: 2em; color: #222; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.3em 0.7em; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }}
td:nth-child(n+3) {{ white-space: nowrap; }}
.supported {{ color: #01665e; }} .contradicted {{ color: #8c510a; }} .undecided {{ color: #6b6b6b; }}
</style></head><body>
<h1>Verdicts of the study {study}</h1>
<p>{counts}. A claim is supported or contradicted where its whole {confidence:.0%} interval lies beyond its rule.</p>
{table}
</body></html>
"""
COLUMNS = ("id", "sentence", "statistic", "estimate", "low", "high", "wanted", "threshold", "effect", "seeds", "points")


def as_table(rows: list[dict]) -> pd.DataFrame:
    """Return the claims as a table, one row a claim."""
    return pd.DataFrame(rows, columns=[*COLUMNS, "diverged", "verdict"])


def as_page(table: pd.DataFrame, study: str, confidence: float) -> str:
    """Return the claims (`as_table`) as an HTML page, one row a claim."""
    seen = table["verdict"].value_counts()
    counts = ", ".join(f"{seen.get(verdict, 0)} {verdict}" for verdict in VERDICTS)
    shown = pd.DataFrame(
        {
            "claim": table["sentence"],
            "statistic": table["statistic"],
            "estimate": table["estimate"].map("{:.3g}".format),
            "interval": [f"{low:.3g} … {high:.3g}" for low, high in zip(table["low"], table["high"], strict=True)],
            "rule": table["wanted"] + " " + table["threshold"].map("{:g}".format),
            "seeds": table["seeds"],
            "verdict": [f'<b class="{verdict}">{verdict}</b>' for verdict in table["verdict"]],
        }
    )
    plain = shown.drop(columns="verdict").map(lambda value: html.escape(str(value)))
    rows = plain.assign(verdict=shown["verdict"]).to_html(index=False, escape=False, border=0)
    return PAGE.format(study=html.escape(study), counts=counts, confidence=confidence, table=rows)
