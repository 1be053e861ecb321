"""Convolutional networks on a CPU: the same functions as their modules, in fewer passes over memory.

oneDNN computes convolutions close to the processor's peak. The time goes elsewhere: into pooling and ReLU, which read
and write every activation, and into changes of the memory layout. Three things remove most of it:

1. `Tensor.to` gives images the strides of channels_last also where they have one channel. `contiguous` leaves such
   images as they are, because both formats put the same numbers in the same places, and everything up to the second
   convolution then runs in the slow format.
2. Maximum and ReLU commute, so a ReLU after a pooling layer does a quarter of the work of a ReLU before it.
3. Where no gradient is needed, a maximum over 2 x 2 pixels is three maxima of two tensors, without indices.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from wedgescape.landscapes import models


def rewrite(module: nn.Module) -> nn.Module:
    """Return the same function of the same parameters, under the same names, in fewer passes over memory.

    Containers are copied, and layers are shared. Only calls of a chain (`nn.Sequential`) as a whole change, because
    only there the order of the layers is known: a network that reaches for single layers of it finds them as they were.
    """
    if not module._modules:
        return module
    copied = copy.copy(module)
    copied._modules = {name: child and rewrite(child) for name, child in module._modules.items()}
    if models.is_chain(module):
        copied.__class__ = _Chain
    return copied


class _Chain(models.Chain):
    """A chain that calls its layers in fewer passes over memory."""

    def forward(self, x: Tensor) -> Tensor:
        """The outputs of the last layer."""
        for step in _steps(list(self._modules.values())):
            x = step(x)
        return x


def _steps(layers: list[nn.Module]) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yield what to call: the layers, except for ReLUs and max pooling over 2 x 2 pixels."""
    for before, layer, after in zip([None, *layers], layers, [*layers[1:], None], strict=False):
        if models.pools_by_two(layer):
            yield max_pool
            if models.rectifies(before):
                yield torch.relu_
        elif not models.rectifies(layer):
            yield layer
        elif not models.pools_by_two(after):
            yield torch.relu_ if models.writes_anew(before) else layer


def max_pool(x: Tensor) -> Tensor:
    """Return the maxima over 2 x 2 pixels, in channels_last.

    Args:
        x: (N, C, H, W), or (C, H, W).

    Returns:
        (N, C, H // 2, W // 2), a new tensor. As in PyTorch, a last odd row or column does not count.
    """
    if x.ndim != 4 or (torch.is_grad_enabled() and x.requires_grad):
        # PyTorch's indices cost less than the masks of maxima would, and can be differentiated twice.
        return nn.functional.max_pool2d(x, 2)
    columns = torch.maximum(*_halves(x.contiguous(memory_format=torch.channels_last), 3))
    return torch.maximum(*_halves(columns, 2))


def _halves(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the entries at even and at odd places along an axis, equally many of each."""
    pairs = x.narrow(axis, 0, x.shape[axis] // 2 * 2).unflatten(axis, (-1, 2))
    return pairs.select(axis + 1, 0), pairs.select(axis + 1, 1)
