"""The spectral density of the Hessian by stochastic Lanczos quadrature, at equal probes and steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.frame import OURS, Agreement, Contestant, Floor, Work
from benchmarks.hessians import At, curvlinops, double_backward, eigenthings, fastest, krylov
from benchmarks.problems import on_digits
from wedgescape.landscapes.spans import gaussian
from wedgescape.numerics.eigenpairs import Eigenpairs
from wedgescape.numerics.lanczos import spectrum

BEST = "best of hessian-eigenthings, curvlinops, double backward"


@dataclass(frozen=True)
class Size:
    """How many products are taken.

    Args:
        width: of a multilayer perceptron on the digits.
        examples: None takes all.
        probes: random vectors.
        steps: of Lanczos for each.
        epochs: of training before.
    """

    width: int = 64
    examples: int | None = None
    probes: int = 20
    steps: int = 50
    epochs: int = 5


WHOLE = Size()


@dataclass(frozen=True)
class Moments:
    """What an estimate of the density says of all eigenvalues.

    Args:
        mean: of the eigenvalues.
        square: mean of their squares.
        error: the larger standard error of both, relative; nan if not known probe by probe.
    """

    mean: float
    square: float
    error: float


def moments(values: np.ndarray, weights: np.ndarray) -> Moments:
    """Return the moments of nodes (n, m) of n probes, or of a density (m,)."""
    values, weights = np.atleast_2d(values), np.atleast_2d(weights)
    found, errors = [], []
    for power in (1, 2):
        by_probe = np.nansum(values**power * weights, 1) / np.nansum(weights, 1)
        found.append(float(by_probe.mean()))
        spread = by_probe.std(ddof=1) if len(by_probe) > 1 else np.nan
        errors.append(float(spread / np.sqrt(len(by_probe)) / found[-1]))
    return Moments(*found, max(errors))


def ours(at: At, size: Size) -> Callable[[], Moments]:
    """Return the project's way."""
    none = torch.zeros(0, dtype=torch.float64)
    no_pairs = Eigenpairs(none, torch.zeros(0, len(at.point), dtype=torch.float64), none, none, none, none)

    def run() -> Moments:
        probes = gaussian(size.probes, len(at.point), "benchmark", 0)
        found = spectrum(at.problem.landscape, at.point, probes, size.steps, no_pairs)
        return moments(found.values, found.masses)

    return run


def by_eigenthings(at: At, size: Size) -> Callable[[], Moments]:
    """Return hessian-eigenthings' `spectral_density`."""
    from hessian_eigenthings import spectral_density

    operator = eigenthings(at, fastest(at, eigenthings))

    def run() -> Moments:
        found = spectral_density(operator, num_runs=size.probes, lanczos_steps=size.steps, seed=0)
        return moments(found.raw_eigenvalues.numpy(), found.raw_weights.numpy())

    return run


def by_curvlinops(at: At, size: Size) -> Callable[[], Moments]:
    """Return curvlinops' `lanczos_approximate_spectrum`, which gets the ends of the spectrum for nothing."""
    from curvlinops import lanczos_approximate_spectrum

    operator = curvlinops(at, fastest(at, curvlinops))
    *_, (values, *_rest) = krylov(lambda vector: operator @ vector, len(at.point), size.steps, 0)
    ends = (float(values[0]), float(values[-1]))

    def run() -> Moments:
        torch.manual_seed(0)
        grid, density = lanczos_approximate_spectrum(
            operator, size.steps, num_repeats=size.probes, boundaries=ends, kappa=1e4
        )
        return moments(grid.numpy(), density.numpy())

    return run


def by_double_backward(at: At, size: Size) -> Callable[[], Moments]:
    """Return a careful user's Lanczos, orthogonalised by products with the basis."""
    chunk = fastest(at, double_backward)

    def run() -> Moments:
        products, values, weights = double_backward(at, chunk), [], []  # the gradient's graph is part of the work
        for seed in range(size.probes):
            *_, (nodes, vectors, _basis, _norm) = krylov(products, len(at.point), size.steps, seed)
            values.append(nodes)
            weights.append(vectors[0] ** 2)
        return moments(np.array(values), np.array(weights))

    return run


def check(at: At) -> Callable[[dict[str, Moments]], dict[str, Agreement]]:
    """Return the check that moments of the density agree within four standard errors; contestants draw other probes."""

    def agree(outcomes: dict[str, Moments]) -> dict[str, Agreement]:
        wanted, found = outcomes[OURS], {}
        for name, one in outcomes.items():
            apart = max(abs(one.mean / wanted.mean - 1), abs(one.square / wanted.square - 1))
            shown = f"trace {one.mean * len(at.point):.4g}, Frobenius norm {(one.square * len(at.point)) ** 0.5:.4g}"
            found[name] = Agreement(apart <= 4 * 2**0.5 * wanted.error, shown)
        return found

    return agree


def works(size: Size = WHOLE) -> list[Work]:
    """Return the work."""
    problem = on_digits({"name": "mlp", "width": size.width, "depth": 2}, size.examples)
    at = At(problem, problem.trained([0], size.epochs)[0], (len(problem.labels),), True)
    count = size.probes * size.steps
    return [
        Work(
            "spectral_density",
            f"spectral density of the Hessian, {size.probes} probes of {size.steps} steps, "
            f"mlp {size.width}-{size.width} on {len(problem.labels)} digits",
            [
                Contestant(OURS, lambda: ours(at, size)),
                Contestant("hessian-eigenthings", lambda: by_eigenthings(at, size), BEST),
                Contestant("curvlinops", lambda: by_curvlinops(at, size), BEST),
                Contestant("double backward", lambda: by_double_backward(at, size), BEST),
            ],
            check(at),
            Floor(count * problem.product() + problem.gradient(len(problem.labels)), 0.0),
            {BEST: 2.5},
        )
    ]
