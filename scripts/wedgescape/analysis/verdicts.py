"""The verdicts as a table and as a page of the report (docs/science.md, Verdicts)."""

from __future__ import annotations

import html

import pandas as pd

VERDICTS = ("supported", "contradicted", "undecided")


# The report embeds this page, so it loads nothing from elsewhere.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Verdicts: {study}</title><style>
body {{ font: 14px/1.4 sans-serif; margin: 2em; color: #222; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.3em 0.7em; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }}
td:nth-child(n+3) {{ white-space: nowrap; }}
.supported {{ color: #01665e; }} .contradicted {{ color: #8c510a; }} .undecided {{ color: #6b6b6b; }}
</style></head><body>
<h1>Verdicts of the study {study}</h1>
<p>{counts}. A claim is supported or contradicted if its whole {confidence:.0%} interval lies beyond its rule.</p>
{table}
</body></html>
"""
COLUMNS = ("id", "sentence", "statistic", "estimate", "low", "high", "wanted", "threshold", "effect", "seeds", "points")


def as_table(rows: list[dict]) -> pd.DataFrame:
    """Return the claims (`numerics.judging.row`) as a table, one row per claim, in their order."""
    return pd.DataFrame(rows, columns=[*COLUMNS, "diverged", "verdict"])


def as_page(table: pd.DataFrame, study: str, confidence: float) -> str:
    """Return the claims (`as_table`) as an HTML page, one row per claim."""
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
