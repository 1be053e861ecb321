"""Wedgescape: the large-scale structure of neural-network loss landscapes.

`Optima` and `NetworkLandscape` are made of networks that were trained elsewhere (docs/own-networks.md). `measurements`
and `figures` hold a module for each measurement and each figure.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wedgescape import figures, measurements
    from wedgescape.errors import InputError
    from wedgescape.landscapes.given import NetworkLandscape
    from wedgescape.training.export import export
    from wedgescape.training.given import Optima

# Equal numbers give equal bits wherever in memory they lie, so that a network is the same alone and among others. Else
# MKL goes by the address on some processors. It reads this at its first use.
os.environ.setdefault("MKL_CBWR", "AUTO")

VERSION = "0.1.0"  # pyproject.toml reads it here; CITATION.cff repeats it

# The Snakefile imports this package, so that nothing heavy may be imported before it is asked for.
_MODULES = {
    "InputError": "wedgescape.errors",
    "NetworkLandscape": "wedgescape.landscapes.given",
    "Optima": "wedgescape.training.given",
    "export": "wedgescape.training.export",
}
_ROOMS = ("figures", "measurements")

__all__ = ["VERSION", "InputError", "NetworkLandscape", "Optima", "export", "figures", "measurements"]


def __getattr__(name: str):
    if name in _ROOMS:
        return import_module(f"wedgescape.{name}")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'wedgescape' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
