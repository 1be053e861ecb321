"""Compare the verdicts of studies claim by claim: which hold everywhere?

    python scripts/compare_studies.py digits fashion_mlp

writes results/comparison/claims.csv, one row per claim, claims.pdf and claims.png there, and claims.html, a page that
opens without a network.
"""

import argparse
from pathlib import Path

import pandas as pd

from wedgescape.analysis.comparison import compared
from wedgescape.explorer import comparison as view
from wedgescape.explorer.page import assemble
from wedgescape.figures import comparison, style
from wedgescape.stores.zarr_stores import write_table, write_text
from wedgescape.study.catalogue import catalogue
from wedgescape.study.rules import load_rules

RULES = Path("config/rules.yaml")
OUTPUT = Path("results/comparison")


def main() -> None:
    """Read the studies' names from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", help="names of finished studies, such as digits fashion_mlp")
    studies = parser.parse_args().studies
    missing = [study for study in studies if not Path("results", study, "claims.csv").is_file()]
    if missing:
        raise SystemExit(f"no verdicts of {', '.join(missing)}: results/{missing[0]}/claims.csv is missing")
    tables = {study: pd.read_csv(Path("results", study, "claims.csv")) for study in studies}
    table = compared(tables)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    write_table(table, OUTPUT / "claims.csv")
    outputs = [OUTPUT / f"claims.{kind}" for kind in ("pdf", "png")]
    style.save(comparison.draw(table, studies), outputs, 200, "comparison", {"studies": studies})
    shared = table[(table["kind"] != "check") & (table[studies].ne("").sum(axis=1) > 1)]
    same = int(shared["everywhere"].ne("").sum())
    counts = f"{same} of {len(shared)} that several studies judge are decided, and alike in all of them"
    families = load_rules(RULES, catalogue().claims).families
    head = {"study": ", ".join(studies), "base": {}, "words": {}, "counts": counts}
    page = assemble(head, {"comparison": (view.TITLE, view.embed(table, tables, families))}, plots=False)
    write_text(page, OUTPUT / "claims.html")
    print(f"Of the claims {counts}: {OUTPUT}/claims.html")


if __name__ == "__main__":
    main()
