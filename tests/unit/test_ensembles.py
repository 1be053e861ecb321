"""Ensembles: members at stated places, scores and averages by hand, and a small network end to end."""

import json
import math

import numpy as np
import pytest
import torch

from wedgescape.analysis import ensembles
from wedgescape.analysis.ensembles import (
    draw_subsets,
    gain,
    mean_over_pairs,
    measure_methods,
    measure_paths,
    scores_by_size,
    tidy,
    tidy_averages,
    tidy_paths,
    to_first,
    weight_average,
)
from wedgescape.analysis.members import (
    Found,
    gradient_epochs,
    next_curves,
    next_optima,
    train_curves,
    trained,
    tunnel_samples,
)
from wedgescape.figures import averages as plot_averages
from wedgescape.figures import diversity as plot_similarity
from wedgescape.figures import ensembles as plot_ensembles
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.networks import network_landscape
from wedgescape.measurements.similarity import jensen_shannon, weight_distance
from wedgescape.measurements.tunnels import keeps_accuracy
from wedgescape.numerics.scores import SCORES, score
from wedgescape.stores.attributes import training_of
from wedgescape.study import methods

CURVES = {"kinds": ["chain"], "steps": 30, "learning_rate": 0.01, "batch_size": 16, "samples": 2, "points": 5}
TUNNELS = {"directions": 2, "accuracy_fraction": 0.9, "loss_threshold": 0.5, "angle_error": 0.5}
ENSEMBLES = {
    "members": 3,
    "seeds": 2,
    "sharpness_radius": 0.05,
    "swa_rate": 0.5,
    "cycle_epochs": 2,
    "tunnel_fraction": 0.4,
    "bins": 5,
}
FIGURES = {"confidence": 0.95, "resamples": 100}


@pytest.fixture(scope="module")
def optima(weights):
    return torch.tensor(weights["theta"].values)


# Scores


def test_all_subsets_of_few_members_and_different_ones_of_many():
    assert draw_subsets(4, 2) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert draw_subsets(5, 5) == [(0, 1, 2, 3, 4)]
    many = draw_subsets(12, 6)
    assert len(set(many)) == len(many) == ensembles.SUBSETS
    assert all(len(set(one)) == 6 and max(one) < 12 for one in many)
    assert draw_subsets(12, 6) == many


@pytest.fixture
def predictions():
    draw = torch.Generator().manual_seed(3)
    return torch.randn(3, 40, 4, generator=draw).mul(2).softmax(2), torch.randint(4, (40,), generator=draw)


def test_scores_by_size_begin_with_the_members_and_end_with_the_mixture(predictions):
    probabilities, labels = predictions
    found = scores_by_size(probabilities, labels, 5)
    for name in SCORES:
        assert found[name].shape == (3,)
        alone = [score(member, labels, 5)[name] for member in probabilities]
        assert found[name][0] == pytest.approx(np.mean(alone))
        pairs = [score((probabilities[a] + probabilities[b]) / 2, labels, 5)[name] for a, b in ((0, 1), (0, 2), (1, 2))]
        assert found[name][1] == pytest.approx(np.mean(pairs), rel=1e-6)
        assert found[name][2] == pytest.approx(score(probabilities.mean(0), labels, 5)[name], rel=1e-6)
    # Jensen: a mixture is never worse than its members' mean by a convex loss.
    assert (np.diff(found["nll"]) < 0).all()
    assert (np.diff(found["brier"]) < 0).all()


def test_an_ensemble_of_equal_members_is_the_member(predictions):
    probabilities, labels = predictions
    found = scores_by_size(probabilities[:1].expand(4, -1, -1), labels, 5)
    for name, value in score(probabilities[0], labels, 5).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)


def test_means_over_pairs_leave_the_diagonal_out():
    matrix = torch.tensor([[9.0, 1, 2], [1, 9, 6], [2, 6, 9]])
    assert mean_over_pairs(matrix) == 3
    assert math.isnan(mean_over_pairs(matrix[:1, :1]))


# Members


def test_independent_members_are_the_next_optima_and_the_first_after_the_last(points):
    optima = points(4, 7)
    found = next_optima(optima, 3, 3)
    assert found.shape == (3, 3, 7)
    torch.testing.assert_close(found[0], optima[:3])
    torch.testing.assert_close(found[2], optima[[2, 3, 0]])


def test_samples_of_a_tunnel_lie_at_a_fraction_of_its_width(mlp, optima):
    samples, widths = tunnel_samples(mlp, optima, range(4), 3, 0.4, 0.9, 0.25)
    assert samples.shape == (4, 3, mlp.dim)
    norms = samples.norm(dim=2) / optima.norm(dim=1)[:, None]
    torch.testing.assert_close(norms, torch.ones(4, 3), rtol=0, atol=1e-5)
    angles = torch.cosine_similarity(samples.double(), optima[:, None].double(), dim=2).arccos()
    torch.testing.assert_close(angles, 0.4 * widths.double(), rtol=1e-4, atol=1e-4)
    assert 0 < float(widths.min()) < math.pi / 2
    inside = keeps_accuracy(0.9)
    for k in range(4):
        assert bool(inside(mlp.evaluate(samples[k]), mlp.evaluate(optima[k : k + 1])).all())
    assert float(jensen_shannon(mlp.predictions(samples[0], "test"))[0, 1:].min()) > 0


def test_curves_join_optima_and_are_lines_without_steps(mlp, optima):
    taken = {"learning_rate": 0.01, "batch_size": 16, "samples": 2}
    t = torch.linspace(0, 1, 5)
    line = train_curves(mlp, optima[:2], optima[2:], [0, 1], 0, **taken)(t)
    torch.testing.assert_close(line, optima[:2, None] + t[:, None] * (optima[2:] - optima[:2])[:, None])
    bent = train_curves(mlp, optima[:2], optima[2:], [0, 1], 60, **taken)(t)
    torch.testing.assert_close(bent[:, 0], optima[:2])
    torch.testing.assert_close(bent[:, -1], optima[2:])
    assert (mlp.losses(bent[:, 2]) < mlp.losses(line[:, 2])).all()


@pytest.mark.parametrize(("epochs", "steps"), [(1000, 30), (10, 19), (0, 0)])
def test_a_curve_stays_within_its_budget(mlp, optima, epochs, steps):
    """A step costs two gradients on 16 of 61 examples."""
    _curve, cost, found = next_curves(mlp, optima, [0, 1, 2, 3], 2, epochs, CURVES)
    assert found == steps
    assert cost == pytest.approx(steps * 32 / 61)
    assert cost <= max(epochs, 0)


def test_a_weight_average_is_the_mean_of_the_members(points):
    members = points(10, 500).reshape(2, 5, 500)
    one = Found(members, 1)
    torch.testing.assert_close(one.mean, members.double().mean(1).float(), rtol=0, atol=1e-6)
    given = Found(members[:, :1], 1, iterates=members, average=members[:, 0])
    assert torch.equal(given.mean, members[:, 0])
    assert torch.equal(given.averaged, members)


def test_averages_and_barriers_are_those_of_the_landscape(mlp, optima):
    found = weight_average(mlp, optima[:3], optima[:3].mean(0), 9, "test")
    assert found["average_loss"] == pytest.approx(float(mlp.losses(optima[:3].mean(0)[None], "test")))
    assert found["members_loss"] == pytest.approx(float(mlp.losses(optima[:3], "test").mean()))
    lines = barrier_along(mlp, optima[:2], optima[1:3], 9, "test")
    assert found["barrier"] == pytest.approx(lines.max())


# Methods and paths


def test_independent_members_differ_and_equal_ones_do_not(mlp, optima):
    found = {
        "snapshots": Found(optima[:2, None].repeat(1, 3, 1), 30),
        "independent": Found(next_optima(optima, 2, 3), 36),
        "longer": Found(optima[:2, None], 36),
    }
    store = measure_methods(mlp, found, [0, 1], 5, 7)
    same, other = store.sel(ensemble="snapshots"), store.sel(ensemble="independent")
    assert (same["disagreement"] == 0).all()
    assert (other["jensen_shannon"] > 0).all()
    np.testing.assert_allclose(same["jensen_shannon"], 0, atol=1e-12)
    np.testing.assert_allclose(same["barrier"], 0, atol=1e-6)
    np.testing.assert_allclose(same["average_loss"], same["members_loss"], rtol=1e-5)
    assert (other["average_loss"] > other["members_loss"]).all()
    np.testing.assert_allclose(gain(store["nll"]).sel(ensemble="snapshots"), 0, atol=1e-9)
    assert (gain(store["nll"]).sel(ensemble="independent") > 0).all()
    alone = store.sel(ensemble="longer")
    for name in SCORES:
        assert alone[name].isel(size=0).notnull().all()
        assert alone[name].isel(size=slice(1, None)).isnull().all()
    assert alone["disagreement"].isnull().all()
    assert store["network_ensemble"].values.tolist() == ["snapshots"] * 3 + ["independent"] * 3 + ["longer"]
    networks = torch.cat([optima[[0, 0, 0]], optima[:3], optima[:1]])
    np.testing.assert_allclose(store["weight_distance_matrix"], weight_distance(networks))
    assert store["epochs"].values.tolist() == [30, 36, 36]


def test_disagreement_is_of_different_predictions(mlp, points):
    random = points(3, mlp.dim)
    store = measure_methods(mlp, {"equal": Found(random[None, [0, 0, 0]], 1),
                                  "random": Found(random[None], 1)}, [0], 5, 3)  # fmt: skip
    classes = mlp.predictions(random, "test").argmax(2)
    wanted = np.mean([float((classes[a] != classes[b]).double().mean()) for a, b in ((0, 1), (0, 2), (1, 2))])
    assert store["disagreement"].values[:, 0].tolist() == pytest.approx([0, wanted])
    assert wanted > 0.1


def test_a_group_of_which_a_run_diverged_is_flagged_and_nan(mlp, optima):
    lost = optima.clone()
    lost[1] = math.nan
    store = measure_methods(mlp, {"independent": Found(next_optima(lost, 3, 2), 1)}, [4, 5, 6], 5, 5)
    assert store["diverged"].values.tolist() == [[True, True, False]]
    for name in ("accuracy", "disagreement", "barrier"):
        assert store[name].sel(seed=[4, 5]).isnull().all()
        assert store[name].sel(seed=6).notnull().any()
    rows = tidy(store)
    assert rows["seed"].tolist() == [4, 5, 6, 6]
    assert rows["diverged"].sum() == 2


def test_paths_start_at_no_difference(mlp, optima):
    way = torch.stack([optima[:2], optima[1:3]], 1)
    paths = {"a": way, "b": way.flip(1)[:, :1]}
    store = measure_paths(mlp, paths, {"a": [0.0, 1.0], "b": [0.0]}, [0, 1])
    first = store.isel(place=0)
    for name in ("disagreement", "jensen_shannon", "weight_distance"):
        np.testing.assert_allclose(first[name], 0, atol=1e-12)
    np.testing.assert_allclose(first["weight_angle"], 0, atol=1e-6)
    np.testing.assert_allclose(first["probability_cosine"], 1)
    wanted = torch.cosine_similarity(optima[:2].double(), optima[1:3].double(), dim=1).arccos()
    np.testing.assert_allclose(store["weight_angle"].sel(path="a").isel(place=1), wanted)
    np.testing.assert_allclose(store["loss"].sel(path="a").isel(place=1), mlp.losses(optima[1:3], "test"))
    assert store["loss"].sel(path="b").isel(place=1).isnull().all()
    assert len(tidy_paths(store)) == 4 + 2


def test_comparisons_are_with_the_first(points):
    members = points(3, 6)
    wanted = [0.0, *(members[1:].double() - members[0].double()).norm(dim=1).tolist()]
    assert to_first(weight_distance, members).tolist() == pytest.approx(wanted)


# A small network end to end


@pytest.fixture(scope="module")
def stores(weights, train_small):
    """The methods' trainings, from the optima of `weights` where they go on."""
    base = training_of(weights.attrs)["training"]
    found = {}
    for method, changes in methods.at_equal_budget(base, ENSEMBLES).items():
        store = train_small(range(4), **{**base, **changes})
        if method in methods.CONTINUED:
            going_on = training_of(store.attrs) | {"starts": base}
            store.attrs["config"] = json.dumps({"sections": {}, "points": {method: going_on}})
        found[method] = store
    return found


@pytest.fixture(scope="module")
def measured(data, weights, stores):
    model = training_of(weights.attrs)["model"]
    return ensembles.measure(network_landscape(data, model, "cpu"), weights, stores, ENSEMBLES, TUNNELS, CURVES, 5)


def test_every_method_stays_within_the_budget(measured, weights):
    epochs = gradient_epochs(training_of(weights.attrs)["training"])
    spent = measured[0]["epochs"].to_series()
    assert spent.drop("connector").tolist() == [3 * epochs] * 7
    assert 2 * epochs < spent["connector"] <= 3 * epochs


def test_members_are_the_trainings(measured, stores, optima):
    found = trained(stores, 12, optima)
    torch.testing.assert_close(found["snapshots"].members, torch.tensor(stores["snapshots"]["trajectory"].values))
    torch.testing.assert_close(found["swa"].mean, torch.tensor(stores["swa"]["theta"].values))
    assert found["swa"].averaged.shape == found["fge"].members.shape == (4, 3, optima.shape[1])
    assert found["longer"].members.shape == found["sam"].members.shape == (4, 1, optima.shape[1])
    store = measured[0]
    np.testing.assert_allclose(
        store["accuracy"].sel(ensemble="longer").isel(size=0), stores["longer"]["test_accuracy"][:2, -1], atol=1e-6
    )
    np.testing.assert_allclose(
        store["nll"].sel(ensemble="sam").isel(size=0), stores["sam"]["test_loss"][:2, -1], rtol=1e-4
    )
    np.testing.assert_allclose(
        store["average_loss"].sel(ensemble="swa", split="test"), stores["swa"]["test_loss"][:2, -1], rtol=1e-4
    )


def test_diverged_trainings_are_nan(stores, optima):
    store = stores["longer"].assign(diverged=("seed", [False, True, False, False]))
    members = trained({"longer": store}, 12, optima)["longer"].members
    assert members.isnan().all(2).tolist() == [[False], [True], [False], [False]]


def test_stores_describe_all_that_they_hold(measured):
    for store in measured:
        assert all(variable.attrs["description"] for variable in store.data_vars.values())
    trainings = methods.at_equal_budget({"epochs": 1, "learning_rate": 1}, ENSEMBLES)
    assert measured[0]["ensemble"].values.tolist() == [*trainings, "tunnel", "connector", "independent"]
    assert measured[1]["path"].values.tolist() == ["tunnel", "connector", "trajectory"]
    back = measured[1]["along"].sel(path="trajectory").dropna("place").values
    assert (back[0], back[-1]) == (0, 12)
    connector = measured[1].sel(path="connector")
    assert (connector["weight_distance"].diff("place").sum("place") > 0).all()


def test_a_second_measurement_gives_the_same_numbers(measured, mlp, weights, stores):
    again = ensembles.measure(mlp, weights, stores, ENSEMBLES, TUNNELS, CURVES, 5)
    for one, other in zip(measured, again, strict=True):
        assert one.identical(other)


# Figures


@pytest.mark.parametrize("lost", [False, True])
def test_figures_draw(measured, lost):
    store, paths = (part.copy(deep=True) for part in measured)
    if lost:
        row = store["ensemble"].values.tolist().index("tunnel")
        store["diverged"][row, 0] = True
        for name in ensembles.VARIABLES:
            store[name][row, 0] = np.nan
    figures = [
        (plot_ensembles.draw(store, **FIGURES), "abcdefgh"),
        (plot_similarity.draw(store, paths, **FIGURES), "abcde"),
        (plot_averages.draw(store, **FIGURES), "abcd"),
    ]
    for figure, letters in figures:
        figure.draw_without_rendering()
        titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
        assert sorted(title[9] for title in titles) == list(letters)
    labels = [label.get_text() for label in figures[0][0].axes[4].get_yticklabels()]
    assert any("1 diverged" in label for label in labels) == lost
    rows = tidy_averages(store)
    assert len(rows) == 6 * 2
    assert rows["diverged"].sum() == lost
    assert (rows["nll_gain"].dropna() > -1e-9).all()
    assert rows.loc[rows["ensemble"] == "swa", "nll_gain"].isna().all()
