"""The ten largest eigenpairs of the Hessian, at equal residuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.frame import OURS, Agreement, Contestant, Floor, Work
from benchmarks.hessians import (
    Arpack,
    At,
    Judge,
    curvlinops,
    double_backward,
    eigenthings,
    fastest,
    krylov,
    least_steps,
)
from benchmarks.problems import on_digits, on_images
from wedgescape.numerics.eigenpairs import hessian_eigenpairs

BEST = "best of hessian-eigenthings, curvlinops, double backward with `eigsh`"
MOST = 250  # products


@dataclass(frozen=True)
class Size:
    """How much is multiplied.

    Args:
        count: of eigenpairs.
        tolerances: largest residuals over the largest eigenvalue, one work each.
        digits: (width, examples) of a multilayer perceptron on digits; None takes all examples.
        images: the same on images.
        cnn: the same of a convolutional network on images; None leaves it out.
        epochs: of training before.
        more: how many times as many images the convolutional network is trained on, since few teach it nothing.
    """

    count: int = 10
    tolerances: tuple[float, ...] = (1e-3, 1e-6)
    digits: tuple[int, int | None] = (64, None)
    images: tuple[int, int] = (128, 2000)
    cnn: tuple[int, int] | None = (16, 128)
    epochs: int = 5
    more: int = 10


WHOLE = Size()


def ours(at: At, count: int, tolerance: float) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return the project's way."""

    def run() -> tuple[Tensor, Tensor]:
        pairs = hessian_eigenpairs(at.problem.landscape, at.point, count, 0, tolerance=tolerance)
        return pairs.top, pairs.top_vectors

    return run


def by_eigenthings(at: At, count: int, tolerance: float) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return hessian-eigenthings' Lanczos with the fewest iterations that do, always orthogonalised."""
    from hessian_eigenthings import lanczos

    operator, judge, dim = eigenthings(at, fastest(at, eigenthings)), Judge(at), len(at.point)
    least = least_steps(operator.matvec, dim, count, tolerance, MOST)

    def solve(steps: int) -> tuple[Tensor, Tensor]:
        found = lanczos(operator, k=count, max_iter=steps, which="LA", reorthogonalize=True, seed=0)
        return found.eigenvalues, found.eigenvectors

    # Its start is another random vector than that of `least_steps`, and may need a few steps more.
    tries = [min(dim, least + extra) for extra in (0, 2, 4, 8)]
    steps = next((one for one in tries if judge.holds(*solve(one), tolerance)), tries[-1])
    return lambda: solve(steps)


def arpack(at: At, count: int, tolerance: float, products: Callable[[Tensor], Tensor]) -> Arpack:
    """Return `eigsh` as it takes the fewest products."""
    *_, (values, *_rest) = krylov(products, len(at.point), 3 * count, 0)
    return Arpack(products, len(at.point), count, tolerance, float(values[-1] / values[-count]))


def by_double_backward(at: At, count: int, tolerance: float) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return `eigsh` with a careful user's products."""
    chunk = fastest(at, double_backward)
    solver = arpack(at, count, tolerance, double_backward(at, chunk))
    return lambda: solver(double_backward(at, chunk))  # the gradient's graph is part of the work


def by_curvlinops(at: At, count: int, tolerance: float) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return `eigsh` with curvlinops' operator, as its documentation does."""
    operator = curvlinops(at, fastest(at, curvlinops))
    solver = arpack(at, count, tolerance, lambda vector: operator @ vector)
    return lambda: solver.solve(operator.to_scipy(dtype="float32"))


def check(at: At, tolerance: float) -> Callable[[dict], dict[str, Agreement]]:
    """Return the check of residuals in float64, and that no pair is a copy of another."""
    judge = Judge(at)

    def agree(outcomes: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Agreement]:
        largest = float(outcomes[OURS][0].max())
        sums = {name: float(values.double().sum()) for name, (values, _) in outcomes.items()}
        found = {}
        for name, (values, vectors) in outcomes.items():
            left, rounding = judge.residual(values, vectors), judge.rounding(values, vectors)
            reached = judge.holds(values, vectors, tolerance)
            vectors = vectors.double()
            overlap = float((vectors @ vectors.T - torch.eye(len(vectors), dtype=torch.float64)).abs().max())
            same = abs(sums[name] - sums[OURS]) <= 10 * tolerance * largest
            found[name] = Agreement(
                reached and overlap < 0.01 and same,
                f"residual {left:.1e} (rounding {rounding:.1e}), sum of eigenvalues {sums[name]:.5g}",
            )
        return found

    return agree


def points(size: Size) -> dict[str, tuple[str, At]]:
    """Return where Hessians are asked for: name -> (title, place)."""
    width, examples = size.digits
    problem = on_digits({"name": "mlp", "width": width, "depth": 2}, examples)
    count = len(problem.labels)
    found = {
        "digits": (
            f"mlp {width}-{width} on {count} digits",
            At(problem, problem.trained([0], size.epochs)[0], (count,), True),
        )
    }
    width, examples = size.images
    problem = on_images({"name": "mlp", "width": width, "depth": 2}, examples)
    found["mlp"] = (
        f"mlp {width}-{width} on {examples} random images",
        At(problem, problem.trained([0], size.epochs)[0], (examples // 4, examples), True),
    )
    if size.cnn:
        width, examples = size.cnn
        model = {"name": "simple_cnn", "width": width}
        point = on_images(model, size.more * examples).trained([0], size.epochs)[0]
        found["cnn"] = (
            f"simple_cnn on {examples} random images",
            At(on_images(model, examples), point, (examples // 2, examples), True),
        )
    return found


def works(size: Size = WHOLE) -> list[Work]:
    """Return one work per network and residual."""
    found = []
    for name, (title, at) in points(size).items():
        products = double_backward(at, max(at.chunks))
        for tolerance in size.tolerances:
            arguments = (at, size.count, tolerance)
            steps = least_steps(products, len(at.point), size.count, tolerance, MOST)
            found.append(
                Work(
                    f"eigenpairs_{name}_{tolerance:.0e}",
                    f"{size.count} largest eigenpairs, residuals of {tolerance:.0e} of the largest, {title}",
                    [
                        Contestant(OURS, lambda a=arguments: ours(*a)),
                        Contestant("hessian-eigenthings", lambda a=arguments: by_eigenthings(*a), BEST),
                        Contestant("curvlinops, eigsh", lambda a=arguments: by_curvlinops(*a), BEST),
                        Contestant("double backward, eigsh", lambda a=arguments: by_double_backward(*a), BEST),
                    ],
                    check(at, tolerance),
                    Floor(steps * at.problem.product() + at.problem.gradient(len(at.problem.labels)), 0.0),
                    {BEST: 1.5},
                )
            )
    return found
