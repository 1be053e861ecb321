"""Check every checksum of an archive, and say from which stores, jobs, seeds and code each of its figures came.

python scripts/verify_archive.py results/digits/archive.zip
"""

import argparse
import sys

from wedgescape.errors import InputError
from wedgescape.provenance.verify import as_text, figures, problems, sidecar


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("archive", help="a zip file that `snakemake archive` wrote")
    path = parser.parse_args().archive
    wrong = problems(path)
    if wrong:
        sys.exit("\n".join([f"{path}: {len(wrong)} problems", *(f"  {problem}" for problem in wrong)]))
    for figure in figures(path):
        print(as_text(figure), end="\n\n")
    print(f"{path}: every file is what the metadata say, and every result what its job made.")
    if not sidecar(path).is_file():
        print(f"{sidecar(path)} is not there: bytes of the zip file outside of its members could not be checked.")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
