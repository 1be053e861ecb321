"""One file per measurement, named like its config section, its rule and its store."""

from importlib import import_module
from importlib.util import find_spec


def __getattr__(name: str):
    """Import a module of this package at its first use."""
    if name.startswith("_") or not find_spec(f"wedgescape.measurements.{name}"):
        raise AttributeError(f"module 'wedgescape.measurements' has no attribute {name!r}")
    return import_module(f"wedgescape.measurements.{name}")
