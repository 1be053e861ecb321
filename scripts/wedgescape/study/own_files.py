"""Python files of the user's own: a network, a data set."""

from __future__ import annotations

import importlib.util
import sys
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
