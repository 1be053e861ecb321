"""Straight lines between points of a landscape: what lies along them, and how high their barriers are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wedgescape.landscapes.base import Landscape, Slice
from wedgescape.landscapes.spans import Span


def interpolate(landscape: Landscape, starts: Tensor, ends: Tensor, t: Tensor, split: str = "train") -> dict:
    """Evaluate straight lines (1 - t) start + t end: n starts and ends (n, P), t (T,) -> name -> (n, T)."""
    rows = [
        Slice(landscape, start, Span((end - start)[None])).evaluate(t.to(start)[:, None], split)
        for start, end in zip(starts, ends, strict=True)
    ]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def barrier(losses: np.ndarray) -> np.ndarray:
    """Return the height (…) of the barrier on paths of losses (…, T): the largest excess over the ends' chord."""
    t = np.linspace(0, 1, losses.shape[-1])
    chord = losses[..., :1] * (1 - t) + losses[..., -1:] * t
    return (losses - chord).max(-1)


def barrier_along(landscape: Landscape, starts: Tensor, ends: Tensor, points: int, split: str = "train") -> np.ndarray:
    """Return the barriers (K,) on the straight lines between points, by `barrier`; nats for networks.

    Args:
        landscape: in R^P.
        starts: (K, P).
        ends: (K, P).
        points: at which a line is evaluated, evenly, ends included. The top of a barrier lies between two of them, so
            that its height comes out too low, by a share of the order of 1 / points^2.
        split: of the examples.
    """
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    return barrier(interpolate(landscape, starts, ends, t, split)["loss"].cpu().double().numpy())


def mode_connectivity(losses: np.ndarray) -> np.ndarray:
    """Return the mode connectivity (…) of paths of losses (…, T), with its sign (Yang et al. 2021).

    The mean loss of the ends minus the loss where the path is farthest from it. Negative: a barrier, as high as this;
    about 0: the ends are connected; positive: the path lies below its ends, which are no minima.
    """
    away = (losses[..., :1] + losses[..., -1:]) / 2 - losses
    return np.take_along_axis(away, np.abs(away).argmax(-1)[..., None], -1)[..., 0]


def largest_rise(losses: np.ndarray) -> np.ndarray:
    """Return by how much (…) losses (…, T) on a path rise at most, from any point to any later one.

    A path along which the loss never rises has 0. This is the smallest Delta for which a path is Delta-monotonic in
    the sense of Lucas et al. 2021 (monotonic linear interpolation).
    """
    return (losses - np.minimum.accumulate(losses, axis=-1)).max(-1)
