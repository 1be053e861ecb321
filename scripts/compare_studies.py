"""Compare the verdicts of studies claim by claim: which hold everywhere?

    python scripts/compare_studies.py digits fashion_mlp

writes results/comparison/claims.csv, one row per claim, and results/comparison/claims.pdf and .png.
"""

import argparse
from pathlib import Path

import pandas as pd

from wedgescape.analysis.comparison import compared
from wedgescape.figures import comparison, style
from wedgescape.stores.zarr_stores import write_table

OUTPUT = Path("results/comparison")


def main() -> None:
    """Read the studies' names from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", help="names of finished studies, such as digits fashion_mlp")
    studies = parser.parse_args().studies
    missing = [study for study in studies if not Path("results", study, "claims.csv").is_file()]
    if missing:
        raise SystemExit(f"no verdicts of {', '.join(missing)}: results/{missing[0]}/claims.csv is missing")
    table = compared({study: pd.read_csv(Path("results", study, "claims.csv")) for study in studies})
    OUTPUT.mkdir(parents=True, exist_ok=True)
    write_table(table, OUTPUT / "claims.csv")
    outputs = [OUTPUT / f"claims.{kind}" for kind in ("pdf", "png")]
    style.save(comparison.draw(table, studies), outputs, 200, "comparison", {"studies": studies})
    same = table.loc[table["kind"] != "check", "everywhere"].ne("")
    print(
        f"{int(same.sum())} of {len(same)} claims got one verdict in all studies that judged them: {OUTPUT}/claims.csv"
    )


if __name__ == "__main__":
    main()
