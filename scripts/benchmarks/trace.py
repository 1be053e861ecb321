"""The trace of the Hessian: exactly by the project, by peers to a standard error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.frame import OURS, Agreement, Contestant, Floor, Work
from benchmarks.hessians import At, curvlinops, double_backward, eigenthings, fastest, probes_needed
from benchmarks.problems import on_digits
from wedgescape.landscapes.spans import gaussian
from wedgescape.numerics.eigenpairs import hessian_eigenpairs

BEST = "best of hessian-eigenthings, curvlinops, double backward, with Hutchinson's probes or hutch++"
SKETCHES = (4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128)  # thirds of the products of hutch++
TOP = 10  # eigenpairs that the trace is known by beforehand
SEEDS = 3  # over which the error of hutch++ is averaged


@dataclass(frozen=True)
class Size:
    """How well the trace is to be known.

    Args:
        width: of a multilayer perceptron on the digits.
        examples: None takes all.
        error: standard error of the peers, relative to the trace.
        samples: probes by which the errors are known beforehand.
        epochs: of training before.
    """

    width: int = 64
    examples: int | None = None
    error: float = 0.02
    samples: int = 400
    epochs: int = 5


WHOLE = Size()


@dataclass(frozen=True)
class Known:
    """What is known before, so that every contestant takes as few products as do.

    Args:
        trace: from eigenpairs and many probes outside of them.
        plain: number of Hutchinson's probes.
        sketch: a third of the products of hutch++.
    """

    trace: float
    plain: int
    sketch: int


def signs(count: int, dim: int, seed: int) -> Tensor:
    """Return Rademacher vectors (n, P)."""
    return torch.randint(2, (count, dim), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1


def hutchinson(products: Callable[[Tensor], Tensor], dim: int, count: int, seed: int) -> Tensor:
    """Return samples (n,) of the trace."""
    return torch.stack([probe @ products(probe) for probe in signs(count, dim, seed)])


def hutch_pp(products: Callable[[Tensor], Tensor], dim: int, third: int, seed: int) -> Tensor:
    """Return samples (third,) of the trace, each from the same sketch (Meyer et al. 2021)."""
    draws = signs(2 * third, dim, seed)
    basis = torch.linalg.qr(torch.stack([products(draw) for draw in draws[:third]], 1))[0].T
    inside = sum(way @ products(way) for way in basis)
    rest = draws[third:] - (draws[third:] @ basis.T) @ basis
    return inside + torch.stack([probe @ products(probe) for probe in rest])


def known(at: At, size: Size) -> Known:
    """Find out how many products each method takes."""
    products, dim = double_backward(at, max(at.chunks)), len(at.point)
    plain = hutchinson(products, dim, size.samples, 1)
    pairs = hessian_eigenpairs(at.problem.landscape, at.point, TOP, 0)
    ways = pairs.top_vectors.float()
    probes = gaussian(size.samples, dim, "benchmark", 1)
    probes = probes - (probes @ ways.T) @ ways
    trace = float(pairs.top.sum() + torch.stack([probe @ products(probe) for probe in probes]).mean())
    error = size.error * trace

    def error_of(third: int) -> float:
        spreads = [hutch_pp(products, dim, third, seed).std() / third**0.5 for seed in range(SEEDS)]
        return float(sum(spreads) / SEEDS)

    sketch = next((third for third in SKETCHES if error_of(third) <= error), SKETCHES[-1])
    return Known(trace, probes_needed(plain, error), sketch)


def ours(at: At) -> Callable[[], float | None]:
    """Return the project's way: exact for linear layers with ReLU, from one backward pass per class."""
    return lambda: at.problem.landscape.hessian_trace(at.point)


def by_eigenthings(at: At, before: Known, method: str) -> Callable[[], float]:
    """Return hessian-eigenthings' `trace`."""
    from hessian_eigenthings import trace

    operator = eigenthings(at, fastest(at, eigenthings))
    count = 3 * before.sketch if method == "hutch++" else before.plain
    return lambda: trace(operator, num_matvecs=count, method=method, seed=0).estimate


def by_curvlinops(at: At, before: Known, method: str) -> Callable[[], float]:
    """Return curvlinops' estimators."""
    from curvlinops import hutchinson_trace, hutchpp_trace

    operator = curvlinops(at, fastest(at, curvlinops))

    def run() -> float:
        torch.manual_seed(0)
        if method == "hutch++":
            return float(hutchpp_trace(operator, 3 * before.sketch))
        return float(hutchinson_trace(operator, before.plain))

    return run


def by_double_backward(at: At, before: Known, method: str) -> Callable[[], float]:
    """Return a careful user's estimators."""
    chunk, dim = fastest(at, double_backward), len(at.point)

    def run() -> float:
        products = double_backward(at, chunk)  # the gradient's graph is part of the work
        if method == "hutch++":
            return float(hutch_pp(products, dim, before.sketch, 0).mean())
        return float(hutchinson(products, dim, before.plain, 0).mean())

    return run


def check(before: Known, error: float) -> Callable[[dict[str, float]], dict[str, Agreement]]:
    """Return the check that estimates are within four standard errors of the trace."""

    def agree(outcomes: dict[str, float]) -> dict[str, Agreement]:
        found = {}
        for name, trace in outcomes.items():
            apart = trace / before.trace - 1
            found[name] = Agreement(abs(apart) <= 4 * error, f"trace {trace:.4g}, {100 * apart:+.1f} % off")
        return found

    return agree


def works(size: Size = WHOLE) -> list[Work]:
    """Return the work."""
    problem = on_digits({"name": "mlp", "width": size.width, "depth": 2}, size.examples)
    at = At(problem, problem.trained([0], size.epochs)[0], (len(problem.labels),), True)
    before = known(at, size)
    peers = [
        Contestant(f"{name}, {method}", lambda w=way, m=method: w(at, before, m), BEST)
        for name, way in (
            ("hessian-eigenthings", by_eigenthings),
            ("curvlinops", by_curvlinops),
            ("double backward", by_double_backward),
        )
        for method in ("hutchinson", "hutch++")
    ]
    return [
        Work(
            "trace",
            f"trace of the Hessian to {100 * size.error:g} %, mlp {size.width}-{size.width} on "
            f"{len(problem.labels)} digits (Hutchinson {before.plain} products, hutch++ {3 * before.sketch})",
            [Contestant(OURS, lambda: ours(at)), *peers],
            check(before, size.error),
            Floor(problem.trace(), 0.0),
            {BEST: 3},
        )
    ]
