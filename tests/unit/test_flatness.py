"""Solutions of different methods against one solution of the same budget, seed by seed."""

import numpy as np
import pytest
import xarray as xr

from wedgescape.analysis.flatness import STATISTICS, gather, paired_differences
from wedgescape.figures import flatness as plot_flatness
from wedgescape.numerics.intervals import Intervals

METHODS = ["base", "longer", "swa", "sam"]
SHIFT = {"base": -0.5, "longer": 0.0, "swa": 2.0, "sam": -1.0}


@pytest.fixture
def data():
    """Statistics of six seeds, each method's a known distance from one solution's; the seeds differ by far more."""
    seeds = 10.0 + 5 * np.arange(6)
    values = np.array([seeds + SHIFT[method] for method in METHODS])
    values[2, 4] = np.nan  # a run that diverged
    variables = {name: (("method", "seed"), values * (1 + k)) for k, name in enumerate(STATISTICS)}
    return xr.Dataset(variables, {"method": METHODS, "seed": range(6)})


def test_differences_are_taken_seed_by_seed(data):
    table = paired_differences(data, Intervals(0.95, 200)).set_index(["statistic", "method"])
    assert len(table) == 3 * len(STATISTICS)
    for k, name in enumerate(STATISTICS):
        for method in ("base", "swa", "sam"):
            found = table.loc[(name, method)]
            assert found["estimate"] == pytest.approx(SHIFT[method] * (1 + k))
            assert (found["low"], found["high"]) == pytest.approx((found["estimate"], found["estimate"]))
            assert found["seeds"] == (5 if method == "swa" else 6)
            assert np.sign(found["effect"]) == np.sign(SHIFT[method]) or method == "swa"  # one seed less moves its mean


def test_every_method_and_seed_is_drawn(data, monkeypatch):
    monkeypatch.setattr(plot_flatness, "gather", lambda tunnels, curvature: data)
    figure = plot_flatness.draw({}, {}, Intervals(0.95, 200))
    assert [len(axes.get_xticklabels()) for axes in figure.axes] == [len(METHODS)] * len(plot_flatness.PANELS)
    for axes, name in zip(figure.axes, plot_flatness.PANELS, strict=True):
        drawn = np.concatenate(
            [np.ma.filled(dots.get_offsets(), np.nan)[:, 1] for dots in axes.collections if len(dots.get_offsets())]
        )
        assert set(np.round(data[name].values[np.isfinite(data[name].values)], 6)) <= set(np.round(drawn, 6))


def test_one_number_a_network_is_gathered_and_what_diverged_is_in_none():
    seeds = {"seed": [3, 4, 5]}
    tunnels = xr.Dataset(
        {
            "width_accuracy": (("seed", "direction"), np.radians([[10.0, 30], [20, 40], [5, 5]])),
            "radius": ("seed", [1.0, 2, 3]),
            "diverged": ("seed", [False, False, True]),
        },
        seeds,
    )
    others = ("trace", "frobenius", "small_scale", "gradient_energy", "test_error")
    curvature = xr.Dataset(
        {
            "eigenvalue": (("seed", "rank"), [[9.0, 3], [7, 2]]),
            "large_scale": (("seed", "direction"), [[1.0, 3], [5, 7]]),
            "large_scale_error": (("seed", "direction"), [[1.0, 3], [5, 7]]),
            "diverged": ("seed", [False, False]),
        }
        | {name: ("seed", [11.0, 12]) for name in others},
        {"seed": [3, 4], "rank": [1, 2]},  # the third seed was not measured
    )
    data = gather({"longer": tunnels, "sam": tunnels}, {"longer": curvature, "sam": curvature})
    sam = data.sel({"method": "sam"})
    wanted = {"angular_width": [20, 30], "large_scale": [2, 6], "top_eigenvalue": [9, 7], "trace": [11, 12]}
    for name, values in {**wanted, "norm": [1, 2], "test_error": [11, 12]}.items():
        np.testing.assert_allclose(sam[name], [*values, np.nan])
    assert sam["diverged"].values.tolist() == [False, False, True]
