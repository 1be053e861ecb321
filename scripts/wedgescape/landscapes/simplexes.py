"""Bezier simplexes through m points of a landscape, as points of a landscape of simplexes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from wedgescape.landscapes.base import POINTS_IN_MEMORY, Batch, Landscape
from wedgescape.landscapes.spans import gram
from wedgescape.numerics.randomness import stream

# Where positions on a simplex are drawn: the parameter of a symmetric Dirichlet distribution; None is on edges.
REGIONS = {"uniform": 1.0, "faces": 0.3, "vertices": 0.1, "edges": None}
FIXED = 8  # positions per region at which the loss of a simplex is a mean without noise
SMALLEST = 1e-30  # a displacement of zero has no direction and stays as it is


def draw_positions(region: str, members: int, count: int, draw: np.random.Generator) -> Tensor:
    """Return random barycentric positions (count, m), float64; rows sum to 1.

    `uniform` is uniform over the simplex. `faces` and `vertices` are Dirichlet with parameters 0.3 and 0.1: few of the
    coordinates are large, or one. `edges` is uniform over a random edge.
    """
    if REGIONS[region] is not None:
        return torch.from_numpy(draw.dirichlet(np.full(members, REGIONS[region]), count))
    ends, t = np.argsort(draw.random((count, members)), axis=1)[:, :2], draw.random((count, 1))
    positions = np.zeros((count, members))
    np.put_along_axis(positions, ends, np.concatenate([1 - t, t], 1), 1)
    return torch.from_numpy(positions)


def in_all_regions(members: int, count: int, draw: np.random.Generator) -> Tensor:
    """Return random positions (regions * count, m), region by region."""
    return torch.cat([draw_positions(region, members, count, draw) for region in REGIONS])


class SimplexLandscape(Landscape):
    """The mean loss over K Bezier simplexes, as a function of their control points (our generalisation of curves).

    A simplex maps barycentric coordinates a = (a_1, …, a_m) to weights. With a control point c_ij for every pair,

        theta(a) = sum_i a_i^2 theta_i + sum_{i<j} 2 a_i a_j c_ij
                 = sum_i a_i theta_i + sum_{i<j} 2 a_i a_j (c_ij - (theta_i + theta_j) / 2).

    So it is the linear hull of its vertices plus what the displacements d_ij of control points from midpoints add. A
    point of this landscape is one simplex: its displacements, flat; zero is the linear hull. For m = 2 it is the
    quadratic Bezier curve of `curves`. A descent moves simplexes as it trains networks, and through any network, since
    every position on a simplex is an ordinary weight vector.

    The loss is the mean over the four `REGIONS`, with equal weights. `losses` and full gradients take it at fixed
    positions. Stochastic gradients draw `samples` positions per region from each simplex's own stream.

    A bound keeps a simplex near its linear hull (`shorten`). With |d_ij| at most rho |theta_i - theta_j|, no position
    is further than rho (1 - 1/m) max |theta_i - theta_j| from its place on the hull, since the shares 2 a_i a_j add up
    to 1 - sum_i a_i^2.

    Args:
        landscape: in R^P.
        vertices: (K, m, P).
        samples: positions per region at which a stochastic gradient is taken.
        radii: (K, m (m - 1) / 2), the longest displacement of each pair; without any bound by default.
    """

    noise = "simplex"

    def __init__(self, landscape: Landscape, vertices: Tensor, samples: int = 1, radii: Tensor | None = None):
        self.landscape, self.vertices, self.samples = landscape, vertices, samples
        self.members = vertices.shape[1]
        self.first, self.second = torch.triu_indices(self.members, self.members, 1, device=vertices.device)
        self.dim = len(self.first) * landscape.dim
        self.examples, self.device, self.dtype = landscape.examples, landscape.device, landscape.dtype
        unbounded = vertices.new_full((len(vertices), len(self.first)), math.inf)
        self.radii = unbounded if radii is None else radii.to(vertices)
        self.fixed = in_all_regions(self.members, FIXED, stream("fixed positions", self.members)).to(vertices)

    def hulls(self) -> Tensor:
        """Return the linear hulls (K, dim): no displacements."""
        return self.vertices.new_zeros(len(self.vertices), self.dim)

    def displacements(self, points: Tensor) -> Tensor:
        """Return the displacements (K, pairs, P) that points (K, dim) hold."""
        return points.unflatten(1, (len(self.first), self.landscape.dim))

    def midpoints(self) -> Tensor:
        """Return the middles (K, pairs, P) of all pairs of vertices."""
        return (self.vertices[:, self.first] + self.vertices[:, self.second]) / 2

    def controls(self, points: Tensor) -> Tensor:
        """Return the control points (K, pairs, P)."""
        return self.midpoints() + self.displacements(points)

    def shares(self, positions: Tensor) -> Tensor:
        """Return the shares (..., m + pairs) of vertices and displacements at positions (..., m)."""
        return torch.cat([positions, 2 * positions[..., self.first] * positions[..., self.second]], -1)

    def at(self, points: Tensor, positions: Tensor) -> Tensor:
        """Return the weights (K, T, P) on simplexes at positions (T, m), or (K, T, m) if they differ."""
        shares = self.shares(positions.to(points)).expand(len(points), -1, -1)
        places = self.vertices.new_empty(*shares.shape[:2], self.landscape.dim)
        parts = zip(places, shares, self.vertices, self.displacements(points), strict=True)
        for place, one, own, moved in parts:  # one product per simplex, since a batched one might round otherwise
            torch.mm(one[:, : self.members], own, out=place)
            place.addmm_(one[:, self.members :], moved)
        return places

    def shorten(self, points: Tensor) -> Tensor:
        """Shorten, in place, displacements that are longer than their radius; return the points."""
        moves = self.displacements(points)
        factors = (self.radii / moves.norm(dim=2).clamp_min(SMALLEST)).clamp_max(1.0)
        if bool((factors < 1).any()):
            moves.mul_(factors[..., None])
        return points

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """See `Landscape.losses`: the mean over fixed positions in all regions."""
        parts = [self.landscape.losses(self.at(points, one[None])[:, 0], split) for one in self.fixed]
        return sum(parts) / len(parts)

    def gradients(self, points: Tensor, batch: Batch | None = None) -> Tensor:
        """See `Landscape.gradients`: each displacement's share of the gradients on the simplex, a mean over them."""
        if batch is None:
            each = self.fixed[:, None].expand(-1, len(points), -1)
            return sum(self._gradients(points, one[:, None], None) for one in each) / len(self.fixed)
        positions = torch.stack([in_all_regions(self.members, self.samples, draw) for draw in batch.streams])
        if batch.examples is None:
            return self._gradients(points, positions, None)
        # All positions on a simplex share its minibatch, and draw dropped units from its stream one after another.
        count = positions.shape[1]
        examples, dropout = (part.repeat_interleave(count, 0) for part in (batch.examples, batch.dropout))
        streams = [draw for draw in batch.streams for _ in range(count)]
        return self._gradients(points, positions, Batch(examples, streams, dropout))

    def _gradients(self, points: Tensor, positions: Tensor, batch: Batch | None) -> Tensor:
        """Return the gradients (K, dim) of the mean loss at positions (K, T, m)."""
        slopes = self.landscape.gradients(self.at(points, positions).flatten(0, 1), batch)
        shares = self.shares(positions.to(points))[..., self.members :] / positions.shape[1]
        gradients = points.new_empty(len(points), shares.shape[-1], self.landscape.dim)
        for gradient, one, own in zip(gradients, shares, slopes.unflatten(0, positions.shape[:2]), strict=True):
            torch.mm(one.T, own, out=gradient)
        return gradients.flatten(1)

    @torch.no_grad()
    def profile(self, points: Tensor, k: int, positions: Tensor, split: str = "train") -> dict[str, Tensor]:
        """Return what the landscape evaluates, each (T,), on simplex k at positions (T, m)."""
        one = SimplexLandscape(self.landscape, self.vertices[k : k + 1])
        at_once = max(1, POINTS_IN_MEMORY // (4 * self.landscape.dim))
        parts = [
            self.landscape.evaluate(one.at(points[k : k + 1], some[None])[0], split)
            for some in positions.split(at_once)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def shape(self, points: Tensor, k: int) -> Shape:
        """Return the shape of simplex k."""
        return Shape(self, gram(torch.cat([self.vertices[k], self.displacements(points)[k]])).cpu())


class Shape:
    """What a Bezier simplex looks like in weight space: everything follows from inner products, in float64.

    Args:
        simplex: whose shares of vertices and displacements are meant.
        products: (m + pairs, m + pairs), inner products of vertices and displacements.
    """

    def __init__(self, simplex: SimplexLandscape, products: Tensor):
        self.members, self.products = simplex.members, products
        self.first, self.second = simplex.first.cpu(), simplex.second.cpu()

    def _shares(self, positions: Tensor) -> Tensor:
        positions = positions.double()
        return torch.cat([positions, 2 * positions[:, self.first] * positions[:, self.second]], 1)

    def norms(self, positions: Tensor) -> Tensor:
        """Return the Euclidean norms (T,) of the weights at positions (T, m)."""
        shares = self._shares(positions)
        return ((shares @ self.products) * shares).sum(1).clamp_min(0).sqrt()

    def departures(self, positions: Tensor) -> Tensor:
        """Return how far (T,) the simplex is from the same positions of its linear hull."""
        shares = self._shares(positions)[:, self.members :]
        inner = self.products[self.members :, self.members :]
        return ((shares @ inner) * shares).sum(1).clamp_min(0).sqrt()

    def effective_dimension(self, positions: Tensor, share: float = 0.99) -> int:
        """Return how many principal directions hold a share of the variance at positions (T, m); m - 1 if linear."""
        shares = self._shares(positions)
        centred = shares - shares.mean(0)
        variances = torch.linalg.eigvalsh(centred @ self.products @ centred.T).flip(0).clamp_min(0)
        return int((variances.cumsum(0) / variances.sum() < share).sum()) + 1

    def log_volume(self, positions: Tensor) -> float:
        """Return ln of the (m - 1)-dimensional volume over that of the linear simplex.

        With the tangents J(a) of the coordinates a_1, …, a_{m-1}, the volume is the mean of sqrt det J^T J over uniform
        a, divided by (m - 1)!.

        Args:
            positions: (T, m), uniform: the mean is a Monte Carlo estimate.
        """
        positions, count = positions.double(), len(self.first)
        # d theta / d a_i = theta_i + sum_j 2 a_j d_ij, minus the same for i = m.
        tangents = torch.zeros(len(positions), self.members, self.members + count, dtype=torch.float64)
        tangents[:, :, : self.members] = torch.eye(self.members, dtype=torch.float64)
        pairs = torch.arange(count)
        tangents[:, self.first, self.members + pairs] = 2 * positions[:, self.second]
        tangents[:, self.second, self.members + pairs] = 2 * positions[:, self.first]
        edges = tangents[:, :-1] - tangents[:, -1:]
        found = torch.linalg.slogdet(edges @ self.products @ edges.mT).logabsdet / 2
        flat = edges[0, :, : self.members]
        linear = torch.linalg.slogdet(flat @ self.products[: self.members, : self.members] @ flat.T).logabsdet / 2
        return float(found.logsumexp(0) - math.log(len(positions)) - linear)
