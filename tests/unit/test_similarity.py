"""Similarity: exact answers for few examples, SciPy's divergence, and the seeds of a small network."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine, jensenshannon

from wedgescape.landscapes.lines import barrier_along
from wedgescape.measurements import similarity
from wedgescape.measurements.similarity import (
    COMPARISONS,
    FUNCTIONS,
    Settings,
    disagreement,
    jensen_shannon,
    measure,
    probability_cosine,
    weight_cosine,
    weight_distance,
)
from wedgescape.training.optima import Optima

ITSELF = {name: float(name.endswith("cosine")) for name in COMPARISONS}
PAIRS = [(0, 1), (0, 2), (1, 2)]


@pytest.fixture
def probabilities(points):
    """Of three members (3, 40, 5), float64."""
    return (2 * points(120, 5, dtype=torch.float64)).softmax(1).unflatten(0, (3, 40))


@pytest.fixture(params=COMPARISONS)
def compared(request, probabilities, points):
    """A comparison's name, itself, and three members that it compares."""
    members = probabilities if request.param in FUNCTIONS else points(3, 50)
    return request.param, COMPARISONS[request.param], members


# Matrices


def test_a_matrix_is_exactly_symmetric_and_exact_on_its_diagonal(compared):
    name, compare, members = compared
    matrix = compare(members.float())
    assert matrix.dtype == torch.float64
    assert torch.equal(matrix, matrix.T)
    assert torch.equal(matrix.diagonal(), torch.full((3,), ITSELF[name], dtype=torch.float64))
    assert len({round(float(matrix[pair]), 9) for pair in PAIRS}) == 3


def test_identical_members_are_alike(compared):
    name, compare, members = compared
    matrix = compare(members[:1].expand(3, *members.shape[1:]))
    torch.testing.assert_close(matrix, torch.full((3, 3), ITSELF[name], dtype=torch.float64), rtol=0, atol=1e-12)


def test_memory_is_bounded_and_parts_change_nothing(compared, monkeypatch):
    _name, compare, members = compared
    whole = compare(members)
    monkeypatch.setattr(similarity, "NUMBERS_AT_ONCE", 11)
    largest = max(part.numel() for part in similarity._parts(members[0]))
    assert largest <= 11
    torch.testing.assert_close(compare(members), whole, rtol=1e-12, atol=1e-12)


def test_a_member_of_nan_is_like_no_other(compared):
    _name, compare, members = compared
    lost = members.clone()
    lost[1].view(-1)[3] = math.nan
    matrix = compare(lost)
    assert matrix[1].isnan().all()
    assert matrix[:, 1].isnan().all()
    rest = torch.tensor([0, 2])
    torch.testing.assert_close(matrix[rest][:, rest], compare(members)[rest][:, rest])


def test_one_member_is_compared_with_itself(compared):
    name, compare, members = compared
    assert compare(members[:1]).tolist() == [[ITSELF[name]]]


# Exact answers


def test_two_classes_by_hand():
    members = torch.tensor([[[1.0, 0.0], [0.6, 0.4]], [[0.0, 1.0], [0.8, 0.2]]])
    assert disagreement(members)[0, 1] == 0.5
    cosines = (0, (0.6 * 0.8 + 0.4 * 0.2) / math.sqrt(0.52 * 0.68))
    assert float(probability_cosine(members)[0, 1]) == pytest.approx(sum(cosines) / 2, abs=1e-7)
    entropy = [-sum(p * math.log(p) for p in (q, 1 - q)) for q in (0.6, 0.8, 0.7)]
    wanted = (math.log(2) + entropy[2] - (entropy[0] + entropy[1]) / 2) / 2
    assert float(jensen_shannon(members)[0, 1]) == pytest.approx(wanted, abs=1e-7)


def test_divergence_is_scipys(probabilities):
    matrix = jensen_shannon(probabilities)
    for first, second in PAIRS:
        p, q = probabilities[first].numpy(), probabilities[second].numpy()
        assert float(matrix[first, second]) == pytest.approx((jensenshannon(p, q, axis=1) ** 2).mean(), rel=1e-10)


def test_divergence_reaches_ln_2_for_certain_and_different_predictions():
    certain = torch.eye(4)[torch.tensor([[0, 1, 2], [3, 2, 1]])]
    assert float(jensen_shannon(certain)[0, 1]) == pytest.approx(math.log(2), rel=1e-12)
    assert float(jensen_shannon(certain)[0, 1]) <= math.log(2)


def test_cosines_are_scipys(probabilities, points):
    members = points(3, 30, dtype=torch.float64)
    for first, second in PAIRS:
        pairs = zip(probabilities[first].numpy(), probabilities[second].numpy(), strict=True)
        wanted = np.mean([1 - cosine(p, q) for p, q in pairs])
        assert float(probability_cosine(probabilities)[first, second]) == pytest.approx(wanted, rel=1e-10)
        wanted = 1 - cosine(members[first].numpy(), members[second].numpy())
        assert float(weight_cosine(members)[first, second]) == pytest.approx(wanted, rel=1e-10)


def test_weights_by_hand():
    members = torch.tensor([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [-6.0, 0.0, 0.0]])
    torch.testing.assert_close(weight_cosine(members)[0], torch.tensor([1.0, 0, -1]).double())
    torch.testing.assert_close(weight_distance(members)[0], torch.tensor([0.0, 5, 9]).double())


def test_the_distance_of_near_neighbours_survives_rounding():
    far = torch.full((2, 100), 1000.0, dtype=torch.float64)
    far[1, 0] += 1e-6
    assert float(weight_distance(far)[0, 1]) == pytest.approx(1e-6, rel=1e-4)


# At one setting


@pytest.fixture
def points_of_seeds(weights):
    return torch.tensor(weights["theta"].values)


def at_one_setting(landscape, points, seeds, diverged, positions):
    settings = Settings(neighbours=1, points=positions)
    return measure(Optima.of(landscape, points, seeds, diverged=diverged), settings)


def test_measure_compares_the_seeds_of_a_network(mlp, points_of_seeds):
    optima = points_of_seeds
    store = at_one_setting(mlp, optima, [0, 1, 2, 3], [False] * 4, 11)
    predicted = mlp.predictions(optima, "test")
    for name, compare in COMPARISONS.items():
        wanted = compare(predicted if name in FUNCTIONS else optima)
        np.testing.assert_array_equal(store[name], wanted)
        assert store[name].dims == ("seed", "other")
    for split in ("train", "test"):
        values = mlp.evaluate(optima, split)
        part = store.sel(split=split)
        np.testing.assert_allclose(part["loss"], values["loss"])
        np.testing.assert_allclose(part["error"], 1 - values["score"], atol=1e-7)
        pairs = np.array([[0, 1], [0, 3], [1, 2], [2, 3]])  # each with its neighbours in a circle
        lines = barrier_along(mlp, optima[pairs[:, 0]], optima[pairs[:, 1]], 11, split)
        np.testing.assert_array_equal(store["members"], pairs)
        np.testing.assert_allclose(part["pair_barrier"], lines)
        np.testing.assert_allclose(part["barrier"], [lines[(pairs == seed).any(1)].mean() for seed in range(4)])
    assert store["pair"].values.tolist() == ["0-1", "0-3", "1-2", "2-3"]
    assert (store["barrier"].sel(split="train") > 0.05).all()
    assert 0 < float(store["jensen_shannon"].values[0, 1]) < math.log(2)
    assert all(variable.attrs["description"] for variable in store.data_vars.values())


def test_diverged_runs_are_kept_flagged_and_in_no_pair(mlp, points_of_seeds):
    optima = points_of_seeds
    lost = optima.clone()
    lost[1] = math.nan
    store = at_one_setting(mlp, lost, [4, 5, 6, 7], [False, True, False, False], 7)
    whole = at_one_setting(mlp, optima[[0, 2, 3]], [4, 6, 7], [False] * 3, 7)
    assert store["diverged"].values.tolist() == [False, True, False, False]
    assert store["members"].values.tolist() == [[4, 6], [4, 7], [6, 7]]
    np.testing.assert_array_equal(store["pair_barrier"], whole["pair_barrier"])
    for name in ("barrier", "loss", "error", *COMPARISONS):
        assert store[name].sel(seed=5).isnull().all()
        kept = store[name].sel(seed=[4, 6, 7])
        np.testing.assert_array_equal(kept.sel(other=[4, 6, 7]) if "other" in kept.dims else kept, whole[name])


@pytest.mark.parametrize("sound", [0, 1])
def test_too_few_sound_runs_leave_no_pair(mlp, points_of_seeds, sound):
    store = at_one_setting(mlp, points_of_seeds, range(4), [k >= sound for k in range(4)], 7)
    assert store["barrier"].isnull().all()
    assert store.sizes["pair"] == 0
    assert int(store["disagreement"].notnull().sum()) == sound
    assert int(store["loss"].notnull().sum()) == 2 * sound
