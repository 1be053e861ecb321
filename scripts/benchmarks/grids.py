"""Loss over a grid in a plane: a multilayer perceptron and a small convolutional network on 10,000 images.

Time is linear in points, except for what a contestant computes once for the plane. So each contestant evaluates some
rows and columns of the 51 x 51 grid, evenly chosen, and its time counts for the whole grid. The project gets more of
them, because it may compute the first layer once for the plane, which few points would have to pay for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import vector_to_parameters
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.frame import OURS, Agreement, Contestant, Floor, Work
from benchmarks.problems import Problem, on_images
from wedgescape.landscapes import models
from wedgescape.landscapes.base import Slice
from wedgescape.landscapes.spans import Span, gaussian

SIDE = 51  # points per side of the grid, at -1 to 1 along both axes
APART = 1e-4  # of losses, relative
ALL_AT_ONCE = "loss-landscapes, nngeom"
IN_BATCHES = "loss-landscape-3d, tomgoldstein/loss-landscape"
OWN_LOOP = "a loop of one's own over tensors"


@dataclass(frozen=True)
class Size:
    """How much of a grid is evaluated.

    Args:
        width: of the network.
        examples: of the training split.
        peers: points per side that peers evaluate.
        ours: points per side that the project evaluates; those of the peers are among them.
        batches: batch sizes that loss-landscape-3d may choose from.
        epochs: of training before.
    """

    width: int
    examples: int
    peers: int
    ours: int
    batches: tuple[int, ...]
    epochs: int = 1


MLP = Size(width=128, examples=10_000, peers=6, ours=26, batches=(250,))
CNN = Size(width=16, examples=10_000, peers=2, ours=3, batches=(125, 250), epochs=0)


@dataclass(frozen=True)
class Plane:
    """A plane through a trained network along two filter-normalised random directions.

    Args:
        problem: the network on data.
        origin: (P,)
        axes: (2, P), as long as half a side of the grid.
    """

    problem: Problem
    origin: Tensor
    axes: Tensor

    def sides(self, points: int) -> Tensor:
        """Return evenly chosen coordinates along a side."""
        return torch.linspace(-1, 1, points)

    def by_name(self, vector: Tensor) -> dict[str, Tensor]:
        """Return a vector (P,) as a state_dict."""
        return {name: part.detach() for name, part in self.problem.network(vector).named_parameters()}


def plane_of(problem: Problem, epochs: int) -> Plane:
    """Return the plane around a network after some epochs."""
    origin = problem.trained([0], epochs)[0]
    layout = models.layout(problem.landscape.module)
    return Plane(problem, origin, models.filter_normalised(gaussian(2, len(origin), "plane", 0), origin, layout))


# Contestants return losses over (first coordinate, second coordinate).


def ours(plane: Plane, side: int) -> Callable[[], Tensor]:
    """Return the project's way."""
    places = torch.cartesian_prod(plane.sides(side), plane.sides(side))
    cut = Slice(plane.problem.landscape, plane.origin, Span(plane.axes))
    return lambda: cut.evaluate(places)["loss"].reshape(side, side)


def loss_landscapes(plane: Plane, side: int) -> Callable[[], Tensor]:
    """Return `planar_interpolation`, which walks to and fro from a corner.

    It moves before it evaluates, on the way back too, so that every second row lies one step lower than the others. Its
    points are put where they belong; those outside of the grid are left out.
    """
    import loss_landscapes as package
    from loss_landscapes.metrics import Loss

    problem, (first, second) = plane.problem, plane.axes
    metric = Loss(cross_entropy, problem.images, problem.labels)
    step = 2 / (side - 1)
    start = plane.origin - first - (1 + step) * second
    corners = [problem.network(point) for point in (start, start + step * side * first, start + step * side * second)]

    def run() -> Tensor:
        found = package.planar_interpolation(*corners, metric, steps=side, deepcopy_model=True)
        losses = torch.from_numpy(found).float()
        back = losses[1::2]
        losses[1::2] = torch.cat([back[:, 1:], torch.full_like(back[:, :1], torch.nan)], 1)
        return losses

    return run


def nngeom(plane: Plane, side: int) -> Callable[[], Tensor]:
    """Return `plane_slice_2d`, whose first index is the second coordinate."""
    import nngeom as package

    problem = plane.problem
    model = package.Model(
        problem.network(plane.origin), lambda network, batch: cross_entropy(network(batch[0]), batch[1])
    )
    axes = [axis.numpy().astype(np.float64) for axis in plane.axes]

    def run() -> Tensor:
        batch = (problem.images, problem.labels)
        surface = package.lossland.plane_slice_2d(model, batch, span=1.0, steps=side, directions=axes)
        return torch.from_numpy(surface.losses.T.copy()).float()

    return run


def loss_landscape_3d(plane: Plane, side: int, batch: int) -> Callable[[], Tensor]:
    """Return `LossLandscapeCalculator.calculate` over a DataLoader."""
    from loss_landscape_3d import LossLandscapeCalculator

    problem = plane.problem
    loader = DataLoader(TensorDataset(problem.images, problem.labels), batch_size=batch)
    calculator = LossLandscapeCalculator(problem.network(plane.origin), loader, cross_entropy)
    places = plane.sides(side).numpy()
    ways = [plane.by_name(vector) for vector in (*plane.axes, plane.origin)]
    return lambda: torch.from_numpy(calculator.calculate(places, places, *ways)).float()


def with_dataloader(plane: Plane, side: int, batch: int = 128) -> Callable[[], Tensor]:
    """Return the method of tomgoldstein/loss-landscape: set the weights, and go through a DataLoader of batches of 128.

    As its script does, it also counts right answers.
    """
    problem = plane.problem
    network = problem.network()
    loader = DataLoader(TensorDataset(problem.images, problem.labels), batch_size=batch)
    parts = [[part.detach() for part in problem.network(one).parameters()] for one in (plane.origin, *plane.axes)]

    def loss_at(first: float, second: float) -> float:
        for weight, start, along, across in zip(network.parameters(), *parts, strict=True):
            weight.data = start + first * along + second * across
        total, correct, count = 0.0, 0, 0
        for images, labels in loader:
            logits = network(images)
            total += cross_entropy(logits, labels).item() * len(labels)
            correct += logits.max(1)[1].eq(labels).sum()
            count += len(labels)
        return total / count

    @torch.no_grad()
    def run() -> Tensor:
        places = plane.sides(side).tolist()
        return torch.tensor([[loss_at(first, second) for second in places] for first in places])

    return run


def with_tensors(plane: Plane, side: int, chunk: int) -> Callable[[], Tensor]:
    """Return a loop over slices of tensors in memory, channels_last where the network convolves."""
    problem = plane.problem
    convolves = problem.model["name"] != "mlp"
    format_ = torch.channels_last if convolves else torch.contiguous_format
    network = problem.network().to(memory_format=format_)
    images = problem.images.contiguous(memory_format=format_)
    parts = list(zip(images.split(chunk), problem.labels.split(chunk), strict=True))

    @torch.no_grad()
    def run() -> Tensor:
        places = torch.cartesian_prod(plane.sides(side), plane.sides(side))
        found = []
        for place in places:
            vector_to_parameters(plane.origin + place @ plane.axes, network.parameters())
            found.append(sum(cross_entropy(network(x), y, reduction="sum") for x, y in parts) / len(problem.labels))
        return torch.stack(found).reshape(side, side)

    return run


def check(size: Size) -> Callable[[dict[str, Tensor]], dict[str, Agreement]]:
    """Return the check that losses agree at the points that all evaluate."""

    def agree(outcomes: dict[str, Tensor]) -> dict[str, Agreement]:
        every = (size.ours - 1) // (size.peers - 1)
        wanted = outcomes[OURS][::every, ::every]
        found = {OURS: Agreement(bool(wanted.isfinite().all()), "reference")}
        for name in outcomes.keys() - {OURS}:
            apart = float(((outcomes[name] - wanted) / wanted).abs().nan_to_num(0.0).max())
            found[name] = Agreement(apart <= APART, f"losses {apart:.1e} apart")
        return found

    return agree


def grid(name: str, model: dict, size: Size, reach: dict[str, float]) -> list[Work]:
    """Return the work on a network."""
    problem = on_images(model, size.examples)
    plane = plane_of(problem, size.epochs)

    def peer(called: str, prepare: Callable[..., Callable[[], Tensor]], against: str, **arguments) -> Contestant:
        share = (size.peers / SIDE) ** 2
        return Contestant(called, lambda: prepare(plane, size.peers, **arguments), against, share)

    contestants = [
        Contestant(OURS, lambda: ours(plane, size.ours), share=(size.ours / SIDE) ** 2),
        peer("loss-landscapes", loss_landscapes, ALL_AT_ONCE),
        peer("nngeom", nngeom, ALL_AT_ONCE),
        *(peer(f"loss-landscape-3d, batch {one}", loss_landscape_3d, IN_BATCHES, batch=one) for one in size.batches),
        peer("tomgoldstein/loss-landscape", with_dataloader, IN_BATCHES),
        *(peer(f"tensors, batch {one}", with_tensors, OWN_LOOP, chunk=one) for one in size.batches),
    ]
    title = (
        f"loss on a 51 x 51 grid, {name}, {size.examples} random images of 28 x 28 "
        f"(timed on {size.peers}² points, the project on {size.ours}²; seconds are of the whole grid)"
    )
    floor = Floor(problem.evaluation(SIDE**2, firsts=3), problem.bytes)
    return [Work(f"grid_{name.split()[0]}", title, contestants, check(size), floor, reach)]


def mlps(size: Size = MLP) -> list[Work]:
    """Return the grid of a multilayer perceptron."""
    model = {"name": "mlp", "width": size.width, "depth": 2}
    return grid(f"mlp {size.width}-{size.width}", model, size, {ALL_AT_ONCE: 6, IN_BATCHES: 12})


def cnns(size: Size = CNN) -> list[Work]:
    """Return the grid of a convolutional network."""
    model = {"name": "simple_cnn", "width": size.width}
    return grid(f"cnn {size.width}-{2 * size.width}", model, size, {ALL_AT_ONCE: 5, IN_BATCHES: 2.5})
