"""Training on small data: the weights store and what it promises."""

import json
import math

import numpy as np
import pytest
import torch
import xarray as xr

from wedgescape.landscapes import models
from wedgescape.landscapes.networks import initial_points
from wedgescape.measurements import training as training_curves
from wedgescape.provenance.origins import Origin
from wedgescape.stores.attributes import training_of
from wedgescape.stores.zarr_stores import open_weights, write_store
from wedgescape.study.settings import Fit
from wedgescape.training import train as training
from wedgescape.training.checkpoints import Checkpoint
from wedgescape.training.descent import descend
from wedgescape.training.optima import Optima
from wedgescape.training.train import PREDICTIONS, recipe_of, train

MLP = {"name": "mlp", "width": 8, "depth": 2}
CURVES = ["train_loss", "train_score", "test_loss", "test_score", "norm", "distance_from_init"]


# The store


def test_store_has_all_variables_with_dimensions_and_units(weights, mlp):
    dims = {name: variable.dims for name, variable in weights.data_vars.items()}
    assert dims == {
        "theta": ("seed", "param"),
        "theta_init": ("seed", "param"),
        "trajectory": ("seed", "step", "param"),
        "diverged": ("seed",),
        **{name: ("seed", "epoch") for name in CURVES},
        "log_probability": ("seed", "example"),
        "correct": ("seed", "example"),
    }
    assert dict(weights.sizes) == {"seed": 4, "param": mlp.dim, "epoch": 13, "step": 4, "example": 31}
    assert weights["seed"].values.tolist() == [0, 1, 2, 3]
    assert weights["epoch"].values.tolist() == list(range(13))
    assert weights["step"].values.tolist() == [0, 16, 32, 48]  # every fourth epoch of four steps
    assert all(variable.attrs["description"] for variable in weights.data_vars.values())
    units = {name: weights[name].attrs["units"] for name in CURVES}
    assert units == {
        "train_loss": "nat",
        "train_score": "1",
        "test_loss": "nat",
        "test_score": "1",
        "norm": "weights",
        "distance_from_init": "weights",
    }
    assert weights["theta"].dtype == np.float32
    assert weights["diverged"].values.tolist() == [False] * 4


def test_attributes_say_what_made_it(weights, mlp, data):
    assert json.loads(weights.attrs["layout"]) == models.layout(mlp.module)
    config = training_of(weights.attrs)
    assert config["model"] == MLP
    assert config["training"]["learning_rate"] == 0.1
    assert weights.attrs["dataset_sha256"] == data.attrs["sha256"]


def test_curves_begin_and_end_with_the_values_of_the_stored_weights(weights, mlp, data):
    starts = initial_points(mlp, data, MLP, range(4))
    assert torch.equal(torch.tensor(weights["theta_init"].values), starts)
    for name, epoch in (("theta_init", 0), ("theta", -1)):
        theta = torch.tensor(weights[name].values)
        for split in ("train", "test"):
            for quantity, values in mlp.evaluate(theta, split).items():
                np.testing.assert_array_equal(weights[f"{split}_{quantity}"][:, epoch], values)
        np.testing.assert_allclose(weights["norm"][:, epoch], theta.norm(dim=1), rtol=1e-6)
        distance = (theta - starts).norm(dim=1)
        np.testing.assert_allclose(weights["distance_from_init"][:, epoch], distance, rtol=1e-6)
    assert (weights["train_score"][:, -1] > 0.8).all()


def test_curves_can_be_kept_without_the_weights(weights):
    kept = training_curves.measure(weights)
    assert set(kept.variables) == {"seed", "epoch", "example", "diverged", "unfit", *PREDICTIONS, *CURVES}
    assert kept.attrs == {}
    for name in set(kept.variables) - {"unfit"}:
        xr.testing.assert_identical(kept[name].variable, weights[name].variable)


def test_training_flags_the_same_runs_as_optima_do(weights, mlp, train_small):
    for store, share in ((weights, 0.5), (train_small(range(4), epochs=1), 0.6), (weights, 1e-9)):
        kept = training_curves.measure(store, Fit(maximum_loss=share))
        assert kept["unfit"].values.tolist() == Optima(mlp, store, share).unfit.tolist()
    assert kept["unfit"].values.all()


def test_predictions_are_those_of_the_stored_weights(weights, mlp):
    theta = torch.tensor(weights["theta"].values)
    probabilities, labels = mlp.predictions(theta, "test"), mlp.splits["test"][1]
    wanted = probabilities[:, torch.arange(len(labels)), labels]
    np.testing.assert_allclose(weights["log_probability"], wanted.log(), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(weights["correct"], probabilities.argmax(2) == labels)
    np.testing.assert_allclose(-weights["log_probability"].mean("example"), weights["test_loss"][:, -1], rtol=1e-5)
    np.testing.assert_allclose(weights["correct"].mean("example"), weights["test_score"][:, -1], rtol=1e-6)


def test_the_verdicts_begin_with_a_sentence_where_the_base_setting_does_not_fit(weights, train_small):
    assert training_curves.warning(training_curves.measure(weights)) == ""
    text = training_curves.warning(training_curves.measure(weights, Fit(maximum_loss=1e-9)))
    assert text.startswith(
        "Of the 4 networks of the base setting 4 do not fit their training data (median training loss"
    )
    lost = train_small(range(3), learning_rate=1e30, clip_norm=None, warmup_epochs=0.0)
    assert "3 diverged (" in training_curves.warning(training_curves.measure(lost))


# Training to one loss


MATCHED = {"epochs": 20, "schedule": "constant", "snapshot_epochs": None, "dropout": 0.0}


def test_each_seed_stops_after_the_first_epoch_at_the_target(train_small, mlp):
    share = 0.3
    target = share * math.log(3)
    whole = train_small(range(4), **MATCHED)
    stopped = train_small(range(4), **MATCHED, stop_loss=share)
    losses = whole["train_loss"].values
    first = (losses <= target).argmax(1)
    assert stopped["stopped_after"].values.tolist() == first.tolist()
    assert len(set(first)) > 1  # so that some go on after others have stopped
    np.testing.assert_array_equal(stopped["train_loss"][:, -1], losses[range(4), first])
    at_stop = torch.tensor(stopped["theta"].values)
    np.testing.assert_array_equal(mlp.losses(at_stop), stopped["train_loss"][:, -1])
    for seed, epoch in enumerate(first):
        np.testing.assert_array_equal(stopped["train_loss"][seed, : epoch + 1], losses[seed, : epoch + 1])
        assert (stopped["norm"][seed, epoch:] == stopped["norm"][seed, epoch]).all()
    assert stopped.sizes["epoch"] == 21


def test_a_seed_that_never_reaches_the_target_is_no_optimum(train_small, mlp):
    store = train_small(range(3), **{**MATCHED, "epochs": 2}, stop_loss=1e-6)
    assert store["stopped_after"].values.tolist() == [-1] * 3
    assert training_curves.measure(store, Fit(maximum_loss=0.999))["unfit"].values.all()
    assert Optima(mlp, store, 0.999).unfit.all()
    np.testing.assert_array_equal(store["theta"], train_small(range(3), **{**MATCHED, "epochs": 2})["theta"])


def test_a_training_to_one_loss_is_the_same_alone_and_for_one_that_diverges(train_small):
    together = train_small(range(4), **MATCHED, stop_loss=0.3)
    for seed in range(4):
        alone = train_small([seed], **MATCHED, stop_loss=0.3)
        for name in ("theta", "train_loss", "stopped_after"):
            assert alone[name].values.tobytes() == together[name].sel(seed=[seed]).values.tobytes()
    lost = train_small([0], **{**MATCHED, "warmup_epochs": 0.0}, learning_rate=1e30, stop_loss=0.3)
    assert lost["diverged"].values.all()
    assert lost["stopped_after"].values.tolist() == [-1]


@pytest.mark.parametrize("writes", [9, 14, 20])
def test_an_interrupted_training_to_one_loss_ends_in_the_same_store(network, data, train_small, tmp_path, writes):
    """Before any has stopped, when some have, and when all have."""
    settings = training_of(train_small(range(4), **MATCHED, stop_loss=0.3).attrs)
    whole, left = train(network(), data, settings, range(4)), [writes]
    stops = 4 * whole["stopped_after"].values
    assert 9 < min(stops) <= 14 < max(stops) == 20

    class Dying(Checkpoint):
        def save(self, state):
            super().save(state)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(network(), data, settings, range(4), Dying(tmp_path / "run.pt", minutes=0))
    continued = train(network(), data, settings, range(4), Checkpoint(tmp_path / "run.pt", minutes=9))
    for name, variable in whole.variables.items():
        assert continued[name].values.tobytes() == variable.values.tobytes(), name


def test_snapshots_are_weights_on_the_way(weights, mlp):
    np.testing.assert_array_equal(weights["trajectory"].sel(step=0), weights["theta_init"])
    np.testing.assert_array_equal(weights["trajectory"].sel(step=48), weights["theta"])
    losses = mlp.losses(torch.tensor(weights["trajectory"].sel(step=16).values))
    np.testing.assert_array_equal(weights["train_loss"].sel(epoch=4), losses)


def test_without_snapshots_there_is_no_trajectory(train_small):
    assert "trajectory" not in train_small([0], epochs=1, snapshot_epochs=None)


def test_the_last_weights_are_kept_where_snapshots_do_not_divide_the_epochs(train_small):
    store = train_small([0], epochs=5, snapshot_epochs=2)
    assert store["step"].values.tolist() == [0, 8, 16, 20]
    assert store["epoch"].values.tolist() == [0, 1, 2, 3, 4, 5]
    assert not np.array_equal(store["trajectory"].sel(step=16), store["theta"])
    np.testing.assert_array_equal(store["trajectory"].sel(step=20), store["theta"])


def test_with_cycles_snapshots_are_taken_where_the_rate_was_lowest_last(train_small):
    """Epochs have four steps; each of the three triangles is lowest in its middle, after 6, 18 and 30 steps."""
    changes = {"epochs": 9, "snapshot_epochs": 3, "warmup_epochs": 0.0, "cycles": 3}
    assert train_small([0], schedule="triangular", **changes)["step"].values.tolist() == [0, 6, 18, 30]
    cosine = train_small([0], schedule="cyclic_cosine", **changes)
    assert cosine["step"].values.tolist() == [0, 12, 24, 36]
    np.testing.assert_array_equal(cosine["trajectory"].sel(step=36), cosine["theta"])


# Weight averaging and going on


def test_averaged_weights_are_the_mean_of_the_last_epochs_to_1e_6(train_small, mlp):
    members = train_small([0, 1], epochs=6, snapshot_epochs=1)
    averaged = train_small([0, 1], epochs=6, snapshot_epochs=1, average_epochs=3)
    np.testing.assert_array_equal(averaged["trajectory"], members["trajectory"])
    wanted = members["trajectory"].sel(step=[16, 20, 24]).mean("step")
    np.testing.assert_allclose(averaged["theta"], wanted, rtol=0, atol=1e-6)
    losses = mlp.losses(torch.tensor(averaged["theta"].values))
    np.testing.assert_array_equal(averaged["train_loss"][:, -1], losses)
    np.testing.assert_array_equal(averaged["train_loss"][:, :-1], members["train_loss"][:, :-1])


# The recipe


def test_recipe_counts_warmup_in_steps_and_keeps_the_rest(mlp, data, weights):
    settings = training_of(weights.attrs)["training"]
    recipe = recipe_of(settings, examples=61)
    assert recipe.warmup_steps == 2  # half of an epoch of four steps
    shared = set(settings) & set(vars(recipe))
    assert shared >= {"optimizer", "learning_rate", "dropout", "batch_size", "schedule", "sharpness_radius"}
    for name in shared:
        assert getattr(recipe, name) == settings[name]
    starts = initial_points(mlp, data, MLP, [2])
    ended = descend(mlp, starts, recipe, 48, seeds=[2]).points
    np.testing.assert_array_equal(ended.numpy(), weights["theta"].sel(seed=[2]))


# Divergence


def test_an_absurd_rate_is_flagged_and_kept(train_small):
    store = train_small(range(3), learning_rate=1e30, clip_norm=None, warmup_epochs=0.0)
    assert store["diverged"].values.all()
    assert not np.isfinite(store["theta"].values).all(1).any()
    assert store["train_loss"][:, -1].isnull().all()
    assert store["train_score"][:, -1].isnull().all()
    assert np.isfinite(store["train_loss"][:, 0]).all()


def test_a_loss_that_is_not_finite_is_flagged_also_where_the_weights_are(monkeypatch, train_small):
    real = training.NetworkLandscape.evaluate

    def evaluate(self, points, split="train"):
        values = real(self, points, split)
        values["loss"][1] = torch.inf
        return values

    monkeypatch.setattr(training.NetworkLandscape, "evaluate", evaluate)
    assert train_small([0, 1, 2], epochs=1)["diverged"].values.tolist() == [False, True, False]


# Chunks and interruptions


def test_two_chunkings_give_the_same_bytes(train_small, weights, tmp_path):
    chunks = []
    for seeds in ([2, 3], [0, 1]):
        chunks.append(tmp_path / f"seeds~{seeds[0]}-{seeds[1]}.zarr.zip")
        write_store(train_small(seeds, epochs=12, snapshot_epochs=4), chunks[-1], Origin("train"))
    write_store(weights, tmp_path / "whole.zarr.zip", Origin("train"))
    joined, whole = open_weights(chunks), open_weights(tmp_path / "whole.zarr.zip")
    assert set(joined.variables) == set(whole.variables)
    for name, variable in whole.variables.items():
        assert joined[name].dims == variable.dims
        assert joined[name].values.tobytes() == variable.values.tobytes(), name
    assert joined.attrs == whole.attrs


def test_a_killed_training_is_continued_to_the_same_store(network, data, train_small, tmp_path, monkeypatch):
    settings = {"model": MLP, "training": training_of(train_small([0], epochs=1).attrs)["training"]}
    settings["training"] |= {"epochs": 4, "snapshot_epochs": 1}
    whole = train(network(), data, settings, [0, 1])
    checkpoint, save, writes = Checkpoint(tmp_path / "run.pt", minutes=0), Checkpoint.save, []

    def save_and_die(self, state):
        save(self, state)
        writes.append(state["step"])
        if len(writes) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(network(), data, settings, [0, 1], checkpoint)
    continued = train(network(), data, settings, [0, 1], checkpoint)
    assert writes == list(range(1, 17))
    for name, variable in whole.variables.items():
        assert continued[name].values.tobytes() == variable.values.tobytes(), name


# Progress and reopening


def test_progress_is_told_now_and_then(network, data, weights, monkeypatch):
    settings, told = training_of(weights.attrs), []
    train(network(), data, settings, [0], tell=told.append)
    assert not told  # it took less than ten seconds
    monkeypatch.setattr(training, "REPORT_EVERY", -1.0)
    train(network(), data, settings, [0], tell=told.append)
    assert len(told) == 13
    assert told[3] == f"epoch 3 of 12: median training loss {float(weights['train_loss'][0, 3]):.4f} nats"
