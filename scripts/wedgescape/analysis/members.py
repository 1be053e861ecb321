"""What each method of finding solutions finds, as points of one landscape (docs/science.md, Ensembles)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.curves import CurveLandscape
from wedgescape.measurements.curves import Settings as CurveSettings
from wedgescape.measurements.curves import train_curves
from wedgescape.measurements.tunnels import Settings as TunnelSettings
from wedgescape.measurements.tunnels import angular_width, keeps_accuracy, rotate, tangents
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
        """The points (G, m, P) whose average is taken, in the order in which barriers lie between them."""
        return self.members if self.iterates is None else self.iterates

    @property
    def mean(self) -> Tensor:
        """The weight average (G, P) of those points."""
        return self.averaged.double().mean(1).to(self.members) if self.average is None else self.average


def gradient_epochs(training: dict) -> float:
    """Return the epochs of gradients that a training takes; a sharpness-aware step takes two gradients."""
    return training["epochs"] * (2 if training["sharpness_radius"] else 1)


def trained(methods: dict[str, Optima], seeds: Sequence[int], epochs: float) -> dict[str, Found]:
    """Return what the trainings found: `longer`, `sam`, `swa`, `snapshots`, `fge`.

    Args:
        methods: method -> its networks, over at least the groups' seeds. Runs that diverged become nan.
        seeds: G, of the groups.
        epochs: that the base setting's optima took, from which some trainings continued.
    """
    found = {}
    for method, all_networks in methods.items():
        networks = all_networks.of_seeds(seeds)
        spent = gradient_epochs(networks.training["training"]) + (epochs if "starts" in networks.training else 0)
        diverged = torch.from_numpy(networks.diverged).to(networks.landscape.device)[:, None, None]
        theta, way = networks.points[:, None].masked_fill(diverged, math.nan), networks.trajectories
        if way is not None:
            way = way.masked_fill(diverged, math.nan)
        if method in ("snapshots", "fge"):
            found[method] = Found(way, spent)
        else:
            found[method] = Found(theta, spent, way, theta[:, 0]) if method == "swa" else Found(theta, spent)
    return found


def tunnel_samples(
    landscape: Landscape, optima: Tensor, seeds: Sequence[int], count: int, fraction: float, tunnels: TunnelSettings
) -> tuple[Tensor, Tensor]:
    """Draw samples of the tunnels around optima (our definition).

    Each sample is on a ray of its own (`tunnels.tangents`), at a fraction of the angle at which that ray leaves the
    tunnel by the accuracy threshold. Rays cost evaluations and no gradients.

    Args:
        landscape: that also evaluates accuracy.
        optima: (G, P).
        seeds: G, of the rays.
        count: M, samples per optimum.
        fraction: of the angular width.
        tunnels: where a tunnel ends, and how exactly the end is found.

    Returns:
        Samples (G, M, P), and the angular widths (G, M) along their rays, radians.
    """
    rays = tangents(optima, count, seeds)
    inside, error = keeps_accuracy(tunnels.accuracy_fraction), math.radians(tunnels.angle_error)
    widths = angular_width(landscape, optima, rays, inside, error).angle
    centres = optima[:, None].expand_as(rays).flatten(0, 1)
    angles = (fraction * widths).flatten().to(optima)
    return rotate(centres, rays.flatten(0, 1), angles).unflatten(0, (-1, count)), widths


def curve_steps(curves: CurveSettings, examples: int, epochs: float) -> tuple[int, float]:
    """Return how many steps of a curve's training fit into epochs of gradients, and the epochs that they cost."""
    cost = curves.samples * (curves.batch_size or examples) / examples  # epochs per step
    steps = min(curves.steps, int(epochs / cost))
    return steps, steps * cost


def next_curves(
    landscape: Landscape, optima: Tensor, seeds: Sequence[int], groups: int, epochs: float, curves: CurveSettings
) -> tuple[Callable[[Tensor], Tensor], float, int]:
    """Train quadratic Bezier curves from each of the first G optima to the next, within epochs of gradients per curve.

    Returns:
        A function from positions t (T,) to weights (G, T, P), the epochs that one curve has cost, and its steps.
    """
    steps, cost = curve_steps(curves, landscape.examples, epochs)
    starts, ends = next_optima(optima, groups, 2).unbind(1)
    curve = CurveLandscape(landscape, starts, ends, "bezier", 1, curves.samples)
    pairs = list(zip(seeds, [*seeds[1:], seeds[0]], strict=True))[:groups]
    middle = train_curves(curve, pairs, curves, steps)
    return lambda t: curve.at(middle, t.to(starts)), cost, steps


def next_optima(optima: Tensor, groups: int, count: int) -> Tensor:
    """Return for each of the first G of K optima (K, P) itself and those after it, cyclically: (G, count, P)."""
    return torch.stack([optima[[(first + k) % len(optima) for k in range(count)]] for first in range(groups)])
