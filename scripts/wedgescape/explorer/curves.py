"""Curves between pairs of optima, each in its own plane, with the loss along it (`measurements.curves`)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from wedgescape.explorer.numbers import kept_of, rounded, thinned
from wedgescape.numerics.judging import only_fit
from wedgescape.study.places import AtBase

TITLE = "Curves between two optima"

MOST_PAIRS = 40


def embed(curves: AtBase) -> dict:
    """Return for each pair and kind of curve: places in weights, loss and score by split along it, its barrier."""
    pairs = thinned(curves.sizes["pair"], MOST_PAIRS)
    is_fit = only_fit(curves, curves["members"].transpose("pair", "end").values)
    pairs = pairs[is_fit[pairs]]
    found = [
        {
            "seeds": curves["members"].isel(pair=pair).values.tolist(),
            "kinds": {str(kind): _curve(curves.isel(pair=pair), str(kind)) for kind in curves["kind"].values},
        }
        for pair in pairs.tolist()
    ]
    note = kept_of(len(pairs), int(is_fit.sum()), "pairs")
    return {"t": rounded(curves["t"].values), "pairs": found, "note": note}


def _curve(store: xr.Dataset, kind: str) -> dict:
    one = store.sel(kind=kind)
    bends = 0 if kind == "line" else store.sizes[f"{kind}_bend"]
    length = float(store["length"].sel(kind="line"))
    places = bent(kind, length, one["departure"].values, one["t"].values) if bends < 2 else None
    by_split = {
        part: {str(split): rounded(one[name].sel(split=split).values) for split in one["split"].values}
        for part, name in {"loss": "loss", "score": "score", "barrier": "barrier", "largest": "largest_loss"}.items()
    }
    return {**by_split, "length": rounded(one["length"].values), "place": None if places is None else rounded(places)}


def bent(kind: str, length: float, departures: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return places (T, 2) on a curve with at most one bend, in the plane of its control point; weights.

    The first axis leads from one optimum to the other. A triangle is known by one side and the two angles at it, so the
    angles at which a curve departs from the straight line say where its control point is.

    Args:
        kind: line, bezier (quadratic) or chain (two straight parts).
        length: of the straight line.
        departures: (2,) radians, angle between curve and line at either end.
        t: (T,) from 0 to 1.
    """
    ends = np.array([[0.0, 0.0], [length, 0.0]])
    if kind == "line":
        return ends[0] + t[:, None] * (ends[1] - ends[0])
    first, second = departures
    side = length * np.sin(second) / np.sin(first + second)
    control = side * np.array([np.cos(first), np.sin(first)])
    if kind == "bezier":
        return 2 * (t * (1 - t))[:, None] * control + (t**2)[:, None] * ends[1]
    corners = np.stack([ends[0], control, ends[1]])
    return np.stack([np.interp(t, [0, 0.5, 1], corners[:, axis]) for axis in (0, 1)], 1)
