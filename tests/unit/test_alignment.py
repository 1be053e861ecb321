"""Alignment: permuted copies are matched exactly, what has no rule is refused; its claims and its figure."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn.functional import avg_pool2d, pad, relu

from drawings import check_looks, drawn, titled
from wedgescape.errors import InputError
from wedgescape.figures import alignment as plot_alignment
from wedgescape.landscapes import alignment, models
from wedgescape.landscapes.alignment import match_weights, permute
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.networks import network_landscape
from wedgescape.landscapes.units import unit_groups
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


class ResidualMLP(nn.Module):
    """Adds two hidden layers to a stream, twice; what is crossed adds W x."""

    def __init__(self, crossed=False):
        super().__init__()
        self.first, self.last = nn.Linear(16, 6), nn.Linear(6, 3)
        inner = 6 if crossed else 5
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.Identity() if crossed else nn.Linear(6, inner), nn.Linear(inner, 6)]) for _ in range(2)
        )
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        x = torch.tanh(self.first(x.view(x.shape[0], -1)))
        for inner, outer in self.blocks:
            x = x + self.scale * outer(torch.relu(inner(x)))
        return self.last(x)


class Shortcuts(nn.Module):
    """Pads channels at both ends, projects, concatenates."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.wider, self.projection = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 4, 1, bias=False)
        self.second, self.last = nn.Conv2d(6, 4, 3, padding=1), nn.Linear(10, 3)

    def forward(self, x):
        x = relu(self.norm(self.first(2 * x + 1)))
        x = self.wider(x) + pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2), "constant", 0.0)
        y = torch.add(self.projection(x), self.second(x.relu()))
        joined = avg_pool2d(torch.cat([x, y], dim=1), 2)
        return self.last(joined.mean((2, 3)))


class Tied(nn.Module):
    """One layer is used twice: its inputs and its outputs are the same units."""

    def __init__(self):
        super().__init__()
        self.first, self.again, self.last = nn.Linear(16, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.last(self.again(self.again(self.first(torch.flatten(x, 1)).relu()).relu()).relu())


class Doubled(nn.Sequential):
    """Looks like a chain and is none."""

    def forward(self, x):
        return 2 * super().forward(x)


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
RESIDUAL = {
    "residual mlp": ResidualMLP,
    "crossed": lambda: ResidualMLP(crossed=True),
    "shortcuts": Shortcuts,
    "tied": Tied,
    "doubled": lambda: Doubled(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), Doubled(nn.Linear(4, 3))),
}
UNITS = {
    "mlp": [8, 8, 8],
    "simple_cnn": [6, 12, 12],
    "normed": [5, 7],
    "flattened": [5, 6, 4],
    "resnet20": [4, 4, 4, 4, 8, 4, 8, 8, 16, 8, 16, 16],
    "residual mlp": [6, 5, 5],
    "crossed": [6],
    "shortcuts": [3, 3, 4],
    "tied": [5],
    "doubled": [4],
}


@pytest.fixture(params=UNITS)
def net(request, data, monkeypatch):
    """A network's landscape, its groups of units, and random weights (P,) of it, of which no two are equal."""
    name = request.param
    own = {key: lambda make=make, **_: make() for key, make in (CHAINS | RESIDUAL).items()}
    monkeypatch.setattr(models, "MODELS", models.MODELS | own)
    landscape = network_landscape(data, {"name": name, "width": UNITS[name][0], "depth": 3}, "cpu")
    drawn = torch.randn(landscape.dim, generator=torch.Generator().manual_seed(3)).numpy()
    groups = unit_groups(landscape.module)
    assert [group.units for group in groups] == UNITS[name]
    return landscape, groups, drawn


def shuffled(groups, weights, seed=0):
    draw = np.random.default_rng(seed)
    orders = [draw.permutation(group.units) for group in groups]
    return permute(weights, groups, orders), orders


# Permuting


def test_permuting_never_changes_the_function(net):
    landscape, groups, weights = net
    other, _orders = shuffled(groups, weights)
    points = torch.from_numpy(np.stack([weights, other]))
    for split in ("train", "test"):
        first, second = landscape.predictions(points, split)
        torch.testing.assert_close(first, second, rtol=0, atol=1e-5)
        losses = landscape.losses(points, split).double()
        assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-6)
    assert np.abs(other - weights).max() > 1
    assert sorted(other) == sorted(weights)


def test_each_group_matters(net):
    """Else the test above would pass for nothing: what leads in and out belongs together."""
    landscape, groups, weights = net
    for group in (one for one in groups if one.units > 1):
        half = dataclasses.replace(group, axes=group.axes[1:])
        other = permute(weights, [half], [np.roll(np.arange(group.units), 1)])
        first, second = landscape.losses(torch.from_numpy(np.stack([weights, other])))
        assert abs(float(first - second)) > 1e-4


# Matching


def test_a_permuted_copy_is_matched_exactly(net):
    _landscape, groups, weights = net
    other, orders = shuffled(groups, weights)
    matching = match_weights(weights, other, groups)
    assert matching.converged
    np.testing.assert_array_equal(permute(other, groups, matching.orders), weights)
    for order, found in zip(orders, matching.orders, strict=True):
        np.testing.assert_array_equal(order[found], np.arange(len(order)))
    assert matching.objective[-1] == pytest.approx(float(weights.astype(float) @ weights.astype(float)))


def test_the_objective_never_falls_and_is_what_it_says(net):
    _landscape, groups, weights = net
    other = np.random.default_rng(5).normal(size=len(weights))
    matching = match_weights(weights, other, groups)
    assert matching.converged
    assert np.all(np.diff(matching.objective) >= 0)
    assert matching.objective[0] == pytest.approx(float(weights @ other))
    assert matching.objective[-1] > matching.objective[0] + 1
    assert matching.objective[-1] == pytest.approx(float(weights @ permute(other, groups, matching.orders)))
    assert np.mean(matching.moved) > 0.3


def test_several_attempts_are_as_good_as_the_best_of_them(net):
    _landscape, groups, weights = net
    other = np.random.default_rng(5).normal(size=len(weights))
    one, many = (match_weights(weights, other, groups, attempts=attempts, key=(0, 1)) for attempts in (1, 8))
    assert len(many.reached) == 8
    assert many.reached == sorted(many.reached, reverse=True)
    assert one.objective[-1] in many.reached  # the first attempt is the same
    assert many.objective[-1] == many.reached[0] >= one.objective[-1]
    if len(groups) > 1:  # else the first assignment is the best one
        assert many.reached[0] > many.reached[-1] + 1e-6  # attempts end in different maxima
    moved = permute(other, groups, many.orders)
    assert many.objective[-1] == pytest.approx(float(weights @ moved))
    assert sorted(moved) == sorted(other)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_permuted_copy_is_found_by_several_attempts(net, noise):
    """Also with so much noise on it that the copy is hard to see; the first attempt alone may end elsewhere."""
    _landscape, groups, weights = net
    draw = np.random.default_rng(7)
    other, _orders = shuffled(groups, weights, seed=11)
    other = other + (noise * draw.normal(size=len(weights))).astype(other.dtype)
    matching = match_weights(weights, other, groups, attempts=6)
    assert matching.reached[0] >= float(weights.astype(float) @ weights) * (1 - 0.1 * (noise > 0)) - 1e-6


def test_matching_is_deterministic_and_its_random_order_has_a_key(net):
    _landscape, groups, weights = net
    other = np.random.default_rng(5).normal(size=len(weights))
    found = [match_weights(weights, other, groups, key=key) for key in ((0, 1), (0, 1), (0, 2))]
    for first, second in zip(found[0].orders, found[1].orders, strict=True):
        np.testing.assert_array_equal(first, second)
    assert found[0].objective == found[1].objective
    assert found[2].converged


def test_two_units_by_hand():
    """Rows of the first layer are units: input weights (1, 0) and (0, 2), biases 3 and 4, output weights 5 and 6."""
    groups = unit_groups(nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)))
    first = np.array([1.0, 0, 0, 2, 3, 4, 5, 6, 7])
    second = np.array([0.0, 2, 1, 0, 4, 3, 6, 5, 7])
    np.testing.assert_array_equal(
        alignment.unit_products(first, second, groups[0]), [[0 + 12 + 30, 1 + 9 + 25], [4 + 16 + 36, 0 + 12 + 30]]
    )
    matching = match_weights(first, second, groups)
    assert matching.orders[0].tolist() == [1, 0]
    assert matching.moved == [1.0]
    assert matching.objective == [42 + 42 + 49, 35 + 56 + 49, 35 + 56 + 49]
    np.testing.assert_array_equal(permute(second, groups, [np.array([1, 0])]), first)


def test_ties_and_a_limit_of_passes_leave_units_in_their_places():
    groups = unit_groups(nn.Sequential(nn.Flatten(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)))
    assert match_weights(np.ones(17), np.ones(17), groups).moved == [0.0]
    draw = np.random.default_rng(0)
    stopped = match_weights(draw.normal(size=17), draw.normal(size=17), groups, passes=1)
    assert not stopped.converged
    assert len(stopped.objective) == 2


# Which units move together


def test_the_streams_of_a_residual_network_are_groups_of_their_own_and_nested():
    """A shortcut adds a stage's channels to the first ones of the next stage, whose other channels are new."""
    module = models.build({"name": "resnet20", "width": 4, "norm": "batch"}, (1, 8, 8), 3)
    groups = {group.name: group for group in unit_groups(module)}
    inner = [f"{block}.conv1" for block in range(3, 12)]
    assert set(groups) == {*inner, "0", "6.conv2[4:8]", "9.conv2[8:16]"}
    last = [groups[name].axes[-1] for name in groups if name not in inner]  # inputs of the linear layer
    assert [(axis.shape, *axis.segments) for axis in last] == [
        ((3, 16, 1), slice(*ends)) for ends in ((0, 4), (4, 8), (8, 16))
    ]
    assert len(groups["9.conv2[8:16]"].axes) == 3 * 3 + 2 + 1  # three outputs with norms, two inputs, the linear layer


def test_channels_padded_at_both_ends_change_places_with_each_other():
    """All are zeros in the shortcut, so that a unit before the old channels can come after them."""
    module = models.adapted(Shortcuts())
    old, new, _third = unit_groups(module)
    assert (old.name, new.name) == ("first", "wider[0:1,4:6]")
    x, orders = torch.randn(7, 1, 8, 8, generator=torch.Generator().manual_seed(0)), [np.array([2, 0, 1])]
    weights = models.flat(module).numpy()
    right = permute(weights, [new], orders)
    wrong = permute(weights, [dataclasses.replace(old, axes=old.axes[-3:])], orders)
    found = []
    for one in (weights, right, wrong):
        nn.utils.vector_to_parameters(torch.from_numpy(one), module.parameters())
        found.append(module(x).detach())
    assert not np.array_equal(right, weights)
    assert (found[1] - found[0]).abs().max() < 1e-5
    assert (found[2] - found[0]).abs().max() > 1e-3


def test_a_stage_cannot_be_permuted_by_itself(network):
    """Controls of the test above: two wrong readings of the shortcuts change the function, the right one does not."""
    landscape = network({"name": "resnet20", "width": 4})
    groups = {group.name: group for group in unit_groups(landscape.module)}
    weights = torch.randn(landscape.dim, generator=torch.Generator().manual_seed(3)).numpy()
    new, order = groups["6.conv2[4:8]"], np.roll(np.arange(4), 1)
    whole, old = (
        dataclasses.replace(new, axes=tuple(dataclasses.replace(axis, segments=(segment,)) for axis in new.axes))
        for segment in (slice(0, 8), slice(0, 4))
    )
    others = [
        permute(weights, [new], [order]),
        permute(weights, [whole], [np.roll(np.arange(8), 4)]),  # as if the shortcut were none
        permute(weights, [old], [order]),  # as if the first stage need not follow
    ]
    first, *changed = landscape.predictions(torch.from_numpy(np.stack([weights, *others])), "train")
    right, *wrong = [float((one - first).abs().max()) for one in changed]
    assert right < 1e-4
    assert min(wrong) > 0.1


def test_frozen_weights_keep_their_units_in_place():
    chain = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    chain[1].requires_grad_(False)
    assert [group.name for group in unit_groups(models.adapted(chain))] == ["3"]


class Sum(nn.Module):
    """The sum of what its parts return for the same input."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        found = self.parts[0](x)
        for part in self.parts[1:]:
            found = found + part(x)
        return found


@pytest.mark.parametrize("frozen", [None, 0, 1])
def test_what_is_added_to_units_that_stay_in_place_stays_too(frozen):
    both = Sum(nn.Linear(4, 4), nn.Linear(4, 4))
    if frozen is not None:
        both.parts[frozen].requires_grad_(False)
    groups = unit_groups(models.adapted(nn.Sequential(both, nn.Linear(4, 5), nn.Linear(5, 3))), input_axes=1)
    assert [group.units for group in groups] == ([4, 5] if frozen is None else [5])


def test_what_is_added_to_the_inputs_stays_in_place():
    chain = nn.Sequential(Sum(nn.Identity(), nn.Linear(4, 4)), nn.Linear(4, 5), nn.Linear(5, 3))
    assert [group.units for group in unit_groups(chain, input_axes=1)] == [5]


def test_vectors_need_no_flatten():
    chain = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    assert [group.units for group in unit_groups(chain, input_axes=1)] == [5]


class Keeps(nn.Module):
    """Keeps what it has seen."""

    seen = None

    def forward(self, x):
        self.seen = x
        return x


def test_a_network_is_as_before_when_it_was_read():
    chain = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), Keeps(), nn.Linear(5, 3))
    assert len(unit_groups(chain)) == 1
    assert chain[2].seen is None


# What has no rule


class Calls(nn.Module):
    """Calls a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class OwnLinear(nn.Linear):
    """Whose forward may be anything."""


class Gate(nn.Module):
    """Multiplies all channels by the same image."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        return x * self.gate(x)


def within(*layers, classes=3):
    """Layers between a convolution of four channels, its images 2 x 2, and a linear layer."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), *layers, nn.Flatten(), nn.Linear(16, classes))


def listening(module, hook):
    module.register_forward_hook(hook)
    return module


SHARED = nn.Linear(16, 16)
REFUSED = {
    r"layer 1 \(GroupNorm\) is not supported": within(nn.GroupNorm(2, 4)),
    r"layer 1 \(Calls\) calls softmax, which is not supported": within(Calls(lambda x: x.softmax(1))),
    r"layer 1 \(Calls\) calls getitem": within(Calls(lambda x: x[:, 1:])),
    r"layer 1 \(Calls\) calls pad": within(Calls(lambda x: pad(x, (0, 0, 0, 0, 0, -1)))),
    r"layer 1 \(Calls\) calls cat": within(Calls(lambda x: torch.cat([x, x], 2))),
    r"layer 1 \(Calls\) calls mean": within(Calls(lambda x: x.mean((1, 2)))),
    r"layer 2 \(Calls\) calls view": within(nn.Flatten(), Calls(lambda x: x.view(-1, 4))),
    r"layer 1.0 \(Identity\) has hooks": within(nn.Sequential(listening(nn.Identity(), lambda *x: x[2].flip(1)))),
    r"layer 1 \(Sequential\) calls flip": within(listening(nn.Sequential(nn.ReLU()), lambda *x: x[2].flip(1))),
    r"the model \(Sequential\) has hooks": listening(within(), lambda *x: x[2].flip(1)),
    r"layer 1 \(Gate\) combines tensors of 4 and 1 units": within(Gate()),
    r"layer 1 \(Calls\) cannot be traced by torch.fx \(TraceError": within(Calls(lambda x: x if x.sum() > 0 else -x)),
    r"layer 1 \(OwnLinear\) uses parameter 1.weight": nn.Sequential(nn.Flatten(), OwnLinear(16, 4), nn.Linear(4, 3)),
    "2 groups": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(4, 3)),
    "is applied before nn.Flatten": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(2, 3), nn.Flatten()),
    "is applied after nn.Flatten": within(nn.Flatten(), nn.ZeroPad2d((0, 0, 0, 0))),
    "flattens axes 2 to -1": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(2), nn.Linear(4, 3)),
    "has hooks": nn.Sequential(nn.Flatten(), nn.utils.spectral_norm(nn.Linear(16, 4)), nn.Linear(4, 3)),
    "no hidden layer": nn.Sequential(nn.Flatten(), nn.Linear(16, 3)),
    "no hidden layer whose": nn.Sequential(nn.Flatten(), SHARED, nn.ReLU(), SHARED),  # its units are also the inputs
    "10 entries for the 4 units": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(10, 3), nn.Linear(3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_has_no_rule_is_refused(text):
    with pytest.raises(InputError, match=f"^alignment: .*{text}"):
        unit_groups(REFUSED[text])


def test_residual_networks_with_group_norm_are_refused_and_left_out_of_the_study(network, points, tmp_path):
    landscape = network({"name": "resnet20", "width": 4, "norm": "group"})
    with pytest.raises(InputError, match=r"alignment: layer 1 \(GroupNorm\) is not supported. Alignment supports"):
        unit_groups(landscape.module)
    optima = of(landscape, points(3, landscape.dim))
    for store in (measure(optima, Settings()), aligned_connectors.measure(optima, Settings(), CONNECTORS)):
        write_store(store, tmp_path / "a.zarr.zip", Origin("measure_alignment"))
        found = open_store(tmp_path / "a.zarr.zip")
        assert found.attrs["not_aligned"].startswith("layer 1 (GroupNorm)")
        assert set(found.variables) == {"seed", "diverged", "unfit"}


# At one setting


def of(landscape, points, seeds=None, diverged=None):
    attributes = {"config": as_json({"settings": {"here": {"model": {"width": 8}}}})}
    return Optima.of(landscape, points, seeds, diverged=diverged, attributes=attributes)


@pytest.fixture
def optima(mlp, weights):
    return of(mlp, torch.tensor(weights["theta"].values))


def test_between_a_network_and_its_permuted_copy_lies_nothing(mlp, optima):
    groups = unit_groups(mlp.module)
    copy = torch.from_numpy(shuffled(groups, optima.points[0].numpy())[0])
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


def test_residual_networks_are_measured_alike(network, train_small):
    """Trained ones, and a permuted copy of the first: nothing lies between the two after matching."""
    model = {"name": "resnet20", "width": 4, "norm": "batch"}
    landscape = network(model)
    trained = torch.from_numpy(train_small(range(2), model, epochs=3)["theta"].values)
    copy = torch.from_numpy(shuffled(unit_groups(landscape.module), trained[0].numpy())[0])
    store = measure(of(landscape, torch.stack([*trained, copy])), Settings(pairs=3, points=5))
    before, after = store.sel(alignment="before"), store.sel(alignment="after")
    np.testing.assert_allclose(after["loss"].isel(t=[0, -1]), before["loss"].isel(t=[0, -1]), rtol=1e-4)
    assert (after["distance"] < before["distance"]).all()
    same = store.sel(pair="0-2")
    assert (same["barrier"].sel(alignment="before", split="train") > 0.05).all()
    np.testing.assert_allclose(same["barrier"].sel(alignment="after"), 0, atol=1e-4)
    assert float(same["distance"].sel(alignment="after")) == 0
    assert store["layer"].values[0] == "0"


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
    np.testing.assert_allclose(after["score"].isel(t=[0, -1]), before["score"].isel(t=[0, -1]), atol=1e-6)
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
    for name in ("loss", "score"):
        first, second = (store[name].sel(place="optima") for store in (before, after))
        np.testing.assert_allclose(first, second, rtol=1e-5)
    assert ((after["spread"] < before["spread"]) | before["spread"].isnull()).all()  # of one size there is one set
    groups = unit_groups(mlp.module)
    first, *others = before["members"].sel(size=3).isel(set=0).values.tolist()
    rows = [optima.by_seed[first].numpy()]
    for seed in others:
        found = match_weights(rows[0], optima.by_seed[seed].numpy(), groups, attempts=4, key=(first, seed))
        rows.append(permute(optima.by_seed[seed].numpy(), groups, found.orders))
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
    values = {name: draw.uniform(0.01, 2, shape) for name in ("loss", "score")}
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


def test_a_study_without_alignment_has_a_figure_that_says_so():
    reason = left_out("layer 1 (GroupNorm) is not supported; " + 20 * "allowed ").attrs["not_aligned"]
    stores = {"16": left_out(reason).assign_attrs(width=16)}, centres(0), left_out(reason)
    figure = plot_alignment.draw(*stores, {"width": 16}, INTERVALS)
    check_looks(figure, 1)
    assert "GroupNorm" in figure.axes[0].texts[0].get_text()
    lines, sets = plot_alignment.tabulate(*stores).values()
    assert lines.empty
    assert list(lines.columns) == ["width", "pair", "split", "alignment", "barrier", "distance", "cosine", "moved"]
    assert set(sets["alignment"]) == {"before"}
