"""All claims, with verdict, interval and control, each with the way to its figure, table and stores."""

from __future__ import annotations

import pandas as pd

from wedgescape.analysis.verdicts import rule_of
from wedgescape.explorer.numbers import rounded
from wedgescape.study.places import Families, Origins, Verdicts

TITLE = "Claims"

WORDS = ("id", "family", "kind", "sentence", "quantity", "wanted", "unit", "verdict", "reason", "control", "confirmed")
WORDS += ("quote",)
NUMBERS = ("estimate", "low", "high", "threshold", "smallest_effect", "p", "p_family", "robust")


def embed(verdicts: Verdicts, families: Families, origins: Origins) -> dict:
    """Return the chapters, and the claims in the order of the table.

    Args:
        verdicts: of all claims.
        families: name of each family -> its heading.
        origins: which file makes which claim, and what that reads (`views.origins`).
    """
    rows = [_row(row, origins["measured"]) for row in verdicts.itertuples()]
    return {"families": families, "claims": rows, "files": origins["files"]}


def _row(row, measured: dict[str, str]) -> dict:
    words = {name: "" if pd.isna(getattr(row, name)) else str(getattr(row, name)) for name in WORDS}
    numbers = {name: rounded(getattr(row, name)) for name in NUMBERS}
    counts = {"units": int(row.units), "left_out": int(row.left_out)}
    return words | numbers | counts | {"rule": rule_of(row), "from": measured[rule_name(row.id, measured)]}


def rule_name(claim: str, rules) -> str:
    """Return the rule of a claim: the longest whose name, perhaps with what fills its braces, is the claim's.

    Raises:
        KeyError: if there is none.
    """
    found = [rule for rule in rules if claim == rule or claim.startswith(f"{rule}_")]
    if not found:
        raise KeyError(claim)
    return max(found, key=len)
