"""Ensembles: members at stated places, scores and averages by hand, and a small network end to end."""

import math

import numpy as np
import pytest
import torch
import xarray as xr

from wedgescape.analysis import ensembles
from wedgescape.analysis.ensembles import (
    Settings,
    claims,
    disagreeing_pairs,
    draw_subsets,
    example_nll,
    gain,
    mean_over_pairs,
    measure_methods,
    measure_paths,
    relative_barrier,
    scores_by_size,
    tidy,
    tidy_averages,
    tidy_paths,
    to_first,
    weight_average,
)
from wedgescape.analysis.members import Found, budgeted_curves, disjoint_groups, trained, tunnel_samples
from wedgescape.figures import averages as plot_averages
from wedgescape.figures import diversity as plot_diversity
from wedgescape.figures import ensembles as plot_ensembles
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.networks import network_landscape
from wedgescape.measurements.curves import Settings as CurveSettings
from wedgescape.measurements.similarity import Settings as SimilaritySettings
from wedgescape.measurements.similarity import disagreement, jensen_shannon, weight_distance
from wedgescape.measurements.tunnels import Settings as TunnelSettings
from wedgescape.measurements.tunnels import keeps_score
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.scores import SCORES, score
from wedgescape.stores.attributes import training_of
from wedgescape.study import methods
from wedgescape.study.methods import gradient_epochs
from wedgescape.training.optima import Optima

CURVES = CurveSettings(kinds=["chain"], steps=30, batch_size=16, samples=2, points=5)
TUNNELS = TunnelSettings(directions=2, angle_error=0.5)
ENSEMBLES = Settings(members=3, seeds=2, tunnel_fraction=0.4, bins=5)
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


def test_scores_of_examples_average_to_those_of_the_split(predictions):
    probabilities, labels = predictions
    together = probabilities.double().mean(0)
    assert example_nll(together, labels).mean() == pytest.approx(score(together, labels, 5)["nll"])
    assert np.isfinite(example_nll(torch.eye(4)[(labels + 1) % 4], labels)).all()  # certain and wrong
    share = disagreeing_pairs(probabilities)
    assert set(share) <= {0, 1 / 3, 2 / 3, 1}
    assert share.mean() == pytest.approx(mean_over_pairs(disagreement(probabilities)))


def test_means_over_pairs_leave_the_diagonal_out():
    matrix = torch.tensor([[9.0, 1, 2], [1, 9, 6], [2, 6, 9]])
    assert mean_over_pairs(matrix) == 3
    assert math.isnan(mean_over_pairs(matrix[:1, :1]))


# Members


@pytest.mark.parametrize(
    ("leaders", "everyone", "members", "count", "wanted"),
    [
        (range(3), range(9), 3, 9, [[0, 3, 4], [1, 5, 6], [2, 7, 8]]),
        (range(12), range(44), 5, 12, 8),  # a study of 12 seeds with 44 at its base setting
        (range(12), range(12), 5, 12, 2),
        (range(12), range(44), 5, 3, 3),
        ([4, 7], [1, 4, 5, 7, 9], 2, 9, [[4, 1], [7, 5]]),
        (range(2), range(2), 3, 9, []),
    ],
)
def test_no_two_groups_share_a_seed(leaders, everyone, members, count, wanted):
    groups = disjoint_groups(list(leaders), list(everyone), members, count)
    assert groups == wanted if isinstance(wanted, list) else len(groups) == wanted
    drawn = [seed for group in groups for seed in group]
    assert len(set(drawn)) == len(drawn)
    assert all(len(group) == members and group[0] in leaders for group in groups)
    assert set(drawn) <= set(everyone)


def test_samples_of_a_tunnel_lie_at_a_fraction_of_its_width(mlp, optima):
    samples, widths = tunnel_samples(mlp, optima, range(4), 3, 0.4, TunnelSettings())
    assert samples.shape == (4, 3, mlp.dim)
    norms = samples.norm(dim=2) / optima.norm(dim=1)[:, None]
    torch.testing.assert_close(norms, torch.ones(4, 3), rtol=0, atol=1e-5)
    angles = torch.cosine_similarity(samples.double(), optima[:, None].double(), dim=2).arccos()
    torch.testing.assert_close(angles, 0.4 * widths.double(), rtol=1e-4, atol=1e-4)
    assert 0 < float(widths.min()) < math.pi / 2
    inside = keeps_score(0.9)
    for k in range(4):
        assert bool(inside(mlp.evaluate(samples[k]), mlp.evaluate(optima[k : k + 1])).all())
    assert float(jensen_shannon(mlp.predictions(samples[0], "test"))[0, 1:].min()) > 0


@pytest.mark.parametrize(("epochs", "steps"), [(40, 76), (10, 19), (0, 0)])
def test_a_curve_spends_its_budget_to_the_last_whole_step(mlp, optima, epochs, steps):
    """A step costs two gradients on 16 of 61 examples; how many steps curves have elsewhere does not matter."""
    ends = torch.stack([optima[:2], optima[2:]])
    _curve, cost, found = budgeted_curves(mlp, ends, [(0, 1), (2, 3)], epochs, CURVES)
    assert found == steps
    assert cost == pytest.approx(steps * 32 / 61)
    assert 0 <= epochs - cost < 32 / 61


def test_a_weight_average_is_the_mean_of_the_members(points):
    members = points(10, 500).reshape(2, 5, 500)
    one = Found(members, 1)
    torch.testing.assert_close(one.mean, members.double().mean(1).float(), rtol=0, atol=1e-6)
    given = Found(members[:, :1], 1, iterates=members, average=members[:, 0])
    assert torch.equal(given.mean, members[:, 0])
    assert torch.equal(given.averaged, members)


def test_averages_and_barriers_are_those_of_the_landscape(mlp, optima):
    found = weight_average(mlp, optima[:3], optima[:3].mean(0), 9, "test")  # 0-1, 0-2, 1-2
    assert found["average_loss"] == pytest.approx(float(mlp.losses(optima[:3].mean(0)[None], "test")))
    assert found["members_loss"] == pytest.approx(float(mlp.losses(optima[:3], "test").mean()))
    lines = barrier_along(mlp, optima[[0, 0, 1]], optima[[1, 2, 2]], 9, "test")
    assert found["barrier"] == pytest.approx(lines.max())


def test_barriers_are_between_all_pairs_of_members(mlp, optima):
    """Of members on a way there and back, the first and the last may be far apart: neighbours are not."""
    way = torch.stack([optima[0] + part * (optima[1] - optima[0]) for part in torch.linspace(0, 1, 9)])
    neighbours = barrier_along(mlp, way[:-1], way[1:], 9).max()
    found = weight_average(mlp, way, way.mean(0), 9, "train")["barrier"]
    assert found == pytest.approx(barrier_along(mlp, optima[:1], optima[1:2], 9)[0], rel=1e-3)
    assert found > 2 * neighbours


# Methods and paths


def test_independent_members_differ_and_equal_ones_do_not(mlp, optima):
    found = {
        "snapshots": Found(optima[:2, None].repeat(1, 3, 1), 30),
        "independent": Found(torch.stack([optima[:3], optima[1:]]), 36),
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
    assert (same["disagrees"] == 0).all()
    np.testing.assert_allclose(other["disagrees"].mean("example"), other["disagreement"], rtol=1e-6)
    np.testing.assert_allclose(other["example_nll"].mean("example"), other["nll"].isel(size=-1), rtol=1e-5)
    alone = store.sel(ensemble="longer")
    for name in SCORES:
        assert alone[name].isel(size=0).notnull().all()
        assert alone[name].isel(size=slice(1, None)).isnull().all()
    assert alone["disagreement"].isnull().all()
    assert alone["disagrees"].isnull().all()
    np.testing.assert_allclose(alone["example_nll"].mean("example"), alone["nll"].isel(size=0), rtol=1e-5)
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
    store = measure_methods(
        mlp, {"independent": Found(torch.stack([lost[k : k + 2] for k in range(3)]), 1)}, [4, 5, 6], 5, 5
    )
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
def everyone(train_small):
    """The base setting's networks of eight seeds, of which the methods have the first four."""
    return train_small(range(8), epochs=12, snapshot_epochs=4)


@pytest.fixture(scope="module")
def networks(data, everyone):
    return Optima(network_landscape(data, training_of(everyone.attrs)["model"], "cpu"), everyone)


@pytest.fixture(scope="module")
def stores(everyone, train_small):
    """The methods' trainings."""
    base = training_of(everyone.attrs)["training"]
    found = methods.at_equal_budget(base, ENSEMBLES.model_dump())
    return {method: train_small(range(4), **{**base, **changes}) for method, changes in found.items()}


@pytest.fixture(scope="module")
def of_methods(networks, stores):
    return {method: Optima(networks.landscape, store) for method, store in stores.items()}


@pytest.fixture(scope="module")
def measured(networks, of_methods):
    return ensembles.measure(networks.first(4), networks, of_methods, *SECTIONS)


def test_every_method_has_the_same_budget(measured, everyone):
    epochs = gradient_epochs(training_of(everyone.attrs)["training"])
    spent = measured["methods"]["epochs"].to_series()
    assert spent.drop("connector").tolist() == [3 * epochs] * 7
    assert 0 <= 3 * epochs - spent["connector"] < 32 / 61  # less than one more step


def test_members_are_the_trainings(measured, of_methods, stores, everyone):
    found = trained(of_methods, range(4))
    members = torch.tensor(stores["snapshots"]["trajectory"].values[:, 1:])  # the initialisation is none
    torch.testing.assert_close(found["snapshots"].members, members)
    torch.testing.assert_close(found["fge"].members, torch.tensor(stores["fge"]["trajectory"].values))
    torch.testing.assert_close(found["swa"].mean, torch.tensor(stores["swa"]["theta"].values))
    assert found["swa"].averaged.shape == found["fge"].members.shape == (4, 3, members.shape[2])
    assert found["longer"].members.shape == found["sam"].members.shape == (4, 1, members.shape[2])
    starts = everyone["theta_init"].values[:4]
    assert all((store["theta_init"].values == starts).all() for store in stores.values())  # each from its own
    store = measured["methods"]
    np.testing.assert_allclose(
        store["accuracy"].sel(ensemble="longer").isel(size=0), stores["longer"]["test_score"][:2, -1], atol=1e-6
    )
    np.testing.assert_allclose(
        store["nll"].sel(ensemble="sam").isel(size=0), stores["sam"]["test_loss"][:2, -1], rtol=1e-4
    )
    np.testing.assert_allclose(
        store["average_loss"].sel(ensemble="swa", split="test"), stores["swa"]["test_loss"][:2, -1], rtol=1e-4
    )


def test_independent_solutions_are_in_one_group_each(measured, networks):
    store = measured["methods"]
    assert store["members"].values.tolist() == [[0, 2, 3], [1, 4, 5]]
    independent = networks.points[[0, 2, 3]]
    losses = networks.landscape.losses(independent, "test").double().mean()
    assert float(store["members_loss"].sel(ensemble="independent", seed=0, split="test")) == pytest.approx(
        float(losses), rel=1e-6
    )
    assert store.attrs["chance_loss"] == pytest.approx(math.log(3))
    share = relative_barrier(store).sel(ensemble="independent", split="train")
    height = store["barrier"].sel(ensemble="independent", split="train")
    loss = store["members_loss"].sel(ensemble="independent", split="train")
    np.testing.assert_allclose(share, height / (math.log(3) - loss))


def test_diverged_trainings_are_nan(mlp, stores):
    store = stores["longer"].assign(diverged=("seed", [False, True, False, False]))
    members = trained({"longer": Optima(mlp, store)}, range(4))["longer"].members
    assert members.isnan().all(2).tolist() == [[False], [True], [False], [False]]


def test_stores_describe_all_that_they_hold(measured):
    for part in measured.values():
        assert all(variable.attrs["description"] for variable in part.data_vars.values())
    trainings = methods.at_equal_budget({"epochs": 1, "sharpness_radius": 0}, ENSEMBLES.model_dump())
    assert measured["methods"]["ensemble"].values.tolist() == [*trainings, "tunnel", "connector", "independent"]
    assert measured["paths"]["path"].values.tolist() == ["tunnel", "connector", "trajectory"]
    back = measured["paths"]["along"].sel(path="trajectory").dropna("place").values
    assert (back[0], back[-1]) == (0, 12)
    connector = measured["paths"].sel(path="connector")
    assert (connector["weight_distance"].diff("place").sum("place") > 0).all()


def test_a_second_measurement_gives_the_same_numbers(measured, networks, of_methods):
    again = ensembles.measure(networks.first(4), networks, of_methods, *SECTIONS)
    assert list(again) == list(measured)
    assert all(part.identical(again[name]) for name, part in measured.items())


@pytest.fixture(scope="module")
def without_first(networks, of_methods):
    """The measurement where the base setting's first run diverged."""
    weights = networks.weights.assign(diverged=("seed", [seed == 0 for seed in range(8)]))
    lost = Optima(networks.landscape, weights)
    return ensembles.measure(lost.first(4), lost, of_methods, *SECTIONS)


def test_no_group_begins_at_a_run_that_diverged(without_first, stores):
    for part in without_first.values():
        assert part["seed"].values.tolist() == [0, 1, 2]
        assert part["diverged"].values.tolist() == [True, False, False]
    store = without_first["methods"]
    assert store["accuracy"].sel(seed=0).isnull().all()
    assert not store["group_diverged"].any()
    np.testing.assert_allclose(
        store["accuracy"].sel(ensemble="longer").isel(seed=slice(1, 3), size=0),
        stores["longer"]["test_score"][1:3, -1],
        atol=1e-6,
    )
    for table in (tidy(store), tidy_averages(store), tidy_paths(without_first["paths"])):
        assert sorted(set(table["seed"])) == [1, 2]
    found = list(claims(without_first, INTERVALS))
    assert {claim.estimate.units for claim in found if claim.rule != "gain_disagreement"} == {2}
    assert {claim.left_out for claim in found} == {0}


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
    assert "each of 2 groups" in [text.get_text() for text in figure.legends[0].get_texts()]
    for module in (plot_diversity, plot_averages):
        module.draw(without_first, INTERVALS).draw_without_rendering()


# Claims

METHODS = ["longer", "swa", "snapshots", "fge", "tunnel", "connector", "independent"]
GROUPS, EXAMPLES = 8, 60
SPREAD = {"swa": 0.01, "snapshots": 0.02, "fge": 0.03, "tunnel": 0.05, "connector": 0.06, "independent": 0.1}


def groups(disagreement, gain, barrier, average):
    """A store of methods, each number given by method, with a little noise over groups and examples."""
    draw = np.random.default_rng(0)

    def over_groups(values, *shape):
        column = np.array([values.get(name, math.nan) for name in METHODS]).reshape(-1, *[1] * (1 + len(shape)))
        return column * (1 + 0.01 * draw.standard_normal((len(METHODS), GROUPS, *shape)))

    nll = np.stack([np.full((len(METHODS), GROUPS), 1.0), 1.0 - over_groups(gain)], -1)
    both = {name: np.stack([over_groups(values)] * 2, -1) for name, values in (("b", barrier), ("a", average))}
    return xr.Dataset(
        {
            "disagreement": (("ensemble", "seed"), over_groups(disagreement)),
            "disagrees": (("ensemble", "seed", "example"), over_groups(disagreement, EXAMPLES)),
            "example_nll": (("ensemble", "seed", "example"), 1 - over_groups(gain, EXAMPLES)),
            "nll": (("ensemble", "seed", "size"), nll),
            "accuracy": (("ensemble", "seed", "size"), 2 - nll),
            "weight_cosine": (("ensemble", "seed"), np.full((len(METHODS), GROUPS), 0.5)),
            "barrier": (("ensemble", "seed", "split"), both["b"]),
            "average_loss": (("ensemble", "seed", "split"), both["a"]),
            "members_loss": (("ensemble", "seed", "split"), np.full((len(METHODS), GROUPS, 2), 0.1)),
            "members": (("seed", "member"), np.arange(2 * GROUPS).reshape(GROUPS, 2)),
            "group_diverged": (("ensemble", "seed"), np.zeros((len(METHODS), GROUPS), bool)),
            "diverged": (("seed",), np.zeros(GROUPS, bool)),
        },
        {"ensemble": METHODS, "seed": range(GROUPS), "size": [1, 2], "split": ["train", "test"]},
        {"chance_loss": 2.1},
    )


def claimed(**changes):
    given = {
        "disagreement": SPREAD,
        "gain": SPREAD,
        "barrier": dict.fromkeys(METHODS[1:], 0.02),
        "average": dict.fromkeys(METHODS[1:], 0.05),
    }
    found = claims({"methods": groups(**given | changes)}, Intervals(0.95, 300))
    return {claim.id: claim for claim in found}


def claimed_estimates(**changes):
    return {name: claim.estimate for name, claim in claimed(**changes).items()}


def test_every_claim_is_the_number_that_it_says():
    found = claimed_estimates()
    assert len(found) == 15
    assert found["diversity_snapshots"].estimate == pytest.approx(-0.08, rel=0.05)
    assert found["ensemble_nll_snapshots"].estimate == pytest.approx(0.08, rel=0.05)
    assert found["gain_disagreement"].estimate == pytest.approx(1)
    assert found["one_tunnel_fge"].estimate == pytest.approx(0.01, rel=0.05)  # 0.02 of 2.0 nats
    assert found["average_swa"].estimate == pytest.approx(math.log10(0.5), abs=0.01)
    units = {name: (one.unit, one.units) for name, one in found.items()}
    assert units["diversity_tunnel"] == units["ensemble_nll_connector"] == ("seed and example", GROUPS)
    assert units["one_tunnel_swa"] == units["average_snapshots"] == ("disjoint set", GROUPS)
    assert "one_tunnel_tunnel" not in found  # it lies around one point by construction


def test_claims_follow_what_is_otherwise():
    found = claimed_estimates(
        disagreement={**SPREAD, "snapshots": 0.2},
        gain={name: 0.2 - value for name, value in SPREAD.items()},
        barrier={**dict.fromkeys(METHODS[1:], 0.02), "fge": 0.4},
        average={**dict.fromkeys(METHODS[1:], 0.05), "swa": 0.2},
    )
    assert found["diversity_snapshots"].low > 0
    assert found["ensemble_nll_tunnel"].high < 0
    assert found["gain_disagreement"].high < 0
    assert found["one_tunnel_fge"].low > 0.1
    assert found["average_swa"].low > 0.25


def test_a_barrier_says_how_far_members_are_apart_and_a_gain_how_likelihood_has_it():
    found = claimed()
    assert found["one_tunnel_fge"].control == "members are 60.0 degrees apart, independent solutions 60"
    (likelihood,) = found["gain_disagreement"].specifications.values()
    assert likelihood.estimate == pytest.approx(1)


def test_groups_that_share_seeds_are_refused():
    store = groups(SPREAD, SPREAD, SPREAD, SPREAD)
    store["members"][1] = store["members"][0]
    with pytest.raises(ValueError, match="share a seed"):
        list(claims({"methods": store}, INTERVALS))


def test_differences_of_disjoint_groups_cover_the_truth():
    """Members have effects of their own, and a seed that leads a group has one on what a method makes of it."""
    draw, held = np.random.default_rng(5), []
    for _study in range(1000):
        effects = draw.standard_normal(44)
        sets = np.array(disjoint_groups(list(range(12)), list(range(44)), 5, 12))
        independent = effects[sets].mean(1) + 0.3 * draw.standard_normal(8)
        method = 2 + 0.8 * effects[sets[:, 0]] + 0.3 * draw.standard_normal(8)
        found = Intervals().sets(method - independent, sets)
        held.append(found.low <= 2 <= found.high)
    assert 0.93 < np.mean(held) < 0.975
