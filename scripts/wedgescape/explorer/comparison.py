"""Verdicts of several studies side by side, for a page of its own (`make compare`)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from wedgescape.explorer.numbers import rounded

TITLE = "Studies side by side"

NUMBERS = ("estimate", "low", "high", "threshold", "smallest_effect")
WORDS = ("quantity", "wanted", "verdict")


def embed(found: pd.DataFrame, tables: Mapping[str, pd.DataFrame], families: Mapping[str, str]) -> dict:
    """Return the claims in the order of the studies' tables, each with what every study found.

    Args:
        found: the tables side by side (`analysis.comparison.compared`).
        tables: study -> its table of verdicts (`analysis.verdicts.as_table`).
        families: name of each family -> its heading; a family that it lacks is headed by its name.
    """
    by_study = [table.set_index("id") for table in tables.values()]
    shown = {family: families.get(family, family) for family in found["family"].unique()}
    return {"names": list(tables), "families": shown, "claims": [_row(row, by_study) for row in found.itertuples()]}


def _row(row, by_study: list[pd.DataFrame]) -> dict:
    studies = [_found(table.loc[row.id]) if row.id in table.index else None for table in by_study]
    quantity = next(one["quantity"] for one in studies if one)
    named = {name: getattr(row, name) for name in ("id", "family", "kind", "sentence", "everywhere")}
    return named | {"quantity": quantity, "studies": studies}


def _found(row: pd.Series) -> dict:
    numbers = {name: rounded(row[name]) for name in NUMBERS}
    return {name: str(row[name]) for name in WORDS} | numbers | {"units": int(row["units"])}
