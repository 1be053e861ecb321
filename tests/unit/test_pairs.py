"""Designs of pairs: every seed is in equally many, so that the jackknife over seeds weighs them alike."""

import math
from collections import Counter

import numpy as np
import pytest

from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.pairs import draw_pairs, pairs_in_circle


@pytest.mark.parametrize("count", range(2, 14))
@pytest.mark.parametrize("wanted", [1, 3, 6, 12, 20, 30, 66, 99])
def test_every_seed_that_is_in_a_pair_is_in_equally_many(count, wanted):
    pairs = draw_pairs(range(10, 10 + count), wanted)
    assert 1 <= len(pairs) <= wanted
    assert len(set(pairs)) == len(pairs)
    assert all(10 <= first < second < 10 + count for first, second in pairs)
    assert len(set(Counter(np.ravel(pairs).tolist()).values())) == 1
    if wanted >= math.comb(count, 2):
        assert len(pairs) == math.comb(count, 2)
    elif wanted < count:
        assert len(pairs) == min(wanted, count // 2)  # no two share a seed
    else:
        assert len(pairs) == wanted // count * count


def test_pairs_are_the_same_each_time_and_not_in_order():
    assert draw_pairs(range(12), 6) == draw_pairs(range(12), 6)
    assert draw_pairs(range(12), 6) != [(2 * k, 2 * k + 1) for k in range(6)]
    assert draw_pairs([3], 6) == draw_pairs([], 6) == []


@pytest.mark.parametrize(("count", "neighbours", "partners"), [(12, 2, 4), (5, 2, 4), (4, 2, 3), (2, 2, 1), (3, 1, 2)])
def test_places_in_a_circle_have_equally_many_partners(count, neighbours, partners):
    pairs = pairs_in_circle(count, neighbours)
    assert len(pairs) == count * partners / 2
    assert np.bincount(pairs.ravel()).tolist() == [partners] * count
    assert pairs_in_circle(1, 2).shape == pairs_in_circle(0, 2).shape == (0, 2)


@pytest.mark.parametrize("pairs", [6, 12, 24])
def test_intervals_over_such_pairs_cover_the_truth(pairs):
    """Of 12 seeds with effects of their own; a bootstrap over pairs covers 73 % (docs/science.md, Verdicts)."""
    draw, members, held = np.random.default_rng(0), np.array(draw_pairs(range(12), pairs)), []
    for _study in range(600):
        values = draw.standard_normal(12)[members].sum(1) + 0.5 * draw.standard_normal(len(members))
        found = Intervals().pairs(values, members)
        held.append(found.low <= 0 <= found.high)
    assert np.mean(held) > 0.93


def test_pairs_that_share_no_seed_are_units_of_their_own():
    values, members = [1.0, 2.0, 4.0, 5.0], np.arange(8).reshape(4, 2)
    found = Intervals().pairs(values, members)
    assert found == Intervals().mean(values, "pair")
    assert (found.unit, found.units) == ("pair", 4)
