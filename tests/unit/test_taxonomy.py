"""Linear CKA, mode connectivity and partial rank correlations against closed forms; phases; claims; the figure."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from drawings import check_looks, titled
from wedgescape.figures import taxonomy as plot_taxonomy
from wedgescape.landscapes.lines import interpolate, mode_connectivity
from wedgescape.measurements import taxonomy
from wedgescape.measurements.similarity import linear_cka
from wedgescape.measurements.taxonomy import ahead, ahead_given, correlations, measure, phase
from wedgescape.numerics.intervals import Intervals, partial_correlation, rank_correlations
from wedgescape.numerics.judging import judge
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import write_store
from wedgescape.study.catalogue import catalogue
from wedgescape.study.rules import load_rules
from wedgescape.training.optima import Optima

INTERVALS = Intervals(resamples=50)
REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = taxonomy.Settings(points=5, curves=2, steps=5, trace_samples=400)

# Linear CKA


def test_cka_knows_neither_rotations_nor_scales_nor_shifts():
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(50, 4, generator=draw, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=draw, dtype=torch.float64)).Q
    found = linear_cka(torch.stack([outputs, outputs @ rotation, 3 * outputs + torch.arange(4)]))
    torch.testing.assert_close(found, torch.ones(3, 3, dtype=torch.float64))


def test_cka_of_uncorrelated_outputs_is_zero_and_of_shared_ones_their_share():
    """X and Y of k orthonormal columns each, of which m are the same: m / k."""
    rows = torch.randn(40, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    columns = torch.linalg.qr(rows - rows.mean(0)).Q
    found = linear_cka(torch.stack([columns[:, :3], columns[:, 3:6], columns[:, 2:5]]))
    assert found[0, 1] == pytest.approx(0.0, abs=1e-12)
    assert found[0, 2].item() == pytest.approx(1 / 3)
    assert found[1, 2].item() == pytest.approx(2 / 3)


def test_cka_is_the_alignment_of_centred_kernels_and_leaves_out_what_is_not_finite():
    outputs = torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    outputs[2, 0, 0] = torch.nan
    centre = torch.eye(20, dtype=torch.float64) - 1 / 20
    first, second = (centre @ (one @ one.T) @ centre for one in outputs[:2])
    found = linear_cka(outputs)
    assert found[0, 1].item() == pytest.approx(float((first * second).sum() / (first.norm() * second.norm())))
    assert found[2].isnan().all()


# Mode connectivity


def test_mode_connectivity_has_a_sign():
    paths = np.array([
        [0.0, 2.0, 0.0],  # a barrier
        [1.0, 0.2, 1.0],  # ends that are no minima
        [0.0, 0.5, 1.0],  # from low to high: the ends are as far from their mean as it gets
        [1.0, 1.0, 1.0],
    ])  # fmt: skip
    assert mode_connectivity(paths) == pytest.approx([-2.0, 0.8, 0.5, 0.0])


# Partial rank correlations


def matrix(*values):
    return np.array([[rank_correlations(x[:, None], y[:, None])[0, 0] for y in values] for x in values])


def test_partial_rank_correlations_are_those_of_the_inverse_matrix_and_of_what_fits_leave():
    x, y, z = np.random.default_rng(0).standard_normal((3, 30)).cumsum(1)
    found = matrix(x, y, z)
    table = pd.DataFrame({"x": x, "y": y, "z": z})
    np.testing.assert_allclose(found, table.corr(method="spearman"))
    inverse = np.linalg.inv(found)
    wanted = -inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1])
    assert partial_correlation(found, 0, 1, 2) == pytest.approx(wanted)
    ranks = table.rank()
    left = [ranks[one] - np.polyval(np.polyfit(ranks["z"], ranks[one], 1), ranks["z"]) for one in "xy"]
    assert partial_correlation(found, 0, 1, 2) == pytest.approx(np.corrcoef(*left)[0, 1])


def test_partial_rank_correlations_of_normal_variables_have_a_closed_form():
    """Spearman's rho of normal variables of correlation r is 6 / pi asin(r / 2)."""
    plain = np.array([[1.0, 0.8, 0.5], [0.8, 1.0, 0.3], [0.5, 0.3, 1.0]])
    draws = np.random.default_rng(1).multivariate_normal(np.zeros(3), plain, 200_000, method="cholesky")
    wanted = 6 / math.pi * np.arcsin(plain / 2)
    np.testing.assert_allclose(found := matrix(*draws.T), wanted, atol=0.006)
    assert partial_correlation(found, 0, 1, 2) == pytest.approx(partial_correlation(wanted, 0, 1, 2), abs=0.01)
    assert np.isnan(partial_correlation(wanted, 0, 2, 2))


def test_partial_correlations_say_who_is_ahead_as_plain_ones_do():
    draw = np.random.default_rng(2)
    for _ in range(200):
        found = np.corrcoef(draw.standard_normal((3, 6)))
        one, other = partial_correlation(found, 0, 1, 2), partial_correlation(found, 0, 2, 1)
        assert (abs(one) > abs(other)) == (abs(found[0, 1]) > abs(found[0, 2]))


# Networks


@pytest.fixture
def measured(optima):
    return measure(optima, SETTINGS)


def test_what_is_measured_of_networks(optima, mlp, measured, tmp_path):
    write_store(measured, tmp_path / "taxonomy.zarr.zip", Origin("test"))
    points = optima.points
    logits = mlp.logits(points)
    torch.testing.assert_close(logits.softmax(2), mlp.predictions(points))
    alike = linear_cka(logits).numpy()
    np.testing.assert_allclose(measured["cka"], (alike.sum(1) - 1) / 3)
    exact = [float(mlp.hvp(point, torch.eye(mlp.dim)).trace()) for point in points]
    np.testing.assert_allclose(measured["trace"], exact, rtol=0.2)
    others = [interpolate(mlp, points[[k, k, k]], points[[m for m in range(4) if m != k]], torch.linspace(0, 1, 5))
              for k in range(4)]  # fmt: skip
    lines = [mode_connectivity(one["loss"].double().numpy()).mean() for one in others]
    np.testing.assert_allclose(measured["line"], lines, rtol=1e-4)
    errors = [mode_connectivity(1 - one["score"].double().numpy()).mean() for one in others]
    np.testing.assert_allclose(measured["line_error"], errors, atol=1e-6)
    assert np.isfinite(measured["curve"]).all()
    assert len(np.unique(measured["curve"])) == 2  # two curves of two seeds each
    np.testing.assert_allclose(measured["test_error"], 1 - mlp.evaluate(points, "test")["score"], atol=1e-6)


def test_a_run_that_diverged_is_in_no_pair(mlp, weights, optima):
    theta = weights["theta"].values.copy()
    theta[1] = np.nan
    store = measure(Optima(mlp, weights.assign(theta=(("seed", "param"), theta))), SETTINGS)
    assert store["diverged"].values.tolist() == [False, True, False, False]
    assert np.isnan(store["line"].values[1])
    assert np.isfinite(store["line"].values[[0, 2, 3]]).all()
    assert np.isfinite(store["curve"]).sum() == 2  # of three networks one is in no pair


# Phases


def a_store(values, seeds=4, **changes):
    """A store over (value, seed) in which all seeds of a setting are equal; unsaid quantities do not move."""
    plain = {"line": -0.5, "line_error": -0.1, "curve": 0.0, "cka": 0.9, "trace": 1.0, "train_loss": 0.01,
             "train_error": 0.0, "test_loss": 0.1, "test_error": 0.03}  # fmt: skip
    made = {
        name: (("value", "seed"), np.repeat(np.broadcast_to(changes.get(name, one), values)[:, None], seeds, 1))
        for name, one in plain.items()
    }
    made["diverged"] = ("value", "seed"), np.zeros((values, seeds), bool)
    attributes = {"fitted": 0.02, "tolerance": 0.02, "similar": 0.95, "chance_loss": math.log(10)}
    return xr.Dataset(made, {"value": np.arange(1.0, values + 1), "seed": range(seeds)}, attributes)


def test_phases_follow_from_training_loss_barrier_and_likeness():
    store = a_store(5, train_loss=[0.2, 0.2, 0.01, 0.01, 0.01], curve=[-0.2, 0.1, -0.2, -0.01, 0.0],
                    cka=[0.9, 0.9, 0.99, 0.9, 0.96])  # fmt: skip
    assert phase(store).tolist() == ["I", "II", "III", "IV-A", "IV-B"]
    assert phase(store.assign(diverged=~store["diverged"])).tolist() == [""] * 5
    assert phase(store.isel(value=2)) == "III"


# Claims

RISING = np.arange(1.0, 6.0)
UNRELATED = np.array([2.0, 5.0, 3.0, 1.0, 4.0])  # rank correlation 0 with RISING
SWEEPS = ("learning_rate", "weight_decay", "width", "dropout", "batch_size")


def sweeps_of(barrier, trace, error=RISING, names=SWEEPS):
    return {name: a_store(5, line=-barrier, trace=trace, test_error=error) for name in names}


def judged(matched):
    found = list(taxonomy.claims(matched, matched, INTERVALS))
    rows, _specifications = judge(found, load_rules(REPOSITORY / "config/rules.yaml", catalogue().claims), INTERVALS)
    return {row["id"]: row for row in rows}


def test_connectivity_that_orders_the_error_entirely_has_the_full_effect_and_swapped_roles_the_opposite():
    found = judged(sweeps_of(RISING, UNRELATED))
    order = found["taxonomy_order"]
    assert order["estimate"] == pytest.approx(1.0)
    assert (order["verdict"], order["units"], order["unit"]) == ("supported", 5, "sweep")
    assert found["taxonomy_connectivity"]["verdict"] == "supported"
    swapped = judged(sweeps_of(UNRELATED, RISING))
    assert swapped["taxonomy_order"]["estimate"] == pytest.approx(-1.0)
    assert swapped["taxonomy_order"]["verdict"] == "contradicted"
    assert swapped["taxonomy_connectivity"]["verdict"] == "no effect"


def test_sweeps_that_order_barrier_and_trace_alike_are_no_units():
    alike = sweeps_of(RISING, 10 * RISING, names=SWEEPS[:2])
    order = judged(alike | sweeps_of(RISING, UNRELATED, names=SWEEPS[2:]))["taxonomy_order"]
    assert (order["verdict"], order["units"]) == ("undecided", 3)
    assert order["reason"] == "3 independent units (sweep); a verdict needs 4"
    assert order["control"].endswith("barrier and trace in one order in 2 of 5 sweeps")


def test_nothing_is_claimed_without_networks_trained_to_one_loss_and_little_of_short_sweeps():
    assert list(taxonomy.claims(sweeps_of(RISING, UNRELATED), {}, INTERVALS)) == []
    short = {"learning_rate": a_store(2)}
    assert {row["verdict"] for row in judged(short).values()} == {"undecided"}


def test_what_is_ahead_given_the_training_loss_is_partial():
    """The error is the training loss, and so is the barrier; nothing of either is left that the trace could follow."""
    sweeps = {name: a_store(5, line=-UNRELATED, trace=one, test_error=RISING, train_loss=[1, 3, 2, 5, 4])
              for name, one in zip(SWEEPS, (RISING, RISING[::-1], UNRELATED), strict=False)}  # fmt: skip
    matrices = correlations(sweeps)[:, 0]
    mean = matrices.mean(0)
    wanted = partial_correlation(mean, 0, 1, 3) - partial_correlation(mean, 0, 2, 3)
    assert ahead_given(matrices, of_loss=True) == pytest.approx(wanted)
    assert ahead_given(matrices, of_loss=False) == pytest.approx(
        partial_correlation(mean, 0, 1, 2) - partial_correlation(mean, 0, 2, 1)
    )
    assert np.isnan(ahead(matrices)[2])
    below = {name: one.assign(line=-one["line"]) for name, one in sweeps.items()}
    np.testing.assert_allclose(correlations(below)[:, 0], matrices)  # as far from connected


@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_intervals_over_sweeps_cover(alike):
    """Error, barrier and trace follow a sweep by slopes of their own, and, with `alike`, by one that they share."""
    draw, settings = np.random.default_rng(3), np.linspace(-1, 1, 5)
    hits, counted, one_sided = 0, 0, 0
    for _ in range(2000):
        shared = alike * draw.standard_normal((8, 1, 1))
        values = (shared + draw.standard_normal((8, 3, 1))) * settings + 0.3 * draw.standard_normal((8, 3, 5))
        ranks = values.argsort(-1).argsort(-1) - 2.0
        matrices = ranks @ ranks.swapaxes(1, 2) / 10
        found = INTERVALS.mean(ahead(matrices), "sweep")
        if found.units >= 4:
            counted += 1
            hits += found.low <= 0 <= found.high
            one_sided += found.low > 0.2
    assert hits / counted >= 0.93
    assert one_sided / counted <= 0.025


# The figure


def test_the_figure_shows_phases_settings_and_correlations():
    names = ("learning_rate", "width", "batch_size")
    sweeps = {name: a_store(5, line=-RISING, trace=UNRELATED, test_error=RISING / 50) for name in names}
    sweeps["width"] = sweeps["width"].assign(curve=sweeps["width"]["curve"] - 1)
    base = {"width": 2, "learning_rate": 1.0, "batch_size": 3, "dropout": 0.0}
    grid = {"wide": base | {"width": 4, "learning_rate": 2.0}, "dropped": base | {"dropout": 0.5}}
    everywhere = {name: a_store(1, train_loss=0.5).isel(value=0) for name in grid}
    grids = {"some": {"keys": ["width", "learning_rate", "dropout"], "settings": grid}}
    found = plot_taxonomy.plane(sweeps, everywhere, grids, base)
    assert set(found["phase"]) == {"II", "III", "IV-A"}
    assert found[found["phase"] == "II"][["width", "temperature"]].values.tolist() == [[4.0, 2 / 3]]
    figure = plot_taxonomy.draw(sweeps, sweeps, everywhere, grids, base, INTERVALS)
    check_looks(figure, 6)
    lines = [line.get_xdata() for line in titled(figure)[1].lines]
    assert np.allclose(lines, [RISING] * 3)
    tables = plot_taxonomy.tabulate(sweeps, sweeps, everywhere)
    assert len(tables["taxonomy"]) == 2 * 3 * 5 + 2
    assert tables["taxonomy_correlations"]["barrier"].tolist() == pytest.approx([1.0] * 6)
    assert tables["taxonomy_correlations"]["trace"].tolist() == pytest.approx([0.0] * 6)


def test_a_study_of_given_networks_has_the_figure_without_the_plane():
    sweeps = {"dropout": a_store(5, line=-RISING, trace=UNRELATED, test_error=RISING / 50)}
    figure = plot_taxonomy.draw(sweeps, {}, {}, {}, {"dropout": 0.0}, INTERVALS)
    check_looks(figure, 6)
    assert len(plot_taxonomy.tabulate(sweeps, {}, {})["taxonomy"]) == 5
