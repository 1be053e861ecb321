"""Downloads of published files, each verified by its checksum."""

import time
from collections.abc import Sequence
from pathlib import Path

from pooch import HTTPDownloader, retrieve
from tqdm import tqdm

from wedgescape.errors import InputError

_TEMPORARY = {408, 425, 429}  # client errors (4xx) that may pass: timeout, too early, too many requests


def fetch(
    urls: Sequence[str],
    destination: Path,
    checksum: str,
    attempts: int = 4,
    backoff: float = 2.0,
    timeout: float = 30.0,
) -> Path:
    """Download one file, unless it exists already with the right checksum.

    pooch downloads to a temporary file beside the destination, and renames it once its checksum is right. So the
    destination is never half-written, and several processes may fetch the same file at once.

    Args:
        urls: mirrors of the same file, tried in this order in every round.
        destination: path of the file; its folder is created if it does not exist.
        checksum: the published checksum, "sha256:<hex digits>".
        attempts: rounds over the mirrors.
        backoff: seconds before the second round; the pause doubles from round to round.
        timeout: seconds of silence after which a connection is given up.

    Returns:
        The path of the file.

    Raises:
        InputError: the folder cannot be created, or no mirror delivers a file with this checksum.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create the folder {destination.parent}: {error}") from error
    # requests would decompress a .gz file that a server declares as encoded, and its checksum would then be wrong.
    headers = {"User-Agent": "wedgescape", "Accept-Encoding": "identity"}

    def download(url: str, file: str, _: object) -> None:
        # The total is a placeholder that pooch replaces; without one, tqdm refuses to be tested for truth.
        with tqdm(total=1, desc=destination.name, unit="B", unit_scale=True, mininterval=1.0) as bar:
            HTTPDownloader(bar, chunk_size=1 << 16, timeout=timeout, headers=headers)(url, file, None)

    mirrors, reasons = list(urls), {}
    for attempt in range(attempts):
        if attempt and mirrors:
            time.sleep(backoff * 2 ** (attempt - 1))
        for url in tuple(mirrors):
            try:
                retrieve(url, checksum, destination.name, destination.parent, downloader=download)
                return destination
            except (OSError, ValueError) as error:  # OSError: the network or the disk; ValueError: a wrong checksum
                # requests wraps its reason in a MaxRetryError, whose own text buries it.
                reasons[url] = str(getattr(next(iter(error.args), None), "reason", error))
                status = getattr(getattr(error, "response", None), "status_code", 500)
                if not isinstance(error, OSError) or (status < 500 and status not in _TEMPORARY):
                    mirrors.remove(url)  # it would answer the same again
    tried = "\n".join(f"  {url}: {reason}" for url, reason in reasons.items())
    raise InputError(
        f"{destination.name}: the download failed\n{tried}\n"
        f"The file must have the checksum {checksum}. If this machine has no network, put the file into a folder and "
        "name that folder in the config: `data: {folder: ...}`"
    )
