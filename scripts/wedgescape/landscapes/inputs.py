"""A frozen network as a landscape over its inputs, and pairs of points whose middle lies elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from wedgescape.landscapes.base import Batch, Landscape
from wedgescape.landscapes.networks import NetworkLandscape

AT_ONCE = 512  # inputs that go through the network together


class InputLandscape(Landscape):
    """How unsure a network is of given classes, as a function of its inputs: -ln of the probability of the likeliest.

    A point is an input, flat, and the weights stay as they are. So descents, lines and curves of weights are descents,
    lines and curves of inputs too. With one class y the loss is the cross-entropy -ln p_y. With two classes it is -ln
    max(p_y, p_z), which is at least ln 2 somewhere on any path between an input of one class and an input of the other:
    where both are equally likely.

    Args:
        network: inputs (N, *shape) -> logits (N, C), such as `NetworkLandscape.over_inputs`.
        inputs: (M, *shape), whose range in each channel or feature bounds the points (`within`).
        labels: (K, m), the classes of each point. Of n K points, n in a row have the same.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor):
        self.network, self.shape, self.labels = network, inputs.shape[1:], labels
        others = [axis for axis in range(inputs.ndim) if axis != 1]
        ends = (inputs.amin(others, keepdim=True), inputs.amax(others, keepdim=True))
        self.lowest, self.highest = (end.expand(1, *self.shape).flatten() for end in ends)
        self.dim, self.device, self.dtype = math.prod(self.shape), inputs.device, inputs.dtype

    def of_labels(self, labels: Tensor) -> InputLandscape:
        """Return the landscape of other classes (K, m)."""
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | {"labels": labels}
        return other

    def within(self, points: Tensor) -> Tensor:
        """Return points (K, D) with each number brought into the range of its channel or feature."""
        return points.clamp(self.lowest, self.highest)

    def logits(self, points: Tensor) -> Tensor:
        """Return the logits (K, C) at points (K, D)."""
        return self.network(points.unflatten(1, self.shape))

    @torch.no_grad()
    def predicted(self, points: Tensor) -> Tensor:
        """Return the likeliest class (K,) at points (K, D)."""
        return torch.cat([self.logits(some).argmax(1) for some in points.split(AT_ONCE)])

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """See `Landscape.losses`; there are no splits."""
        return torch.cat([self._losses(*some) for some in self._parts(points)])

    def gradients(self, points: Tensor, batch: Batch | None = None) -> Tensor:
        """See `Landscape.gradients`."""
        rows = []
        for some, labels in self._parts(points.detach()):
            some = some.requires_grad_()
            rows.append(torch.autograd.grad(self._losses(some, labels).sum(), some)[0])
        return torch.cat(rows)

    def _parts(self, points: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        labels = self.labels.repeat_interleave(len(points) // len(self.labels), 0)
        yield from zip(points.split(AT_ONCE), labels.split(AT_ONCE), strict=True)

    def _losses(self, points: Tensor, labels: Tensor) -> Tensor:
        return -self.logits(points).log_softmax(1).gather(1, labels).amax(1)


class MiddleLandscape(Landscape):
    """Two points that are low in one landscape, while the middle between them is low in another.

    A point is a pair of points, flat, in R^(2 D); its loss is the mean of the three. Where the first landscape is
    convex and the second is high wherever the first is low, there is no such pair.

    Args:
        landscape: of both ends.
        other: of the middle.
    """

    def __init__(self, landscape: Landscape, other: Landscape):
        self.landscape, self.other = landscape, other
        self.dim, self.device, self.dtype = 2 * landscape.dim, landscape.device, landscape.dtype

    def ends(self, points: Tensor) -> Tensor:
        """Return the two points (K, 2, D) of pairs (K, 2 D)."""
        return points.unflatten(1, (2, -1))

    def of_each(self, points: Tensor) -> Tensor:
        """Return the losses (K, 3) of first end, second end and middle."""
        ends = self.ends(points)
        own = self.landscape.losses(ends.flatten(0, 1)).unflatten(0, (-1, 2))
        return torch.cat([own, self.other.losses(ends.mean(1))[:, None]], 1)

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """See `Landscape.losses`."""
        return self.of_each(points).mean(1)


def input_landscape(landscape: NetworkLandscape, point: Tensor, labels: Tensor) -> InputLandscape:
    """Return a network at a point (P,) as a landscape over its inputs, in the range of the training inputs.

    Args:
        landscape: of the network's weights.
        point: the weights.
        labels: (K, m), as `InputLandscape` takes them.
    """
    return InputLandscape(landscape.over_inputs(point), landscape.splits["train"][0], labels.to(point.device))
