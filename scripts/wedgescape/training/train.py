"""Training many seeds at one setting of hyperparameters."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes import models
from wedgescape.landscapes.networks import NetworkLandscape, initial_points
from wedgescape.landscapes.operations import Case, Step, Work, evaluations
from wedgescape.stores.zarr_stores import as_json, described, in_unit
from wedgescape.study.study import seeds_in
from wedgescape.training.checkpoints import Checkpoint
from wedgescape.training.descent import Recipe, descend

STOPPED_AFTER = 0.15  # of `training.epochs`, mean over the settings of the digits
REPORT_EVERY = 3.0  # seconds between two lines of progress


CURVES = {
    "train_loss": ("mean loss on the whole training split", "nat"),
    "train_score": ("score on the whole training split", "1"),
    "test_loss": ("mean loss on the whole test split", "nat"),
    "test_score": ("score on the whole test split", "1"),
    "norm": ("Euclidean norm of the weights", "weights"),
    "distance_from_init": ("Euclidean distance from the initialisation", "weights"),
}


PREDICTIONS = {
    "log_probability": ("log of the predicted probability of the label of each test example", "nat"),
    "correct": ("whether the label of each test example is the class predicted",),
}
STOPPED = ("epoch after which the training loss was first at most the target; -1 where it never was", "epoch")


def recipe_of(training: dict, examples: int) -> Recipe:
    """Return the descent that a config's `training` section asks for; epochs become steps.

    A method (`study.methods`) may also say `plain_epochs`, the first ones, which are not sharpness-aware, and `last`:
    the `epochs`, `cycles` and `rates` (lowest, highest) of its end.
    """
    recipe = Recipe(**{key: value for key, value in training.items() if key in Recipe.__dataclass_fields__})
    per_epoch, end = recipe.steps_per_epoch(examples), training.get("last", {"epochs": 0, "cycles": 1, "rates": [1, 1]})
    return replace(
        recipe,
        warmup_steps=round(training["warmup_epochs"] * per_epoch),
        plain_steps=training.get("plain_epochs", 0) * per_epoch,
        last_steps=end["epochs"] * per_epoch,
        last_cycles=end["cycles"],
        last_rates=tuple(end["rates"]),
    )


def train(
    landscape: NetworkLandscape,
    data: xr.Dataset,
    settings: dict,
    seeds: Sequence[int],
    checkpoint: Checkpoint | None = None,
    tell: Callable[[str], None] = lambda _text: None,
) -> xr.Dataset:
    """Train networks from several seeds together and return their weights store.

    Where `average_epochs` is set, the weights are the equal average of the iterates at the ends of that many last
    epochs (Izmailov et al. 2018), and the curves' last values are those of the average; the landscape recomputes
    batch-norm statistics for it, as for any point. Where a schedule has cycles, a snapshot is taken where the rate was
    lowest last; where its end has, at the end of each of them.

    Where there is a `stop_loss`, a share of chance's, each network is that of the first epoch after which its
    training loss is at most so large. Its curves stay at that epoch's values from there on.

    Args:
        landscape: of the model on the data.
        data: the data store; its checksum is kept with the weights.
        settings: `model` and `training` of the config, complete.
        seeds: of initialisation, order of examples and dropout.
        checkpoint: where a killed run is continued from.
        tell: receives a line of progress now and then.

    Returns:
        `theta`, `theta_init`, curves over epochs, `diverged` and predictions on the test split, over seeds;
        `trajectory` where snapshots are kept; `stopped_after` where there is a `stop_loss`.
    """
    training = settings["training"]
    recipe = recipe_of(training, landscape.examples)
    per_epoch = recipe.steps_per_epoch(landscape.examples)
    epochs = training["epochs"]
    starts = initial_points(landscape, data, settings["model"], list(seeds))
    told = time.monotonic()

    def observe(step: int, points: Tensor) -> dict[str, Tensor]:
        nonlocal told
        seen = {
            f"{split}_{name}": value
            for split in ("train", "test")
            for name, value in landscape.evaluate(points, split).items()
        }
        if time.monotonic() - told > REPORT_EVERY:
            told = time.monotonic()
            tell(f"epoch {step // per_epoch} of {epochs}: median training loss {seen['train_loss'].median():.4f} nats")
        return {**seen, "norm": points.norm(dim=1), "distance_from_init": (points - starts).norm(dim=1)}

    target = training.get("stop_loss", math.nan) * landscape.chance_loss

    def stop(seen: dict[str, Tensor]) -> Tensor:
        return (seen["train_loss"] <= target) | ~seen["train_loss"].isfinite()  # what diverged does not come back

    kept = _snapshot_steps(recipe, per_epoch, epochs, training["snapshot_epochs"])
    averaged = range(epochs + 1 - (training["average_epochs"] or 0), epochs + 1)
    descent = descend(
        landscape.in_training(),
        starts,
        recipe,
        per_epoch * epochs,
        seeds,
        observe=observe,
        observe_at=range(0, per_epoch * epochs + 1, per_epoch),
        keep_at=kept,
        average_at=[per_epoch * epoch for epoch in averaged],
        checkpoint=checkpoint,
        stop=stop if "stop_loss" in training else None,
    )
    theta = descent.points
    if "stop_loss" in training:
        _stay(descent.history, descent.stopped // per_epoch, epochs)
    if descent.average is not None:
        theta = descent.average
        for name, value in observe(per_epoch * epochs, theta).items():
            descent.history[name][-1] = value.cpu()

    history = {name: described(("seed", "epoch"), values.T, *CURVES[name]) for name, values in descent.history.items()}
    final = descent.history["train_loss"][-1]
    variables = {
        "theta": described(("seed", "param"), theta.cpu(), "final weights, flat"),
        "theta_init": described(("seed", "param"), starts.cpu(), "the initialisation"),
        **history,
        "diverged": described(("seed",), descent.diverged.cpu() | ~final.isfinite(), "the run diverged"),
        **{
            name: described(("seed", "example"), values.cpu(), *PREDICTIONS[name])
            for name, values in landscape.on_examples(theta, "test").items()
        },
    }
    coordinates = {"seed": list(seeds), "epoch": range(epochs + 1), "example": range(len(landscape.splits["test"][1]))}
    if "stop_loss" in training:
        reached = torch.where(final <= target, descent.stopped // per_epoch, -1)
        variables["stopped_after"] = described(("seed",), reached, *STOPPED)
    if descent.snapshots is not None:
        variables["trajectory"] = described(
            ("seed", "step", "param"), descent.snapshots.transpose(0, 1), "weights on the way"
        )
        coordinates["step"] = kept
    attributes = {
        "layout": as_json(models.layout(landscape.module)),
        "dataset_sha256": data.attrs["sha256"],
        "chance_loss": landscape.chance_loss,
        "score": landscape.score,
    }
    return in_unit(xr.Dataset(variables, coordinates, attributes), landscape.unit)


def _stay(history: dict[str, Tensor], stopped: Tensor, epochs: int) -> None:
    """Let curves (T, K) stay at their value of the epoch after which a network was stopped, up to the last epoch."""
    seen = torch.arange(epochs + 1)[:, None]
    last = torch.where(stopped >= 0, stopped, epochs)
    for name, values in history.items():
        history[name] = values.gather(0, torch.minimum(seen, last))


def _snapshot_steps(recipe: Recipe, per_epoch: int, epochs: int, every: int | None) -> list[int]:
    """Return after how many steps snapshots are kept; with cycles, at the lowest rate before each such epoch."""
    if every is None:
        return []
    if recipe.last_steps:
        return recipe.low_points(per_epoch * epochs)
    steps = [per_epoch * epoch for epoch in sorted({*range(0, epochs, every), epochs})]
    low_points = recipe.low_points(per_epoch * epochs)
    return sorted({max([low for low in low_points if low <= step], default=step) for step in steps})


def work(case: Case) -> Work:
    """Count a training: a chunk of seeds at a setting."""
    settings = case.study.training(case.setting)["training"]
    count, recipe = len(seeds_in(case.wildcards["seeds"])), recipe_of(settings, case.data.examples["train"])
    step = Step(case.model, count, recipe.batch_size, recipe.optimizer, recipe.dropout > 0, recipe.sharpness_radius > 0)
    epochs = settings["epochs"]
    if "stop_loss" in settings:
        epochs = math.ceil(STOPPED_AFTER * case.study.config["training"]["epochs"])
    looks = epochs + 1 + bool(settings["average_epochs"])
    steps = epochs * recipe.steps_per_epoch(case.data.examples["train"])
    plain = Work({replace(step, sharpness_aware=False): recipe.plain_steps})
    total = Work({step: steps - recipe.plain_steps}) + plain + evaluations(case.model, looks * count)
    return total + evaluations(case.model, count, ["test"])
