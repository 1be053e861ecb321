"""Say what a run of a study will do and how long that takes. `make` calls this before it runs Snakemake."""

import sys

import status
from wedgescape.cluster.status import first_words
from wedgescape.errors import InputError

if __name__ == "__main__":
    try:
        status.main(first_words)
    except InputError:
        sys.exit()  # Snakemake is about to say what is wrong
