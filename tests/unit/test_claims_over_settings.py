"""Claims about statistics over hyperparameters and about methods: planted effects are judged as they were planted."""

import itertools

import numpy as np
import pytest
import xarray as xr

from wedgescape.analysis import phase_diagram, widths_and_curvature
from wedgescape.measurements import curvature
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.settings import Rules

RULES, INTERVALS = Rules(minimum_correlation=0.2, minimum_likeness=0.7), Intervals(0.95, 300)
SEEDS = 8


def stores(level, seed=0):
    """The stores of one point whose statistics all lie at a level: wide, curved, alike and wrong by so much."""
    draw = np.random.default_rng(seed)
    flat = {name: level + 0.01 * draw.standard_normal(SEEDS) for name in curvature.VARIABLES}
    curved = xr.Dataset({name: (("seed",), values) for name, values in flat.items()}, {"seed": range(SEEDS)}).assign(
        eigenvalue=(("seed", "rank"), flat["eigenvalue"][:, None]),
        large_scale=(("seed", "direction"), flat["large_scale"][:, None] + [[-0.1, 0.1]]),
        large_scale_error=(("seed", "direction"), flat["large_scale_error"][:, None] + [[-0.1, 0.1]]),
        diverged=(("seed",), np.zeros(SEEDS, bool)),
    )
    width = level + 0.01 * draw.standard_normal((SEEDS, 2))
    tunnels = xr.Dataset(
        {
            "width_accuracy": (("seed", "direction"), width),
            "radius": (("seed",), width[:, 0]),
            "diverged": (("seed",), np.zeros(SEEDS, bool)),
        },
        {"seed": range(SEEDS)},
    )
    matrix = np.broadcast_to(width[:, :1], (SEEDS, SEEDS))
    pair = np.stack([width[:, 0]] * 2, 1)
    similarity = xr.Dataset(
        {
            "disagreement": (("seed", "other"), matrix),
            "barrier": (("seed", "split"), pair),
            "error": (("seed", "split"), pair),
            "diverged": (("seed",), np.zeros(SEEDS, bool)),
        },
        {"seed": range(SEEDS), "other": range(SEEDS), "split": ["train", "test"]},
    )
    return {"tunnels": tunnels, "curvature": curved, "similarity": similarity}


def points_at(levels):
    """Measurement -> {point: store}, by the levels of the points."""
    made = {point: stores(level, seed) for seed, (point, level) in enumerate(levels.items())}
    return {
        name: {point: found[name] for point, found in made.items()} for name in ("tunnels", "curvature", "similarity")
    }


def sweep(trend, quantity):
    """Curvature over four learning rates, one of whose two definitions follows a trend."""
    parts = [stores(1.0, seed)["curvature"] for seed in range(4)]
    for place, part in enumerate(parts):
        part[quantity] = part[quantity] + trend * place
    return xr.concat(parts, xr.Variable("value", [0.1, 0.2, 0.4, 0.8]))


@pytest.mark.parametrize(("trend", "verdict"), [(-1.0, "supported"), (1.0, "contradicted"), (0.0, "undecided")])
@pytest.mark.parametrize(("quantity", "name"), [("large_scale", "curvature"), ("large_scale_error", "roughness")])
def test_falling_curvature_is_judged_by_its_trend(quantity, name, trend, verdict):
    rows = {row["id"]: row for row in curvature.claims({"learning_rate": sweep(trend, quantity)}, RULES, INTERVALS)}
    assert set(rows) == {"curvature_learning_rate", "roughness_learning_rate"}
    judged = rows[f"{name}_learning_rate"]
    assert judged["verdict"] == verdict
    assert judged["points"] == 4 * SEEDS
    if trend:
        assert np.sign(judged["estimate"]) == np.sign(judged["effect"]) == np.sign(trend)


def test_diverged_runs_are_in_no_trend():
    store = sweep(-1.0, "large_scale")
    store["diverged"][3, :3] = True
    store["large_scale"][3, :3] = 1e6
    judged = next(curvature.claims({"width": store}, RULES, INTERVALS))
    assert (judged["verdict"], judged["points"], judged["diverged"]) == ("supported", 4 * SEEDS - 3, 3)


@pytest.mark.parametrize(("sign", "verdict"), [(-1, "supported"), (1, "contradicted")])
def test_wide_tunnels_go_with_little_curvature_or_do_not(sign, verdict):
    points = points_at({"a": 1.0, "b": 2.0, "c": 3.0})
    points["curvature"] = {point: stores(10 + sign * k, k)["curvature"] for k, point in enumerate("abc")}
    rows = list(widths_and_curvature.claims(points["curvature"], points["tunnels"], RULES, INTERVALS))
    assert {row["id"] for row in rows} == {
        "flat_large_scale", "flat_large_scale_error", "flat_top_eigenvalue", "flat_trace"
    }  # fmt: skip
    assert {row["verdict"] for row in rows} == {verdict}
    assert {row["points"] for row in rows} == {3 * SEEDS}


@pytest.mark.parametrize(("second", "verdict"), [(1.0, "supported"), (-1.0, "contradicted")], ids=["alike", "opposite"])
def test_hyperparameters_that_act_alike_are_found_so(second, verdict):
    keys = list(itertools.product([0.1, 0.2, 0.4], [8, 16, 32]))
    values = {f"p{k}": {"learning_rate": lr, "width": width} for k, (lr, width) in enumerate(keys)}
    levels = {
        point: 20 + 10 * value["learning_rate"] + second * 0.1 * value["width"] for point, value in values.items()
    }
    grids = {"learning_rate_x_width": {"keys": ["learning_rate", "width"], "settings": values}}
    (judged,) = phase_diagram.claims(**points_at(levels), grids=grids, rules=RULES, intervals=INTERVALS)
    assert judged["id"] == "similar_learning_rate_width"
    assert judged["sentence"] == "Learning rate and width act in similar ways on all statistics together"
    assert judged["verdict"] == verdict


def test_without_grids_nothing_is_said_about_likeness():
    found = phase_diagram.claims(**points_at({"a": 1.0}), grids={}, rules=RULES, intervals=INTERVALS)
    assert list(found) == []
