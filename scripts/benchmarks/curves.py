"""Bezier curves of low loss between pairs of optima."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.frame import OURS, Agreement, Contestant, Floor, Work
from benchmarks.problems import Problem, on_digits
from benchmarks.training import Orders
from wedgescape.landscapes.curves import CurveLandscape
from wedgescape.measurements.curves import Settings, train_curves
from wedgescape.numerics.randomness import stream

RATE = 0.01
APART = 0.05  # of trained control points, over the way that training moves them: rounding grows over a training


@dataclass(frozen=True)
class Size:
    """How many curves.

    Args:
        width: of a multilayer perceptron on the digits.
        examples: None takes all.
        pairs: curves, each between optima of its own.
        steps: of the descent.
        batch: examples per step.
        epochs: of training before.
    """

    width: int = 64
    examples: int | None = None
    pairs: int = 6
    steps: int = 600
    batch: int = 128
    epochs: int = 10


WHOLE = Size()


def curves_of(problem: Problem, optima: Tensor) -> CurveLandscape:
    """Return the landscape of Bezier curves between optima 0 and 1, 2 and 3, …; one position per step, as in peers."""
    return CurveLandscape(problem.landscape, optima[0::2], optima[1::2], "bezier", 1, samples=1)


def pairs_of(size: Size) -> list[tuple[int, int]]:
    """Return the seeds of each curve's ends."""
    return [(2 * pair, 2 * pair + 1) for pair in range(size.pairs)]


def ours(problem: Problem, optima: Tensor, size: Size) -> Callable[[], Tensor]:
    """Return the project's way: all curves together."""
    curve = curves_of(problem, optima)
    settings = Settings(learning_rate=RATE, batch_size=size.batch, samples=1)
    return lambda: train_curves(curve, pairs_of(size), settings, size.steps)


class CurvedLinear(nn.Module):
    """A linear layer with three control points, of which the middle one is trained (as in Garipov et al. 2018)."""

    def __init__(self, start: nn.Linear, end: nn.Linear):
        super().__init__()
        ends = [(one.weight.detach(), one.bias.detach()) for one in (start, end)]
        self.ends = ends
        self.weight, self.bias = (nn.Parameter((ends[0][part] + ends[1][part]) / 2) for part in (0, 1))

    def forward(self, x: Tensor, shares: tuple[float, float, float]) -> Tensor:
        """(B, inputs) -> (B, outputs), at the position on the curve that has these shares of its control points."""
        first, middle, last = shares
        weight = self.ends[0][0] * first + self.weight * middle + self.ends[1][0] * last
        bias = self.ends[0][1] * first + self.bias * middle + self.ends[1][1] * last
        return linear(x, weight, bias)


class CurvedNetwork(nn.Module):
    """A multilayer perceptron of curved layers."""

    def __init__(self, start: nn.Sequential, end: nn.Sequential):
        super().__init__()
        layers = zip(start, end, strict=True)
        self.layers = nn.ModuleList(CurvedLinear(*pair) for pair in layers if isinstance(pair[0], nn.Linear))

    def forward(self, x: Tensor, t: float) -> Tensor:
        """(B, ...) -> logits (B, classes) at a position."""
        shares = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = layer(x, shares).relu()
        return self.layers[-1](x, shares)


def one_by_one(
    problem: Problem, optima: Tensor, size: Size, batches: Callable[[int], Iterator[tuple[Tensor, Tensor]]]
) -> Callable[[], Tensor]:
    """Return the training of one curve after another, by Adam with a rate that falls along a cosine.

    Args:
        problem: the network on data.
        optima: (2 K, P).
        size: of the work.
        batches: seed of a curve's streams -> a minibatch per step.
    """

    def trained(start: Tensor, end: Tensor, seed: int) -> Tensor:
        network = CurvedNetwork(problem.network(start), problem.network(end))
        optimiser = torch.optim.Adam(network.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / size.steps))
        )
        for (images, labels), t in zip(batches(seed), positions[seed], strict=False):
            optimiser.zero_grad()
            cross_entropy(network(images, t), labels).backward()
            optimiser.step()
            schedule.step()
        return torch.cat([part.detach().flatten() for part in network.parameters()])

    # The project's positions, so that all train on the same.
    seeds = [(first << 32) + second for first, second in pairs_of(size)]
    positions = {
        seed: [float(stream("curve", seed, step).random(1)[0]) for step in range(size.steps)] for seed in seeds
    }
    return lambda: torch.stack(
        [trained(*ends, seed) for *ends, seed in zip(optima[0::2], optima[1::2], seeds, strict=True)]
    )


def epochs_of(problem: Problem, size: Size) -> int:
    """Return over how many epochs the steps go."""
    return math.ceil(size.steps / math.ceil(len(problem.labels) / size.batch))


def with_tensors(problem: Problem, optima: Tensor, size: Size) -> Callable[[], Tensor]:
    """Return dnn-mode-connectivity's method on rows of tensors in memory."""
    orders = {
        (first << 32) + second: problem.orders((first << 32) + second, epochs_of(problem, size))
        for first, second in pairs_of(size)
    }

    def batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        for order in orders[seed]:
            for some in order.split(size.batch):
                yield problem.images[some], problem.labels[some]

    return one_by_one(problem, optima, size, batches)


def with_dataloader(problem: Problem, optima: Tensor, size: Size) -> Callable[[], Tensor]:
    """Return dnn-mode-connectivity's method as its script has it, with a DataLoader."""
    epochs = epochs_of(problem, size)
    orders = {
        (first << 32) + second: [order.tolist() for order in problem.orders((first << 32) + second, epochs)]
        for first, second in pairs_of(size)
    }
    examples = TensorDataset(problem.images, problem.labels)

    def batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        loader = DataLoader(examples, size.batch, sampler=Orders(orders[seed]))
        for _epoch in range(epochs):
            yield from loader

    return one_by_one(problem, optima, size, batches)


def check(problem: Problem, optima: Tensor) -> Callable[[dict[str, Tensor]], dict[str, Agreement]]:
    """Return the check that all contestants find the project's curves."""
    curve = curves_of(problem, optima)

    def agree(outcomes: dict[str, Tensor]) -> dict[str, Agreement]:
        wanted, found = outcomes[OURS], {}
        for name, points in outcomes.items():
            apart = float((points - wanted).norm() / (wanted - curve.straight()).norm())
            loss = float(curve.evaluate(points)["loss"].mean())
            found[name] = Agreement(apart <= APART, f"curves {apart:.1e} apart, mean loss along them {loss:.4g}")
        return found

    return agree


def works(size: Size = WHOLE) -> list[Work]:
    """Return the work."""
    problem = on_digits({"name": "mlp", "width": size.width, "depth": 2}, size.examples)
    optima = problem.trained(range(2 * size.pairs), size.epochs)
    arguments = (problem, optima, size)
    examples = size.pairs * size.steps * size.batch
    return [
        Work(
            "curves",
            f"Bezier curves between {size.pairs} pairs, {size.steps} steps of Adam, one position per step, "
            f"mlp {size.width}-{size.width} on digits",
            [
                Contestant(OURS, lambda: ours(*arguments)),
                Contestant("dnn-mode-connectivity, tensors", lambda: with_tensors(*arguments), "tensors"),
                Contestant("dnn-mode-connectivity, DataLoader", lambda: with_dataloader(*arguments), "`DataLoader`"),
            ],
            check(problem, optima),
            Floor(problem.gradient(examples), 2 * examples * problem.images[0].nbytes),
            {"tensors": 4},
        )
    ]
