"""The loss over planes: through three optima, around one, and of a training's path (`measurements.planes`)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from wedgescape.explorer.numbers import kept_of, listed, rounded, thinned
from wedgescape.study.places import AtBase

TITLE = "The loss over a plane"

MOST = 51  # points along a side
PARTS = {
    "optima": "through three optima",
    "around": "around one optimum",
    "trajectory": "of a training's path",
}


def embed(planes: AtBase) -> dict:
    """Return each plane: sides in weights, loss and score by split (beta, alpha), and what is marked on it."""
    return {"planes": [_plane(planes[name], name) for name in PARTS if name in planes]}


def _plane(store: xr.Dataset, name: str) -> dict:
    places = {side: thinned(store.sizes[side], MOST) for side in ("alpha", "beta")}
    small, scale = store.isel(places), float(store.attrs.get("scale", 1.0))
    plane = {
        "name": name,
        "title": PARTS[name],
        "note": kept_of(len(places["alpha"]), store.sizes["alpha"], "grid points along a side"),
        "alpha": rounded(small["alpha"].values * scale),
        "beta": rounded(small["beta"].values * scale),
        "loss": _by_split(small["loss"].transpose("split", "beta", "alpha")),
        "score": _by_split(small["score"].transpose("split", "beta", "alpha")),
    }
    if name == "optima":
        plane |= _triangle(store)
    elif name == "around":
        plane["optima"] = [{"seed": int(store.attrs["seed"]), "place": [0, 0], "loss": _at_middle(store)}]
    else:
        plane["path"] = {
            "step": listed(store["step"].values),
            "place": rounded(store["path"].values),
            "distance": rounded(store["path_distance"].values),
            "share": rounded(store["variance_share"].values),
        }
    return plane


def _by_split(values: xr.DataArray) -> dict:
    return {str(split): rounded(values.sel(split=split).values) for split in values["split"].values}


def _at_middle(store: xr.Dataset) -> dict:
    middle = {side: int(np.abs(store[side].values).argmin()) for side in ("alpha", "beta")}
    return _by_split(store["loss"].isel(middle))


def _triangle(store: xr.Dataset) -> dict:
    """Return three optima, the straight lines between them, and the centre of their connector."""
    places = np.stack([store["optimum_alpha"].values, store["optimum_beta"].values], 1)
    seeds, sides = store["optimum"].values.tolist(), [str(pair) for pair in store["pair"].values]
    ends = {pair: tuple(seeds.index(int(seed)) for seed in pair.split("-")) for pair in sides}
    losses = store["profile_loss"]
    first = {
        place: losses.sel(pair=pair).isel(t=end)
        for pair in sides
        for end, place in zip((0, -1), ends[pair], strict=True)
    }
    return {
        "optima": [
            {"seed": seed, "place": rounded(place), "loss": _by_split(first[k])}
            for k, (seed, place) in enumerate(zip(seeds, places, strict=True))
        ],
        "lines": [
            {
                "ends": list(ends[pair]),
                "t": rounded(store["t"].values),
                "loss": _by_split(losses.sel(pair=pair)),
                "barrier": _by_split(store["barrier"].sel(pair=pair)),
            }
            for pair in sides
        ],
        "centre": {
            "place": rounded(store["connector_place"].values),
            "distance": rounded(store["connector_distance"].values),
            "loss": _by_split(store["connector_loss"]),
        },
    }
