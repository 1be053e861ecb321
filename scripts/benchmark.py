"""Time the project beside its peers, as `make bench` does, in the environment of envs/benchmark.txt.

    python scripts/benchmark.py [WORK ...] [--repetitions 5] [--threads 1 2]

Rows go to results/benchmarks/WORK.csv, and all that are there to a figure beside them and to the table in
docs/performance.md. The exit status is 1 if a contestant could not be measured or did other work than the rest.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from benchmarks import angular_width, curves, eigenpairs, grids, report, spectral_density, trace, training
from benchmarks.clock import measure, measure_peak, processors
from document import with_tables
from wedgescape.figures import style

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = "docs/performance.md"
DPI = 200
FAMILIES = {
    "training_mlp": training.mlps,
    "training_cnn": training.cnns,
    "grid_mlp": grids.mlps,
    "grid_cnn": grids.cnns,
    "eigenpairs": eigenpairs.works,
    "trace": trace.works,
    "spectral_density": spectral_density.works,
    "angular_width": angular_width.works,
    "curves": curves.works,
}


def tell(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def run(families: list[str], repetitions: int, threads: tuple[int, ...], results: Path) -> list[str]:
    """Time families of works, write their rows, and return what went wrong."""
    peaks = {count: measure_peak(count) for count in threads}
    for count, peak in peaks.items():
        tell(f"{count} thread(s): {peak.operations / 1e9:.0f} GFLOP/s, {peak.bytes / 1e9:.1f} GB/s")
    wrong = []
    for family in families:
        parts = []
        for work in FAMILIES[family]():
            tell(f"{work.name}: {work.title}")
            timed = measure(work, repetitions, threads, tell)
            for name, agreement in timed.agreements.items():
                tell(f"  {'equal work' if agreement.holds else 'OTHER WORK'}: {name}: {agreement.shown}")
            wrong += [f"{work.name}: {name} {why}" for name, why in timed.absent.items()]
            wrong += [
                f"{work.name}: {name} did other work: {agreement.shown}"
                for name, agreement in timed.agreements.items()
                if not agreement.holds
            ]
            parts.append(report.rows_of(timed, peaks))
        report.write(pd.concat(parts, ignore_index=True), results / f"{family}.csv")
    return wrong


def main() -> int:
    """Do what the command line says, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"{', '.join(FAMILIES)}; all by default")
    parser.add_argument("--repetitions", type=int, default=5, help="that count, per contestant")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="to try; each contestant keeps its best")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results/benchmarks", help="folder of the rows")
    parser.add_argument("--no-page", action="store_true", help=f"leave {PAGE} as it is")
    options = parser.parse_args()
    if unknown := set(options.works) - set(FAMILIES):
        parser.error(f"found {', '.join(sorted(unknown))}; allowed: {', '.join(FAMILIES)}")
    threads = tuple(count for count in options.threads if count <= processors())
    wrong = run(options.works or list(FAMILIES), options.repetitions, threads, options.results)

    rows = report.read(options.results, list(FAMILIES))
    style.save(
        report.figure_of(rows),
        [options.results / f"benchmark.{kind}" for kind in ("pdf", "png")],
        DPI,
        "benchmark",
        {"machine": sorted(rows["machine"].unique())},
    )
    table = report.table_of(rows)
    tell(table)
    if not options.no_page:
        page = REPOSITORY / PAGE
        page.write_text(with_tables(page.read_text(encoding="utf-8"), {"benchmark": table}), encoding="utf-8")
    for line in wrong:
        print(f"benchmark: {line}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
