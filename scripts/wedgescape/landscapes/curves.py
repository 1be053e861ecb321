"""Curves between two points of a landscape, Bezier curves and polygonal chains, as points of a landscape of curves."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from wedgescape.landscapes.base import POINTS_IN_MEMORY, Batch, Landscape

GRID = 32  # equal parts of [0, 1], at whose middles the mean loss of a curve is taken


class CurveLandscape(Landscape):
    """The mean loss along K curves, as a function of what lies between their fixed ends (Garipov et al. 2018).

    A curve maps positions t in [0, 1] to weights; its loss is the mean over uniform t. A point of this landscape is one
    curve: its inner control points, flat. So a descent trains curves as it trains networks, and through any network,
    because each position on a curve is an ordinary weight vector. `losses` and full gradients take the mean over a
    fixed grid of t. Stochastic gradients draw t from each curve's own stream, one in each of `samples` equal parts of
    [0, 1]. This is unbiased and varies less than independent draws.

    Args:
        landscape: in R^P.
        starts: (K, P), where the curves begin, at t = 0; or (1, P) for all.
        ends: (K, P), where they end, at t = 1; or (1, P).
        kind: `bezier`, of degree bends + 1 (quadratic with one bend), or `chain`, straight pieces of equal ranges of t.
        bends: inner control points; a chain without bends is the straight line.
        samples: positions on a curve at which a stochastic gradient is taken.

    Raises:
        ValueError: if the kind is unknown.
    """

    noise = "curve"

    def __init__(self, landscape: Landscape, starts: Tensor, ends: Tensor, kind: str = "bezier", bends: int = 1,
                 samples: int = 4):  # fmt: skip
        if kind not in ("bezier", "chain"):
            raise ValueError(f"kind: found {kind!r}, allowed are bezier, chain")
        self.landscape, self.starts, self.ends = landscape, starts, ends
        self.kind, self.bends, self.samples = kind, bends, samples
        self.dim = bends * landscape.dim
        self.examples, self.device, self.dtype = landscape.examples, landscape.device, landscape.dtype
        self.grid = ((torch.arange(GRID) + 0.5) / GRID).to(starts)

    def straight(self) -> Tensor:
        """Return the straight lines (K, bends * P): control points at equal distances, and so at equal steps of t."""
        parts = (torch.arange(1, self.bends + 1) / (self.bends + 1)).to(self.starts)
        return (self.starts[:, None] + parts[:, None] * (self.ends - self.starts)[:, None]).flatten(1)

    def controls(self, points: Tensor) -> Tensor:
        """Return all control points (K, bends + 2, P) of curves (K, bends * P), ends included."""
        inner = points.unflatten(1, (self.bends, self.landscape.dim))
        first, last = (end.expand(len(points), -1)[:, None] for end in (self.starts, self.ends))
        return torch.cat([first, inner, last], 1)

    def at(self, points: Tensor, t: Tensor) -> Tensor:
        """Return the weights (K, T, P) on curves (K, bends * P) at positions t: (T,), or (K, T) if they differ."""
        return _mix(self._shares(t, self.bends + 1), self.controls(points))

    def tangents(self, points: Tensor, t: Tensor) -> Tensor:
        """Return the derivatives by t (K, T, P) of curves at positions t; where a chain bends, of the next piece."""
        steps = (self.bends + 1) * self.controls(points).diff(dim=1)
        if self.kind == "chain":
            piece = ((self.bends + 1) * t).long().clamp_max(self.bends)
            return _mix(one_hot(piece, self.bends + 1).to(t), steps)
        return _mix(self._shares(t, self.bends), steps)

    def _shares(self, t: Tensor, last: int) -> Tensor:
        """Return the shares (..., last + 1) of control points 0 … last at positions t (...).

        They sum to 1, and at both ends one of them is exactly 1. They are computed from sums and products alone,
        because powers are rounded differently in the middle and at the end of an array: a curve would depend on the
        curves that are trained with it.
        """
        t = t[..., None]
        if self.kind == "chain":
            return (1 - (last * t - torch.arange(last + 1).to(t)).abs()).clamp_min(0)
        shares = torch.ones_like(t)
        for _degree in range(last):
            shares = pad(shares * (1 - t), (0, 1)) + pad(shares * t, (1, 0))
        return shares

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """See `Landscape.losses`: the mean over the grid of t."""
        # A tensor's mean sums in an order that depends on the number of curves; `sum` does not.
        return sum(self.landscape.losses(self.at(points, t)[:, 0], split) for t in self.grid.split(1)) / GRID

    @torch.no_grad()
    def evaluate(self, points: Tensor, split: str = "train") -> dict[str, Tensor]:
        """See `Landscape.evaluate`: means over the grid of t."""
        values = self.profiles(points, self.grid, split)
        return {name: sum(value.unbind(1)) / GRID for name, value in values.items()}

    @torch.no_grad()
    def profiles(self, points: Tensor, t: Tensor, split: str = "train") -> dict[str, Tensor]:
        """Return what the landscape evaluates, each (K, T), on curves (K, bends * P) at positions t (T,)."""
        parts = []
        for some in t.split(max(1, POINTS_IN_MEMORY // (4 * self.landscape.dim * len(points)))):
            values = self.landscape.evaluate(self.at(points, some).flatten(0, 1), split)
            parts.append({name: value.unflatten(0, (len(points), -1)) for name, value in values.items()})
        return {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}

    def trace(self, points: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the norms (K, T) of weights at positions t (T,), and the lengths (K,) of the polygons through them."""
        norms, lengths, before = [], torch.zeros(len(points)).to(points), None
        for position in t.split(1):
            here = self.at(points, position)[:, 0]
            norms.append(here.norm(dim=1))
            lengths = lengths if before is None else lengths + (here - before).norm(dim=1)
            before = here
        return torch.stack(norms, 1), lengths

    def gradients(self, points: Tensor, batch: Batch | None = None) -> Tensor:
        """See `Landscape.gradients`: the mean over t of each control point's share of the gradient on the curve."""
        if batch is None:
            return sum(self._gradients(points, t.expand(len(points), 1), None) for t in self.grid.split(1)) / GRID
        draws = np.stack([draw.random(self.samples) for draw in batch.streams])
        t = torch.from_numpy((np.arange(self.samples) + draws) / self.samples).to(points)
        if batch.examples is None:
            return self._gradients(points, t, None)
        # All positions on a curve share its minibatch, and draw dropped units from its stream one after another.
        examples, dropout = (part.repeat_interleave(self.samples, 0) for part in (batch.examples, batch.dropout))
        streams = [draw for draw in batch.streams for _ in range(self.samples)]
        return self._gradients(points, t, Batch(examples, streams, dropout))

    def _gradients(self, points: Tensor, t: Tensor, batch: Batch | None) -> Tensor:
        """Return the gradients (K, bends * P) of the mean loss at positions t (K, T)."""
        slopes = self.landscape.gradients(self.at(points, t).flatten(0, 1), batch).unflatten(0, t.shape)
        shares = self._shares(t, self.bends + 1)[..., 1:-1] / t.shape[1]
        return _mix(shares.transpose(1, 2), slopes).flatten(1)

    def hvp(self, point: Tensor, vectors: Tensor) -> Tensor:
        """See `Landscape.hvp`; of a landscape of one curve."""
        products = torch.zeros_like(vectors)
        for t in self.grid.split(1):
            shares = self._shares(t, self.bends + 1)[:, 1:-1]  # (1, bends)
            moves = (shares[..., None] * vectors.unflatten(1, (self.bends, -1))).sum(1)
            product = self.landscape.hvp(self.at(point[None], t)[0, 0], moves)
            products += (shares[..., None] * product[:, None]).flatten(1) / GRID
        return products


def _mix(shares: Tensor, vectors: Tensor) -> Tensor:
    """Return the combinations (K, T, P) of vectors (K, C, P) by shares (K, T, C) or (T, C), bit for bit for any K."""
    return sum(shares[..., c, None] * vectors[:, None, c] for c in range(vectors.shape[1]))
