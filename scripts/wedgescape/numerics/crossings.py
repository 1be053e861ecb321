"""Where rays first leave a region: bracketed on a few places, then bisected.

Tunnels ask it for angles, profiles for lengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Crossing:
    """Where rays first leave.

    Args:
        place: (n,) float64, the middle of the bracket; the end of the grid where a ray never leaves.
        error: (n,) float64, half the bracket; 0 where a ray never leaves.
        open: (n,) bool, rays that stay inside at every place of the grid.
    """

    place: Tensor
    error: Tensor
    open: Tensor


def halvings(widest: float, error: float) -> int:
    """Return how often a bracket is halved until half of it is no more than an error, in the same units."""
    return max(0, math.ceil(math.log2(widest / (2 * error)) - 1e-9))


def first_crossing(
    holds: Callable[[Tensor, Tensor], Tensor],
    grid: Sequence[float] | Tensor,
    rays: int,
    halve: int,
    on_grid: Tensor | None = None,
) -> Crossing:
    """Find the smallest place at which each of n rays is outside.

    The first place of the grid that is outside and the one before it bracket the crossing, which is then bisected. A
    ray that leaves and comes back between two places of the grid is not seen to leave.

    Args:
        holds: (which rays (k,) int64, places (k,) float64) -> (k,) bool, whether a ray is inside at a place. Rays are
            asked about only as long as the answer matters.
        grid: G places in rising order. The first is inside by definition.
        rays: n.
        halve: how often the bracket is halved.
        on_grid: (n, G - 1) bool, whether rays are inside at the places after the first, where that is known already.

    Returns:
        A `Crossing` over n rays, on the CPU.
    """
    grid = torch.as_tensor(grid, dtype=torch.float64)
    everyone = torch.arange(rays)
    outside_at = torch.full((rays,), len(grid))  # index of the first place outside
    for index in range(1, len(grid)):
        waiting = everyone[outside_at == len(grid)]
        if not len(waiting):
            break
        known = None if on_grid is None else on_grid[waiting, index - 1]
        inside = holds(waiting, grid[index].expand(len(waiting))) if known is None else known
        outside_at[waiting[~inside.cpu()]] = index

    leaving = everyone[outside_at < len(grid)]
    low, high = grid[outside_at[leaving] - 1], grid[outside_at[leaving]]
    for _ in range(halve if len(leaving) else 0):
        middle = (low + high) / 2
        inside = holds(leaving, middle).cpu()
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)

    place, error = grid[-1].repeat(rays), torch.zeros(rays, dtype=torch.float64)
    place[leaving], error[leaving] = (low + high) / 2, (high - low) / 2
    return Crossing(place, error, outside_at == len(grid))
