"""Wedgescape: the large-scale structure of neural-network loss landscapes."""

import os

# Equal numbers give equal bits wherever in memory they lie, so that a network is the same alone and among others. Else
# MKL goes by the address on some processors. It reads this at its first use.
os.environ.setdefault("MKL_CBWR", "AUTO")

VERSION = "0.1.0"  # pyproject.toml reads it here; CITATION.cff repeats it
