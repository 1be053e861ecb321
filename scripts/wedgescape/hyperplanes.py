"""Random hyperplanes: how many random directions a descent needs to reach a low loss (science, section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wedgescape.descent import Descent, Recipe, descend
from wedgescape.landscape import Landscape, Slice
from wedgescape.subspaces import Span, random_directions


def descend_in_hyperplanes(
    landscape: Landscape, starts: Tensor, count: int, recipe: Recipe, steps: int, seeds: Sequence[int]
) -> Descent:
    """Descend from K points, each inside a random affine hyperplane through it (our definition, after Li et al. 2018).

    A point is theta = start + A^T c with c optimised from 0; the rows of A are d random unit vectors.

    Args:
        landscape: in R^P.
        starts: (K, P).
        count: d, dimensions of each hyperplane.
        recipe: of the descent over c.
        steps: of the descent.
        seeds: K numbers; each draws its own hyperplane.

    Returns:
        The descent, its points lifted to (K, P).

    Raises:
        ValueError: if d exceeds P.
    """
    if count > landscape.dim:
        raise ValueError(f"a hyperplane of {count} dimensions does not fit into {landscape.dim}")
    directions = torch.stack([random_directions(count, landscape.dim, "hyperplane", seed) for seed in seeds])
    cut = Slice(landscape, starts, Span(directions.to(starts)))
    descent = descend(cut, torch.zeros(len(starts), count).to(starts), recipe, steps, seeds)
    descent.points = cut.lift(descent.points)
    return descent
