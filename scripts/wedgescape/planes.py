"""Planes through three optima, and the straight lines between them (science, section 4)."""

from __future__ import annotations

import itertools

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscape import Landscape, Slice
from wedgescape.stores import described
from wedgescape.subspaces import Span, gram, orthonormal

SPLITS = ("train", "test")


def plane_through(
    landscape: Landscape, optima: Tensor, seeds, resolution: int, margin: float, profile_points: int
) -> xr.Dataset:
    """Evaluate the plane through three optima and the three segments between them (our definition).

    The axes are orthonormal in weight space: alpha along theta_2 - theta_1, beta towards theta_3; theta_1 is the
    origin. So distances in the figure are distances between weights.

    Args:
        landscape: in R^P.
        optima: (3, P).
        seeds: the three seeds.
        resolution: grid points a side.
        margin: how far the grid reaches beyond the triangle, as a fraction of the triangle's size.
        profile_points: points on each segment, ends included.

    Returns:
        loss and accuracy over (split, alpha, beta) and (split, pair, t), barriers, the optima's coordinates.

    Raises:
        ValueError: if the optima lie on one line, so that no plane is theirs alone.
    """
    edges = optima[1:] - optima[:1]
    try:
        axes = orthonormal(edges)
    except ValueError as error:
        raise ValueError(f"seeds {list(seeds)}: their optima lie on one line and span no plane") from error
    axes = axes * (axes * edges).sum(1).sign()[:, None]  # alpha points to theta_2, beta to theta_3's side
    plane = Slice(landscape, optima[0], Span(axes))
    corners = torch.cat([torch.zeros_like(edges[:1]), edges]) @ axes.T  # (3, 2)
    low, high = corners.amin(0), corners.amax(0)
    reach = margin * float((high - low).max())
    sides = [
        torch.linspace(float(low[axis]) - reach, float(high[axis]) + reach, resolution, dtype=torch.float32)
        for axis in (0, 1)
    ]
    grid = torch.cartesian_prod(*sides).to(optima)
    t = torch.linspace(0, 1, profile_points).to(optima)
    pairs = list(itertools.combinations(range(3), 2))
    segments = torch.cat([corners[i] + t[:, None] * (corners[j] - corners[i]) for i, j in pairs])

    values = {split: (plane.evaluate(grid, split), plane.evaluate(segments, split)) for split in SPLITS}
    variables = {
        "optimum_alpha": described(("optimum",), corners[:, 0].cpu(), "where an optimum lies along alpha", "weights"),
        "optimum_beta": described(("optimum",), corners[:, 1].cpu(), "where an optimum lies along beta", "weights"),
        "gram": described(("axis", "axis_"), gram(axes).cpu(), "inner products of the plane's axes: the identity"),
        "axes": described(("axis", "param"), axes.cpu(), "unit vectors along alpha and beta"),
        "origin": described(("param",), optima[0].cpu(), "weights at alpha = beta = 0"),
    }
    for name, units in (("loss", "nat"), ("accuracy", "1")):
        over_plane = torch.stack([values[split][0][name].reshape(resolution, resolution) for split in SPLITS])
        over_lines = torch.stack([values[split][1][name].reshape(len(pairs), -1) for split in SPLITS])
        variables[name] = described(("split", "alpha", "beta"), over_plane.cpu(), f"{name} over the plane", units)
        variables[f"profile_{name}"] = described(
            ("split", "pair", "t"), over_lines.cpu(), f"{name} along straight lines between optima", units
        )
    lines = variables["profile_loss"][1]
    variables["barrier"] = described(
        ("split", "pair"), barrier(lines), "largest excess of the loss over the line between the ends' losses", "nat"
    )
    coordinates = {
        "split": list(SPLITS),
        "alpha": sides[0].numpy(),
        "beta": sides[1].numpy(),
        "t": t.cpu().numpy(),
        "pair": [f"{seeds[i]}-{seeds[j]}" for i, j in pairs],
        "seed": ("optimum", list(seeds)),
    }
    return xr.Dataset(variables, coordinates)


def barrier(losses: np.ndarray) -> np.ndarray:
    """Return the height (…) of the barrier on paths of losses (…, T): the largest excess over the ends' chord."""
    t = np.linspace(0, 1, losses.shape[-1])
    chord = losses[..., :1] * (1 - t) + losses[..., -1:] * t
    return (losses - chord).max(-1)
