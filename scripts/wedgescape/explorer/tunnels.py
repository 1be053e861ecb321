"""Profiles of the rays that leave an optimum, at each value of each sweep (`measurements.tunnels`)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from wedgescape.explorer.numbers import kept_of, listed, rounded
from wedgescape.numerics.intervals import Intervals, StudentT
from wedgescape.numerics.judging import fit
from wedgescape.study.places import AlongMatchedSweeps, AlongSweeps, AtBase, BaseSetting

TITLE = "Tunnels"

MOST = 220_000  # numbers in all profiles; beyond, fewer rays per network are kept
DIGITS = {"loss": 6, "score": 5}  # a loss may be near chance, and its threshold near it
AS_TRAINED, BALANCED, MATCHED = "as trained", "balanced layers", "trained to one loss"
CONTROLS = {"duplicated": "against duplicated units", "idle": "against idle weights"}
PLAIN = "dimension not controlled"


class Pool:
    """The networks of the page, each once, although the base setting is in every sweep.

    Args:
        rays: kept per network.
    """

    def __init__(self, rays: int):
        self.rays, self.networks = rays, []

    def add(self, store: xr.Dataset) -> int:
        """Return the place of the networks of one setting.

        Of each ray (seed, direction) it holds at which angles it was looked at, by their places, and what was seen.
        """
        kept = store.isel(direction=slice(self.rays)).transpose(..., "seed", "direction", "angle")
        seen = np.isfinite(kept["loss"].values)
        found = {
            "seeds": store["seed"].values.tolist(),
            "fit": fit(store).values.tolist(),
            "at": [[np.flatnonzero(ray).tolist() for ray in some] for some in seen],
        }
        for name, digits in DIGITS.items():
            pairs = zip(kept[name].values, seen, strict=True)
            found[name] = [[rounded(ray[at], digits) for ray, at in zip(*pair, strict=True)] for pair in pairs]
        if found not in self.networks:
            self.networks.append(found)
        return self.networks.index(found)


def embed(
    tunnels: AlongSweeps,
    matched_tunnels: AlongMatchedSweeps,
    balanced: AlongSweeps,
    dimension: AtBase,
    base: BaseSetting,
    intervals: Intervals,
) -> dict:
    """Return the networks' rays, and for each sweep which networks are at which value, and which are compared.

    A comparison is a pair of networks: by how much the tunnels of the second are wider, seed by seed, is what a claim
    about the sweep estimates. Widths follow on the page, for any threshold.
    """
    stores = [*tunnels.values(), *matched_tunnels.values(), *balanced.values()]
    numbers = sum(2 * int(np.isfinite(one["loss"]).sum()) for one in stores)
    directions = max(one.sizes["direction"] for one in stores)
    rays = max(1, min(directions, int(directions * MOST / numbers)))
    pool, first = Pool(rays), next(iter(tunnels.values()))
    sweeps = []
    for sweep, store in tunnels.items():
        kinds = {AS_TRAINED: store, BALANCED: balanced[sweep]}
        kinds |= {MATCHED: matched_tunnels[sweep]} if sweep in matched_tunnels else {}
        values = listed(store["value"].values)
        places = {kind: [pool.add(one.isel(value=k)) for k in range(len(values))] for kind, one in kinds.items()}
        found = {"key": sweep, "values": values, "base": base.get(sweep), "networks": places}
        is_width = sweep == "width"
        found["compared"] = _against(places, values, dimension, base, pool) if is_width else _ends(places, values)
        sweeps.append(found)
    seeds = max(one.sizes["seed"] for one in stores)
    return {
        "angles": rounded(np.degrees(first["angle"].values), 7),
        "chance": first.attrs["chance_loss"],
        "fractions": {"score": first.attrs["score_fraction"], "loss": first.attrs["loss_fraction"]},
        "networks": pool.networks,
        "sweeps": sweeps,
        "reach": [StudentT(0.0, 1.0, n).ends(intervals.confidence)[1] for n in range(1, seeds)],
        "confidence": intervals.confidence,
        "note": kept_of(rays, directions, "rays per network"),
    }


def _ends(places: dict, values: list) -> list[dict]:
    """Return the comparisons of a sweep of numbers: its largest value with its lowest."""
    if len(values) < 2 or not all(isinstance(value, int | float) for value in values):
        return []
    low, high = values.index(min(values)), values.index(max(values))
    return [{"name": kind, "from": some[low], "to": some[high]} for kind, some in places.items()]


def _against(places: dict, values: list, dimension: xr.Dataset, base: dict, pool: Pool) -> list[dict]:
    """Return the comparisons of the sweep over width: the widest networks with what dimension alone makes."""
    widest, narrow = max(values), base["width"]
    if widest <= narrow:
        return []
    found = []
    for kind, some in places.items():
        last = some[values.index(widest)]
        for control, text in CONTROLS.items():
            if kind in dimension["scaling"].values and control in dimension["control"].values:
                alone = dimension.sel(scaling=kind, control=control, width=widest)
                if np.isfinite(alone["loss"]).any():
                    found.append({"name": f"{kind}; {text}", "from": pool.add(alone), "to": last})
        if narrow in values:
            found.append({"name": f"{kind}; {PLAIN}", "from": some[values.index(narrow)], "to": last})
    return found
