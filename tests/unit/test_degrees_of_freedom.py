"""Random planes on the way through training: wedges, quadratics, bounds, what is repeated, claims, the figure."""

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.collections import PathCollection

from drawings import check_looks, titled
from wedgescape.errors import InputError
from wedgescape.figures import degrees_of_freedom as plot_degrees_of_freedom
from wedgescape.landscapes.quadratics import dimensions_needed, gaussian_width_bound
from wedgescape.landscapes.spans import RandomSpan, Span, random_directions
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import degrees_of_freedom
from wedgescape.measurements.degrees_of_freedom import (
    STARTS,
    VARIABLES,
    Settings,
    main_directions,
    measure,
    needed,
    random_planes,
    straight,
    straight_to_loss,
    successes,
    thresholds,
    trend,
)
from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import write_store
from wedgescape.training.descent import Recipe
from wedgescape.training.optima import Optima

INTERVALS = Intervals(resamples=100)
SETTINGS = Settings(seeds=4, parts=[0, 0.25, 0.5], dimensions=[2, 8, 32], epochs=4, batch_size=32, loss_fraction=0.3)


# Known answers


@pytest.mark.parametrize("short", [2, 4])
def test_on_a_wedge_as_many_directions_are_needed_as_are_short_wherever_one_begins(short):
    """A wedge is a cone: for a target in proportion, no fewer are needed nearer to it. So d* need not fall."""
    landscape, dims = WedgeLandscape(100, short), list(range(short - 1, short + 2))
    for size in (2.0, 0.2):
        starts = size * random_directions(2, landscape.dim, "test starts")
        goals, recipe = 0.03 * landscape.losses(starts), Recipe("adam", 0.1 * size, schedule="cosine")
        found, censored = thresholds(landscape, starts, goals, random_planes(starts), range(2), dims, recipe, 800)
        assert ((short - 1 < found) & (found <= short)).all()
        assert set(censored) == {"no"}


def lowest(eigenvalues, start, directions):
    """The lowest loss on planes of the first 0, 1, ... of some directions, by least squares."""
    roots = np.sqrt(eigenvalues)
    basis = np.linalg.qr((directions * roots).T)[0]
    at = roots * start
    return ((at @ at) - np.cumsum((at @ basis) ** 2)) / 2


SPECTRA = {
    "equal": np.ones(200),
    "power law": 1 / np.arange(1, 201),
    "outliers": np.r_[np.full(20, 100.0), np.full(180, 0.1)],
    "flat directions": np.r_[np.ones(40), np.zeros(160)],
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("excess", [0.05, 0.2])
def test_of_a_quadratic_the_dimension_at_which_half_succeed_is_known(name, excess):
    """From random starts and from one that is not random; excess as a share of the loss at the start."""
    eigenvalues, draw = SPECTRA[name], np.random.default_rng(0)
    for scale in (np.ones(200), 1 / (1 + eigenvalues)):
        found, wanted = [], []
        for _trial in range(60):
            start = 10 * scale * draw.standard_normal(200)
            level = excess * (eigenvalues * start**2).sum() / 2
            losses = lowest(eigenvalues, start, draw.standard_normal((200, 200)))
            found.append(1 + np.flatnonzero(losses <= level)[0])
            wanted.append(dimensions_needed(eigenvalues, start, level))
        assert np.median(found) == pytest.approx(np.median(wanted), rel=0.03, abs=1.5)


def test_the_estimate_by_the_gaussian_width_is_an_upper_bound_and_good_for_small_level_sets():
    """It is right within a percent where nearly all directions are needed, and six times too large where few are."""
    draw, ratios = np.random.default_rng(0), {}
    for excess in (0.05, 1.0):
        start = draw.standard_normal((50, 200))
        start *= 10 / np.linalg.norm(start, axis=1, keepdims=True)
        exact = np.mean([dimensions_needed(SPECTRA["power law"], one, excess) for one in start])
        ratios[excess] = gaussian_width_bound(SPECTRA["power law"], 10, excess) / exact
    assert 1 <= ratios[0.05] < 1.02
    assert 4 < ratios[1.0] < 8


def test_closed_forms_of_a_quadratic():
    flat = np.r_[np.full(30, 2.0), np.zeros(70)]
    start = np.full(100, 0.5)
    assert dimensions_needed(flat, start, 0.1 * 30 * 0.25) == pytest.approx(30 * 0.9)
    assert dimensions_needed(flat, start, 1e-9) == pytest.approx(30)
    assert dimensions_needed(flat, start, 30 * 0.25) == 0.0
    eigenvalues, away = 1 / np.arange(1.0, 101), np.full(100, 0.7)  # as far in all directions as random starts
    found = dimensions_needed(eigenvalues, away, 0.3)
    distance = np.sqrt((away**2).sum() * found / 100)
    assert gaussian_width_bound(eigenvalues, distance, 0.3) == pytest.approx(found)


def test_descents_find_the_threshold_of_each_plane_through_a_quadratic(quadratic):
    eigenvalues = np.r_[np.ones(12), np.full(28, 0.01)]
    landscape = quadratic(eigenvalues)
    starts = 3 * random_directions(3, 40, "test starts").double()
    level, recipe = torch.full((3,), 0.2, dtype=torch.float64), Recipe("adam", 0.1, schedule="cosine")
    found, censored = thresholds(landscape, starts, level, random_planes(starts), range(3), range(8, 24), recipe, 400)
    assert set(censored) == {"no"}
    for k, start in enumerate(starts @ landscape.eigenvectors):
        directions = RandomSpan(40, 40, [k]).directions(0).double() @ landscape.eigenvectors
        first = 1 + np.flatnonzero(lowest(eigenvalues, start.numpy(), directions.numpy()) <= 0.2)[0]
        assert first - 1 <= found[k] <= first


# Bounds


def test_what_is_reached_at_once_or_never_is_a_bound(quadratic):
    landscape = quadratic([1.0] * 6)
    starts = torch.eye(6, dtype=torch.float64)[:4] * torch.tensor([[1.0], [1.0], [0.01], [torch.nan]])
    targets = torch.tensor([-1.0, 0.499, 0.1, 0.1], dtype=torch.float64)
    recipe = Recipe("adam", 0.1, schedule="cosine")
    found, censored = thresholds(landscape, starts, targets, random_planes(starts), [0, 1, 2, 3], [2, 4], recipe, 200)
    np.testing.assert_array_equal(found, [4, 2, 2, np.nan])
    assert censored.tolist() == ["above", "below", "below", "above"]


def test_a_bound_bounds_the_trend_from_the_side_on_which_it_is():
    parts, logs = np.array([0.0, 0.1, 0.4]), np.array([[2.0, 1.5, 0.0]] * 5)
    censored = np.array([[0, 0, 0], [0, 0, -1], [1, 0, 0], [1, 0, -1], [-1, 0, -1]])
    slopes, signs = trend(parts, logs, censored)
    assert slopes[:4] == pytest.approx([-2.0] * 4, abs=0.05)
    assert np.isnan(slopes[4])
    assert signs[:4].tolist() == [0, -1, -1, -1]
    assert trend(parts, 3 - 5 * parts[None], np.zeros((1, 3)))[0] == pytest.approx([-2.0])


# Places and planes


def test_places_on_the_straight_line_are_as_far_from_the_optimum(points):
    starts, ends = points(3, 10), points(3, 10, 1)
    distances = torch.tensor([0.1, 1.0, 2.0])
    found = straight(starts, ends, distances)
    torch.testing.assert_close((found - ends).norm(dim=1), distances)
    assert torch.nn.functional.cosine_similarity(found - ends, starts - ends).tolist() == pytest.approx([1.0] * 3)


def test_places_on_the_straight_line_have_the_losses_asked_for(quadratic):
    starts, ends = torch.eye(4, dtype=torch.float64)[:3], torch.zeros(3, 4, dtype=torch.float64)
    found = straight_to_loss(quadratic([1.0] * 4), starts, ends, torch.tensor([0.02, 0.32, 0.9]))
    torch.testing.assert_close(found.norm(dim=1), torch.tensor([0.2, 0.8, 1.0], dtype=torch.float64), atol=1e-5, rtol=0)


def test_main_directions_hold_the_snapshots(points):
    start, snapshots = points(1, 30)[0], points(4, 30, 1)
    directions = main_directions(snapshots, start)
    torch.testing.assert_close(directions @ directions.T, torch.eye(4), atol=1e-5, rtol=0)
    inside = (snapshots - start) @ directions.T @ directions
    torch.testing.assert_close(inside, snapshots - start, atol=1e-4, rtol=0)
    assert ((snapshots - start) @ directions.T).norm(dim=0).diff().max() < 0


def test_planes_are_those_of_hyperplanes_whatever_fits_into_memory(points, monkeypatch):
    plane, coordinates = random_planes(points(1, 50)), points(3, 5)
    held = plane(7, 5, 3)
    assert isinstance(held, Span)
    monkeypatch.setattr(degrees_of_freedom, "HELD_BYTES", 1)
    drawn = plane(7, 5, 3)
    assert isinstance(drawn, RandomSpan)
    torch.testing.assert_close(held.combine(coordinates), drawn.combine(coordinates))
    torch.testing.assert_close(held.directions, RandomSpan(9, 50, [7]).directions(0)[:5])


# Networks


@pytest.fixture(scope="module")
def measured_once():
    return {}


@pytest.fixture
def measured(optima, measured_once, tmp_path):
    if not measured_once:
        measured_once["store"] = measure(optima, SETTINGS)
    write_store(measured_once["store"], tmp_path / "degrees_of_freedom.zarr.zip", Origin("test"))
    return measured_once["store"]


def test_networks_are_measured_on_their_way(mlp, weights, measured):
    assert set(measured.data_vars) == {*VARIABLES, "diverged", "unfit"}
    assert measured["part"].values == pytest.approx([0, 0.25, 0.5])
    way = torch.from_numpy(weights["trajectory"].values)  # every 4 of 12 epochs
    np.testing.assert_allclose(measured["loss"].sel(start="trained")[:, 0], mlp.losses(way[:, 0]), rtol=1e-5)
    away = np.linalg.norm(weights["theta_init"] - weights["theta"], axis=1)
    np.testing.assert_allclose(measured["distance"][:, 0], away, rtol=1e-5)
    end = mlp.losses(torch.from_numpy(weights["theta"].values)).numpy()
    np.testing.assert_allclose(measured["target"], end + 0.3 * (np.log(3) - end), rtol=1e-5)
    for name in ("threshold", "loss"):
        found = measured[name].isel(part=0)
        for start in STARTS[1:]:
            np.testing.assert_allclose(found.sel(start=start), found.sel(start="trained"), rtol=1e-5)
    level = measured["loss"].sel(start="equal loss")
    np.testing.assert_allclose(level, measured["loss"].sel(start="trained"), rtol=1e-3)
    assert (measured["lottery_threshold"] < measured["threshold"].isel(part=0).sel(start="trained").mean("plane")).all()


def test_a_seed_measures_the_same_alone(mlp, weights, measured):
    alone = measure(Optima(mlp, weights.isel(seed=[2])), SETTINGS)
    for name in ("threshold", "censored", "lottery_threshold", "random_loss", "loss"):
        np.testing.assert_array_equal(alone[name], measured[name].isel(seed=[2]))


def test_a_seed_that_diverged_has_no_values_and_disturbs_no_other(mlp, weights, measured):
    theta = weights["theta"].copy()
    theta[1] = np.nan
    store = measure(Optima(mlp, weights.assign(theta=theta).isel(seed=[0, 1])), SETTINGS)
    assert store["diverged"].values.tolist() == [False, True]
    assert store["threshold"].isel(seed=1).isnull().all()
    np.testing.assert_array_equal(store["threshold"].isel(seed=0), measured["threshold"].isel(seed=0))


def test_what_cannot_be_trained_again_is_refused_by_name():
    toy = WedgeLandscape(6, 2)
    with pytest.raises(InputError, match=r"degrees_of_freedom: .* lacks epochs, schedule, warmup_epochs"):
        measure(Optima.of(toy, toy.optima(1, 1.0)), SETTINGS)


# Claims and the figure


def a_store(trained, near, level, censored=None, seeds=6):
    """A store of thresholds at times 0, 0.1 and 0.2."""
    draw = np.random.default_rng(0)
    shape = (3, seeds, 3, 2)
    means = np.array([trained, near, level], dtype=float)[:, None, :, None]
    how = np.full(shape, "no", dtype="U5")
    if censored:
        how[0, 0, censored[0], 0] = censored[1]
    over = {"seed": np.arange(seeds), "part": [0.0, 0.1, 0.2], "start": list(STARTS), "plane": [0, 1]}
    return xr.Dataset(
        {
            "threshold": (("start", "seed", "part", "plane"), means * np.exp(0.01 * draw.standard_normal(shape))),
            "censored": (("start", "seed", "part", "plane"), how),
            "lottery_threshold": ("seed", np.ones(seeds)),
            "lottery_censored": ("seed", ["no"] * seeds),
            "loss": (("start", "seed", "part"), np.exp(-np.arange(3.0)) * np.ones((3, seeds, 1))),
            "random_loss": (("seed", "part"), np.full((seeds, 3), 0.1)),
            "distance": (("seed", "part"), np.full((seeds, 3), 1.0)),
            "target": ("seed", np.full(seeds, 0.12)),
            "diverged": ("seed", [False] * (seeds - 1) + [True]),
        },
        over,
        {"loss_fraction": 0.05},
    )


def claimed(store):
    return {claim.id: claim for claim in degrees_of_freedom.claims(store, INTERVALS)}


def test_claims_say_what_was_planted():
    found = claimed(a_store([200, 100, 20], [200, 150, 100], [200, 100, 20]))
    assert list(found) == ["freedom_falls", "freedom_beyond_distance", "freedom_beyond_loss"]
    assert found["freedom_falls"].estimate.estimate == pytest.approx(-1.0, abs=0.02)
    assert found["freedom_beyond_distance"].estimate.estimate == pytest.approx(-0.7, abs=0.02)
    assert found["freedom_beyond_loss"].estimate.estimate == pytest.approx(0.0, abs=0.02)
    assert found["freedom_falls"].control == "straight line at equal distance -0.3; straight line at equal loss -1"
    assert found["freedom_falls"].estimate.units == 5
    assert {claim.left_out for claim in found.values()} == {1}
    assert claimed(a_store([200, 100, 20], [200, 150, 100], [200, 100, 20]).isel(part=[0])) == {}


def test_a_network_that_has_reached_the_target_gives_a_bound():
    store = a_store([200, 100, 1], [200, 150, 100], [200, 150, 100], (2, "below"))
    assert needed(store, "trained")[1][0].tolist() == [0, 0, -1]
    found = claimed(store)
    assert {claim.estimate.low for claim in found.values()} == {-np.inf}
    assert found["freedom_falls"].estimate.high < -1
    never = claimed(a_store([1000, 100, 50], [1000, 150, 100], [1000, 150, 100], (0, "above")))[
        "freedom_falls"
    ].estimate
    assert (never.low, np.isfinite(never.high)) == (-np.inf, True)


def test_shares_count_planes():
    store = a_store([100, 50, 10], [100, 70, 40], [100, 70, 40], (0, "above"))
    shares = successes(store["threshold"][0], store["censored"][0], np.array([20, 200]))
    assert shares[:, 0].tolist() == [0, 0, 1]
    assert shares[:, 1] == pytest.approx([11 / 12, 1, 1])


def test_the_figure_draws_every_seed_that_is_an_optimum(measured):
    figure = plot_degrees_of_freedom.draw(measured, INTERVALS)
    check_looks(figure, 3)
    dimensions = titled(figure)[1]
    marks = np.concatenate([part.get_offsets().filled(np.nan)[:, 1] for part in dimensions.collections
                            if isinstance(part, PathCollection)])  # fmt: skip
    for start in STARTS:
        for row in 10 ** needed(measured, start)[0]:
            assert all(np.isclose(value, marks).any() for value in row)
    assert len(plot_degrees_of_freedom.tabulate(measured)) == 3 * 4 * 3 * 2
    check_looks(
        plot_degrees_of_freedom.draw(a_store([200, 100, 1], [200, 150, 100], [200, 100, 90], (2, "below")), INTERVALS),
        3,
    )


def test_without_optima_nothing_is_drawn_or_judged():
    store = a_store([200, 100, 20], [200, 150, 100], [200, 100, 20])
    lost = store.assign(diverged=("seed", [True] * 6))
    check_looks(plot_degrees_of_freedom.draw(lost, INTERVALS), 3)
    assert {claim.estimate.units for claim in degrees_of_freedom.claims(lost, INTERVALS)} == {0}
