"""The verdicts as tables and as a page of the report (docs/science.md, Verdicts)."""

from __future__ import annotations

import html
from collections.abc import Mapping

import pandas as pd

from wedgescape.numerics.judging import VERDICTS
from wedgescape.study.layout import left_out_in_words
from wedgescape.study.rules import RuleBook

COLUMNS = (
    "id",
    "family",
    "kind",
    "sentence",
    "quantity",
    "estimate",
    "low",
    "high",
    "wanted",
    "threshold",
    "smallest_effect",
    "unit",
    "units",
    "left_out",
    "p",
    "p_family",
    "verdict",
    "reason",
    "robust",
    "confirmed",
    "control",
    "quote",
)
SPECIFICATIONS = ("id", "specification", "estimate", "low", "high", "units", "verdict")

# The report embeds this page, so it loads nothing from elsewhere.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Verdicts: {study}</title><style>
body {{ font: 14px/1.4 sans-serif; margin: 2em; color: #222; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.3em 0.7em; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }}
.supported {{ color: #01665e; }} .contradicted {{ color: #8c510a; }} .undecided {{ color: #6b6b6b; }}
.no-effect {{ color: #3f4b8c; }} .warning {{ background: #fff2cc; padding: 0.6em; }} .small {{ color: #555; }}
</style></head><body>
<h1>Verdicts of the study {study}</h1>
{warning}<p>{counts}. A verdict needs the whole {confidence:.0%} interval on one side of its rule, also after Holm's
correction within its family, and at least four independent units. Rules are in config/rules.yaml; {registration}</p>
{left_out}{chapters}
</body></html>
"""


def as_table(rows: list[dict], confirmation: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the claims (`numerics.judging.judge`) as a table, one row per claim, in their order.

    Args:
        rows: of the claims.
        confirmation: the same table of a study on fresh seeds; its verdicts become the column `confirmed`.
    """
    table = pd.DataFrame(rows, columns=[*COLUMNS])
    again = {} if confirmation is None else confirmation.set_index("id")["verdict"].to_dict()
    return table.assign(confirmed=[again.get(name, "") for name in table["id"]])


def as_specifications(rows: list[dict]) -> pd.DataFrame:
    """Return the other ways to measure as a table, one row per claim and specification."""
    return pd.DataFrame(rows, columns=[*SPECIFICATIONS])


def counted(table: pd.DataFrame) -> str:
    """Return how many claims got each verdict, in words; checks apart."""
    seen = table.loc[table["kind"] != "check", "verdict"].value_counts()
    checks = table.loc[table["kind"] == "check", "verdict"]
    text = ", ".join(f"{seen.get(verdict, 0)} {verdict}" for verdict in VERDICTS)
    passed = int((checks == "supported").sum())
    return f"{text}; checks of the implementation: {passed} of {len(checks)} passed" if len(checks) else text


def leading(table: pd.DataFrame) -> pd.DataFrame:
    """Return the claims in the order in which a reader wants them: the paper's first, decided before undecided ones.

    Otherwise they stay in their order, that of the rules. Checks of the implementation come last.
    """
    kinds = table["kind"].map({"paper": 0, "ours": 1, "check": 2})
    undecided = table["verdict"] == "undecided"
    return table.assign(_kind=kinds, _undecided=undecided).sort_values(["_kind", "_undecided"], kind="stable")[
        [*table.columns]
    ]


def most_important(table: pd.DataFrame, count: int = 3) -> pd.DataFrame:
    """Return the verdicts to say first: the `leading` ones of different chapters; checks are none.

    Where there are fewer chapters than that, more of one chapter follow.
    """
    ordered = leading(table[table["kind"] != "check"])
    again = ordered.duplicated("family")
    return pd.concat([ordered[~again], ordered[again]])[:count]


def rule_of(row) -> str:
    """Return a row's rule in words: `above 0.5`, `rise by 1 or more`, `within 0.1`."""
    if pd.notna(row.threshold):
        return f"{row.wanted} {row.threshold:g}"
    return f"within ±{row.smallest_effect:g}" if row.wanted == "within" else f"{row.wanted} by {row.smallest_effect:g}"


def as_page(
    table: pd.DataFrame,
    rules: RuleBook,
    study: str,
    confidence: float,
    warning: str = "",
    registration: str = "",
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Return the claims (`as_table`) as an HTML page: a chapter per family, one row per claim.

    Args:
        table: of the verdicts.
        rules: whose families are the chapters.
        study: its name.
        confidence: of the intervals.
        warning: said first, such as that the base setting does not fit.
        registration: when the rules were last changed.
        left_out: name of each measurement and figure that the study leaves out -> why.
    """
    chapters = []
    for family, heading in rules.families.items():
        for is_check in (False, True):
            part = table[(table["family"] == family) & ((table["kind"] == "check") == is_check)]
            if len(part):
                title = f"{heading}: checks of the implementation" if is_check else heading
                chapters.append(f"<h2>{html.escape(title)}</h2>\n{_rows(part)}")
    said = f'<p class="warning">{html.escape(warning)}</p>\n' if warning else ""
    return PAGE.format(
        study=html.escape(study),
        warning=said,
        counts=counted(table),
        confidence=confidence,
        registration=html.escape(registration or "when they were last changed is not known."),
        chapters="\n".join(chapters),
        left_out=f"<p>{html.escape(left_out_in_words(left_out))}</p>\n" if left_out else "",
    )


def _rows(part: pd.DataFrame) -> str:
    shown = pd.DataFrame(
        {
            "claim": part["sentence"],
            "source": [f"paper: “{row.quote}”" if row.kind == "paper" else "ours" for row in part.itertuples()],
            "quantity": part["quantity"],
            "estimate": part["estimate"].map("{:.3g}".format),
            "interval": [f"{low:.3g} … {high:.3g}" for low, high in zip(part["low"], part["high"], strict=True)],
            "rule": [rule_of(row) for row in part.itertuples()],
            "units": [f"{row.units} ({row.unit})" for row in part.itertuples()],
            "other specifications agree": ["" if pd.isna(share) else f"{share:.0%}" for share in part["robust"]],
            "control": part["control"],
            "verdict": part["verdict"],
            "on fresh seeds": part["confirmed"],
            "reason": part["reason"],
        }
    )
    if part["kind"].eq("check").all():
        shown = shown.drop(columns="source")
    shown = shown.loc[:, [bool(shown[name].astype(str).str.len().sum()) for name in shown]]
    plain = shown.drop(columns="verdict").map(lambda value: html.escape(str(value)))
    bold = [f'<b class="{one.replace(" ", "-")}">{one}</b>' for one in shown["verdict"]]
    return plain.assign(verdict=bold)[list(shown)].to_html(index=False, escape=False, border=0)
