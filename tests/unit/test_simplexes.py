"""Bezier simplexes: their formula on quadratics, a flat subspace and wedges whose answers are known, networks."""

import itertools
import math

import numpy as np
import pytest
import torch
import xarray as xr

from drawings import check_looks, titled
from wedgescape.errors import InputError
from wedgescape.figures import simplexes as plot_simplexes
from wedgescape.landscapes.base import Batch, Landscape
from wedgescape.landscapes.curves import CurveLandscape
from wedgescape.landscapes.simplexes import REGIONS, SimplexLandscape, draw_positions
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import simplexes
from wedgescape.measurements.simplexes import Settings, smallest_bound, smallest_bounds
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.randomness import stream
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima

DOUBLE = torch.float64
DIM, COUNT = 6, 2
RECIPE = Recipe("adam", 0.05, schedule="cosine")


class Flat(Landscape):
    """|x_S|^2: zero wherever the first `short` coordinates are; noise-free, so that a descent takes fixed positions."""

    def __init__(self, dim=8, short=3):
        self.dim, self.short = dim, short

    def losses(self, points, split="train"):
        return points[:, : self.short].square().sum(1)


def positions(members, count=12, seed=0):
    draw = stream("test positions", seed)
    return torch.cat([draw_positions(region, members, count, draw) for region in REGIONS])


def close(found, wanted, tolerance=1e-10):
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def by_formula(vertices, controls, a):
    """theta(a) of one simplex, from its vertices (m, P) and its control points {pair: (P,)}."""
    corners = sum(share**2 * vertex for share, vertex in zip(a, vertices, strict=True))
    return corners + sum(2 * a[i] * a[j] * control for (i, j), control in controls.items())


@pytest.fixture(params=[2, 3, 5])
def members(request):
    return request.param


@pytest.fixture
def simplex(quadratic, points, members):
    bowl = quadratic([-0.5, 0.3, 1.0, 4.0, 0.1, 2.0], centre=0.7)
    vertices = points(COUNT * members, DIM, 1, DOUBLE).reshape(COUNT, members, DIM)
    return SimplexLandscape(bowl, vertices)


@pytest.fixture
def moved(simplex, points):
    return points(COUNT, simplex.dim, 2, DOUBLE)


# What a simplex is


def test_points_are_those_of_the_formula(simplex, moved, members):
    places, pairs = positions(members), list(itertools.combinations(range(members), 2))
    found = simplex.at(moved, places)
    for k, (vertices, controls) in enumerate(zip(simplex.vertices, simplex.controls(moved), strict=True)):
        named = dict(zip(pairs, controls, strict=True))
        close(found[k], torch.stack([by_formula(vertices, named, a) for a in places]))
    close(simplex.at(moved, places.expand(COUNT, -1, -1)), found)


def test_vertices_are_the_optima_and_no_displacement_is_the_linear_hull(simplex, moved, members):
    corners = torch.eye(members, dtype=DOUBLE)
    close(simplex.at(moved, corners), simplex.vertices)
    places = positions(members)
    close(simplex.at(simplex.hulls(), places), places @ simplex.vertices)


def test_two_vertices_give_the_quadratic_bezier_curve(quadratic, points):
    ends, moved = points(2 * COUNT, DIM, 1, DOUBLE).reshape(COUNT, 2, DIM), points(COUNT, DIM, 2, DOUBLE)
    bowl = quadratic([-0.5, 0.3, 1.0, 4.0, 0.1, 2.0])
    simplex, curve = SimplexLandscape(bowl, ends), CurveLandscape(bowl, ends[:, 0], ends[:, 1])
    t = torch.linspace(0, 1, 9, dtype=DOUBLE)
    close(simplex.at(moved, torch.stack([1 - t, t], 1)), curve.at(simplex.controls(moved)[:, 0], t))
    close(simplex.midpoints()[:, 0], curve.straight())


def test_parts_of_a_simplex_are_simplexes(simplex, moved, members):
    """On the edge between two vertices the other control points have no share."""
    t = torch.linspace(0, 1, 5, dtype=DOUBLE)
    places = torch.zeros(5, members, dtype=DOUBLE)
    places[:, 0], places[:, 1] = 1 - t, t
    edge = SimplexLandscape(simplex.landscape, simplex.vertices[:, :2])
    close(simplex.at(moved, places), edge.at(moved[:, :DIM], torch.stack([1 - t, t], 1)))


def test_gradients_are_those_of_finite_differences(simplex, moved):
    found, step = simplex.gradients(moved), 1e-5
    for direction in torch.eye(simplex.dim, dtype=DOUBLE)[:: max(1, simplex.dim // 7)]:
        slope = (simplex.losses(moved + step * direction) - simplex.losses(moved - step * direction)) / (2 * step)
        torch.testing.assert_close(found @ direction, slope, rtol=1e-6, atol=1e-8)


def test_stochastic_gradients_are_unbiased(simplex, moved, members):
    total, draws = 0.0, 600
    for seed in range(draws):
        streams = [stream("simplex", seed, k) for k in range(COUNT)]
        total = total + simplex.gradients(moved, Batch(None, streams, torch.zeros(COUNT)))
    many = torch.cat([positions(members, 4000, 7)[:, None].expand(-1, COUNT, -1)], 1)
    wanted = sum(simplex._gradients(moved, some.transpose(0, 1), None) for some in many.split(4000)) / 4
    assert float((total / draws - wanted).norm() / wanted.norm()) < 0.1


def test_a_minibatch_is_shared_by_all_positions_of_a_simplex(mlp, optima):
    vertices = optima.points.reshape(2, 2, -1)
    simplex = SimplexLandscape(mlp, vertices, 2)
    examples = torch.arange(32).reshape(2, 16)

    def streams():
        return [stream("simplex", 3, k) for k in range(2)]

    found = simplex.gradients(simplex.hulls(), Batch(examples, streams(), torch.zeros(2)))
    for k, draw in enumerate(streams()):
        places = torch.cat([draw_positions(region, 2, 2, draw) for region in REGIONS]).float()
        at = simplex.at(simplex.hulls(), places)[k]
        slopes = mlp.gradients(at, Batch(examples[k].expand(8, -1), [None] * 8, torch.zeros(8)))
        shares = 2 * places[:, 0] * places[:, 1] / 8
        torch.testing.assert_close(found[k], shares @ slopes, rtol=1e-4, atol=1e-6)


def test_a_simplex_is_the_same_alone_and_among_others(mlp, optima):
    vertices = torch.stack([optima.points[[0, 1, 2]], optima.points[[1, 2, 3]]])
    recipe, radii = Recipe("adam", 0.01, batch_size=16, schedule="cosine"), torch.full((2, 3), 0.5)
    both = SimplexLandscape(mlp, vertices, 1, radii)
    together = descend(both, both.hulls(), recipe, 5, [3, 4], bound=both.shorten).points
    alone = SimplexLandscape(mlp, vertices[1:], 1, radii[1:])
    assert torch.equal(descend(alone, alone.hulls(), recipe, 5, [4], bound=alone.shorten).points[0], together[1])


# Positions


@pytest.mark.parametrize("region", REGIONS)
def test_positions_are_barycentric_and_where_the_region_says(region):
    places = draw_positions(region, 5, 4000, stream("test"))
    close(places.sum(1), torch.ones(4000, dtype=DOUBLE))
    assert float(places.min()) >= 0
    # A symmetric Dirichlet distribution has E[a_i^2] = (alpha + 1) / (m (m alpha + 1)); an edge E[sum a^2] = 2/3.
    alpha = REGIONS[region]
    wanted = 2 / 3 if alpha is None else (alpha + 1) / (5 * alpha + 1)
    assert float(places.square().sum(1).mean()) == pytest.approx(wanted, rel=0.03)
    if alpha is None:
        assert ((places > 0).sum(1) == 2).all()
        assert ((places > 0).double().mean(0) - 0.4).abs().max() < 0.04


# Bounds


def test_displacements_are_shortened_to_their_radius_and_no_further(simplex, moved, members):
    pairs = members * (members - 1) // 2
    simplex.radii = torch.linspace(0.5, 5.0, COUNT * pairs, dtype=DOUBLE).reshape(COUNT, pairs)
    before = simplex.displacements(moved).clone()
    after = simplex.displacements(simplex.shorten(moved))
    lengths = before.norm(dim=2)
    close(after.norm(dim=2), torch.minimum(lengths, simplex.radii))
    close(torch.cosine_similarity(before, after, dim=2), torch.ones_like(lengths))


def test_a_bounded_simplex_stays_near_its_hull(simplex, moved, members):
    share = 0.3
    distances = torch.stack([torch.pdist(own) for own in simplex.vertices])
    simplex.radii = share * distances
    simplex.shorten(moved.mul_(10))
    places = positions(members)
    away = (simplex.at(moved, places) - simplex.at(simplex.hulls(), places)).norm(dim=2).amax(1)
    assert (away <= share * (1 - 1 / members) * distances.amax(1) + 1e-9).all()
    assert (away > 0.05 * distances.amin(1)).all()


@pytest.mark.parametrize("share", [0.3, 0.6, 2.0])
def test_a_valley_is_reached_as_far_as_the_bound_allows(share):
    """|x| = 1 between two opposite points: the middle is on it where the control point is as far away as they are."""

    class Circle(Landscape):
        dim = 2

        def losses(self, points, split="train"):
            return (points.norm(dim=1) - 1).square()

    ends = torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]])
    simplex = SimplexLandscape(Circle(), ends, radii=torch.full((1, 1), 2.0 * share))
    start = torch.tensor([[0.0, 0.1]])
    found = descend(simplex, start, Recipe("adam", 0.05), 300, bound=simplex.shorten).points
    middle = float(simplex.at(found, torch.tensor([[0.5, 0.5]]))[0].norm())
    if share < 1:
        assert float(found.norm()) == pytest.approx(2.0 * share, abs=1e-4)
    else:
        assert 1.5 < float(found.norm()) < 2.5  # the mean over the curve need not be lowest with its middle at 1
    assert middle == pytest.approx(float(found.norm()) / 2, abs=1e-5)


# Landscapes whose answer is known


def test_a_null_space_is_reached_where_the_vertices_lie_in_it():
    """|x_S|^2: optima without a part in S span a hull without one, and a disturbed simplex comes back to it."""
    landscape, vertices = Flat(), torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    vertices[..., :3] = 0
    simplex = SimplexLandscape(landscape, vertices)
    assert float(simplex.losses(simplex.hulls()).max()) == 0
    disturbed = torch.randn(1, simplex.dim, generator=torch.Generator().manual_seed(1))
    assert float(simplex.losses(disturbed).max()) > 0.1
    found = descend(simplex, disturbed, RECIPE, 600).points
    assert float(landscape.losses(simplex.at(found, positions(4))[0]).max()) < 1e-3
    # What lies in the null space has no gradient and stays.
    still = simplex.displacements(found)[..., 3:] - simplex.displacements(disturbed)[..., 3:]
    assert float(still.abs().max()) < 1e-5


def test_vertices_off_the_null_space_cannot_be_joined():
    """One coordinate, three vertices at 1: the loss stays at sum_i a_i^2 squared at best, 1 at vertices."""
    vertices = torch.ones(1, 3, 1)
    simplex = SimplexLandscape(Flat(1, 1), vertices)
    found = descend(simplex, simplex.hulls(), RECIPE, 600).points
    near = torch.tensor([[1.0, 0.0, 0.0], [0.98, 0.01, 0.01]])
    losses = Flat(1, 1).losses(simplex.at(found, near)[0])
    assert float(losses[0]) == pytest.approx(1)
    assert float(losses[1]) > 0.7


def test_wedges_are_joined_by_their_meeting_point():
    """Optima on coordinate planes that meet: control points at the origin are on both, but have norm zero."""
    landscape = WedgeLandscape(40, 4, 3, seed=1)
    vertices = landscape.optima(3, 2.0)[None]
    simplex = SimplexLandscape(landscape, vertices)
    hull, places = simplex.hulls(), positions(3, 30)
    found = descend(simplex, hull, RECIPE, 300).points
    before, after = (landscape.losses(simplex.at(one, places)[0]) for one in (hull, found))
    assert float(after.max()) < 0.5 * float(before.max())
    corners = torch.eye(3)
    torch.testing.assert_close(simplex.at(found, corners)[0], vertices[0])


# Shape


def test_a_linear_simplex_has_no_volume_of_its_own_and_m_minus_1_dimensions(simplex, members):
    places = draw_positions("uniform", members, 200, stream("test"))
    shape = simplex.shape(simplex.hulls(), 0)
    assert shape.log_volume(places) == pytest.approx(0, abs=1e-9)
    assert shape.effective_dimension(places, 1 - 1e-9) == members - 1
    close(shape.norms(places), simplex.at(simplex.hulls(), places)[0].norm(dim=1))
    assert float(shape.departures(places).max()) == 0


def test_the_length_of_a_curve_is_its_volume(quadratic):
    """(2t, 4t(1 - t)) is sqrt(5) + asinh(2) / 2 long, over a chord of 2."""
    ends = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]], dtype=DOUBLE)
    simplex = SimplexLandscape(quadratic([1.0, 1.0]), ends)
    t = torch.linspace(0, 1, 20001, dtype=DOUBLE)
    shape = simplex.shape(torch.tensor([[0.0, 2.0]], dtype=DOUBLE), 0)
    volume = shape.log_volume(torch.stack([1 - t, t], 1))
    assert volume == pytest.approx(math.log((math.sqrt(5) + math.asinh(2) / 2) / 2), abs=1e-4)


def test_volume_against_tangents_by_finite_differences(simplex, moved, members):
    places, step, shape = draw_positions("uniform", members, 5, stream("test")), 1e-6, simplex.shape(moved, 0)
    for a in places:
        tangents = []
        for i in range(members - 1):
            way = torch.zeros(members, dtype=DOUBLE)
            way[i], way[-1] = step, -step
            ahead, back = (simplex.at(moved, (a + sign * way)[None])[0, 0] for sign in (1, -1))
            tangents.append((ahead - back) / (2 * step))
        tangents, edges = torch.stack(tangents), simplex.vertices[0, :-1] - simplex.vertices[0, -1:]
        wanted = (torch.linalg.slogdet(tangents @ tangents.T)[1] - torch.linalg.slogdet(edges @ edges.T)[1]) / 2
        assert shape.log_volume(a[None]) == pytest.approx(float(wanted), abs=1e-5)
    close(shape.norms(places), simplex.at(moved, places)[0].norm(dim=1))
    hull = simplex.at(simplex.hulls(), places)[0]
    close(shape.departures(places), (simplex.at(moved, places)[0] - hull).norm(dim=1))


# The measurement

SETTINGS = Settings(sizes=[2, 3], sets=2, bounds=[0.2, 0.8], steps=60, learning_rate=0.02, batch_size=16, points=10)


@pytest.fixture(autouse=True)
def chance(monkeypatch):
    monkeypatch.setattr(Optima, "chance_loss", property(lambda _optima: math.log(3)), raising=False)


@pytest.fixture(scope="module")
def six(train_small):
    return train_small(range(6), epochs=12)


@pytest.fixture
def trained(network, six):
    return Optima(network(), six)


@pytest.fixture
def measured(trained):
    return simplexes.measure(trained, SETTINGS)


def test_the_store_is_written_and_read(measured, tmp_path):
    write_store(measured, tmp_path / "simplexes.zarr.zip", Origin("test"))
    read = open_store(tmp_path / "simplexes.zarr.zip")
    np.testing.assert_array_equal(read["loss"], measured["loss"])


def test_hulls_hubs_and_thresholds_are_what_they_say(trained, measured):
    seeds = measured["members"].sel(size=3).values[1]
    corners = torch.stack([trained.by_seed[seed] for seed in seeds])
    places = draw_positions("uniform", 3, 10, stream("simplex positions", 3, 1)).float()
    here = {"size": 3, "split": "train", "region": "uniform"}
    wanted = trained.landscape.losses(places @ corners)
    hull = measured["loss"].sel(kind="optima", bound=0, **here).isel(set=1)
    np.testing.assert_allclose(hull, wanted, rtol=1e-4)
    others = [seed for seed in range(6) if seed not in seeds]
    hub = trained.by_seed[next((seed for seed in others if seed > seeds[-1]), others[0])]
    squares = places.square()
    star = squares @ corners + (1 - squares.sum(1, keepdim=True)) * hub
    np.testing.assert_allclose(measured["hub_loss"].sel(here).isel(set=1), trained.landscape.losses(star), rtol=1e-4)
    loss = float(trained.landscape.losses(corners).mean())
    assert float(measured["threshold"].sel(size=3)[1]) == pytest.approx(loss + 0.1 * (math.log(3) - loss), rel=1e-5)


def test_simplexes_are_lower_than_hulls_within_their_bounds(measured):
    median = measured["loss"].sel(kind="optima", split="train", region="uniform").median("position")
    assert (median.sel(bound=0.8) < median.sel(bound=0)).all()
    used = measured["displacement"].sel(kind="optima")
    assert (used <= used["bound"] + 1e-4).all()
    assert measured["loss"].sel(kind="optima").notnull().all()


def test_nulls_are_at_the_largest_size_on_the_training_split(measured):
    nulls = measured["loss"].sel(kind=["random", "initialisation"])
    assert nulls.sel(size=3, split="train").notnull().all()
    assert nulls.sel(size=2).isnull().all()
    assert nulls.sel(size=3, split="test").isnull().all()
    near = nulls.sel(size=3, split="train", region="vertices", bound=0).mean("position")
    assert (near > measured["threshold"].sel(size=3)).all()


def test_bounds_above_1_are_for_optima_alone(trained):
    store = simplexes.measure(trained, SETTINGS.model_copy(update={"bounds": [1.5], "sets": 1, "steps": 2}))
    assert store["loss"].sel(size=3, kind="random", bound=1.5).isnull().all()
    assert store["loss"].sel(size=3, kind="optima", bound=1.5).notnull().all()
    list(simplexes.claims(store, Intervals()))
    plot_simplexes.draw(store)


def test_a_set_of_all_seeds_has_no_hub_and_one_that_is_missing_is_nan(trained):
    settings = SETTINGS.model_copy(update={"sizes": [6], "bounds": [0.5], "steps": 2})
    store = simplexes.measure(trained, settings)
    assert store["hub_loss"].isnull().all()
    assert store["loss"].isel(set=1).isnull().all()
    assert (store["members"].isel(set=1) == -1).all()
    with pytest.raises(InputError, match="needs at least 7"):
        simplexes.measure(trained, SETTINGS.model_copy(update={"sizes": [7]}))


def test_chords_go_from_face_to_face():
    for size in (2, 3, 5):
        chords = simplexes._chords(size).unflatten(0, (simplexes.CHORDS, -1))
        assert float(chords.min()) >= 0
        close(chords.sum(2), torch.ones(chords.shape[:2], dtype=DOUBLE))
        assert (chords[:, [0, -1]].amin(2) < 1e-9).all()
        assert (chords[:, 1:-1].amin(2) > 1e-9).all()
        close(chords.diff(dim=1, n=2), torch.zeros(len(chords), simplexes.CHORD_POSITIONS - 2, size, dtype=DOUBLE))


# Verdicts


@pytest.mark.parametrize(
    ("shares", "wanted"),
    [
        ([0.9, 1.0, 1.0], (math.sqrt(0.1 * 0.4), 0)),
        ([0.0, 0.5, 1.0], (0.4 * (1.6 / 0.4) ** 0.9, 0)),
        ([0.95, 1.0, 1.0], (0.1, -1)),
        ([0.0, 0.5, 0.9], (1.6, 1)),
        ([math.nan, math.nan, math.nan], (1.6, 1)),
    ],
)
def test_the_smallest_bound_is_interpolated_or_a_bound_itself(shares, wanted):
    found = smallest_bound(np.array(shares), np.array([0.1, 0.4, 1.6]), 0.95, 1.6)
    assert found == (pytest.approx(wanted[0]), wanted[1])


def test_nothing_is_known_beyond_the_displacement_that_a_descent_used():
    assert smallest_bound(np.zeros(2), np.array([0.1, 1.6]), 0.95, 0.4) == (0.4, 1)


def planted(shares, sets=4, points=20):
    """A store in which, at m = 3, so many positions of the worst region are low at the bounds 0.1, 0.4 and 1.6."""
    bounds, dims = [0.0, 0.1, 0.4, 1.6], simplexes.PLACED
    loss = np.ones((1, sets, 3, 4, len(REGIONS), 2, points))
    low = np.arange(points) < np.round(np.array([0.0, *shares]) * points)[:, None]
    loss[:, :, 0, :, :, 0] = np.where(low, 0.01, 1.0)[:, None]
    loss[:, :, 1:, :, :, 0] = 2.0
    over, per_bound = np.zeros((1, sets, 3, 4)), np.zeros((1, sets, 4))
    members, runs = np.arange(3 * sets).reshape(1, sets, 3), np.zeros(3 * sets, bool)
    values = {
        "loss": (dims, loss),
        "score": (dims, loss),
        "norm": ((*simplexes.KIND, "region"), np.ones((1, sets, 3, 4, len(REGIONS)))),
        "displacement": (simplexes.KIND, over + np.array(bounds)),
        **{name: (simplexes.KIND, over) for name in ("departure", "log_volume", "dimension")},
        "hub_loss": (("size", "set", "region", "split", "position"), loss[:, :, 0, 0]),
        "hub_displacement": (simplexes.SETS, np.full((1, sets), 0.9)),
        "optimum_loss": (("size", "set", "split"), np.zeros((1, sets, 2))),
        "threshold": (simplexes.SETS, np.full((1, sets), 0.2)),
        "members": (("size", "set", "member"), members),
        **{"diverged": (("seed",), runs), "unfit": (("seed",), runs)},
        "chord_loss": (("size", "surface", "chord", "along"), np.ones((1, 2, 3, 5))),
    }
    for name, inner in (("disagreement", 0.03), ("ensemble_loss", 0.2), ("ensemble_gain", 0.1)):
        values[name] = (("size", "set", "bound"), per_bound + inner)
        values[f"optima_{name}"] = (("size", "set"), np.full((1, sets), 0.1))
    coordinates = {
        **{"size": [3], "kind": list(simplexes.KINDS), "bound": bounds, "region": list(REGIONS)},
        **{"split": ["train", "test"], "along": np.linspace(0, 1, 5), "surface": ["hull", "simplex"]},
        "seed": np.arange(3 * sets),
    }
    return xr.Dataset(values, coordinates, {"low_share": 0.95, "loss_fraction": 0.1})


def judged(store):
    return {claim.rule: claim for claim in simplexes.claims(store, Intervals())}


def test_a_low_simplex_is_judged_by_its_smallest_bound():
    claims = judged(planted([0.0, 1.0, 1.0]))
    assert claims["simplex"].estimate.estimate == pytest.approx(math.log10(0.1) + 0.95 * math.log10(4))
    assert claims["simplex"].estimate.units == 4
    assert claims["simplex_disagreement"].estimate.estimate == pytest.approx(0.03 - 0.1)
    assert claims["simplex_ensemble"].estimate.estimate == pytest.approx(0.1)
    # Optima: 1 at bound 0.1 and 0.01 at 0.4; random vertices 2.
    assert claims["simplex_null"].estimate.estimate == pytest.approx((math.log10(0.5) + math.log10(0.005)) / 2)
    assert set(claims["simplex_null"].specifications) == {"bound 0.1", "bound 0.4", "initialisations"}
    assert claims["simplex"].specifications["90% of positions"].estimate < claims["simplex"].estimate.estimate


def test_a_simplex_that_is_never_low_is_contradicted_only_if_it_went_far():
    far = judged(planted([0.0, 0.0, 0.5]))
    assert far["simplex"].estimate.p_at_most(0.0) < 0.01
    assert far["simplex"].estimate.p_at_least(0.0) == 1
    assert far["simplex_ensemble"].left_out == 4
    near = planted([0.0, 0.0, 0.5])
    near["displacement"][:] = 0.4
    assert judged(near)["simplex"].estimate.p_at_most(0.0) == 1


def test_sets_with_a_run_that_does_not_fit_are_left_out():
    store = planted([0.0, 1.0, 1.0], sets=5)
    store["unfit"][4] = True  # of the second set
    assert np.isnan(smallest_bounds(store, 3)[0]).tolist() == [False, True, False, False, False]
    assert {claim.estimate.units for claim in judged(store).values()} == {4}
    assert {claim.left_out for claim in judged(store).values()} == {1}


def test_norms_beyond_the_optima_are_not_low():
    store = planted([0.0, 1.0, 1.0])
    store["norm"][..., 2, :] = 1.5  # at bound 0.4
    bounds, sides = smallest_bounds(store, 3)
    assert (sides == 0).all()
    assert (bounds > 0.4).all()


def test_pairs_are_no_sets():
    store = planted([0.0, 1.0, 1.0]).assign_coords(size=[2])
    assert not {"simplex", "simplex_disagreement", "simplex_ensemble"} & judged(store).keys()


# The figure


@pytest.mark.parametrize("sizes", [[2, 3], [2]])
def test_the_figure_is_drawn(trained, sizes):
    store = simplexes.measure(trained, SETTINGS.model_copy(update={"sizes": sizes, "steps": 3}))
    figure = plot_simplexes.draw(store, Intervals())
    check_looks(figure, 6 if 3 in sizes else 4)
    if 3 in sizes:
        seeds = store["members"].sel(size=3).values[0, :3]
        assert [text.get_text() for text in titled(figure)[0].texts] == [f"seed {seed}" for seed in seeds]
    table = plot_simplexes.tabulate(store)
    assert len(table) == 2 * 4 * (3 * len(sizes) + 2 * 3)
    assert (table["share_low"] <= table["share"]).all()
    assert (table["share"] <= table["share_high"]).all()


def test_the_figure_copes_with_losses_that_are_not_finite():
    store = planted([0.0, 1.0, 1.0])
    store["loss"][0, 0, 0, 1] = math.nan
    plot_simplexes.draw(store).draw_without_rendering()
