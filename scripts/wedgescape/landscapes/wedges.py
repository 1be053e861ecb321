"""The toy model: a union of high-dimensional wedges that intersect (Fort & Jastrzebski 2019).

Wedge i of W is short in a random set S_i of s of the D coordinates and long in the other D - s; the loss of a point
is its distance to the nearest wedge. Four things follow in closed form (our derivations), each simulated by the same
code that measures networks.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.spans import gaussian, unit
from wedgescape.numerics.randomness import stream

_SMALLEST = 1e-30  # under the root, so that its slope stays finite on a wedge


class WedgeLandscape(Landscape):
    """Distance to the nearest of W wedges, in R^D: min_i ||x_{S_i}||_2 (our definition).

    Args:
        dim: D.
        short: s, the codimension of each wedge.
        wedges: W.
        seed: draws the sets S_i, uniformly.
        rotated: draw a random orthonormal basis too; else the coordinates themselves.
        thickness: eps in max(0, distance - eps).
        softness: temperature t of a soft minimum -t log sum exp(-distance / t); 0 for the minimum.
        meet: the root of the summed squared distances instead, whose zeros are the points on all wedges at once.
    """

    def __init__(
        self,
        dim: int,
        short: int,
        wedges: int = 1,
        seed: int = 0,
        rotated: bool = False,
        thickness: float = 0.0,
        softness: float = 0.0,
        meet: bool = False,
    ):
        self.dim, self.short, self.wedges = dim, short, wedges
        self.thickness, self.softness, self.meet = thickness, softness, meet
        draw = stream("wedges", seed)
        self.members = torch.zeros(wedges, dim)  # 1 where a coordinate is short
        for row in self.members:
            row[torch.from_numpy(draw.permutation(dim)[:short])] = 1.0
        self.basis = None
        if rotated:
            self.basis = torch.linalg.qr(gaussian(dim, dim, "wedge basis", seed).double())[0].float()

    def _coordinates(self, points: Tensor) -> Tensor:
        return points if self.basis is None else points @ self.basis.to(points)

    def distances(self, points: Tensor) -> Tensor:
        """Return the distances (K, W) of points (K, D) to each wedge."""
        squares = self._coordinates(points).square() @ self.members.T.to(points)
        return (squares.clamp_min(_SMALLEST).sqrt() - self.thickness).clamp_min(0.0)

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """See `Landscape.losses`; a wedge landscape has no splits."""
        distances = self.distances(points)
        if self.meet:
            return distances.square().sum(1).sqrt()
        if self.softness:
            return -self.softness * torch.logsumexp(-distances / self.softness, 1)
        return distances.amin(1)

    def optima(self, count: int, radius: float, seed: int = 0) -> Tensor:
        """Return random points (count, D) at a radius on wedges 0, 1, … in turn, where the loss is zero."""
        coordinates = gaussian(count, self.dim, "wedge optima", seed)
        coordinates = coordinates * (1 - self.members[torch.arange(count) % self.wedges])
        points = coordinates if self.basis is None else coordinates @ self.basis.T
        return radius * unit(points)

    def intersection_dim(self) -> int:
        """Return the dimension of the set of points on all wedges: D - |union of the S_i|."""
        return self.dim - int((self.members.amax(0) > 0).sum())


def random_loss(radius, short, dim):
    """Expected loss of a random point at a radius, one wedge: r sqrt(s / D). More wedges lower it slightly."""
    return np.asarray(radius) * np.sqrt(np.asarray(short) / dim)


def cut_loss(radius, short, cut, dim):
    """Expected lowest loss on a random affine cut of d < s dimensions: r sqrt((s - d) / D); 0 for d >= s."""
    return np.asarray(radius) * np.sqrt(np.clip(np.asarray(short) - np.asarray(cut), 0, None) / dim)


def half_width(threshold, radius, short, dim):
    """Angle (radians) at which a random way off a wedge reaches a loss: asin(tau / (r sqrt(s / D))), at most pi/2."""
    return np.arcsin(np.clip(threshold / random_loss(radius, short, dim), 0, 1))


def intersection(short, meeting, dim):
    """Expected dimension of the intersection of m wedges: D (1 - s / D)^m."""
    return dim * (1 - np.asarray(short) / dim) ** np.asarray(meeting)


def largest_connector(short, dim) -> int:
    """Return the largest m with a connector between m points on m wedges: m - 1 <= D (1 - s / D)^m.

    A displacement orthogonal to the m - 1 dimensions of the hull meets an intersection of I dimensions as long as
    I + (D - m + 1) >= D.
    """
    meeting = 1
    while meeting <= dim and meeting <= intersection(short, meeting + 1, dim):
        meeting += 1
    return meeting
