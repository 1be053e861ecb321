"""The toy model by hand, and its closed forms by simulation."""

import math

import numpy as np
import pytest
import torch

from wedgescape.landscapes import wedges
from wedgescape.landscapes.spans import random_directions
from wedgescape.landscapes.wedges import WedgeLandscape


def two_wedges(**options):
    """In R^3: wedge 0 is the line x = y = 0, short in two coordinates; wedge 1 the line y = z = 0."""
    landscape = WedgeLandscape(3, 2, 2, **options)
    landscape.members = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    return landscape


AT = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 7.0], [0.0, 0.0, 0.0], [1.0, 0.0, 2.0], [-5.0, 12.0, 100.0]])
DISTANCES = torch.tensor([[5.0, 4.0], [0.0, 7.0], [0.0, 0.0], [1.0, 2.0], [13.0, math.hypot(12, 100)]])


# By hand


def test_distances_to_each_wedge():
    torch.testing.assert_close(two_wedges().distances(AT), DISTANCES)


def test_loss_is_the_distance_to_the_nearest_wedge():
    torch.testing.assert_close(two_wedges().losses(AT), torch.tensor([4.0, 0, 0, 1, 13]))
    torch.testing.assert_close(two_wedges().evaluate(AT, "test")["loss"], torch.tensor([4.0, 0, 0, 1, 13]))


def test_thick_wedges_reach_that_much_farther():
    torch.testing.assert_close(two_wedges(thickness=1.5).losses(AT), torch.tensor([2.5, 0, 0, 0, 11.5]))


def test_meeting_of_all_wedges_is_the_root_of_the_summed_squares():
    wanted = torch.tensor([math.sqrt(41), 7, 0, math.sqrt(5), math.sqrt(169 + 144 + 10000)])
    torch.testing.assert_close(two_wedges(meet=True).losses(AT), wanted)


def test_soft_minimum_by_hand_and_in_its_limits():
    softness = 0.7
    wanted = -softness * np.log(np.exp(-DISTANCES.double().numpy() / softness).sum(1))
    np.testing.assert_allclose(two_wedges(softness=softness).losses(AT), wanted, rtol=1e-5, atol=1e-6)
    hard = two_wedges().losses(AT)
    for soft in (0.1, 0.01):
        below = hard - two_wedges(softness=soft).losses(AT)
        assert (below >= -1e-5).all()
        assert (below <= soft * math.log(2) + 1e-5).all()
    assert float(two_wedges(softness=0.01).losses(AT[2:3])) == pytest.approx(-0.01 * math.log(2), rel=1e-4)


def test_each_wedge_is_short_in_that_many_coordinates_drawn_by_the_seed():
    landscape = WedgeLandscape(50, 7, 5, seed=3)
    assert landscape.members.shape == (5, 50)
    assert set(landscape.members.unique().tolist()) == {0.0, 1.0}
    assert landscape.members.sum(1).tolist() == [7] * 5
    assert torch.equal(landscape.members, WedgeLandscape(50, 7, 5, seed=3).members)
    assert not torch.equal(landscape.members, WedgeLandscape(50, 7, 5, seed=4).members)
    assert torch.equal(landscape.members[:2], WedgeLandscape(50, 7, 2, seed=3).members)


def test_coordinates_are_short_equally_often():
    counts = sum(WedgeLandscape(20, 5, 1, seed=seed).members[0] for seed in range(400))
    assert counts.sum() == 2000
    assert ((counts - 100).abs() < 4 * math.sqrt(400 * 0.25 * 0.75)).all()


# Rotation


def test_a_rotated_landscape_is_the_same_in_rotated_coordinates(points):
    plain, rotated = WedgeLandscape(30, 4, 3, seed=1), WedgeLandscape(30, 4, 3, seed=1, rotated=True)
    torch.testing.assert_close(rotated.basis @ rotated.basis.T, torch.eye(30), rtol=0, atol=1e-6)
    coordinates = points(8, 30)
    torch.testing.assert_close(rotated.losses(coordinates @ rotated.basis.T), plain.losses(coordinates))
    assert not torch.allclose(rotated.losses(coordinates), plain.losses(coordinates), rtol=0.01)


@pytest.mark.parametrize("rotated", [False, True])
def test_distance_is_that_to_the_nearest_point_of_a_wedge(points, rotated):
    """Against least squares over the wedge's long directions."""
    landscape = WedgeLandscape(12, 5, 1, seed=2, rotated=rotated)
    basis = torch.eye(12) if landscape.basis is None else landscape.basis
    long = basis[:, landscape.members[0] == 0].double().numpy()
    for point, loss in zip(points(5, 12).double().numpy(), landscape.losses(points(5, 12)), strict=True):
        residual = point - long @ np.linalg.lstsq(long, point, rcond=None)[0]
        assert float(loss) == pytest.approx(np.linalg.norm(residual), rel=1e-5)


# Optima and intersections


@pytest.mark.parametrize("rotated", [False, True])
def test_optima_lie_on_wedges_in_turn_at_their_radius(rotated):
    landscape = WedgeLandscape(40, 6, 3, seed=5, rotated=rotated)
    optima = landscape.optima(7, radius=2.5, seed=1)
    torch.testing.assert_close(optima.norm(dim=1), torch.full((7,), 2.5))
    distances = landscape.distances(optima)
    assert (distances[torch.arange(7), torch.arange(7) % 3] < 1e-5).all()
    assert (distances.amax(1) > 0.1).all()  # not on all of them
    assert (landscape.losses(optima) < 1e-5).all()
    assert not torch.equal(optima, landscape.optima(7, radius=2.5, seed=2))


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_intersection_has_the_dimension_that_the_rank_says(count, rotated):
    landscape = WedgeLandscape(40, 6, count, seed=7, rotated=rotated)
    basis = np.eye(40) if landscape.basis is None else landscape.basis.numpy()
    short = np.concatenate([basis[:, row == 1] for row in landscape.members.numpy()], 1)
    assert landscape.intersection_dim() == 40 - np.linalg.matrix_rank(short)


def test_intersections_have_the_dimension_expected():
    found = [WedgeLandscape(200, 20, 6, seed=seed).intersection_dim() for seed in range(200)]
    assert np.mean(found) == pytest.approx(wedges.intersection(20, 6, 200), rel=0.01)
    assert wedges.intersection(20, [1, 2], 200).tolist() == pytest.approx([180, 162])


# Gradients


@pytest.mark.parametrize("options", [{}, {"meet": True}, {"softness": 0.1}, {"thickness": 0.1}])
@pytest.mark.parametrize("both", [{}, {"meet": True, "thickness": 0.5}])
def test_gradients_are_finite_on_a_wedge(options, both):
    landscape = WedgeLandscape(20, 4, 2, seed=1, **{**options, **both})
    on_wedges = torch.cat([landscape.optima(4, 1.0), torch.zeros(1, 20)])
    assert landscape.gradients(on_wedges).isfinite().all()


def test_gradient_off_a_wedge_points_away_from_it(points):
    landscape = WedgeLandscape(20, 4, 1, seed=1)
    at = points(5, 20)
    short = at * landscape.members[0]
    torch.testing.assert_close(landscape.gradients(at), short / short.norm(dim=1, keepdim=True))


# Closed forms


@pytest.mark.parametrize(("short", "radius"), [(10, 1.0), (10, 4.0), (80, 1.0), (200, 3.0)])
def test_random_loss_is_that_of_random_points(short, radius):
    losses = WedgeLandscape(200, short).losses(radius * random_directions(4000, 200, "test"))
    rms = float(losses.double().square().mean().sqrt())
    assert rms == pytest.approx(float(wedges.random_loss(radius, short, 200)), rel=0.03)


def test_more_wedges_lower_the_loss_of_a_random_point_a_little():
    at = random_directions(500, 200, "test")
    one, many = (WedgeLandscape(200, 40, count).losses(at).mean() for count in (1, 8))
    assert 0.7 * one < many < 0.98 * one


def test_closed_forms_by_hand():
    assert wedges.random_loss(2.0, 50, 200) == pytest.approx(1)
    assert wedges.random_loss([1, 2], 50, 200).tolist() == pytest.approx([0.5, 1])
    assert wedges.cut_loss(2.0, 60, [10, 60, 61], 200).tolist() == pytest.approx([1, 0, 0])
    assert wedges.half_width(0.5, 1.0, 200, 200) == pytest.approx(math.radians(30))
    assert wedges.half_width(0.5, 2.0, 50, 200) == pytest.approx(math.radians(30))
    assert wedges.half_width(9.0, 1.0, 50, 200) == pytest.approx(math.pi / 2)


@pytest.mark.parametrize(("short", "dim"), [(5, 10), (1, 10), (6, 60), (20, 200), (5, 200), (199, 200), (0, 10)])
def test_largest_connector_is_the_largest_that_the_dimensions_allow(short, dim):
    allowed = [m for m in range(1, dim + 2) if m - 1 <= dim * (1 - short / dim) ** m]
    assert wedges.largest_connector(short, dim) == max(allowed)
    assert allowed == list(range(1, max(allowed) + 1))


def test_largest_connector_by_hand():
    assert wedges.largest_connector(5, 10) == 2  # 1 <= 2.5, but 2 > 1.25
