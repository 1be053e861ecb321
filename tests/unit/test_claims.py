"""Verdicts by rules that stand before the run."""

import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from wedgescape.analysis.claims import (
    short_direction_claims,
    wedge_claims,
)
from wedgescape.analysis.verdicts import Rules
from wedgescape.measurements.wedges import simulate

NAN = math.nan
LIMITS = {
    "confidence": 0.95,
    "resamples": 300,
    "minimum_correlation": 0.2,
}
RULES = Rules(**{**dict.fromkeys(Rules.__dataclass_fields__, NAN), **LIMITS})  # other claims have limits of their own


# Toy wedges


def test_wedges_follow_their_closed_forms_and_a_wrong_simulation_does_not():
    store = simulate(60, [6, 12], [1, 2], [1.0, 2.0], trials=64, connected=12)
    rules = replace(RULES, confidence=0.95, resamples=200, maximum_relative_error=0.1)
    rows = {row["id"]: row for row in wedge_claims(store, rules)}
    assert set(rows) == {f"wedge_{name}" for name in ("random_loss", "cut_loss", "width", "shared_dim", "connector")}
    assert rows["wedge_random_loss"]["verdict"] == "supported"
    assert rows["wedge_random_loss"]["points"] == 4  # one wedge: two s, two r
    assert rows["wedge_shared_dim"]["verdict"] == "supported"
    assert rows["wedge_connector"]["estimate"] < 0.2
    wrong = store.assign(random_loss=1.5 * store["random_loss"], connector_residual=1 - store["connector_residual"])
    rows = {row["id"]: row for row in wedge_claims(wrong, rules)}
    assert rows["wedge_random_loss"]["verdict"] == "contradicted"
    assert rows["wedge_connector"]["estimate"] > 0.5


# Short directions


def fitted(estimates, spread=1.2):
    routes = ["cut_line", "cut_threshold", "tunnel_spread"]
    values = np.array(estimates)
    return xr.Dataset(
        {
            "fraction": ("route", values),
            "fraction_low": ("route", values / spread),
            "fraction_high": ("route", values * spread),
        },
        {"route": routes, "seed": range(5)},
    )


def test_short_directions_are_few_and_the_routes_agree_or_do_not():
    rules = replace(RULES, maximum_threshold_fraction=0.1, maximum_fold_difference=2.0)
    density = xr.Dataset({"short_fraction": ("seed", [0.01, 0.02, 0.03, NAN])})
    rows = {row["id"]: row for row in short_direction_claims(density, fitted([0.01, 0.011, 0.012]), rules)}
    assert rows["short_hessian"]["estimate"] == pytest.approx(0.02)
    assert rows["short_hessian"]["seeds"] == 3
    assert {row["verdict"] for row in rows.values()} == {"supported"}
    assert len(rows) == 5
    agreement = rows["short_agreement"]
    assert (agreement["estimate"], agreement["low"]) == (pytest.approx(1.2), 1.0)  # the intervals overlap
    assert agreement["high"] == pytest.approx(1.2 * 1.2**2)
    rows = {row["id"]: row for row in short_direction_claims(density, fitted([0.01, 0.2, NAN]), rules)}
    assert rows["short_cut_threshold"]["verdict"] == "contradicted"
    assert rows["short_agreement"]["verdict"] == "contradicted"
    assert rows["short_agreement"]["low"] == pytest.approx(20 / 1.2**2)
    assert "short_tunnel_spread" not in rows  # it has no estimate
