"""Files that are whole or absent, whatever ends the process that writes them."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wedgescape.errors import InputError

FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a place beside `path` to write to, and move what is there into place when the body is done.

    Where the body fails nothing stays, and what a writer left that was killed is removed. A second writer of the same
    file is harmless: one of the two fails, and the file is the other's, whole.

    Raises:
        InputError: if the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        left.unlink(missing_ok=True)
    beside = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.part")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        if error.errno in FULL:
            temporary = tempfile.gettempdir()  # where a store is put together
            raise InputError(
                f"{path}: it could not be written ({error.strerror}: {_free(path.parent)} are free there, "
                f"{_free(temporary)} in the temporary folder {temporary}); nothing of it was kept. Make room, and run "
                "again"
            ) from error
        raise
    finally:
        beside.unlink(missing_ok=True)


def _free(folder: str | Path) -> str:
    return f"{shutil.disk_usage(folder).free / 2**20:.1f} MiB"
