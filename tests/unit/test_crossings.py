"""Crossings of rays whose ends are known."""

import pytest
import torch

from wedgescape.numerics.crossings import first_crossing, halvings

GRID = [0.0, 1.0, 2.0, 4.0, 8.0]


def leaving_at(ends, asked=None):
    """Rays that are inside before their end and, unlike what a bracket may assume, nowhere after it."""
    ends = torch.tensor(ends, dtype=torch.float64)

    def holds(which, places):
        if asked is not None:
            asked.append(which.tolist())
        return places < ends[which]

    return holds


def test_each_ray_is_found_within_its_error():
    ends = [0.3, 1.5, 3.9, 4.0, 7.0, 100.0]
    found = first_crossing(leaving_at(ends), GRID, 6, 5)
    assert found.open.tolist() == [False] * 5 + [True]
    assert found.place[5] == 8.0
    assert found.error.tolist() == [width / 64 for width in (1, 1, 2, 2, 4)] + [0.0]
    assert bool(((found.place - torch.tensor([*ends[:5], 8.0])).abs() <= found.error).all())


def test_rays_are_asked_about_only_as_long_as_it_matters():
    asked = []
    first_crossing(leaving_at([0.5, 3.0, 100.0], asked), GRID, 3, 2)
    assert asked == [[0, 1, 2], [1, 2], [1, 2], [2], [0, 1], [0, 1]]


def test_what_is_known_on_the_grid_is_not_asked_again():
    ends, asked = [0.5, 3.0, 100.0], []
    known = torch.tensor(GRID[1:])[None] < torch.tensor(ends)[:, None]
    found = first_crossing(leaving_at(ends, asked), GRID, 3, 2, known)
    assert asked == [[0, 1], [0, 1]]
    again = first_crossing(leaving_at(ends), GRID, 3, 2)
    assert torch.equal(found.place, again.place)
    assert torch.equal(found.error, again.error)


def test_rays_that_all_stay_ask_for_nothing_more():
    asked = []
    assert first_crossing(leaving_at([9.0, 9.0], asked), GRID, 2, 10).open.all()
    assert len(asked) == len(GRID) - 1


def test_the_first_way_out_counts():
    comes_back = first_crossing(lambda _which, places: (places < 1.5) | (places > 3.0), GRID, 1, 8)
    assert float(comes_back.place[0]) == pytest.approx(1.5, abs=1 / 256)


@pytest.mark.parametrize(("widest", "error", "times"), [(1.0, 0.5, 0), (1.0, 0.6, 0), (1.0, 0.25, 1), (1.0, 0.2, 2)])
def test_brackets_are_halved_until_half_of_them_is_the_error(widest, error, times):
    assert halvings(widest, error) == times
