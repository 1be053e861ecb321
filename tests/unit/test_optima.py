"""Optima: what every measurement takes, and how runs that diverged are flagged."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from wedgescape.errors import InputError
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
    xr.testing.assert_identical(store.drop_vars("diverged"), measured([2, 3, 5, 7]))
    assert not store["diverged"].any()


def test_a_measurement_of_sets_is_flagged_over_all_seeds(bowl, points):
    sets = xr.Dataset({"loss": (("size",), [1.0, 2.0], {"description": "a loss"})}, {"size": [2, 3]})
    store = some(bowl, points).flagged(sets)
    assert store["seed"].values.tolist() == [2, 3, 5, 7]
    assert store["diverged"].values.tolist() == [False, True, False, False]
    assert store["loss"].values.tolist() == [1.0, 2.0]
