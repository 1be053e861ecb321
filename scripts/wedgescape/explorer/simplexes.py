"""Bezier simplexes through m optima: the triangle, and the loss in their regions (`measurements.simplexes`)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from wedgescape.explorer.numbers import kept_of, rounded, thinned
from wedgescape.study.places import AtBase

TITLE = "Simplexes through several optima"

MOST = 100  # positions per region, of all sets together


def embed(simplexes: AtBase) -> dict:
    """Return the triangle's two surfaces, if the store has them, and losses by (size, kind, bound, region)."""
    losses = simplexes["loss"].sel(split="train")
    per_set = max(1, MOST // simplexes.sizes["set"])
    places = thinned(simplexes.sizes["position"], per_set)
    losses = losses.isel(position=places).transpose("size", "kind", "bound", "region", "set", "position")
    members = simplexes["members"].transpose("size", "set", "member").values
    return {
        "triangle": _triangle(simplexes) if "triangle_loss" in simplexes else None,
        "sizes": simplexes["size"].values.tolist(),
        "bounds": rounded(simplexes["bound"].values),
        "kinds": [str(kind) for kind in simplexes["kind"].values],
        "regions": [str(region) for region in simplexes["region"].values],
        "members": [[[seed for seed in one if seed >= 0] for one in some] for some in members.tolist()],
        "loss": rounded(losses.values, 4),
        "threshold": rounded(simplexes["threshold"].transpose("size", "set").values),
        "low_share": simplexes.attrs["low_share"],
        "note": kept_of(len(places), simplexes.sizes["position"], "positions per region and set"),
    }


def _triangle(store: xr.Dataset) -> dict:
    """Return places in the plane, equilateral with unit sides, and the loss of both surfaces at each."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    losses = store["triangle_loss"]
    return {
        "seeds": store["members"].sel(size=3).transpose("set", "member").values[0, :3].tolist(),
        "weights": rounded(store["triangle_position"].values),
        "place": rounded(store["triangle_position"].values @ corners),
        "loss": {str(one): rounded(losses.sel(surface=one).values) for one in losses["surface"].values},
    }
