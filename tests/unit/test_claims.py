"""Verdicts by rules that stand before the run."""

import math

import numpy as np
import pytest
import xarray as xr

from wedgescape.analysis import fitted_wedges
from wedgescape.measurements import wedges
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.settings import Rules

# Toy wedges


def test_wedges_follow_their_closed_forms_and_a_wrong_simulation_does_not():
    settings = wedges.Settings(dimension=60, short=[6, 12], wedges=[1, 2], radii=[1.0, 2.0], trials=64, connected=12)
    store, given = wedges.measure(settings), (Rules(maximum_relative_error=0.1), Intervals(0.95, 200))
    rows = {row["id"]: row for row in wedges.claims(store, *given)}
    assert set(rows) == {f"wedge_{name}" for name in ("random_loss", "cut_loss", "width", "shared_dim", "connector")}
    assert rows["wedge_random_loss"]["verdict"] == "supported"
    assert rows["wedge_random_loss"]["points"] == 4  # one wedge: two s, two r
    assert rows["wedge_shared_dim"]["verdict"] == "supported"
    assert rows["wedge_connector"]["estimate"] < 0.2
    wrong = store.assign(random_loss=1.5 * store["random_loss"], connector_residual=1 - store["connector_residual"])
    rows = {row["id"]: row for row in wedges.claims(wrong, *given)}
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
    rules = Rules(maximum_threshold_fraction=0.1, maximum_fold_difference=2.0)
    spectrum = {"density": xr.Dataset({"short_fraction": ("seed", [0.01, 0.02, 0.03, math.nan])})}

    def judged(estimates):
        claims = fitted_wedges.claims(spectrum, fitted(estimates), rules, Intervals(0.95, 300))
        return {row["id"]: row for row in claims}

    rows = judged([0.01, 0.011, 0.012])
    assert rows["short_hessian"]["estimate"] == pytest.approx(0.02)
    assert rows["short_hessian"]["seeds"] == 3
    assert {row["verdict"] for row in rows.values()} == {"supported"}
    assert len(rows) == 5
    agreement = rows["short_agreement"]
    assert (agreement["estimate"], agreement["low"]) == (pytest.approx(1.2), 1.0)  # the intervals overlap
    assert agreement["high"] == pytest.approx(1.2 * 1.2**2)
    rows = judged([0.01, 0.2, math.nan])
    assert rows["short_cut_threshold"]["verdict"] == "contradicted"
    assert rows["short_agreement"]["verdict"] == "contradicted"
    assert rows["short_agreement"]["low"] == pytest.approx(20 / 1.2**2)
    assert "short_tunnel_spread" not in rows  # it has no estimate
