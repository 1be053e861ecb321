"""Alignment: permuted copies are matched exactly, and what is no chain is refused."""

import string

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.collections import PathCollection
from matplotlib.legend import Legend
from torch import nn

from wedgescape.errors import InputError
from wedgescape.figures import alignment as plot_alignment
from wedgescape.figures import style
from wedgescape.landscapes import models
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.networks import network_landscape
from wedgescape.measurements import alignment, connectors
from wedgescape.measurements.alignment import hidden_layers, match_weights, measure, measure_connectors, permute
from wedgescape.measurements.curves import draw_pairs
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import open_store, write_store

CLAIMS = {"confidence": 0.95, "resamples": 100}
CONNECTORS = {"sizes": [2, 3], "sets": 2, "steps": 20, "learning_rate": 0.01, "batch_size": None}

CHAINS = {
    "normed": lambda: nn.Sequential(
        *(nn.Conv2d(1, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Sequential(nn.Conv2d(5, 7, 3, padding=1), nn.BatchNorm2d(7, affine=False), nn.GELU(), nn.Dropout2d())),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 3), nn.BatchNorm1d(3)),
    ),
    "flattened": lambda: nn.Sequential(
        *(nn.BatchNorm2d(1), nn.Conv2d(1, 5, 3, padding=1), nn.PReLU(5), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.BatchNorm1d(20), nn.Linear(20, 6), nn.PReLU(), nn.Flatten(), nn.Linear(6, 4, bias=False), nn.Tanh()),
        nn.Linear(4, 3),
    ),
}
UNITS = {"mlp": [8, 8, 8], "simple_cnn": [6, 12, 12], "normed": [5, 7], "flattened": [5, 6, 4]}


@pytest.fixture(params=UNITS)
def chain(request, data, monkeypatch):
    """A chain's landscape, its hidden layers, and random weights (P,) of it, of which no two are equal."""
    name = request.param
    monkeypatch.setattr(
        models, "MODELS", models.MODELS | {key: lambda make=make, **_: make() for key, make in CHAINS.items()}
    )
    landscape = network_landscape(data, {"name": name, "width": UNITS[name][0], "depth": 3}, "cpu")
    drawn = torch.randn(landscape.dim, generator=torch.Generator().manual_seed(3)).numpy()
    layers = hidden_layers(landscape.module)
    assert [layer.units for layer in layers] == UNITS[name]
    return landscape, layers, drawn


def shuffled(layers, weights, seed=0):
    draw = np.random.default_rng(seed)
    orders = [draw.permutation(layer.units) for layer in layers]
    return permute(weights, layers, orders), orders


# Permuting


def test_permuting_never_changes_the_function(chain):
    landscape, layers, weights = chain
    other, _orders = shuffled(layers, weights)
    points = torch.from_numpy(np.stack([weights, other]))
    for split in ("train", "test"):
        first, second = landscape.predictions(points, split)
        torch.testing.assert_close(first, second, rtol=0, atol=1e-5)
        losses = landscape.losses(points, split).double()
        assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-6)
    assert np.abs(other - weights).max() > 1
    assert sorted(other) == sorted(weights)


def test_each_layer_matters(chain):
    """Else the test above would pass for nothing: what leads in and out belongs together."""
    landscape, layers, weights = chain
    for layer in layers:
        half = alignment.HiddenLayer(layer.name, layer.units, layer.axes[1:])
        other = permute(weights, [half], [np.roll(np.arange(layer.units), 1)])
        first, second = landscape.losses(torch.from_numpy(np.stack([weights, other])))
        assert abs(float(first - second)) > 1e-4


# Matching


def test_a_permuted_copy_is_matched_exactly(chain):
    _landscape, layers, weights = chain
    other, orders = shuffled(layers, weights)
    matching = match_weights(weights, other, layers)
    assert matching.converged
    np.testing.assert_array_equal(permute(other, layers, matching.orders), weights)
    for order, found in zip(orders, matching.orders, strict=True):
        np.testing.assert_array_equal(order[found], np.arange(len(order)))
    assert matching.objective[-1] == pytest.approx(float(weights.astype(float) @ weights.astype(float)))


def test_the_objective_never_falls_and_is_what_it_says(chain):
    _landscape, layers, weights = chain
    other = np.random.default_rng(5).normal(size=len(weights))
    matching = match_weights(weights, other, layers)
    assert matching.converged
    assert np.all(np.diff(matching.objective) >= 0)
    assert matching.objective[0] == pytest.approx(float(weights @ other))
    assert matching.objective[-1] > matching.objective[0] + 1
    assert matching.objective[-1] == pytest.approx(float(weights @ permute(other, layers, matching.orders)))
    assert min(matching.moved) > 0


def test_matching_is_deterministic_and_its_random_order_has_a_key(chain):
    _landscape, layers, weights = chain
    other = np.random.default_rng(5).normal(size=len(weights))
    found = [match_weights(weights, other, layers, key=key) for key in ((0, 1), (0, 1), (0, 2))]
    for first, second in zip(found[0].orders, found[1].orders, strict=True):
        np.testing.assert_array_equal(first, second)
    assert found[0].objective == found[1].objective
    assert found[2].converged


def test_two_units_by_hand():
    """Rows of the first layer are units: input weights (1, 0) and (0, 2), biases 3 and 4, output weights 5 and 6."""
    layers = hidden_layers(nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)))
    first = np.array([1.0, 0, 0, 2, 3, 4, 5, 6, 7])
    second = np.array([0.0, 2, 1, 0, 4, 3, 6, 5, 7])
    np.testing.assert_array_equal(
        alignment.unit_products(first, second, layers[0]), [[0 + 12 + 30, 1 + 9 + 25], [4 + 16 + 36, 0 + 12 + 30]]
    )
    matching = match_weights(first, second, layers)
    assert matching.orders[0].tolist() == [1, 0]
    assert matching.moved == [1.0]
    assert matching.objective == [42 + 42 + 49, 35 + 56 + 49, 35 + 56 + 49]
    np.testing.assert_array_equal(permute(second, layers, [np.array([1, 0])]), first)


def test_ties_and_a_limit_of_passes_leave_units_in_their_places():
    layers = hidden_layers(nn.Sequential(nn.Flatten(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)))
    assert match_weights(np.ones(17), np.ones(17), layers).moved == [0.0]
    draw = np.random.default_rng(0)
    stopped = match_weights(draw.normal(size=17), draw.normal(size=17), layers, passes=1)
    assert not stopped.converged
    assert len(stopped.objective) == 2


# What is no chain


class Doubled(nn.Sequential):
    """Looks like a chain and is none."""

    def forward(self, x):
        return 2 * super().forward(x)


class OwnLinear(nn.Linear):
    """Whose forward may be anything."""


SHARED = nn.Linear(16, 16)
REFUSED = {
    "no link of a chain": nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(16, 3)),
    r"the model \(Doubled\)": Doubled(nn.Flatten(), nn.Linear(16, 4), nn.Linear(4, 3)),
    r"layer 1.0 \(Doubled\)": nn.Sequential(nn.Flatten(), nn.Sequential(Doubled(nn.ReLU())), nn.Linear(16, 3)),
    r"\(OwnLinear\)": nn.Sequential(nn.Flatten(), OwnLinear(16, 4), nn.Linear(4, 3)),
    "2 groups": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(4, 3)),
    "last axis of images": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(2, 3), nn.Flatten()),
    "flattens axes 2 to -1": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(2), nn.Linear(4, 3)),
    "shares weights": nn.Sequential(nn.Flatten(), SHARED, nn.ReLU(), SHARED, nn.Linear(16, 3)),
    "has hooks": nn.Sequential(nn.Flatten(), nn.utils.spectral_norm(nn.Linear(16, 4)), nn.Linear(4, 3)),
    "no hidden layer": nn.Sequential(nn.Flatten(), nn.Linear(16, 3)),
    "10 entries for the 4 units": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(10, 3), nn.Linear(3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_chain_is_refused(text):
    with pytest.raises(InputError, match=text):
        hidden_layers(REFUSED[text])


def test_residual_networks_are_refused_and_left_out_of_the_study(network, points, tmp_path):
    landscape = network({"name": "resnet20", "width": 4})
    with pytest.raises(InputError, match=r"alignment: layer 3 \(ResidualBlock\) is no link of a chain; allowed is"):
        hidden_layers(landscape.module)
    optima = dict(enumerate(points(3, landscape.dim)))
    for store in (measure(landscape, optima, 1, 5, 10), measure_connectors(landscape, optima, 10, **CONNECTORS)):
        write_store(store.assign_attrs(width=4), tmp_path / "a.zarr.zip", Origin("measure_alignment"))
        found = open_store(tmp_path / "a.zarr.zip")
        assert found.attrs["not_aligned"].startswith("layer 3 (ResidualBlock)")
        assert not found.variables


# At one point of the grid


@pytest.fixture
def optima(weights):
    return dict(enumerate(torch.tensor(weights["theta"].values)))


def test_between_a_network_and_its_permuted_copy_lies_nothing(mlp, optima):
    layers = hidden_layers(mlp.module)
    copy = torch.from_numpy(shuffled(layers, optima[0].numpy())[0])
    store = measure(mlp, {0: optima[0], 1: copy}, 4, 9, 100)
    assert store["pair"].values.tolist() == ["0-1"]
    before, after = (store.sel(alignment=stage, pair="0-1") for stage in ("before", "after"))
    assert (before["barrier"] > 0.05).all()
    assert float(before["distance"]) > 1
    np.testing.assert_allclose(after["barrier"], 0, atol=1e-6)
    np.testing.assert_allclose(after["loss"], before["loss"].values[:, :1].repeat(9, 1), rtol=1e-5)
    assert float(after["distance"]) == 0
    assert float(after["cosine"]) == pytest.approx(1, abs=1e-12)
    assert store["converged"].all()
    assert store["moved"].dims == ("pair", "layer")


def test_measure_says_what_lies_between_optima(mlp, optima):
    store = measure(mlp, optima, 2, 11, 100)
    assert store["pair"].values.tolist() == [f"{first}-{second}" for first, second in draw_pairs(range(4), 2)]
    starts, ends = (
        torch.stack([optima[int(seed)] for seed in store["seed"].sel(end=end)]) for end in ("first", "second")
    )
    before, after = store.sel(alignment="before"), store.sel(alignment="after")
    for split in ("train", "test"):
        np.testing.assert_allclose(
            before["barrier"].sel(split=split), barrier_along(mlp, starts, ends, 11, split), rtol=1e-6
        )
    np.testing.assert_allclose(before["distance"], (starts - ends).norm(dim=1), rtol=1e-6)
    np.testing.assert_allclose(after["loss"].isel(t=[0, -1]), before["loss"].isel(t=[0, -1]), rtol=1e-5)
    np.testing.assert_allclose(after["accuracy"].isel(t=[0, -1]), before["accuracy"].isel(t=[0, -1]), atol=1e-6)
    assert (after["distance"] < before["distance"]).all()
    assert (after["cosine"] > before["cosine"] + 0.1).all()
    assert store.identical(measure(mlp, optima, 2, 11, 100))
    assert all(variable.attrs["description"] for variable in store.data_vars.values())


def test_one_run_is_no_pair(mlp, optima):
    store = measure(mlp, {2: optima[2]}, 2, 11, 100)
    assert store.attrs["not_aligned"] == "1 runs stayed finite, and a pair needs 2"


def test_connectors_join_the_same_sets_of_nearer_optima(mlp, optima):
    before = connectors.measure(mlp, optima, **CONNECTORS)
    after = measure_connectors(mlp, optima, 100, **CONNECTORS)
    assert before["members"].equals(after["members"])
    for name in ("loss", "accuracy"):
        first, second = (store[name].sel(place="optima") for store in (before, after))
        np.testing.assert_allclose(first, second, rtol=1e-5)
    assert (after["spread"] < before["spread"]).all()
    layers = hidden_layers(mlp.module)
    first, *others = before["members"].sel(size=3).isel(set=0).values.tolist()
    rows = [optima[first].numpy()]
    for seed in others:
        found = match_weights(rows[0], optima[seed].numpy(), layers, key=(first, seed))
        rows.append(permute(optima[seed].numpy(), layers, found.orders))
    centroid = torch.from_numpy(np.stack(rows)).mean(0)
    loss = after["loss"].sel(size=3, place="centroid", split="train").isel(set=0)
    assert float(loss) == pytest.approx(float(mlp.losses(centroid[None])), rel=1e-5)


# The figure


def titled(figure):
    return [axes for axes in figure.axes if axes.get_title(loc="left")]


def drawn(axes):
    dots = [part.get_offsets() for part in axes.collections if isinstance(part, PathCollection)]
    found = np.ma.filled(np.ma.concatenate(dots), np.nan)
    return np.array(sorted(map(tuple, found[np.isfinite(found).all(1)])), dtype=float)


def check_looks(figure, count):
    assert figure.get_figwidth() == style.TWO_COLUMNS
    assert [axes.get_title(loc="left")[9] for axes in titled(figure)] == list(string.ascii_letters[:count])
    figure.draw_without_rendering()
    texts = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    for axes in titled(figure):
        texts += [axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts]
    for text in filter(lambda text: isinstance(text, Legend) or text.get_text(), texts):
        extent = text.get_window_extent()
        assert figure.bbox.x0 - 1 <= extent.x0
        assert extent.x1 <= figure.bbox.x1 + 1
        assert figure.bbox.y0 - 1 <= extent.y0
        assert extent.y1 <= figure.bbox.y1 + 1


def lines(width, pairs=3, diverged=0):
    draw = np.random.default_rng(width)
    dims, shape = ("alignment", "pair", "split", "t"), (2, pairs, 2, 5)
    barrier = draw.uniform(0, 1, shape[:3])
    barrier[1, 0] = 0
    return xr.Dataset(
        {
            "loss": (dims, draw.uniform(0.01, 2, shape)),
            "barrier": (dims[:3], barrier),
            "distance": (dims[:2], draw.uniform(1, 2, shape[:2])),
            "cosine": (dims[:2], draw.uniform(-0.1, 0.9, shape[:2])),
            "moved": (("pair", "layer"), draw.uniform(0, 1, (pairs, 2))),
        },
        {"alignment": ["before", "after"], "pair": [f"{k}-{k + 1}" for k in range(pairs)], "split": ["train", "test"],
         "t": np.linspace(0, 1, 5)},
        {"width": width, "runs": 4, "diverged": diverged},
    )  # fmt: skip


def centres(seed):
    draw = np.random.default_rng(seed)
    dims, shape = ("size", "set", "place", "split"), (3, 4, 3, 2)
    values = {name: draw.uniform(0.01, 2, shape) for name in ("loss", "accuracy")}
    moved = {name: draw.uniform(0.01, 2, shape[:2]) for name in ("displacement", "spread")}
    for value in (*values.values(), *moved.values()):
        value[0, 3:] = np.nan  # there were only three sets of that size
    return xr.Dataset(
        {name: (dims[: value.ndim], value) for name, value in (values | moved).items()},
        {"size": [2, 4, 9], "place": ["optima", "centroid", "centre"], "split": ["train", "test"]},
    )


CONNECTED = {"before": centres(0), "after": centres(1)}
LOST = xr.Dataset(
    attrs={"not_aligned": "1 runs stayed finite, and a pair needs 2", "width": 32, "runs": 4, "diverged": 3}
)


def test_the_figure_draws_every_pair_and_set():
    stores = [lines(64), LOST, lines(8, pairs=2, diverged=1)]
    figure = plot_alignment.draw(stores, stores[0], CONNECTED, **CLAIMS)
    check_looks(figure, 7)
    table, sets = plot_alignment.tabulate(stores), plot_alignment.tabulate_connectors(CONNECTED)
    assert len(table) == 2 * 2 * (3 + 2)
    assert len(sets) == 2 * (4 + 4 + 3) * 3 * 2
    panels = titled(figure)
    for panel, split in zip(panels, ("train", "test"), strict=False):
        rows = table[table["split"] == split][["width", "barrier"]].to_numpy(float)
        assert drawn(panel) == pytest.approx(np.array(sorted(map(tuple, rows))))
        low, high = panel.get_ylim()
        assert low < 0
        assert high > rows[:, 1].max()
    rows = table[table["split"] == "train"]
    angles = np.column_stack([rows["width"].astype(float), np.degrees(np.arccos(rows["cosine"].astype(float)))])
    assert drawn(panels[2]) == pytest.approx(np.array(sorted(map(tuple, angles))))
    for panel, split in zip(panels[4:], ("train", "test"), strict=False):
        rows = sets[(sets["split"] == split) & (sets["place"] != "optima")][["size", "loss"]].to_numpy(float)
        assert drawn(panel) == pytest.approx(np.array(sorted(map(tuple, rows))))
    said = [text.get_text() for text in figure.axes[7].get_legend().get_texts()]
    assert said[-2:] == ["4 runs diverged, in no pair", "no pair at width 32"]


def test_the_figure_copes_with_one_width_and_one_pair():
    store = lines(16, pairs=1)
    figure = plot_alignment.draw([store], store, CONNECTED, **CLAIMS)
    check_looks(figure, 7)
    assert len(drawn(titled(figure)[0])) == 2


def test_a_study_without_chains_has_a_figure_that_says_so():
    reason = str(
        alignment.left_out("layer 3 (ResidualBlock) is no link of a chain; " + 20 * "allowed ").attrs["not_aligned"]
    )
    store = xr.Dataset(attrs={"not_aligned": reason, "width": 16, "runs": 4, "diverged": 0})
    left_out = {"before": centres(0), "after": alignment.left_out(reason)}
    figure = plot_alignment.draw([store], store, left_out, **CLAIMS)
    check_looks(figure, 1)
    assert "ResidualBlock" in figure.axes[0].texts[0].get_text()
    assert plot_alignment.tabulate([store]).empty
    assert set(plot_alignment.tabulate_connectors(left_out)["alignment"]) == {"before"}
