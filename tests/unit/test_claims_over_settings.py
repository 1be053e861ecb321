"""Claims about statistics over hyperparameters and about methods: planted effects are judged as they were planted."""

import itertools
import math

import numpy as np
import pytest
import xarray as xr

from wedgescape.analysis import phase_diagram, widths_and_curvature
from wedgescape.measurements import curvature
from wedgescape.numerics.intervals import Intervals

INTERVALS = Intervals()
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
    angles = np.linspace(0, math.pi / 2, 181)
    inside = angles <= width[..., None]  # by every definition
    tunnels = xr.Dataset(
        {
            "width_score": (("seed", "direction"), width),
            "radius": (("seed",), width[:, 0]),
            "diverged": (("seed",), np.zeros(SEEDS, bool)),
            "loss": (("seed", "direction", "angle"), np.where(inside, 0.0, 2.0)),
            "score": (("seed", "direction", "angle"), np.where(inside, 1.0, 0.1)),
        },
        {"seed": range(SEEDS), "angle": angles},
        {"score_fraction": 0.9, "chance_loss": 2.0},
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


def sweep(levels, name):
    """Stores of one measurement over three settings of a sweep, by the levels of the settings."""
    parts = [stores(level, seed)[name] for seed, level in enumerate(levels)]
    return xr.concat(parts, xr.Variable("value", [0.1, 0.2, 0.4]), combine_attrs="override")


@pytest.mark.parametrize("sign", [-1, 1])
def test_wide_tunnels_go_with_little_curvature_or_do_not(sign):
    curved = {"learning_rate": sweep([10, 10 + sign, 10 + 2 * sign], "curvature")}
    tunnels = {"learning_rate": sweep([0.3, 0.5, 0.7], "tunnels")}
    found = list(widths_and_curvature.claims(curved, tunnels, INTERVALS))
    assert {claim.id for claim in found} == {
        "flat_large_scale", "flat_large_scale_error", "flat_top_eigenvalue", "flat_trace"
    }  # fmt: skip
    for claim in found:
        assert claim.estimate.estimate == pytest.approx(sign)
        assert claim.estimate.units == SEEDS
        assert claim.control == "the same sign in 1 of 1 sweeps"
        assert len(claim.specifications) == 2 * 6 - 1
        assert claim.specification == "accuracy 90% of the optimum's; all sweeps"
        assert [one.estimate for one in claim.specifications.values()] == pytest.approx([sign] * 11)


def test_the_sweep_over_width_is_left_out_once():
    curved = {"learning_rate": sweep([10, 11, 12], "curvature"), "width": sweep([12, 11, 10], "curvature")}
    tunnels = {name: sweep([0.3, 0.5, 0.7], "tunnels") for name in curved}
    claim = next(widths_and_curvature.claims(curved, tunnels, INTERVALS))
    assert claim.estimate.estimate == pytest.approx(0)
    other = claim.specifications["accuracy 90% of the optimum's; without that over width"]
    assert other.estimate == pytest.approx(1)


def test_without_sweeps_nothing_is_said_about_flatness():
    assert list(widths_and_curvature.claims({}, {}, INTERVALS)) == []


GRID = list(itertools.product([0.1, 0.2, 0.4], [8, 16, 32]))


def likeness_of(first, second):
    """Claims about a grid where a statistic rises by so much from step to step of each hyperparameter."""
    values = {f"p{k}": {"learning_rate": lr, "width": width} for k, (lr, width) in enumerate(GRID)}
    levels = {f"p{k}": 20 + first * (k // 3) + second * (k % 3) for k in range(len(GRID))}
    grids = {"learning_rate_x_width": {"keys": ["learning_rate", "width"], "settings": values}}
    found = phase_diagram.claims(**points_at(levels), grids=grids, intervals=INTERVALS)
    return {claim.id: claim for claim in found}


@pytest.mark.parametrize(("second", "cosine"), [(1.0, 1.0), (-1.0, -1.0)], ids=["alike", "opposite"])
def test_hyperparameters_that_act_alike_are_found_so(second, cosine):
    found = likeness_of(1.0, second)
    assert set(found) == {"similar_learning_rate_width"} | {
        f"alike_learning_rate_width_{name}" for name in phase_diagram.JUDGED
    }
    assert found["similar_learning_rate_width"].estimate.estimate == pytest.approx(cosine, abs=0.02)
    assert found["similar_learning_rate_width"].control.startswith("by chance ")
    for name in phase_diagram.JUDGED:
        difference = found[f"alike_learning_rate_width_{name}"].estimate
        assert (abs(difference.estimate) < 0.3) if cosine > 0 else (difference.estimate > 2)
        assert difference.low <= difference.estimate <= difference.high


def test_hyperparameters_of_different_strength_are_not_alike():
    claim = likeness_of(1.0, 0.2)["alike_learning_rate_width_large_scale"]
    assert claim.estimate.low > 0.5
    assert claim.control.startswith("effects ")


def test_without_grids_nothing_is_said_about_likeness():
    found = phase_diagram.claims(**points_at({"a": 1.0}), grids={}, intervals=INTERVALS)
    assert list(found) == []
