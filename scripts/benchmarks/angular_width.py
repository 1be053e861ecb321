"""The angular width of tunnels along random rays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from benchmarks.frame import OURS, Agreement, Contestant, Floor, Work
from benchmarks.problems import Problem, on_digits
from wedgescape.measurements.tunnels import angular_width, keeps_score, tangents

FRACTION = 0.9  # of the optimum's accuracy, below which a ray is outside
SAME = 0.9  # of the rays must agree: those that leave, come back and leave again have several crossings


@dataclass(frozen=True)
class Size:
    """How many rays.

    Args:
        width: of a multilayer perceptron on the digits.
        examples: None takes all.
        optima: trained networks.
        rays: per optimum.
        error: degrees.
        epochs: of training before.
    """

    width: int = 64
    examples: int | None = None
    optima: int = 12
    rays: int = 8
    error: float = 0.25
    epochs: int = 10


WHOLE = Size()


def ours(problem: Problem, optima: Tensor, rays: Tensor, size: Size) -> Callable[[], Tensor]:
    """Return the project's way, which looks for the first crossing: it brackets on 10 angles before it halves."""
    inside, error = keeps_score(FRACTION), math.radians(size.error)
    return lambda: angular_width(problem.landscape, optima, rays, inside, error).angle


def one_at_a_time(
    problem: Problem, optima: Tensor, rays: Tensor, crossing: Callable[[Callable[[float], bool]], float]
) -> Tensor:
    """Find the crossing (K, U) of one ray after another.

    Args:
        problem: the network on data.
        optima: (K, P).
        rays: (K, U, P).
        crossing: (angle -> whether the ray is inside) -> angle where it leaves.
    """
    network = problem.network()

    @torch.no_grad()
    def accuracy(point: Tensor) -> float:
        vector_to_parameters(point, network.parameters())
        return float((network(problem.images).argmax(1) == problem.labels).float().mean())

    def along(optimum: Tensor, ray: Tensor, wanted: float) -> Callable[[float], bool]:
        across = float(optimum.norm()) * ray
        return lambda angle: accuracy(math.cos(angle) * optimum + math.sin(angle) * across) >= wanted

    found = []
    for optimum, own in zip(optima, rays, strict=True):
        wanted = FRACTION * accuracy(optimum)
        found.append([crossing(along(optimum, ray, wanted)) for ray in own])
    return torch.tensor(found)


def bisection(problem: Problem, optima: Tensor, rays: Tensor, size: Size) -> Callable[[], Tensor]:
    """Return bisection of [0, 90] degrees."""
    halvings = math.ceil(math.log2(90 / (2 * size.error)))

    def crossing(inside: Callable[[float], bool]) -> float:
        low, high = 0.0, math.pi / 2
        if inside(high):
            return high
        for _ in range(halvings):
            middle = (low + high) / 2
            low, high = (middle, high) if inside(middle) else (low, middle)
        return (low + high) / 2

    return lambda: one_at_a_time(problem, optima, rays, crossing)


def scan(problem: Problem, optima: Tensor, rays: Tensor, size: Size) -> Callable[[], Tensor]:
    """Return a scan in steps of twice the error until a ray is outside."""
    step = math.radians(2 * size.error)
    steps = round(math.pi / 2 / step)

    def crossing(inside: Callable[[float], bool]) -> float:
        outside = next((index for index in range(1, steps + 1) if not inside(index * step)), None)
        return math.pi / 2 if outside is None else (outside - 0.5) * step

    return lambda: one_at_a_time(problem, optima, rays, crossing)


def check(size: Size) -> Callable[[dict[str, Tensor]], dict[str, Agreement]]:
    """Return the check that widths agree within both errors."""

    def agree(outcomes: dict[str, Tensor]) -> dict[str, Agreement]:
        wanted = outcomes[OURS].double().rad2deg()
        found = {}
        for name, angles in outcomes.items():
            angles = angles.double().rad2deg()
            same = float(((angles - wanted).abs() <= 2 * size.error + 1e-6).double().mean())
            found[name] = Agreement(
                same >= SAME, f"mean width {float(angles.mean()):.2f} degrees, {100 * same:.0f} % of rays agree"
            )
        return found

    return agree


def works(size: Size = WHOLE) -> list[Work]:
    """Return the work."""
    problem = on_digits({"name": "mlp", "width": size.width, "depth": 2}, size.examples)
    seeds = range(size.optima)
    optima = problem.trained(seeds, size.epochs)
    rays = tangents(optima, size.rays, seeds)
    arguments = (problem, optima, rays, size)
    # Bisection of the whole range asks for so many points. On a ray, a first layer is a mix of two products: one of the
    # optimum's weights, and one of the ray's.
    halvings = size.optima * size.rays * math.ceil(math.log2(90 / (2 * size.error)))
    operations = problem.evaluation(size.optima + halvings, firsts=size.optima * (1 + size.rays))
    return [
        Work(
            "angular_width",
            f"angular widths to {size.error:g} degrees of {size.optima} x {size.rays} rays, "
            f"mlp {size.width}-{size.width} on {len(problem.labels)} digits",
            [
                Contestant(OURS, lambda: ours(*arguments)),
                Contestant("bisection", lambda: bisection(*arguments), "bisection one at a time"),
                Contestant("scan", lambda: scan(*arguments), f"scan every {2 * size.error:g} degrees"),
            ],
            check(size),
            Floor(operations, problem.bytes),
            {"bisection one at a time": 5},
        )
    ]
