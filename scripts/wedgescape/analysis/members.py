"""What each method of an ensemble finds, as points of the base point's landscape (science, section 9)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.measurements.curves import CurveLandscape
from wedgescape.measurements.tunnels import angular_width, keeps_accuracy, rotate, tangents
from wedgescape.stores.attributes import training_of
from wedgescape.training.descent import Recipe, descend


@dataclass(frozen=True)
class Found:
    """What a method found from each of G starts.

    Args:
        members: (G, m, P), the networks that predict; m is 1 for a single network.
        epochs: of gradients that a group has cost, a gradient on one example of each of the training split.
        iterates: (G, M, P), the points that were averaged, where they are not the members.
        average: (G, P), where it is not the mean of the points above.
    """

    members: Tensor
    epochs: float
    iterates: Tensor | None = None
    average: Tensor | None = None

    @property
    def averaged(self) -> Tensor:
        """The points (G, m, P) that an average is taken of, in the order in which barriers lie between them."""
        return self.members if self.iterates is None else self.iterates

    @property
    def mean(self) -> Tensor:
        """The weight average (G, P) of those points."""
        return self.averaged.double().mean(1).to(self.members) if self.average is None else self.average


def gradient_epochs(training: dict) -> float:
    """Return the epochs of gradients that a training takes; sharpness-aware steps take two gradients each."""
    return training["epochs"] * (2 if training["sharpness_radius"] else 1)


def trained(stores: dict[str, xr.Dataset], epochs: float, like: Tensor) -> dict[str, Found]:
    """Return what the trainings found: `longer`, `sam`, `swa`, `snapshots`, `fge`.

    Args:
        stores: method -> its weights over the groups' seeds; runs that diverged are nan in what is returned.
        epochs: that the base point's optima took, from which some trainings went on.
        like: a tensor on the device that points shall be on.
    """
    found = {}
    for method, store in stores.items():
        lost = torch.tensor(store["diverged"].values)[:, None, None]
        config = training_of(store.attrs)
        spent = gradient_epochs(config["training"]) + (epochs if "starts" in config else 0)
        theta = torch.tensor(store["theta"].values)[:, None].masked_fill(lost, math.nan).to(like)
        way = None
        if "trajectory" in store:
            way = torch.tensor(store["trajectory"].values).masked_fill(lost, math.nan).to(like)
        if method in ("snapshots", "fge"):
            found[method] = Found(way, spent)
        elif method == "swa":
            found[method] = Found(theta, spent, way, theta[:, 0])
        else:
            found[method] = Found(theta, spent)
    return found


def tunnel_samples(
    landscape: Landscape,
    optima: Tensor,
    seeds: Sequence[int],
    count: int,
    fraction: float,
    accuracy_fraction: float,
    angle_error: float,
) -> tuple[Tensor, Tensor]:
    """Draw samples of the tunnels around optima (our definition).

    Each lies on a ray of its own (`tunnels.tangents`), at a fraction of the angle at which that ray leaves the tunnel
    by the accuracy threshold. Rays cost evaluations and no gradients.

    Args:
        landscape: that also evaluates accuracy.
        optima: (G, P).
        seeds: G, of the rays.
        count: M, samples an optimum.
        fraction: of the angular width.
        accuracy_fraction: where the tunnel ends.
        angle_error: of the width, degrees.

    Returns:
        Samples (G, M, P), and the widths (G, M) of their rays, radians.
    """
    rays = tangents(optima, count, seeds)
    inside, error = keeps_accuracy(accuracy_fraction), math.radians(angle_error)
    widths = angular_width(landscape, optima, rays, inside, error).angle
    centres = optima[:, None].expand_as(rays).flatten(0, 1)
    angles = (fraction * widths).flatten().to(optima)
    return rotate(centres, rays.flatten(0, 1), angles).unflatten(0, (-1, count)), widths


def train_curves(
    landscape: Landscape,
    starts: Tensor,
    ends: Tensor,
    seeds: Sequence[int],
    steps: int,
    learning_rate: float,
    batch_size: int | None,
    samples: int,
) -> Callable[[Tensor], Tensor]:
    """Train quadratic Bezier curves between optima, as `curves.measure` does.

    Args:
        landscape: in R^P.
        starts: (G, P).
        ends: (G, P).
        seeds: G, of minibatches and places.
        steps: of the descent; without any, curves are straight lines.
        learning_rate: of the descent.
        batch_size: examples a step; None for all.
        samples: places that a step looks at.

    Returns:
        A function: places t (T,) -> weights (G, T, P).
    """
    curve = CurveLandscape(landscape, starts, ends, "bezier", 1, samples)
    recipe = Recipe(optimizer="adam", learning_rate=learning_rate, batch_size=batch_size, schedule="cosine")
    middle = descend(curve, curve.straight(), recipe, steps, seeds).points
    return lambda t: curve.at(middle, t.to(starts))


def next_curves(
    landscape: Landscape, optima: Tensor, seeds: Sequence[int], groups: int, epochs: float, curves: dict
) -> tuple[Callable[[Tensor], Tensor], float, int]:
    """Train curves from each of the first G optima to the next, within epochs of gradients a curve.

    Returns:
        The curves (`train_curves`), the epochs that one has cost, and its steps.
    """
    taken = {name: curves[name] for name in ("learning_rate", "batch_size", "samples")}
    cost = taken["samples"] * (taken["batch_size"] or landscape.examples) / landscape.examples  # epochs a step
    steps = min(curves["steps"], int(epochs / cost))
    pairs = next_optima(optima, groups, 2)
    names = zip(seeds, np.roll(seeds, -1).tolist(), strict=True)
    streams = [(min(pair) << 32) + max(pair) for pair in names][:groups]  # a pair's own, as in `curves`
    return train_curves(landscape, pairs[:, 0], pairs[:, 1], streams, steps, **taken), steps * cost, steps


def next_optima(optima: Tensor, groups: int, count: int) -> Tensor:
    """Return for each of the first G of K optima (K, P) itself and those after it, cyclically: (G, count, P)."""
    return torch.stack([optima[[(first + k) % len(optima) for k in range(count)]] for first in range(groups)])
