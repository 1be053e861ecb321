"""Profiles and lengths of directions, where both are known; their claims and their figure."""

import math

import numpy as np
import pytest
import torch
import xarray as xr

from drawings import check_looks, drawn, in_order, titled
from wedgescape.figures import profiles as plot_profiles
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.lines import barrier
from wedgescape.landscapes.models import filter_normalised, layout
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import profiles
from wedgescape.measurements.profiles import Settings, measure
from wedgescape.measurements.tunnels import keeps_loss
from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import write_store
from wedgescape.training.optima import Optima

SETTINGS = Settings(
    random=2, hessian_top=2, hessian_bottom=1, components=1, reach=4.0, points=12, line_points=9,
    score_fraction=0.9, loss_fraction=0.5, length_error=0.01,
)  # fmt: skip
NO_CONNECTORS = xr.Dataset()  # there is none of a single optimum


def settings(**changes):
    return SETTINGS.model_copy(update=changes)


def test_a_profile_of_a_quadratic_is_its_parabola(quadratic):
    landscape = quadratic([1.0, 2.0, 8.0], centre=0.0)
    lengths = torch.linspace(-2, 2, 9, dtype=torch.float64)
    seen = profiles.profile(landscape, torch.zeros(3, dtype=torch.float64), landscape.eigenvectors.T, lengths)["loss"]
    for row, eigenvalue in zip(seen, [1.0, 2.0, 8.0], strict=True):
        torch.testing.assert_close(row, 0.5 * eigenvalue * lengths**2)


def test_lengths_along_hessian_directions_are_sqrt_of_two_tau_over_lambda(quadratic):
    """At the minimum of x^T H x / 2 shifted to norm 1, a ray along an eigenvector ends at sqrt(2 tau / lambda).

    Without classes the way to chance is 1 nat, so that tau is the loss fraction.
    """
    landscape = quadratic([0.5, 2.0, 8.0, 32.0], centre=0.5)
    optimum = landscape.centre[None]
    store = measure(Optima.of(landscape, optimum), NO_CONNECTORS, settings(hessian_bottom=1))
    found = store["length_loss"].sel(direction="hessian_top_1").values[0]
    assert found == pytest.approx([np.sqrt(2 * 0.5 / 32.0)] * 2, rel=0.02)
    found = store["length_loss"].sel(direction="hessian_bottom_1").values[0]
    assert found == pytest.approx([np.sqrt(2 * 0.5 / 0.5)] * 2, rel=0.02)
    assert store["eigenvalue"].sel(end="top").values[0, :2].tolist() == pytest.approx([32.0, 8.0], rel=1e-4)
    assert not store["open_loss"].any()


def test_long_directions_of_a_wedge_are_open_and_short_ones_end_at_the_threshold():
    landscape = WedgeLandscape(20, 4)
    optimum = landscape.optima(1, radius=1.0)
    store = measure(Optima.of(landscape, optimum), NO_CONNECTORS, settings(hessian_top=0, hessian_bottom=0))
    # Radially, a point of a wedge through the origin never leaves it.
    assert store["open_loss"].sel(direction="radial").values.all()
    # Along a random unit vector u the loss is |t| ||u_S||.
    ways = profiles.random_directions(optimum, [0], 2, None)
    for name, way in ways.items():
        exact = 0.5 / float((way[0] * landscape.members[0]).norm())
        assert store["length_loss"].sel(direction=name).values[0] == pytest.approx([exact] * 2, rel=0.02)


def test_filter_normalised_directions_have_the_filters_norms(mlp, points):
    point, draws = points(1, mlp.dim)[0], points(3, mlp.dim, seed=1)
    scaled = filter_normalised(draws, point, layout(mlp.module))
    for entry in layout(mlp.module):
        size = int(np.prod(entry["shape"]))
        part = slice(entry["offset"], entry["offset"] + size)
        if len(entry["shape"]) < 2:
            assert not scaled[:, part].any()
            continue
        ours = scaled[:, part].reshape(3, entry["shape"][0], -1)
        torch.testing.assert_close(
            ours.norm(dim=2), point[part].reshape(entry["shape"][0], -1).norm(dim=1).expand(3, -1)
        )
        assert (
            float(torch.cosine_similarity(ours[0, 0], draws[0, part].reshape(entry["shape"][0], -1)[0], dim=0)) > 0.9999
        )


def test_filter_normalised_directions_of_convolutions_are_scaled_kernel_by_kernel(network, points):
    landscape = network({"name": "simple_cnn", "width": 2})
    point = points(1, landscape.dim)[0]
    scaled = filter_normalised(points(1, landscape.dim, seed=1), point, layout(landscape.module))[0]
    kernels = [entry for entry in layout(landscape.module) if len(entry["shape"]) == 4]
    assert len(kernels) == 3
    for entry in kernels:
        part = slice(entry["offset"], entry["offset"] + int(np.prod(entry["shape"])))
        ours, theirs = (vector[part].reshape(entry["shape"]).flatten(1).norm(dim=1) for vector in (scaled, point))
        torch.testing.assert_close(ours, theirs)


class Line(Landscape):
    """A loss of the first coordinate alone."""

    def __init__(self, loss):
        self.loss, self.dim, self.dtype = loss, 2, torch.float64

    def losses(self, points, split="train"):
        return self.loss(points[:, 0])


TURN = math.acos(1 / (4 * math.pi))


@pytest.mark.parametrize(
    ("loss", "rise", "height"),
    [
        (lambda x: (x - 1) ** 2, 0.0, 0.0),  # falls all the way, and below the chord
        (lambda x: (1 - x) + torch.sin(4 * torch.pi * x), 2 * math.sin(TURN) - TURN / (2 * math.pi), 1.0),  # bumpy
    ],
)
def test_rise_and_barrier_of_a_straight_line(loss, rise, height):
    """Of 1 - x + sin(4 pi x) the chord is 1 - x, so the barrier is 1. It turns where cos(4 pi x) = 1 / (4 pi)."""
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)
    starts, ends = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    values = profiles.interpolate(Line(loss), starts, ends, t)["loss"]
    torch.testing.assert_close(values[0], loss(t))
    assert profiles.largest_rise(values.numpy()) == pytest.approx(rise, abs=1e-3)
    assert barrier(values.numpy()) == pytest.approx(height, abs=1e-4)


def test_a_point_outside_by_its_own_threshold_goes_nowhere(quadratic):
    landscape, point = quadratic([1.0, 2.0], centre=3.0), torch.ones(2, dtype=torch.float64)
    grid = profiles.relative_lengths(4.0, 12)
    crossing = profiles.lengths_inside(landscape, point, landscape.eigenvectors.T, keeps_loss(0.5), grid, 3)
    assert crossing.place.tolist() == [0.0] * 4
    assert not crossing.open.any()


def a_store(lengths, opened=()):
    """A store with lengths by kind of direction (forwards, backwards), two seeds of the same and one that diverged."""
    names = list(lengths)
    table = np.array(list(lengths.values()))[:, None].repeat(3, 1)
    table[:, 2] = np.nan
    is_open = np.array([[name in opened] * 2 for name in names])[:, None].repeat(3, 1)
    is_open[:, 2] = False
    variables = {
        "length_score": (("direction", "seed", "sign"), table),
        "open_score": (("direction", "seed", "sign"), is_open),
        "pair_barrier": (("pair", "split"), np.array([[0.2, 0.0], [0.4, 0.0], [9.0, 9.0]])),
        "members": (("pair", "end_of_line"), [[0, 1], [1, 0], [1, 2]]),
        "pair_loss": (("pair", "split", "alpha"), np.full((3, 2, 3), 0.3)),
        "init_rise": (("seed", "split"), np.array([[0.005, 0.5], [0.2, 0.5], [np.nan, np.nan]])),
        "init_loss": (("seed", "split", "alpha"), np.full((3, 2, 3), 0.3)),
        "diverged": (("seed",), [False, False, True]),
    }
    coordinates = {
        "direction": names, "kind": ("direction", [profiles.kind_of(name) for name in names]), "seed": [0, 1, 2],
        "sign": [1, -1], "split": ["train", "test"],
    }  # fmt: skip
    return xr.Dataset(variables, coordinates, {"chance_loss": 2.3})


def test_kinds_are_averaged_over_logarithms_and_sides_kept_apart_where_they_differ():
    store = a_store({"random_1": (1.0, 4.0), "random_2": (2.0, 2.0), "radial": (8.0, 0.5)}, opened=["radial"])
    means = profiles.summarise(profiles.by_kind(store), Intervals(resamples=100))
    assert means["name"].tolist() == ["radial, outwards", "random", "radial, inwards"]
    assert means["estimate"].tolist() == pytest.approx([8.0, 2.0, 0.5])
    assert means["open"].tolist() == [1.0, 0.0, 1.0]
    assert means["seeds"].tolist() == [2, 2, 2]


def claimed(store):
    return {claim.id: claim for claim in profiles.claims(store, Intervals(resamples=200))}


def test_claims_of_profiles():
    found = claimed(a_store({"random_1": (1.0, 4.0), "random_2": (2.0, 2.0), "radial": (8.0, 0.5)}))
    assert found["long_radial_outwards"].estimate.estimate == pytest.approx(np.log10(4.0))
    assert found["long_radial_inwards"].estimate.estimate == pytest.approx(-np.log10(4.0))
    assert found["linear_barrier"].estimate.estimate == pytest.approx(0.3 / 2.0)  # of the way from 0.3 to 2.3 nats
    assert found["linear_barrier"].estimate.units == 2  # without the pair of the seed that diverged
    assert found["monotonic_interpolation"].estimate.estimate == 0.5  # 0.005 of 2 nats is no rise, 0.2 is one
    assert {claim.left_out for claim in found.values()} == {1}


@pytest.mark.parametrize(
    ("opened", "low", "high"),
    [
        ((), True, True),
        (("radial",), True, False),
        (("random_1",), False, True),
        (("radial", "random_2"), False, False),
    ],
)
def test_a_length_beyond_the_reach_is_a_bound(opened, low, high):
    """What does not end may be longer: no verdict may come of an end that was not seen."""
    lengths = {"random_1": (1.0, 4.0), "random_2": (2.0, 2.0), "radial": (8.0, 8.0)}
    estimate = claimed(a_store(lengths, opened))["long_radial_outwards"].estimate
    assert estimate.estimate == pytest.approx(np.log10(4.0))
    assert (np.isfinite(estimate.low), np.isfinite(estimate.high)) == (low, high)
    assert estimate.p_at_most(0.05) < 1 or not low
    assert estimate.p_at_least(9.0) < 1 or not high


def test_open_kinds_have_no_upper_end_in_the_table():
    store = a_store({"random_1": (1.0, 4.0), "random_2": (2.0, 2.0), "radial": (8.0, 0.5)}, opened=["radial"])
    means = profiles.summarise(profiles.by_kind(store), Intervals()).set_index("name")
    assert np.isinf(means.loc["radial, outwards", "high"])
    assert np.isfinite(means.loc["random", "high"])


def test_loss_thresholds_lie_a_fraction_of_the_way_to_chance():
    losses = torch.tensor([0.0, 0.3])
    assert profiles.loss_thresholds(losses, 2.3, 0.5).tolist() == pytest.approx([1.15, 1.3])
    assert profiles.loss_thresholds(losses, math.nan, 0.5).tolist() == pytest.approx([0.5, 0.8])


def test_largest_rise_tells_a_monotone_line_from_a_bumpy_one():
    falling, bumpy = np.linspace(3, 0, 7), np.array([3.0, 2.0, 2.5, 1.0, 1.75, 0.5, 0.0])
    assert profiles.largest_rise(np.stack([falling, bumpy])).tolist() == pytest.approx([0.0, 0.75])


def test_trajectory_components_of_a_known_path():
    path = torch.zeros(1, 6, 5)
    path[0, :, 1] = torch.arange(6.0)
    path[0, :, 3] = 0.01 * torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    found = profiles.trajectory_components(path, path[:, -1], 1)
    top = found["trajectory_top_1"][0]
    assert float(top[1]) == pytest.approx(1.0, abs=1e-3)  # it points to the side of the optimum
    assert float(found["trajectory_top_1"].norm()) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def optima(weights):
    """Four networks, of which the third is said to have diverged."""

    def of(landscape):
        return Optima(landscape, weights.assign(diverged=("seed", [False, False, True, False])))

    return of


def connectors_of(weights):
    centres = weights["theta"].mean("seed").expand_dims(seed=weights["seed"].values)
    return xr.Dataset({"neighbour_centre": centres})


@pytest.fixture
def measured(mlp, weights, optima):
    return measure(optima(mlp), connectors_of(weights), SETTINGS)


def test_a_network_s_store_is_complete_and_measuring_changes_nothing(mlp, weights, optima, tmp_path):
    before = [parameter.clone() for parameter in mlp.module.parameters()]
    store = measure(optima(mlp), connectors_of(weights), SETTINGS)
    write_store(store, tmp_path / "profiles.zarr.zip", Origin("test"))
    assert all(torch.equal(a, b) for a, b in zip(before, mlp.module.parameters(), strict=True))
    assert store["diverged"].values.tolist() == [False, False, True, False]
    assert store["radius"].isnull().values.tolist() == [False, False, True, False]
    sound, points = profiles.sound_seeds(store), torch.tensor(weights["theta"].values[[0, 1, 3]])
    np.testing.assert_allclose(sound["norm"], 1.0, atol=1e-5)
    middle = sound.isel(step=store.sizes["step"] // 2)
    own = mlp.evaluate(points)["loss"].numpy()
    assert (middle["loss"].sel(split="train").values == own).all()  # to the bit: a point is moved by nothing
    assert (middle["score"].sel(split="test").values == mlp.evaluate(points, "test")["score"].numpy()).all()
    # The line to another optimum ends in its loss.
    np.testing.assert_allclose(store["pair_loss"].sel(split="train").isel(alpha=-1), np.roll(own, -1), atol=1e-6)
    assert store["pair"].values.tolist() == ["0-1", "1-3", "3-0"]
    assert store["members"].values.tolist() == [[0, 1], [1, 3], [3, 0]]
    assert store.attrs["chance_loss"] == pytest.approx(math.log(3))
    np.testing.assert_allclose(sound["loss_threshold"], own + 0.5 * (math.log(3) - own), rtol=1e-6)
    # The centre is as far as it is.
    away = (points - torch.tensor(weights["theta"].values).mean(0)).norm(dim=1) / points.norm(dim=1)
    np.testing.assert_allclose(sound["target"].sel(direction="connector"), away, rtol=1e-5)
    table = plot_profiles.tabulate(store)
    assert set(table["quantity"]) == {"length_score", "length_loss", "rise", "barrier"}
    assert "2" not in set(table["seed"].astype(str))


def test_only_the_first_seeds_are_measured(mlp, weights, optima):
    few = settings(seeds=2, hessian_top=0, hessian_bottom=0)
    store = measure(optima(mlp), connectors_of(weights), few)
    assert store["seed"].values.tolist() == [0, 1]
    assert not store["diverged"].any()


# The figure


def test_the_figure_draws_every_seed_that_did_not_diverge(measured):
    figure = plot_profiles.draw(measured, Intervals(resamples=100))
    check_looks(figure, 3)
    lengths, rays, lines = titled(figure)
    table = profiles.by_kind(measured)
    shown = drawn(lengths)
    assert len(shown) == len(table) == 3 * table["name"].nunique()
    assert sorted(shown[:, 0]) == pytest.approx(sorted(np.exp(table["log_length"])))
    means = profiles.summarise(table, Intervals(resamples=100))
    assert [label.get_text() for label in lengths.get_yticklabels()] == means["name"].tolist()
    sides = in_order(
        [(line.get_xdata()[0], line.get_ydata()[0]) for line in lengths.lines if line.get_marker() in "D>"]
    )
    assert sides == pytest.approx(in_order(zip(means["estimate"], means.index, strict=True)))
    assert (rays.get_xscale(), rays.get_yscale(), lines.get_yscale()) == ("log", "log", "log")
    train = measured["init_loss"].sel(split="train", seed=[0, 1, 3]).values
    for row in train:
        assert any(np.array_equal(row, line.get_ydata()) for line in lines.lines)
    assert [text.get_text() for text in lines.get_legend().get_texts()] == [
        "initialisation to optimum", "optimum to optimum"
    ]  # fmt: skip
    means = np.exp(np.log(train).mean(0))
    assert any(line.get_ydata() == pytest.approx(means) for line in lines.lines)
    for band in lines.collections:  # an interval of losses on a logarithmic axis does not reach below zero
        assert (band.get_paths()[0].vertices[:, 1] > 0).all()


def test_the_figure_copes_with_a_single_seed(measured):
    one = measured.sel(seed=[0]).drop_dims("pair")
    check_looks(plot_profiles.draw(one, Intervals(resamples=100)), 3)
