"""SHA-256 of files, kept between runs: of results, and of the files that a user declares."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path

from wedgescape.errors import InputError
from wedgescape.stores.whole_files import whole_file

SETTLED = 2_000_000_000  # nanoseconds after which an edit is sure to give a file another date


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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

    def of(self, files: Iterable[str | Path]) -> dict[str, str]:
        """Return path -> SHA-256, in hexadecimal digits.

        Raises:
            InputError: if one is no file.
        """
        before = dict(self.kept)
        found = {str(file): self._of(Path(file)) for file in files}
        if self.kept != before:
            self._write()
        return found

    def _of(self, path: Path) -> str:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file in {Path.cwd()}")
        place, state = str(path.resolve()), path.stat()
        known = [state.st_size, state.st_mtime_ns]
        if self.kept.get(place, [])[:2] != known:
            self.kept[place] = [*known, sha256(path)]
        return self.kept[place][2]

    def _write(self) -> None:
        if self.file:
            before = time.time_ns() - SETTLED
            kept = {place: entry for place, entry in self.kept.items() if entry[1] < before and Path(place).is_file()}
            with contextlib.suppress(Exception), whole_file(self.file) as beside:
                beside.write_text(json.dumps(kept), encoding="utf-8")
