"""Training many seeds: a multilayer perceptron on the digits, a small convolutional network on images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.frame import OURS, Agreement, Contestant, Floor, Work
from benchmarks.problems import Problem, digits, on_digits, on_images
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.train import train

RATE, MOMENTUM = 0.05, 0.9
APART = 0.02  # of trained weights, over the way that training moves them: rounding grows over a training


@dataclass(frozen=True)
class Size:
    """How much is trained."""

    seeds: int
    width: int
    examples: int | None
    batch: int
    epochs: int


MLP = Size(seeds=32, width=64, examples=None, batch=64, epochs=8)
CNN = Size(seeds=8, width=16, examples=1280, batch=128, epochs=1)


# The project's ways


def train_with_curves(problem: Problem, size: Size) -> Tensor:
    """Train as the workflow does: both splits are evaluated before and after every epoch."""
    settings = {
        "optimizer": "sgd", "learning_rate": RATE, "momentum": MOMENTUM, "nesterov": False, "weight_decay": 0.0,
        "dropout": 0.0, "batch_size": size.batch, "epochs": size.epochs, "schedule": "constant", "warmup_epochs": 0,
        "cycles": 1, "clip_norm": None, "snapshot_epochs": None, "sharpness_radius": 0.0, "average_epochs": None,
    }  # fmt: skip
    data = digits(size.examples)
    store = train(problem.landscape, data, {"model": problem.model, "training": settings}, range(size.seeds))
    return torch.from_numpy(store["theta"].values)


def train_alone(problem: Problem, size: Size) -> Tensor:
    """Train without evaluation."""
    recipe = Recipe("sgd", RATE, MOMENTUM, batch_size=size.batch)
    steps = size.epochs * recipe.steps_per_epoch(len(problem.labels))
    return descend(problem.landscape, problem.starts(range(size.seeds)), recipe, steps).points


# The usual ways: one seed after another


class Orders(torch.utils.data.Sampler):
    """The project's order of examples, so that a DataLoader shows the same batches."""

    def __init__(self, orders: list[list[int]]):
        self.orders, self.epoch = orders, 0

    def __iter__(self) -> Iterator[int]:
        """Go through the next epoch."""
        self.epoch += 1
        return iter(self.orders[self.epoch - 1])

    def __len__(self) -> int:
        return len(self.orders[0])


def one_by_one(
    problem: Problem,
    size: Size,
    batches: Callable[[int], Callable[[int], Iterator[tuple[Tensor, Tensor]]]],
    evaluate: Callable[[nn.Module], object] | None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Train each seed by a loop over minibatches.

    Args:
        problem: what is trained.
        size: of the work.
        batches: seed -> epoch -> minibatches.
        evaluate: called before and after each epoch.
        memory_format: of the weights.
    """
    trained = []
    for seed, start in enumerate(problem.starts(range(size.seeds))):
        network = problem.network(start).to(memory_format=memory_format)
        optimiser = torch.optim.SGD(network.parameters(), RATE, MOMENTUM, fused=True)
        of_epoch = batches(seed)
        if evaluate:
            evaluate(network)
        for epoch in range(size.epochs):
            for images, labels in of_epoch(epoch):
                optimiser.zero_grad()
                cross_entropy(network(images), labels).backward()
                optimiser.step()
            if evaluate:
                evaluate(network)
        trained.append(parameters_to_vector([part.contiguous() for part in network.parameters()]).detach())
    return torch.stack(trained)


@torch.no_grad()
def evaluate_both(problem: Problem, network: nn.Module) -> list[tuple[float, float]]:
    """Return loss and accuracy on both splits, each at once, which is faster than a DataLoader."""
    found = []
    for images, labels in problem.landscape.splits.values():
        logits = network(images)
        found.append((float(cross_entropy(logits, labels)), float((logits.argmax(1) == labels).float().mean())))
    return found


def dataloader_loop(problem: Problem, size: Size, evaluated: bool) -> Callable[[], Tensor]:
    """Return PyTorch's usual loop: DataLoaders over TensorDatasets, without worker processes, which would be slower."""
    training = TensorDataset(problem.images, problem.labels)
    orders = [[order.tolist() for order in problem.orders(seed, size.epochs)] for seed in range(size.seeds)]

    def batches(seed: int):
        loader = DataLoader(training, size.batch, sampler=Orders(orders[seed]))
        return lambda _epoch: iter(loader)

    evaluate = partial(evaluate_both, problem) if evaluated else None
    return lambda: one_by_one(problem, size, batches, evaluate)


def tensor_loop(
    problem: Problem, size: Size, evaluated: bool, memory_format: torch.memory_format = torch.contiguous_format
) -> Callable[[], Tensor]:
    """Return the same loop over rows of tensors in memory."""
    images = problem.images.contiguous(memory_format=memory_format)
    orders = [problem.orders(seed, size.epochs) for seed in range(size.seeds)]

    def batches(seed: int):
        def of_epoch(epoch: int):
            return ((images[some], problem.labels[some]) for some in orders[seed][epoch].split(size.batch))

        return of_epoch

    evaluate = partial(evaluate_both, problem) if evaluated else None
    return lambda: one_by_one(problem, size, batches, evaluate, memory_format)


def ensembling(problem: Problem, size: Size) -> Callable[[], Tensor]:
    """Return PyTorch's recipe for ensembles: stacked weights, `vmap` of `functional_call`, one optimiser for all."""
    orders = [problem.orders(seed, size.epochs) for seed in range(size.seeds)]
    base = problem.network()

    def run() -> Tensor:
        networks = [problem.network(start) for start in problem.starts(range(size.seeds))]
        weights, buffers = stack_module_state(networks)
        optimiser = torch.optim.SGD(weights.values(), RATE, MOMENTUM, fused=True)

        def loss(some_weights, some_buffers, images, labels):
            return cross_entropy(functional_call(base, (some_weights, some_buffers), (images,)), labels)

        for epoch in range(size.epochs):
            for some in torch.stack([order[epoch] for order in orders]).split(size.batch, dim=1):
                optimiser.zero_grad()
                losses = vmap(loss)(weights, buffers, problem.images[some], problem.labels[some])
                losses.sum().backward()
                optimiser.step()
        return torch.cat([part.detach().flatten(1) for part in weights.values()], 1)

    return run


# Works


def check(problem: Problem, size: Size) -> Callable[[dict[str, Tensor]], dict[str, Agreement]]:
    """Return the check that all contestants reach the project's weights, and so its accuracies.

    Losses alone would agree after a few steps, also those of a contestant that did not train.
    """
    starts = problem.starts(range(size.seeds))

    def agree(outcomes: dict[str, Tensor]) -> dict[str, Agreement]:
        wanted, found = outcomes[OURS], {}
        for name, points in outcomes.items():
            apart = float((points - wanted).norm() / (wanted - starts).norm())
            accuracy = float(problem.landscape.evaluate(points)["score"].mean())
            found[name] = Agreement(apart <= APART, f"weights {apart:.1e} apart, mean accuracy {accuracy:.4f}")
        return found

    return agree


def floor(problem: Problem, size: Size, evaluated: bool) -> Floor:
    """Return what training takes at least: gradients, gathered batches, and losses on both splits after each epoch."""
    examples = size.seeds * size.epochs * len(problem.labels)
    operations = problem.gradient(examples)
    if evaluated:
        both = sum(len(labels) for _, labels in problem.landscape.splits.values()) / len(problem.labels)
        operations += both * problem.evaluation(size.seeds * (size.epochs + 1))
    return Floor(operations, 2 * examples * problem.images[0].nbytes)


def mlps(size: Size = MLP) -> list[Work]:
    """Return the training of multilayer perceptrons, with and without evaluation."""
    problem = on_digits({"name": "mlp", "width": size.width, "depth": 2}, size.examples)
    what = f"{size.seeds} seeds, mlp {size.width}-{size.width} on digits, {size.epochs} epochs"
    return [
        Work(
            "training_mlp",
            f"{what}, both splits evaluated every epoch",
            [
                Contestant(OURS, lambda: lambda: train_with_curves(problem, size)),
                Contestant("DataLoader loop", lambda: dataloader_loop(problem, size, True), "`DataLoader` loop"),
                Contestant("tensor loop", lambda: tensor_loop(problem, size, True), "tensors in memory"),
            ],
            check(problem, size),
            floor(problem, size, True),
            {"`DataLoader` loop": 7, "tensors in memory": 4},
        ),
        Work(
            "training_mlp_alone",
            f"{what}, without evaluation",
            [
                Contestant(OURS, lambda: lambda: train_alone(problem, size)),
                Contestant("torch.func", lambda: ensembling(problem, size), "`torch.func` ensembling"),
            ],
            check(problem, size),
            floor(problem, size, False),
            {"`torch.func` ensembling": 1.6},
        ),
    ]


def cnns(size: Size = CNN) -> list[Work]:
    """Return the training of convolutional networks, one thread each."""
    problem = on_images({"name": "simple_cnn", "width": size.width}, size.examples)
    return [
        Work(
            "training_cnn",
            f"{size.seeds} seeds, simple_cnn on {size.examples} random images of 28 x 28, {size.epochs} epoch, "
            "one thread, without evaluation",
            [
                Contestant(OURS, lambda: lambda: train_alone(problem, size)),
                Contestant("DataLoader loop", lambda: dataloader_loop(problem, size, False), "`DataLoader` loop"),
                Contestant(
                    "tensor loop, channels_last",
                    lambda: tensor_loop(problem, size, False, torch.channels_last),
                    "tensors, channels_last",
                ),
            ],
            check(problem, size),
            floor(problem, size, False),
            {"`DataLoader` loop": 2, "tensors, channels_last": 1.3},
            threads=(1,),
        )
    ]
