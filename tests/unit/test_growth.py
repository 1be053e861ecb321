"""Growth: powers on exact rows, memory of works that hold a known amount, and every axis at small sizes."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from benchmarks import growth
from benchmarks.growth import AXES, Axis

MEGABYTE = 10**6


def hold(megabytes):
    """Hold so much memory during the work, and nothing after it."""
    return lambda: np.ones(megabytes * MEGABYTE // 8).sum()


HOLDING = Axis("megabytes", "held", (1, 80), hold)
SMALL = {"seeds": (1, 2), "weights": (100, 1000), "grid points": (4, 9), "rays": (1, 2), "dimensions": (2, 3)}


def rows_of(seconds, memory, name="n"):
    sizes = [10, 100, 1000]
    return pd.DataFrame(
        {"quantity": name, "work": "of a work", "size": sizes, "seconds": seconds, "bytes": memory, "machine": "one"}
    )


def test_powers_of_what_is_linear_quadratic_and_flat():
    rows = rows_of([0.1, 1.0, 100.0], [2e7, 2e7, 2e8])
    np.testing.assert_allclose(growth.exponents(rows, "seconds"), [1, 2])
    np.testing.assert_allclose(growth.exponents(rows, "bytes"), [0, 1])


def test_memory_too_small_to_tell_apart_counts_as_equal():
    np.testing.assert_allclose(growth.exponents(rows_of([1, 1, 1], [0, 1e3, 4e6]), "bytes"), [0, 0])


def test_each_size_has_its_own_peak_memory():
    told, large = [], np.ones(600 * MEGABYTE // 8)  # of the process that starts them, and not theirs
    rows = growth.measure(HOLDING, 2, told.append)
    assert large.sum() > 0
    assert rows["size"].tolist() == list(HOLDING.sizes)
    np.testing.assert_allclose(rows["bytes"] / MEGABYTE, HOLDING.sizes, atol=8)
    assert len(told) == 2


@pytest.mark.parametrize("name", SMALL)
def test_every_axis_runs(name):
    grown = growth.take(dataclasses.replace(AXES[name], sizes=SMALL[name]), SMALL[name][1], 1)
    assert grown.seconds > 0
    assert grown.bytes >= 0


def test_a_study_is_planned():
    few, more = (AXES["settings"].prepare(count)() for count in (1, 3))
    assert 0 < few.jobs < more.jobs
    assert 50 * MEGABYTE < few.bytes < 1000 * MEGABYTE


def test_the_plane_needs_no_memory_for_its_points():
    """100 times as many: 10,000 points of 4,000 numbers would take 160 MB if they were all there at once."""
    rows = growth.measure(dataclasses.replace(AXES["grid points"], sizes=(100, 10_000)), 1, lambda _text: None)
    assert rows["bytes"].iloc[-1] < 20 * MEGABYTE


@pytest.mark.parametrize(("weights", "width"), [(10**4, 69), (10**6, 963)])
def test_networks_have_about_as_many_weights_as_asked(weights, width):
    assert growth.width_of(weights) == width
    found = 64 * width + width**2 + 10 * width + 2 * width + 10
    assert found == pytest.approx(weights, rel=0.02)


def test_table_and_figure_show_every_quantity():
    rows = pd.concat([rows_of([0.1, 1, 10], [1e7, 1e7, 1e7], name) for name in ("seeds", "rays")])
    lines = growth.table_of(rows).splitlines()
    assert lines[0] == "Machine: one; one thread."
    assert "| seeds of a work | 10 100 1,000 | 0.1 1 10 | 1.00 1.00 | 10 10 10 | 0.00 0.00 |" in lines
    assert len(lines) == 6
    axes = growth.figure_of(rows).axes
    assert [axis.get_xlabel() for axis in axes] == ["", "", "seeds", "rays"]
