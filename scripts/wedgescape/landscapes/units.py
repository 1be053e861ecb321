"""Units: which axes of a network's parameters share units, read from a trace of the network by torch.fx.

The one idea: an axis is a row of segments of units, each segment belongs to a group, and a group is permuted as one.
This holds for the channels of a tensor and for an axis of a parameter. A layer with weights makes a group. Where
tensors are added, their groups become one, unit by unit, and a group is divided where the other tensor's groups end.
Channels of zeros, with which a shortcut is padded, are a group as well. Inputs and outputs keep their places.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx, nn

from wedgescape.errors import InputError
from wedgescape.landscapes import models

# Layers with a rule
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
LAYERS = (*WEIGHTED, *PER_UNIT, *ELEMENTWISE, *PER_IMAGE, nn.Flatten)


def _calls(*names: str) -> set:
    """Return the functions of these names and, as torch.fx has them, the names of methods."""
    return {*names, *(getattr(home, name) for home in (operator, torch, nn.functional) for name in names
                      if hasattr(home, name))}  # fmt: skip


# Functions and methods with a rule
ELEMENTWISE_CALLS = _calls(
    *("add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "truediv", "neg", "maximum", "minimum"),
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "tanh", "sigmoid"),
    *("softplus", "softsign", "hardtanh", "hardsigmoid", "hardswish", "clamp", "dropout", "contiguous", "clone"),
)
PER_IMAGE_CALLS = _calls("max_pool2d", "avg_pool2d", "lp_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")
FLATTEN, RESHAPE, CONCATENATE, SLICE = _calls("flatten"), _calls("view", "reshape"), _calls("cat"), _calls("getitem")
PAD, REDUCE = _calls("pad"), _calls("mean", "sum", "amax")
SIZES = ("shape", "ndim", "dtype", "device")
ALL = slice(None, None, None)

SUPPORTED = (
    "Alignment supports linear layers, convolutions, batch norms, activations, dropouts, pooling and nn.Flatten, sums "
    "of tensors, torch.cat, and padding of channels with zeros"
)


@dataclass(frozen=True)
class Axis:
    """Where the units of a group lie along an axis of one parameter.

    Args:
        offset: of the parameter in the flat vector.
        shape: (before, units, after), as which the parameter is read: what lies along its axes before and after, and
            after also the entries in a row that one unit has on the axis itself (pixels of a flattened channel).
        segments: which of the axis's units are the group's, in the group's order.
    """

    offset: int
    shape: tuple[int, int, int]
    segments: tuple[slice, ...]

    @property
    def size(self) -> int:
        """How many weights belong to the group's units."""
        before, _units, after = self.shape
        return before * sum(segment.stop - segment.start for segment in self.segments) * after

    def of(self, vector: np.ndarray) -> np.ndarray:
        """Return the weights (before, units of the group, after) in a flat vector (P,)."""
        parts = [self._all(vector)[:, segment] for segment in self.segments]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def permute(self, vector: np.ndarray, order: np.ndarray) -> None:
        """Change a flat vector (P,), so that unit i of the group is what was unit order[i]."""
        view, units = self._all(vector), np.r_[self.segments]
        view[:, units] = view[:, units[order]]

    def _all(self, vector: np.ndarray) -> np.ndarray:
        return vector[self.offset : self.offset + math.prod(self.shape)].reshape(self.shape)


@dataclass(frozen=True)
class UnitGroup:
    """Units that are permuted as one, and all axes along which they lie, those that lead in and out.

    Args:
        name: the first layer of which they are outputs; `layer[first:after]`, if they are only some of its outputs, or
            `layer[first:after,first:after]`.
        units: how many.
        axes: in the order in which the network uses them.
    """

    name: str
    units: int
    axes: tuple[Axis, ...]

    @property
    def crosses(self) -> bool:
        """Whether a parameter has the units along two axes, as in x + W x."""
        return len({axis.offset for axis in self.axes}) < len({(axis.offset, axis.shape) for axis in self.axes})


def unit_groups(module: nn.Module, input_axes: int = 3) -> list[UnitGroup]:
    """Return the groups of hidden units that can be permuted without changing what a network computes.

    Args:
        module: as `models.build` and `models.adapted` return it; any that torch.fx can trace, of the layers and
            operations in `SUPPORTED`.
        input_axes: of one example: 3 for images, 1 for vectors.

    Raises:
        InputError: if the network cannot be traced, has a layer or operation without a rule, or no group.
    """
    graph = _traced(module)
    reader = _Reader(module, graph, input_axes)
    for node in graph.nodes:
        reader.read(node)
    groups = reader.groups()
    if not groups:
        raise InputError("alignment: the model has no hidden layer whose units can change places")
    return groups


# Tracing


class _Tracer(fx.Tracer):
    """Takes layers with a rule as they are, and follows the calls within all other modules."""

    failed: nn.Module | None = None  # the innermost module whose forward raised
    failed_name = ""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYERS or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward, args, kwargs):
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if self.failed is None:
                self.failed, self.failed_name = m, self.path_of_module(m)
            raise


def _traced(module: nn.Module) -> fx.Graph:
    """Return the graph of a network; its modules are left as they were, even if their forward keeps what it sees."""
    if module._forward_hooks or module._forward_pre_hooks:  # torch.fx does not call them
        raise InputError(f"{_place('', module)} has hooks; it must be a plain module")
    later = list(inspect.signature(module.forward).parameters.values())[1:]
    defaults = {one.name: one.default for one in later if one.default is not one.empty}
    tracer, states = _Tracer(), [(one, dict(vars(one))) for one in module.modules()]
    try:
        return tracer.trace(module, defaults)
    except Exception as error:  # whatever the user's forward raises when it gets no numbers
        place = _place(tracer.failed_name, tracer.failed or module)
        said = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{place} cannot be traced by torch.fx ({type(error).__name__}: {said}). Alignment needs a forward that "
            "does not depend on values"
        ) from error
    finally:
        for one, state in states:
            vars(one).clear()
            vars(one).update(state)


def _place(name: str, module: nn.Module) -> str:
    kind = type(module).__name__
    return f"alignment: layer {name} ({kind})" if name else f"alignment: the model ({kind})"


# Groups while they are read


class _Group:
    """So many units that are permuted as one, until they are divided, or found to be those of another group.

    Args:
        units: how many.
        free: whether they can change places.
        origins: of which units they are a part, and how many of each of these is one unit. Parts with the same origins
            can change places with each other, wherever they are.
    """

    def __init__(self, units: int, free: bool = True, origins: Counter | None = None):
        self.units, self.free, self.origins = units, free, origins or Counter([object()])
        self.parts: list[_Group] | None = None  # the groups that took its place

    def divide(self, units: int) -> None:
        """Divide it after its first units."""
        self.parts = [_Group(count, self.free, self.origins) for count in (units, self.units - units)]

    def absorb(self, other: _Group) -> None:
        """Take the place of a group of as many units."""
        self.free, self.origins = self.free and other.free, self.origins + other.origins
        other.parts = [self]


def _current(groups: Iterable[_Group]) -> Iterator[_Group]:
    """Yield the groups of which a row consists by now."""
    left = deque(groups)
    while left:
        group = left.popleft()
        if group.parts is None:
            yield group
        else:
            left.extendleft(reversed(group.parts))


def _units(groups: Iterable[_Group]) -> int:
    return sum(group.units for group in groups)


def _fix(groups: Iterable[_Group]) -> None:
    """Let units keep their places."""
    for group in _current(groups):
        group.free = False


def _join(first: Iterable[_Group], second: Iterable[_Group]) -> None:
    """Make two rows of equally many units one: from now on, each unit moves with its partner."""
    ones, others = deque(first), deque(second)
    while ones:
        one, other = ones.popleft(), others.popleft()
        if one.parts is None and other.parts is None:
            if one is other:
                continue
            if one.units == other.units:
                one.absorb(other)
                continue
            larger = max(one, other, key=lambda group: group.units)
            larger.divide(min(one.units, other.units))
        for row, group in ((ones, one), (others, other)):
            row.extendleft(reversed(group.parts or [group]))


@dataclass(frozen=True)
class _Channels:
    """The units along a tensor's second axis.

    Args:
        groups: of which they are; None for inputs and constants, however many there are, which keep their places.
        flat: whether the tensor is (B, units), each unit in several entries in a row if an image was flattened; else
            it is (B, units, rows, columns).
    """

    groups: list[_Group] | None
    flat: bool


class _Reader:
    """Follows the units through a graph, node by node."""

    def __init__(self, module: nn.Module, graph: fx.Graph, input_axes: int):
        self.module, self.input_axes = module, input_axes
        self.values: dict[fx.Node, _Channels] = {}  # nodes without a value are numbers
        self.axes: dict[tuple[int, int], tuple[str, Tensor, int, list[_Group]]] = {}  # by parameter and axis
        self.offsets, offset = {}, 0
        for parameter in module.parameters():
            self.offsets[id(parameter)] = offset
            offset += parameter.numel()
        self.input = next((node for node in graph.nodes if node.op == "placeholder"), None)
        self.tensors = {name: one for each in (module.named_parameters, module.named_buffers)
                        for name, one in each(remove_duplicate=False)}  # fmt: skip

    def read(self, node: fx.Node) -> None:
        """Find the units of what a node of the graph returns."""
        inputs = [self.values[one] for one in node.all_input_nodes if one in self.values]
        found = None
        if node is self.input:
            found = _Channels(None, flat=self.input_axes == 1)
        elif node.op == "get_attr":
            found = self._attribute(node)
        elif node.op == "call_module":
            found = self._layer(node, inputs)
        elif node.op in ("call_function", "call_method"):
            found = self._call(node, inputs)
        elif node.op == "output":
            for one in inputs:
                _fix(one.groups or [])
        if found is not None:
            self.values[node] = found

    def groups(self) -> list[UnitGroup]:
        """Return all groups whose units can change places, in the order in which the network makes them."""
        members: dict[frozenset, list[_Group]] = {}  # parts of the same origins are one group
        axes: dict[frozenset, list[Axis]] = {}
        names: dict[frozenset, str] = {}
        for name, parameter, axis, groups in self.axes.values():
            shape, units, last = parameter.shape, _units(groups), 0
            shape = (math.prod(shape[:axis]), units, math.prod(shape[axis:]) // units)
            places: dict[frozenset, dict[_Group, list[slice]]] = {}
            for group in _current(groups):
                first, last = last, last + group.units
                if group.free:
                    alike = places.setdefault(frozenset(group.origins.items()), {})
                    alike.setdefault(group, []).append(slice(first, last))
            for origins, found in places.items():
                # No rule takes some channels of a tensor only, so all parts are on every axis, equally often.
                rows = [found[part] for part in members.setdefault(origins, list(found))]
                for segments in zip(*rows, strict=True):
                    axes.setdefault(origins, []).append(Axis(self.offsets[id(parameter)], shape, segments))
                    some = ",".join(f"{segment.start}:{segment.stop}" for segment in segments)
                    names.setdefault(origins, name if some == f"0:{units}" else f"{name}[{some}]")
        counts = {origins: sum(part.units for part in parts) for origins, parts in members.items()}
        return [UnitGroup(names[one], counts[one], tuple(axes[one])) for one in members]

    def _belong(self, name: str, parameter: Tensor | None, axis: int, groups: list[_Group] | None) -> None:
        """Units lie along an axis of a parameter, each of them in as many entries in a row as there is room for."""
        if parameter is None:
            return
        entries = parameter.shape[axis]
        groups = [_Group(entries, free=False)] if groups is None else groups
        if entries % _units(groups):
            text = f"layer {name} has {entries} entries for the {_units(groups)} units before it"
            raise InputError(f"alignment: {text}; it must have a multiple")
        if id(parameter) not in self.offsets:  # frozen, so it cannot be permuted
            _fix(groups)
            return
        known = self.axes.setdefault((id(parameter), axis), (name, parameter, axis, groups))[3]
        if _units(known) != _units(groups):
            raise InputError(f"alignment: layer {name} has weights of another layer, with other units along an axis")
        _join(known, groups)  # tied weights

    def _attribute(self, node: fx.Node) -> _Channels | None:
        """A parameter, buffer or constant that a forward uses itself."""
        tensor = self.tensors.get(node.target)
        if tensor is not None and tensor.numel() == 1:
            return None
        if id(tensor) in self.offsets:
            raise InputError(
                f"{self._place_of(node)} uses parameter {node.target} in its own forward, which is not supported. "
                f"{SUPPORTED}"
            )
        return _Channels(None, flat=False)

    def _layer(self, node: fx.Node, inputs: list[_Channels]) -> _Channels:
        layer, name = self.module.get_submodule(node.target), node.target
        kind, place = type(layer), _place(name, layer)
        if kind not in LAYERS or len(node.args) != 1 or len(inputs) != 1:
            raise InputError(f"{place} is not supported. {SUPPORTED}")
        if layer._forward_hooks or layer._forward_pre_hooks:  # as of spectral norm
            raise InputError(f"{place} has hooks; it must be a plain layer")
        (x,) = inputs
        if kind in WEIGHTED:
            if kind is nn.Conv2d and layer.groups != 1:
                raise InputError(f"{place} has {layer.groups} groups; it must have 1")
            if kind is nn.Linear and not x.flat:
                raise InputError(
                    f"{place} is applied before nn.Flatten. Alignment supports linear layers only after nn.Flatten"
                )
            made = [_Group(layer.weight.shape[0])]
            self._belong(name, layer.weight, 1, x.groups)
            self._belong(name, layer.weight, 0, made)
            self._belong(name, layer.bias, 0, made)
            return _Channels(made, flat=kind is nn.Linear)
        if kind in PER_UNIT and layer.weight is not None and layer.weight.numel() > 1:
            self._belong(name, layer.weight, 0, x.groups)
            self._belong(name, getattr(layer, "bias", None), 0, x.groups)
        if kind in PER_IMAGE and x.flat:
            raise InputError(f"{place} is applied after nn.Flatten. Alignment supports it only before nn.Flatten")
        if kind is nn.Flatten:
            if (layer.start_dim, layer.end_dim) != (1, -1):
                found = f"axes {layer.start_dim} to {layer.end_dim}"
                raise InputError(f"{place} flattens {found}; it must flatten all, from 1 to -1")
            return _Channels(x.groups, flat=True)
        return x

    def _call(self, node: fx.Node, inputs: list[_Channels]) -> _Channels | None:
        called, args, options = node.target, node.args, node.kwargs
        if not inputs:  # computes with sizes, or makes a constant
            sizes = called is getattr or getattr(called, "__module__", "") == operator.add.__module__
            return None if sizes else _Channels(None, flat=False)
        if called in ("size", "dim") or (called is getattr and args[1] in SIZES):
            return None
        if called in ELEMENTWISE_CALLS:
            return self._joined(node, inputs)
        found, (x, *more) = None, inputs
        if not more and called in FLATTEN and _flattens_all(*args[1:], **options):
            found = _Channels(x.groups, flat=True)
        elif not more and called in RESHAPE and not (x.flat and x.groups) and len(_axes_of(args[1:])) == 2:
            # Each row is one example: the network's outputs are (B, classes), and no rule changes the rows again.
            found = _Channels(x.groups, flat=True)
        elif all(one.groups is None for one in inputs):  # of inputs and constants alone
            found = _Channels(None, flat=False)
        elif called in CONCATENATE and not any(one.flat for one in inputs):
            found = self._concatenated(*args, **options)
        elif not more and ((called in PER_IMAGE_CALLS and not x.flat) or (called in SLICE and _keeps_units(args[1]))):
            found = x
        elif not more and called in REDUCE and not x.flat:
            found = _averaged(x, *args[1:], **options)
        elif not more and called in PAD and not x.flat:
            found = _padded(x, *args[1:], **options)
        if found is None:
            name = called if isinstance(called, str) else getattr(called, "__name__", repr(called))
            raise InputError(f"{self._place_of(node)} calls {name}, which is not supported here. {SUPPORTED}")
        return found

    def _joined(self, node: fx.Node, inputs: list[_Channels]) -> _Channels:
        """Of tensors that are added, or otherwise combined element by element, each unit moves with its partner."""
        first, *others = sorted(inputs, key=lambda one: one.groups is None)
        for other in others:
            if other.groups is None:
                _fix(first.groups or [])
            elif (_units(first.groups), first.flat) != (_units(other.groups), other.flat):
                found = f"{_units(first.groups)} and {_units(other.groups)} units"
                raise InputError(
                    f"{self._place_of(node)} combines tensors of {found}, or one of them after nn.Flatten. Alignment "
                    "supports it only where both have the same units"
                )
            else:
                _join(first.groups, other.groups)
        return first

    def _concatenated(self, tensors=None, dim: int = 0, **_others) -> _Channels | None:
        if dim != 1 or not isinstance(tensors, list | tuple) or not all(one in self.values for one in tensors):
            return None
        rows = [self.values[one].groups for one in tensors]
        if any(row is None for row in rows):  # as many as nobody knows
            for row in rows:
                _fix(row or [])
            return _Channels(None, flat=False)
        return _Channels([group for row in rows for group in row], flat=False)

    def _place_of(self, node: fx.Node) -> str:
        """Name the module whose forward makes a call."""
        stack = list(node.meta.get("nn_module_stack", {}).values())
        name = stack[-1][0] if stack else ""
        return _place(name, self.module.get_submodule(name))


def _axes_of(args: tuple) -> list:
    """Return the axes that a method was given one by one, or as a tuple."""
    return list(args[0]) if len(args) == 1 and isinstance(args[0], list | tuple) else list(args)


def _flattens_all(start_dim: int = 0, end_dim: int = -1, **_others) -> bool:
    return (start_dim, end_dim) == (1, -1)


def _keeps_units(index) -> bool:
    """Tell whether an index takes all examples and units, and some rows and columns."""
    index = index if isinstance(index, tuple) else (index,)
    return all(isinstance(one, slice) for one in index) and all(one == ALL for one in index[:2])


def _averaged(x: _Channels, dim=None, keepdim: bool = False, **_others) -> _Channels | None:
    """The mean over rows and columns."""
    if not isinstance(dim, list | tuple) or sorted(axis % 4 for axis in dim) != [2, 3]:
        return None
    return _Channels(x.groups, flat=not keepdim)


def _padded(x: _Channels, pad=(), mode: str = "constant", value: float | None = None, **_others) -> _Channels | None:
    """Padding of rows and columns, or of channels by constant ones, which are a group: all its units are alike."""
    if not isinstance(pad, list | tuple):
        return None
    before, after, *examples = [*pad, 0, 0, 0, 0, 0, 0][4:]  # the last axis comes first
    if any(examples) or not all(isinstance(extra, int) and extra >= 0 for extra in (before, after)):
        return None
    if (before or after) and mode != "constant":
        return None
    origins = Counter([object()])  # those before and after are alike
    first, last = ([_Group(extra, origins=origins)] if extra else [] for extra in (before, after))
    return _Channels([*first, *x.groups, *last], flat=False)
