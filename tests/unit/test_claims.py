"""Verdicts by rules that stand before the run."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from wedgescape.analysis.claims import (
    alignment_claims,
    connector_claims,
    short_direction_claims,
    subspace_claims,
    wedge_claims,
)
from wedgescape.analysis.verdicts import Rules
from wedgescape.measurements import subspaces as surfaces
from wedgescape.measurements.wedges import simulate
from wedgescape.numerics.intervals import Interval, bootstrap_mean

NAN = math.nan
LIMITS = {
    "confidence": 0.95,
    "resamples": 300,
    "minimum_correlation": 0.2,
    "maximum_loss_ratio": 0.1,
    "maximum_connector_loss": 0.05,
}
RULES = Rules(**{**dict.fromkeys(Rules.__dataclass_fields__, NAN), **LIMITS})  # other claims have limits of their own


# Connectors


def connectors(centre, centroid=1.0, sets=4):
    """Sets of 2 and of 3 out of five optima; the losses at the centres of the sets of 2 are given."""
    loss = np.full((2, sets, 3, 2), 1e-3)
    loss[:, :, 1] = centroid
    loss[0, :, 2, 0] = centre
    loss[:, :, 2, 1] = 77.0  # of the test split, which must not matter
    members = np.full((2, sets, 3), -1)
    members[0, :, :2] = [[0, 1], [0, 2], [1, 2], [0, 1]][:sets]
    members[1] = [[0, 1, 4]]
    return xr.Dataset(
        {"loss": (("size", "set", "place", "split"), loss), "members": (("size", "set", "member"), members)},
        {"size": [2, 3], "place": ["optima", "centroid", "centre"], "split": ["train", "test"]},
    )


@pytest.mark.parametrize(
    ("centre", "verdict"),
    [
        ([0.01, 0.02, 0.03, 0.04], "supported"),
        ([0.5, 0.6, 0.7, 0.8], "contradicted"),
        ([0.01, 0.02, 0.5, 0.7], "undecided"),
        ([0.1, 0.1, 0.1, 0.1], "undecided"),  # at the edge
    ],
)
def test_a_connector_is_judged_by_the_ratio_of_losses(centre, verdict):
    two, three = connector_claims(connectors(np.array(centre) * 2, centroid=2.0), RULES)
    assert two["id"] == "connector_2"
    assert two["sentence"] == "A low-loss connector joins 2 optima"
    assert two["verdict"] == verdict
    assert Interval(two["estimate"], two["low"], two["high"]) == bootstrap_mean(centre, 0.95, 300)
    assert (two["seeds"], two["points"], two["diverged"]) == (3, 4, 0)
    assert (three["id"], three["verdict"], three["seeds"]) == ("connector_3", "supported", 3)
    assert three["estimate"] == pytest.approx(1e-3 / 2)


def test_the_ratio_is_averaged_over_sets_and_not_a_ratio_of_averages():
    store = connectors([0.1, 0.4, 0.1, 0.4])
    store["loss"][0, :, 1, 0] = [1.0, 8.0, 1.0, 8.0]
    assert connector_claims(store, RULES)[0]["estimate"] == pytest.approx((0.1 + 0.05) / 2)


def test_sets_that_do_not_exist_are_no_points_and_those_that_diverged_are_counted():
    store = connectors([0.01, 0.02, NAN, NAN])
    store["members"][0, 3] = -1  # the fourth does not exist, the third left the finite numbers
    store["loss"][0, 3] = NAN
    row = connector_claims(store, RULES)[0]
    assert (row["points"], row["diverged"]) == (2, 1)
    assert row["estimate"] == pytest.approx(0.015)


def test_one_set_is_not_enough_for_a_verdict():
    row = connector_claims(connectors([0.001], sets=1), RULES)[0]
    assert row["verdict"] == "undecided"
    assert (row["low"], row["high"]) == (-math.inf, math.inf)


# Subspaces


@pytest.mark.parametrize(
    ("largest", "verdict", "diverged"),
    [
        ([0.01, 0.02, 0.03], "supported", 0),
        ([0.1, 0.2, 0.3], "contradicted", 0),
        ([0.01, 0.02, 0.3], "undecided", 0),
        ([0.05, 0.05], "undecided", 0),  # at the edge
        ([0.01, NAN, 0.03, math.inf], "supported", 2),
    ],
)
def test_a_subspace_is_judged_by_its_largest_loss(monkeypatch, largest, verdict, diverged):
    table = pd.DataFrame({"size": [3] * len(largest) + [5], "largest_train_loss": [*largest, 9.0]})
    monkeypatch.setattr(surfaces, "tidy", lambda _store: table)
    members = [[[0, 1, 4, -1, -1], [0, 2, 4, -1, -1]], [[0, 1, 2, 3, 4], [-1] * 5]]
    store = xr.Dataset({"members": (("size", "set", "member"), members)}, {"size": [3, 5]})
    three, five = subspace_claims(store, RULES)
    assert (three["id"], three["verdict"], three["seeds"]) == ("subspace_3", verdict, 4)
    assert (three["points"], three["diverged"]) == (len(largest) - diverged, diverged)
    assert three["estimate"] == pytest.approx(np.mean([loss for loss in largest if math.isfinite(loss)]))
    assert (five["verdict"], five["points"], five["seeds"]) == ("undecided", 1, 5)


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


# Alignment


def lines(after, widths=(8, 16), pairs=4):
    """One store a width; barriers of 1 nat before matching, and those given by width after it."""
    made = []
    for width, value in zip(widths, after, strict=True):
        barrier = np.ones((2, pairs, 2))
        barrier[1] = value * (1 + 0.01 * np.arange(pairs)[:, None])
        made.append(
            xr.Dataset(
                {"barrier": (("alignment", "pair", "split"), barrier)},
                {"alignment": ["before", "after"], "split": ["train", "test"],
                 "seed": (("pair", "end"), np.arange(2 * pairs).reshape(pairs, 2))},
                {"width": width, "diverged": 1},
            )
        )  # fmt: skip
    return made


ALIGNED = {"before": connectors([0.01] * 4, centroid=2.0), "after": connectors([0.01] * 4, centroid=0.2)}


def test_matching_is_judged_at_every_width_over_widths_and_at_the_largest_connector():
    rules = replace(RULES, maximum_loss_ratio=0.5)
    rows = {row["id"]: row for row in alignment_claims(lines([0.3, 0.1]), ALIGNED, rules)}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "aligned_barrier_8": "supported",
        "aligned_barrier_16": "supported",
        "aligned_width": "supported",
        "aligned_centroid": "supported",
        "aligned_connector": "supported",
    }
    assert rows["aligned_barrier_8"]["estimate"] == pytest.approx(0.3, rel=0.05)
    assert rows["aligned_barrier_8"]["seeds"] == 8
    assert rows["aligned_centroid"]["estimate"] == pytest.approx(0.1)
    assert rows["aligned_connector"]["estimate"] == pytest.approx(1e-3 / 0.2)  # of the largest m
    rows = {row["id"]: row for row in alignment_claims(lines([0.1, 0.9]), ALIGNED, rules)}
    assert rows["aligned_barrier_16"]["verdict"] == rows["aligned_width"]["verdict"] == "contradicted"


def test_networks_that_no_matching_fits_are_no_claims():
    assert alignment_claims([xr.Dataset(attrs={"not_aligned": "no chain"})], {}, RULES) == []


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
