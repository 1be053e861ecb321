"""Numbers as the page embeds them: rounded, and null where there is none, since JSON has no nan."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

DIGITS = 5


def rounded(values, digits: int = DIGITS):
    """Return numbers as nested lists (or one number), rounded to significant digits; None where they are not finite.

    Args:
        values: of any shape.
        digits: that are kept.
    """
    values = np.asarray(values, dtype=float)
    kept = np.empty(values.size, dtype=object)
    kept[:] = [_short(value, digits) for value in values.ravel().tolist()]
    return kept.reshape(values.shape).tolist()


def _short(value: float, digits: int) -> float | int | None:
    if not np.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def embedded(data) -> str:
    """Return data as JSON that can stand inside a script element of HTML.

    Raises:
        ValueError: if there is a number that JSON does not have.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def thinned(length: int, most: int) -> np.ndarray:
    """Return which of so many places are kept, evenly spread, the first and the last among them."""
    return np.arange(length) if length <= most else np.unique(np.linspace(0, length - 1, most).round().astype(int))


def kept_of(count: int, total: int, what: str) -> str:
    """Return a sentence about what was left out to keep the page small; empty where nothing was."""
    return f"The page holds {count} of {total} {what}, to stay small." if count < total else ""


def listed(values: Sequence) -> list:
    """Return labels or values of a sweep as plain JSON types."""
    return [value.item() if isinstance(value, np.generic) else value for value in np.asarray(values).tolist()]
