"""Tunnels: on a wedge the width of each ray is known; on a network it is checked from both sides."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.spans import random_directions
from wedgescape.landscapes.wedges import WedgeLandscape, half_width
from wedgescape.measurements import tunnels
from wedgescape.measurements.tunnels import (
    Settings,
    angular_width,
    claims,
    keeps_accuracy,
    keeps_loss,
    measure,
    ray_profile,
    rotate,
    summarise,
    tangents,
    tidy,
)
from wedgescape.numerics.intervals import Interval, Intervals, bootstrap_trend
from wedgescape.study.settings import Rules
from wedgescape.training.optima import Optima

DEGREE = math.radians(1)


# Rays


def test_tangents_are_unit_vectors_orthogonal_to_their_optimum(points):
    optima = torch.stack([20 * points(1, 3000)[0], 0.01 * points(1, 3000, 1)[0]])
    rays = tangents(optima, 6, [4, 9])
    assert rays.shape == (2, 6, 3000)
    torch.testing.assert_close(rays.norm(dim=2), torch.ones(2, 6), rtol=0, atol=1e-5)
    cosines = (rays @ (optima / optima.norm(dim=1, keepdim=True))[:, :, None])[:, :, 0]
    assert cosines.abs().max() < 1e-5
    between = (rays[0] @ rays[0].T)[~torch.eye(6, dtype=torch.bool)]
    assert between.abs().max() < 5 / math.sqrt(3000)


def test_rays_belong_to_the_seed(points):
    optima = points(2, 50)
    together = tangents(optima, 3, [4, 9])
    torch.testing.assert_close(tangents(optima[1:], 5, [9])[0, :3], together[1])
    assert not torch.allclose(together[0], tangents(optima[:1], 3, [5])[0], rtol=0.01)


def test_rotation_keeps_the_radius_and_turns_by_the_angle(points):
    optima = 7 * points(5, 400)
    rays = tangents(optima, 1, range(5))[:, 0]
    angles = torch.tensor([0.0, 0.3, 1.0, math.pi / 2, 3.0])
    turned = rotate(optima, rays, angles)
    torch.testing.assert_close(turned.norm(dim=1), optima.norm(dim=1))
    torch.testing.assert_close(turned[0], optima[0])
    torch.testing.assert_close(turned[3], optima[3].norm() * rays[3], rtol=1e-4, atol=1e-4)
    cosines = (turned * optima).sum(1) / optima.norm(dim=1) ** 2
    torch.testing.assert_close(cosines, angles.cos(), rtol=0, atol=1e-5)
    assert ((turned * rays).sum(1) >= -1e-4).all()


# On a wedge


@pytest.mark.parametrize("error", [2 * DEGREE, 0.25 * DEGREE, 1e-4])
@pytest.mark.parametrize("rotated", [False, True])
def test_each_ray_leaves_a_wedge_where_its_short_part_says(error, rotated):
    landscape = WedgeLandscape(60, 12, rotated=rotated)
    optima = landscape.optima(3, radius=2.0)
    rays = tangents(optima, 8, range(3))
    width = angular_width(landscape, optima, rays, keeps_loss(0.35), error)
    short = (rays if landscape.basis is None else rays @ landscape.basis) * landscape.members[0]
    wanted = (0.35 / (2 * short.norm(dim=2))).asin()
    assert width.error <= error
    assert 2 * width.error > 0.9 * error or width.error == pytest.approx(error)  # no finer than asked for
    assert ((width.angle - wanted).abs() <= width.error + 1e-5).all()
    assert not width.open.any()
    assert wanted.std() > 5 * DEGREE * 0.25  # rays do differ


def test_mean_width_is_the_closed_form_of_wedges_with_many_short_directions():
    dim, short, radius, threshold = 1000, 400, 3.0, 0.8
    landscape = WedgeLandscape(dim, short)
    optima = landscape.optima(8, radius)
    width = angular_width(landscape, optima, tangents(optima, 32, range(8)), keeps_loss(threshold), 1e-4)
    assert float(width.angle.mean()) == pytest.approx(float(half_width(threshold, radius, short, dim)), rel=0.01)


def test_rays_that_never_leave_are_open_at_a_right_angle():
    landscape = WedgeLandscape(60, 12)
    optima = landscape.optima(2, radius=2.0)
    rays = tangents(optima, 8, range(2))
    largest = 2 * (rays * landscape.members[0]).norm(dim=2)  # the loss at a right angle
    threshold = float(largest.median())
    width = angular_width(landscape, optima, rays, keeps_loss(threshold * 1.0001))
    assert torch.equal(width.open, largest < threshold * 1.0001)
    assert width.open.any()
    assert not width.open.all()
    assert (width.angle[width.open] == math.pi / 2).all()
    assert (width.angle[~width.open] < math.pi / 2).all()


def test_many_rays_are_evaluated_a_few_at_a_time(monkeypatch, quadratic):
    monkeypatch.setattr(tunnels, "POINTS_AT_ONCE", 5)
    bowl = quadratic([0.0] + [1.0] * 9, dtype=torch.float32)
    optimum = 2 * bowl.eigenvectors[:, 0].float()[None]
    rays = tangents(optimum, 12, [0])
    width = angular_width(bowl, optimum, rays, keeps_loss(0.5), 1e-4)
    assert max(count for *_, count in bowl.asked) == 5
    # Off a valley of unit curvature the loss is (r sin phi)^2 / 2.
    torch.testing.assert_close(width.angle, torch.full((1, 12), math.asin(0.5)).double(), rtol=0, atol=2e-4)


class Rings(Landscape):
    """A plane of loss 1 between two angles (degrees) from the first axis, and of loss 0 elsewhere."""

    dim = 2

    def __init__(self, *walls):
        self.walls = walls

    def losses(self, points, split="train"):
        angles = torch.rad2deg(torch.atan2(points[:, 1].abs(), points[:, 0]))
        return sum(((angles > low) & (angles < high)).float() for low, high in self.walls)


EAST, NORTH = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0, 1.0]]])


def test_the_first_way_out_counts_also_where_a_ray_comes_back():
    width = angular_width(Rings((30, 50), (70, 91)), EAST, NORTH, keeps_loss(0.5), 0.1 * DEGREE)
    assert float(width.angle) == pytest.approx(30 * DEGREE, abs=width.error)
    assert not width.open.any()


def test_an_optimum_that_is_outside_already_has_no_width():
    width = angular_width(Rings((-1, 91)), EAST, NORTH, keeps_loss(0.5), 0.1 * DEGREE)
    assert float(width.angle) <= width.error
    assert not width.open.any()


class Lost(Rings):
    """Nan to the west."""

    def losses(self, points, split="train"):
        return torch.where(points[:, 0] < 0, math.nan, super().losses(points))


def test_an_optimum_of_nan_has_a_width_of_nan():
    width = angular_width(Lost((30, 50)), torch.cat([-EAST, EAST]), NORTH.expand(2, 1, 2), keeps_loss(0.5))
    assert width.angle.isnan().tolist() == [[True], [False]]
    assert not width.open.any()


# Definitions


def test_inside_is_a_fraction_of_the_optimums_accuracy_or_a_loss():
    optimum = {"accuracy": torch.tensor([0.8, 0.8, 0.5]), "loss": torch.tensor([0.1, 0.1, 0.1])}
    values = {"accuracy": torch.tensor([0.73, 0.71, math.nan]), "loss": torch.tensor([0.5, 0.6, math.nan])}
    assert keeps_accuracy(0.9)(values, optimum).tolist() == [True, False, False]
    assert keeps_loss(0.5)(values, optimum).tolist() == [True, False, False]


# On a network


@pytest.fixture(scope="module")
def optima(weights):
    return torch.tensor(weights["theta"].values)


def test_widths_of_a_network_are_where_it_leaves(mlp, optima):
    rays = tangents(optima, 4, range(4))
    reference = mlp.evaluate(optima)
    for inside in (keeps_accuracy(0.9), keeps_loss(0.6)):
        width = angular_width(mlp, optima, rays, inside, 0.5 * DEGREE)

        def holds(k, u, angle, inside=inside):
            values = mlp.evaluate(rotate(optima[k : k + 1], rays[k, u : u + 1], torch.tensor([float(angle)])))
            return bool(inside(values, {name: value[k : k + 1] for name, value in reference.items()}))

        assert not width.open.all()
        for k, u in np.argwhere(~width.open.numpy()):
            angle = width.angle[k, u]
            assert holds(k, u, angle - width.error)
            assert not holds(k, u, angle + width.error)
            coarse = np.arange(0, float(angle - width.error), math.pi / 16)
            assert all(holds(k, u, below) for below in coarse)


def test_measure_stores_both_widths_with_units(mlp, optima):
    settings = Settings(directions=3, accuracy_fraction=0.9, loss_threshold=0.6, angle_error=1.0)
    store = measure(Optima.of(mlp, optima), settings)
    rays = tangents(optima, 3, range(4))
    wanted = angular_width(mlp, optima, rays, keeps_accuracy(0.9), DEGREE)
    np.testing.assert_array_equal(store["width_accuracy"], wanted.angle)
    np.testing.assert_array_equal(store["open_accuracy"], wanted.open)
    np.testing.assert_array_equal(store["width_loss"], angular_width(mlp, optima, rays, keeps_loss(0.6), DEGREE).angle)
    for name in ("width_accuracy", "width_loss"):
        assert store[name].dims == ("seed", "direction")
        assert store[name].attrs["units"] == "radian"
    assert store.attrs["angle_error"] == wanted.error <= DEGREE
    np.testing.assert_allclose(store["radial_cosine"], 0, atol=1e-5)
    np.testing.assert_allclose(store["radius"], np.linalg.norm(optima, axis=1), rtol=1e-6)
    assert store["seed"].values.tolist() == [0, 1, 2, 3]
    assert store["loss"].dims == store["accuracy"].dims == ("seed", "direction", "angle")
    for k, u, a in ((0, 0, 0), (1, 2, 3), (3, 1, 8)):
        point = rotate(optima[k : k + 1], rays[k, u : u + 1], torch.tensor([a * math.pi / 16]))
        for name, value in mlp.evaluate(point).items():
            assert float(store[name][k, u, a]) == pytest.approx(float(value), rel=1e-5)
    np.testing.assert_allclose(store["angle"], np.linspace(0, math.pi / 2, 9))


def test_a_known_profile_is_not_measured_again_and_changes_nothing(quadratic):
    bowl = quadratic([0.0] + [1.0] * 9, dtype=torch.float32)
    optimum = 2 * bowl.eigenvectors[:, 0].float()[None]
    rays = tangents(optimum, 12, [0])
    profile = ray_profile(bowl, optimum, rays)
    bowl.asked.clear()
    alone = angular_width(bowl, optimum, rays, keeps_loss(0.5))
    without = sum(count for *_, count in bowl.asked)
    bowl.asked.clear()
    known = angular_width(bowl, optimum, rays, keeps_loss(0.5), profile=profile)
    assert sum(count for *_, count in bowl.asked) < without
    assert torch.equal(known.angle, alone.angle)


# Tables


@pytest.fixture
def sweep():
    width = np.radians([[[10.0, 20.0], [30.0, 50.0]], [[1.0, 3.0], [80.0, 90.0]]])  # (value, seed, direction)
    dims = ("value", "seed", "direction")
    return xr.Dataset(
        {
            "width_accuracy": (dims, width),
            "width_loss": (dims, width / 2),
            "diverged": (("value", "seed"), [[False, False], [False, True]]),
        },
        {"value": [0.1, 0.2], "seed": [4, 7], "direction": [0, 1]},
    )


def test_tidy_table_averages_over_rays_in_degrees(sweep):
    table = tidy(sweep, "learning_rate")
    wanted = pd.DataFrame(
        {
            "sweep": ["learning_rate"] * 4,
            "value": [0.1, 0.1, 0.2, 0.2],
            "seed": [4, 7, 4, 7],
            "width_accuracy": [15.0, 40, 2, 85],
            "width_loss": [7.5, 20, 1, 42.5],
            "diverged": [False, False, False, True],
        }
    )
    pd.testing.assert_frame_equal(table, wanted)


def test_summary_leaves_diverged_runs_out(sweep):
    table = summarise(tidy(sweep, "learning_rate"), "width_accuracy", Intervals(0.95, 200))
    assert table["value"].tolist() == [0.1, 0.2]
    assert table["estimate"].tolist() == pytest.approx([27.5, 2.0])
    assert (table["low"][0], table["high"][0]) == pytest.approx((15, 40))
    assert (table["low"][1], table["high"][1]) == (-math.inf, math.inf)  # one seed is left


def test_an_optimum_outside_by_its_own_threshold_has_no_tunnel():
    landscape = WedgeLandscape(20, 4)
    points = random_directions(2, 20, "points off a wedge")
    rays = tangents(points, 3, [0, 1])
    width = angular_width(landscape, points, rays, keeps_loss(0.5 * float(landscape.losses(points).min())))
    assert (width.angle == 0).all()
    assert not width.open.any()


# The verdicts


def over_levels(trend, levels=(0.1, 0.2, 0.4, 0.8), seeds=8, noise=0.1):
    """A tunnel store whose widths follow a trend over the levels, two rays per seed."""
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


def judged(sweeps):
    return list(claims(sweeps, Rules(minimum_correlation=0.2), Intervals(0.95, 300)))


@pytest.mark.parametrize(("trend", "verdict"), [(1.0, "supported"), (-1.0, "contradicted"), (0.0, "undecided")])
def test_a_sweep_is_judged_by_its_trend(trend, verdict):
    (row,) = judged({"learning_rate": over_levels(trend)})
    assert row["id"] == "tunnel_learning_rate"
    assert row["sentence"] == "Tunnels are wider at higher learning rates"
    assert row["verdict"] == verdict
    assert (row["seeds"], row["points"], row["diverged"]) == (8, 32, 0)
    widths = over_levels(trend)["width_accuracy"].mean("direction").values
    assert Interval(row["estimate"], row["low"], row["high"]) == bootstrap_trend(
        widths, [0.1, 0.2, 0.4, 0.8], 0.95, 300
    )


def test_diverged_runs_are_left_out_and_counted():
    store = over_levels(1.0)
    store["diverged"][3, :3] = True
    store["width_accuracy"][3, :3] = -100.0  # whatever was measured there
    (row,) = judged({"learning_rate": store})
    assert (row["points"], row["diverged"], row["seeds"]) == (29, 3, 8)
    assert row["verdict"] == "supported"
    assert row["estimate"] > 0.9
    assert row["effect"] > 10


def test_effect_is_the_difference_of_the_ends_in_units_of_the_spread():
    store = over_levels(0.0, levels=(4.0, 1.0, 2.0), seeds=3)  # not in order
    width = np.array([[5.0, 6.0, 7.0], [1.0, 2.0, 3.0], [9.0, 9.0, 9.0]])
    store["width_accuracy"][:] = width[:, :, None]
    (row,) = judged({"width": store})
    assert row["effect"] == pytest.approx((6 - 2) / 1.0)
    store["width_accuracy"][:] = np.array([[5.0, 6, 7], [1.0, 3.0, 5.0], [9.0, 9, 9]])[:, :, None]
    (row,) = judged({"width": store})
    assert row["effect"] == pytest.approx((6 - 3) / math.sqrt((1 + 4) / 2))


def test_effect_is_nan_without_a_spread():
    store = over_levels(1.0)
    store["diverged"][0, 1:] = True
    assert math.isnan(judged({"width": store})[0]["effect"])
    assert math.isnan(judged({"width": over_levels(1.0, noise=0.0)})[0]["effect"])


def test_a_sweep_of_which_nothing_is_left_is_undecided():
    store = over_levels(1.0)
    store["diverged"][:] = True
    (row,) = judged({"width": store})
    assert row["verdict"] == "undecided"
    assert (row["points"], row["diverged"]) == (0, 32)
    assert math.isnan(row["estimate"])


def test_sweeps_that_say_nothing_are_no_claims():
    assert judged({"momentum": over_levels(1.0), "width": over_levels(1.0, levels=(64,))}) == []


def test_each_sweep_is_a_claim():
    names = ["batch_size", "dropout", "learning_rate", "weight_decay", "width"]
    rows = judged({name: over_levels(1.0) for name in names})
    assert sorted(row["id"] for row in rows) == [f"tunnel_{name}" for name in names]
    assert len({row["sentence"] for row in rows}) == 5
