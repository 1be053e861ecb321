"""Straight lines: barriers of paths, and those of quadratics, where they are known."""

import numpy as np
import pytest
import torch

from wedgescape.landscapes.lines import barrier, barrier_along


@pytest.mark.parametrize(
    ("losses", "wanted"),
    [
        ([0.0, 1.0, 0.0], 1.0),
        ([1.0, 3.0, 2.0], 1.5),
        ([1.0, 1.5, 2.0], 0.0),
        ([2.0, 0.0, 2.0], 0.0),  # a valley is no barrier: the ends exceed nothing
        ([0.0, 5.0, 1.0, 2.0, 4.0], 4.0),
    ],
)
def test_barrier_is_the_largest_excess_over_the_chord(losses, wanted):
    assert barrier(np.array(losses)) == pytest.approx(wanted)


def test_barriers_of_many_lines():
    t = np.linspace(0, 1, 101)
    heights = np.array([[0.5, 2.0], [0.0, 3.0]])
    lines = heights[..., None] * 4 * t * (1 - t) + 0.3 + 0.2 * t
    np.testing.assert_allclose(barrier(lines), heights, atol=1e-12)


def test_barriers_keep_what_is_not_finite():
    assert np.isnan(barrier(np.array([0.0, np.nan, 0.0])))
    assert np.isposinf(barrier(np.array([0.0, np.inf, 0.0])))


def test_barriers_of_a_saddle_are_those_of_a_parabola(quadratic):
    """On x + t v a quadratic exceeds its chord by -t (1 - t) v^T H v / 2: most at the middle, by -v^T H v / 8."""
    saddle = quadratic([-2.0, 1.0, 3.0])
    starts = torch.tensor([[0.3, -1.0, 2.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    moves = 2 * saddle.eigenvectors.T[:2]  # along the first the loss is concave, along the second convex
    found = barrier_along(saddle, starts, starts + moves, 5, "test")
    assert found == pytest.approx([2 * 4 / 8, 0.0], abs=1e-12)
    assert {split for name, split, _ in saddle.asked if name == "losses"} == {"test"}


def test_a_line_that_misses_the_top_underestimates_it_little(quadratic):
    hill = quadratic([-8.0])
    start = torch.zeros(1, 1, dtype=torch.float64)
    for points in (4, 20):  # none of them in the middle
        found = float(barrier_along(hill, start, start + 1, points)[0])
        assert found == pytest.approx(1 - 1 / (points - 1) ** 2)


def test_a_point_of_nan_has_a_barrier_of_nan(quadratic):
    starts, ends = torch.zeros(2, 2).double(), torch.tensor([[1.0, 2.0], [np.nan, 0.0]]).double()
    assert np.isnan(barrier_along(quadratic([1.0, -1.0]), starts, ends, 5)).tolist() == [False, True]
