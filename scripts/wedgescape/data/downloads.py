"""Downloads of published files: resumed where they broke off, retried over mirrors, checked before they are used."""

import hashlib
import os
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from wedgescape.errors import InputError

_CHUNK = 1 << 16  # bytes
_PASSING = {408, 425, 429}  # client errors (4xx) that may pass: timeout, too early, too many requests


def fetch(
    urls: Sequence[str],
    destination: str | Path,
    checksum: str,
    attempts: int = 4,
    backoff: float = 2.0,
    timeout: float = 30.0,
) -> Path:
    """Download one file, unless it is there already with the right checksum.

    The bytes go to `<destination>.part`, which a later call resumes, and are moved into place only once their
    checksum is right: the file is complete or absent.

    Args:
        urls: mirrors of the same file, tried in turn in every round.
        destination: path of the file; its folder is made where it is missing.
        checksum: the published sum, "md5:<hex digits>" or "sha256:<hex digits>".
        attempts: rounds over the mirrors.
        backoff: seconds before the second round; the pause doubles from round to round.
        timeout: seconds of silence after which a connection is given up.

    Returns:
        The path of the file.

    Raises:
        InputError: no mirror gave the file, or what it gave has another checksum; then no file is left.
    """
    destination = Path(destination)
    algorithm, _, allowed = checksum.partition(":")
    if destination.is_file() and _checksum(destination, algorithm) == allowed:
        return destination
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{destination.parent}: found {error}; allowed: a folder that can be written") from error

    part = destination.with_name(destination.name + ".part")
    reasons = dict.fromkeys(urls, "not tried")
    mirrors = list(urls)
    for attempt in range(attempts):
        if attempt and mirrors:
            time.sleep(backoff * 2 ** (attempt - 1))
        for url in tuple(mirrors):
            resumed = part.is_file()
            try:
                _download(url, part, timeout)
                found = _checksum(part, algorithm)
            except (OSError, HTTPException) as error:
                reasons[url] = str(error) or type(error).__name__
                if _is_final(error):
                    mirrors.remove(url)
                continue
            if found == allowed:
                os.replace(part, destination)
                return destination
            part.unlink()
            reasons[url] = f"found {algorithm} {found}; allowed: {algorithm} {allowed}"
            if not resumed:  # the mirror itself is wrong; otherwise the older part may be to blame
                mirrors.remove(url)
    tried = "\n".join(f"  {url}: {reason}" for url, reason in reasons.items())
    raise InputError(
        f"{destination.name}: the download failed\n{tried}\n"
        f"allowed: a file with {algorithm} {allowed}. Where there is no network, put the file into a folder and name "
        "that folder in the config: `data: {folder: ...}`"
    )


def _download(url: str, part: Path, timeout: float) -> None:
    """Append to `part` what it still lacks of the file behind the url."""
    from tqdm import tqdm

    size = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "wedgescape"} | ({"Range": f"bytes={size}-"} if size else {})
    try:
        response = urlopen(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        if error.code == 416 and size:  # nothing lies beyond `part`: it is whole or foreign, its checksum will tell
            return
        raise
    with response:
        resumes = response.status == 206
        if not resumes:  # the server sends the whole file, whatever was asked for
            size = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else size + int(length)
        bar = tqdm(total=total, initial=size, desc=part.stem, unit="B", unit_scale=True, mininterval=1.0)
        with bar, open(part, "ab" if resumes else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    # A closed connection looks like the end of the file, so the announced length is compared.
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"the connection closed after {part.stat().st_size} of {total} bytes")


def _is_final(error: Exception) -> bool:
    """Whether trying again would give the same answer: the server knows no such file."""
    return isinstance(error, HTTPError) and 400 <= error.code < 500 and error.code not in _PASSING


def _checksum(path: Path, algorithm: str) -> str:
    with open(path, "rb") as file:
        # MD5 finds damage here, it guards no secret; without the flag a FIPS system refuses it.
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
