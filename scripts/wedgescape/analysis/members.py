"""What each method of finding solutions finds, as points of one landscape (docs/science.md, Ensembles)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.curves import CurveLandscape
from wedgescape.measurements.curves import Settings as CurveSettings
from wedgescape.measurements.curves import train_curves
from wedgescape.measurements.tunnels import Settings as TunnelSettings
from wedgescape.measurements.tunnels import angular_width, keeps_score, rotate, tangents
from wedgescape.study.methods import gradient_epochs
from wedgescape.training.optima import Optima


@dataclass(frozen=True)
class Found:
    """What a method found from each of G starts.

    Args:
        members: (G, m, P), the networks that predict; m is 1 for a single network.
        epochs: of gradients that a group has cost; in one epoch, each training example has one gradient.
        iterates: (G, M, P), the points that were averaged, where they are not the members.
        average: (G, P), where it is not the mean of the points above.
    """

    members: Tensor
    epochs: float
    iterates: Tensor | None = None
    average: Tensor | None = None

    @property
    def averaged(self) -> Tensor:
        """The points (G, m, P) whose average is taken, and between which barriers are sought."""
        return self.members if self.iterates is None else self.iterates

    @property
    def mean(self) -> Tensor:
        """The weight average (G, P) of those points."""
        return self.averaged.double().mean(1).to(self.members) if self.average is None else self.average


def disjoint_groups(leaders: Sequence[int], others: Sequence[int], members: int, count: int) -> list[list[int]]:
    """Return up to `count` groups of M seeds of which no two share one, so that groups are independent.

    Each is led by a seed from which every method starts; the M - 1 others belong to independent solutions alone.

    Args:
        leaders: seeds that may lead a group; the first do, as many as there are groups.
        others: all seeds, in the order in which groups take those that do not lead.
        members: M.
        count: of groups, at most.
    """
    count = min(count, len(leaders), len(others) // members)
    rest = [seed for seed in others if seed not in leaders[:count]]
    return [[leaders[k], *rest[k * (members - 1) : (k + 1) * (members - 1)]] for k in range(count)]


def trained(methods: dict[str, Optima], seeds: Sequence[int]) -> dict[str, Found]:
    """Return what the trainings found: `longer`, `sam`, `swa`, `snapshots`, `fge`.

    Args:
        methods: method -> its networks, over at least the groups' seeds. Runs that diverged become nan.
        seeds: G, of the groups.
    """
    found = {}
    for method, all_networks in methods.items():
        networks = all_networks.of_seeds(seeds)
        spent = gradient_epochs(networks.training["training"])
        diverged = torch.from_numpy(networks.diverged).to(networks.landscape.device)[:, None, None]
        theta, way = networks.points[:, None].masked_fill(diverged, math.nan), networks.trajectories
        if way is not None:
            way = way.masked_fill(diverged, math.nan)
        if method in ("snapshots", "fge"):
            found[method] = Found(way[:, np.asarray(networks.steps) > 0], spent)  # the initialisation is no member
        else:
            found[method] = Found(theta, spent, way, theta[:, 0]) if method == "swa" else Found(theta, spent)
    return found


def tunnel_samples(
    landscape: Landscape, optima: Tensor, seeds: Sequence[int], count: int, fraction: float, tunnels: TunnelSettings
) -> tuple[Tensor, Tensor]:
    """Draw samples of the tunnels around optima (our definition).

    Each sample is on a ray of its own (`tunnels.tangents`), at a fraction of the angle at which that ray leaves the
    tunnel by the score threshold. Rays cost evaluations and no gradients.

    Args:
        landscape: that also evaluates score.
        optima: (G, P).
        seeds: G, of the rays.
        count: M, samples per optimum.
        fraction: of the angular width.
        tunnels: where a tunnel ends, and how exactly the end is found.

    Returns:
        Samples (G, M, P), and the angular widths (G, M) along their rays, radians.
    """
    rays = tangents(optima, count, seeds)
    inside, error = keeps_score(tunnels.score_fraction), math.radians(tunnels.angle_error)
    widths = angular_width(landscape, optima, rays, inside, error).angle
    centres = optima[:, None].expand_as(rays).flatten(0, 1)
    angles = (fraction * widths).flatten().to(optima)
    return rotate(centres, rays.flatten(0, 1), angles).unflatten(0, (-1, count)), widths


def curve_steps(curves: CurveSettings, examples: int, epochs: int) -> tuple[int, float]:
    """Return how many whole steps of a curve's training epochs of gradients pay for, and the epochs that they cost."""
    cost = curves.samples * (curves.batch_size or examples)  # gradients per step
    steps = epochs * examples // cost
    return steps, steps * cost / examples


def budgeted_curves(
    landscape: Landscape, ends: Tensor, pairs: Sequence[Sequence[int]], epochs: int, curves: CurveSettings
) -> tuple[Callable[[Tensor], Tensor], float, int]:
    """Train quadratic Bezier curves between pairs of optima, as long as epochs of gradients per curve last.

    Args:
        landscape: in R^P.
        ends: (G, 2, P).
        pairs: G pairs of seeds.
        epochs: of gradients.
        curves: how they are trained, but for the number of steps.

    Returns:
        A function from positions t (T,) to weights (G, T, P), the epochs that one curve has cost, and its steps.
    """
    steps, cost = curve_steps(curves, landscape.examples, epochs)
    starts, stops = ends.unbind(1)
    curve = CurveLandscape(landscape, starts, stops, "bezier", 1, curves.samples)
    middle = train_curves(curve, pairs, curves, steps)
    return lambda t: curve.at(middle, t.to(starts)), cost, steps
