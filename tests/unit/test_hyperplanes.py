"""Random hyperplanes through wedges, where the lowest loss is known for each of them and on average."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.collections import PathCollection

from wedgescape.errors import InputError
from wedgescape.figures import hyperplanes as plot_hyperplanes
from wedgescape.landscapes import spans as subspaces
from wedgescape.landscapes.networks import initial_points
from wedgescape.landscapes.spans import RandomSpan, random_directions
from wedgescape.landscapes.wedges import WedgeLandscape, cut_loss
from wedgescape.measurements.hyperplanes import (
    Settings,
    capped,
    claims,
    descend_in_hyperplanes,
    first_reaching,
    mean_threshold,
    measure,
    search,
    tidy,
)
from wedgescape.measurements.hyperplanes import measured as tried
from wedgescape.numerics.intervals import Intervals
from wedgescape.training.descent import Recipe
from wedgescape.training.optima import Optima

DIM, SHORT, RADIUS, TRIALS = 200, 40, 2.0, 64
RECIPE = Recipe(optimizer="adam", learning_rate=0.06, schedule="cosine")


def cut(count, trials=TRIALS, steps=300, recipe=RECIPE):
    landscape = WedgeLandscape(DIM, SHORT)
    starts = RADIUS * random_directions(trials, DIM, "test starts")
    return landscape, starts, descend_in_hyperplanes(landscape, starts, count, recipe, steps, range(trials))


def lowest(landscape, starts, count):
    """The lowest loss on each hyperplane, by least squares."""
    short = landscape.members[0].bool().numpy()
    losses = []
    for seed, start in enumerate(starts.double().numpy()):
        rows = RandomSpan(count, DIM, [seed]).directions(0).double().numpy()[:, short]
        coordinates = np.linalg.lstsq(rows.T, -start[short], rcond=None)[0]
        losses.append(np.linalg.norm(start[short] + coordinates @ rows))
    return np.array(losses)


@pytest.mark.parametrize("count", [1, 10, 20, 30])
def test_below_the_threshold_a_cut_misses_the_wedge_by_the_closed_form(count):
    landscape, starts, descent = cut(count)
    found = landscape.losses(descent.points).double().numpy()
    np.testing.assert_allclose(found, lowest(landscape, starts, count), rtol=5e-3)
    assert np.sqrt((found**2).mean()) == pytest.approx(cut_loss(RADIUS, SHORT, count, DIM), rel=0.03)


@pytest.mark.parametrize("count", [60, 100])
def test_above_the_threshold_a_cut_meets_the_wedge(count):
    landscape, starts, descent = cut(count, trials=16, steps=600)
    assert landscape.losses(starts).min() > 0.5
    assert landscape.losses(descent.points).max() < 0.01


def test_points_stay_in_their_own_hyperplanes():
    count = 5
    _, starts, descent = cut(count, trials=4, steps=50)
    assert descent.points.shape == (4, DIM)
    for seed in range(4):
        rows = RandomSpan(count, DIM, [seed]).directions(0)
        moved = (descent.points - starts)[seed]
        outside = moved - torch.linalg.lstsq(rows.T, moved[:, None]).solution[:, 0] @ rows
        assert moved.norm() > 0.1
        assert outside.norm() < 1e-5 * moved.norm()


def test_a_hyperplane_belongs_to_its_seed(mlp, points):
    starts = points(3, mlp.dim)
    together = descend_in_hyperplanes(mlp, starts, 5, RECIPE, 20, [0, 1, 2]).points
    alone = descend_in_hyperplanes(mlp, starts[2:], 5, RECIPE, 20, [2]).points
    other = descend_in_hyperplanes(mlp, starts[2:], 5, RECIPE, 20, [3]).points
    assert torch.equal(together[2], alone[0])
    assert not torch.allclose(together[2], other[0], rtol=1e-3)


def test_a_network_learns_in_enough_random_directions(mlp, data):
    starts = initial_points(mlp, data, {"name": "mlp", "width": 8, "depth": 2}, [0, 1])
    recipe = Recipe(optimizer="adam", learning_rate=0.05, batch_size=16, dropout=0.1)
    few, many = (descend_in_hyperplanes(mlp, starts, count, recipe, 100, [0, 1]).points for count in (1, 60))
    assert (mlp.losses(many) < 0.7 * mlp.losses(few)).all()


def test_as_many_directions_as_dimensions_fit_and_no_more():
    landscape = WedgeLandscape(10, 2)
    starts = torch.ones(2, 10)
    descend_in_hyperplanes(landscape, starts, 10, RECIPE, 1, [0, 1])
    with pytest.raises(InputError, match="found 11 dimensions; allowed: 1 to 10"):
        descend_in_hyperplanes(landscape, starts, 11, RECIPE, 1, [0, 1])


# Thresholds


def test_threshold_of_a_known_curve_is_interpolated_in_log_d():
    dims = np.array([1, 4, 16, 64, 256])
    curve = 0.25 * np.log(dims) / np.log(4)  # 0, 0.25, 0.5, 0.75, 1: d = 4 ** (4 * value)
    for target in (0.1, 0.25, 0.6, 0.9):
        thresholds, censored = first_reaching(dims, curve[:, None], target)
        assert thresholds == pytest.approx([4 ** (4 * target)])
        assert censored.tolist() == ["no"]


def test_each_seed_has_its_own_target_and_its_first_crossing():
    curves = np.array([[0.0, 0.5, 0.2, 0.8], [0.0, 0.5, 0.2, 0.8]]).T
    thresholds, _ = first_reaching([1, 2, 4, 8], curves, np.array([0.5, 0.8]))
    assert thresholds == pytest.approx([2, 8])


def test_what_lies_outside_the_dimensions_tried_is_flagged():
    never, at_once, diverged = [0.1, 0.2, np.nan], [0.9, 0.9, np.nan], [np.nan] * 3
    values = np.array([never, at_once, diverged]).T
    thresholds, censored = first_reaching([4, 8, 16], values, 0.5)
    np.testing.assert_array_equal(thresholds, [np.nan, 4, np.nan])
    assert censored.tolist() == ["above", "below", "above"]
    assert first_reaching([1, 2, 4], values, 0.5)[1].tolist() == ["above", "no", "above"]  # nothing is below 1
    assert first_reaching([4, 8, 16], values, np.nan)[1].tolist() == ["above"] * 3


def test_the_threshold_after_a_descent_that_diverged_is_not_interpolated():
    thresholds, censored = first_reaching([2, 4, 8], np.array([[0.1, np.nan, 0.9]]).T, 0.5)
    assert thresholds.tolist() == [8]
    assert censored.tolist() == ["no"]


@pytest.mark.parametrize("short", [4, 9])
def test_on_a_wedge_the_threshold_is_its_number_of_short_directions(short):
    """A random affine hyperplane meets a wedge of codimension s from d = s dimensions on, whatever D is."""
    dim, dims = 120, list(range(short - 2, short + 3))
    landscape = WedgeLandscape(dim, short)
    starts = 2.0 * random_directions(4, dim, "test starts")
    at_start = landscape.losses(starts).numpy()
    recipe = Recipe(optimizer="adam", learning_rate=0.3, schedule="cosine")
    told = []
    found = search(
        landscape,
        starts,
        dims,
        recipe,
        3000,
        range(4),
        lambda here: here["loss"][:, 0] < 0.02 * at_start,
        told.append,
    )
    loss = found["loss"][:, :, 0] / at_start
    assert [dims[np.flatnonzero(row < 0.02)[0]] for row in loss.T] == [short] * 4
    thresholds, censored = first_reaching(dims, -loss, -0.02)
    assert ((short - 1 < thresholds) & (thresholds <= short)).all()
    assert set(censored) == {"no"}
    # The search ended there: what lies beyond was not measured.
    assert len(told) == dims.index(short) + 1
    assert np.isnan(loss[dims.index(short) + 1 :]).all()


def test_the_search_does_not_depend_on_how_many_seeds_fit_into_memory(mlp, data, monkeypatch):
    starts = initial_points(mlp, data, {"name": "mlp", "width": 8, "depth": 2}, [0, 1, 2])
    recipe = Recipe(optimizer="adam", learning_rate=0.1, batch_size=16)

    def found():
        return search(mlp, starts, [2, 5], recipe, 10, [0, 1, 2], lambda _here: np.zeros(3, bool))

    together = found()
    monkeypatch.setattr(subspaces, "HELD_BYTES", 5 * mlp.dim)  # one set of 5, two of 2
    for name, values in found().items():
        np.testing.assert_array_equal(values, together[name])


# Networks


SETTINGS = {"learning_rate": 0.1, "epochs": 8, "batch_size": 16, "score_fraction": 0.9}


@pytest.fixture
def trained(mlp, data):
    """A landscape, starts, optima and seeds."""
    seeds = [3, 5]
    starts = initial_points(mlp, data, {"name": "mlp", "width": 8, "depth": 2}, seeds)
    optima = starts.clone()
    for _ in range(150):
        optima = optima - 0.5 * mlp.gradients(optima)
    return mlp, starts, optima, seeds


@pytest.fixture
def measured(weights):
    """A function: what was trained, dimensions -> its store."""

    def measure_at(trained, dims):
        landscape, starts, optima, seeds = trained
        found = Optima.of(landscape, optima, seeds, starts=starts, attributes=weights.attrs)
        return measure(found, Settings(dimensions=dims, **SETTINGS))

    return measure_at


def test_networks_are_measured_up_to_the_threshold(trained, measured):
    landscape, _, optima, seeds = trained
    store = measured(trained, [1, 8, 64, landscape.dim])
    assert store["loss"].dims == store["score"].dims == ("dimension", "seed", "split")
    assert store["seed"].values.tolist() == seeds
    assert store.attrs["parameters"] == landscape.dim
    assert json.loads(store.attrs["descent"])["optimizer"] == "adam"
    for place, split in enumerate(("train", "test")):
        full = landscape.evaluate(optima, split)
        np.testing.assert_array_equal(store["full_loss"].values[:, place], full["loss"])
        np.testing.assert_array_equal(store["full_score"].values[:, place], full["score"])
    relative = (store["score"] / store["full_score"]).sel(split="train").values
    ended = np.flatnonzero((np.fmax.accumulate(relative) >= 0.9).all(1))[0]
    assert np.isfinite(relative[: ended + 1]).all()
    assert np.isnan(relative[ended + 1 :]).all()
    thresholds, _ = first_reaching(store["dimension"], relative, 0.9)
    np.testing.assert_allclose(store["threshold"], thresholds, rtol=1e-5)
    assert len(tidy(store)) == 2 * (ended + 1)


def test_a_seed_measures_the_same_alone(trained, measured):
    landscape, starts, optima, _ = trained
    together = measured(trained, [2, 8])
    alone = measured((landscape, starts[1:], optima[1:], [5]), [2, 8])
    np.testing.assert_array_equal(alone["loss"][0, 0], together["loss"][0, 1])
    np.testing.assert_array_equal(alone["distance"][0, 0], together["distance"][0, 1])


def test_a_seed_that_diverged_has_no_threshold_and_holds_nothing_up(trained, measured):
    landscape, starts, optima, seeds = trained
    lost = optima.clone()
    lost[0] = torch.nan
    store = measured((landscape, starts, lost, seeds), [1, 64, landscape.dim])
    assert np.isnan(store["threshold"].values[0])
    assert np.isfinite(store["threshold"].values[1])
    assert store["diverged"].values.tolist() == [True, False]
    assert mean_threshold(store, Intervals(0.95, 100)).estimate == pytest.approx(float(store["threshold"][1]))


def test_a_width_whose_seeds_all_diverged_has_no_verdict_and_leaves_the_figure_to_the_others(trained, measured):
    landscape, starts, optima, seeds = trained
    store = measured((landscape, starts, torch.full_like(optima, torch.nan), seeds), [4, 16])
    assert tried(store).tolist() == [4]
    (claim,) = claimed(store)
    assert (claim.estimate.units, claim.left_out) == (0, 2)
    stores = {"lost": store, "kept": made(8, 300, [20, 24])}
    assert len(plot_hyperplanes.tabulate(stores)) == 2 + 4 * 2
    figure = plot_hyperplanes.draw(stores, INTERVALS)
    figure.draw_without_rendering()
    assert "no optima: 2" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_hyperplane_larger_than_the_network_becomes_the_whole_space(trained, measured):
    dim = trained[0].dim
    assert measured(trained, [1, dim + 1])["dimension"].values.tolist() == [1, dim]
    assert capped([4096, 1, 16, 2048, 16], 1000) == [1, 16, 1000]


# The claim and the figure


def made(width, parameters, thresholds, diverged=()):
    """A store whose seeds have given thresholds; nan stands for one that was never reached."""
    dims, seeds = [8, 16, 32, 64], len(thresholds)
    thresholds = np.array(thresholds, dtype=float)
    relative = 0.9 * (np.array(dims)[:, None] / np.nan_to_num(thresholds, nan=1e3)) ** 0.3
    accuracy = np.repeat(np.minimum(relative, 1)[:, :, None], 2, axis=2)
    values = {
        "loss": (("dimension", "seed", "split"), 2.3 * (1 - 0.9 * accuracy)),
        "score": (("dimension", "seed", "split"), accuracy),
        "distance": (("dimension", "seed"), relative),
        "full_loss": (("seed", "split"), np.full((seeds, 2), 0.01)),
        "full_score": (("seed", "split"), np.ones((seeds, 2))),
        "threshold": (("seed",), thresholds),
        "censored": (("seed",), np.where(np.isnan(thresholds), "above", "no")),
        "diverged": (("seed",), np.isin(range(seeds), diverged)),
    }
    coordinates = {"dimension": dims, "seed": range(seeds), "split": ["train", "test"]}
    return xr.Dataset(values, coordinates, {"parameters": parameters, "width": width, "score_fraction": 0.9})


INTERVALS = Intervals(0.95, 200)


def claimed(*stores):
    return list(claims({str(store.attrs["width"]): store for store in stores}, INTERVALS))


def test_a_threshold_is_estimated_as_a_share_of_the_parameters():
    found = claimed(made(4, 200, [18, 20, 22, 24]), made(16, 5000, [20, 24, 30, 22]))
    assert [claim.id for claim in found] == ["hyperplane_4", "hyperplane_16"]
    wanted = [
        np.log10(np.array(values) / P).mean() for values, P in (([18, 20, 22, 24], 200), ([20, 24, 30, 22], 5000))
    ]
    assert [claim.estimate.estimate for claim in found] == pytest.approx(wanted)
    assert [claim.estimate.units for claim in found] == [4, 4]
    assert found[1].estimate.high < -1


def test_a_seed_that_never_reached_the_threshold_is_a_bound():
    """It needs more than the most that was tried: the mean may be anything above, and cannot be said to be small."""
    (claim,) = claimed(made(4, 1000, [20, np.nan, 30, 40, 10], diverged=[4]))
    assert claim.estimate.estimate == pytest.approx(np.log10(np.array([20, 64, 30, 40]) / 1000).mean())
    assert (claim.estimate.units, claim.left_out) == (4, 1)
    assert np.isinf(claim.estimate.high)
    assert claim.estimate.p_at_least(-1.0) == 1.0
    assert np.isfinite(claim.estimate.low)


def test_a_mean_with_a_seed_that_never_reached_the_threshold_is_a_gap():
    assert np.isnan(mean_threshold(made(4, 1000, [20, np.nan]), INTERVALS).estimate)
    assert mean_threshold(made(4, 1000, [20, 30, np.nan], diverged=[2]), INTERVALS).estimate == pytest.approx(600**0.5)


@pytest.mark.parametrize(
    "stores",
    [
        [made(16, 1500, [20, 24, 30])],
        [made(8, 300, [20, 24, np.nan]), made(16, 1500, [20, 24, 30], diverged=[0]), made(32, 90_000, [np.nan] * 3)],
    ],
    ids=["one width", "gaps"],
)
def test_the_figure_draws_every_threshold_and_what_has_none(stores):
    by_setting = {str(store.attrs["width"]): store for store in stores}
    figure = plot_hyperplanes.draw(by_setting, INTERVALS)
    figure.draw_without_rendering()
    dots = [part.get_offsets() for part in figure.axes[2].collections if isinstance(part, PathCollection)]
    points = np.ma.filled(np.ma.concatenate(dots), np.nan)
    wanted = {
        (store.attrs["parameters"], value if np.isfinite(value) else 64)  # never reached: at the largest d tried
        for store in stores
        for value in store["threshold"].values[~store["diverged"].values]
    }
    assert {(x, y) for x, y in points if np.isfinite(y)} == wanted
    loss = figure.axes[1]
    for store in stores:
        kept = np.log(
            store["loss"].sel(split="train").transpose("dimension", "seed").values[:, ~store["diverged"].values]
        )
        assert any(
            np.allclose(np.exp(kept.mean(1)), line.get_ydata()) for line in loss.lines if len(line.get_ydata()) == 4
        )
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert (r"$d_{90}$ not reached" in labels) == (len(stores) > 1)
    assert ("no optima: 1" in labels) == (len(stores) > 1)
    assert len(plot_hyperplanes.tabulate(by_setting)) == 4 * 3 * len(stores)
