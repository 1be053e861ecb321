"""Curves of low loss between pairs of optima: Bezier curves and polygonal chains (science, section 5)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import one_hot, pad

from wedgescape.landscapes.base import POINTS_IN_MEMORY, SPLITS, Batch, Landscape
from wedgescape.landscapes.lines import barrier
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import as_rows, described
from wedgescape.training.descent import Recipe, descend

GRID = 32  # equal parts of [0, 1], at whose middles the mean loss of a curve is taken


class CurveLandscape(Landscape):
    """The mean loss along K curves, as a function of what lies between their fixed ends (Garipov et al. 2018).

    A curve maps t in [0, 1] to weights; its loss is the mean over uniform t. A point of this landscape is one curve,
    its inner control points, flat. So whatever descends a landscape trains curves, and through any network, for each
    place on a curve is an ordinary weight vector. `losses` and full gradients take the mean over a fixed grid of t;
    stochastic gradients draw t from each point's own stream, one in each of `samples` equal parts of [0, 1], which is
    unbiased and varies less than independent draws.

    Args:
        landscape: in R^P.
        starts: (K, P), where the curves begin, at t = 0; or (1, P) for all.
        ends: (K, P), where they end, at t = 1; or (1, P).
        kind: `bezier`, of degree bends + 1 (quadratic with one bend), or `chain`, straight pieces of equal ranges of t.
        bends: inner control points; a chain without bends is the straight line.
        samples: places on a curve that a stochastic gradient looks at.

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
        """Return the weights (K, T, P) on curves (K, bends * P) at places t, (T,) of all curves or (K, T)."""
        return _mix(self._shares(t, self.bends + 1), self.controls(points))

    def tangents(self, points: Tensor, t: Tensor) -> Tensor:
        """Return the derivatives by t (K, T, P) of curves at places t; where a chain bends, of the next piece."""
        steps = (self.bends + 1) * self.controls(points).diff(dim=1)
        if self.kind == "chain":
            piece = ((self.bends + 1) * t).long().clamp_max(self.bends)
            return _mix(one_hot(piece, self.bends + 1).to(t), steps)
        return _mix(self._shares(t, self.bends), steps)

    def _shares(self, t: Tensor, last: int) -> Tensor:
        """Return the shares (..., last + 1) of control points 0 … last at places t (...).

        They sum to 1, and at both ends one of them is exactly 1. Sums and products alone: powers are rounded
        differently in the middle and at the end of an array, and a curve would depend on its neighbours.
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
        # `sum` and not a tensor's mean, whose order of summation depends on how many curves there are.
        return sum(self.landscape.losses(self.at(points, t)[:, 0], split) for t in self.grid.split(1)) / GRID

    @torch.no_grad()
    def evaluate(self, points: Tensor, split: str = "train") -> dict[str, Tensor]:
        """See `Landscape.evaluate`: means over the grid of t."""
        values = self.profiles(points, self.grid, split)
        return {name: sum(value.unbind(1)) / GRID for name, value in values.items()}

    @torch.no_grad()
    def profiles(self, points: Tensor, t: Tensor, split: str = "train") -> dict[str, Tensor]:
        """Return what the landscape evaluates, each (K, T), on curves (K, bends * P) at places t (T,)."""
        parts = []
        for some in t.split(max(1, POINTS_IN_MEMORY // (4 * self.landscape.dim * len(points)))):
            values = self.landscape.evaluate(self.at(points, some).flatten(0, 1), split)
            parts.append({name: value.unflatten(0, (len(points), -1)) for name, value in values.items()})
        return {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}

    def trace(self, points: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the norms (K, T) of weights at places t (T,), and the lengths (K,) of the polygons through them."""
        norms, lengths, before = [], torch.zeros(len(points)).to(points), None
        for place in t.split(1):
            here = self.at(points, place)[:, 0]
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
        # All places on a curve see its minibatch, and drop units by its stream, one after another.
        examples, dropout = (part.repeat_interleave(self.samples, 0) for part in (batch.examples, batch.dropout))
        streams = [draw for draw in batch.streams for _ in range(self.samples)]
        return self._gradients(points, t, Batch(examples, streams, dropout))

    def _gradients(self, points: Tensor, t: Tensor, batch: Batch | None) -> Tensor:
        """Return the gradients (K, bends * P) of the mean loss at places t (K, T)."""
        slopes = self.landscape.gradients(self.at(points, t).flatten(0, 1), batch).unflatten(0, t.shape)
        shares = self._shares(t, self.bends + 1)[..., 1:-1] / t.shape[1]
        return _mix(shares.transpose(1, 2), slopes).flatten(1)

    def hvp(self, point: Tensor, vectors: Tensor) -> Tensor:
        """See `Landscape.hvp`; where there is one curve."""
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


def draw_pairs(seeds: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Return `count` random pairs of different seeds, each sorted; all there are, where there are fewer.

    Seeds are dealt out before one is dealt again, so that pairs share as few of them as can be.
    """
    seeds = sorted(int(seed) for seed in seeds)
    draw = stream("curve pairs")
    left = list(itertools.combinations(seeds, 2))
    left = [left[k] for k in draw.permutation(len(left))]
    used, drawn = dict.fromkeys(seeds, 0), []
    for _pair in range(min(count, len(left))):
        best = min(left, key=lambda pair: (max(used[seed] for seed in pair), sum(used[seed] for seed in pair)))
        left.remove(best)
        drawn.append(best)
        for seed in best:
            used[seed] += 1
    return drawn


def measure(landscape: Landscape, optima: dict[int, Tensor], kinds: Sequence[str], bends: int, pairs: int, steps: int,
            learning_rate: float, batch_size: int | None, samples: int, points: int) -> xr.Dataset:  # fmt: skip
    """Train curves between pairs of optima, and measure them beside the straight lines (our definition).

    All pairs are trained together; each curve begins as the straight line and draws from streams of its own. The
    barrier is the largest excess of the loss over the chord between the ends' losses (`lines.barrier`).

    Args:
        landscape: that also evaluates accuracy.
        optima: seed -> (P,).
        kinds: of curves: `bezier` (quadratic), `chain`.
        bends: of a chain.
        pairs: random pairs of optima.
        steps: of the descent (Adam, the rate falling to zero along a cosine).
        learning_rate: of the descent.
        batch_size: examples a step; None for all.
        samples: places on each curve that a step looks at.
        points: places on each curve at which it is evaluated, evenly in t, ends included.

    Returns:
        loss and accuracy over (kind, pair, split, t), norm over (kind, pair, t), barriers, lengths, and the inner
        control points of each kind; the straight line is the first kind.
    """
    chosen = draw_pairs(list(optima), pairs)
    starts, ends = (torch.stack([optima[pair[end]] for pair in chosen]) for end in (0, 1))
    t = torch.linspace(0, 1, points).to(starts)
    recipe = Recipe(optimizer="adam", learning_rate=learning_rate, batch_size=batch_size, schedule="cosine")
    seeds = [(first << 32) + second for first, second in chosen]  # a pair's own, whichever others are drawn
    edges = (ends - starts)[:, None]
    seen: dict[str, list[Tensor]] = {name: [] for name in VARIABLES}
    variables = {}
    for kind in ("line", *kinds):
        count = {"line": 0, "bezier": 1, "chain": bends}[kind]
        curve = CurveLandscape(landscape, starts, ends, "chain" if kind == "line" else kind, count, samples)
        found = curve.straight()
        if count:
            found = descend(curve, found, recipe, steps, seeds).points
            dims = ("pair", f"{kind}_bend", "param")
            text = f"inner control points of the {kind}, the ends being the optima of the pair"
            variables[f"{kind}_controls"] = described(dims, found.unflatten(1, (count, -1)).cpu(), text, "weights")
        profiles = [curve.profiles(found, t, split) for split in SPLITS]
        for name in ("loss", "accuracy"):
            seen[name].append(torch.stack([values[name] for values in profiles], 1))
        norms, lengths = curve.trace(found, t)
        leaving = torch.cosine_similarity(curve.tangents(found, t[[0, -1]]).double(), edges.double(), dim=2)
        seen["norm"].append(norms)
        seen["length"].append(lengths)
        seen["departure"].append(leaving.clamp(-1, 1).acos())
    for name, (dims, text, units) in VARIABLES.items():
        variables[name] = described(dims, torch.stack(seen[name]).cpu(), text, units)
    losses = variables["loss"][1]
    text = "largest excess of the loss over the line between the ends' losses"
    variables["barrier"] = described(("kind", "pair", "split"), barrier(losses), text, "nat")
    variables["largest_loss"] = described(("kind", "pair", "split"), losses.max(-1), "largest loss on the curve", "nat")
    coordinates = {
        "kind": ["line", *kinds], "pair": [f"{first}-{second}" for first, second in chosen], "split": list(SPLITS),
        "t": t.cpu().numpy(), "end": ["first", "second"], "seed": (("pair", "end"), np.array(chosen)),
    }  # fmt: skip
    return xr.Dataset(variables, coordinates)


VARIABLES = {
    "loss": (("kind", "pair", "split", "t"), "mean cross-entropy at place t of the curve", "nat"),
    "accuracy": (("kind", "pair", "split", "t"), "accuracy at place t of the curve", "1"),
    "norm": (("kind", "pair", "t"), "Euclidean norm of the weights at place t of the curve", "weights"),
    "length": (("kind", "pair"), "length of the polygon through the places t", "weights"),
    "departure": (("kind", "pair", "end"), "angle between the curve and the straight line at an optimum", "radian"),
}


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row a (kind, pair, split, t): loss, accuracy, norm, and the curve's barrier and relative length."""
    relative = store["length"] / store["length"].sel(kind="line", drop=True)
    table = store[["loss", "accuracy", "norm", "barrier"]].assign(relative_length=relative)
    columns = ("loss", "accuracy", "norm", "barrier", "relative_length")
    return as_rows(table, ("kind", "pair", "split", "t"), columns)
