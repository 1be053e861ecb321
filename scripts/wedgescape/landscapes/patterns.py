"""Planes on which the loss shows a given picture, as points of a landscape of planes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wedgescape.landscapes.base import POINTS_IN_MEMORY, Batch, Landscape, combine


def picture(rows: Sequence[str]) -> Tensor:
    """Return a drawing (`study.sections.Picture`) as numbers (rows, columns): 0 for `#`, 1 for a point."""
    return torch.tensor([[float(one == ".") for one in row] for row in rows])


class PatternLandscape(Landscape):
    """How far the loss on a plane is from a picture (Skorokhodov & Burtsev 2019).

    A point is a plane of another landscape: its middle and two directions, flat, in R^(3 P). With a and b from -1 to 1
    over the columns and from 1 to -1 over the rows of the picture T, its loss is

        mean over (a, b) of (L(middle + a u + b v) - T(a, b))^2,

    so that descents find planes as they find weights.

    Args:
        landscape: in R^P, whose training loss is to show the picture.
        pattern: (rows, columns), the losses wanted, the first row on top.
    """

    unit = "nat^2"

    def __init__(self, landscape: Landscape, pattern: Tensor):
        self.landscape, self.pattern = landscape, pattern.to(landscape.device, landscape.dtype)
        self.dim, self.device, self.dtype = 3 * landscape.dim, landscape.device, landscape.dtype
        self.shares = self.grid(*pattern.shape)

    def grid(self, rows: int, columns: int) -> Tensor:
        """Return the shares (rows * columns, 3) of middle and directions at the points of a grid over a plane."""
        b, a = torch.meshgrid(torch.linspace(1, -1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        return torch.stack([torch.ones_like(a), a, b], -1).flatten(0, 1).to(self.device, self.dtype)

    def seen(self, point: Tensor, rows: int, columns: int) -> Tensor:
        """Return the loss (rows, columns) over the plane that a point (3 P,) stands for, on a grid of any fineness."""
        shares = self.grid(rows, columns)
        return self.landscape.evaluate_combinations(self._vectors(point), shares)["loss"].reshape(rows, columns)

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """See `Landscape.losses`; of the training loss alone."""
        return torch.stack([self._differences(self._vectors(point)).square().mean() for point in points])

    def gradients(self, points: Tensor, batch: Batch | None = None) -> Tensor:
        """See `Landscape.gradients`: each grid point's slope, times its difference, goes to what it is made of."""
        return torch.stack([self._gradient(self._vectors(point.detach())).flatten() for point in points])

    def _vectors(self, point: Tensor) -> Tensor:
        return point.unflatten(0, (3, -1))

    def _differences(self, vectors: Tensor) -> Tensor:
        found = self.landscape.evaluate_combinations(vectors, self.shares)["loss"]
        return found - self.pattern.flatten()

    def _gradient(self, vectors: Tensor) -> Tensor:
        pulls = 2 / len(self.shares) * self._differences(vectors)[:, None] * self.shares  # (G, 3)
        at_once = max(1, POINTS_IN_MEMORY // (4 * self.landscape.dim))
        parts = zip(pulls.split(at_once), self.shares.split(at_once), strict=True)
        return sum(some.T @ self.landscape.gradients(combine(shares, vectors)) for some, shares in parts)
