"""How alike the networks of a setting are, pair by pair, in every grid (`measurements.similarity`)."""

from __future__ import annotations

import xarray as xr

from wedgescape.explorer.numbers import kept_of, listed, rounded
from wedgescape.figures.style import NAMES
from wedgescape.study.places import Grids, InGrids

TITLE = "How alike seeds are"

MOST = 24  # networks beside each other
MEASURES = {
    "disagreement": "disagreement (fraction of test examples)",
    "jensen_shannon": "Jensen-Shannon divergence (nats)",
    "probability_cosine": "cosine of predicted probabilities",
    "weight_cosine": "cosine of weights",
    "weight_distance": "distance of weights (weights)",
}


def embed(similarity: InGrids, grids: Grids) -> dict:
    """Return for each setting of each grid the matrices of all measures over its first networks."""
    settings = {
        name: ", ".join(f"{NAMES.get(key, key)} {values[key]:g}" for key in grid["keys"])
        for grid in grids.values()
        for name, values in grid["settings"].items()
    }
    found = [{"label": label, **_matrices(similarity[name])} for name, label in settings.items()]
    total = max(store.sizes["seed"] for store in similarity.values())
    return {"measures": MEASURES, "settings": found, "note": kept_of(min(total, MOST), total, "seeds per setting")}


def _matrices(store: xr.Dataset) -> dict:
    small = store.isel(seed=slice(MOST), other=slice(MOST))
    values = {name: rounded(small[name].transpose("seed", "other").values, 4) for name in MEASURES}
    return {"names": [f"seed {seed}" for seed in listed(small["seed"].values)], "matrices": values}
