"""Measure how time and memory grow with the size of a work, as `make growth` does.

    python scripts/growth.py [QUANTITY ...] [--repetitions 3]

Rows go to results/benchmarks/growth_QUANTITY.csv, and all that are there to the table and the figure of
docs/performance.md.
"""

import argparse
from pathlib import Path

from benchmarks import growth, report
from document import with_tables
from wedgescape.figures import style

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE, FIGURE = "docs/performance.md", "docs/figures/growth.png"
DPI = 200


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("quantities", nargs="*", metavar="QUANTITY", help=f"{', '.join(growth.AXES)}; all by default")
    parser.add_argument("--repetitions", type=int, default=3, help="of each size, at most")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results/benchmarks", help="folder of the rows")
    parser.add_argument("--no-page", action="store_true", help=f"leave {PAGE} and its figure as they are")
    options = parser.parse_args()
    if unknown := set(options.quantities) - set(growth.AXES):
        parser.error(f"found {', '.join(sorted(unknown))}; allowed: {', '.join(growth.AXES)}")

    files = {name: f"growth_{name.replace(' ', '_')}" for name in growth.AXES}
    for name in options.quantities or growth.AXES:
        rows = growth.measure(growth.AXES[name], options.repetitions, lambda text: print(text, flush=True))
        report.write(rows, options.results / f"{files[name]}.csv")

    rows = report.read(options.results, list(files.values()))
    outputs = [options.results / f"growth.{kind}" for kind in ("pdf", "png")]
    if not options.no_page:
        page = REPOSITORY / PAGE
        page.write_text(
            with_tables(page.read_text(encoding="utf-8"), {"growth": growth.table_of(rows)}), encoding="utf-8"
        )
        outputs.append(REPOSITORY / FIGURE)
    machines = {"machine": sorted(rows["machine"].unique())}
    style.save(growth.figure_of(rows), outputs, DPI, "growth", machines)


if __name__ == "__main__":
    main()
