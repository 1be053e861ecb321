"""Convolutional networks on a CPU: the same functions as their modules, in fewer passes over memory.

oneDNN computes convolutions close to the processor's peak. The time goes elsewhere: into pooling and ReLU, which read
and write every activation, and into changes of the memory layout. Three things remove most of it:

1. `Tensor.to` gives images the strides of channels_last also where they have one channel. `contiguous` leaves such
   images as they are, because both formats put the same numbers in the same places, and everything up to the second
   convolution then runs in the slow format.
2. Maximum and ReLU commute, so a ReLU in front of a pooling layer works on a quarter of the activations behind it.
3. Where no gradient is asked for, a maximum over 2 x 2 pixels is three maxima of two tensors, without indices.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from wedgescape.landscapes.models import CalibratedBatchNorm


def _halves(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the entries of even and of odd places along an axis, as many of each."""
    pairs = x.narrow(axis, 0, x.shape[axis] // 2 * 2).unflatten(axis, (-1, 2))
    return pairs.select(axis + 1, 0), pairs.select(axis + 1, 1)


def max_pool(x: Tensor, rectified: bool = False) -> Tensor:
    """Return the maxima over 2 x 2 pixels of images (N, C, H, W), in channels_last, and their positive parts if asked.

    Returns:
        (N, C, H // 2, W // 2); a last odd row or column is left out, as in PyTorch.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        # PyTorch's indices cost less than masks here, and are differentiable twice.
        y = nn.functional.max_pool2d(x, 2)
    else:
        y = torch.maximum(*_halves(torch.maximum(*_halves(x.contiguous(memory_format=torch.channels_last), 3)), 2))
    return y.relu_() if rectified else y


class _MaxPool(nn.Module):
    """`nn.MaxPool2d(2)`, with the ReLU that stood in front of it."""

    def __init__(self, rectified: bool):
        super().__init__()
        self.rectified = rectified

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H // 2, W // 2); without N as well."""
        if x.ndim == 4:
            return max_pool(x, self.rectified)
        y = nn.functional.max_pool2d(x, 2)
        return y.relu() if self.rectified else y


class _ReluInPlace(nn.Module):
    """A ReLU that overwrites its input, which a layer has just written and nothing else reads."""

    def forward(self, x: Tensor) -> Tensor:
        """The positive parts."""
        return x.relu_()


# Layers that return a new tensor, which they do not need for their own gradient.
WRITING = (nn.Conv2d, nn.Linear, CalibratedBatchNorm, nn.GroupNorm)


def rewrite(module: nn.Module) -> nn.Module:
    """Return the same function of the same parameters, under the same names, in fewer passes over memory.

    Containers are copied, and layers are shared. Only the children of an `nn.Sequential` are exchanged, because only
    there the order of the calls is known: a ReLU and the max pooling over 2 x 2 pixels behind it change places, and a
    ReLU behind a layer that writes a new tensor works in place. What has hooks stays as it is.
    """
    if not module._modules:
        return module
    copied = copy.copy(module)
    copied._modules = {name: child and rewrite(child) for name, child in module._modules.items()}
    if type(module).forward is nn.Sequential.forward:
        names = list(copied._modules)
        for before, name in zip([None, *names], names, strict=False):
            layer, previous = module._modules[name], module._modules.get(before)
            if _pools_by_two(layer):
                rectified = _is_plain(previous, nn.ReLU)
                if rectified:
                    copied._modules[before] = nn.Identity()
                copied._modules[name] = _MaxPool(rectified)
            elif _is_plain(layer, nn.ReLU) and any(_is_plain(previous, kind) for kind in WRITING):
                copied._modules[name] = _ReluInPlace()
    return copied


def _is_plain(layer: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Tell whether a layer is exactly of a kind, and nobody listens to its calls."""
    return type(layer) is kind and not layer._forward_hooks and not layer._forward_pre_hooks


def _pools_by_two(layer: nn.Module | None) -> bool:
    if not _is_plain(layer, nn.MaxPool2d):
        return False
    sizes = [value if isinstance(value, tuple) else (value,) * 2 for value in (layer.kernel_size, layer.stride)]
    rest = (layer.padding, layer.dilation, layer.ceil_mode, layer.return_indices)
    return sizes == [(2, 2)] * 2 and rest == (0, 1, False, False)
