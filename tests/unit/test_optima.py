"""Optima: what every measurement takes, and how runs that diverged are flagged."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from wedgescape.errors import InputError
from wedgescape.landscapes.base import Landscape
from wedgescape.measurements import connectors
from wedgescape.numerics import judging
from wedgescape.stores.attributes import Origin, training_of
from wedgescape.stores.zarr_stores import write_store
from wedgescape.training.optima import Optima


@pytest.fixture
def bowl(quadratic):
    return quadratic([1.0, 2.0, 3.0], dtype=torch.float32)


def some(bowl, points, diverged=(False, True, False, False)):
    return Optima.of(bowl, points(4, 3), [2, 3, 5, 7], starts=points(4, 3, 1), diverged=diverged)


def test_optima_of_points_in_memory_are_those_points(bowl, points):
    optima = some(bowl, points)
    torch.testing.assert_close(optima.points, points(4, 3), rtol=0, atol=0)
    torch.testing.assert_close(optima.starts, points(4, 3, 1), rtol=0, atol=0)
    assert optima.seeds == [2, 3, 5, 7]
    assert optima.trajectories is None
    assert len(optima) == 4
    assert list(optima.by_seed) == [2, 3, 5, 7]
    torch.testing.assert_close(optima.by_seed[5], optima.points[2])


def test_optima_of_a_study_are_those_of_its_stores(data, weights, tmp_path):
    write_store(weights, tmp_path / "w.zarr.zip", Origin("train", settings={"here": training_of(weights.attrs)}))
    optima = Optima.open(data, [str(tmp_path / "w.zarr.zip")], "cpu")
    np.testing.assert_array_equal(optima.points.numpy(), weights["theta"])
    np.testing.assert_array_equal(optima.trajectories.numpy(), weights["trajectory"])
    assert optima.steps == weights["step"].values.tolist()
    assert optima.layout == json.loads(weights.attrs["layout"])
    assert optima.training["model"]["name"] == "mlp"
    stored = weights["train_loss"].isel(epoch=-1).values
    np.testing.assert_allclose(optima.landscape.losses(optima.points).numpy(), stored, rtol=1e-6)


def test_sound_optima_are_those_that_did_not_diverge(bowl, points):
    optima = some(bowl, points)
    assert optima.sound().seeds == [2, 5, 7]
    assert optima.first(2).seeds == [2, 3]
    assert optima.sound(3).first(2).seeds == [2, 5]
    with pytest.raises(InputError, match=r"3 of 4 runs stayed finite; this measurement needs at least 4\. Lower "):
        optima.sound(at_least=4)


def measured(seeds):
    values = {"width": (("seed",), np.arange(len(seeds), dtype=float), {"description": "a width"})}
    values["count"] = (("seed",), np.arange(len(seeds)), {"description": "a count"})
    return xr.Dataset(values, {"seed": seeds})


def test_a_measurement_keeps_runs_that_diverged_without_values(bowl, points):
    optima = some(bowl, points)
    store = optima.flagged(measured([2, 5]))
    assert store["seed"].values.tolist() == [2, 3, 5]  # those measured, and those that diverged
    assert store["diverged"].values.tolist() == [False, True, False]
    np.testing.assert_array_equal(store["width"], [0, np.nan, 1])
    assert store["count"].values.tolist() == [0, -1, 1]
    assert store["count"].dtype == np.int64
    assert store["width"].attrs["description"] == "a width"


def test_values_that_were_measured_at_runs_that_diverged_are_taken_out(bowl, points):
    store = some(bowl, points).flagged(measured([2, 3, 5, 7]))
    np.testing.assert_array_equal(store["width"], [0, np.nan, 2, 3])
    assert store["count"].values.tolist() == [0, -1, 2, 3]


def test_where_no_run_diverged_a_measurement_stays_as_it_is(bowl, points):
    store = some(bowl, points, [False] * 4).flagged(measured([2, 3, 5, 7]))
    xr.testing.assert_identical(store.drop_vars(["diverged", "unfit"]), measured([2, 3, 5, 7]))
    assert not store["diverged"].any()
    assert not store["unfit"].any()


def test_a_measurement_of_sets_is_flagged_over_all_seeds(bowl, points):
    sets = xr.Dataset({"loss": (("size",), [1.0, 2.0], {"description": "a loss"})}, {"size": [2, 3]})
    store = some(bowl, points).flagged(sets)
    assert store["seed"].values.tolist() == [2, 3, 5, 7]
    assert store["diverged"].values.tolist() == [False, True, False, False]
    assert store["loss"].values.tolist() == [1.0, 2.0]


# Fit


class Guessing(Landscape):
    """A landscape of four classes whose loss is the first coordinate."""

    dim, classes = 3, 4

    def losses(self, points, split="train"):
        return points[:, 0]


LOSSES = [0.1, 0.69, 0.70, math.log(4), 8e5, math.nan]
HUGE = 3e38  # whose square is infinite


def guessing(losses=LOSSES, far=()):
    points = torch.zeros(len(losses), 3)
    points[:, 0] = torch.tensor(losses)
    points[list(far), 1] = HUGE
    return Optima.of(Guessing(), points)


def test_a_run_fits_below_a_share_of_chance():
    """Half of ln 4 is 0.693 nats. What diverged is flagged as that, and what has an infinite norm does not fit."""
    optima = guessing()
    assert optima.chance_loss == pytest.approx(math.log(4))
    assert optima.diverged.tolist() == [False] * 5 + [True]
    assert optima.unfit.tolist() == [False, False, True, True, True, False]
    assert guessing(far=[0]).unfit.tolist() == [True, False, True, True, True, False]
    assert replace(optima, maximum_loss=0.9).unfit.tolist() == [False] * 3 + [True, True, False]
    assert optima.first(3).unfit.tolist() == [False, False, True]


def test_of_a_landscape_without_classes_nothing_is_unfit(bowl, points):
    optima = some(bowl, lambda *shape: HUGE * points(*shape))
    assert not optima.unfit.any()
    assert math.isnan(optima.chance_loss)


def test_runs_that_do_not_fit_are_flagged_and_keep_their_values():
    store = guessing().flagged(measured([0, 2, 5]))
    assert store["seed"].values.tolist() == [0, 2, 3, 4, 5]  # those measured, and all that are no optima
    assert store["unfit"].values.tolist() == [False, True, True, True, False]
    assert store["diverged"].values.tolist() == [False] * 4 + [True]
    np.testing.assert_array_equal(store["width"], [0, 1, np.nan, np.nan, np.nan])
    assert judging.fit(store).values.tolist() == [True, False, False, False, False]


def test_sets_are_drawn_from_runs_that_fit_where_there_are_enough(caplog):
    assert guessing().fit(at_least=2).seeds == [0, 1]
    assert not caplog.records
    assert guessing().fit(at_least=3).seeds == [0, 1, 2, 3, 4]
    assert "2 of 6 runs fit their training data (fit.maximum_loss); this measurement needs at least 3" in caplog.text
    with pytest.raises(InputError, match="5 of 6 runs stayed finite"):
        guessing().fit(at_least=6)


def test_only_sets_of_optima_alone_are_judged():
    store = guessing().flagged(measured([0, 1, 2, 3, 4, 5]))
    members = np.array([[0, 1, -1], [0, 1, 2], [1, 0, 5], [-1, -1, -1]])
    assert judging.only_fit(store, members).tolist() == [True, False, False, False]


def test_fit_goes_by_what_training_saw_last(data, train_small, mlp):
    weights = train_small(range(3), epochs=1)
    optima = Optima(mlp, weights, maximum_loss=0.5)
    stored = weights["train_loss"].isel(epoch=-1).values
    assert optima.chance_loss == pytest.approx(math.log(3))
    assert optima.unfit.tolist() == (stored > 0.5 * math.log(3)).tolist()
    without = Optima(mlp, weights.drop_vars("train_loss"), maximum_loss=0.5)
    assert without.unfit.tolist() == optima.unfit.tolist()


def test_sets_are_drawn_from_all_networks_and_neighbours_from_the_first(quadratic, points):
    everyone = Optima.of(quadratic(torch.ones(6), dtype=torch.float32), points(9, 6))
    search = connectors.Settings(sizes=[2], sets=4, steps=1)
    store = connectors.measure(everyone.first(4), search, everyone)
    members = store["members"].values[0]
    assert len(set(members.flatten())) == 8  # two of each of four sets that share none
    assert members.max() > 3
    assert store["neighbour_centre"].sizes["seed"] == 4
    assert not store["unfit"].any()
