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
    tunnel_claims,
    wedge_claims,
)
from wedgescape.analysis.verdicts import Rules, as_table, is_large, is_small, judge
from wedgescape.measurements import subspaces as surfaces
from wedgescape.measurements.wedges import simulate
from wedgescape.numerics.intervals import Interval, bootstrap_mean, bootstrap_trend
from wedgescape.stores.zarr_stores import write_table

NAN = math.nan
LIMITS = {
    "confidence": 0.95,
    "resamples": 300,
    "minimum_correlation": 0.2,
    "maximum_loss_ratio": 0.1,
    "maximum_connector_loss": 0.05,
}
RULES = Rules(**{**dict.fromkeys(Rules.__dataclass_fields__, NAN), **LIMITS})  # other claims have limits of their own


# Verdicts


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.21, 0.9, "supported"),
        (0.2, 0.9, "undecided"),  # at the edge
        (-0.9, -0.21, "contradicted"),
        (-0.9, -0.2, "undecided"),
        (-0.1, 0.1, "undecided"),
        (-0.9, 0.9, "undecided"),
        (-math.inf, math.inf, "undecided"),
        (NAN, NAN, "undecided"),
    ],
)
def test_verdict_by_where_the_interval_lies(low, high, verdict):
    assert judge(Interval(0.0, low, high), 0.2, -0.2) == verdict
    assert is_large(Interval(0.0, low, high), 0.2, -0.2)["verdict"] == verdict
    mirrored = is_small(Interval(-0.0, -high, -low), -0.2, 0.2)
    assert mirrored["verdict"] == verdict
    assert (mirrored["low"], mirrored["wanted"], mirrored["threshold"]) == (
        pytest.approx(-high, nan_ok=True),
        "below",
        -0.2,
    )


def test_without_a_second_value_the_claim_and_its_opposite_meet():
    assert is_large(Interval(2.0, 1.1, 3.0), 1.0)["verdict"] == "supported"
    assert is_large(Interval(0.5, 0.1, 0.9), 1.0)["verdict"] == "contradicted"
    assert is_small(Interval(0.5, 0.1, 0.9), 1.0)["verdict"] == "supported"
    assert is_small(Interval(2.0, 1.1, 3.0), 1.0)["verdict"] == "contradicted"
    assert is_small(Interval(1.0, 0.9, 1.1), 1.0)["verdict"] == "undecided"


# Tunnels


def sweep(trend, levels=(0.1, 0.2, 0.4, 0.8), seeds=8, noise=0.1):
    """A tunnel store whose widths follow a trend over the levels, two rays a seed."""
    draw = np.random.Generator(np.random.PCG64(0))
    width = 1 + trend * np.arange(len(levels))[:, None] + noise * draw.standard_normal((len(levels), seeds))
    rays = np.stack([width - 0.3, width + 0.3], -1)
    return xr.Dataset(
        {
            "width_accuracy": (("value", "seed", "direction"), rays),
            "diverged": (("value", "seed"), np.zeros(width.shape, bool)),
        },
        {"value": list(levels), "seed": range(seeds), "direction": [0, 1]},
    )


@pytest.mark.parametrize(("trend", "verdict"), [(1.0, "supported"), (-1.0, "contradicted"), (0.0, "undecided")])
def test_a_sweep_is_judged_by_its_trend(trend, verdict):
    (row,) = tunnel_claims({"learning_rate": sweep(trend)}, RULES)
    assert row["id"] == "tunnel_learning_rate"
    assert row["sentence"] == "Tunnels are wider at higher learning rates"
    assert row["verdict"] == verdict
    assert (row["seeds"], row["points"], row["diverged"]) == (8, 32, 0)
    widths = sweep(trend)["width_accuracy"].mean("direction").values
    assert Interval(row["estimate"], row["low"], row["high"]) == bootstrap_trend(
        widths, [0.1, 0.2, 0.4, 0.8], 0.95, 300
    )


def test_diverged_runs_are_left_out_and_counted():
    store = sweep(1.0)
    store["diverged"][3, :3] = True
    store["width_accuracy"][3, :3] = -100.0  # whatever was measured there
    (row,) = tunnel_claims({"learning_rate": store}, RULES)
    assert (row["points"], row["diverged"], row["seeds"]) == (29, 3, 8)
    assert row["verdict"] == "supported"
    assert row["estimate"] > 0.9
    assert row["effect"] > 10


def test_effect_is_the_difference_of_the_ends_in_units_of_the_spread():
    store = sweep(0.0, levels=(4.0, 1.0, 2.0), seeds=3)  # not in order
    width = np.array([[5.0, 6.0, 7.0], [1.0, 2.0, 3.0], [9.0, 9.0, 9.0]])
    store["width_accuracy"][:] = width[:, :, None]
    (row,) = tunnel_claims({"width": store}, RULES)
    assert row["effect"] == pytest.approx((6 - 2) / 1.0)
    store["width_accuracy"][:] = np.array([[5.0, 6, 7], [1.0, 3.0, 5.0], [9.0, 9, 9]])[:, :, None]
    (row,) = tunnel_claims({"width": store}, RULES)
    assert row["effect"] == pytest.approx((6 - 3) / math.sqrt((1 + 4) / 2))


def test_effect_is_nan_without_a_spread():
    store = sweep(1.0)
    store["diverged"][0, 1:] = True
    assert math.isnan(tunnel_claims({"width": store}, RULES)[0]["effect"])
    assert math.isnan(tunnel_claims({"width": sweep(1.0, noise=0.0)}, RULES)[0]["effect"])


def test_a_sweep_of_which_nothing_is_left_is_undecided():
    store = sweep(1.0)
    store["diverged"][:] = True
    (row,) = tunnel_claims({"width": store}, RULES)
    assert row["verdict"] == "undecided"
    assert (row["points"], row["diverged"]) == (0, 32)
    assert math.isnan(row["estimate"])


def test_sweeps_that_say_nothing_are_no_claims():
    assert tunnel_claims({"momentum": sweep(1.0), "width": sweep(1.0, levels=(64,))}, RULES) == []


def test_each_sweep_is_a_claim():
    names = ["batch_size", "dropout", "learning_rate", "weight_decay", "width"]
    rows = tunnel_claims({name: sweep(1.0) for name in names}, RULES)
    assert sorted(row["id"] for row in rows) == [f"tunnel_{name}" for name in names]
    assert len({row["sentence"] for row in rows}) == 5


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


# The table


def test_table_has_one_row_a_claim_and_its_columns_also_without_any(tmp_path):
    columns = [
        "id",
        "sentence",
        "statistic",
        "estimate",
        "low",
        "high",
        "wanted",
        "threshold",
        "effect",
        "seeds",
        "points",
        "diverged",
        "verdict",
    ]
    rows = tunnel_claims({"width": sweep(1.0)}, RULES) + connector_claims(connectors([0.01] * 4), RULES)
    table = as_table(rows)
    assert list(table.columns) == columns
    assert table["id"].tolist() == ["tunnel_width", "connector_2", "connector_3"]
    assert list(as_table([]).columns) == columns
    write_table(table, tmp_path / "claims.csv")
    assert (tmp_path / "claims.csv").read_text().splitlines()[0] == ",".join(columns)


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
