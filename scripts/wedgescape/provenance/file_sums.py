"""SHA-256 of files that a user declares, such as those that the function with a data set reads."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from pathlib import Path

from wedgescape.errors import InputError
from wedgescape.provenance.records import sha256
from wedgescape.stores.whole_files import whole_file

SETTLED = 2_000_000_000  # nanoseconds after which an edit is sure to give a file another date


class FileSums:
    """Checksums of files, each computed again only when the file's size or date changes.

    Args:
        cache: JSON file that keeps them between runs; None keeps none. It only saves time: a damaged file is rebuilt,
            and a failure to write it is ignored.
    """

    def __init__(self, cache: Path | None):
        self.file = cache
        self.kept: dict[str, list] = {}
        if cache:
            with contextlib.suppress(Exception):
                found = json.loads(cache.read_bytes())
                self.kept = {str(path): [int(size), int(date), str(sum_)] for path, (size, date, sum_) in found.items()}

    def of(self, files: Iterable[str]) -> dict[str, str]:
        """Return path -> SHA-256, in hexadecimal digits.

        Raises:
            InputError: if one is no file.
        """
        return {file: self._of(Path(file)) for file in files}

    def _of(self, path: Path) -> str:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file in {Path.cwd()}")
        place, state = str(path.resolve()), path.stat()
        known = [state.st_size, state.st_mtime_ns]
        if self.kept.get(place, [])[:2] != known:
            self.kept[place] = [*known, sha256(path)]
            self._write()
        return self.kept[place][2]

    def _write(self) -> None:
        if self.file:
            before = time.time_ns() - SETTLED
            settled = {place: entry for place, entry in self.kept.items() if entry[1] < before}
            with contextlib.suppress(Exception), whole_file(self.file) as beside:
                beside.write_text(json.dumps(settled), encoding="utf-8")
