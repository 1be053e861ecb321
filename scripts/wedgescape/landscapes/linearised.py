"""A network that is linear in its weights around a point: its Hessian there is the Gauss-Newton matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.networks import NetworkLandscape


class LinearisedLandscape(Landscape):
    """The training loss of a network whose logits are replaced by their first-order expansion at a point theta.

    With J_i = d logits_i / d theta of example i, the logits at x are logits_i(theta) + J_i (x - theta). The loss is
    convex, and its Hessian at theta is the Gauss-Newton matrix of the network's loss (Schraudolph 2002),

        G = 1/N sum_i J_i^T (diag(p_i) - p_i p_i^T) J_i,    p_i the predicted probabilities.

    Args:
        landscape: a network's.
        point: theta (P,).
    """

    def __init__(self, landscape: NetworkLandscape, point: Tensor):
        self.landscape, self.point = landscape, point.detach()
        self.dim, self.device, self.dtype = landscape.dim, landscape.device, landscape.dtype
        self.examples, self.labels = landscape.examples, landscape.splits["train"][1]
        self._held = list(self._graphs()) if landscape.holds_graphs else None
        self.logits = torch.cat([logits.detach() for _leaf, logits in self._chunks()])  # (N, C)
        self.probabilities = self.logits.softmax(1)

    def _graphs(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.landscape.differentiable_logits(self.point)

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (weights (P,), logits (n, C) that can be differentiated by them) over the training split."""
        return iter(self._held) if self._held is not None else self._graphs()

    def changes(self, vectors: Tensor) -> Tensor:
        """Return the first-order changes J_i v of the logits (V, N, C) along vectors (V, P)."""
        parts = []
        for leaf, logits in self._chunks():
            # J v is the derivative by y of v^T (J^T y): any network that can be differentiated twice has it.
            dual = torch.zeros_like(logits, requires_grad=True)
            pulled = torch.autograd.grad(logits, leaf, dual, create_graph=True)[0]
            rows = [torch.autograd.grad(pulled, dual, vector, retain_graph=True)[0] for vector in vectors]
            parts.append(torch.stack(rows))
        return torch.cat(parts, 1)

    def pulled(self, shares: Tensor) -> Tensor:
        """Return sum_i J_i^T y_i (V, P) for shares y (V, N, C) of the logits."""
        total, first = torch.zeros(len(shares), self.dim, device=self.device, dtype=self.dtype), 0
        for leaf, logits in self._chunks():
            some = shares[:, first : first + len(logits)]
            rows = [torch.autograd.grad(logits, leaf, one, retain_graph=True)[0] for one in some]
            total += torch.stack(rows)
            first += len(logits)
        return total

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """See `Landscape.losses`; the training split alone."""
        logits = self.logits + self.changes(points - self.point)
        return torch.stack([cross_entropy(one, self.labels) for one in logits])

    def hvp(self, point: Tensor, vectors: Tensor) -> Tensor:
        """See `Landscape.hvp`: at theta the Gauss-Newton matrix."""
        moved = self.logits + self.changes((point - self.point)[None])[0] if point is not self.point else self.logits
        chances, changes = moved.softmax(1), self.changes(vectors)
        curved = chances * (changes - (chances * changes).sum(2, keepdim=True))
        return self.pulled(curved / self.examples)

    def hessian_at(self, point: Tensor) -> Callable[[Tensor], Tensor]:
        """See `Landscape.hessian_at`."""
        return lambda vectors: self.hvp(point, vectors)
