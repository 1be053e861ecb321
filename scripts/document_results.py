"""Put a finished study's verdicts and figures into the documentation.

    python scripts/document_results.py results/digits [--no-figures]

The table of claims goes into docs/results.md, between markers that name the study; do not edit it by hand. The figures
go to docs/figures, at a size for reading on a screen.
"""

import argparse
from pathlib import Path

import pandas as pd
from PIL import Image

from wedgescape.analysis.verdicts import rule_of

REPOSITORY = Path(__file__).parents[1]
PAGES = (REPOSITORY / "docs/results.md",)
PIXELS = 1200  # width of a figure in the documentation


def claims_table(claims: pd.DataFrame) -> str:
    """Return the verdicts as a Markdown table, one row per claim, checks at the end."""
    lines = [
        "| claim | source | quantity | estimate | 95 % interval | rule | units | robust | verdict | on fresh seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    ordered = pd.concat([claims[claims["kind"] != "check"], claims[claims["kind"] == "check"]])
    for row in ordered.itertuples():
        interval = f"{row.low:.3g} … {row.high:.3g}"
        robust = "" if pd.isna(row.robust) else f"{row.robust:.0%}"
        verdict = row.verdict if row.verdict == "undecided" else f"**{row.verdict}**"
        units = f"{row.units} ({row.unit})"
        estimate = f"{row.estimate:.3g}"
        again = row.confirmed if isinstance(row.confirmed, str) else ""
        cells = (row.sentence, row.kind, row.quantity, estimate, interval, rule_of(row), units, robust, verdict, again)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def replace_between(text: str, marker: str, content: str) -> str:
    """Return a text with the part between `<!-- marker -->` and `<!-- /marker -->` replaced, which it must have."""
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{begin if not found else end} is missing; the table stands between both")
    return f"{head}{begin}\n{content}\n{end}{tail}"


def main() -> None:
    """Read the study's folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of a finished study, such as results/digits")
    parser.add_argument("--no-figures", action="store_true", help="leave docs/figures as it is")
    options = parser.parse_args()
    results = options.results
    if not (results / "claims.csv").is_file():
        raise SystemExit(f"{results}/claims.csv: there is no such file; name the folder of a finished study")
    marker, table = f"claims {results.name}", claims_table(pd.read_csv(results / "claims.csv"))
    pages = [page for page in PAGES if f"<!-- {marker} -->" in page.read_text(encoding="utf-8")]
    if not pages:
        raise SystemExit(f"no page has the markers <!-- {marker} --> and <!-- /{marker} -->")
    for page in pages:
        page.write_text(replace_between(page.read_text(encoding="utf-8"), marker, table), encoding="utf-8")
    if options.no_figures:
        return
    figures = REPOSITORY / "docs/figures" / results.name
    figures.mkdir(parents=True, exist_ok=True)
    for png in sorted(results.glob("figures/*.png")):
        with Image.open(png) as image:
            image.convert("RGB").resize((PIXELS, round(image.height * PIXELS / image.width))).quantize(256).save(
                figures / png.name, optimize=True
            )


if __name__ == "__main__":
    main()
