"""Long loops say now and then how far they are; the words are in the job's log, where a run and `make status` look."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

EVERY = 3.0  # seconds between two lines

log = logging.getLogger("wedgescape")
T = TypeVar("T")


def counted(items: Sequence[T], what: str, first: int = 0) -> Iterator[T]:
    """Yield items, and log every few seconds which one is next: `step 120 of 2000`.

    Args:
        items: to go through.
        what: one of them is.
        first: how many were gone through before.
    """
    told, end = time.monotonic(), first + len(items)
    for place, item in enumerate(items, start=first + 1):
        if time.monotonic() - told > EVERY:
            told = time.monotonic()
            log.info("%s %d of %d", what, place, end)
        yield item
