"""The landscape of a network as a user has it: any trained module, on data in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from wedgescape.errors import InputError
from wedgescape.landscapes import models, networks, trials
from wedgescape.landscapes.strategies import Strategy, choose_device
from wedgescape.landscapes.tasks import LOSSES, Task, function_task, task_of
from wedgescape.study.losses import PLAIN

log = logging.getLogger("wedgescape")

Loss: TypeAlias = str | Callable[[Tensor, Tensor], Tensor]
PARTS = (tuple, list, Dataset, DataLoader)  # what each of two splits may be
EXAMPLE = "give data=(inputs, labels), or data={'train': (inputs, labels), 'test': (inputs, labels)}"


class NetworkLandscape(networks.NetworkLandscape):
    """Mean loss of a user's network over a split, as a function of its flat weights (P,); cross-entropy by default.

    Made by `of`. The flat vector holds the trainable parameters in the order of `module.parameters()`. Running
    statistics of batch norm are not used: for each point they are recomputed on 512 training examples.
    """

    def __init__(
        self, module: nn.Module, splits: dict, device=None, strategy: Strategy | None = None, task: Task = Task()
    ):
        super().__init__(module, splits, device, strategy, task)
        self.splits = _Splits(self.splits)

    @classmethod
    def of(
        cls,
        module: nn.Module,
        data,
        loss: Loss = "cross_entropy",
        device: str | torch.device = "cpu",
        where: models.Where = "*",
    ) -> NetworkLandscape:
        """Return the landscape of a network, of which a copy is adapted; the network itself is not changed.

        Args:
            module: maps a batch of inputs to outputs (B, O): a logit for each class, or a number for each label.
            data: (inputs, labels) of the training split; {"train": (inputs, labels), "test": (inputs, labels)}; or
                instead of a pair a PyTorch `Dataset`, or an iterable of batches (inputs, labels) such as a
                `DataLoader`. Tensors or arrays: inputs (N, ...) as the network takes them, labels (N,) whole numbers
                from 0, or (N,) or (N, T) numbers. Without a test split, its loss and score are nan.
            loss: cross_entropy, mse, or binary_cross_entropy; or a function (outputs (B, O), labels (B, ...)) -> the
                loss of each example (B,), such as `partial(cross_entropy, label_smoothing=0.1, reduction="none")`.
            device: cpu, cuda, mps, or auto.
            where: the names of the parameters that are directions: a pattern such as "head.*", or a function of a name.
                The others keep their values, so that this is the landscape of a layer or a block.

        Raises:
            InputError: if the network cannot be a landscape, or does not fit the data; the message names the layer.

        >>> import torch
        >>> import wedgescape
        >>> network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> landscape = wedgescape.NetworkLandscape.of(network, (torch.randn(50, 4), torch.arange(50) % 3))
        >>> landscape.dim
        67
        >>> points = torch.randn(2, landscape.dim)
        >>> landscape.losses(points).shape, landscape.gradients(points).shape
        (torch.Size([2]), torch.Size([2, 67]))
        """
        if not callable(loss) and loss not in LOSSES:
            raise InputError(f"loss: found {loss!r}; it must be {', '.join(LOSSES)} or a function")
        device = choose_device(device) if isinstance(device, str) else device
        splits = splits_of(data)
        network = models.adapted(module, where)
        few = splits["train"][0][: trials.TRIED]
        outputs = _check(network, few)
        labels = {name: part[1] for name, part in splits.items()}
        task = (
            function_task(loss, labels, outputs) if callable(loss) else task_of(PLAIN | {"loss": loss}, labels, outputs)
        )
        _check_labels(task, labels, outputs)
        if "test" not in splits:
            log.warning("data: there is no test split, so its losses and scores are nan")
        return cls(network, splits, device, cls.tried(network, splits, device, task), task)

    def evaluate(self, points: Tensor, split: str = "train") -> dict[str, Tensor]:
        """See `networks.NetworkLandscape.evaluate`; nan for the test split where there is none."""
        return self._unknown(len(points)) if self._lacks(split) else super().evaluate(points, split)

    def evaluate_combinations(self, vectors: Tensor, shares: Tensor, split: str = "train") -> dict[str, Tensor]:
        """See `Landscape.evaluate_combinations`; nan for the test split where there is none."""
        if self._lacks(split):
            return self._unknown(len(shares))
        return super().evaluate_combinations(vectors, shares, split)

    def _lacks(self, split: str) -> bool:
        return split == "test" and split not in self.splits

    def _unknown(self, count: int) -> dict[str, Tensor]:
        return {name: torch.full((count,), torch.nan, device=self.device) for name in ("loss", "score")}

    def of_model(self, model: dict) -> networks.NetworkLandscape:
        """Refuse: how a user's network would be built at another width is not known."""
        raise InputError("this measurement builds networks of other widths, which is possible in a study only")


class _Splits(dict):
    """Splits of examples, of which those that were not given are named."""

    def __missing__(self, name: str):
        raise InputError(f"data: there is no {name} split, which this measurement needs; {EXAMPLE}")


def splits_of(data) -> dict[str, tuple[Tensor, Tensor]]:
    """Return a user's data as split -> (inputs (N, ...), labels (N, ...) int64 or float32); see `NetworkLandscape.of`.

    Raises:
        InputError: if they have another form.
    """
    if isinstance(data, Mapping):
        given = dict(data)
    elif isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, PARTS) for part in data):
        given = {"train": data[0], "test": data[1]}
    else:
        given = {"train": data}
    if "train" not in given or not set(given) <= {"train", "test"}:
        raise InputError(f"data: found the splits {', '.join(map(str, given))}; {EXAMPLE}")
    return {name: _examples(part, name) for name, part in given.items()}


def _examples(part, split: str) -> tuple[Tensor, Tensor]:
    place = f"data: {split} split"
    try:
        if isinstance(part, Dataset):
            part = default_collate([part[number] for number in range(len(part))])
        elif _is_batches(part):
            columns = zip(*part, strict=True)
            part = [torch.cat([torch.as_tensor(one) for one in column]) for column in columns]
    except (TypeError, ValueError, RuntimeError) as error:
        text = f"{place}: the {type(part).__name__} does not yield pairs (inputs, label) of tensors of one shape"
        raise InputError(f"{text}: {error}") from error
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise InputError(f"{place}: found a {type(part).__name__}; {EXAMPLE}")
    try:
        inputs, labels = (torch.as_tensor(one).detach().cpu() for one in part)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{place}: inputs and labels must be tensors or arrays: {error}") from error
    if labels.is_complex() or labels.ndim not in (1, 2):
        found = f"{str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}"
        text = "They must be whole numbers of shape (N,), a class each, or numbers of shape (N,) or (N, T)"
        raise InputError(f"{place}: labels are {found}. {text}")
    if not len(labels) or inputs.ndim < 2 or len(inputs) != len(labels):
        text = f"{place}: found inputs of shape {tuple(inputs.shape)} and {len(labels)} labels"
        raise InputError(f"{text}. There must be as many of both, at least one, and inputs must be (N, ...)")
    if inputs.is_floating_point():
        inputs = inputs.float()
        if not bool(inputs.isfinite().all()):
            raise InputError(f"{place}: some inputs are not finite")
    return inputs, labels.float() if labels.is_floating_point() else labels.long()


def _is_batches(part) -> bool:
    """Tell whether a split is an iterable of batches, and not one pair."""
    if not isinstance(part, tuple | list):
        return isinstance(part, Iterable) and not isinstance(part, Mapping | str | Tensor | np.ndarray)
    pairs = all(isinstance(one, tuple | list) and len(one) == 2 for one in part)
    return pairs and all(isinstance(one[0], Tensor | np.ndarray) for one in part)


def _check(network: nn.Module, few: Tensor) -> int:
    """Try a network on a few inputs, also so that its dropouts see their shapes, and return how many outputs it has.

    Raises:
        InputError: if it cannot be run, gives no outputs of two axes, or gives others the second time.
    """
    outputs = trials.check_evaluation(network, few)
    found = tuple(outputs.shape) if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != len(few):
        text = f"{type(network).__name__} maps inputs of shape {tuple(few.shape)} to {found}"
        raise InputError(f"{text}. It must be ({len(few)}, outputs): one logit per class, or one number per label")
    return outputs.shape[1]


def _check_labels(task: Task, splits: Mapping[str, Tensor], outputs: int) -> None:
    """Make sure that labels are what the network's outputs can predict.

    Raises:
        InputError: if not.
    """
    for name, labels in splits.items():
        if not task.of_classes:
            numbers = labels.shape[1] if labels.ndim > 1 else 1
            if numbers != outputs and task.name in LOSSES:
                text = f"data: labels of the {name} split are {numbers} numbers an example"
                raise InputError(f"{text}; the network has {outputs} outputs, and there must be as many")
        elif int(labels.min()) < 0 or int(labels.max()) >= outputs:
            text = f"data: labels of the {name} split are {int(labels.min())} to {int(labels.max())}"
            raise InputError(f"{text}; the network has {outputs} outputs, so they must be 0 to {outputs - 1}")
