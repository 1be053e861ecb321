"""One file per figure, and the style that all share."""

from importlib import import_module
from importlib.util import find_spec


def __getattr__(name: str):
    """Import a module of this package at its first use."""
    if name.startswith("_") or not find_spec(f"wedgescape.figures.{name}"):
        raise AttributeError(f"module 'wedgescape.figures' has no attribute {name!r}")
    return import_module(f"wedgescape.figures.{name}")
