"""Networks by name, and the only module that knows a layer's name.

A model is any `torch.nn.Module`. Two kinds of layer cannot be used as they are when weights are points in a space, and
are exchanged: `nn.Dropout`, which draws from a global stream, and batch norm, whose running statistics belong to one
point. Networks stay in evaluation mode, so that what else behaves differently in training is off; `trials` finds it.
"""

from __future__ import annotations

import copy
import fnmatch
import inspect
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from wedgescape.errors import InputError
from wedgescape.landscapes.tasks import TokenShape, blank
from wedgescape.study.own_files import import_own


def mlp(input_shape: tuple[int, int, int], classes: int, width: int = 64, depth: int = 2, **_) -> nn.Sequential:
    """Return a ReLU network of `depth` hidden layers of `width` units, a dropout after each."""
    layers: list[nn.Module] = [nn.Flatten()]
    units = math.prod(input_shape)
    for _layer in range(depth):
        layers += [nn.Linear(units, width), nn.ReLU(), nn.Dropout()]
        units = width
    return nn.Sequential(*layers, nn.Linear(units, classes))


def simple_cnn(input_shape: tuple[int, int, int], classes: int, width: int = 16, **_) -> nn.Sequential:
    """Return three 3x3 convolutions of width, 2 width, 2 width channels, pooled by 2 after the first two.

    A width of 16 gives the 16-32-32 channels of the paper's SimpleCNN; a mean over the image and a linear layer follow.
    """
    channels = [input_shape[0], width, 2 * width, 2 * width]
    layers: list[nn.Module] = []
    for stage in range(3):
        layers += [nn.Conv2d(channels[stage], channels[stage + 1], 3, padding=1), nn.ReLU()]
        if stage < 2:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(channels[-1], classes))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with norms; the shortcut subsamples and pads with zeros (He et al. 2016, option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = norm(outputs)
        self.stride, self.extra = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu_()))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.extra:  # padding by nothing would copy
            shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, 0, self.extra))
        return (y + shortcut).relu_()


def resnet20(
    input_shape: tuple[int, int, int], classes: int, width: int = 16, norm: str = "batch", **_
) -> nn.Sequential:
    """Return the residual network of 20 layers for small images (He et al. 2016), with batch or group norm."""
    make_norm = nn.BatchNorm2d if norm == "batch" else lambda channels: nn.GroupNorm(min(8, channels), channels)
    layers: list[nn.Module] = [nn.Conv2d(input_shape[0], width, 3, 1, 1, bias=False), make_norm(width), nn.ReLU()]
    channels = width
    for stage, factor in enumerate((1, 2, 4)):
        for block in range(3):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(ResidualBlock(channels, factor * width, stride, make_norm))
            channels = factor * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(channels, classes))


MODELS = {"mlp": mlp, "simple_cnn": simple_cnn, "resnet20": resnet20}


class SeededDropout(nn.Module):
    """Dropout by a mask that the landscape hands in, drawn from the stream of each point's own seed."""

    mask: Tensor | None = None
    shape: torch.Size | None = None  # of one example's activations, seen on the way

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...): the identity where there is no mask."""
        self.shape = x.shape[1:]
        return x if self.mask is None else x * self.mask


class CalibratedBatchNorm(nn.Module):
    """Batch norm without running statistics, which do not survive a move in weight space.

    It normalises by the statistics of the batch at hand and remembers them; once `frozen`, by those remembered. A
    landscape that evaluates a point first shows it one fixed calibration set, the same for all points.

    Where `native` is set, PyTorch's own batch norm computes what needs no derivative with respect to the statistics, in
    one pass over memory instead of five: the outputs for given statistics, and those of a minibatch, which then is not
    remembered if gradients are recorded.
    """

    frozen: bool = False
    native: bool = False
    moments: tuple[Tensor, Tensor] | None = None

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm):
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C, ...)."""
        if self.native and not self.frozen and torch.is_grad_enabled():
            return torch.batch_norm(x, self.weight, self.bias, None, None, True, 0.0, self.eps, False)
        if not self.frozen:
            axes = [axis for axis in range(x.ndim) if axis != 1]
            self.moments = (x.mean(axes, keepdim=True), x.var(axes, keepdim=True, correction=0))
        mean, variance = self.moments
        if self.native and not torch.is_grad_enabled():
            known = (mean.flatten(), variance.flatten())
            return torch.batch_norm(x, self.weight, self.bias, *known, False, 0.0, self.eps, False)
        shape = (1, -1, *[1] * (x.ndim - 2))
        if self.weight is None:  # not affine
            return (x - mean) * torch.rsqrt(variance + self.eps)
        scale = self.weight.reshape(shape) * torch.rsqrt(variance + self.eps)
        return (x - mean) * scale + self.bias.reshape(shape)


def _exchange(module: nn.Module) -> nn.Module:
    """Return a module whose dropouts and batch norms are ours; parameters keep their names and order."""
    if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
        return SeededDropout()
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return CalibratedBatchNorm(module)
    for name, child in list(module._modules.items()):  # all names, while `named_children` leaves out a layer's second
        if child is not None:
            setattr(module, name, _exchange(child))
    return module


def _class_from_file(file: str, name: str):
    """Return what a user's Python file calls `name`."""
    place = f"model.file: {file}"
    if not Path(file).is_file():
        raise InputError(f"{place}: there is no such file; give the path of a Python file that defines {name}")
    try:
        module = import_own(file)
    except Exception as error:  # whatever the user's file raises is the user's to read
        raise InputError(f"{place}: cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        found = ", ".join(key for key in vars(module) if not key.startswith("_"))
        raise InputError(f"model.name: {file} does not define {name}; it defines: {found}")
    make = getattr(module, name)
    if not callable(make):
        raise InputError(f"model.name: {name} in {file} is of type {type(make).__name__}. It must be a class")
    return make


def build(model: dict, input_shape: tuple[int, int, int], classes: int, seed: int = 0) -> nn.Module:
    """Return a freshly initialised network, the same for a seed wherever and whenever it is built.

    Args:
        model: `name` and its arguments, or `file`, `name` and the arguments of a user's own class, which is called
            with `input_shape`, `classes` and these.
        input_shape: of one input: (channels, rows, columns) of images, (features,) of vectors, or a `TokenShape`.
        classes: how many outputs the network has; one for each class, or for each number that is predicted.
        seed: of PyTorch's initialisation.

    Raises:
        InputError: if a user's model cannot be imported, built or run, or if its output is not (B, classes).
    """
    arguments = {key: value for key, value in model.items() if key not in ("name", "file", "files")}
    own = model.get("file")
    make = _class_from_file(own, model["name"]) if own else MODELS[model["name"]]
    if own:
        accepted = inspect.signature(make).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
            arguments = {key: value for key, value in arguments.items() if key in accepted}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs = blank(input_shape, 2)
        try:
            module = make(input_shape=input_shape, classes=classes, **arguments)
            if any(nn.parameter.is_lazy(one) for one in module.parameters()):
                module(inputs)  # which draws what is not there yet
            module = prepared(module)
            with torch.no_grad():
                outputs = module(inputs)
        except InputError as error:
            raise InputError(f"model.file: {own}: {model['name']}: {error}") from error
        except Exception as error:
            if not own and len(input_shape) == 3:
                raise  # it is no fault of the input's shape
            if not own:
                kind = "tokens" if isinstance(input_shape, TokenShape) else "inputs"
                text = f"model.name: {model['name']} takes no {kind} of shape {tuple(input_shape)}"
                raise InputError(f"{text}; give a network of your own, model.file, or another one") from error
            text = f"model.file: {own}: {model['name']} cannot be built and run on inputs of shape {input_shape}"
            raise InputError(f"{text}: {type(error).__name__}: {error}") from error
    found = tuple(outputs.shape) if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
    if found != (2, classes):
        text = f"model.file: {own}: {model['name']} maps 2 inputs of shape {input_shape} to {found}"
        raise InputError(f"{text}. It must be (2, {classes}): one output per class, or per number that is predicted")
    return module


Where: TypeAlias = str | Callable[[str], bool]  # which parameters, by their names: a pattern such as "head.*"


def adapted(module: nn.Module, where: Where = "*") -> nn.Module:
    """Return a copy of a trained network that can be a landscape (`prepared`); the network itself is not changed.

    Args:
        module: any network.
        where: the names of the parameters that are directions, as a pattern or a function; others keep their values.

    Raises:
        InputError: if the network cannot be copied, has no parameter to move along, or one of them is complex.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise InputError(f"{type(module).__name__} is compiled by torch.jit; give the module that it was made from")
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    for name, one in module.named_parameters():
        if nn.parameter.is_lazy(one):
            raise InputError(f"parameter {name} has no shape yet; pass a batch through the network first")
    try:
        copied = copy.deepcopy(module).cpu()
    except (RuntimeError, TypeError) as error:  # weights that are computed, such as those of the old weight_norm
        raise InputError(f"{type(module).__name__} cannot be copied: {type(error).__name__}: {error}") from error
    chosen = where if callable(where) else partial(_fits, where)
    names = [name for name, _ in copied.named_parameters()]
    if names and not any(map(chosen, names)):
        raise InputError(f"where: {where!r} chooses no parameter; there are {', '.join(names)}")
    for name, one in copied.named_parameters():
        one.requires_grad_(one.requires_grad and chosen(name))
    return prepared(copied)


def _fits(pattern: str, name: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)


def prepared(module: nn.Module) -> nn.Module:
    """Return a network that can be a landscape, in evaluation mode and in float32; it is changed.

    Dropouts and batch norms are exchanged. Frozen parameters (`requires_grad=False`) become buffers: they keep their
    values and are no directions.

    Raises:
        InputError: if the network has no parameter to move along, or one of them is complex.
    """
    for name, one in module.named_parameters():
        if one.is_complex():
            raise InputError(f"parameter {name} is complex; weights must be real numbers")
    network = _exchange(module.float()).eval()
    for layer in network.modules():
        for name, one in list(layer._parameters.items()):
            if one is not None and not one.requires_grad:
                del layer._parameters[name]
                layer.register_buffer(name, one.detach())
    if not any(True for _ in network.parameters()):
        text = f"{type(module).__name__} has no trainable parameter"
        raise InputError(f"{text}; frozen ones (requires_grad=False) are not moved along")
    return network


def flat(module: nn.Module) -> Tensor:
    """Return a network's weights as one vector (P,), float32, in the order of `module.parameters()`."""
    return nn.utils.parameters_to_vector(module.parameters()).detach().clone()


def layout(module: nn.Module) -> list[dict]:
    """Return where each parameter lies in the flat vector: name (as in PyTorch's `state_dict`), shape, offset."""
    entries, offset = [], 0
    for name, parameter in module.named_parameters():
        entries.append({"name": name, "shape": list(parameter.shape), "offset": offset})
        offset += parameter.numel()
    return entries


def filter_normalised(directions: Tensor, point: Tensor, layout: list[dict]) -> Tensor:
    """Return directions whose every filter is as long as the point's (Li et al. 2018, our reading).

    A filter is what leads to one output: a row of a weight matrix, or one output channel's kernel of a convolution.
    Parameters of fewer than two dimensions (biases, scales and shifts of norms) do not move.

    Args:
        directions: (..., P), isotropic Gaussian ones for instance.
        point: (..., P), whose dimensions broadcast against those of the directions.
        layout: of the flat vector (`layout`).

    Returns:
        Directions (..., P), not of unit length.
    """
    point, directions = torch.broadcast_tensors(point, directions)
    scaled = torch.zeros_like(directions)
    for entry in layout:
        shape = entry["shape"]
        if len(shape) < 2:
            continue
        part = slice(entry["offset"], entry["offset"] + math.prod(shape))
        filters, moves = (vector[..., part].unflatten(-1, (shape[0], -1)) for vector in (point, directions))
        moves = moves / moves.norm(dim=-1, keepdim=True) * filters.norm(dim=-1, keepdim=True)
        scaled[..., part] = moves.flatten(-2)
    return scaled


def linear_sizes(module: nn.Module) -> list[tuple[int, int]]:
    """Return (inputs, outputs) of each layer of a stack of linear ones (`linear_stacks`); none for other networks.

    Images are flattened, and each layer but the last is followed by ReLU: by ReLU and dropout everywhere, or by ReLU.
    """
    layers = list(module) if isinstance(module, nn.Sequential) else []
    kinds = [type(layer) for layer in layers]
    linear = [layer for layer in layers if type(layer) is nn.Linear]
    hidden = ([nn.Linear, nn.ReLU, SeededDropout], [nn.Linear, nn.ReLU])
    if not linear or kinds not in [[nn.Flatten, *kind * (len(linear) - 1), nn.Linear] for kind in hidden]:
        return []
    ours = [id(one) for layer in linear for one in (layer.weight, layer.bias) if one is not None]
    if len(ours) < 2 * len(linear) or ours != [id(one) for one in module.parameters()]:
        return []  # without biases, or tied
    return [(layer.in_features, layer.out_features) for layer in linear]


def is_convolutional(module: nn.Module) -> bool:
    """Tell whether a network convolves: the batching strategy depends on it."""
    return any(isinstance(layer, nn.modules.conv._ConvNd) for layer in module.modules())


class Chain(nn.Sequential):
    """An `nn.Sequential` for a landscape to call in its own way."""


def is_chain(module: nn.Module) -> bool:
    """Tell whether a module is an `nn.Sequential` itself: a class derived from it may call its layers differently."""
    return type(module) is nn.Sequential


def rectifies(layer: nn.Module | None) -> bool:
    """Tell whether a layer is a ReLU without hooks."""
    return _is_plain(layer, nn.ReLU)


def writes_anew(layer: nn.Module | None) -> bool:
    """Tell whether nobody but the next layer needs a layer's output: it is a new tensor, unused by its own gradient."""
    return any(_is_plain(layer, kind) for kind in (nn.Conv2d, nn.Linear, nn.GroupNorm, CalibratedBatchNorm))


def pools_by_two(layer: nn.Module | None) -> bool:
    """Tell whether a layer is `nn.MaxPool2d(2)` without hooks."""
    if not _is_plain(layer, nn.MaxPool2d):
        return False
    numbers = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    pairs = [tuple(number) if isinstance(number, tuple | list) else (number, number) for number in numbers]
    return pairs == [(2, 2), (2, 2), (0, 0), (1, 1)] and not (layer.ceil_mode or layer.return_indices)


def _is_plain(layer: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Tell whether a layer is exactly of a kind, and nobody listens to its calls."""
    if type(layer) is not kind:
        return False
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return not any(hooks)


def dropouts(module: nn.Module) -> list[SeededDropout]:
    """Return a network's dropouts in order; each has seen the shape of its input once `build` has run the network."""
    return [layer for layer in module.modules() if isinstance(layer, SeededDropout)]


def batch_norms(module: nn.Module) -> list[CalibratedBatchNorm]:
    """Return a network's batch norms in order."""
    return [layer for layer in module.modules() if isinstance(layer, CalibratedBatchNorm)]
