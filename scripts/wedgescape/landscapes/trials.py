"""What a user's network is tried for, on a few examples, before anything is computed with it.

A landscape is a function of the weights. So the same weights must give the same loss, whenever and with whatever they
are computed. A layer that breaks this is named.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from wedgescape.errors import InputError
from wedgescape.landscapes import models
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.tasks import blank

log = logging.getLogger("wedgescape")

TRIED = 8  # examples on which a network is tried
SMALL_MOVE, SMALL_MOVES = 1e-4, 4  # relative to the weights: rarely across a kink, and above rounding
AGREEMENT = 1e-3  # of two ways to compute a value, relative to the largest


def check_evaluation(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return a network's outputs in evaluation mode.

    Args:
        network: from `models.prepared`.
        inputs: (N, ...).

    Raises:
        InputError: if it cannot be run, or if a layer gives other outputs the second time.
    """
    outputs, seen = watched(network, inputs)
    _again, seen_again = watched(network, inputs)
    shapes: dict[str, set] = {}
    for layer, _inputs, made in seen:
        shapes.setdefault(layer, set()).update(tensor.shape[1:] for tensor in made)
    for name, layer in network.named_modules():
        if layer in models.dropouts(network) and len(shapes.get(called(name, layer), ())) > 1:
            raise InputError(f"dropout {name} is called on inputs of two shapes; give each place a dropout of its own")
    if layer := _first_to_differ(seen, seen_again):
        text = f"{layer} gives other outputs for the same inputs, also in evaluation mode"
        raise InputError(f"{text}; the loss must be a function of the weights, so take its noise out")
    return outputs


def noisy_layer(network: nn.Module, inputs: Tensor) -> str:
    """Return which layer draws random numbers in training, beside `nn.Dropout`; empty if none does.

    Args:
        network: from `models.prepared`; it is left in evaluation mode, and as it was.
        inputs: (N, ...).

    Raises:
        InputError: if a layer changes its buffers in training, or draws from elsewhere than PyTorch's generator.
    """
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.train()
    try:
        runs = []
        for seed in (0, 0, 1):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                runs.append(watched(network, inputs)[1])
        changed = [name for name, buffer in network.named_buffers() if not _equal([buffer], [before[name]])]
    finally:
        network.eval()
        for name, buffer in network.named_buffers():
            buffer.copy_(before[name])
    if changed:
        text = f"buffer {changed[0]} changes whenever the network is run in training mode"
        raise InputError(f"{text}, so the loss is no function of the weights alone; take that layer out")
    first, again, other = runs
    if layer := _first_to_differ(first, again):
        text = f"{layer} draws noise in training from elsewhere than PyTorch's generator"
        raise InputError(f"{text}, so no run could be repeated; use torch's random functions")
    return _first_to_differ(first, other)


def check_seeds(model: dict, input_shape: tuple, classes: int) -> None:
    """Make sure that a user's class begins somewhere else for each seed, and at the same place for the same one.

    Args:
        model: as `models.build` takes it.
        input_shape: of one example.
        classes: of the data.

    Raises:
        InputError: if it does not.
    """
    first, again, other = (models.flat(models.build(model, input_shape, classes, seed)) for seed in (0, 0, 1))
    place = f"model.file: {model['file']}: {model['name']}"
    if not torch.equal(first, again):
        text = f"{place} begins with other weights each time it is built with the same seed"
        raise InputError(f"{text}; draw them from PyTorch's global generator, not from numpy or a clock")
    if torch.equal(first, other):
        text = f"{place} begins with the same weights for every seed"
        raise InputError(f"{text}; take torch.manual_seed, or constant initial weights, out of it")


def check_keys(built: list[dict], input_shape: tuple, classes: int) -> None:
    """Make sure that networks which differ in one key of the config are different networks.

    Args:
        built: the study's models, as `models.build` takes them.
        input_shape: of one example.
        classes: of the data.

    Raises:
        InputError: if the user's class does not read a key that is varied.
    """
    inputs = blank(input_shape, 2)
    if inputs.is_floating_point():
        inputs = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))
    seen: list[tuple] = []
    for model in built:
        network = models.build(model, input_shape, classes)
        with torch.no_grad():
            tensors = (models.flat(network), network(inputs))
        seen.append((models.layout(network), *(tensor.numpy().tobytes() for tensor in tensors)))
        for other, what in zip(built, seen[:-1], strict=False):
            keys = [key for key in {*model, *other} if model.get(key) != other.get(key)]
            if len(keys) == 1 and what == seen[-1]:
                (key,) = keys
                text = f"model.file: {model['file']}: {model['name']} does not read {key}"
                values = f"{other.get(key)} and {model.get(key)}"
                raise InputError(f"{text}: with {values} it is the same network. Read it, or do not vary it")


def check_second_derivatives(landscape: Landscape, model: dict) -> None:
    """Make sure that products with the Hessian are there, and say how the gradient changes.

    A layer whose own `backward` cannot be differentiated often gives zeros and no error.

    Args:
        landscape: of the network, on a few examples.
        model: as `models.build` takes it.

    Raises:
        InputError: if not.
    """
    point = models.flat(landscape.module).to(landscape.device)
    moves = torch.randn(SMALL_MOVES, len(point), generator=torch.Generator().manual_seed(0)).to(point)
    near = point + SMALL_MOVE * point.norm() * moves / moves.norm(dim=1, keepdim=True)
    place = f"model.file: {model['file']}: {model['name']} has no second derivatives, which curvature needs"
    try:
        products = landscape.hvp(point, near - point)
    except Exception as error:  # a user's layers raise many kinds
        raise InputError(f"{place}: {type(error).__name__}: {error}") from error
    changes = landscape.gradients(near) - landscape.gradients(point[None])
    wrong = (products - changes).norm(dim=1) > 0.1 * changes.norm(dim=1)
    if bool(wrong.all()):  # of a few moves, one may cross the kink of a ReLU
        raise InputError(f"{place}: what PyTorch computes does not match how the gradient changes")


def check_dropout(network: nn.Module, model: dict, rates: list[float]) -> None:
    """Make sure that there is something to drop where the config says so.

    Raises:
        InputError: if the network has no `nn.Dropout` and a rate is above zero.
    """
    if any(rates) and not models.dropouts(network):
        text = f"model.file: {model['file']}: {model['name']} has no nn.Dropout layer, so dropout {max(rates):g}"
        raise InputError(f"{text} would change nothing. Add one, or leave training.dropout and its sweep at 0")


@torch.no_grad()
def watched(network: nn.Module, inputs: Tensor):
    """Return a network's outputs, and what each layer made of what: (layer, inputs, outputs), as they end.

    Args:
        network: of which nothing is changed that running it does not change.
        inputs: (N, ...).

    Raises:
        InputError: if it cannot be run; the message names the layer.
    """
    running, seen, hooks = [], [], []
    for name, layer in network.named_modules():
        words = called(name, layer)

        def begin(_layer, _given, words=words) -> None:
            running.append(words)

        def end(_layer, given, made, words=words) -> None:
            running.remove(words)
            seen.append((words, _tensors(given), _tensors(made)))

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


def called(name: str, layer: nn.Module) -> str:
    """Return what messages call a layer."""
    kind = layer._get_name()
    return f"layer {name} ({kind})" if name else f"the network ({kind})"


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


def _first_to_differ(seen: list, others: list) -> str:
    """Return the first layer that made something else of the same inputs; empty if none did."""
    for (layer, inputs, made), (_, other_inputs, other_made) in zip(seen, others, strict=False):
        if _equal(inputs, other_inputs) and not _equal(made, other_made):
            return layer
    return ""


def agree(found: Tensor, wanted: Tensor) -> bool:
    """Tell whether two ways to compute a value give the same, but for rounding."""
    scale = float(wanted.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(found, wanted, rtol=0, atol=AGREEMENT * max(scale, 1e-6), equal_nan=True)
