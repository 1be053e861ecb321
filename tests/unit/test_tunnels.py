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
    DEFINITIONS,
    Definition,
    Settings,
    all_ends,
    angular_width,
    claims,
    coarse_angles,
    crossings,
    keeps_excess,
    keeps_loss,
    keeps_score,
    measure,
    ray_profile,
    rotate,
    summarise,
    tangents,
    tidy,
    widths,
)
from wedgescape.numerics.intervals import Intervals
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
    width = angular_width(Rings((33, 57), (70, 91)), EAST, NORTH, keeps_loss(0.5), 0.1 * DEGREE)
    assert float(width.angle) == pytest.approx(33 * DEGREE, abs=width.error)
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


def test_inside_is_a_fraction_of_the_optimums_score_or_of_the_way_to_chance():
    optimum = {"score": torch.tensor([0.8, 0.8, 0.5]), "loss": torch.tensor([0.1, 0.3, 0.1])}
    values = {"score": torch.tensor([0.73, 0.71, math.nan]), "loss": torch.tensor([0.6, 0.6, math.nan])}
    assert keeps_score(0.9)(values, optimum).tolist() == [True, False, False]
    assert keeps_loss(0.59)(values, optimum).tolist() == [False, False, False]
    # From 0.1 a quarter of the way to 2 is 0.575, from 0.3 it is 0.725.
    assert keeps_excess(0.25, 2.0)(values, optimum).tolist() == [False, True, False]


def test_crossings_interpolate_the_first_way_out():
    angles = np.array([0.0, 10, 20, 30])
    values = np.array(
        [
            [1.0, 0.8, 0.4, 0.2],
            [1.0, 0.4, 1.0, 0.4],  # comes back
            [1.0, 0.9, 0.8, 0.7],  # never leaves
            [0.2, 1.0, 1.0, 1.0],  # outside by its own edge
            [1.0, math.nan, 0.0, 0.0],  # lost on the way
            [math.nan] * 4,
        ]
    )
    found = crossings(angles, values, np.array([0.6] * 6))
    assert found == pytest.approx([15, 10 * 0.4 / 0.6, 30, 0, 5, math.nan], nan_ok=True)


# On a network


@pytest.fixture(scope="module")
def optima(weights):
    return torch.tensor(weights["theta"].values)


def test_widths_of_a_network_are_where_it_leaves(mlp, optima):
    rays = tangents(optima, 4, range(4))
    reference = mlp.evaluate(optima)
    for inside in (keeps_score(0.9), keeps_loss(0.6)):
        width = angular_width(mlp, optima, rays, inside, 0.5 * DEGREE)

        def holds(k, u, angle, inside=inside):
            values = mlp.evaluate(rotate(optima[k : k + 1], rays[k, u : u + 1], torch.tensor([float(angle)])))
            return bool(inside(values, {name: value[k : k + 1] for name, value in reference.items()}))

        assert not width.open.all()
        for k, u in np.argwhere(~width.open.numpy()):
            angle = width.angle[k, u]
            assert holds(k, u, angle - width.error)
            assert not holds(k, u, angle + width.error)
            coarse = np.arange(0, float(angle - width.error), math.pi / 18)
            assert all(holds(k, u, below) for below in coarse)


CHANCE = math.log(3)


def test_measure_stores_both_widths_with_units(mlp, optima):
    settings = Settings(directions=3, steps=4, score_fraction=0.9, loss_fraction=0.4, angle_error=1.0)
    store = measure(Optima.of(mlp, optima), settings)
    rays = tangents(optima, 3, range(4))
    wanted = angular_width(mlp, optima, rays, keeps_score(0.9), DEGREE)
    np.testing.assert_allclose(store["width_score"], wanted.angle, atol=store.attrs["angle_error"] + wanted.error)
    np.testing.assert_array_equal(store["open_score"], wanted.open)
    wanted = angular_width(mlp, optima, rays, keeps_excess(0.4, CHANCE), DEGREE)
    np.testing.assert_allclose(store["width_loss"], wanted.angle, atol=store.attrs["angle_error"] + wanted.error)
    for name in ("width_score", "width_loss"):
        assert store[name].dims == ("seed", "direction")
        assert store[name].attrs["units"] == "radian"
    assert store.attrs["angle_error"] <= DEGREE
    assert store.attrs["chance_loss"] == pytest.approx(CHANCE)
    np.testing.assert_allclose(store["loss_threshold"], 0.6 * mlp.losses(optima) + 0.4 * CHANCE, rtol=1e-6)
    np.testing.assert_allclose(store["radial_cosine"], 0, atol=1e-5)
    np.testing.assert_allclose(store["radius"], np.linalg.norm(optima, axis=1), rtol=1e-6)
    assert int(store["parameters"]) == mlp.dim
    assert store["seed"].values.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(store["angle"], np.linspace(0, math.pi / 2, 37))


def test_profiles_are_what_rays_meet_and_fine_where_they_leave(mlp, optima):
    rays, ends = tangents(optima, 3, range(4)), [definition.inside(CHANCE) for definition in DEFINITIONS]
    profile = ray_profile(mlp, optima, rays, 4, ends)
    seen = profile.values["loss"].isfinite()
    assert seen[..., :-1:4].all()  # at every coarse angle
    assert not seen.all()
    for k, u, a in seen.nonzero().tolist()[::7]:
        point = rotate(optima[k : k + 1], rays[k, u : u + 1], profile.angles[a : a + 1].float())
        for name, value in mlp.evaluate(point).items():
            assert float(profile.values[name][k, u, a]) == pytest.approx(float(value), rel=1e-5)
    reference = mlp.evaluate(optima)
    for inside in ends:
        exits = ~inside(
            {name: values[..., :-1:4] for name, values in profile.values.items()},
            {name: value[:, None, None] for name, value in reference.items()},
        )
        for k, u in exits[..., 1:].any(-1).nonzero().tolist():
            first = int(exits[k, u].int().argmax())
            assert seen[k, u, 4 * (first - 1) : 4 * first + 1].all()


def test_a_profile_does_not_change_the_width(mlp, optima):
    rays, inside = tangents(optima, 3, range(4)), keeps_score(0.9)
    alone = angular_width(mlp, optima, rays, inside, 0.5 * DEGREE)
    for ends in ([inside], [keeps_score(0.5), inside]):
        known = angular_width(mlp, optima, rays, inside, 0.5 * DEGREE, ray_profile(mlp, optima, rays, 4, ends))
        assert torch.equal(known.open, alone.open)
        # A ray that comes back within a coarse bracket leaves earlier by the fine one.
        assert float(((known.angle - alone.angle).abs() < 1e-9).double().mean()) > 0.8


def test_widths_of_profiles_are_those_that_are_bisected(mlp, optima):
    store = measure(Optima.of(mlp, optima), Settings(directions=16, angle_error=0.1))
    for definition, name in ((Definition("score", 0.9), "width_score"), (Definition("loss", 0.25), "width_loss")):
        bisected = np.degrees(store[name]).mean("direction")
        np.testing.assert_allclose(widths(store, definition), bisected, atol=0.7)
    ordered = [float(widths(store, Definition("loss", fraction)).mean()) for fraction in (0.1, 0.25, 0.5)]
    assert ordered == sorted(ordered)
    ordered = [float(widths(store, Definition("score", fraction)).mean()) for fraction in (0.95, 0.9, 0.8)]
    assert ordered == sorted(ordered)


def test_a_known_profile_is_not_measured_again_and_changes_nothing(quadratic):
    bowl = quadratic([0.0] + [1.0] * 9, dtype=torch.float32)
    optimum = 2 * bowl.eigenvectors[:, 0].float()[None]
    rays = tangents(optimum, 12, [0])
    profile = ray_profile(bowl, optimum, rays, 1, [keeps_loss(0.5)])
    bowl.asked.clear()
    alone = angular_width(bowl, optimum, rays, keeps_loss(0.5))
    without = sum(count for *_, count in bowl.asked)
    bowl.asked.clear()
    known = angular_width(bowl, optimum, rays, keeps_loss(0.5), profile=profile)
    assert sum(count for *_, count in bowl.asked) < without
    assert torch.equal(known.angle, alone.angle)


def test_all_ends_are_those_of_the_config_and_the_others():
    assert len(all_ends(Settings(), CHANCE)) == len(DEFINITIONS)
    assert len(all_ends(Settings(score_fraction=0.7), CHANCE)) == len(DEFINITIONS) + 1
    assert len(coarse_angles()) == 10
    assert coarse_angles(4)[::4].tolist() == coarse_angles().tolist()


# Tables


@pytest.fixture
def sweep():
    width = np.radians([[[10.0, 20.0], [30.0, 50.0]], [[1.0, 3.0], [80.0, 90.0]]])  # (value, seed, direction)
    dims = ("value", "seed", "direction")
    return xr.Dataset(
        {
            "width_score": (dims, width),
            "width_loss": (dims, width / 2),
            "diverged": (("value", "seed"), [[False, False], [False, True]]),
        },
        {"value": [0.1, 0.2], "seed": [4, 7], "direction": [0, 1]},
    )


def test_tidy_table_averages_over_rays_in_degrees(sweep):
    table = tidy(sweep, "learning_rate", sweep, alone([50.0, 60.0], [48.0, 57.0]))
    wanted = pd.DataFrame(
        {
            "sweep": ["learning_rate"] * 4,
            "value": [0.1, 0.1, 0.2, 0.2],
            "seed": [4, 7, 4, 7],
            "width_score": [15.0, 40, 2, 85],
            "width_loss": [7.5, 20, 1, 42.5],
            "width_balanced": [15.0, 40, 2, 85],
            "width_idle": [math.nan] * 4,
            "width_duplicated": [math.nan] * 4,
            "fit": [True, True, True, False],
        }
    )
    pd.testing.assert_frame_equal(table, wanted)


def test_tidy_table_has_what_dimension_alone_makes_of_wider_networks(sweep):
    store = sweep.assign_coords(value=[16, 64])
    table = tidy(store, "width", store, alone([50.0, 60.0], [48.0, 57.0])).set_index(["value", "seed"])
    assert table.loc[(64, 4), ["width_idle", "width_duplicated"]].tolist() == pytest.approx([60, 57], abs=0.3)
    assert table.loc[16, ["width_idle", "width_duplicated"]].isna().all().all()


def test_summary_leaves_diverged_runs_out(sweep):
    table = summarise(tidy(sweep, "learning_rate", sweep, NO_DIMENSION), "width_score", Intervals())
    assert table["value"].tolist() == [0.1, 0.2]
    assert table["estimate"].tolist() == pytest.approx([27.5, 2.0])
    wanted = Intervals().mean([15, 40])
    assert (table["low"][0], table["high"][0]) == (wanted.low, wanted.high)
    assert (table["low"][1], table["high"][1]) == (-math.inf, math.inf)  # one seed is left


def test_an_optimum_outside_by_its_own_threshold_has_no_tunnel():
    landscape = WedgeLandscape(20, 4)
    points = random_directions(2, 20, "points off a wedge")
    rays = tangents(points, 3, [0, 1])
    width = angular_width(landscape, points, rays, keeps_loss(0.5 * float(landscape.losses(points).min())))
    assert (width.angle == 0).all()
    assert not width.open.any()


# Claims


BASE = {"width": 16}


def rays_of(width):
    """Profiles of rays (…, angle) that leave by every definition at the same angles (…), degrees."""
    angles = np.linspace(0, 90, 361)
    inside = angles <= np.asarray(width)[..., None]
    return angles, {"loss": np.where(inside, 0.0, 2.0), "score": np.where(inside, 1.0, 0.1)}


def alone(idle, duplicated):
    """A store of `dimension` at two widths; what further weights, and copies, make of the base setting's widths."""
    width = np.broadcast_to(np.array([idle, duplicated])[None, :, :, None, None], (2, 2, 2, 8, 2))
    angles, profiles = rays_of(width)
    dims = ("scaling", "control", "width", "seed", "direction")
    return xr.Dataset(
        {name: ((*dims, "angle"), np.where(width[..., None] < 0, np.nan, values)) for name, values in profiles.items()}
        | {"diverged": ("seed", np.zeros(8, bool))},
        {
            "scaling": ["as trained", "balanced layers"],
            "control": ["idle", "duplicated"],
            "width": [32, 64],
            "seed": range(8),
            "angle": np.radians(angles),
        },
        {"score_fraction": 0.9, "chance_loss": 2.0},
    )


NO_DIMENSION = alone([0.0, 0.0], [0.0, 0.0]).isel(width=[])


def over_levels(trend, levels=(0.1, 0.2, 0.4, 0.8), seeds=8, noise=1.0):
    """A tunnel store whose widths follow a trend over the levels (degrees per level), two rays per seed."""
    draw = np.random.Generator(np.random.PCG64(0))
    width = 40 + trend * np.arange(len(levels))[:, None] + noise * draw.standard_normal((len(levels), seeds))
    rays = np.stack([width - 3, width + 3], -1)
    angles, profiles = rays_of(rays)
    dims = ("value", "seed", "direction")
    return xr.Dataset(
        {
            "width_score": (dims, np.radians(rays)),
            "diverged": (("value", "seed"), np.zeros(width.shape, bool)),
            **{name: ((*dims, "angle"), values) for name, values in profiles.items()},
        },
        {"value": list(levels), "seed": range(seeds), "direction": [0, 1], "angle": np.radians(angles)},
        {"score_fraction": 0.9, "chance_loss": 2.0},
    )


def claimed(sweeps, dimension=NO_DIMENSION):
    return list(claims(sweeps, {}, sweeps, dimension, BASE, Intervals()))


def test_a_sweep_is_the_change_between_its_ends_seed_by_seed():
    store = over_levels(2.0, levels=(0.4, 0.1, 0.2))  # not in order
    (claim,) = claimed({"learning_rate": store})
    assert claim.id == "tunnel_learning_rate"
    widths_of = np.degrees(store["width_score"]).mean("direction").values
    wanted = Intervals().mean(widths_of[0] - widths_of[1])
    assert (claim.estimate.estimate, claim.estimate.low) == pytest.approx((wanted.estimate, wanted.low))
    assert (claim.estimate.units, claim.left_out) == (8, 0)


def test_a_sweep_has_a_specification_for_each_definition_as_trained_and_balanced():
    (claim,) = claimed({"learning_rate": over_levels(2.0)})
    assert len(claim.specifications) == 2 * len(DEFINITIONS) - 1
    assert claim.specification == "accuracy 90% of the optimum's; as trained"
    assert claim.specification not in claim.specifications
    assert "loss 25% of the way to chance; balanced layers" in claim.specifications
    for other in claim.specifications.values():
        assert other.estimate == pytest.approx(claim.estimate.estimate, abs=0.2)  # all leave at once


def test_runs_that_are_no_optima_are_left_out_and_counted():
    store = over_levels(2.0)
    store["diverged"][3, :3] = True
    store = store.assign(unfit=store["diverged"] & False)
    store["unfit"][0, 7] = True
    store["width_score"][3, :3] = -100.0  # whatever was measured there
    (claim,) = claimed({"learning_rate": store})
    assert (claim.left_out, claim.estimate.units) == (4, 4)
    assert claim.estimate.estimate == pytest.approx(6, abs=2)


def test_a_sweep_of_which_nothing_is_left_is_no_estimate():
    store = over_levels(1.0)
    store["diverged"][:] = True
    (claim,) = claimed({"learning_rate": store})
    assert math.isnan(claim.estimate.estimate)
    assert claim.left_out == 32


def test_sweeps_that_say_nothing_are_no_claims():
    assert claimed({"momentum": over_levels(1.0), "width": over_levels(1.0, levels=(64,))}) == []


def test_each_sweep_is_a_claim():
    names = ["batch_size", "dropout", "learning_rate", "weight_decay", "width"]
    assert sorted(one.id for one in claimed({name: over_levels(1.0) for name in names})) == [
        f"tunnel_{name}" for name in names
    ]


def test_wider_networks_are_compared_with_what_dimension_alone_makes():
    store = over_levels(5.0, levels=(16, 32, 64), noise=0.0)  # 40, 45, 50 degrees
    (claim,) = claimed({"width": store}, alone(idle=[50.0, 60.0], duplicated=[48.0, 57.0]))
    assert claim.estimate.estimate == pytest.approx(50 - 57, abs=0.3)
    assert claim.specification.endswith("; as trained; against duplicated units")
    first = claim.specification.rpartition("; ")[0]
    assert claim.specifications[f"{first}; against idle weights"].estimate == pytest.approx(50 - 60, abs=0.3)
    assert claim.specifications[f"{first}; dimension not controlled"].estimate == pytest.approx(10, abs=0.3)
    assert len(claim.specifications) == 6 * 2 * 3 - 1


def test_where_units_cannot_be_duplicated_further_weights_are_idle():
    (claim,) = claimed({"width": over_levels(5.0, levels=(16, 32, 64))}, alone([50.0, 60.0], [-1.0, -1.0]))
    assert claim.specification.endswith("against idle weights")
    assert claim.estimate.estimate == pytest.approx(50 - 60, abs=1)


def test_without_wider_networks_nothing_is_said_of_dimension():
    (claim,) = claimed({"width": over_levels(5.0, levels=(4, 8, 16))})
    assert claim.estimate.units == 0
