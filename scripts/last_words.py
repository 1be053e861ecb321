"""Say where a finished study's results are, and its three most important verdicts. `make` calls this at its end.

python scripts/last_words.py results/digits
"""

import argparse
from pathlib import Path

import pandas as pd

from wedgescape.analysis.verdicts import counted, most_important


def main() -> None:
    """Read the study's folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of a finished study, such as results/digits")
    results = parser.parse_args().results
    table = pd.read_csv(results / "claims.csv")
    first = most_important(table)
    print(f"\nReport    {results}/report.html\nFigures   {results}/figures\nVerdicts  {results}/claims.csv")
    print(f"\n{counted(table)}.")
    if len(first):
        width = max(map(len, first["verdict"]))
        print("Among them (the paper's claims first, decided before undecided, one of each chapter):")
        print("\n".join(f"  {row.verdict.ljust(width)}  {row.sentence}" for row in first.itertuples()))


if __name__ == "__main__":
    main()
