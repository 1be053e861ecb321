"""Say how far a study is: done, running, failed, left, and about how long it will still take.

    python scripts/status.py --configfile config/fashion.yaml

It only reads files, so it may run beside the study, after it, or after a run that was killed.
"""

import argparse
import sys

from wedgescape.cluster import internals
from wedgescape.cluster.status import as_text
from wedgescape.errors import InputError
from wedgescape.study.catalogue import catalogue
from wedgescape.study.study import load_study


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--configfile", nargs="+", default=["config/config.yaml"], help="of the study, as for Snakemake"
    )
    parser.add_argument("--config", nargs="+", default=[], help="entries over it, as for Snakemake")
    parser.add_argument("--cores", type=int, default=1, help="jobs at a time")
    arguments = parser.parse_args()
    study = load_study(internals.merged_config(arguments.configfile, arguments.config), catalogue())
    print(as_text(study, arguments.cores))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
