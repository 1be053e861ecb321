"""Data and networks of the benchmark, the same for the project and for its peers, and what passes over them take.

There may be no network access where the benchmark runs. So images of Fashion-MNIST's shape are random here: ten
classes of smooth random patterns with noise, so that networks can learn them. Some labels are wrong, so that training
does not end at a loss of zero, where the Hessian vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils import vector_to_parameters

from wedgescape.data.datasets import load_dataset
from wedgescape.landscapes import models
from wedgescape.landscapes.networks import NetworkLandscape, network_landscape
from wedgescape.numerics.randomness import stream
from wedgescape.training.descent import Recipe, descend

SHAPE, CLASSES = (1, 28, 28), 10  # Fashion-MNIST's
PATTERNS, NOISE = 3, 1.0  # patterns per class; standard deviation of the noise in that of the patterns
WRONG = 0.1  # share of labels that are drawn at random
RECIPE = Recipe("sgd", learning_rate=0.05, momentum=0.9, batch_size=64)


def random_images(count: int) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 28, 28), float32 of mean 0 and deviation 1, and their labels (N,); a seed is fixed."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.randn(CLASSES * PATTERNS, 1, 7, 7, generator=draw)
    patterns = interpolate(coarse, SHAPE[1:], mode="bilinear").unflatten(0, (CLASSES, PATTERNS))
    labels = torch.arange(count) % CLASSES
    chosen = torch.randint(PATTERNS, (count,), generator=draw)
    images = patterns[labels, chosen] + NOISE * torch.randn(count, *SHAPE, generator=draw)
    drawn = torch.rand(count, generator=draw) < WRONG
    labels = torch.where(drawn, torch.randint(CLASSES, (count,), generator=draw), labels)
    return (images - images.mean()) / images.std(), labels


def plain_network(model: dict, shape: Sequence[int], classes: int) -> nn.Sequential:
    """Return a network of PyTorch's own layers whose parameters are in the order of the project's (`models.build`)."""
    width = model["width"]
    if model["name"] == "mlp":
        sizes = [shape[0] * shape[1] * shape[2], *[width] * model["depth"]]
        hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))
    return nn.Sequential(
        *(nn.Conv2d(shape[0], width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes)),
    )


@dataclass(frozen=True)
class Problem:
    """A network on data.

    Args:
        landscape: the project's.
        model: its name and arguments.
        images: (N, C, H, W) of the training split.
        labels: (N,)
    """

    landscape: NetworkLandscape
    model: dict
    images: Tensor
    labels: Tensor

    def network(self, point: Tensor | None = None) -> nn.Sequential:
        """Return the network of PyTorch's own layers, at weights (P,)."""
        network = plain_network(self.model, self.images.shape[1:], CLASSES)
        if point is not None:
            vector_to_parameters(point.clone(), network.parameters())
        return network

    def starts(self, seeds: Sequence[int]) -> Tensor:
        """Return PyTorch's initialisations (K, P)."""
        shape = tuple(self.images.shape[1:])
        return torch.stack([models.flat(models.build(self.model, shape, CLASSES, seed)) for seed in seeds])

    def trained(self, seeds: Sequence[int], epochs: int) -> Tensor:
        """Return networks (K, P) after some epochs of plain training; not timed."""
        steps = epochs * RECIPE.steps_per_epoch(len(self.labels))
        return descend(self.landscape, self.starts(seeds), RECIPE, steps, seeds).points

    def orders(self, seed: int, epochs: int) -> list[Tensor]:
        """Return the orders (N,) of examples in which the project trains a seed, so that all see the same batches."""
        return [torch.from_numpy(stream("order", seed, epoch).permutation(len(self.labels))) for epoch in range(epochs)]

    # Floors. A product of a layer's weights with activations is the same work forwards, for the slope of the weights
    # and for the slope of the activations. The first layer's inputs need no slope.

    def _layers(self) -> list[int]:
        """Return multiplications per example in each layer."""
        found = []

        def count(layer: nn.Module, _inputs, outputs: Tensor) -> None:
            found.append(outputs[0].numel() * layer.weight[0].numel())

        network = self.network()
        for layer in network:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.register_forward_hook(count)
        network(self.images[:1])
        return found

    def evaluation(self, points: int, firsts: int | None = None) -> float:
        """Return the operations of losses at points; of a plane's, the first layer takes only three products.

        Args:
            points: how many.
            firsts: products of the images with weights of a first layer; one per point by default.
        """
        first, *rest = self._layers()
        return 2 * len(self.labels) * ((points if firsts is None else firsts) * first + points * sum(rest))

    def gradient(self, examples: int) -> float:
        """Return the operations of the gradient over some examples."""
        first, *rest = self._layers()
        return 2 * examples * (2 * first + 3 * sum(rest))

    def product(self) -> float:
        """Return the operations of a Hessian-vector product once activations and their slopes are there."""
        first, *rest = self._layers()
        return 2 * len(self.labels) * (2 * first + 6 * sum(rest))

    def trace(self) -> float:
        """Return the operations of the Hessian's trace: forwards, and backwards once for each class."""
        _first, *rest = self._layers()
        return self.evaluation(1) + 2 * len(self.labels) * CLASSES * sum(rest)

    @property
    def bytes(self) -> int:
        """The size of the images."""
        return self.images.nbytes


def on_images(model: dict, count: int) -> Problem:
    """Return a network on random images."""
    images, labels = random_images(count)
    module = models.build(model, SHAPE, CLASSES)
    held = min(count, 1000)  # test images, which nothing here evaluates
    splits = {"train": (images, labels), "test": (images[:held], labels[:held])}
    return Problem(NetworkLandscape(module, splits), model, images, labels)


def digits(examples: int | None = None) -> xr.Dataset:
    """Return scikit-learn's digits, all training examples or the first."""
    return load_dataset("digits", train_examples=examples)


def on_digits(model: dict, examples: int | None = None) -> Problem:
    """Return a network on the digits."""
    landscape = network_landscape(digits(examples), model, "cpu")
    return Problem(landscape, model, *landscape.splits["train"])
