"""Connectors on a sphere of zero loss, on wedges that meet, and between networks."""

import itertools
import math

import numpy as np
import pytest
import torch

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.spans import random_directions
from wedgescape.landscapes.wedges import WedgeLandscape, largest_connector
from wedgescape.measurements.connectors import draw_sets, find_centres, measure, tidy
from wedgescape.training.descent import Recipe

RECIPE = Recipe(optimizer="adam", learning_rate=0.03, schedule="cosine")


class Sphere(Landscape):
    """A curved valley: (|x|^2 - 1)^2, zero on the unit sphere. The test split has twice the loss."""

    dim = 40

    def losses(self, points, split="train"):
        return (points.square().sum(1) - 1).square() * (1 if split == "train" else 2)

    def evaluate(self, points, split="train"):
        loss = self.losses(points, split)
        return {"loss": loss, "accuracy": torch.exp(-loss)}


def on_sphere(sets, members, seed=0):
    return random_directions(sets * members, Sphere.dim, "test sphere", seed).reshape(sets, members, -1)


# Centres


@pytest.mark.parametrize("members", [2, 3, 8])
def test_a_centre_reaches_the_valley_where_the_centroid_does_not(members):
    optima = on_sphere(4, members)
    sphere, centroids = Sphere(), optima.mean(1)
    centres = find_centres(sphere, optima, RECIPE, 300, range(4)).points
    assert (sphere.losses(centroids) > 0.1).all()
    assert (sphere.losses(centres) < 1e-6).all()
    # The displacement of m points on a sphere is at least what the radius asks for.
    lengths = (centres - centroids).norm(dim=1)
    assert (lengths >= 1 - centroids.norm(dim=1) - 1e-3).all()


@pytest.mark.parametrize("members", [2, 3, 8])
def test_displacements_are_orthogonal_to_the_hull(members):
    optima = 30 * on_sphere(4, members) + 100 * on_sphere(1, 1, seed=1)[0, 0]  # far from the origin, as networks are
    moved = find_centres(Sphere(), optima, Recipe(optimizer="adam", learning_rate=1.0), 50, range(4)).points
    shift = moved - optima.mean(1)
    assert (shift.norm(dim=1) > 1).all()
    for i, j in itertools.combinations(range(members), 2):
        edges = optima[:, i] - optima[:, j]
        cosines = (edges * shift).sum(1) / edges.norm(dim=1) / shift.norm(dim=1)
        assert cosines.abs().max() < 1e-5


def test_two_opposite_optima_are_joined_over_a_pole():
    east = torch.eye(40)[:1]
    optima = torch.stack([east, -east + 0.1 * torch.eye(40)[1:2]], 1)  # not exactly, or nothing would say which way
    centre = find_centres(Sphere(), optima, RECIPE, 400, [0]).points[0]
    assert float(centre.norm()) == pytest.approx(1, abs=1e-3)
    edge = optima[0, 1] - optima[0, 0]
    assert abs(float((centre - optima[0].mean(0)) @ edge / edge.norm())) < 1e-5


def test_sets_do_not_disturb_each_other():
    optima = on_sphere(3, 4)
    together = find_centres(Sphere(), optima, RECIPE, 60, [0, 1, 2]).points
    for k in range(3):
        alone = find_centres(Sphere(), optima[k : k + 1], RECIPE, 60, [k]).points
        torch.testing.assert_close(alone[0], together[k], rtol=1e-5, atol=1e-5)


def test_dependent_optima_are_refused():
    optima = on_sphere(1, 3)
    for dependent in (optima[:, [0, 1, 1]], torch.cat([optima, optima.mean(1, keepdim=True)], 1)):
        with pytest.raises(ValueError, match=r"no connector joins [34] optima"):
            find_centres(Sphere(), dependent, RECIPE, 1, [0])


# On wedges


def residual(short, members, trial, dim=60):
    landscape = WedgeLandscape(dim, short, members, seed=trial, meet=True)
    optima = landscape.optima(members, 2.0, seed=trial)
    centre = find_centres(landscape, optima[None], Recipe("adam", 0.06, schedule="cosine"), 400, [trial]).points
    return float(landscape.losses(centre) / landscape.losses(optima.mean(0)[None]))


@pytest.mark.parametrize("short", [6, 15])
def test_wedges_are_joined_up_to_the_number_predicted_and_not_beyond(short):
    largest = largest_connector(short, 60)
    for trial in range(3):
        for members in (2, math.floor(0.6 * largest)):
            assert residual(short, members, trial) < 0.01
        assert residual(short, math.ceil(1.5 * largest), trial) > 0.1


# Sets of optima


def test_sets_are_distinct_sorted_and_the_same_every_time():
    sets = draw_sets(range(12), 4, 20)
    assert len(sets) == 20
    assert len({tuple(group) for group in sets}) == 20
    assert all(group == sorted(set(group)) for group in sets)
    assert all(len(group) == 4 for group in sets)
    assert {seed for group in sets for seed in group} == set(range(12))
    assert draw_sets(range(12), 4, 20) == sets
    assert draw_sets(range(12), 4, 5) == sets[:5]


def test_all_sets_are_drawn_where_there_are_no_more():
    assert sorted(draw_sets([3, 5, 9, 11], 2, 6)) == [list(pair) for pair in itertools.combinations([3, 5, 9, 11], 2)]
    assert sorted(draw_sets([3, 5, 9], 2, 50)) == [[3, 5], [3, 9], [5, 9]]
    assert draw_sets([3, 5, 9], 3, 50) == [[3, 5, 9]]


# The measurement


@pytest.fixture(scope="module")
def measured():
    """Five optima on the sphere: sets of 2 and of 5, of which there is only one."""
    optima = dict(zip([10, 11, 12, 13, 14], on_sphere(1, 5)[0], strict=True))
    store = measure(Sphere(), optima, sizes=[2, 5], sets=3, steps=200, learning_rate=0.03, batch_size=None)
    return optima, store


def test_measured_values_are_those_of_optima_centroid_and_centre(measured):
    optima, store = measured
    loss = store["loss"]
    assert loss.dims == ("size", "set", "place", "split")
    assert loss.attrs["units"] == "nat"
    for size, count in ((2, 3), (5, 1)):
        for row in range(count):
            members = store["members"].sel(size=size).values[row]
            assert (members[:size] >= 10).all()
            assert (members[size:] == -1).all()
            corners = torch.stack([optima[seed] for seed in members[:size]])
            here = loss.sel(size=size).isel(set=row)
            centroid = Sphere().evaluate(corners.mean(0)[None])
            assert float(here.sel(place="optima", split="train")) == pytest.approx(0, abs=1e-6)
            assert float(here.sel(place="centroid", split="train")) == pytest.approx(float(centroid["loss"]), rel=1e-5)
            assert float(here.sel(place="centre", split="train")) < 1e-5
            np.testing.assert_allclose(here.sel(split="test"), 2 * here.sel(split="train"), rtol=1e-6)
            accuracy = store["accuracy"].sel(size=size, place="centroid", split="train").values[row]
            assert accuracy == pytest.approx(float(centroid["accuracy"]), rel=1e-5)
            spread = (corners - corners.mean(0)).norm(dim=1).mean()
            assert float(store["spread"].sel(size=size)[row]) == pytest.approx(float(spread), rel=1e-5)
            assert float(store["cosine"].sel(size=size)[row]) < 1e-5
            assert float(store["displacement"].sel(size=size)[row]) >= 1 - float(corners.mean(0).norm()) - 1e-3


def test_sets_that_do_not_exist_are_nan(measured):
    _, store = measured
    assert store.sizes["set"] == 3
    for name in ("loss", "accuracy", "displacement", "cosine", "spread"):
        assert store[name].sel(size=5).isel(set=slice(1, None)).isnull().all()
        assert store[name].sel(size=2).notnull().all()
    assert (store["members"].sel(size=5).isel(set=slice(1, None)) == -1).all()


def test_tidy_table_has_a_row_for_each_value_there_is(measured):
    _, store = measured
    table = tidy(store)
    assert len(table) == (3 + 1) * 3 * 2
    assert list(table.columns) == ["size", "set", "place", "split", "loss", "accuracy"]
    row = table.query("size == 2 and set == 1 and place == 'centroid' and split == 'test'")
    assert row["loss"].item() == float(store["loss"].sel(size=2, place="centroid", split="test")[1])


def test_networks_are_joined(mlp, weights):
    optima = dict(enumerate(torch.tensor(weights["theta"].values)))
    store = measure(mlp, optima, [2, 4], sets=2, steps=100, learning_rate=0.02, batch_size=16)
    train = store["loss"].sel(split="train").mean("set")
    assert (train.sel(place="centre") < 0.7 * train.sel(place="centroid")).all()
    np.testing.assert_allclose(store["cosine"].values[[0, 0, 1], [0, 1, 0]], 0, atol=1e-5)
