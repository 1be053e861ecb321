"""Pairs of seeds, in designs in which every seed is in equally many (docs/science.md, Verdicts).

Then the jackknife over seeds (`Intervals.pairs`) weighs them alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from wedgescape.numerics.randomness import stream


def pairs_in_circle(count: int, neighbours: int) -> np.ndarray:
    """Return pairs (n, 2) of places in a circle: each with its nearest neighbours on either side.

    All have equally many partners: 2 k for k neighbours, and all others where there are no more.

    Args:
        count: of places.
        neighbours: on either side.
    """
    steps = range(1, min(neighbours, count // 2) + 1)
    found = {tuple(sorted((place, (place + step) % count))) for step in steps for place in range(count)}
    return np.array(sorted(found), dtype=int).reshape(-1, 2)


def draw_pairs(seeds: Iterable[int], count: int) -> list[tuple[int, int]]:
    """Return at most `count` random pairs of different seeds, each sorted; all pairs, if there are no more.

    Every seed that is in one is in equally many. With fewer pairs than seeds no two share one; with more, there are as
    many as keep the balance, a multiple of the number of seeds.
    """
    order = stream("curve pairs").permutation(sorted(int(seed) for seed in seeds))
    seeds = len(order)
    if count < seeds and count < math.comb(seeds, 2):
        places = np.arange(2 * min(count, seeds // 2)).reshape(-1, 2)
    else:
        places = pairs_in_circle(seeds, seeds if count >= math.comb(seeds, 2) else count // seeds)
    return [(min(pair), max(pair)) for pair in order[places].tolist()]
