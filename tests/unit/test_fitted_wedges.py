"""Fits of wedges: every route finds the s of a toy wedge, with the sample sizes that a study has."""

import math

import numpy as np
import pytest
import torch
import xarray as xr

from drawings import check_looks, titled
from wedgescape.analysis import fitted_wedges
from wedgescape.analysis import wedge_routes as routes
from wedgescape.figures import fitted_wedges as plot_fitted_wedges
from wedgescape.landscapes.spans import gaussian, random_directions, unit
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import hyperplanes, tunnels
from wedgescape.measurements.connectors import draw_sets
from wedgescape.numerics.intervals import Interval, Intervals
from wedgescape.training.descent import Recipe
from wedgescape.training.optima import Optima

DIM, SHORT, RADIUS = 300, 30, 2.0
SEEDS = 8


def shares(draw, short, dim, size):
    """Lengths |u_S| of random unit vectors' parts in `short` directions of `dim`."""
    return np.sqrt(draw.beta(short / 2, (dim - short) / 2, size))


# Routes


@pytest.mark.parametrize(("short", "dim"), [(1, 10), (5, 50), (40, 9000), (45, 50)])
def test_the_spread_of_shares_is_the_closed_form_and_its_inverse(short, dim):
    logs = np.log(shares(np.random.default_rng(0), short, dim, 400_000))
    assert logs.var() == pytest.approx(routes.spread(short, dim), rel=0.02)
    assert routes.short_of(float(routes.spread(short, dim)), dim) == pytest.approx(short, rel=1e-6)
    deviations = logs - logs.mean()
    for place in (0.1, 0.5, 0.9):
        assert routes.share_cdf(np.quantile(deviations, place), short, dim) == pytest.approx(place, abs=0.01)


def test_a_spread_without_an_answer():
    assert routes.short_of(-1e-9, 50) == 50
    assert math.isnan(routes.short_of(np.nan, 50))
    unbounded = routes.short_interval(Interval(0.1, -np.inf, np.inf), 50)
    assert (unbounded.low, unbounded.high) == (-np.inf, np.inf)
    ends = routes.short_interval(Interval(0.02, 0.01, 0.03), 1000)
    assert ends.low < ends.estimate < ends.high


def test_ray_variances_are_unbiased_with_few_rays_and_their_intervals_hold():
    """12 optima of 8 rays each, as a study has them; 200 studies."""
    draw, short, dim, held, means = np.random.default_rng(1), 100, 2000, 0, []
    for _study in range(200):
        angles = np.arcsin(0.1 / shares(draw, short, dim, (12, 8)))
        angles = (np.floor(angles / 0.004) + 0.5) * 0.004  # a bracket
        variances = routes.ray_variances(angles, 0.002)
        interval = routes.short_interval(Intervals().mean(variances), dim)
        held += interval.low <= short <= interval.high
        means.append(variances.mean())
    error = np.std(means) / np.sqrt(len(means))
    assert np.mean(means) == pytest.approx(routes.spread(short, dim), abs=4 * error)
    assert held / 200 > 0.9


@pytest.mark.parametrize("points", [8, 64])
def test_points_tell_s_whatever_the_thickness_and_the_slope(points):
    draw, short, dim, held, found = np.random.default_rng(2), 60, 3000, 0, []
    radii = np.geomspace(1, 8, 7)
    for _study in range(400):
        distance = radii[:, None] * shares(draw, short, dim, points)
        losses = 5.0 * (distance - 0.05) ** 2
        squares = routes.at_radius(radii, routes.point_squares(radii, losses), 3.3)
        interval = routes.short_interval(routes.variance_interval(squares, 0.95), dim)
        held += interval.low <= short <= interval.high
        found.append(squares.mean())
    assert np.mean(found) == pytest.approx(routes.spread(short, dim), rel=0.08)
    assert 0.9 < held / 400 < 0.99
    flat = np.log(10) + 1e-3 * losses / losses.max()
    assert np.isnan(routes.point_squares(radii, flat)).all()  # a loss that hardly rises says nothing


def test_values_at_a_radius_lie_between_those_of_its_neighbours():
    assert routes.at_radius([1, 4, 16], [[0.0], [2.0], [3.0]], 2.0) == pytest.approx([1.0])
    assert routes.at_radius([1, 4], [5.0, 6.0], 100.0) == pytest.approx(6.0)
    assert routes.at_radius([3], [5.0], 1.0) == pytest.approx(5.0)


def test_rays_that_never_leave_or_begin_outside_say_nothing():
    angles = np.array([[0.3, 0.4], [0.3, math.pi / 2], [0.0, 0.4], [np.nan, 0.1]])
    assert np.isfinite(routes.ray_variances(angles, 0.0)).tolist() == [True, False, False, False]
    assert np.isnan(routes.ray_variances(np.full((3, 1), 0.4), 0.0)).all()  # one ray has no spread


@pytest.mark.parametrize(("a", "b"), [(2.0, 0.0), (3.0, 1.2), (5.0, 0.1)])
def test_a_hinge_is_found_exactly(a, b):
    x = np.sin(np.linspace(0, np.pi / 2, 9))
    assert routes.hinge(x, np.maximum(0, a * x - b)) == pytest.approx((a, b), abs=1e-9)


def test_the_line_of_exact_cuts_meets_zero_at_s():
    dimensions = np.array([1, 2, 4, 8, 16, 32, 64])
    losses = 3 * np.sqrt(np.clip(1 - dimensions / 40, 0, None))[:, None] * [1.0, 2.0]
    short, start = routes.cut_line(dimensions, losses)
    assert short == pytest.approx([40, 40])
    assert start == pytest.approx([3, 6])
    risen = routes.cut_line(dimensions, np.arange(1.0, 8)[:, None])
    assert np.isnan(risen).all()
    fine = np.arange(1, 64)
    levels = routes.cut_levels(fine, 3 * np.sqrt(np.clip(1 - fine / 40, 0, None))[:, None])
    assert levels == pytest.approx(np.full_like(levels, 40), rel=0.05)
    assert np.isnan(routes.cut_levels(dimensions, 0.01 * losses)).all()  # below every level from the start


def test_rays_at_other_losses_tell_the_same_of_a_wedge():
    angles = np.linspace(0, np.pi / 2, 400)
    share = shares(np.random.default_rng(3), 50, 1000, (6, 40))
    variances = routes.ray_levels(angles, 20 * share[..., None] * np.sin(angles))
    assert variances == pytest.approx(np.tile(np.log(share).var(1, ddof=1), (len(variances), 1)), rel=1e-2)
    assert np.isnan(routes.ray_levels(angles, 1e-3 * share[..., None] * np.sin(angles))).all()


# Predictions


def test_predictions_are_what_the_toy_model_does():
    dim, short, radius, slope, thickness = 600, 120, 3.0, 2.5, 0.2
    one = WedgeLandscape(dim, short, thickness=thickness)
    fit = fitted_wedges.Fit(dim, short, slope, thickness)
    points = radius * random_directions(400, dim, "test points")
    assert slope * one.losses(points).mean() == pytest.approx(fit.at_random(radius), rel=0.02)
    optima = one.optima(40, radius)
    rays = tunnels.tangents(optima, 1, range(40))[:, 0]
    losses = one.losses(tunnels.rotate(optima, rays, torch.full((40,), 0.7)))
    assert slope * losses.mean() == pytest.approx(fit.on_rays(radius, 0.7), rel=0.03)
    for m in (2, 5):
        many = WedgeLandscape(dim, short, m, thickness=thickness)
        found = [many.losses(many.optima(m, radius, seed).mean(0)[None]) for seed in range(20)]
        # The nearest of m wedges is nearer than any one.
        assert slope * torch.cat(found).mean() == pytest.approx(fit.at_centroids(radius, m), rel=0.1)
    middle = fit.on_lines(radius, np.array([0.0, 0.25, 0.5, 1.0]))
    assert middle[2] == pytest.approx(float(fit.at_centroids(radius, 2)))
    assert middle[[0, 3]].tolist() == [0, 0]
    cuts = unit(gaussian(50, dim, "test cut"))
    inside = one.members[0] > 0
    moves = torch.linalg.lstsq(cuts.T[inside], points.T[inside]).solution  # the exact minima on the cuts
    lowest = one.losses(points - moves.T @ cuts)
    assert slope * lowest.mean() == pytest.approx(fit.on_cuts(radius, 50), rel=0.03)


# All of it


class Classifier(WedgeLandscape):
    """A wedge landscape that also has an accuracy, and so a loss of chance."""

    classes = 3

    def evaluate(self, points, split="train"):
        loss = super().evaluate(points, split)["loss"]
        return {"loss": loss, "score": torch.exp(-loss)}


@pytest.fixture(scope="module")
def stores():
    """What a study measures, of a toy landscape with a wedge a seed; the last seed diverged."""
    landscape = Classifier(DIM, SHORT, wedges=SEEDS)
    seeds, alpha = list(range(SEEDS)), torch.linspace(0, 1, 11)
    optima = landscape.optima(SEEDS, RADIUS)
    starts = RADIUS * random_directions(SEEDS, DIM, "test starts")
    lost = np.arange(SEEDS) == SEEDS - 1
    dead = torch.from_numpy(lost)[:, None]
    settings = tunnels.Settings(
        directions=16, score_fraction=0.9, loss_fraction=0.2 / math.log(Classifier.classes), angle_error=0.1
    )
    rays = tunnels.measure(Optima.of(landscape, torch.where(dead, 1e3 * optima, optima), diverged=lost), settings)
    rays = rays.assign(loss_threshold=("seed", np.full(SEEDS, 0.2)))
    recipe = Recipe(optimizer="adam", learning_rate=0.06, schedule="cosine")
    dimensions = [1, 2, 4, 8, 16, 24, 32, 48]
    cuts = np.stack(
        [
            landscape.losses(hyperplanes.descend_in_hyperplanes(landscape, starts, d, recipe, 200, seeds).points)
            for d in dimensions
        ]
    )
    threshold, censored = hyperplanes.first_reaching(dimensions, -cuts, -0.1)
    cuts[:, lost] = np.nan
    radii = np.geomspace(0.5, 8, 5)
    one = WedgeLandscape(DIM, SHORT)  # of many wedges the nearest is nearer, and its distance varies less
    randoms = np.stack([one.losses(r * random_directions(64, DIM, "test points")) for r in radii])
    t = np.array([-2.0, -1.0, -0.5, 0.0, 1.0])
    radial = np.stack([landscape.losses((1 + step) * optima) for step in t])
    pairs = [(1 - alpha)[:, None] * optima[k] + alpha[:, None] * optima[k + 1] for k in range(4)]
    sizes = [2, 4]
    centroids = np.array(
        [[float(landscape.losses(optima[group].mean(0)[None])) for group in draw_sets(seeds, m, 2)] for m in sizes]
    )
    places = np.stack([np.zeros_like(centroids), centroids, [[0.01] * 2, [0.9] * 2]], -1)
    both = ["train", "test"]
    return {
        "tunnels": rays,
        "hyperplanes": xr.Dataset(
            {
                "loss": (("dimension", "seed", "split"), np.stack([cuts, cuts], 2)),
                "threshold": ("seed", threshold),
                "censored": ("seed", censored),
                "diverged": ("seed", lost),
            },
            {"dimension": dimensions, "seed": seeds, "split": both},
            {"parameters": DIM, "score_fraction": 0.9},
        ),
        "spectrum": {"radii": xr.Dataset({"loss": (("radius", "point"), randoms)}, {"radius": radii})},
        "profiles": xr.Dataset(
            {
                "loss": (("direction", "seed", "split", "step"), np.stack([radial.T] * 2, 1)[None]),
                "pair_loss": (
                    ("pair", "split", "alpha"),
                    np.stack([[landscape.losses(line).numpy()] * 2 for line in pairs]),
                ),
                "members": (("pair", "end_of_line"), [[k, k + 1] for k in range(4)]),
            },
            {"direction": ["radial"], "split": both, "t": ("step", t), "alpha": alpha.numpy()},
        ),
        "connectors": xr.Dataset(
            {"loss": (("size", "set", "place", "split"), np.stack([places, places], -1))},
            {"size": sizes, "place": ["optima", "centroid", "centre"], "split": both},
        ),
        "training": xr.Dataset(
            {"norm": (("seed", "epoch"), starts.norm(dim=1).numpy()[:, None])}, {"seed": seeds, "epoch": [0]}
        ),
    }


@pytest.fixture(scope="module")
def fitted(stores):
    return fitted_wedges.measure(**stores, intervals=Intervals(0.95, 500))


def test_every_route_finds_the_short_fraction_of_the_toy_model(fitted):
    found = dict(zip(fitted["route"].values.tolist(), DIM * fitted["fraction"].values, strict=True))
    assert found["cut_line"] == pytest.approx(SHORT, rel=0.15)
    assert found["cut_threshold"] == pytest.approx(SHORT, rel=0.25)  # descents stop short of zero near d = s
    assert found["tunnel_spread"] == pytest.approx(SHORT, rel=0.35)
    assert found["point_spread"] == pytest.approx(SHORT, rel=0.35)
    for route in ("tunnel_spread", "point_spread"):
        part = DIM * fitted.sel(route=route)[["fraction_low", "fraction_high"]]
        assert part["fraction_low"] <= SHORT <= part["fraction_high"]
    assert fitted.attrs["optima_radius"] == pytest.approx(RADIUS)  # without the seed that diverged
    assert int(fitted["diverged"].sum()) == 1
    assert fitted["fraction_seed"].isel(seed=-1).isnull().all()
    assert fitted["slope"].values == pytest.approx(np.ones(4), rel=0.2)
    assert fitted["thickness"].max() < 0.05


def test_a_fit_predicts_what_a_wedge_does(fitted):
    misfits = fitted["misfit"].sel(route="tunnel_spread").to_series()
    assert misfits.drop("radial").max() < 0.25
    assert fitted["radial_estimate"].max() < 1e-6
    assert fitted["scale"].values.tolist() == [0.5, 1.0, 2.0]  # the other side of the origin is left out
    assert fitted.attrs["largest_found"] == 2  # the centres of 4 stayed above the threshold
    assert fitted.attrs["largest_tried"] == 4


def test_every_variable_says_what_it_is(fitted):
    assert all("description" in variable.attrs for variable in fitted.data_vars.values())


# Figure


def test_the_figure_shows_data_and_every_fit(fitted):
    figure = plot_fitted_wedges.draw(fitted)
    check_looks(figure, 9)
    assert len(titled(figure)) == 9
    by_title = {axes.get_title(loc="left").split("  ")[1]: axes for axes in titled(figure)}
    lines = [line.get_ydata() for line in by_title["Random cuts"].lines]
    for route in fitted_wedges.ROUTES:
        row = fitted["cut_predicted"].sel(route=route).values
        assert any(np.array_equal(row, line) for line in lines)
    assert any(np.array_equal(fitted["cut_estimate"], line) for line in lines)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "no optima, left out: 1" in texts
    table = fitted_wedges.tidy(fitted)
    assert set(table["quantity"]) == {"fraction", *fitted_wedges.QUANTITIES, *fitted_wedges.LEVELS, "largest_connector"}
    assert (table["quantity"] == "cut").sum() == 4 * fitted.sizes["dimension"]


def test_a_network_that_learned_nothing_has_no_fit_and_still_a_figure(stores):
    """Rays that begin outside, cuts that never fall, losses that hardly rise."""
    flat = dict(stores)
    flat["tunnels"] = stores["tunnels"].assign(width_loss=0 * stores["tunnels"]["width_loss"])
    flat["tunnels"]["loss"] = np.nan * stores["tunnels"]["loss"]
    radii = stores["spectrum"]["radii"]
    flat["spectrum"] = {"radii": radii.assign(loss=2.3 + 0 * radii["loss"])}
    cuts = stores["hyperplanes"]
    flat["hyperplanes"] = cuts.assign(loss=2.3 + 0 * cuts["loss"], censored=("seed", ["above"] * SEEDS))
    store = fitted_wedges.measure(**flat, intervals=Intervals(0.95, 50))
    assert store["fraction"].isnull().all()
    assert store["largest_predicted"].isnull().all()
    check_looks(plot_fitted_wedges.draw(store), 9)


def test_where_every_descent_diverged_cuts_have_no_fit_and_the_other_routes_have(stores):
    cuts = stores["hyperplanes"]
    lost = cuts.assign(
        loss=np.nan * cuts["loss"], threshold=np.nan * cuts["threshold"], diverged=cuts["diverged"] | True
    )
    store = fitted_wedges.measure(**{**stores, "hyperplanes": lost}, intervals=Intervals(0.95, 50))
    found = dict(zip(store["route"].values.tolist(), store["fraction"].notnull().values.tolist(), strict=True))
    assert found == {"cut_line": False, "cut_threshold": False, "tunnel_spread": True, "point_spread": True}
    check_looks(plot_fitted_wedges.draw(store), 9)


def test_one_optimum_alone_has_no_line_to_another(stores):
    lonely = {**stores, "profiles": stores["profiles"].drop_vars("pair_loss")}
    store = fitted_wedges.measure(**lonely, intervals=Intervals(0.95, 50))
    assert store["line_estimate"].isnull().all()
    assert store["misfit"].sel(quantity="line").isnull().all()
    assert np.isfinite(store["line_predicted"]).all()
    check_looks(plot_fitted_wedges.draw(store), 9)


# The claims


def estimated(shorts, scatter=0.02):
    """A store in which routes find s / D; the first three rest on seeds, random points on points."""
    draw, seeds = np.random.default_rng(0), 8
    logs = np.log10(np.array(shorts))[:, None] + scatter * draw.standard_normal((4, seeds))
    logs += np.log10(np.array(shorts))[:, None] - logs.mean(1, keepdims=True)
    without = np.stack([routes.means_without(row) for row in logs])
    points = np.log10(shorts[3]) + scatter * draw.standard_normal(32)
    points += np.log10(shorts[3]) - points.mean()
    without[3] = np.nan
    return xr.Dataset(
        {
            "fraction": ("route", np.array(shorts, dtype=float)),
            "fraction_without": (("route", "seed"), 10**without),
            "fraction_without_point": ("point", 10 ** routes.means_without(points)),
            "diverged": ("seed", np.zeros(seeds, bool)),
        },
        {"route": list(fitted_wedges.ROUTES), "seed": range(seeds)},
    )


def counted(numbers, total=10_000):
    counts = {name: ("seed", np.array(numbers) + move)
              for name, move in (("", 0.0), ("_low", -10.0), ("_high", 20.0))}  # fmt: skip
    store = xr.Dataset({f"short_directions{name}": value for name, value in counts.items()})
    return {"density": store.assign(diverged=("seed", np.isnan(numbers))).assign_attrs(parameters=total)}


def claimed(shorts, numbers=(100, 120, 90, 110, math.nan)):
    found = fitted_wedges.claims(counted(numbers), estimated(shorts), Intervals())
    return {claim.id: claim for claim in found}


def test_short_directions_are_a_share_with_what_quadrature_allows():
    found = claimed([0.01] * 4)["short_hessian"]
    assert found.estimate.estimate == pytest.approx(np.log10(np.array([100, 120, 90, 110]) / 10_000).mean())
    assert (found.estimate.units, found.left_out) == (4, 1)
    least, most = found.specifications.values()
    assert least.estimate < found.estimate.estimate < most.estimate
    none = claimed([0.01] * 4, numbers=(0, 0, 0, 0))["short_hessian"]
    assert none.estimate.estimate == pytest.approx(-4)  # less than one of ten thousand


@pytest.mark.parametrize(
    ("shorts", "estimate"),
    [([0.01, 0.01, 0.01, 0.01], 0.0), ([0.01, 0.011, 0.012, 0.01], 0.079), ([0.01, 0.01, 0.01, 0.08], 0.903)],
)
def test_routes_differ_by_the_largest_of_all_differences(shorts, estimate):
    found = claimed(shorts)["short_agreement"].estimate
    assert found.estimate == pytest.approx(estimate, abs=1e-3)
    assert found.low <= estimate <= found.high
    assert (found.p_at_most(0.3) < 0.01) == (estimate > 0.3)
    assert (found.p_at_least(0.3) < 0.01) == (estimate < 0.3)
    assert found.units == 8


def test_a_route_without_an_estimate_is_left_out():
    claim = claimed([0.01, math.nan, 0.011, 0.01])["short_agreement"]
    assert "3 routes" in claim.quantity
    assert "short_agreement" not in claimed([0.01, math.nan, math.nan, math.nan])


def test_a_toy_wedge_s_routes_agree_within_their_interval(fitted):
    found = {claim.id: claim for claim in fitted_wedges.claims(counted([1.0] * 5), fitted, Intervals())}
    assert found["short_agreement"].estimate.low < 0.1
    assert found["short_agreement"].left_out == 1
    logs = fitted_wedges.logarithms(fitted)
    assert list(logs) == list(fitted_wedges.ROUTES)
    assert [one.count for one in logs.values()] == [SEEDS - 1] * 3 + [64]
    np.testing.assert_allclose(  # of the mean over seeds, the jackknife is the mean's
        fitted["fraction_without"].sel(route="cut_line").mean(), fitted["fraction"].sel(route="cut_line")
    )
