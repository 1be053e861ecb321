"""Controls: the same function at other points of weight space, and what further dimensions alone would do.

Whether tunnels are wide depends on more than the function that a network computes. Three changes leave the function as
it is: more weights that do nothing, more units of the same kind, and another scale of the layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from wedgescape.errors import InputError
from wedgescape.landscapes.models import SeededDropout
from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.numerics.randomness import stream

WEIGHTED = (nn.Linear, nn.Conv2d)
# Twice the input gives twice the output.
HOMOGENEOUS = (
    *(nn.Identity, SeededDropout, nn.Flatten, nn.ReLU, nn.LeakyReLU),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d),
)
SAME = 1e-3  # nats by which the loss of a network with duplicated units may differ


# Dimension


def idle(directions: Tensor, dim: int, seeds: Sequence[int]) -> Tensor:
    """Return the part in R^P of random unit tangents of R^P', where the further P' - P weights are zero and do nothing.

    A random unit vector of R^P' that is orthogonal to an optimum lies in R^P by a share that is distributed as
    Beta((P - 1) / 2, (P' - P) / 2): a direction u (drawn in R^P) becomes sqrt(share) u. Of a wedge this is exact: P'
    dimensions of which the same ones are short.

    Args:
        directions: (K, U, P), unit vectors orthogonal to their optima (`tunnels.tangents`).
        dim: P' >= P.
        seeds: K, of the random streams.

    Returns:
        (K, U, P), shorter than 1; rays along them are `tunnels.rotate` as ever.
    """
    count, own = directions.shape[1:]
    if dim == own:
        return directions
    draws = [stream("idle weights", seed, dim).beta((own - 1) / 2, (dim - own) / 2, count) for seed in seeds]
    shares = torch.from_numpy(np.stack(draws))[:, :, None]
    return directions * shares.sqrt().to(directions)


def duplicated(points: Tensor, shapes: Sequence[torch.Size], wider: Sequence[torch.Size]) -> Tensor:
    """Return the points of a wider network whose every unit is a copy: the same function, loss and norm.

    A weight that becomes n weights is divided by sqrt(n) in each, so that the norm of every layer stays, and random
    directions look the same from within. Between layers of positively homogeneous units the factors cancel: with k
    copies of each unit, a layer's units are sqrt(k) times smaller, and the next layer adds up k of them.

    Args:
        points: (K, P).
        shapes: of the network's parameters, in order.
        wider: of the wider network's, multiples in every axis.

    Returns:
        (K, P').

    Raises:
        InputError: if the wider network is no multiple.
    """
    parts, first = [], 0
    for shape, wanted in zip(shapes, wider, strict=True):
        size = math.prod(shape)
        part = points[:, first : first + size].reshape(-1, *shape)
        first += size
        if len(shape) != len(wanted) or any(new % old for old, new in zip(shape, wanted, strict=True)):
            raise InputError(f"units cannot be duplicated: parameters {tuple(shape)} would become {tuple(wanted)}")
        for axis, (old, new) in enumerate(zip(shape, wanted, strict=True), start=1):
            part = part.repeat_interleave(new // old, axis)
        parts.append(part.reshape(len(part), -1) / math.sqrt(math.prod(wanted) / size))
    return torch.cat(parts, 1)


def with_duplicated_units(landscape: NetworkLandscape, points: Tensor, model: dict) -> tuple[NetworkLandscape, Tensor]:
    """Return the landscape of a wider model, and there the points whose units are copies of those of points (K, P).

    Args:
        landscape: of the network.
        points: (K, P).
        model: the wider one, as `models.build` takes it.

    Raises:
        InputError: if the model is no multiple of the network, or its copies do not compute the same.
    """
    wider = landscape.of_model(model)
    if len(wider.shapes) != len(landscape.shapes):
        raise InputError("units cannot be duplicated: the wider network has other layers")
    copies = duplicated(points, landscape.shapes, wider.shapes)
    change = (wider.losses(copies) - landscape.losses(points)).abs()
    if not bool((change <= SAME).all()):
        raise InputError(f"units cannot be duplicated: the loss changes by up to {float(change.max()):.2g} nats")
    return wider, copies


# Scale


def balanced(module: nn.Module, points: Tensor) -> Tensor:
    """Return points of the same function whose layers have weights of equal norm.

    A positively homogeneous network computes the same if one layer is multiplied and another divided. Layer l is
    multiplied by c_l = g / |W_l|, where g is the geometric mean of the norms of all weight matrices, so that the
    product of all factors is 1; its bias by c_1 ... c_l.

    Args:
        module: a chain of linear layers and convolutions with positively homogeneous activations between them.
        points: (K, P).

    Raises:
        InputError: if the network is no such chain, with the reason.
    """
    layers = [layer for layer in _homogeneous(module) if type(layer) in WEIGHTED]
    offsets, first = {}, 0
    for parameter in module.parameters():
        offsets[id(parameter)] = slice(first, first + parameter.numel())
        first += parameter.numel()
    weights = [offsets[id(layer.weight)] for layer in layers]
    norms = torch.stack([points[:, part].double().norm(dim=1) for part in weights])  # (layer, K)
    factors = norms.log().mean(0).exp() / norms
    found = points.clone()
    for layer, part, factor, product in zip(layers, weights, factors, factors.cumprod(0), strict=True):
        found[:, part] *= factor[:, None].to(points)
        if layer.bias is not None:
            found[:, offsets[id(layer.bias)]] *= product[:, None].to(points)
    return found


def _homogeneous(module: nn.Module) -> list[nn.Module]:
    """Return the layers of a chain of positively homogeneous layers; refuse any other network."""
    found, seen = [], set()
    for name, layer in _links(module):
        kind = type(layer)
        if kind not in (*WEIGHTED, *HOMOGENEOUS):
            raise InputError(
                f"layers cannot be balanced: {name or 'the model'} ({kind.__name__}) is no positively homogeneous "
                "link of a chain"
            )
        own = {id(parameter) for parameter in layer.parameters()}
        if seen & own or layer._forward_hooks or layer._forward_pre_hooks:
            raise InputError(f"layers cannot be balanced: {name} ({kind.__name__}) has hooks or shares weights")
        seen |= own
        found.append(layer)
    return found


def _links(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of a chain in order, with their names."""
    if type(module).forward is not nn.Sequential.forward:
        yield name, module
        return
    for child, layer in module._modules.items():  # all, while `named_children` leaves out a layer's second
        yield from _links(layer, f"{name}.{child}" if name else child)
