"""Permutation alignment: hidden units of a network in the order of another's (Ainsworth, Hayase & Srinivasa 2022).

The units of a group can change places without changing what a network computes. Weight matching undoes that part
of the distance between two solutions: what is left does not depend on the order of units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from wedgescape.landscapes.units import UnitGroup
from wedgescape.numerics.randomness import stream

GAIN = 1e-9  # a permutation is taken if it raises the objective by more than this share of it, else it may be a tie


def permute(vector: np.ndarray, groups: Sequence[UnitGroup], orders: Sequence[np.ndarray]) -> np.ndarray:
    """Return flat weights (P,) of the same function, whose unit i of each group was unit order[i]."""
    vector = vector.copy()
    for group, order in zip(groups, orders, strict=True):
        for axis in group.axes:
            axis.permute(vector, order)
    return vector


def unit_products(first: np.ndarray, second: np.ndarray, group: UnitGroup) -> np.ndarray:
    """Return the inner products (units, units) of all weights of each unit of two networks (P,), biases included."""
    total = np.zeros((group.units, group.units))
    for axis in group.axes:
        rows = [np.moveaxis(axis.of(vector), 1, 0).reshape(group.units, -1) for vector in (first, second)]
        total += rows[0] @ rows[1].T
    return total


@dataclass(frozen=True)
class Matching:
    """What weight matching found.

    Args:
        orders: for each group of units, which unit of the second network takes each place.
        objective: inner products of all weights, at the beginning and after every pass.
        converged: whether the last pass changed nothing.
        reached: the objectives at which all attempts ended, the best one first.
    """

    orders: list[np.ndarray]
    objective: list[float]
    converged: bool
    reached: list[float]

    @property
    def moved(self) -> list[float]:
        """The fraction of each group's units that change their place."""
        return [float((order != np.arange(len(order))).mean()) for order in self.orders]


def match_weights(first: np.ndarray, second: np.ndarray, groups: Sequence[UnitGroup], passes: int = 100,
                  attempts: int = 1, key: Sequence[int] = ()) -> Matching:  # fmt: skip
    """Match a network's hidden units to another's by weights (Ainsworth et al. 2022, algorithm 1).

    Seeks the permutations that maximise the inner product of the two weight vectors, and so minimise their distance.
    One group at a time that is a linear assignment, solved exactly; groups take turns in random order until a pass
    changes none. If a parameter has a group along two axes (`UnitGroup.crosses`), the assignment is only a proposal,
    linear in the permutation, and is taken if the objective rises. So the objective never falls, and ends in a local
    maximum. Which one depends on the order of groups and on where the search begins, so there are several attempts,
    and the best one by the objective is taken. The first begins with units in their places, the others after random
    permutations.

    Args:
        first: (P,), whose units keep their places.
        second: (P,), whose units are permuted.
        groups: of both networks (`units.unit_groups`).
        passes: over all groups, at most.
        attempts: how many.
        key: of the random streams.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    found = [_match_once(first, second, groups, passes, attempt, key) for attempt in range(attempts)]
    best = max(found, key=lambda one: one.objective[-1])  # the first of equally good ones
    return replace(best, reached=sorted((one.objective[-1] for one in found), reverse=True))


def _match_once(first: np.ndarray, second: np.ndarray, groups: Sequence[UnitGroup], passes: int, attempt: int,
                key: Sequence[int]) -> Matching:  # fmt: skip
    draw = stream("alignment", *key, attempt)
    orders = [draw.permutation(group.units) if attempt else np.arange(group.units) for group in groups]
    moving = permute(second, groups, orders) if attempt else second
    objective, changed = [float(first @ moving)], True
    for _pass in range(passes):
        changed = False
        for place in draw.permutation(len(groups)):
            group = groups[place]
            products = unit_products(first, moving, group)
            order = linear_sum_assignment(products, maximize=True)[1]
            gain = products[np.arange(group.units), order].sum() - np.trace(products)
            least = GAIN * np.abs(products).sum()
            if gain <= least:
                continue
            moved = permute(moving, [group], [order])
            if group.crosses and first @ moved - first @ moving <= least:
                continue
            moving, changed = moved, True
            orders[place] = orders[place][order]
        objective.append(float(first @ moving))
        if not changed:
            break
    return Matching(orders, objective, not changed, objective[-1:])


def matched(
    first: Tensor, second: Tensor, groups: Sequence[UnitGroup], passes: int, attempts: int, key: Sequence[int]
) -> tuple[Tensor, Matching]:
    """Return weights (P,) with their units matched to those of the first weights (P,), and the `Matching`."""
    weights = second.cpu().numpy()
    matching = match_weights(first.cpu().numpy(), weights, groups, passes, attempts, key)
    return torch.from_numpy(permute(weights, groups, matching.orders)).to(second), matching
