"""Straight lines from the initialisation: plateaus and shares of layers where both are known; claims; the figure."""

import numpy as np
import pytest
import torch
import xarray as xr

from drawings import check_looks, titled
from wedgescape.figures import interpolation as plot_interpolation
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import interpolation, layers
from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import as_json, write_store
from wedgescape.training.optima import Optima

INTERVALS = Intervals(resamples=100)
LAYOUT = [
    {"name": f"{layer}.{part}", "shape": [1], "offset": 2 * layer + (part == "bias")}
    for layer in range(3)
    for part in ("weight", "bias")
]


class OfLayers(Landscape):
    """A loss of the layers' first weights (K, layer); each layer has a second one, that does nothing."""

    dtype = torch.float64

    def __init__(self, loss, count=3):
        self.loss, self.dim = loss, 2 * count

    def losses(self, points, split="train"):
        return self.loss(points[:, ::2])


def deep_linear(weights):
    """The squared loss of a chain of linear layers of one unit, whose product shall be 1."""
    return (1 - weights.prod(1)) ** 2


def along(landscape, module, **settings):
    """A measurement of one optimum, all ones, that began at the origin."""
    ones = torch.ones(1, landscape.dim, dtype=landscape.dtype)
    optima = Optima.of(landscape, ones, attributes={"layout": as_json(LAYOUT)})
    return module.measure(optima, module.Settings(**settings))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_plateau_of_balanced_deep_linear_layers_is_known(depth):
    """On the line from zero, each of L layers is t: the loss is (1 - t^L)^2 of that at the start."""
    store = along(OfLayers(deep_linear, depth), interpolation, points=2001)
    np.testing.assert_allclose(store["loss"][0], (1 - store["alpha"] ** depth) ** 2, atol=1e-12)
    exact = (1 - np.sqrt(1 - 0.1)) ** (1 / depth)
    assert float(interpolation.plateaus(store)[0]) == pytest.approx(exact, rel=1e-4)
    assert float(store["rise"][0]) == 0.0


def test_a_line_that_rises_first_has_a_rise_and_a_longer_plateau_and_one_that_ends_no_lower_has_none():
    bump = np.array([[1.0, 1.5, 0.5, 0.0], [1.0, 0.5, 0.5, 1.0], [0.0, 1.0, 2.0, 3.0]])
    assert interpolation.plateau(bump, 0.1)[0] == pytest.approx((1 + 0.6) / 3)
    assert np.isnan(interpolation.plateau(bump, 0.1)[1:]).all()
    risen = along(OfLayers(lambda w: 1 - w[:, 0] + torch.sin(2 * torch.pi * w[:, 0])), interpolation, points=101)
    assert float(risen["rise"][0]) > 0.5


def test_the_toy_wedge_is_measured_too_and_is_a_single_layer():
    landscape = WedgeLandscape(20, 4)
    optima = Optima.of(landscape, landscape.optima(2, 1.0), starts=torch.randn(2, 20))
    lines = interpolation.measure(optima)
    # The distance to a flat is linear on a line that ends in it.
    np.testing.assert_allclose(interpolation.plateaus(lines), 0.1, rtol=1e-4)
    assert lines["test_error"].isnull().all()
    parts = layers.measure(optima, layers.Settings(points=2))
    assert parts["layer"].values.tolist() == ["all"]
    np.testing.assert_allclose(layers.covered(parts).isel(alpha=-1)[:, :, 0], [[1, 0], [1, 0]], atol=1e-5)
    assert not list(layers.claims(parts, INTERVALS))


# Layers


def test_where_layers_add_up_each_covers_its_own_part_and_loses_it():
    """Of a sum over layers, a layer's part is the same alone and among others."""
    part = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    store = along(OfLayers(lambda w: ((1 - w) ** 2 * part).sum(1)), layers, points=5, largest=3, draws=3)
    covered = layers.covered(store)[0]
    assert covered.sel(moved="alone").isel(alpha=-1).values == pytest.approx(part.numpy())
    assert covered.sel(moved="others").isel(alpha=-1).values == pytest.approx(1 - part.numpy())
    alpha = store["alpha"].values
    np.testing.assert_allclose(covered.sel(moved="alone"), part.numpy()[:, None] * (1 - (1 - alpha) ** 2), atol=1e-6)
    # Random parts are some other partition, and what they cover adds up as well.
    assert layers.covered(store, "random_loss")[0].sel(moved="alone").sum("layer").values == pytest.approx(1.0)


def test_of_a_product_no_layer_gets_anywhere_alone_and_none_can_be_missed():
    store = along(OfLayers(deep_linear), layers, points=3, largest=3)
    ends = layers.covered(store)[0].isel(alpha=-1)
    assert ends.values == pytest.approx(np.zeros((2, 3)))


def test_layers_go_by_names_and_large_networks_have_neighbours_put_together():
    found = layers.layers_of(LAYOUT, 6, 8)
    assert {name: places.tolist() for name, places in found.items()} == {"0": [0, 1], "1": [2, 3], "2": [4, 5]}
    found = layers.layers_of(LAYOUT, 6, 2)
    assert {name: places.tolist() for name, places in found.items()} == {"0 … 1": [0, 1, 2, 3], "2": [4, 5]}
    parts = layers.random_parts(found, 3, 0)
    assert [len(part) for part in parts] == [4, 2]
    assert sorted(np.concatenate(parts)) == list(range(6))
    assert not np.array_equal(parts[0], layers.random_parts(found, 3, 1)[0])


# Networks


@pytest.fixture
def measured(mlp, weights, tmp_path):
    optima = Optima(mlp, weights.assign(diverged=("seed", [False, False, True, False])))
    found = interpolation.measure(optima), layers.measure(optima, layers.Settings(points=4, draws=2))
    for name, store in zip(("interpolation", "layers"), found, strict=True):
        write_store(store, tmp_path / f"{name}.zarr.zip", Origin("test"))
    return found


def test_lines_of_networks_join_what_they_should(mlp, weights, measured):
    line, parts = (store.sel(seed=[0, 1, 3]) for store in measured)
    starts, ends = (torch.tensor(weights[name].values[[0, 1, 3]]) for name in ("theta_init", "theta"))
    np.testing.assert_allclose(line["loss"].isel(alpha=[0, -1]).T, [mlp.losses(starts), mlp.losses(ends)], atol=1e-5)
    np.testing.assert_allclose(line["test_error"], 1 - mlp.evaluate(ends, "test")["score"], atol=1e-6)
    assert parts["weights"].values.tolist() == [16 * 8 + 8, 8 * 8 + 8, 8 * 3 + 3]
    mixed = ends.clone()
    mixed[:, :136] = starts[:, :136]  # the first layer is left behind
    behind = parts["loss"].sel(moved="others").isel(layer=0, alpha=-1)
    np.testing.assert_allclose(behind, mlp.losses(mixed), atol=1e-5)
    mixed = starts.clone()
    mixed[:, -27:] = ends[:, -27:]
    np.testing.assert_allclose(parts["loss"].sel(moved="alone").isel(layer=2, alpha=-1), mlp.losses(mixed), atol=1e-5)
    for store in measured:
        assert store["diverged"].values.tolist() == [False, False, True, False]


# Claims


def sweep(plateaus, errors, seeds=6):
    """Stores over a sweep whose losses fall linearly after a plateau, with test errors by value."""
    draw = np.random.default_rng(0)
    alpha = np.linspace(0, 1, 201)
    length = np.asarray(plateaus)[:, None] + 0.001 * draw.standard_normal((len(plateaus), seeds))
    loss = np.clip((1 - alpha) / (1 - length[..., None]), None, 1.0)
    error = np.asarray(errors)[:, None] + 0.0001 * draw.standard_normal((len(errors), seeds))
    return xr.Dataset(
        {
            "loss": (("value", "seed", "alpha"), loss),
            "rise": (("value", "seed"), np.zeros_like(error)),
            "test_error": (("value", "seed"), error),
            "test_loss": (("value", "seed"), -error),
            "diverged": (("value", "seed"), np.zeros(error.shape, bool)),
        },
        {"value": range(1, len(plateaus) + 1), "seed": range(seeds), "alpha": alpha},
        {"plateau_fraction": 0.1},
    )


def test_claims_about_plateaus_say_what_was_planted_sweep_by_sweep():
    sweeps = {
        "learning_rate": sweep([0.1, 0.2, 0.3, 0.4], [0.01, 0.02, 0.03, 0.04]),
        "dropout": sweep([0.1, 0.2, 0.3, 0.4], [0.04, 0.03, 0.02, 0.01]),
        "width": sweep([0.1, 0.2], [0.01, 0.02]),  # of two values there is no rank correlation
    }
    matched = {"learning_rate": sweep([0.1, 0.2, 0.3, 0.4], [0.02, 0.04, 0.01, 0.03])}
    found = {claim.id: claim for claim in interpolation.claims(sweeps, matched, INTERVALS)}
    assert list(found) == ["plateau_test_error_learning_rate", "plateau_test_error_dropout"]
    rising, falling = found.values()
    assert (rising.estimate.estimate, falling.estimate.estimate) == (1.0, -1.0)
    ways = rising.specifications
    assert ways["a fall by 10%; test loss; as trained"].estimate == -1.0
    assert ways["a fall by 10%; test error; trained to one loss"].estimate == pytest.approx(0.0)
    assert rising.control == "trained to one loss: 0"
    assert len(ways) == 11
    assert falling.control == ""


def test_claims_about_layers_are_about_more_than_their_numbers_of_weights():
    """Layers that are no more than random parts are said to be no more; planted differences are found."""
    draw = np.random.default_rng(1)
    random = 0.5 + 0.01 * draw.standard_normal((5, 3, 2, 2))
    store = xr.Dataset(
        {
            "loss": (("seed", "moved", "layer", "alpha"), random.mean(1)[..., None]),
            "random_loss": (("seed", "draw", "moved", "layer"), random),
            "start_loss": ("seed", np.full(5, 2.0)),
            "end_loss": ("seed", np.zeros(5)),
            "diverged": ("seed", [False] * 4 + [True]),
        },
        {"seed": range(5), "moved": list(layers.MOVED), "layer": ["in", "out"], "alpha": [1.0]},
    )
    assert [claim.estimate.estimate for claim in layers.claims(store, INTERVALS)] == pytest.approx([0.0, 0.0])
    worse = store.assign(loss=store["loss"] + 0.4)
    alone, left = layers.claims(worse, INTERVALS)
    assert (alone.estimate.estimate, left.estimate.estimate) == pytest.approx((-0.2, 0.2))
    assert (alone.estimate.units, alone.left_out) == (4, 1)
    assert alone.control == "by layer: in -0.2; out -0.2"


# The figure


def test_the_figure_draws_layers_and_sweeps(measured):
    sweeps = {"width": sweep([0.1, 0.2, 0.3], [0.01, 0.02, 0.03]), "dropout": sweep([0.2, 0.1], [0.01, 0.02])}
    figure = plot_interpolation.draw(sweeps, {"width": sweeps["width"]}, measured[1], INTERVALS)
    check_looks(figure, 6)
    panels = titled(figure)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["layer 1", "layer 2", "layer 3"]
    heat = panels[1].collections[0].get_array()
    shown = measured[1]["loss"].sel(moved="others", seed=[0, 1, 3]).mean("seed")
    np.testing.assert_allclose(np.asarray(heat).reshape(3, -1), shown.values)
    assert [label.get_text() for label in panels[5].get_yticklabels()] == ["width"]
    tables = plot_interpolation.tabulate(sweeps, measured[1])
    assert len(tables["interpolation"]) == (3 + 2) * 6
    assert tables["interpolation"]["plateau"].between(0.1, 0.5).all()
    assert len(tables["layers"]) == 3 * 4


def test_the_figure_copes_without_sweeps(measured):
    check_looks(plot_interpolation.draw({}, {}, measured[1], INTERVALS), 6)
    tables = plot_interpolation.tabulate({}, measured[1])
    assert tables["interpolation"].empty
    assert "plateau" in tables["interpolation"]
