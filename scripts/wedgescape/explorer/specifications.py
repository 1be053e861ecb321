"""Every claim by every way to measure it: specification curves (Simonsohn, Simmons & Nelson 2020)."""

from __future__ import annotations

import pandas as pd

from wedgescape.explorer.numbers import rounded
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.places import Specifications, Verdicts
from wedgescape.study.study import FEWEST_UNITS

TITLE = "Specification curves"

BETWEEN = "; "  # choices


def embed(specifications: Specifications, verdicts: Verdicts, intervals: Intervals) -> dict:
    """Return for each claim its rule and all its specifications, the registered one first."""
    claims = verdicts.set_index("id")
    found = [
        {"id": name, **_rule(claims.loc[name]), "ways": [_way(row) for row in part.itertuples()]}
        for name, part in specifications.groupby("id", sort=False)
    ]
    return {"claims": found, "fewest": FEWEST_UNITS, "confidence": intervals.confidence}


def _rule(claim: pd.Series) -> dict:
    words = {name: claim[name] for name in ("sentence", "quantity", "wanted", "verdict")}
    return words | {name: rounded(claim[name]) for name in ("threshold", "smallest_effect")}


def _way(row) -> dict:
    numbers = {name: rounded(getattr(row, name)) for name in ("estimate", "low", "high")}
    choices = str(row.specification).split(BETWEEN)
    return {"choices": choices, **numbers, "units": int(row.units), "verdict": row.verdict}
