"""How alike the solutions of different methods are, pair by pair (`analysis.ensembles`)."""

from __future__ import annotations

from wedgescape.explorer.numbers import kept_of, rounded, thinned
from wedgescape.explorer.similarity import MEASURES
from wedgescape.figures.style import METHOD_NAMES
from wedgescape.study.places import AtBase

TITLE = "How alike methods' solutions are"

MOST = 40  # networks beside each other


def embed(ensembles: AtBase) -> dict:
    """Return the matrices of all measures over the members of all methods in the first group."""
    store = ensembles["methods"]
    kept = thinned(store.sizes["network"], MOST)
    small = store.isel(network=kept, other=kept)
    methods, members = small["network_ensemble"].values, small["network_member"].values
    names = [f"{METHOD_NAMES[str(one)]} {place + 1}" for one, place in zip(methods, members.tolist(), strict=True)]
    matrices = {name: rounded(small[f"{name}_matrix"].transpose("network", "other").values, 4) for name in MEASURES}
    one = {"label": "the first group of seeds", "names": names, "matrices": matrices}
    return {"measures": MEASURES, "settings": [one], "note": kept_of(len(kept), store.sizes["network"], "networks")}
