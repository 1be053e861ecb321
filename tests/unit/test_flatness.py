"""Solutions of different methods against one solution of the same budget, seed by seed."""

import numpy as np
import pytest
import xarray as xr

import plot_flatness
from wedgescape.flatness import paired_differences
from wedgescape.phase_diagram import STATISTICS

METHODS = ["base", "longer", "swa", "sam"]
SHIFT = {"base": -0.5, "longer": 0.0, "swa": 2.0, "sam": -1.0}


@pytest.fixture
def data():
    """Statistics of six seeds, each method's a known distance from one solution's; the seeds differ by far more."""
    seeds = 10.0 + 5 * np.arange(6)
    values = np.array([seeds + SHIFT[method] for method in METHODS])
    values[2, 4] = np.nan  # a run that diverged
    variables = {name: (("point", "seed"), values * (1 + k)) for k, name in enumerate(STATISTICS)}
    return xr.Dataset(variables, {"point": METHODS, "seed": range(6)})


def test_differences_are_taken_seed_by_seed(data):
    table = paired_differences(data, 0.95, 200).set_index(["statistic", "method"])
    assert len(table) == 3 * len(STATISTICS)
    for k, name in enumerate(STATISTICS):
        for method in ("base", "swa", "sam"):
            found = table.loc[(name, method)]
            assert found["estimate"] == pytest.approx(SHIFT[method] * (1 + k))
            assert (found["low"], found["high"]) == pytest.approx((found["estimate"], found["estimate"]))
            assert found["seeds"] == (5 if method == "swa" else 6)
            assert np.sign(found["effect"]) == np.sign(SHIFT[method]) or method == "swa"  # one seed less moves its mean


def test_every_method_and_seed_is_drawn(data):
    figure = plot_flatness.draw(data, 0.95, 200)
    assert [len(axes.get_xticklabels()) for axes in figure.axes] == [len(METHODS)] * len(plot_flatness.PANELS)
    for axes, name in zip(figure.axes, plot_flatness.PANELS, strict=True):
        drawn = np.concatenate(
            [np.ma.filled(dots.get_offsets(), np.nan)[:, 1] for dots in axes.collections if len(dots.get_offsets())]
        )
        assert set(np.round(data[name].values[np.isfinite(data[name].values)], 6)) <= set(np.round(drawn, 6))
