"""Controls: the same function at other points, and further dimensions, against exact answers."""

import math

import numpy as np
import pytest
import torch
import xarray as xr

from wedgescape.errors import InputError
from wedgescape.landscapes.controls import balanced, duplicated, idle, with_duplicated_units
from wedgescape.landscapes.networks import network_landscape
from wedgescape.landscapes.wedges import WedgeLandscape, half_width
from wedgescape.measurements import balanced as of_balanced
from wedgescape.measurements import dimension
from wedgescape.measurements.tunnels import (
    DEFINITIONS,
    Definition,
    Settings,
    angular_width,
    claims,
    keeps_loss,
    keeps_score,
    measure,
    tangents,
    widths,
)
from wedgescape.numerics.intervals import Intervals
from wedgescape.training.optima import Optima

MLP = {"name": "mlp", "width": 8, "depth": 2}
CNN = {"name": "simple_cnn", "width": 4}
RESNET = {"name": "resnet20", "width": 2, "norm": "batch"}


def logits(landscape, points):
    return landscape.predictions(points, "test").log()


# Idle weights


@pytest.mark.parametrize("more", [1, 3, 50])
def test_idle_weights_give_a_wedge_the_width_of_one_in_more_dimensions(more):
    dim, short, radius, threshold = 1000, 400, 3.0, 0.8
    landscape = WedgeLandscape(dim, short)
    optima = landscape.optima(10, radius)
    rays = idle(tangents(optima, 40, range(10)), more * dim, range(10))
    found = angular_width(landscape, optima, rays, keeps_loss(threshold), 1e-4).angle
    wanted = float(half_width(threshold, radius, short, more * dim))
    if wanted < math.pi / 2:
        assert float(found.mean()) == pytest.approx(wanted, rel=0.01)
    else:
        assert float((found == math.pi / 2).double().mean()) > 0.95


def test_idle_weights_spread_as_random_directions_of_more_dimensions():
    """Of few dimensions too: the whole distribution, against rays of a wedge that has the further coordinates."""
    small, large, radius, threshold = WedgeLandscape(6, 3), WedgeLandscape(6, 3), 1.0, 0.5
    optima = small.optima(1, radius)
    padded = torch.nn.functional.pad(optima, (0, 14))
    large.members = torch.nn.functional.pad(small.members, (0, 14))  # the further coordinates do nothing
    rays = idle(tangents(optima, 4000, [0]), 20, [0])
    found = angular_width(small, optima, rays, keeps_loss(threshold), 1e-3).angle[0]
    wanted = angular_width(large, padded, tangents(padded, 4000, [1]), keeps_loss(threshold), 1e-3).angle[0]
    probe = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    torch.testing.assert_close(found.quantile(probe), wanted.quantile(probe), atol=0.05, rtol=0)


def test_without_further_weights_nothing_changes(points):
    rays = tangents(points(2, 30), 3, [0, 1])
    assert idle(rays, 30, [0, 1]) is rays


def test_idle_weights_turn_the_angle_of_a_homogeneous_network(mlp, points):
    """Without biases accuracy depends on the direction alone, so that tan(width) grows by 1 / share."""
    parts = zip(mlp.sizes, mlp.shapes, strict=True)
    bias = torch.cat([torch.full((size,), float(len(shape) == 1)) for size, shape in parts])
    optimum = points(1, mlp.dim) * (1 - bias)
    rays = tangents(optimum, 6, [0]) * (1 - bias)
    rays = rays / rays.norm(dim=-1, keepdim=True)
    own = angular_width(mlp, optimum, rays, keeps_score(0.9), 1e-4)
    turned = angular_width(mlp, optimum, 0.4 * rays, keeps_score(0.9), 1e-4)
    wanted = (own.angle.tan() / 0.4).atan()
    # Rays that leave, come back and leave again can be bracketed at another way out.
    assert float(((turned.angle - wanted).abs() < 1e-3).double().mean()) >= 5 / 6


# Duplicated units


@pytest.mark.parametrize(("model", "copies"), [(MLP, 2), (MLP, 3), (CNN, 2), (MLP | {"depth": 3}, 4)])
def test_duplicated_units_compute_the_same_at_the_same_norm(network, points, model, copies):
    small = network(model)
    some = 0.3 * points(3, small.dim)
    large, same = with_duplicated_units(small, some, model | {"width": copies * model["width"]})
    assert same.shape[1] == large.dim > small.dim
    torch.testing.assert_close(logits(large, same), logits(small, some), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(same.norm(dim=1), some.norm(dim=1))
    for one, other in zip(some.split(small.sizes, 1), same.split(large.sizes, 1), strict=True):  # and of every layer
        torch.testing.assert_close(one.norm(dim=1), other.norm(dim=1))


def test_copies_of_a_residual_network_compute_nearly_the_same(network, points):
    small = network(RESNET)  # batch norm adds a small number to variances, which are smaller in the copies
    some = small.module and points(2, small.dim)
    large, same = with_duplicated_units(small, some, RESNET | {"width": 4})
    torch.testing.assert_close(logits(large, same), logits(small, some), rtol=0.02, atol=0.02)


def test_copies_are_moved_by_a_random_direction_as_the_network_is_by_idle_weights(network, points):
    """Duplication is an isometry: a move of the copies as one is a move of the original."""
    small, large = network(MLP), network(MLP | {"width": 16})
    move, point = points(1, small.dim, 1), points(1, small.dim)
    both = duplicated(torch.cat([move, point]), small.shapes, large.shapes)
    assert float(both[0] @ both[1]) == pytest.approx(float(move[0] @ point[0]), rel=1e-4)


def test_what_is_no_multiple_cannot_be_duplicated(network, points):
    small = network(MLP)
    with pytest.raises(InputError, match="cannot be duplicated"):
        with_duplicated_units(small, points(1, small.dim), MLP | {"width": 12})
    with pytest.raises(InputError, match="other layers"):
        with_duplicated_units(small, points(1, small.dim), MLP | {"width": 16, "depth": 3})


def test_copies_that_compute_something_else_are_refused(network, points):
    small = network({"name": "resnet20", "width": 4, "norm": "group"})  # a group per channel, and then of two channels
    with pytest.raises(InputError, match="loss changes"):
        with_duplicated_units(small, points(1, small.dim), {"name": "resnet20", "width": 16, "norm": "group"})


# Balanced layers


@pytest.mark.parametrize("model", [MLP, MLP | {"depth": 4}, CNN])
def test_balanced_layers_compute_the_same_with_equal_norms(network, points, model):
    landscape = network(model)
    some = 0.3 * points(3, landscape.dim)
    found = balanced(landscape.module, some)
    torch.testing.assert_close(logits(landscape, found), logits(landscape, some), rtol=1e-3, atol=1e-4)
    parts = zip(found.split(landscape.sizes, 1), landscape.shapes, strict=True)
    norms = torch.stack([part.norm(dim=1) for part, shape in parts if len(shape) > 1])
    torch.testing.assert_close(norms, norms[:1].expand_as(norms))


def test_a_layer_that_was_scaled_and_the_next_divided_is_balanced_back(mlp, points):
    some = 0.3 * points(1, mlp.dim)
    scaled, first = some.clone(), 0
    for size, factor in zip(mlp.sizes, [7, 7, 1 / 7, 1, 1, 1], strict=True):  # weight and bias of each layer
        scaled[:, first : first + size] *= factor
        first += size
    torch.testing.assert_close(logits(mlp, scaled), logits(mlp, some), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(balanced(mlp.module, scaled), balanced(mlp.module, some), rtol=1e-4, atol=1e-6)


def test_networks_that_are_no_homogeneous_chain_say_why(network, points):
    landscape = network(RESNET)
    with pytest.raises(InputError, match=r"cannot be balanced: 1 \(CalibratedBatchNorm"):
        balanced(landscape.module, points(1, landscape.dim))
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    with pytest.raises(InputError, match=r"2 \(Tanh"):
        balanced(module, points(1, 30))


# Measured


SETTINGS = Settings(directions=16, steps=4, angle_error=0.5)
OWN = Definition("score", 0.9)


@pytest.fixture(scope="module")
def trained(train_small):
    return train_small(range(6), epochs=40, dropout=0.0)


@pytest.fixture(scope="module")
def narrow(data, trained):
    return Optima(network_landscape(data, MLP, "cpu"), trained)


@pytest.fixture(scope="module")
def alone(narrow):
    return dimension.measure(narrow, [4, 8, 16, 32], SETTINGS, dimension.Settings(directions=16))


def copies_of(optima, width):
    """Networks of a width whose units are copies of those of optima."""
    large, same = with_duplicated_units(optima.landscape, optima.points, MLP | {"width": width})
    return Optima.of(large, same, optima.seeds, attributes=optima.weights.attrs)


def test_dimension_is_measured_of_wider_networks_alone(narrow, alone):
    assert alone["width"].values.tolist() == [16, 32]
    assert alone["parameters"].values.tolist() == [copies_of(narrow, width).landscape.dim for width in (16, 32)]
    assert not any(name.startswith("no_") for name in alone.attrs)
    assert all("description" in one.attrs for one in alone.data_vars.values())
    store = measure(copies_of(narrow, 32), SETTINGS)
    found = widths(alone, OWN).sel(scaling="as trained", control="duplicated", width=32)
    np.testing.assert_allclose(found, widths(store, OWN), atol=1e-3)  # the same rays


def test_more_weights_alone_widen_tunnels_and_both_controls_agree(narrow, alone):
    base = widths(measure(narrow, SETTINGS), OWN).mean("seed")
    found = widths(alone, OWN).sel(scaling="as trained").mean("seed")
    for control in ("idle", "duplicated"):
        assert (
            float(base) + 3 < float(found.sel(control=control, width=16)) < float(found.sel(control=control, width=32))
        )
    apart = found.sel(control="idle") - found.sel(control="duplicated")
    assert (abs(apart) < 6).all()  # copies that differ disturb each other, which idle weights do not


def sweep_of(parts):
    stores = {width: measure(optima, SETTINGS) for width, optima in parts.items()}
    return xr.concat(list(stores.values()), xr.Variable("value", list(stores)), combine_attrs="override")


def test_wider_networks_of_copies_are_no_wider_than_dimension_alone_makes_them(narrow, alone):
    """The null: nothing is gained by width, so nothing may be found."""
    other = Optima.of(
        (copies := copies_of(narrow, 32)).landscape, copies.points.flip(0), attributes=narrow.weights.attrs
    )  # of another seed each, so that the rays are others
    sweep = {"width": sweep_of({8: narrow, 32: other})}
    (claim,) = claims(sweep, {}, sweep, alone, {"width": 8}, Intervals())
    assert claim.specification.endswith("duplicated units")
    assert claim.estimate.low < 0 < claim.estimate.high
    assert abs(claim.estimate.estimate) < 1.5
    uncontrolled = claim.specifications[f"{OWN}; as trained; dimension not controlled"]
    assert uncontrolled.low > 3  # which the change over the sweep would have called an effect of width


def test_balanced_networks_are_measured_as_they_would_be_as_trained(narrow):
    found = of_balanced.measure(narrow, SETTINGS, of_balanced.Settings(directions=16))
    points = balanced(narrow.landscape.module, narrow.points)
    wanted = measure(Optima.of(narrow.landscape, points, narrow.seeds, attributes=narrow.weights.attrs), SETTINGS)
    for definition in DEFINITIONS:
        np.testing.assert_allclose(widths(found, definition), widths(wanted, definition), atol=1e-3)
    np.testing.assert_allclose(found["radius"], wanted["radius"], rtol=1e-5)


def test_a_network_that_cannot_be_balanced_has_no_numbers_and_says_why(data, narrow):
    landscape = network_landscape(data, RESNET, "cpu")
    attributes = {"config": narrow.weights.attrs["config"].replace('"name":"mlp"', '"name":"resnet20"')}
    optima = Optima.of(landscape, torch.zeros(2, landscape.dim), attributes=narrow.weights.attrs | attributes)
    found = of_balanced.measure(optima, SETTINGS)
    assert "CalibratedBatchNorm" in found.attrs["no_balanced"]
    assert found["loss"].isnull().all()
    assert found["diverged"].values.tolist() == [False, False]


def test_runs_that_diverged_are_flagged_and_have_no_numbers(narrow):
    points = narrow.points.clone()
    points[1, 3] = math.nan
    optima = Optima.of(narrow.landscape, points, attributes=narrow.weights.attrs)
    for store in (of_balanced.measure(optima, SETTINGS), dimension.measure(optima, [8, 16], SETTINGS)):
        assert store["diverged"].values.tolist() == [False, True, *[False] * 4]
        assert store["loss"].sel(seed=1).isnull().all()
        assert not store["loss"].sel(seed=0).isnull().all()
    nothing = Optima.of(narrow.landscape, points[1:2], attributes=narrow.weights.attrs)
    for store in (of_balanced.measure(nothing, SETTINGS), dimension.measure(nothing, [8, 16], SETTINGS)):
        assert store["diverged"].values.tolist() == [True]
