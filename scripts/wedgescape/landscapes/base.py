"""The one abstraction: a landscape is a loss over points.

A base class and not a bare protocol: gradients and Hessian-vector products follow from the losses, so a landscape
that can be differentiated as it stands (a wedge, a quadratic) defines `losses` alone. A network overrides them, since
it knows about minibatches, dropout and memory.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor
from torch.nn.functional import pad

if TYPE_CHECKING:
    from wedgescape.landscapes.spans import Span

SPLITS = ("train", "test")  # of a landscape that is a loss over examples
POINTS_IN_MEMORY = 2**26  # bytes of points that a slice lifts into the full space at once


@dataclass(frozen=True)
class Batch:
    """What one stochastic gradient at K points looks at.

    Args:
        examples: (K, B) indices into the training split, one row per point; None for a noisy landscape's full loss.
        streams: K random streams (`numpy.random.Generator`), for dropout or a landscape's own noise.
        dropout: (K,) probabilities with which a unit is dropped.
    """

    examples: Tensor | None
    streams: list
    dropout: Tensor


class Landscape(ABC):
    """A function from R^P to the reals, evaluated at K points at once.

    Attributes:
        dim: P, the number of dimensions.
        examples: how many training examples a minibatch draws from; 0 where the loss is not a mean over examples.
        classes: that are told apart; 0 where the loss is no classifier's.
        score: what `evaluate` calls `score`: accuracy or R^2; empty where there is none.
        unit: of the loss.
        noise: what stochastic gradients draw random numbers for even without dropout, the purpose of their streams;
            empty where they draw none.
        device: where points live.
        dtype: of points.
    """

    dim: int
    examples: int = 0
    classes: int = 0
    score: str = ""
    unit: str = "nat"
    noise: str = ""
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32

    @property
    def chance_loss(self) -> float:
        """The loss of a network that knows nothing: ln(classes), nats; nan where there are no classes."""
        return math.log(self.classes) if self.classes else math.nan

    @abstractmethod
    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """Return the losses (K,) at points (K, P); nats for networks, a distance for wedges."""

    def evaluate(self, points: Tensor, split: str = "train") -> dict[str, Tensor]:
        """Return all that one pass yields at points (K, P): at least `loss` (K,); networks add their `score` (K,)."""
        with torch.no_grad():
            return {"loss": self.losses(points, split)}

    def evaluate_combinations(self, vectors: Tensor, shares: Tensor, split: str = "train") -> dict[str, Tensor]:
        """Return what `evaluate` yields at the points shares @ vectors: on a line, a plane, a circle, in a simplex.

        Points are made a few at a time. A network of linear layers computes the first one for the vectors alone.

        Args:
            vectors: (d, P).
            shares: (K, d).
            split: of the examples.
        """
        at_once = max(1, POINTS_IN_MEMORY // (4 * self.dim))
        parts = [self.evaluate(combine(some, vectors), split) for some in shares.split(at_once)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def gradients(self, points: Tensor, batch: Batch | None = None) -> Tensor:
        """Return the gradients (K, P) of the training loss at points (K, P), on a minibatch or in full."""
        points = points.detach().requires_grad_()
        return torch.autograd.grad(self.losses(points).sum(), points)[0]

    def hvp(self, point: Tensor, vectors: Tensor) -> Tensor:
        """Return the products (V, P) of the Hessian of the training loss at a point (P,) with vectors (V, P)."""
        point = point.detach().requires_grad_()
        gradient = torch.autograd.grad(self.losses(point[None]).sum(), point, create_graph=True)[0]
        if not gradient.requires_grad:  # piecewise linear: the Hessian is zero
            return torch.zeros_like(vectors)
        return torch.stack(
            [
                torch.autograd.grad(gradient, point, vector, retain_graph=True, materialize_grads=True)[0]
                for vector in vectors
            ]
        )

    def hessian_at(self, point: Tensor) -> Callable[[Tensor], Tensor]:
        """Return `hvp` at a point (P,) as a linear map (V, P) -> (V, P), for many calls there."""
        return partial(self.hvp, point)

    def hessian_trace(self, point: Tensor) -> float | None:
        """Return the trace of the Hessian of the training loss at a point (P,), where it is known without products.

        None where only products tell.
        """
        return None

    def hessian_operator(self, point: Tensor) -> LinearOperator:
        """Return the Hessian of the training loss at a point (P,) for scipy: a symmetric operator (P, P), float64.

        Products are computed in the landscape's own precision.

        >>> import torch
        >>> from scipy.sparse.linalg import eigsh
        >>> from wedgescape.landscapes.base import Landscape
        >>> class Bowl(Landscape):
        ...     dim = 3
        ...     def losses(self, points, split="train"):
        ...         return (points**2 @ torch.tensor([1.0, 2.0, 4.0])) / 2
        >>> eigsh(Bowl().hessian_operator(torch.zeros(3)), 1)[0].round(3).tolist()
        [4.0]
        """
        hessian = self.hessian_at(point.detach().to(self.device))

        def products(columns: np.ndarray) -> np.ndarray:
            """(P,) or (P, V) -> the same."""
            rows = torch.from_numpy(np.ascontiguousarray(columns.T)).reshape(-1, len(point))
            return hessian(rows.to(self.device, point.dtype)).double().cpu().numpy().T.reshape(columns.shape)

        shape = (len(point), len(point))
        return LinearOperator(shape, products, products, products, np.float64, products)


def combine(shares: Tensor, vectors: Tensor) -> Tensor:
    """Return the points (K, P) that shares (K, d) of vectors (d, P) add up to.

    Term by term: a product of matrices would round a point otherwise alone and among others.
    """
    points = vectors[0] * shares[:, :1]
    for vector, share in zip(vectors[1:], shares[:, 1:].unbind(1), strict=True):
        points.addcmul_(vector, share[:, None])
    return points


class Slice(Landscape):
    """A landscape seen from inside affine subspaces: a point is its coordinates c, and stands for origin + c A.

    So lines, planes and random hyperplanes are landscapes themselves, and whatever evaluates or descends a landscape
    does so inside of them.

    Args:
        landscape: the landscape that is cut.
        origin: (P,), or (K, P) where each of K points lives in a slice of its own.
        span: the d directions A, shared or one set a point (`wedgescape.landscapes.spans`).
    """

    def __init__(self, landscape: Landscape, origin: Tensor, span: Span):
        self.landscape, self.origin, self.span = landscape, origin, span
        self.dim = span.count
        self.examples, self.device, self.dtype = landscape.examples, landscape.device, landscape.dtype
        self.noise = landscape.noise

    def lift(self, coordinates: Tensor) -> Tensor:
        """Return the points (K, P) of the full space that coordinates (K, d) stand for."""
        return self.origin + self.span.combine(coordinates)

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """See `Landscape.losses`."""
        return self.evaluate(points, split)["loss"]

    def evaluate(self, points: Tensor, split: str = "train") -> dict[str, Tensor]:
        """See `Landscape.evaluate`."""
        if self.origin.ndim > 1 or self.span.batched:
            return self.landscape.evaluate(self.lift(points), split)
        vectors = torch.cat([self.origin[None], self.span.directions])
        return self.landscape.evaluate_combinations(vectors, pad(points, (1, 0), value=1.0), split)

    def gradients(self, points: Tensor, batch: Batch | None = None) -> Tensor:
        """See `Landscape.gradients`: the chain rule, A times the gradient in the full space."""
        return self.span.project(self.landscape.gradients(self.lift(points), batch))

    def hvp(self, point: Tensor, vectors: Tensor) -> Tensor:
        """See `Landscape.hvp`: A H A^T."""
        return self.span.project(self.landscape.hvp(self.lift(point[None])[0], self.span.combine(vectors)))
