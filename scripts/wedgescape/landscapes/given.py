"""The landscape of a network as a user has it: any trained module, on data in memory."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset, default_collate

from wedgescape.errors import InputError
from wedgescape.landscapes import models, networks
from wedgescape.landscapes.base import Batch
from wedgescape.landscapes.networks import PLAIN, Strategy, choose_device, choose_strategy

log = logging.getLogger("wedgescape")

LOSSES = ("cross_entropy",)
TRIED = 8  # examples on which a network is tried
AGREEMENT = 1e-3  # of two ways to compute a value, relative to the largest
PARTS = (tuple, list, Dataset, DataLoader)  # what a split may be
EXAMPLE = "give data=(inputs, labels), or data={'train': (inputs, labels), 'test': (inputs, labels)}"


class NetworkLandscape(networks.NetworkLandscape):
    """Mean cross-entropy (nats) of a user's network over a split, as a function of its flat weights (P,).

    Made by `of`. The flat vector holds the trainable parameters in the order of `module.parameters()`. Running
    statistics of batch norm are not used: for each point they are recomputed on 512 training examples.
    """

    def __init__(self, module: nn.Module, splits: dict, device=None, strategy: Strategy | None = None):
        super().__init__(module, splits, device, strategy)
        self.splits = _Splits(self.splits)

    @classmethod
    def of(
        cls, module: nn.Module, data, loss: str = "cross_entropy", device: str | torch.device = "cpu"
    ) -> NetworkLandscape:
        """Return the landscape of a network, of which a copy is adapted; the network itself is not changed.

        Args:
            module: maps a batch of inputs to logits (B, classes).
            data: (inputs, labels) of the training split; {"train": (inputs, labels), "test": (inputs, labels)}; or
                instead of a pair a PyTorch `Dataset` or `DataLoader`. Tensors or arrays: inputs (N, ...) as the network
                takes them, labels (N,) whole numbers from 0. Without a test split, its loss and accuracy are nan.
            loss: cross_entropy; there is no other yet.
            device: cpu, cuda, mps, or auto.

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
        if loss not in LOSSES:
            raise InputError(f"loss: found {loss!r}; the only loss so far is 'cross_entropy'")
        device = choose_device(device) if isinstance(device, str) else device
        splits = splits_of(data)
        network = models.adapted(module)
        few = splits["train"][0][:TRIED]
        _check(network, few, splits)
        tried = {"train": (few, splits["train"][1][:TRIED])}
        if "test" not in splits:
            log.warning("data: there is no test split, so its losses and accuracies are nan")
        return cls(network, splits, device, cls._strategy(network, tried, device))

    @classmethod
    def _strategy(cls, network: nn.Module, splits: dict, device: torch.device) -> Strategy:
        """Return the fast way to compute a network, if it computes the same as the plain one; otherwise the plain one.

        Raises:
            InputError: if the network cannot be differentiated.
        """
        weights = models.flat(network).nan_to_num(0, 0, 0).to(device)
        points = torch.stack([weights, 0.9 * weights])
        count = len(splits["train"][1])
        batch = Batch(torch.arange(count, device=device).expand(2, -1), [], torch.zeros(2))

        def values(strategy: Strategy) -> list[Tensor]:
            one = cls(copy.deepcopy(network), splits, device, strategy)
            return [one.losses(points), one.gradients(points), one.gradients(points, batch)]

        def product(strategy: Strategy) -> Tensor:
            return cls(copy.deepcopy(network), splits, device, strategy).hvp(weights, weights[None])

        try:
            wanted = values(PLAIN)
        except Exception as error:  # a user's layers raise many kinds
            text = f"{type(network).__name__} cannot be differentiated with respect to its weights"
            raise InputError(f"{text}: {type(error).__name__}: {error}") from error
        ways = [values]
        try:
            product(PLAIN)
            ways.append(lambda strategy: [product(strategy)])
            wanted.append(product(PLAIN))
        except Exception as error:
            log.warning("The network has no Hessian-vector products (%s: %s)", type(error).__name__, error)
        fast = choose_strategy(device, network)
        if splits["train"][0].ndim != 4:  # channels_last is a format of images
            fast = replace(fast, memory_format=torch.contiguous_format, rewritten=False)
        try:
            found = [value for way in ways for value in way(fast)]
        except Exception as error:
            log.info("One network after another is computed, since together they cannot be (%s)", error)
            return PLAIN
        if all(map(_agree, found, wanted)):
            return fast
        log.info("One network after another is computed, since together they come out differently")
        return PLAIN

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
        return {name: torch.full((count,), torch.nan, device=self.device) for name in ("loss", "accuracy")}

    def _products(self, point: Tensor, part: slice):
        with sdpa_kernel(SDPBackend.MATH):  # no other kernel of attention has second derivatives
            return super()._products(point, part)

    def of_model(self, model: dict) -> networks.NetworkLandscape:
        """Refuse: how a user's network would be built at another width is not known."""
        raise InputError("this measurement builds networks of other widths, which is possible in a study only")


class _Splits(dict):
    """Splits of examples, of which those that were not given are named."""

    def __missing__(self, name: str):
        raise InputError(f"data: there is no {name} split, which this measurement needs; {EXAMPLE}")


def splits_of(data) -> dict[str, tuple[Tensor, Tensor]]:
    """Return a user's data as split -> (inputs (N, ...), labels (N,) int64); see `NetworkLandscape.of`.

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
        if isinstance(part, DataLoader):
            part = [torch.cat(column) for column in zip(*part, strict=True)]
        elif isinstance(part, Dataset):
            part = default_collate([part[number] for number in range(len(part))])
    except (TypeError, ValueError, RuntimeError) as error:
        text = f"{place}: the {type(part).__name__} does not yield pairs (inputs, label) of tensors of one shape"
        raise InputError(f"{text}: {error}") from error
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise InputError(f"{place}: found a {type(part).__name__}; {EXAMPLE}")
    try:
        inputs, labels = (torch.as_tensor(one).detach().cpu() for one in part)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{place}: inputs and labels must be tensors or arrays: {error}") from error
    if labels.is_floating_point() or labels.is_complex() or labels.ndim != 1:
        found = f"{str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}"
        raise InputError(f"{place}: labels are {found}. They must be whole numbers of shape (N,), a class each")
    if not len(labels) or inputs.ndim < 2 or len(inputs) != len(labels):
        text = f"{place}: found inputs of shape {tuple(inputs.shape)} and {len(labels)} labels"
        raise InputError(f"{text}. There must be as many of both, at least one, and inputs must be (N, ...)")
    if inputs.is_floating_point():
        inputs = inputs.float()
        if not bool(inputs.isfinite().all()):
            raise InputError(f"{place}: some inputs are not finite")
    return inputs, labels.long()


def _check(network: nn.Module, few: Tensor, splits: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Try a network on a few inputs, also so that its dropouts see their shapes.

    Raises:
        InputError: if it cannot be run, gives no logits, gives others the second time, or has too few for the labels.
    """
    outputs, seen = _watched(network, few)
    _again, seen_again = _watched(network, few)
    for (layer, inputs, made), (_, inputs_again, made_again) in zip(seen, seen_again, strict=False):
        if _equal(inputs, inputs_again) and not _equal(made, made_again):
            text = f"{layer} gives other outputs for the same inputs, also in evaluation mode"
            raise InputError(f"{text}; the loss must be a function of the weights, so take its noise out")
    found = tuple(outputs.shape) if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != len(few):
        text = f"{type(network).__name__} maps inputs of shape {tuple(few.shape)} to {found}"
        raise InputError(f"{text}. It must be ({len(few)}, classes): one logit per class")
    for name, (_inputs, labels) in splits.items():
        if int(labels.min()) < 0 or int(labels.max()) >= outputs.shape[1]:
            text = f"data: labels of the {name} split are {int(labels.min())} to {int(labels.max())}"
            classes = outputs.shape[1]
            raise InputError(f"{text}; the network has {classes} outputs, so they must be 0 to {classes - 1}")


@torch.no_grad()
def _watched(network: nn.Module, inputs: Tensor):
    """Return a network's outputs, and what each layer made of what: (layer, inputs, outputs), as they end.

    Raises:
        InputError: if it cannot be run; the message names the layer.
    """
    running, seen, hooks = [], [], []
    for name, layer in network.named_modules():
        kind = layer._get_name()
        called = f"layer {name} ({kind})" if name else f"the network ({kind})"

        def begin(_layer, _given, called=called) -> None:
            running.append(called)

        def end(_layer, given, made, called=called) -> None:
            running.remove(called)
            seen.append((called, _tensors(given), _tensors(made)))

        hooks += [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]
    try:
        return network(inputs), seen
    except Exception as error:  # a user's layers raise many kinds
        where = running[-1] if running else "the network"
        text = f"{where} cannot be run on inputs of shape {tuple(inputs.shape)} and type {inputs.dtype}"
        raise InputError(f"{text}: {type(error).__name__}: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(value) -> list[Tensor]:
    """Return copies of the tensors in a layer's inputs or outputs; a later layer may change them in place."""
    if isinstance(value, Tensor):
        return [value.clone()]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(
        one.shape == other.shape and np.array_equal(one.numpy(), other.numpy(), equal_nan=one.is_floating_point())
        for one, other in zip(some, others, strict=True)
    )


def _agree(found: Tensor, wanted: Tensor) -> bool:
    """Tell whether two ways to compute a value give the same, but for rounding."""
    scale = float(wanted.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(found, wanted, rtol=0, atol=AGREEMENT * max(scale, 1e-6), equal_nan=True)
