"""What networks are trained for: the loss of an example, the score that people read, and what chance gives.

A task is chosen by `loss` in the config. Everything that is measured follows from it: thresholds are shares of the way
from an optimum's loss to chance, or fractions of an optimum's score.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor
from torch.nn import functional

from wedgescape.errors import InputError
from wedgescape.study.own_files import import_own

LOSSES = ("cross_entropy", "mse", "binary_cross_entropy")
UNITS = {"cross_entropy": "nat", "binary_cross_entropy": "nat", "mse": "variance"}


class TokenShape(tuple):
    """The shape of inputs that are whole numbers, such as the tokens of a text."""


def blank(shape: tuple, count: int) -> Tensor:
    """Return inputs (count, *shape) that are all zero."""
    return torch.zeros(count, *shape, dtype=torch.int64 if isinstance(shape, TokenShape) else torch.float32)


@dataclass(frozen=True)
class Task:
    """A loss over examples, and a score.

    Args:
        name: of the loss, for messages.
        score: accuracy, the share of labels predicted right; or R^2, 1 - mean squared error / variance of the labels.
        unit: of the loss.
        loss: (outputs (B, O), labels (B, ...)) -> loss of each example (B,).
        of_classes: whether the labels are classes, one output each, whose probabilities are a softmax.
        plain: whether the loss is the cross-entropy alone, whose derivatives are written out (`linear_stacks`).
        spreads: split -> variance of its labels, for R^2.
    """

    name: str = "cross_entropy"
    score: str = "accuracy"
    unit: str = "nat"
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    of_classes: bool = True
    plain: bool = True
    spreads: dict[str, float] = field(default_factory=dict)

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each example: outputs (B, O), labels (B, ...) -> (B,)."""
        return functional.cross_entropy(outputs, labels, reduction="none") if self.plain else self.loss(outputs, labels)

    def mean(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        return functional.cross_entropy(outputs, labels) if self.plain else self.losses(outputs, labels).mean()

    def total(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the losses of a batch."""
        if self.plain:
            return functional.cross_entropy(outputs, labels, reduction="sum")
        return self.losses(outputs, labels).sum()

    def of_many(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the losses of K networks, and the share of their labels that is predicted right; None with R^2.

        Args:
            outputs: (K, O, N).
            labels: (N, ...).

        Returns:
            (K, N) each.
        """
        if self.plain:
            target = labels.expand(len(outputs), -1)
            losses = -outputs.log_softmax(1).gather(1, target[:, None])[:, 0]
        else:
            losses = torch.stack([self.losses(one.T, labels) for one in outputs])
        if self.score != "accuracy":
            return losses, None
        if self.of_classes:
            return losses, outputs.max(1).indices == labels
        return losses, ((outputs.mT > 0) == (labels > 0)).double().mean(2)


def task_of(about: Mapping, labels: Mapping[str, Tensor], outputs: int) -> Task:
    """Return the task that a config asks for.

    Args:
        about: `loss`, `label_smoothing` and `class_weights`, as `study.losses.loss_of` returns them.
        labels: split -> (N, ...): int64 classes, or float32 numbers.
        outputs: of the network.

    Raises:
        InputError: if the labels do not fit the loss.
    """
    loss, train = about["loss"], labels["train"]
    if isinstance(loss, Mapping):
        task = function_task(_own(loss), labels, outputs, f"{loss['name']} in {loss['file']}")
        if task.score != loss["score"]:
            kind = "classes" if task.score == "accuracy" else "numbers"
            raise InputError(
                f"loss.score: found {loss['score']}; the data's labels are {kind}, so it must be {task.score}"
            )
        return task
    if loss == "mse":
        if not train.is_floating_point():
            raise InputError("loss: mse needs labels that are numbers (floating point); the data's are classes")
        return Task(loss, "R^2", UNITS[loss], _squared, False, False, _spreads(labels))
    if loss == "binary_cross_entropy":
        if any(bool(((one != 0) & (one != 1)).any()) for one in labels.values()):
            raise InputError("loss: binary_cross_entropy needs labels that are 0 or 1; the data's are not")
        return Task(loss, "accuracy", UNITS[loss], _binary, False, False)
    if train.is_floating_point():
        raise InputError("loss: cross_entropy needs labels that are classes; the data's are numbers, as for mse")
    if train.ndim > 1:
        text = f"loss: cross_entropy needs labels of shape (N,), a class each; found {train.shape[1]} an example"
        raise InputError(f"{text}, as for binary_cross_entropy")
    smoothing, weights = about["label_smoothing"], about["class_weights"]
    if not smoothing and weights is None:
        return Task()
    return Task(loss, loss=_weighted(smoothing, weights, train, outputs), plain=False)


def function_task(loss: Callable, labels: Mapping[str, Tensor], outputs: int, name: str = "the function") -> Task:
    """Return the task of a loss that is a function: (outputs (B, O), labels (B, ...)) -> the loss of each example (B,).

    Labels that are whole numbers are classes, and the score is the accuracy; of other numbers it is R^2.

    Raises:
        InputError: if the function returns something else, or something that cannot be differentiated.
    """
    of_classes = not labels["train"].is_floating_point() and labels["train"].ndim == 1
    score, spreads = ("accuracy", {}) if of_classes else ("R^2", _spreads(labels))
    task = Task(name, score, "1", loss, of_classes, False, spreads)
    _check_own(task, labels["train"], outputs)
    return task


def outputs_of(data: xr.Dataset, loss: str | Mapping = "cross_entropy") -> int:
    """Return how many outputs a network has: one for each class, or for each number that is predicted."""
    if loss != "binary_cross_entropy" and data.attrs["classes"]:
        return int(data.attrs["classes"])
    return data["labels"].shape[1] if data["labels"].ndim > 1 else 1


def inputs_of(data: xr.Dataset) -> xr.DataArray:
    """Return the inputs of a data set: images, vectors or tokens."""
    return data["images"] if "images" in data else data["inputs"]


def shape_of(data: xr.Dataset) -> tuple:
    """Return the shape of one input of a data set."""
    inputs = inputs_of(data)
    kind = tuple if json.loads(data.attrs["normalisation"]) else TokenShape
    return kind(inputs.shape[1:])


def examples_of(data: xr.Dataset) -> dict[str, tuple[Tensor, Tensor]]:
    """Return split -> (inputs (N, ...), labels (N, ...)) of a data set.

    Images and vectors are normalised, tokens are whole numbers. Labels are classes (N,), int64; or numbers, which have
    mean 0 and variance 1 over the training split.
    """
    rule, inputs = json.loads(data.attrs["normalisation"]), torch.from_numpy(inputs_of(data).values)
    if rule:
        scale, mean, std = (torch.tensor(rule[key], dtype=torch.float32) for key in ("scale", "mean", "std"))
        shape = (1, -1, *[1] * (inputs.ndim - 2))
        inputs = (inputs.float() * scale - mean.reshape(shape)) / std.reshape(shape)
    labels = torch.from_numpy(data["labels"].values)
    chosen = {name: torch.from_numpy(data["split"].values == name) for name in ("train", "test")}
    if labels.is_floating_point():
        train = labels[chosen["train"]].double()
        spread = train.std(0, correction=0)
        labels = ((labels - train.mean(0)) / torch.where(spread > 0, spread, 1)).float()
    else:
        labels = labels.long()
    return {name: (inputs[some] if rule else inputs[some].long(), labels[some]) for name, some in chosen.items()}


def _squared(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs - labels.reshape(outputs.shape)).square().mean(1)


def _binary(outputs: Tensor, labels: Tensor) -> Tensor:
    target = labels.reshape(outputs.shape).to(outputs)
    return functional.binary_cross_entropy_with_logits(outputs, target, reduction="none").mean(1)


def _weighted(smoothing: float, weights: list[float] | None, labels: Tensor, outputs: int):
    """Return the cross-entropy with label smoothing and class weights, whose mean over the training split is one."""
    if weights is not None and len(weights) != outputs:
        raise InputError(f"training.class_weights: found {len(weights)} weights; there must be one a class, {outputs}")
    shares = torch.tensor(weights or [1.0] * outputs)
    shares = shares / shares[labels].mean()

    def losses(outputs: Tensor, labels: Tensor) -> Tensor:
        plain = functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=smoothing)
        return plain * shares.to(outputs)[labels]

    return losses


def _spreads(labels: Mapping[str, Tensor]) -> dict[str, float]:
    return {split: float(one.double().var(0, correction=0).mean()) for split, one in labels.items()}


def _own(loss: Mapping) -> Callable[[Tensor, Tensor], Tensor]:
    place = f"loss.file: {loss['file']}"
    if not Path(loss["file"]).is_file():
        raise InputError(f"{place}: there is no such file in {Path.cwd()}")
    try:
        module = import_own(Path(loss["file"]))
    except Exception as error:  # whatever the user's file raises is the user's to read
        raise InputError(f"{place}: cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, loss["name"], None)
    if not callable(found):
        raise InputError(f"loss.name: {loss['file']} does not define a function {loss['name']}")
    return found


def _check_own(task: Task, labels: Tensor, outputs: int) -> None:
    """Try a user's loss on a few examples."""
    few = labels[:4]
    given = torch.zeros(len(few), outputs, requires_grad=True)
    try:
        found = task.losses(given, few)
        again = task.losses(given, few)
    except Exception as error:
        raise InputError(f"loss: {task.name} fails: {type(error).__name__}: {error}") from error
    if not isinstance(found, Tensor) or found.shape != few.shape[:1]:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"loss: {task.name} returns {shape} for {len(few)} examples. It must return the loss of each")
    if not bool(found.isfinite().all()) or not torch.equal(found, again):
        raise InputError(f"loss: {task.name} must be finite, and the same for the same outputs")
    if not found.requires_grad:
        raise InputError(f"loss: {task.name} does not depend on the outputs by PyTorch's operations")
