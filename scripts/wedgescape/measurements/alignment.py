"""Permutation alignment: hidden units of a network in the order of another's (Ainsworth, Hayase & Srinivasa 2022).

The units of a hidden layer can change places without changing what a network computes. Weight matching undoes what of
the distance between two solutions comes from that: what is left between them is not a matter of names.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from wedgescape.errors import InputError
from wedgescape.landscapes import models
from wedgescape.landscapes.base import SPLITS
from wedgescape.landscapes.lines import barrier, interpolate
from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.measurements import connectors
from wedgescape.measurements.curves import draw_pairs
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import as_rows, described

STAGES = ("before", "after")  # alignment
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
    steps = list(_steps(module))
    _check_links(steps)
    weighted = [place for place, (_name, layer) in enumerate(steps) if type(layer) in WEIGHTED]
    if len(weighted) < 2:
        raise InputError("alignment: the model has no hidden layer; allowed are chains of two or more weighted layers")
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
            raise InputError(f"alignment: {text}; allowed is a multiple")
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


def _steps(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of a chain in order, with their names."""
    if type(module).forward is not nn.Sequential.forward:
        yield name, module
        return
    for child, layer in module._modules.items():  # all, while `named_children` leaves out a layer's second
        yield from _steps(layer, f"{name}.{child}" if name else child)


def _check_links(steps: list[tuple[str, nn.Module]]) -> None:
    """Refuse what is no link of a chain."""
    flattened, seen = False, set()
    for name, layer in steps:
        kind = type(layer).__name__
        place = f"alignment: layer {name} ({kind})" if name else f"alignment: the model ({kind})"
        if type(layer) not in ALLOWED:  # nor a subclass, whose `forward` may be anything
            raise InputError(
                f"{place} is no link of a chain; allowed is an nn.Sequential of linear layers and convolutions "
                "with batch norms, activations, dropouts, pooling and nn.Flatten between them"
            )
        if type(layer) is nn.Conv2d and layer.groups != 1:
            raise InputError(f"{place} has {layer.groups} groups; allowed is 1")
        if type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) != (1, -1):
            found = f"axes {layer.start_dim} to {layer.end_dim}"
            raise InputError(f"{place} flattens {found}; allowed is all, from 1 to -1")
        if type(layer) is nn.Linear and not flattened:
            raise InputError(f"{place} reads the last axis of images; allowed is behind nn.Flatten")
        if layer._forward_hooks or layer._forward_pre_hooks:  # as of spectral norm
            raise InputError(f"{place} has hooks; allowed is a plain layer")
        own = {id(parameter) for parameter in layer.parameters()}
        if seen & own:
            raise InputError(f"{place} shares weights with a layer before it; allowed are weights of its own")
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
    """

    orders: list[np.ndarray]
    objective: list[float]
    converged: bool

    @property
    def moved(self) -> list[float]:
        """The fraction of each hidden layer's units that change their place."""
        return [float((order != np.arange(len(order))).mean()) for order in self.orders]


def match_weights(first: np.ndarray, second: np.ndarray, layers: Sequence[HiddenLayer], passes: int = 100,
                  key: Sequence[int] = ()) -> Matching:  # fmt: skip
    """Match a network's hidden units to another's by weights (Ainsworth et al. 2022, algorithm 1).

    Seeks the permutations that maximise the inner product of the two weight vectors, and so minimise their distance.
    One layer at a time that is a linear assignment, solved exactly; layers take turns in random order until a pass
    changes none. The objective never falls, and ends in a local maximum.

    Args:
        first: (P,), whose units keep their places.
        second: (P,), whose units are permuted.
        layers: of both.
        passes: over all layers, at most.
        key: of the random stream of the order.
    """
    first, moving = first.astype(np.float64), second.astype(np.float64)
    orders = [np.arange(layer.units) for layer in layers]
    draw = stream("alignment", *key)
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
    return Matching(orders, objective, not changed)


# At one point of the grid


def measure(landscape: NetworkLandscape, optima: dict[int, Tensor], pairs: int, points: int, passes: int) -> xr.Dataset:
    """Measure the straight lines between optima before and after alignment (our definition).

    A pair is one seed's optimum and another's, as it is or with its units matched to the first one's. The barrier is
    the largest excess of the loss over the chord between the ends' losses (`lines.barrier`).

    Args:
        landscape: of a network.
        optima: seed -> (P,), of runs that did not diverge.
        pairs: random pairs of optima, which share as few as can be (`curves.draw_pairs`).
        points: on each straight line, ends included.
        passes: of matching, at most.

    Returns:
        A dataset over (alignment, pair, …); one that says why (`left_out`) where the network is no chain
        or there is no pair.
    """
    try:
        layers = hidden_layers(landscape.module)
    except InputError as error:
        return left_out(error)
    chosen = draw_pairs(list(optima), pairs)
    if not chosen:
        return left_out(f"{len(optima)} runs stayed finite, and a pair needs 2")
    starts, before = (torch.stack([optima[pair[end]] for pair in chosen]) for end in (0, 1))
    matchings = [_match(optima[first], optima[second], layers, passes, (first, second)) for first, second in chosen]
    after = torch.stack([aligned for aligned, _matching in matchings])
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    values: dict[str, list[Tensor]] = {"loss": [], "accuracy": []}
    for ends, split in itertools.product((before, after), SPLITS):
        seen = interpolate(landscape, starts, ends, t, split)
        for name, rows in values.items():
            rows.append(seen[name].cpu())
    shape = (len(STAGES), len(SPLITS), len(chosen), points)
    loss, accuracy = (torch.stack(rows).reshape(shape).transpose(1, 2).numpy() for rows in values.values())
    first, second = starts.cpu().double(), torch.stack([before, after]).cpu().double()  # (pair, P), (stage, pair, P)
    distance, cosine = (second - first).norm(dim=2), torch.cosine_similarity(second, first, dim=2)
    found = [matching for _aligned, matching in matchings]
    dims, text = ("alignment", "pair", "split", "t"), "largest excess of the loss over the chord on the straight line"
    variables = {
        "loss": described(dims, loss, "mean cross-entropy at place t of the straight line", "nat"),
        "accuracy": described(dims, accuracy, "accuracy at place t of the straight line", "1"),
        "barrier": described(dims[:3], barrier(loss.astype(np.float64)), text, "nat"),
        "distance": described(dims[:2], distance, "Euclidean distance between the two optima", "weights"),
        "cosine": described(dims[:2], cosine, "cosine of the angle between the two optima, seen from the origin", "1"),
        "moved": described(("pair", "layer"), [match.moved for match in found], "fraction of units that moved", "1"),
        "passes": described(("pair",), [len(match.objective) - 1 for match in found], "passes of matching"),
        "converged": described(("pair",), [match.converged for match in found], "the last pass changed nothing"),
    }
    coordinates = {
        "alignment": list(STAGES), "pair": [f"{first}-{second}" for first, second in chosen], "split": list(SPLITS),
        "t": t.numpy(), "layer": [layer.name for layer in layers], "end": ["first", "second"],
        "seed": (("pair", "end"), np.array(chosen)),
    }  # fmt: skip
    return xr.Dataset(variables, coordinates)


def measure_connectors(landscape: NetworkLandscape, optima: dict[int, Tensor], passes: int, **settings) -> xr.Dataset:
    """Measure connectors whose optima are all matched to the first of their set: `connectors.measure` on the same sets.

    Args:
        landscape: of a network.
        optima: seed -> (P,).
        passes: of matching, at most.
        **settings: of `connectors.measure`.

    Returns:
        What `connectors.measure` does; one that says why (`left_out`) where the network is no chain.
    """
    try:
        layers = hidden_layers(landscape.module)
    except InputError as error:
        return left_out(error)

    def arrange(seeds: Sequence[int], corners: Tensor) -> Tensor:
        first = corners[0]
        others = zip(seeds[1:], corners[1:], strict=True)
        return torch.stack([first, *(_match(first, other, layers, passes, (seeds[0], k))[0] for k, other in others)])

    return connectors.measure(landscape, optima, **settings, arrange=arrange)


def _match(first: Tensor, second: Tensor, layers, passes: int, key: Sequence[int]) -> tuple[Tensor, Matching]:
    """Return the second weights (P,), matched to the first ones, and how."""
    weights = second.cpu().numpy()
    matching = match_weights(first.cpu().numpy(), weights, layers, passes, key)
    return torch.from_numpy(permute(weights, layers, matching.orders)).to(second), matching


def left_out(reason: InputError | str) -> xr.Dataset:
    """Return the store of what cannot be aligned: it says why, and holds nothing else."""
    return xr.Dataset(attrs={"not_aligned": str(reason).removeprefix("alignment: ")})


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row a (pair, split, alignment) of a store of `measure`; none where nothing was aligned."""
    columns = ("barrier", "distance", "cosine", "moved")
    if "not_aligned" in store.attrs:
        return pd.DataFrame(columns=["width", "pair", "split", "alignment", *columns])
    table = store[["barrier", "distance", "cosine"]].assign(moved=store["moved"].mean("layer"))
    rows = as_rows(table, ("pair", "split", "alignment"), columns)
    rows.insert(0, "width", store.attrs["width"])
    return rows


def tidy_connectors(stores: dict[str, xr.Dataset]) -> pd.DataFrame:
    """Return one row a (alignment, size, set, place, split) of connectors by stage; those left out have none."""
    dims, columns = ("size", "set", "place", "split"), ("loss", "accuracy", "displacement", "spread")
    tables = [
        as_rows(store[list(columns)], dims, columns).dropna(subset="loss").assign(alignment=stage)
        for stage, store in stores.items()
        if "not_aligned" not in store.attrs
    ]
    return pd.concat(tables, ignore_index=True)[["alignment", *dims, *columns]]
