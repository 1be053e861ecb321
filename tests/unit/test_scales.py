"""Scales: powers, parabolas and lopsided valleys whose exponents and asymmetries are known; the wedge, a network."""

import numpy as np
import pytest
import torch
import xarray as xr

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import scales
from wedgescape.measurements.scales import Settings, asymmetries, claims, exponents, parabola_share
from wedgescape.numerics.intervals import Intervals
from wedgescape.training.optima import Optima

SETTINGS = Settings(random=3, hessian_top=0, octaves=16)
CENTRE = torch.tensor([1.0, 2.0, -2.0], dtype=torch.float64)


class Radial(Landscape):
    """A loss that is a function of the distance from a point."""

    dim, dtype = 3, torch.float64

    def __init__(self, function):
        self.function = function

    def losses(self, points, split="train"):
        return self.function((points - CENTRE).square().sum(1).clamp_min(1e-60).sqrt())


class Lopsided(Landscape):
    """a x^2 on one side of a plane, b x^2 on the other."""

    dim, dtype = 3, torch.float64

    def losses(self, points, split="train"):
        x = points[:, 0] - CENTRE[0]
        return torch.where(x > 0, 3.0, 1.0) * x**2


def of(landscape, settings=SETTINGS, seeds=4):
    """The measurement at the centre, from several seeds that draw their own directions."""
    return scales.measure(Optima.of(landscape, CENTRE.expand(seeds, -1).clone()), settings)


def of_random(values):
    found = values.isel(direction=(values["kind"] == "random").values).values
    assert np.isfinite(found).any()
    return found[np.isfinite(found)]


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_the_exponent_of_a_power_is_the_power(power):
    store = of(Radial(lambda distance: 7.0 * distance**power))
    np.testing.assert_allclose(of_random(exponents(store)), power, rtol=1e-9)
    np.testing.assert_allclose(of_random(asymmetries(store)), 0, atol=1e-9)


def test_a_length_is_where_the_rise_is_reached_and_open_rays_have_none():
    store = of(Radial(lambda distance: 0.5 * distance**2))  # 0.25 at sqrt(0.5); the norm is 3
    np.testing.assert_allclose(
        of_random(store["length"]), np.sqrt(0.5) / 3, rtol=1e-6
    )  # directions are drawn in float32
    assert np.isnan(of(Radial(lambda distance: 0.2 * torch.tanh(distance)))["length"]).all()


def test_a_parabola_has_exponent_two_also_off_its_minimum(quadratic):
    landscape = quadratic([1.0, 2.0, 5.0])
    store = of(landscape)
    np.testing.assert_allclose(of_random(exponents(store)), 2, rtol=1e-6)
    np.testing.assert_allclose(of_random(parabola_share(store)), 1, rtol=1e-6)
    along = store.sel(direction="gradient_1", seed=0)
    slope = landscape.gradients(CENTRE[None])[0].norm()
    wanted = float(slope) * along["distance"].values * along["radius"].values
    np.testing.assert_allclose(along["odd"].values, wanted, rtol=1e-9)  # the odd part is the slope, uphill ahead


def test_lopsided_valleys_have_the_asymmetry_of_their_curvatures():
    store = of(Lopsided())
    found = of_random(asymmetries(store))
    np.testing.assert_allclose(np.abs(found), (3 - 1) / (3 + 1), rtol=1e-9)
    assert {-1.0, 1.0} == set(np.sign(found))  # by the side that a direction points to
    np.testing.assert_allclose(of_random(exponents(store)), 2, rtol=1e-9)


@pytest.mark.parametrize(("power", "explained"), [(1, 15 / 16), (3, 35 / 36), (4, 45 / 49)])
def test_what_a_parabola_explains_of_other_powers_is_known(power, explained):
    # cov(x^2, |x|^q)^2 / (var x^2 var |x|^q) for uniform x; 0.9375, 0.972, 0.918.
    share = parabola_share(of(Radial(lambda distance: distance**power)))
    np.testing.assert_allclose(of_random(share.isel(distance=slice(-3, None))), explained, atol=1e-3)


def test_a_lopsided_valley_is_no_parabola():
    share = parabola_share(of(Lopsided()))
    assert (of_random(share.isel(distance=slice(-3, None))) < 0.98).all()


def test_the_toy_wedge_grows_by_its_first_power():
    landscape = WedgeLandscape(40, 5)
    store = scales.measure(Optima.of(landscape, landscape.optima(4, 2.0)), SETTINGS)
    np.testing.assert_allclose(of_random(exponents(store)), 1, atol=1e-3)
    assert "minibatch" not in store["kind"].values  # it is no mean over examples
    assert np.isnan(store["even"].sel(direction="gradient_1")).all()  # on the wedge there is no slope


def judged(landscape, width=0.4):
    store = of(landscape)
    tunnels = xr.Dataset({"width_score": (("seed", "direction"), np.full((4, 2), width))}, {"seed": range(4)})
    return {claim.id: claim for claim in claims(store, tunnels, Intervals())}


def test_claims_read_exponents_at_half_of_the_tunnel_and_at_half_of_the_length():
    # s^2 + s^4 has p = 2 (1 + 2 x) / (1 + x) with x = s^2, so p - 2 = 2 x / (1 + x).
    def excess(distance):
        return 2 * distance**2 / (1 + distance**2)

    found = judged(Radial(lambda distance: distance**2 + distance**4))["scale_exponent_random"]
    half = 3 * np.tan(0.2)  # the centre's norm is 3
    assert found.estimate.estimate == pytest.approx(excess(half), abs=0.03)  # the slope is taken over an octave
    length = np.sqrt((np.sqrt(1 + 4 * 0.25) - 1) / 2)
    own = found.specifications["0.5 of its length"].estimate
    assert own == pytest.approx(excess(length / 2), abs=0.03)


def test_a_single_power_has_no_change_of_scale_and_two_powers_have_one():
    single = judged(Radial(lambda distance: distance**1.5))["scale_change"].estimate
    assert single.estimate == pytest.approx(0, abs=1e-6)
    double = judged(Radial(lambda distance: distance**2 + 3 * distance**4))["scale_change"].estimate
    assert double.estimate > 0.5


def test_towards_another_optimum_the_way_is_along_the_sphere(optima):
    store = scales.measure(optima, Settings(random=1, minibatches=2, octaves=6))
    assert set(store["kind"].values) == set(scales.KINDS)
    ways = scales._directions(optima, Settings(random=1, minibatches=2))
    cosine = torch.cosine_similarity(ways["optimum_1"], optima.points)
    assert cosine.abs().max() < 1e-6
    assert (ways["optimum_1"] * (optima.points.roll(-1, 0) - optima.points)).sum(1).min() > 0
    for way in ways.values():
        torch.testing.assert_close(way.norm(dim=1), torch.ones(4), rtol=1e-5, atol=1e-5)


def test_the_parts_are_those_of_the_losses_on_both_sides(optima):
    store = scales.measure(optima, Settings(random=1, minibatches=0, octaves=3))
    way = scales._directions(optima, Settings(random=1, minibatches=0))["gradient_1"][2]
    point, step = optima.points[2], float(store["distance"][-2] * store["radius"][2])
    sides = optima.landscape.losses(torch.stack([point + step * way, point - step * way, point])).double()
    found = store.sel(direction="gradient_1", seed=2).isel(distance=-2)
    assert float(found["even"]) == pytest.approx(float((sides[0] + sides[1]) / 2 - sides[2]), rel=1e-4)
    assert float(found["odd"]) == pytest.approx(float((sides[0] - sides[1]) / 2), rel=1e-4, abs=1e-6)
