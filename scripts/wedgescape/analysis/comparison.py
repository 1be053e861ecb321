"""Verdicts of several studies side by side."""

from __future__ import annotations

import pandas as pd


def compared(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row per claim, in the order in which the studies have them.

    Args:
        tables: study -> its table of verdicts (`analysis.verdicts.as_table`).

    Returns:
        `id`, `family`, `kind`, `sentence`; for each study the verdict (empty where it makes no such claim) and
        `{study}_estimate`; `everywhere`: the verdict that all studies with this claim share, at least two of them, and
        none of them undecided; else empty.
    """
    described = pd.concat(tables.values()).drop_duplicates("id")[["id", "family", "kind", "sentence"]]
    families = list(dict.fromkeys(described["family"]))
    described = described.sort_values("family", key=lambda column: column.map(families.index), kind="stable")
    found = described.reset_index(drop=True)
    for study, table in tables.items():
        rows = table.set_index("id").reindex(found["id"])
        found[study] = rows["verdict"].fillna("").values
        found[f"{study}_estimate"] = rows["estimate"].values
    verdicts = found[list(tables)]
    return found.assign(everywhere=[_shared([one for one in row if one]) for row in verdicts.values.tolist()])


def _shared(verdicts: list[str]) -> str:
    is_shared = len(verdicts) > 1 and len(set(verdicts)) == 1 and verdicts[0] != "undecided"
    return verdicts[0] if is_shared else ""
