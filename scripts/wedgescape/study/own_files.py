"""Python files of the user's own: a network, a data set."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType


def import_own(file: str | Path) -> ModuleType:
    """Import a user's Python file, as Python itself would run it: modules in its folder can be imported by their names.

    Args:
        file: its path.

    Raises:
        Exception: whatever the file raises.
    """
    path = Path(file).resolve()
    spec = importlib.util.spec_from_file_location(f"wedgescape_own_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Let imports find the modules in a folder, as in a script that lies there. Then others may have their names."""
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            module, top = sys.modules[name], folder / name.partition(".")[0]
            file = getattr(module, "__file__", None)
            places = map(Path, [file] if file else getattr(module, "__path__", ()))
            if any(place.is_relative_to(top) or place == top.with_name(f"{top.name}.py") for place in places):
                del sys.modules[name]
