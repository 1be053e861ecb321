"""Find the Slurm jobs that a run of Snakemake left behind when it was killed; wait for them, or cancel them.

    python scripts/orphans.py [list|wait|cancel]

Their results count: a run that comes after their end goes on from there.
"""

import argparse
import sys
import time
from pathlib import Path

from wedgescape.cluster import slurm
from wedgescape.errors import InputError

POLL = 10.0  # seconds


def main() -> None:
    """Do what the command line says."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("do", nargs="?", choices=["list", "wait", "cancel"], default="list")
    do = arguments.parse_args().do
    jobs = slurm.queued(Path.cwd())
    for job in jobs:
        print(f"{job.number:>8} {job.state.lower():<10} {job.what}  (run {job.run})")
    if do == "cancel":
        slurm.cancel(job.run for job in jobs)
    while do != "list" and (jobs := slurm.queued(Path.cwd())):
        print(f"{len(jobs)} under way", file=sys.stderr)
        time.sleep(POLL)
    if not jobs:
        print("No job of this folder is in Slurm's queue.")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
