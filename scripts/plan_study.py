"""Print what a study has still to run, and how long that will take, before anything runs.

python scripts/plan_study.py --configfile config/fashion.yaml --cores 4
"""

import argparse
import sys

from wedgescape.cluster.planning import as_text, jobs_of, plan
from wedgescape.errors import InputError


def positive(kind):
    """A number above 0, as argparse reads it."""

    def read(text: str):
        number = kind(text)
        if not number > 0:
            raise argparse.ArgumentTypeError(f"found {text}; allowed: a number above 0")
        return number

    return read


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--configfile", nargs="+", default=[], help="of the study, as for Snakemake")
    parser.add_argument("--cores", type=positive(int), default=1, help="jobs at a time")
    parser.add_argument(
        "--gpu-tflops", type=positive(float),
        help="assume a GPU that sustains so many 10^12 floating-point operations a second, not timed here",
    )  # fmt: skip
    arguments = parser.parse_args()
    study, jobs, done = jobs_of(arguments.configfile)
    print(as_text(plan(study, jobs, done, arguments.gpu_tflops), arguments.cores))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
