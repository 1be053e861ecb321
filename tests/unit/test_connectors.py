"""Connectors on a sphere of zero loss, on wedges that meet, and between networks; their claims and their figure."""

import itertools
import math

import numpy as np
import pytest
import torch
import xarray as xr

from drawings import check_looks, drawn, in_order, titled
from wedgescape.errors import InputError
from wedgescape.figures import connectors as plot_connectors
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.spans import random_directions
from wedgescape.landscapes.wedges import WedgeLandscape, largest_connector
from wedgescape.measurements import connectors
from wedgescape.measurements.connectors import (
    NULLS,
    PLACES,
    Settings,
    draw_sets,
    find_centres,
    measure,
    neighbour_centres,
    outsiders,
    search,
)
from wedgescape.numerics.intervals import Intervals
from wedgescape.training.descent import Recipe
from wedgescape.training.optima import Optima

RECIPE = Recipe(optimizer="adam", learning_rate=0.03, schedule="cosine")


class Sphere(Landscape):
    """A curved valley: (|x|^2 - 1)^2, zero on the unit sphere. The test split has twice the loss."""

    dim = 40

    def losses(self, points, split="train"):
        return (points.square().sum(1) - 1).square() * (1 if split == "train" else 2)

    def evaluate(self, points, split="train"):
        loss = self.losses(points, split)
        return {"loss": loss, "score": torch.exp(-loss)}


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


def test_sets_are_disjoint_sorted_and_the_same_every_time():
    sets = draw_sets(range(13), 4, 20)
    assert len(sets) == 3
    assert len({seed for group in sets for seed in group}) == 12
    assert all(group == sorted(group) for group in sets)
    assert draw_sets(range(13), 4, 20) == sets
    assert draw_sets(range(13), 4, 2) == sets[:2]
    assert draw_sets([3, 5, 9], 3, 50) == [[3, 5, 9]]
    assert draw_sets([3, 5], 3, 50) == []


def test_an_outsider_is_the_next_seed_that_is_not_in_the_set():
    assert outsiders([[1, 3], [5, 9]], [1, 3, 5, 9]) == [5, 1]
    assert outsiders([[1, 9]], [1, 3, 9]) == [3]
    assert outsiders([[1, 3]], [1, 3]) == [None]


# The measurement


@pytest.fixture(scope="module")
def measured():
    """Five optima on the sphere: sets of 2 and of 5, of which there is only one."""
    starts = 0.3 * on_sphere(1, 5, seed=9)[0]
    optima = Optima.of(Sphere(), on_sphere(1, 5)[0], [10, 11, 12, 13, 14], starts=starts)
    store = measure(optima, Settings(sizes=[2, 5], sets=3, steps=200, learning_rate=0.03, batch_size=None))
    return optima.by_seed, store


def test_measured_values_are_those_of_optima_centroid_and_centre(measured):
    optima, store = measured
    loss = store["loss"]
    assert loss.dims == ("size", "set", "place", "split")
    assert loss.attrs["units"] == "nat"
    for size, count in ((2, 2), (5, 1)):
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
            accuracy = store["score"].sel(size=size, place="centroid", split="train").values[row]
            assert accuracy == pytest.approx(float(centroid["score"]), rel=1e-5)
            spread = (corners - corners.mean(0)).norm(dim=1).mean()
            assert float(store["spread"].sel(size=size)[row]) == pytest.approx(float(spread), rel=1e-5)
            assert float(store["cosine"].sel(size=size)[row]) < 1e-5
            assert float(store["displacement"].sel(size=size)[row]) >= 1 - float(corners.mean(0).norm()) - 1e-3


def test_sets_that_do_not_exist_are_nan(measured):
    _, store = measured
    assert store.sizes["set"] == 3
    for name in ("loss", "score", "displacement", "cosine", "spread"):
        assert store[name].sel(size=5).isel(set=slice(1, None)).isnull().all()
        assert store[name].sel(size=2).isel(set=slice(2)).notnull().all()
    assert (store["members"].sel(size=5).isel(set=slice(1, None)) == -1).all()


def test_centres_are_stored_for_sets_and_for_neighbours(measured):
    optima, store = measured
    for size, seeds in ((2, store["members"].sel(size=2).values[1, :2]), (5, list(optima))):
        place = 1 if size == 2 else 0
        corners = torch.stack([optima[seed] for seed in seeds])
        centre = torch.from_numpy(store["centre"].sel(size=size).values[place])
        shift = centre - corners.mean(0)
        assert float(Sphere().losses(centre[None])) < 1e-5
        assert float(shift.norm()) == pytest.approx(float(store["displacement"].sel(size=size)[place]), rel=1e-4)
    seeds = list(optima)
    for place, seed in enumerate(seeds):
        circle = torch.stack([optima[seeds[(place + shift) % 5]] for shift in range(3)])
        alone = find_centres(Sphere(), circle[None], RECIPE, 200, [seed]).points[0]
        found = torch.from_numpy(store["neighbour_centre"].sel(seed=seed).values)
        torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-5)


def test_nulls_are_the_same_search_from_elsewhere(measured):
    optima, store = measured
    assert store["place"].values.tolist() == [*PLACES, *NULLS]
    settings = Settings(sizes=[2, 5], sets=3, steps=200, learning_rate=0.03, batch_size=None)
    members = store["members"].sel(size=2).values[0, :2]
    corners = torch.stack([optima[seed] for seed in members])
    random = random_directions(1, 40, "connector start", 2, 0) * corners.norm(dim=1).mean()
    beginnings = dict(zip(optima, 0.3 * on_sphere(1, 5, seed=9)[0], strict=True))
    outside = beginnings[outsiders([members.tolist()], list(optima))[0]]
    here = store["loss"].sel(size=2, split="train").isel(set=0)
    for place, start in {"random": random, "initialisation": outside[None]}.items():
        end = search(Sphere(), corners[None], settings, [0], start)
        assert float(here.sel(place=place)) == pytest.approx(float(Sphere().losses(end)), abs=1e-6)
        edge = (corners[1] - corners[0]) / (corners[1] - corners[0]).norm()
        assert float((end - start)[0] @ edge) == pytest.approx(0, abs=1e-5)
    # A set of all seeds leaves nobody outside.
    assert store["loss"].sel(size=5, place="random", split="train").isel(set=0).notnull()
    assert store["loss"].sel(size=5, place="initialisation").isnull().all()


def test_two_optima_are_neighbours_of_each_other():
    optima = Optima.of(Sphere(), on_sphere(1, 2)[0])
    store = measure(optima, Settings(sizes=[2], sets=1, steps=100, learning_rate=0.03))
    np.testing.assert_allclose(*store["neighbour_centre"].values, atol=1e-5)


def test_runs_that_diverged_are_joined_by_nothing_and_flagged():
    points, settings = on_sphere(1, 5)[0], Settings(sizes=[2, 3], sets=2, steps=20)
    points[1] = math.nan
    optima = Optima.of(Sphere(), points, [3, 4, 5, 6, 7], diverged=[False, True, False, False, False])
    store = measure(optima, settings)
    assert store["diverged"].values.tolist() == [False, True, False, False, False]
    assert 4 not in store["members"].values
    assert store["loss"].sel(size=2).notnull().all()
    assert store["neighbour_centre"].sel(seed=4).isnull().all()
    sound = optima.sound()
    torch.testing.assert_close(neighbour_centres(store, sound), neighbour_centres(measure(sound, settings), sound))
    with pytest.raises(InputError, match="4 of 5 runs stayed finite; this measurement needs at least 5"):
        measure(optima, Settings(sizes=[5]))


def test_networks_are_joined(mlp, weights):
    settings = Settings(sizes=[2, 4], sets=2, steps=100, learning_rate=0.02, batch_size=16)
    store = measure(Optima(mlp, weights), settings)
    train = store["loss"].sel(split="train").mean("set")
    assert (train.sel(place="centre") < 0.7 * train.sel(place="centroid")).all()
    np.testing.assert_allclose(store["cosine"].values[[0, 0, 1], [0, 1, 0]], 0, atol=1e-5)


# Claims


def claims(store):
    return list(connectors.claims(store, Intervals()))


def judged(centre, sets=4):
    """Disjoint sets of 2 and one of 3; the losses at the centres of the sets of 2 are given."""
    loss = np.full((2, sets, 5, 2), 1e-3)
    loss[:, :, 1], loss[:, :, 3], loss[:, :, 4] = 2.0, 0.02, 0.04
    loss[0, :, 2, 0] = centre
    loss[:, :, 2, 1] = 77.0  # of the test split, which must not matter
    members = np.full((2, sets, 3), -1)
    members[0, :, :2] = np.arange(2 * sets).reshape(sets, 2)
    members[1, 0] = [0, 1, 4]
    loss[1, 1:] = np.nan
    return xr.Dataset(
        {
            "loss": (("size", "set", "place", "split"), loss),
            "members": (("size", "set", "member"), members),
            "diverged": (("seed",), np.zeros(2 * sets, bool)),
        },
        {"size": [2, 3], "place": [*PLACES, *NULLS], "split": ["train", "test"], "seed": np.arange(2 * sets)},
    )


def test_a_centre_is_compared_with_centroid_and_nulls_in_decades():
    centre = np.array([0.2, 0.02, 0.2, 0.02])
    two, null, three, _ = claims(judged(centre))
    assert (two.id, null.id, three.id) == ("connector_2", "connector_null_2", "connector_3")
    assert two.estimate == Intervals().mean(np.log10(centre / 2.0), "disjoint set")
    assert null.estimate == Intervals().mean(np.log10(centre / 0.02), "disjoint set")
    (other,) = null.specifications.values()
    assert other.estimate == pytest.approx(np.log10(centre / 0.04).mean())
    assert (two.estimate.units, three.estimate.units, three.left_out) == (4, 1, 0)


def test_sets_with_a_run_that_does_not_fit_are_left_out():
    store = judged(np.full(4, 0.02))
    store["diverged"][3] = True  # of the second set
    assert [(claim.estimate.units, claim.left_out) for claim in claims(store)[:2]] == [(3, 1), (3, 1)]


def test_sets_that_do_not_exist_are_not_counted_and_those_that_diverged_are():
    store = judged([0.01, 0.02, math.nan, math.nan])
    store["members"][0, 3] = -1  # the fourth does not exist, the third diverged
    store["loss"][0, 3] = math.nan
    two = claims(store)[0]
    assert (two.estimate.units, two.left_out) == (2, 1)
    assert two.estimate.estimate == pytest.approx(np.log10([0.005, 0.01]).mean())


# The figure


def test_the_table_has_a_row_for_each_value_there_is(measured):
    _, store = measured
    table = plot_connectors.tabulate(store)
    assert len(table) == (2 * 5 + 4) * 2
    assert list(table.columns) == ["size", "set", "place", "split", "loss", "score"]
    row = table.query("size == 2 and set == 1 and place == 'centroid' and split == 'test'")
    assert row["loss"].item() == float(store["loss"].sel(size=2, place="centroid", split="test")[1])


def centres(sizes=(2, 4, 9)):
    draw = np.random.default_rng(0)
    dims, shape = ("size", "set", "place", "split"), (len(sizes), 5, 5, 2)
    loss, accuracy = draw.uniform(0.01, 3, shape), draw.uniform(0, 1, shape)
    loss[0, 3:] = accuracy[0, 3:] = np.nan  # there were only three sets of that size
    return xr.Dataset(
        {"loss": (dims, loss), "score": (dims, accuracy)},
        {"size": list(sizes), "place": [*PLACES, *NULLS], "split": ["train", "test"]},
    )


def test_the_figure_draws_every_set():
    store = centres()
    figure = plot_connectors.draw(store, Intervals(resamples=100))
    check_looks(figure, 4)
    panels = iter(titled(figure))
    table = plot_connectors.tabulate(store)
    for quantity, label in (("loss", "loss (nats)"), ("score", "accuracy (fraction)")):
        for split in ("train", "test"):
            axes = next(panels)
            rows = table[table["split"] == split]
            assert drawn(axes) == pytest.approx(in_order(rows[["size", quantity]].to_numpy()))
            assert axes.get_yscale() == ("log" if quantity == "loss" else "linear")
            sizes = rows[rows["place"] == "centre"].groupby("size")[quantity]
            means = sizes.apply(lambda one: np.exp(np.log(one).mean())) if quantity == "loss" else sizes.mean()
            assert any(line.get_ydata() == pytest.approx(means.to_numpy()) for line in axes.lines)
            if split == "train":
                assert axes.get_ylabel() == label
