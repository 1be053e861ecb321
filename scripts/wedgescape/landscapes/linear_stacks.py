"""Networks of linear layers with ReLU between them, many at once: their products and derivatives written out.

`NetworkLandscape` hands such networks over, since what autograd and `vmap` spend beside the matrix products is more
than the products themselves. Activations are (units, examples) matrices, for which batched products and sums over
classes are fastest. Each network's numbers are the same alone and among others: batched products treat each network by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from wedgescape.landscapes.base import combine

ALIGNED = 16  # examples: products of matrices are fastest where each row of activations has a multiple of these


class LinearStack:
    """K networks of the same linear layers, each but the last followed by ReLU and perhaps a dropout.

    Args:
        sizes: (inputs, outputs) of each layer (`models.linear_sizes`).
    """

    def __init__(self, sizes: Sequence[tuple[int, int]]):
        self.sizes = list(sizes)
        self.widest = max(outputs for _, outputs in sizes)
        self.units = sum(outputs for _, outputs in sizes)
        offsets, self.places = 0, []
        for inputs, outputs in sizes:
            weight = slice(offsets, offsets + inputs * outputs)
            offsets = weight.stop + outputs
            self.places.append((weight, slice(weight.stop, offsets)))

    def layers(self, points: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return weights (K, outputs, inputs) and biases (K, outputs, 1) of each layer: views of points (K, P)."""
        return [
            (points[:, weight].unflatten(1, (outputs, inputs)), points[:, bias, None])
            for (inputs, outputs), (weight, bias) in zip(self.sizes, self.places, strict=True)
        ]

    # Losses

    def logits(self, points: Tensor, images: Tensor) -> Tensor:
        """Return the logits (K, classes, N) of networks (K, P) on images (inputs, N)."""
        return _through(self.layers(points), images.expand(len(points), -1, -1))

    def combined(self, vectors: Tensor, images: Tensor) -> Callable[[Tensor], Tensor]:
        """Return a function of shares (K, d) that yields the logits (K, classes, N) at the points shares @ vectors.

        The first layer is linear in the weights: of all points together, it takes d products.

        Args:
            vectors: (d, P).
            images: (inputs, N).
        """
        weight, bias = self.layers(vectors)[0]
        firsts = torch.bmm(weight, images.expand(len(vectors), -1, -1)).add_(bias)
        start = self.places[0][1].stop
        others = LinearStack(self.sizes[1:]) if self.sizes[1:] else None

        def logits(shares: Tensor) -> Tensor:
            # Term by term: a product of matrices would round a point otherwise alone and among others.
            hidden = firsts[0] * shares[:, 0, None, None]
            for first, share in zip(firsts[1:], shares[:, 1:].unbind(1), strict=True):
                hidden.addcmul_(first, share[:, None, None])
            if others is None:
                return hidden
            return _through(others.layers(combine(shares, vectors[:, start:])), hidden.relu_())

        return logits

    # Gradients

    def gradients(
        self,
        points: Tensor,
        images: Tensor,
        labels: Tensor,
        masks: Sequence[Tensor] = (),
        divisor: int | None = None,
        found: Tensor | None = None,
    ) -> Tensor:
        """Return the gradients (K, P) of the mean cross-entropy of networks (K, P).

        Args:
            points: (K, P).
            images: (inputs, N), or (K, inputs, N) if they differ.
            labels: (N,) or (K, N).
            masks: (K, units, N) of each hidden layer, by which its units are multiplied; none for no dropout.
            divisor: by which the summed losses are divided; N by default.
            found: (K, P), where the gradients are written; a tensor of their own by default.
        """
        layers, inputs = self.layers(points), [images.expand(len(points), -1, -1)]
        for number, (weight, bias) in enumerate(layers):
            hidden = torch.bmm(weight, inputs[-1]).add_(bias)
            if number < len(layers) - 1:
                hidden.relu_()
                inputs.append(hidden.mul_(masks[number]) if masks else hidden)
        slope = _slope(hidden, labels.expand(len(points), -1), divisor or hidden.shape[2])
        found = torch.empty_like(points) if found is None else found
        for number in reversed(range(len(layers))):
            weight, bias = self.places[number]
            found[:, weight] = torch.bmm(slope, inputs[number].mT).flatten(1)
            found[:, bias] = slope.sum(2)
            if number:
                slope = torch.bmm(layers[number][0].mT, slope)
                # A unit that was dropped or not positive is exactly zero, and passes nothing on. Others have sign 1.
                # Truth values would be made numbers first, which takes longer than the product.
                slope.mul_(inputs[number].sign())
                slope.mul_(masks[number - 1]) if masks else None
        return found

    # Hessians

    def hessian_trace(self, point: Tensor, images: Tensor, divisor: int) -> float:
        """Return the trace of the Hessian at a point of summed losses over a divisor, exactly.

        Each logit is linear in each single weight, as long as no unit of a ReLU changes sides. So the diagonal of the
        Hessian is that of its Gauss-Newton part, sum_i J_i^T S_i S_i^T J_i, and the trace is the sum of the squares of
        all J_i^T s for the columns s_k = sqrt(p_k) (e_k - p) of S_i. Of one example, the square is that of the slope of
        each layer's outputs times that of its inputs, and 1 for the bias.

        Args:
            point: (P,).
            images: (inputs, N).
            divisor: by which the summed losses are divided.
        """
        layers, inputs = [(weight[0], bias[0]) for weight, bias in self.layers(point[None])], [images]
        for weight, bias in layers[:-1]:
            inputs.append(torch.mm(weight, inputs[-1]).add_(bias).relu_())
        chances = torch.mm(layers[-1][0], inputs[-1]).add_(layers[-1][1]).softmax(0)
        classes = len(chances)
        slopes = (torch.eye(classes).to(point)[..., None] - chances) * chances.sqrt()[:, None]  # (column, output, N)
        total = 0.0
        for number in reversed(range(len(layers))):
            squares = slopes.square().sum((0, 1)).double() @ inputs[number].square().sum(0).add_(1).double()
            total += float(squares)
            if number:
                slopes = torch.bmm(layers[number][0].T.expand(classes, -1, -1), slopes).mul_(inputs[number].sign())
        return total / divisor

    def hessian(self, point: Tensor, images: Tensor, labels: Tensor, divisor: int) -> Callable[[Tensor], Tensor]:
        """Return the products (V, P) with vectors (V, P) of the Hessian at a point of summed losses over a divisor.

        Forward and backward once at the point; each product then follows the derivative along its vector through both
        (Pearlmutter 1994).

        Args:
            point: (P,).
            images: (inputs, N).
            labels: (N,).
            divisor: by which the summed losses are divided.
        """
        count = images.shape[1]
        images, labels = (pad(given, (0, -count % ALIGNED)) for given in (images, labels))
        weights = [weight[0] for weight, _ in self.layers(point[None])]
        biases = [bias[0] for _, bias in self.layers(point[None])]
        inputs = [images]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(torch.mm(weight, inputs[-1]).add_(bias).relu_())
        logits = torch.mm(weights[-1], inputs[-1]).add_(biases[-1])[None]
        chances = logits.softmax(1)[0]
        slopes = [_slope(logits, labels[None], divisor)[0]]
        chances[:, count:] = slopes[0][:, count:] = 0.0  # the examples added have no share in any product
        passing = [(one > 0).to(images) for one in inputs[1:]]
        for number in reversed(range(1, len(weights))):
            slopes.insert(0, torch.mm(weights[number].T, slopes[0]).mul_(passing[number - 1]))

        def products(vectors: Tensor) -> Tensor:
            count, ways = len(vectors), self.layers(vectors)
            moved = torch.bmm(ways[0][0], images.expand(count, -1, -1)).add_(ways[0][1])
            changes: list[Tensor | None] = [None]  # of the inputs of each layer
            for number in range(1, len(weights)):
                changes.append(moved.mul_(passing[number - 1]))
                along, shift = ways[number]
                moved = torch.bmm(along, inputs[number].expand(count, -1, -1)).add_(shift)
                moved.baddbmm_(weights[number].expand(count, -1, -1), changes[number])
            change = moved.sub_((chances * moved).sum(1, keepdim=True)).mul_(chances).div_(divisor)
            found = torch.empty_like(vectors)
            for number in reversed(range(len(weights))):
                weight, bias = self.places[number]
                total = torch.bmm(change, inputs[number].T.expand(count, -1, -1))
                if number:
                    total.baddbmm_(slopes[number].expand(count, -1, -1), changes[number].mT)
                found[:, weight], found[:, bias] = total.flatten(1), change.sum(2)
                if number:
                    change = torch.bmm(weights[number].T.expand(count, -1, -1), change)
                    change.baddbmm_(ways[number][0].mT, slopes[number].expand(count, -1, -1))
                    change.mul_(passing[number - 1])
            return found

        return products


def _through(layers: list[tuple[Tensor, Tensor]], hidden: Tensor) -> Tensor:
    """Return what layers yield (K, outputs, N) from the inputs (K, inputs, N) of the first."""
    for number, (weight, bias) in enumerate(layers):
        hidden = torch.bmm(weight, hidden.relu_() if number else hidden).add_(bias)
    return hidden


def _slope(logits: Tensor, labels: Tensor, divisor: int) -> Tensor:
    """Return the derivatives (K, classes, N) of summed cross-entropies over a divisor by the logits, labels (K, N)."""
    slope = logits.softmax(1)
    slope.scatter_add_(1, labels[:, None], slope.new_full((1, 1, 1), -1.0).expand(len(slope), 1, slope.shape[2]))
    return slope.div_(divisor)
