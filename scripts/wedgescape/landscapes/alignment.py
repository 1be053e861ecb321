"""Permutation alignment: hidden units of a network in the order of another's (Ainsworth, Hayase & Srinivasa 2022).

The units of a hidden layer can change places without changing what a network computes. Weight matching undoes that part
of the distance between two solutions: what is left does not depend on the order of units.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from wedgescape.errors import InputError
from wedgescape.landscapes import models
from wedgescape.numerics.randomness import stream

GAIN = 1e-9  # a permutation is taken if it raises the objective by more than this share of it, else it may be a tie

# Layers that a chain may have beside linear ones and convolutions. Each treats all units alike.
WEIGHTED = (nn.Linear, nn.Conv2d)
PER_UNIT = (models.CalibratedBatchNorm, nn.PReLU)  # a parameter for each unit
ELEMENTWISE = (
    *(nn.Identity, models.SeededDropout, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU),
    *(nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish),
)
PER_IMAGE = (
    *(nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d),
)
ALLOWED = (*WEIGHTED, *PER_UNIT, *ELEMENTWISE, *PER_IMAGE, nn.Flatten)


# Which weights belong to which units


@dataclass(frozen=True)
class Axis:
    """The axis of one parameter along which the units of a hidden layer lie.

    Args:
        offset: of the parameter in the flat vector.
        shape: (before, units, after), as which the parameter is read: what lies along its axes before and after, and
            after also the entries in a row that one unit has on the axis itself (pixels of a flattened channel).
    """

    offset: int
    shape: tuple[int, int, int]

    def of(self, vector: np.ndarray) -> np.ndarray:
        """Return the view (before, units, after) of a flat vector (P,)."""
        return vector[self.offset : self.offset + math.prod(self.shape)].reshape(self.shape)


@dataclass(frozen=True)
class HiddenLayer:
    """A hidden layer: how many units it has, and all axes along which they lie, those that lead in and out."""

    name: str
    units: int
    axes: tuple[Axis, ...]


def hidden_layers(module: nn.Module) -> list[HiddenLayer]:
    """Return the hidden layers of a chain: a network whose layers follow each other, an `nn.Sequential`.

    Args:
        module: of linear layers and convolutions, with batch norms, activations, dropouts, pooling and `nn.Flatten`
            between them, as `models.build` returns it.

    Raises:
        InputError: if the network is no chain, or does not treat the units of each layer alike.
    """
    steps = list(links(module))
    _check_links(steps)
    weighted = [place for place, (_name, layer) in enumerate(steps) if type(layer) in WEIGHTED]
    if len(weighted) < 2:
        raise InputError("alignment: the model has no hidden layer; a chain must have at least two weighted layers")
    offsets, offset = {}, 0
    for parameter in module.parameters():
        offsets[id(parameter)] = offset
        offset += parameter.numel()
    found: list[tuple[str, int, list[Axis]]] = []

    def add(name: str, parameter: Tensor | None, axis: int) -> None:
        """Units of the last hidden layer lie along this axis, each of them in as many rows as there is room for."""
        if parameter is None or not found:
            return
        shape, (_name, units, axes) = parameter.shape, found[-1]
        if shape[axis] % units:
            text = f"layer {name} has {shape[axis]} entries for the {units} units before it"
            raise InputError(f"alignment: {text}; it must have a multiple")
        axes.append(Axis(offsets[id(parameter)], (math.prod(shape[:axis]), units, math.prod(shape[axis:]) // units)))

    for place, (name, layer) in enumerate(steps[: weighted[-1] + 1]):
        if type(layer) in WEIGHTED:
            add(name, layer.weight, 1)
            if place != weighted[-1]:
                found.append((name, layer.weight.shape[0], []))
                add(name, layer.weight, 0)
                add(name, layer.bias, 0)
        elif type(layer) in PER_UNIT and layer.weight is not None and layer.weight.numel() > 1:
            add(name, layer.weight, 0)
            add(name, getattr(layer, "bias", None), 0)
    return [HiddenLayer(name, units, tuple(axes)) for name, units, axes in found]


def links(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of a chain in order, with their names."""
    if type(module).forward is not nn.Sequential.forward:
        yield name, module
        return
    for child, layer in module._modules.items():  # all, while `named_children` leaves out a layer's second
        yield from links(layer, f"{name}.{child}" if name else child)


def _check_links(steps: list[tuple[str, nn.Module]]) -> None:
    """Refuse what is no link of a chain."""
    flattened, seen = False, set()
    for name, layer in steps:
        kind = type(layer).__name__
        place = f"alignment: layer {name} ({kind})" if name else f"alignment: the model ({kind})"
        if type(layer) not in ALLOWED:  # nor a subclass, whose `forward` may be anything
            raise InputError(
                f"{place} is no link of a chain. Alignment needs an nn.Sequential of linear layers and convolutions "
                "with batch norms, activations, dropouts, pooling and nn.Flatten between them"
            )
        if type(layer) is nn.Conv2d and layer.groups != 1:
            raise InputError(f"{place} has {layer.groups} groups; it must have 1")
        if type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) != (1, -1):
            found = f"axes {layer.start_dim} to {layer.end_dim}"
            raise InputError(f"{place} flattens {found}; it must flatten all, from 1 to -1")
        if type(layer) is nn.Linear and not flattened:
            raise InputError(
                f"{place} is applied before nn.Flatten. Alignment supports linear layers only after nn.Flatten"
            )
        if layer._forward_hooks or layer._forward_pre_hooks:  # as of spectral norm
            raise InputError(f"{place} has hooks; it must be a plain layer")
        own = {id(parameter) for parameter in layer.parameters()}
        if seen & own:
            raise InputError(f"{place} shares weights with a layer before it; it must have its own")
        seen |= own
        flattened = flattened or type(layer) is nn.Flatten


# Permuting and matching


def permute(vector: np.ndarray, layers: Sequence[HiddenLayer], orders: Sequence[np.ndarray]) -> np.ndarray:
    """Return flat weights (P,) of the same function, whose unit i of each layer was unit order[i]."""
    vector = vector.copy()
    for layer, order in zip(layers, orders, strict=True):
        for axis in layer.axes:
            view = axis.of(vector)
            view[:] = view[:, order]
    return vector


def unit_products(first: np.ndarray, second: np.ndarray, layer: HiddenLayer) -> np.ndarray:
    """Return the inner products (units, units) of all weights of each unit of two networks (P,), biases included."""
    total = np.zeros((layer.units, layer.units))
    for axis in layer.axes:
        rows = [np.moveaxis(axis.of(vector), 1, 0).reshape(layer.units, -1) for vector in (first, second)]
        total += rows[0] @ rows[1].T
    return total


@dataclass(frozen=True)
class Matching:
    """What weight matching found.

    Args:
        orders: for each hidden layer, which unit of the second network takes each place.
        objective: inner products of all weights, at the beginning and after every pass.
        converged: whether the last pass changed nothing.
        reached: the objectives at which all attempts ended, the best one first.
    """

    orders: list[np.ndarray]
    objective: list[float]
    converged: bool
    reached: list[float]

    @property
    def moved(self) -> list[float]:
        """The fraction of each hidden layer's units that change their place."""
        return [float((order != np.arange(len(order))).mean()) for order in self.orders]


def match_weights(first: np.ndarray, second: np.ndarray, layers: Sequence[HiddenLayer], passes: int = 100,
                  attempts: int = 1, key: Sequence[int] = ()) -> Matching:  # fmt: skip
    """Match a network's hidden units to another's by weights (Ainsworth et al. 2022, algorithm 1).

    Seeks the permutations that maximise the inner product of the two weight vectors, and so minimise their distance.
    One layer at a time that is a linear assignment, solved exactly; layers take turns in random order until a pass
    changes none. The objective never falls, and ends in a local maximum. Which one depends on the order of layers and
    on where the search begins, so there are several attempts, and the best one by the objective is taken. The first
    begins with units in their places, the others after random permutations.

    Args:
        first: (P,), whose units keep their places.
        second: (P,), whose units are permuted.
        layers: of both.
        passes: over all layers, at most.
        attempts: how many.
        key: of the random streams.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    found = [_match_once(first, second, layers, passes, attempt, key) for attempt in range(attempts)]
    best = max(found, key=lambda one: one.objective[-1])  # the first of equally good ones
    return replace(best, reached=sorted((one.objective[-1] for one in found), reverse=True))


def _match_once(first: np.ndarray, second: np.ndarray, layers: Sequence[HiddenLayer], passes: int, attempt: int,
                key: Sequence[int]) -> Matching:  # fmt: skip
    draw = stream("alignment", *key, attempt)
    orders = [draw.permutation(layer.units) if attempt else np.arange(layer.units) for layer in layers]
    moving = permute(second, layers, orders) if attempt else second
    objective, changed = [float(first @ moving)], True
    for _pass in range(passes):
        changed = False
        for place in draw.permutation(len(layers)):
            layer = layers[place]
            products = unit_products(first, moving, layer)
            order = linear_sum_assignment(products, maximize=True)[1]
            gain = products[np.arange(layer.units), order].sum() - np.trace(products)
            if gain > GAIN * np.abs(products).sum():
                moving = permute(moving, [layer], [order])
                orders[place] = orders[place][order]
                changed = True
        objective.append(float(first @ moving))
        if not changed:
            break
    return Matching(orders, objective, not changed, objective[-1:])


def matched(
    first: Tensor, second: Tensor, layers: Sequence[HiddenLayer], passes: int, attempts: int, key: Sequence[int]
) -> tuple[Tensor, Matching]:
    """Return weights (P,) with their units matched to those of the first weights (P,), and the `Matching`."""
    weights = second.cpu().numpy()
    matching = match_weights(first.cpu().numpy(), weights, layers, passes, attempts, key)
    return torch.from_numpy(permute(weights, layers, matching.orders)).to(second), matching
