"""What the paper claims, judged: each claim has a statistic, an interval and a rule that stood before the run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from wedgescape import surfaces
from wedgescape.statistics import Interval, bootstrap_mean, bootstrap_trend

# Which way the paper says that angular width moves; None where it says nothing definite.
TUNNEL_SENTENCES = {
    "learning_rate": "Tunnels are wider at higher learning rates",
    "weight_decay": "Tunnels are wider with more L2 regularisation",
    "width": "Tunnels are wider in wider networks",
    "dropout": "Tunnels are wider with more dropout",
    "batch_size": "Tunnels are wider with larger batches",
}


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
        maximum_connector_loss: nats; a connector is a low-loss subspace where the interval of the largest training loss
            between its vertices lies below it.
    """

    confidence: float
    resamples: int
    minimum_correlation: float
    maximum_loss_ratio: float
    maximum_connector_loss: float


def judge(interval: Interval, supported_above: float, contradicted_below: float) -> str:
    """Return the verdict on "the statistic is large": supported, contradicted or undecided."""
    if interval.low > supported_above:
        return "supported"
    if interval.high < contradicted_below:
        return "contradicted"
    return "undecided"


def _row(
    name: str,
    sentence: str,
    statistic: str,
    interval: Interval,
    verdict: str,
    seeds: int,
    points: int,
    diverged: int,
    effect: float = np.nan,
) -> dict:
    return {
        "id": name,
        "sentence": sentence,
        "statistic": statistic,
        **vars(interval),
        "effect": effect,
        "seeds": seeds,
        "points": points,
        "diverged": diverged,
        "verdict": verdict,
    }


def tunnel_claims(tunnels: dict[str, xr.Dataset], rules: Rules) -> list[dict]:
    """Judge how angular width (accuracy threshold, mean over rays) moves over each sweep of numbers.

    The statistic is Spearman's rho over all (value, seed) pairs, bootstrapped over seeds; `effect` is the difference of
    the means at the largest and smallest value in units of the pooled standard deviation over seeds.
    Runs that diverged are left out and counted.
    """
    rows = []
    for sweep, sentence in TUNNEL_SENTENCES.items():
        if sweep not in tunnels or tunnels[sweep].sizes["value"] < 2:
            continue
        store = tunnels[sweep]
        diverged = store["diverged"].values.astype(bool)  # (value, seed)
        width = np.where(diverged, np.nan, store["width_accuracy"].mean("direction").values)
        levels = store["value"].values.astype(float)
        interval = bootstrap_trend(width, levels, rules.confidence, rules.resamples)
        verdict = judge(interval, rules.minimum_correlation, -rules.minimum_correlation)
        ends = width[[int(levels.argmin()), int(levels.argmax())]]
        rows.append(
            _row(
                f"tunnel_{sweep}",
                sentence,
                "Spearman's rho",
                interval,
                verdict,
                store.sizes["seed"],
                int((~diverged).sum()),
                int(diverged.sum()),
                _standardised_difference(*ends),
            )
        )
    return rows


def _standardised_difference(first: np.ndarray, last: np.ndarray) -> float:
    """Return (mean of last - mean of first) over the pooled standard deviation; nan without spread."""
    first, last = first[np.isfinite(first)], last[np.isfinite(last)]
    if min(len(first), len(last)) < 2:
        return np.nan
    pooled = np.sqrt((first.var(ddof=1) + last.var(ddof=1)) / 2)
    return float((last.mean() - first.mean()) / pooled) if pooled > 0 else np.nan


def connector_claims(connectors: xr.Dataset, rules: Rules) -> list[dict]:
    """Judge for each m whether a connector's centre has a far lower training loss than the linear centroid.

    The statistic is the ratio of the two losses, averaged over sets of optima, bootstrapped over sets.
    """
    rows, train = [], connectors["loss"].sel(split="train")
    for size in connectors["size"].values.tolist():
        part = train.sel(size=size)
        ratio = (part.sel(place="centre") / part.sel(place="centroid")).values
        ratio = ratio[np.isfinite(ratio)]
        interval = bootstrap_mean(ratio, rules.confidence, rules.resamples)
        high = Interval(-interval.estimate, -interval.high, -interval.low)  # the claim is that the ratio is small
        verdict = judge(high, -rules.maximum_loss_ratio, -rules.maximum_loss_ratio)
        members = connectors["members"].sel(size=size).values
        sentence = f"A low-loss connector joins {size} optima"
        rows.append(
            _row(
                f"connector_{size}",
                sentence,
                "loss at the connector's centre / at the linear centroid",
                interval,
                verdict,
                len(set(members[members >= 0].tolist())),
                len(ratio),
                0,
            )
        )
    return rows


def subspace_claims(subspaces: xr.Dataset, rules: Rules) -> list[dict]:
    """Judge for each m whether a connector is a whole subspace of low loss.

    The statistic is the largest training loss at random points between its vertices, averaged over sets of optima,
    bootstrapped over sets.
    """
    rows, table = [], surfaces.tidy(subspaces)
    for size in subspaces["size"].values.tolist():
        done = table.loc[table["size"] == size, "largest_train_loss"]
        interval = bootstrap_mean(done, rules.confidence, rules.resamples)
        low = Interval(-interval.estimate, -interval.high, -interval.low)
        verdict = judge(low, -rules.maximum_connector_loss, -rules.maximum_connector_loss)
        members = subspaces["members"].sel(size=size).values
        sentence = f"A whole low-loss subspace joins {size} optima"
        rows.append(
            _row(
                f"subspace_{size}",
                sentence,
                "largest training loss between vertices, nats",
                interval,
                verdict,
                len(set(members[members >= 0].tolist())),
                len(done),
                0,
            )
        )
    return rows


def curve_claims(curves: xr.Dataset, rules: Rules) -> list[dict]:
    """Judge for each kind of curve whether it joins pairs of optima with a far lower barrier than the straight line.

    The statistic is the ratio of the two barriers of the training loss, averaged over pairs of optima, bootstrapped
    over pairs. Pairs whose curve or line left the finite numbers are left out and counted.
    """
    rows, barriers = [], curves["barrier"].sel(split="train")
    straight = barriers.sel(kind="line").values
    for kind in curves["kind"].values.tolist()[1:]:
        barrier = barriers.sel(kind=kind).values
        finite = np.isfinite(barrier) & np.isfinite(straight)
        ratio = barrier[finite & (straight > 0)] / straight[finite & (straight > 0)]
        interval = bootstrap_mean(ratio, rules.confidence, rules.resamples)
        low = Interval(-interval.estimate, -interval.high, -interval.low)  # the claim is that the ratio is small
        verdict = judge(low, -rules.maximum_loss_ratio, -rules.maximum_loss_ratio)
        rows.append(
            _row(
                f"curve_{kind}",
                f"Curves of low loss join pairs of optima: {CURVES[kind]}",
                "barrier of the curve / of the straight line",
                interval,
                verdict,
                len(np.unique(curves["seed"].values)),
                len(ratio),
                int((~finite).sum()),
            )
        )
    return rows


CURVES = {"bezier": "quadratic Bezier curves", "chain": "polygonal chains"}


def as_table(rows: list[dict]) -> pd.DataFrame:
    """Return the claims as a table, one row a claim."""
    columns = list(_row("", "", "", Interval(0, 0, 0), "", 0, 0, 0))
    return pd.DataFrame(rows, columns=columns)
