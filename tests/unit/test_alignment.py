"""Alignment: permuted copies are matched exactly, what is no chain is refused; its claims and its figure."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from drawings import check_looks, drawn, titled
from wedgescape.errors import InputError
from wedgescape.figures import alignment as plot_alignment
from wedgescape.landscapes import alignment, models
from wedgescape.landscapes.alignment import hidden_layers, match_weights, permute
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.networks import network_landscape
from wedgescape.measurements import aligned_connectors, connectors
from wedgescape.measurements.alignment import Settings, claims, left_out, measure
from wedgescape.measurements.connectors import Settings as ConnectorSettings
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.pairs import draw_pairs
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import as_json, open_store, write_store
from wedgescape.training.optima import Optima

INTERVALS = Intervals(resamples=100)
BASE = {"width": 64}
CONNECTORS = ConnectorSettings(sizes=[2, 3], sets=2, steps=20, learning_rate=0.01, batch_size=None)

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


def test_several_attempts_are_as_good_as_the_best_of_them(chain):
    _landscape, layers, weights = chain
    other = np.random.default_rng(5).normal(size=len(weights))
    one, many = (match_weights(weights, other, layers, attempts=attempts, key=(0, 1)) for attempts in (1, 8))
    assert len(many.reached) == 8
    assert many.reached == sorted(many.reached, reverse=True)
    assert one.objective[-1] in many.reached  # the first attempt is the same
    assert many.objective[-1] == many.reached[0] >= one.objective[-1]
    assert many.reached[0] > many.reached[-1] + 1e-6  # attempts end in different maxima
    moved = permute(other, layers, many.orders)
    assert many.objective[-1] == pytest.approx(float(weights @ moved))
    assert sorted(moved) == sorted(other)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_permuted_copy_is_found_by_several_attempts(chain, noise):
    """Also with so much noise on it that the copy is hard to see; the first attempt alone may end elsewhere."""
    _landscape, layers, weights = chain
    draw = np.random.default_rng(7)
    other, _orders = shuffled(layers, weights, seed=11)
    other = other + (noise * draw.normal(size=len(weights))).astype(other.dtype)
    matching = match_weights(weights, other, layers, attempts=6)
    assert matching.reached[0] >= float(weights.astype(float) @ weights) * (1 - 0.1 * (noise > 0)) - 1e-6


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
    "is applied before nn.Flatten": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(2, 3), nn.Flatten()),
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
    with pytest.raises(InputError, match=r"alignment: layer 3 \(ResidualBlock\) is no link of a chain. Align"):
        hidden_layers(landscape.module)
    optima = of(landscape, points(3, landscape.dim))
    for store in (measure(optima, Settings()), aligned_connectors.measure(optima, Settings(), CONNECTORS)):
        write_store(store, tmp_path / "a.zarr.zip", Origin("measure_alignment"))
        found = open_store(tmp_path / "a.zarr.zip")
        assert found.attrs["not_aligned"].startswith("layer 3 (ResidualBlock)")
        assert set(found.variables) == {"seed", "diverged", "unfit"}


# At one setting


def of(landscape, points, seeds=None, diverged=None):
    attributes = {"config": as_json({"settings": {"here": {"model": {"width": 8}}}})}
    return Optima.of(landscape, points, seeds, diverged=diverged, attributes=attributes)


@pytest.fixture
def optima(mlp, weights):
    return of(mlp, torch.tensor(weights["theta"].values))


def test_between_a_network_and_its_permuted_copy_lies_nothing(mlp, optima):
    layers = hidden_layers(mlp.module)
    copy = torch.from_numpy(shuffled(layers, optima.points[0].numpy())[0])
    store = measure(of(mlp, torch.stack([optima.points[0], copy])), Settings(pairs=4, points=9))
    assert store["pair"].values.tolist() == ["0-1"]
    before, after = (store.sel(alignment=stage, pair="0-1") for stage in ("before", "after"))
    assert (before["barrier"] > 0.05).all()
    assert float(before["distance"]) > 1
    np.testing.assert_allclose(after["barrier"], 0, atol=1e-6)
    np.testing.assert_allclose(after["loss"], before["loss"].values[:, :1].repeat(9, 1), rtol=1e-5)
    assert float(after["distance"]) == 0
    assert float(after["cosine"]) == pytest.approx(1, abs=1e-12)
    assert store["converged"].all()
    assert float(store["attempt_cosine"].max()) == pytest.approx(1, abs=1e-6)
    assert store["moved"].dims == ("pair", "layer")


def test_measure_says_what_lies_between_optima(mlp, optima):
    settings = Settings(pairs=2, points=11)
    store = measure(optima, settings)
    assert store["pair"].values.tolist() == [f"{first}-{second}" for first, second in draw_pairs(range(4), 2)]
    assert store.attrs["width"] == 8
    starts, ends = (
        torch.stack([optima.by_seed[int(seed)] for seed in store["members"].sel(end=end)])
        for end in ("first", "second")
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
    np.testing.assert_allclose(store["attempt_cosine"].max("attempt"), after["cosine"], rtol=1e-5)
    assert store.identical(measure(optima, settings))
    assert all(variable.attrs["description"] for variable in store.data_vars.values())


def test_one_run_is_no_pair(mlp, optima):
    store = measure(of(mlp, optima.points[1:3], [2, 5], [False, True]))
    assert store.attrs["not_aligned"] == "1 runs stayed finite, and a pair needs 2"
    assert store["diverged"].values.tolist() == [False, True]


def test_connectors_join_the_same_sets_of_nearer_optima(mlp, optima):
    before = connectors.measure(optima, CONNECTORS)
    after = aligned_connectors.measure(optima, Settings(), CONNECTORS)
    assert before["members"].equals(after["members"])
    for name in ("loss", "accuracy"):
        first, second = (store[name].sel(place="optima") for store in (before, after))
        np.testing.assert_allclose(first, second, rtol=1e-5)
    assert ((after["spread"] < before["spread"]) | before["spread"].isnull()).all()  # of one size there is one set
    layers = hidden_layers(mlp.module)
    first, *others = before["members"].sel(size=3).isel(set=0).values.tolist()
    rows = [optima.by_seed[first].numpy()]
    for seed in others:
        found = match_weights(rows[0], optima.by_seed[seed].numpy(), layers, attempts=4, key=(first, seed))
        rows.append(permute(optima.by_seed[seed].numpy(), layers, found.orders))
    centroid = torch.from_numpy(np.stack(rows)).mean(0)
    loss = after["loss"].sel(size=3, place="centroid", split="train").isel(set=0)
    assert float(loss) == pytest.approx(float(mlp.losses(centroid[None])), rel=1e-5)


# Claims


def matched_at(after, widths=(8, 16), pairs=6):
    """One store per width; barriers of 1 nat before matching, and those given by width after it."""
    made = {}
    for width, value in zip(widths, after, strict=True):
        barrier = np.ones((2, pairs, 2))
        barrier[1] = value * (1 + 0.01 * np.arange(pairs)[:, None])
        made[f"width~{width}"] = xr.Dataset(
            {"barrier": (("alignment", "pair", "split"), barrier),
             "members": (("pair", "end"), np.arange(2 * pairs).reshape(pairs, 2)),
             "diverged": ("seed", [True, False])},
            {"alignment": ["before", "after"], "split": ["train", "test"],
             "pair": [f"{2 * k}-{2 * k + 1}" for k in range(pairs)]},
            {"width": width},
        )  # fmt: skip
    return made


def joined(centroid):
    """Four sets of two and four of three optima, no two of which share one."""
    loss = np.full((2, 4, 3, 2), 1e-3)
    loss[:, :, 1] = centroid * (1 + 0.01 * np.arange(4)[:, None])
    loss[:, :, 2, 1] = 77.0  # of the test split, which must not matter
    members = np.full((2, 4, 3), -1)
    members[0, :, :2] = np.arange(8).reshape(4, 2)
    members[1] = np.arange(12).reshape(4, 3)
    return xr.Dataset(
        {"loss": (("size", "set", "place", "split"), loss), "members": (("size", "set", "member"), members)},
        {"size": [2, 3], "place": ["optima", "centroid", "centre"], "split": ["train", "test"]},
    )


def test_matching_is_estimated_at_every_width_over_widths_and_at_the_largest_set():
    connected = joined(2.0), joined(0.2)
    found = {claim.id: claim for claim in claims(matched_at([0.3, 0.1]), *connected, INTERVALS)}
    assert list(found) == ["aligned_barrier_8", "aligned_barrier_16", "aligned_width", "aligned_centroid_3"]
    assert found["aligned_barrier_8"].estimate.estimate == pytest.approx(np.log10(0.3), abs=0.02)
    assert (found["aligned_barrier_8"].estimate.units, found["aligned_barrier_8"].left_out) == (6, 1)
    assert found["aligned_width"].estimate.estimate == pytest.approx(np.log10(1 / 3))
    assert found["aligned_centroid_3"].estimate.estimate == pytest.approx(-1)
    assert found["aligned_centroid_3"].estimate.unit == "disjoint set"


def test_a_barrier_that_is_gone_counts_and_pairs_are_compared_with_themselves():
    stores = matched_at([0.3, 0.1])
    narrow, wide = stores.values()
    wide["barrier"][1, 2] = 0.0
    found = {claim.id: claim for claim in claims(stores, joined(2.0), joined(0.2), INTERVALS)}
    wanted = np.log10(0.1 * (1 + 0.01 * np.arange(6)))
    wanted[2] = -4  # a floor instead of nothing at all
    assert found["aligned_barrier_16"].estimate.estimate == pytest.approx(wanted.mean())
    without = {"narrow": narrow.isel(pair=slice(1, None)), "wide": wide.isel(pair=[5, 4, 3, 1, 0])}
    found = {claim.id: claim for claim in claims(without, joined(2.0), joined(0.2), INTERVALS)}
    assert found["aligned_width"].estimate.estimate == pytest.approx(np.log10(1 / 3))
    assert found["aligned_width"].estimate.units == 4  # the pairs that both have; no two share a seed


def test_networks_that_no_matching_fits_are_no_claims():
    store = left_out("no chain").assign_attrs(width=8)
    assert list(claims({"here": store}, joined(2.0), left_out("no chain"), INTERVALS)) == []


# The figure


def lines(width, pairs=3, lost=0):
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
            "members": (("pair", "end"), np.arange(2 * pairs).reshape(pairs, 2)),
            "diverged": ("seed", np.arange(4) < lost),
        },
        {"alignment": ["before", "after"], "pair": [f"{k}-{k + 1}" for k in range(pairs)], "split": ["train", "test"],
         "t": np.linspace(0, 1, 5)},
        {"width": width},
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


CONNECTED = (centres(0), centres(1))
LOST = left_out("1 runs stayed finite, and a pair needs 2").assign(diverged=("seed", [True, True, True, False]))


def test_the_figure_draws_every_pair_and_set():
    stores = {"64": lines(64), "32": LOST.assign_attrs(width=32), "8": lines(8, pairs=2, lost=1)}
    figure = plot_alignment.draw(stores, *CONNECTED, BASE, INTERVALS)
    check_looks(figure, 7)
    table, sets = plot_alignment.tabulate(stores, *CONNECTED).values()
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
    base = stores["64"]["loss"].sel(split="train", alignment="before").values
    assert all(any(np.array_equal(row, line.get_ydata()) for line in panels[3].lines) for row in base)
    for panel, split in zip(panels[4:], ("train", "test"), strict=False):
        rows = sets[(sets["split"] == split) & (sets["place"] != "optima")][["size", "loss"]].to_numpy(float)
        assert drawn(panel) == pytest.approx(np.array(sorted(map(tuple, rows))))
    said = [text.get_text() for text in figure.axes[7].get_legend().get_texts()]
    assert said[-2:] == ["4 runs are no optima, in no pair", "no pair at width 32"]


def test_the_figure_copes_with_one_width_and_one_pair():
    figure = plot_alignment.draw({"16": lines(16, pairs=1)}, *CONNECTED, {"width": 16}, INTERVALS)
    check_looks(figure, 7)
    assert len(drawn(titled(figure)[0])) == 2


def test_a_study_without_chains_has_a_figure_that_says_so():
    reason = left_out("layer 3 (ResidualBlock) is no link of a chain; " + 20 * "allowed ").attrs["not_aligned"]
    stores = {"16": left_out(reason).assign_attrs(width=16)}, centres(0), left_out(reason)
    figure = plot_alignment.draw(*stores, {"width": 16}, INTERVALS)
    check_looks(figure, 1)
    assert "ResidualBlock" in figure.axes[0].texts[0].get_text()
    lines, sets = plot_alignment.tabulate(*stores).values()
    assert lines.empty
    assert list(lines.columns) == ["width", "pair", "split", "alignment", "barrier", "distance", "cosine", "moved"]
    assert set(sets["alignment"]) == {"before"}
