"""Methods of finding solutions: budgets that are equal to the gradient, and the schedules of the literature."""

import numpy as np
import pytest
import torch

from wedgescape.analysis.ensembles import Settings
from wedgescape.study import methods
from wedgescape.study.methods import at_equal_budget, gradient_epochs
from wedgescape.training.descent import descend
from wedgescape.training.train import recipe_of

METHODS = ["longer", "sam", "swa", "snapshots", "fge"]


@pytest.fixture
def base(weights):
    """The base setting's training, of 12 epochs."""
    from wedgescape.stores.attributes import training_of

    return training_of(weights.attrs)["training"]


def trainings(base, members=3, **changes):
    """Method -> its whole training."""
    base = base | changes
    return {name: base | found for name, found in at_equal_budget(base, Settings(members=members).model_dump()).items()}


@pytest.mark.parametrize(("members", "epochs"), [(3, 3), (5, 7), (2, 1), (4, 30), (5, 80)])
@pytest.mark.parametrize("radius", [0.0, 0.05], ids=["ordinary base", "sharpness-aware base"])
def test_budgets_are_exactly_equal(base, members, epochs, radius):
    found = trainings(base, members, epochs=epochs, sharpness_radius=radius)
    assert list(found) == METHODS
    whole = members * gradient_epochs(base | {"epochs": epochs, "sharpness_radius": radius})
    assert {name: gradient_epochs(training) for name, training in found.items()} == dict.fromkeys(METHODS, whole)


@pytest.mark.parametrize("method", METHODS)
def test_a_training_takes_as_many_gradients_as_its_budget_says(base, quadratic, method):
    """Counted where they are taken; nine epochs are odd, so that one of them is no sharpness-aware one."""
    landscape = quadratic([1.0, 2.0, 3.0], examples=61)
    training = trainings(base, epochs=3, dropout=0.0)[method]
    recipe = recipe_of(training, 61)
    per_epoch = recipe.steps_per_epoch(61)
    assert per_epoch == 4
    descend(landscape, torch.ones(1, 3, dtype=torch.float64), recipe, per_epoch * training["epochs"])
    assert sum(what[0] == "gradients" for what in landscape.asked) == 9 * per_epoch


def test_methods_change_what_they_are_known_for(base):
    base = base | {"epochs": 30}
    found = at_equal_budget(base, Settings(members=4, sharpness_radius=0.3).model_dump())
    going_on = {"epochs": 120, "snapshot_epochs": 30, "average_epochs": None}
    assert found == {
        "longer": {"epochs": 120, "snapshot_epochs": None},
        "sam": {"epochs": 60, "plain_epochs": 0, "snapshot_epochs": None, "sharpness_radius": 0.3},
        "swa": going_on | {"average_epochs": 30, "last": {"epochs": 30, "cycles": 4, "rates": [0.5, 0.5]}},
        "snapshots": going_on | {"schedule": "cyclic_cosine", "cycles": 4},
        "fge": going_on | {"last": {"epochs": 30, "cycles": 4, "rates": [0.01, 0.5]}},
    }


def rates(training, examples=160):
    """The rate of every step, as a fraction of the learning rate, and the steps of the snapshots."""
    recipe = recipe_of(training, examples)
    steps = training["epochs"] * recipe.steps_per_epoch(examples)
    return np.array([recipe.rate(step, steps) for step in range(steps)]), recipe.low_points(steps)


def test_weight_averaging_ends_at_a_constant_rate(base):
    """Izmailov et al. 2018: the usual schedule for three quarters of the budget, here 36 of 48 epochs of 10 steps."""
    found, kept = rates(trainings(base, 4, epochs=12, warmup_epochs=0.0)["swa"])
    assert len(found) == 480
    assert (found[360:] == 0.5).all()
    assert found[0] == 1
    assert (np.diff(found[:360]) <= 0).all()
    assert found.min() == 0.5  # the schedule does not fall below what follows
    assert kept == [390, 420, 450, 480]


def test_fast_geometric_ensembles_take_a_member_at_the_end_of_each_cycle_above_zero(base):
    """Garipov et al. 2018: triangles between two rates, a member where the rate is lowest."""
    found, kept = rates(trainings(base, 4, epochs=12, warmup_epochs=0.0)["fge"])
    last = found[360:].reshape(4, 30)  # a cycle a row
    for cycle in last:
        assert cycle[14] == pytest.approx(0.5)
        assert cycle[-1] == pytest.approx(0.01)
        np.testing.assert_allclose(np.diff(cycle[:15]), 0.49 / 15)
        np.testing.assert_allclose(np.diff(cycle[14:]), -0.49 / 15)
    assert kept == [390, 420, 450, 480]
    assert found.min() == pytest.approx(0.01)


def test_snapshots_are_cycles_from_the_initialisation_that_end_near_zero(base):
    """Huang et al. 2017."""
    found, kept = rates(trainings(base, 4, epochs=12, warmup_epochs=0.0)["snapshots"])
    assert kept == [120, 240, 360, 480]
    for cycle in found.reshape(4, 120):
        np.testing.assert_allclose(cycle, 0.5 * (1 + np.cos(np.pi * np.arange(120) / 120)), atol=1e-12)


def test_warm_up_comes_first_and_the_end_stays_as_it_is(base):
    found, _kept = rates(trainings(base, 4, epochs=12, warmup_epochs=2.0)["swa"])
    np.testing.assert_allclose(found[:20], (np.arange(20) + 1) / 20)
    assert found[20] == 1
    assert (found[360:] == 0.5).all()


def test_members_are_kept_at_the_ends_of_cycles(train_small, base):
    for method in ("swa", "fge"):
        store = train_small([0], **trainings(base, 3, epochs=4)[method])
        assert store["step"].values.tolist() == [40, 44, 48]  # the last quarter of 12 epochs of 4 steps, in 3 cycles
    snapshots = train_small([0], **trainings(base, 3, epochs=4)["snapshots"])
    assert snapshots["step"].values.tolist()[0] == 0
    assert len(snapshots["step"]) == 4


def test_every_method_is_listed(base):
    assert list(methods.at_equal_budget(base, Settings().model_dump())) == METHODS
