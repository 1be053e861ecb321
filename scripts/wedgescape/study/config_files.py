"""Config files as they were written: Snakemake reads them, and of a key that is there twice only the last is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from wedgescape.errors import InputError

MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`, which may lay several sections under one


def check_keys(files: Iterable[str | Path]) -> None:
    """Make sure that no YAML or JSON file has a key twice in one section.

    Args:
        files: to be read; one that is no YAML is passed over, since Snakemake has told what is wrong with it.

    Raises:
        InputError: if one has; it lists all such keys, with the file and the lines.
    """
    found = [f"{file}: {text}" for file in dict.fromkeys(map(str, files)) for text in _repeated(Path(file))]
    if found:
        raise InputError("\n  ".join(["The config cannot be used, because keys are given twice:", *found]))


def _repeated(file: Path) -> Iterator[str]:
    try:
        tree = yaml.compose(file.read_bytes(), yaml.SafeLoader)
    except yaml.YAMLError:
        return
    waiting, seen = [((), tree)] if tree else [], set()
    while waiting:
        path, node = waiting.pop(0)
        if id(node) in seen:  # an alias leads to what was looked at
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [((*path[:-1], f"{path[-1] if path else ''}[{n}]"), one) for n, one in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple, list[int]] = {}
            for key, value in node.value:
                name = str(key.value)
                waiting.append(((*path, name), value))
                if key.tag != MERGE:
                    lines.setdefault((key.tag, name), []).append(key.start_mark.line + 1)
            for (_tag, name), places in lines.items():
                if len(places) > 1:
                    *others, last = map(str, places)
                    yield f"{'.'.join((*path, name))} is in lines {', '.join(others)} and {last}; give it once"
