"""Products with the Hessian of the training loss, by each contestant, and how many of them reach an accuracy.

Every peer gets its best: the chunks of examples that are fastest here, and as few products as do. Finding both is not
timed, although a user would have to.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.problems import Problem

Products = Callable[[Tensor], Tensor]  # (P,) -> (P,)
TRIALS = 3


@dataclass(frozen=True)
class At:
    """A problem at a point, where its Hessian is asked for.

    Args:
        problem: a network on data.
        point: (P,)
        chunks: numbers of examples that may be differentiated at once; each divides all examples, since
            hessian-eigenthings weighs batches equally.
        held: whether the slopes' graphs of all examples fit into memory.
    """

    problem: Problem
    point: Tensor
    chunks: tuple[int, ...]
    held: bool

    def batches(self, chunk: int) -> list[tuple[Tensor, Tensor]]:
        """Return the examples in chunks."""
        return list(zip(self.problem.images.split(chunk), self.problem.labels.split(chunk), strict=True))

    def network(self) -> nn.Sequential:
        """Return the network of PyTorch's own layers at the point."""
        return self.problem.network(self.point)


def double_backward(at: At, chunk: int, dtype: torch.dtype = torch.float32) -> Products:
    """Return products by differentiating the gradient, whose graph is kept where all of it fits into memory."""
    network = at.network().to(dtype)
    weights, count = list(network.parameters()), len(at.problem.labels)
    sizes = [part.numel() for part in weights]

    def slopes(images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        loss = cross_entropy(network(images.to(dtype)), labels, reduction="sum") / count
        return torch.autograd.grad(loss, weights, create_graph=True)

    batches = at.batches(chunk)
    kept = [slopes(*batch) for batch in batches] if at.held else None

    def product(vector: Tensor) -> Tensor:
        ways = [part.reshape(one.shape) for part, one in zip(vector.split(sizes), weights, strict=True)]
        total = torch.zeros_like(vector)
        for gradient in kept or (slopes(*batch) for batch in batches):
            moved = torch.autograd.grad(gradient, weights, ways, retain_graph=at.held)
            total += torch.cat([part.flatten() for part in moved])
        return total

    return product


def exact(at: At) -> Products:
    """Return products in float64, which answers are checked by."""
    return double_backward(At(at.problem, at.point, at.chunks, at.held), min(at.chunks), torch.float64)


def eigenthings(at: At, chunk: int):
    """Return hessian-eigenthings' operator."""
    from hessian_eigenthings import HessianOperator, supervised_loss

    return HessianOperator(at.network(), at.batches(chunk), supervised_loss(cross_entropy))


def curvlinops(at: At, chunk: int):
    """Return curvlinops' operator."""
    from curvlinops import HessianLinearOperator

    network = at.network()
    return HessianLinearOperator(
        network, nn.CrossEntropyLoss(), list(network.parameters()), at.batches(chunk), check_deterministic=False
    )


def fastest(at: At, operator: Callable[[At, int], object]) -> int:
    """Return the number of examples at once with which an operator takes least time here."""

    def seconds(chunk: int) -> float:
        built = operator(at, chunk)
        multiply = built if callable(built) else built.__matmul__
        vector, found = torch.ones_like(at.point), []
        for _ in range(TRIALS):
            start = time.perf_counter()
            multiply(vector)
            found.append(time.perf_counter() - start)
        return min(found)

    return min(at.chunks, key=seconds) if len(at.chunks) > 1 else at.chunks[0]


# How many products reach an accuracy


def krylov(
    products: Products, dim: int, steps: int, seed: int
) -> Iterable[tuple[np.ndarray, np.ndarray, Tensor, float]]:
    """Yield after each step of Lanczos the Ritz values, their vectors in the basis, the basis and the last norm.

    With full reorthogonalisation, in the precision of the products.
    """
    basis = torch.empty(steps, dim)
    vector = torch.randn(dim, generator=torch.Generator().manual_seed(seed))
    matrix = np.zeros((steps + 1, steps + 1))
    for step in range(steps):
        basis[step] = vector / vector.norm()
        moved = products(basis[step])
        matrix[step, step] = float(moved @ basis[step])
        for _ in range(2):
            moved = moved - (basis[: step + 1] @ moved) @ basis[: step + 1]
        vector, norm = moved, float(moved.norm())
        values, vectors = np.linalg.eigh(matrix[: step + 1, : step + 1])
        yield values, vectors, basis[: step + 1], norm
        matrix[step, step + 1] = matrix[step + 1, step] = norm


def least_steps(products: Products, dim: int, count: int, tolerance: float, most: int = 250) -> int:
    """Return after how many Lanczos steps the largest eigenpairs have residuals below a part of the largest one."""
    for step, (values, vectors, _basis, norm) in enumerate(krylov(products, dim, min(most, dim), 0), 1):
        if step > count and np.abs(vectors[-1, -count:] * norm).max() <= tolerance * values[-1]:
            return step
    return most


class Judge:
    """Residuals of eigenpairs in float64, and how small they can be in float32.

    A float32 product differs from the exact one by some 1e-6 of the Hessian's norm, and whoever multiplies in float32
    has no smaller residuals. So the error of plain products with the same vectors is allowed beside the tolerance.
    """

    def __init__(self, at: At):
        self.exact, self.plain = exact(at), double_backward(at, max(at.chunks))

    def residual(self, values: Tensor, vectors: Tensor) -> float:
        """Return the largest |H v - lambda v| over the largest eigenvalue, of values (k,) and vectors (k, P)."""
        values, vectors = values.double(), vectors.double()
        moved = torch.stack([self.exact(vector) for vector in vectors])
        return float((moved - values[:, None] * vectors).norm(dim=1).max() / values.max())

    def rounding(self, values: Tensor, vectors: Tensor) -> float:
        """Return the largest |H v - (H v in float32)|, in the same unit."""
        apart = [(self.exact(one.double()) - self.plain(one.float()).double()).norm() for one in vectors]
        return float(max(apart) / values.double().max())

    def holds(self, values: Tensor, vectors: Tensor, tolerance: float) -> bool:
        """Return whether residuals are within the tolerance, as well as float32 can."""
        return self.residual(values, vectors) <= tolerance + 1.2 * self.rounding(values, vectors)


class Arpack:
    """scipy's `eigsh` with products of tensors, and with the basis and tolerance that take the fewest products.

    Args:
        products: to find those with.
        dim: P.
        count: of eigenpairs.
        tolerance: largest residual over the largest eigenvalue.
        spread: largest eigenvalue over the last of those asked for; ARPACK's own tolerance is relative to each.
    """

    def __init__(self, products: Products, dim: int, count: int, tolerance: float, spread: float):
        self.dim, self.count = dim, count
        self.start = np.random.default_rng(0).standard_normal(dim).astype(np.float32)
        self.tolerance = 0.9 * tolerance * spread
        tried = {basis: self._products(products, basis) for basis in {2 * count + 1, 3 * count, 4 * count, 6 * count}}
        self.basis = min(tried, key=tried.get)

    def _products(self, products: Products, basis: int) -> int:
        asked = 0

        def counted(vector: Tensor) -> Tensor:
            nonlocal asked
            asked += 1
            return products(vector)

        self.basis = basis
        self(counted)
        return asked

    def __call__(self, products: Products) -> tuple[Tensor, Tensor]:
        """Return the largest eigenvalues (k,), rising, and their vectors (k, P)."""

        def multiply(vector: np.ndarray) -> np.ndarray:
            return products(torch.from_numpy(vector.ravel())).numpy()

        operator = LinearOperator((self.dim, self.dim), multiply, dtype=np.float32)
        return self.solve(operator)

    def solve(self, operator) -> tuple[Tensor, Tensor]:
        """The same for any operator that scipy takes."""
        values, vectors = eigsh(
            operator, self.count, which="LA", v0=self.start, ncv=self.basis, tol=self.tolerance, maxiter=100
        )
        return torch.from_numpy(values), torch.from_numpy(vectors.T.copy())


def probes_needed(samples: Tensor, error: float) -> int:
    """Return how many samples like these (n,) have a mean with a standard error, at least 4."""
    return max(4, math.ceil(float(samples.double().var()) / error**2))
