"""Solutions of different methods against one solution of the same budget, seed by seed."""

import numpy as np
import pytest
import xarray as xr

from wedgescape.analysis.flatness import ON_LOG_SCALE, STATISTICS, claims, error_differences, gather, paired_differences
from wedgescape.figures import flatness as plot_flatness
from wedgescape.numerics.intervals import Intervals

METHODS = ["base", "longer", "swa", "sam"]
SHIFT = {"base": -0.5, "longer": 0.0, "swa": 2.0, "sam": -1.0}


@pytest.fixture
def data():
    """Statistics of six seeds, each method's a known distance from one solution's; the seeds differ by far more."""
    seeds = 10.0 + 5 * np.arange(6)
    variables = {}
    for k, name in enumerate(STATISTICS):
        values = np.array([seeds + SHIFT[method] * (1 + k) for method in METHODS])
        if name in ON_LOG_SCALE:  # where differences are in decades
            values = 10 ** (values / 10)
        values[2, 4] = np.nan  # a run that is no optimum
        variables[name] = (("method", "seed"), values)
    return xr.Dataset(variables, {"method": METHODS, "seed": range(6)})


def test_differences_are_taken_seed_by_seed(data):
    table = paired_differences(data, Intervals(0.95, 200)).set_index(["statistic", "method"])
    assert len(table) == 3 * len(STATISTICS)
    for k, name in enumerate(STATISTICS):
        for method in ("base", "swa", "sam"):
            found = table.loc[(name, method)]
            scale = 0.1 if name in ON_LOG_SCALE else 1
            assert found["estimate"] == pytest.approx(scale * SHIFT[method] * (1 + k))
            assert (found["low"], found["high"]) == pytest.approx((found["estimate"], found["estimate"]))
            assert found["seeds"] == (5 if method == "swa" else 6)  # those that have a difference


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
            "width_score": (("seed", "direction"), np.radians([[10.0, 30], [20, 40], [5, 5]])),
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
    assert sam["fit"].values.tolist() == [True, True, False]


# Claims


SEEDS, EXAMPLES = 8, 200


def stores(level):
    """The stores of one method, whose tunnels are so many degrees wide and whose curvatures are 10 ** -level."""
    draw = np.random.default_rng(int(10 * level))
    curved = {name: ("seed", 10.0 ** (-level + 0.01 * draw.standard_normal(SEEDS)))
              for name in ("trace", "frobenius", "small_scale", "gradient_energy", "test_error")}  # fmt: skip
    several = {name: 10.0 ** (-level + 0.01 * draw.standard_normal((SEEDS, 2)))
               for name in ("eigenvalue", "large_scale", "large_scale_error")}  # fmt: skip
    sound = {"diverged": ("seed", np.zeros(SEEDS, bool)), "unfit": ("seed", np.zeros(SEEDS, bool))}
    curvature = xr.Dataset(
        curved
        | {name: (("seed", "rank" if name == "eigenvalue" else "direction"), value) for name, value in several.items()}
        | sound,
        {"seed": range(SEEDS), "rank": [1, 2]},
    )
    width = np.radians(40 + level + 0.1 * draw.standard_normal((SEEDS, 3)))
    tunnels = xr.Dataset(
        {"width_score": (("seed", "direction"), width), "radius": ("seed", np.ones(SEEDS)), **sound},
        {"seed": range(SEEDS)},
    )
    return tunnels, curvature


def predicted(wrong):
    """Predictions of which examples (seed, example) are wrong."""
    return xr.Dataset({"correct": (("seed", "example"), ~wrong)}, {"seed": range(SEEDS)})


def at_random(share, seed=0):
    return np.random.default_rng(seed).random((SEEDS, EXAMPLES)) < share


def judged(levels, wrong):
    found = {method: stores(level) for method, level in levels.items()}
    tunnels, curvature = ({method: pair[k] for method, pair in found.items()} for k in (0, 1))
    training = {method: predicted(rows) for method, rows in wrong.items()}
    return {claim.id: claim for claim in claims(tunnels, curvature, training, Intervals(0.95, 500))}


def test_methods_are_compared_with_one_solution_of_the_same_budget():
    wrong = {"base": at_random(0.5), "longer": at_random(0.3, 1), "swa": at_random(0.05, 2), "sam": at_random(0.3, 3)}
    found = judged({"base": 9.0, "longer": 5.0, "swa": 7.0, "sam": 4.0}, wrong)
    assert len(found) == 8
    assert found["swa_angular_width"].estimate.estimate == pytest.approx(2.0, abs=0.2)
    assert found["sam_angular_width"].estimate.estimate == pytest.approx(-1.0, abs=0.2)
    for name in ("large_scale", "top_eigenvalue"):
        assert found[f"swa_{name}"].estimate.estimate == pytest.approx(-2.0, abs=0.05)  # decades
        assert found[f"sam_{name}"].estimate.estimate == pytest.approx(1.0, abs=0.05)
    better = found["swa_test_error"].estimate
    assert better.estimate == pytest.approx(wrong["swa"].mean() - wrong["longer"].mean())
    assert better.high < 0
    assert (better.unit, better.units) == ("seed and example", SEEDS)
    same = found["sam_test_error"].estimate
    assert same.low < 0 < same.high
    assert {claim.left_out for claim in found.values()} == {0}


def test_an_error_that_rests_on_a_handful_of_images_is_not_certain():
    """Every seed of one method gets the same three of 200 images right: over seeds alone that has no spread."""
    longer, swa = np.zeros((SEEDS, EXAMPLES), bool), np.zeros((SEEDS, EXAMPLES), bool)
    longer[:, :3] = True
    levels = dict.fromkeys(METHODS, 5.0)
    found = judged(levels, {"base": swa, "longer": longer, "swa": swa, "sam": longer})
    few = found["swa_test_error"].estimate
    assert few.estimate == pytest.approx(-3 / 200)
    assert few.high > -0.002
    assert (found["sam_test_error"].estimate.low, found["sam_test_error"].estimate.high) == (0, 0)


def test_runs_that_are_no_optima_are_in_no_error():
    kept = xr.DataArray(np.ones((2, SEEDS), bool), {"method": ["longer", "swa"], "seed": range(SEEDS)},
                        ("method", "seed"))  # fmt: skip
    kept[1, 2] = False
    rows = error_differences(kept, {"longer": predicted(at_random(0.1)), "swa": predicted(at_random(0.2))}, "swa")
    assert np.isnan(rows).all(1).tolist() == [seed == 2 for seed in range(SEEDS)]
