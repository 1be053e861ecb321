"""Ensembles: members at stated places, scores and averages by hand, and a small network end to end."""

import json
import math

import numpy as np
import pytest
import torch
import xarray as xr

from wedgescape.analysis import ensembles
from wedgescape.analysis.ensembles import (
    Settings,
    claims,
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
from wedgescape.analysis.members import Found, gradient_epochs, next_curves, next_optima, trained, tunnel_samples
from wedgescape.figures import averages as plot_averages
from wedgescape.figures import diversity as plot_diversity
from wedgescape.figures import ensembles as plot_ensembles
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.networks import network_landscape
from wedgescape.measurements.curves import Settings as CurveSettings
from wedgescape.measurements.similarity import Settings as SimilaritySettings
from wedgescape.measurements.similarity import jensen_shannon, weight_distance
from wedgescape.measurements.tunnels import Settings as TunnelSettings
from wedgescape.measurements.tunnels import keeps_accuracy
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.scores import SCORES, score
from wedgescape.stores.attributes import training_of
from wedgescape.study import methods
from wedgescape.study.settings import Rules
from wedgescape.training.optima import Optima

CURVES = CurveSettings(kinds=["chain"], steps=30, batch_size=16, samples=2, points=5)
TUNNELS = TunnelSettings(directions=2, angle_error=0.5)
ENSEMBLES = Settings(members=3, seeds=2, cycle_epochs=2, tunnel_fraction=0.4, bins=5)
INTERVALS = Intervals(0.95, 100)
SECTIONS = (ENSEMBLES, TUNNELS, CURVES, SimilaritySettings(points=5))


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
    samples, widths = tunnel_samples(mlp, optima, range(4), 3, 0.4, TunnelSettings())
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
    assert store["group_diverged"].values.tolist() == [[True, True, False]]
    for name in ("accuracy", "disagreement", "barrier"):
        assert store[name].sel(seed=[4, 5]).isnull().all()
        assert store[name].sel(seed=6).notnull().any()
    rows = tidy(Optima.of(mlp, optima[:3], [4, 5, 6]).flagged(store))
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
    assert len(tidy_paths(Optima.of(mlp, optima[:2]).flagged(store))) == 4 + 2


def test_comparisons_are_with_the_first(points):
    members = points(3, 6)
    wanted = [0.0, *(members[1:].double() - members[0].double()).norm(dim=1).tolist()]
    assert to_first(weight_distance, members).tolist() == pytest.approx(wanted)


# A small network end to end


@pytest.fixture(scope="module")
def networks(data, weights):
    return Optima(network_landscape(data, training_of(weights.attrs)["model"], "cpu"), weights)


@pytest.fixture(scope="module")
def stores(weights, train_small):
    """The methods' trainings, from the optima of `weights` where they continue those."""
    base = training_of(weights.attrs)["training"]
    found = {}
    for method, changes in methods.at_equal_budget(base, ENSEMBLES.model_dump()).items():
        store = train_small(range(4), **{**base, **changes})
        if method in methods.CONTINUED:
            continued = training_of(store.attrs) | {"starts": base}
            store.attrs["config"] = json.dumps({"sections": {}, "settings": {method: continued}})
        found[method] = store
    return found


@pytest.fixture(scope="module")
def of_methods(networks, stores):
    return {method: Optima(networks.landscape, store) for method, store in stores.items()}


@pytest.fixture(scope="module")
def measured(networks, of_methods):
    return ensembles.measure(networks, of_methods, *SECTIONS)


def test_every_method_stays_within_the_budget(measured, weights):
    epochs = gradient_epochs(training_of(weights.attrs)["training"])
    spent = measured["methods"]["epochs"].to_series()
    assert spent.drop("connector").tolist() == [3 * epochs] * 7
    assert 2 * epochs < spent["connector"] <= 3 * epochs


def test_members_are_the_trainings(measured, of_methods, stores, optima):
    found = trained(of_methods, range(4), 12)
    torch.testing.assert_close(found["snapshots"].members, torch.tensor(stores["snapshots"]["trajectory"].values))
    torch.testing.assert_close(found["swa"].mean, torch.tensor(stores["swa"]["theta"].values))
    assert found["swa"].averaged.shape == found["fge"].members.shape == (4, 3, optima.shape[1])
    assert found["longer"].members.shape == found["sam"].members.shape == (4, 1, optima.shape[1])
    store = measured["methods"]
    np.testing.assert_allclose(
        store["accuracy"].sel(ensemble="longer").isel(size=0), stores["longer"]["test_accuracy"][:2, -1], atol=1e-6
    )
    np.testing.assert_allclose(
        store["nll"].sel(ensemble="sam").isel(size=0), stores["sam"]["test_loss"][:2, -1], rtol=1e-4
    )
    np.testing.assert_allclose(
        store["average_loss"].sel(ensemble="swa", split="test"), stores["swa"]["test_loss"][:2, -1], rtol=1e-4
    )


def test_diverged_trainings_are_nan(mlp, stores):
    store = stores["longer"].assign(diverged=("seed", [False, True, False, False]))
    members = trained({"longer": Optima(mlp, store)}, range(4), 12)["longer"].members
    assert members.isnan().all(2).tolist() == [[False], [True], [False], [False]]


def test_stores_describe_all_that_they_hold(measured):
    for part in measured.values():
        assert all(variable.attrs["description"] for variable in part.data_vars.values())
    trainings = methods.at_equal_budget({"epochs": 1, "learning_rate": 1}, ENSEMBLES.model_dump())
    assert measured["methods"]["ensemble"].values.tolist() == [*trainings, "tunnel", "connector", "independent"]
    assert measured["paths"]["path"].values.tolist() == ["tunnel", "connector", "trajectory"]
    back = measured["paths"]["along"].sel(path="trajectory").dropna("place").values
    assert (back[0], back[-1]) == (0, 12)
    connector = measured["paths"].sel(path="connector")
    assert (connector["weight_distance"].diff("place").sum("place") > 0).all()


def test_a_second_measurement_gives_the_same_numbers(measured, networks, of_methods):
    again = ensembles.measure(networks, of_methods, *SECTIONS)
    assert list(again) == list(measured)
    assert all(part.identical(again[name]) for name, part in measured.items())


@pytest.fixture(scope="module")
def without_first(networks, of_methods):
    """The measurement where the base setting's first run diverged."""
    weights = networks.weights.assign(diverged=("seed", [True, False, False, False]))
    return ensembles.measure(Optima(networks.landscape, weights), of_methods, *SECTIONS)


def test_no_group_begins_at_a_run_that_diverged(without_first, stores):
    for part in without_first.values():
        assert part["seed"].values.tolist() == [0, 1, 2]
        assert part["diverged"].values.tolist() == [True, False, False]
    store = without_first["methods"]
    assert store["accuracy"].sel(seed=0).isnull().all()
    assert not store["group_diverged"].any()
    np.testing.assert_allclose(
        store["accuracy"].sel(ensemble="longer").isel(seed=slice(1, 3), size=0),
        stores["longer"]["test_accuracy"][1:3, -1],
        atol=1e-6,
    )
    for table in (tidy(store), tidy_averages(store), tidy_paths(without_first["paths"])):
        assert sorted(set(table["seed"])) == [1, 2]
    assert {row["seeds"] for row in claims(without_first, Rules(), INTERVALS)} == {2}


# Figures


@pytest.mark.parametrize("lost", [False, True])
def test_figures_draw(measured, lost):
    parts = {name: part.copy(deep=True) for name, part in measured.items()}
    store = parts["methods"]
    if lost:
        row = store["ensemble"].values.tolist().index("tunnel")
        store["group_diverged"][row, 0] = True
        for name in ensembles.BY_GROUP:
            store[name][row, 0] = np.nan
    figures = [
        (plot_ensembles.draw(parts, INTERVALS), "abcdefgh"),
        (plot_diversity.draw(parts, INTERVALS), "abcde"),
        (plot_averages.draw(parts, INTERVALS), "abcd"),
    ]
    for figure, letters in figures:
        figure.draw_without_rendering()
        titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
        assert sorted(title[9] for title in titles) == list(letters)
    labels = [label.get_text() for label in figures[0][0].axes[4].get_yticklabels()]
    assert any("1 diverged" in label for label in labels) == lost
    rows = plot_averages.tabulate(parts)
    assert len(rows) == 6 * 2
    assert rows["diverged"].sum() == lost
    assert (rows["nll_gain"].dropna() > -1e-9).all()
    assert rows.loc[rows["ensemble"] == "swa", "nll_gain"].isna().all()


def test_figures_leave_runs_that_diverged_out(without_first):
    figure = plot_ensembles.draw(without_first, INTERVALS)
    assert "each of 2 seeds" in [text.get_text() for text in figure.legends[0].get_texts()]
    for module in (plot_diversity, plot_averages):
        module.draw(without_first, INTERVALS).draw_without_rendering()


# Verdicts

METHODS = ["longer", "swa", "snapshots", "fge", "tunnel", "connector", "independent"]
GROUPS = 8


def groups(disagreement, gain, barrier, average):
    """A store of methods, each number given by method, with a little noise over groups."""
    draw = np.random.default_rng(0)

    def over_groups(values):
        column = np.array([values.get(name, math.nan) for name in METHODS])[:, None]
        return column * (1 + 0.01 * draw.standard_normal((len(METHODS), GROUPS)))

    nll = np.stack([np.full((len(METHODS), GROUPS), 1.0), 1.0 - over_groups(gain)], -1)
    both = {name: np.stack([over_groups(values)] * 2, -1) for name, values in (("b", barrier), ("a", average))}
    return xr.Dataset(
        {
            "disagreement": (("ensemble", "seed"), over_groups(disagreement)),
            "nll": (("ensemble", "seed", "size"), nll),
            "barrier": (("ensemble", "seed", "split"), both["b"]),
            "average_loss": (("ensemble", "seed", "split"), both["a"]),
            "group_diverged": (("ensemble", "seed"), np.zeros((len(METHODS), GROUPS), bool)),
            "diverged": (("seed",), np.zeros(GROUPS, bool)),
        },
        {"ensemble": METHODS, "seed": range(GROUPS), "size": [1, 2], "split": ["train", "test"]},
    )


SPREAD = {"swa": 0.01, "snapshots": 0.02, "fge": 0.03, "tunnel": 0.05, "connector": 0.06, "independent": 0.1}


def judged_ensembles(**changes):
    given = {
        "disagreement": SPREAD,
        "gain": SPREAD,
        "barrier": dict.fromkeys(METHODS[1:], 0.01),
        "average": {**dict.fromkeys(METHODS[1:], 0.1), "independent": 2.0},
    }
    rules = Rules(minimum_correlation=0.2, minimum_barrier=0.1, maximum_loss_ratio=0.5)
    rows = claims({"methods": groups(**given | changes)}, rules, Intervals(0.95, 300))
    return {row["id"]: row for row in rows}


def test_ensembles_as_the_paper_sees_them_support_every_claim():
    rows = judged_ensembles()
    assert len(rows) == 13
    assert {row["verdict"] for row in rows.values()} == {"supported"}
    assert rows["diversity_snapshots"]["estimate"] == pytest.approx(-0.08, rel=0.05)
    assert rows["average_tunnel"]["estimate"] == pytest.approx(0.05, rel=0.05)


def test_ensembles_that_are_otherwise_contradict_what_they_contradict():
    rows = judged_ensembles(
        disagreement={**SPREAD, "snapshots": 0.2},
        gain={name: 0.2 - value for name, value in SPREAD.items()},
        barrier={**dict.fromkeys(METHODS[1:], 0.01), "fge": 0.4},
        average={**dict.fromkeys(METHODS[1:], 0.1), "tunnel": 3.0, "independent": 2.0},
    )
    wrong = {name for name, row in rows.items() if row["verdict"] == "contradicted"}
    assert wrong == {"diversity_snapshots", "gain_disagreement", "one_tunnel_fge", "average_tunnel"}
