"""Children of one network: equal orders, convex losses, known kernels; onsets; claims; the figure."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from drawings import check_looks, titled
from wedgescape import NetworkLandscape
from wedgescape.errors import InputError
from wedgescape.figures import spawning as plot_spawning
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.networks import network_landscape
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import spawning
from wedgescape.measurements.spawning import Settings, kernel_distance, measure, onset, spawn
from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import write_store
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima
from wedgescape.training.repeated import Repeated

INTERVALS = Intervals(resamples=100)
SETTINGS = Settings(seeds=4, parts=[0, 0.25, 0.75], points=5, directions=2, kernel_examples=6)


class Regression(Landscape):
    """The mean over examples of (x . w - y)^2 (K,): convex, and each minibatch pulls elsewhere."""

    dtype = torch.float64

    def __init__(self, examples=12, dim=4):
        draws = torch.randn(examples, dim + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.inputs, self.targets, self.dim, self.examples = draws[:, :dim], draws[:, dim], dim, examples

    def losses(self, points, split="train"):
        return ((points @ self.inputs.T - self.targets) ** 2).mean(1)

    def gradients(self, points, batch=None):
        chosen = batch.examples if batch else torch.arange(self.examples).expand(len(points), -1)
        inputs = self.inputs[chosen]  # (K, B, dim)
        errors = (inputs @ points[..., None])[..., 0] - self.targets[chosen]
        return 2 * (errors[..., None] * inputs).mean(1)


def test_equal_orders_give_equal_children_and_a_convex_loss_no_barrier():
    landscape, recipe = Regression(), Recipe(learning_rate=0.1, batch_size=3, schedule="cosine")
    parents = torch.zeros(2, 4, dtype=torch.float64)
    one, same, other = spawn(landscape, parents, recipe, 40, 0, [[5, 6], [5, 6], [8, 9]])
    assert torch.equal(one, same)
    assert ((one - other).norm(dim=1) > 1e-3).all()
    assert barrier_along(landscape, one, other, 11) == pytest.approx(np.zeros(2), abs=1e-12)


def test_children_go_on_with_the_schedule_and_the_orders_of_the_whole_training():
    """Without momentum a child with the parent's own order is the parent."""
    landscape, recipe = Regression(), Recipe(learning_rate=0.1, momentum=0.0, batch_size=3, schedule="cosine")
    starts = torch.ones(2, 4, dtype=torch.float64)
    whole = descend(landscape, starts, recipe, 20, [3, 4], keep_at=[6, 20])
    for order, equal in (([3, 4], True), ([30, 40], False)):
        child = spawn(landscape, whole.snapshots[0], recipe, 20, 6, [order])[0]
        assert torch.equal(child, whole.points) == equal


# Kernels


def test_the_kernel_of_a_linear_model_is_known_and_never_moves():
    """The logit of class c has the gradient (x, 1) in its own row: K = (x . x' + 1) times the identity."""
    images = torch.randn(7, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    splits = {"train": (images, torch.arange(7) % 3), "test": (images, torch.arange(7) % 3)}
    landscape = NetworkLandscape.of(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), splits)
    first, second = (landscape.tangent_kernel(point, 5) for point in torch.randn(2, 15))
    flat = images[:5].flatten(1)
    torch.testing.assert_close(first, torch.kron(flat @ flat.T + 1, torch.eye(3)))
    assert kernel_distance(first, second) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("strategy", ["auto", "plain"])
def test_the_kernel_is_that_of_the_jacobian(data, points, strategy):
    mlp = network_landscape(data, {"name": "mlp", "width": 8, "depth": 2}, "cpu", strategy)
    point = points(1, mlp.dim)[0]
    images = mlp.splits["train"][0][:4]
    jacobian = torch.autograd.functional.jacobian(lambda p: mlp._logits(mlp.unpacked(p), images).flatten(), point)
    torch.testing.assert_close(mlp.tangent_kernel(point, 4), jacobian @ jacobian.T, rtol=1e-4, atol=1e-4)


def test_kernel_distances_by_hand():
    one, other = torch.diag(torch.tensor([1.0, 0.0])), torch.diag(torch.tensor([0.0, 2.0]))
    assert kernel_distance(one, other) == 1.0
    assert kernel_distance(one, 3 * one) == pytest.approx(0.0)
    assert kernel_distance(one, one + other / 2) == pytest.approx(1 - 1 / np.sqrt(2))


# Networks


@pytest.fixture
def measured(optima, tmp_path):
    store = measure(optima, SETTINGS)
    write_store(store, tmp_path / "spawning.zarr.zip", Origin("test"))
    return store


def test_parents_are_the_networks_themselves_on_their_way(mlp, weights, optima, measured):
    """Snapshots every 4 of 12 epochs are what the repeated training passes through."""
    repeated = Repeated.of(optima, "spawning", "spawn")
    per_epoch = repeated.recipe.steps_per_epoch(mlp.examples)
    assert repeated.steps == 12 * per_epoch
    way = repeated.after([0, 4 * per_epoch, 8 * per_epoch])
    assert np.array_equal(way.transpose(0, 1).numpy(), weights["trajectory"].values[:, :3])
    np.testing.assert_allclose(measured["part"], [0, 0.25, 0.75])
    away = np.linalg.norm(weights["theta_init"] - weights["theta"], axis=1)
    np.testing.assert_allclose(measured["to_end"][:, 0], away, rtol=1e-5)
    assert (measured["distance"] > 0).all()
    next_one = np.linalg.norm(weights["theta"].values - np.roll(weights["theta"].values, -1, 0), axis=1)
    np.testing.assert_allclose(measured["independent_distance"], next_one, rtol=1e-5)


def test_children_of_a_later_time_differ_less(measured):
    assert (measured["distance"].diff("part") < 0).all()
    assert (measured["kernel_distance"].isel(part=2) < measured["kernel_distance"].isel(part=0)).all()


@pytest.mark.parametrize("without", [["config"], []])
def test_what_cannot_be_trained_again_is_refused_by_name(optima, without):
    attributes = {name: value for name, value in optima.weights.attrs.items() if name not in without}
    if not without:
        attributes["config"] = json.dumps({"sections": {}, "settings": {"given": {"training": {"batch_size": 8}}}})
    with pytest.raises(InputError, match=r"spawning: .* lacks epochs, schedule, warmup_epochs"):
        measure(Optima(optima.landscape, optima.weights.drop_attrs().assign_attrs(attributes)), SETTINGS)
    toy = WedgeLandscape(6, 2)
    with pytest.raises(InputError, match="spawning"):
        measure(Optima.of(toy, toy.optima(1, 1.0)), SETTINGS)


# Claims


def test_training_is_stable_from_where_the_barrier_stays_low():
    parts = np.array([0.0, 0.1, 0.2, 0.4])
    barriers = np.array([
        [0.01, 0.01, 0.01, 0.0],  # always
        [0.50, 0.06, 0.00, 0.0],  # between 0.1 and 0.2: two thirds of the fall are above 0.02
        [0.50, 0.01, 0.50, 0.0],  # low once by chance, and then high again
        [0.50, 0.50, 0.50, 0.5],
    ])  # fmt: skip
    starts, never = onset(parts, barriers, 0.02)
    assert starts == pytest.approx([0.0, 0.1 + 0.1 * 2 / 3, 0.2 + 0.2 * 0.96, 0.4])
    assert never.tolist() == [False, False, False, True]


def a_store(barriers, kernel, weights, seeds=6):
    """A store of children at times 0, 0.1 and 0.4; the kernels of seeds end a tenth as far apart as they went."""
    draw = np.random.default_rng(0)

    def over(values):
        return ("seed", "part"), np.asarray(values) * np.exp(0.01 * draw.standard_normal((seeds, 3)))

    return xr.Dataset(
        {
            "barrier": over(barriers),
            "random_rise": over([0.01, 0.01, 0.01]),
            "distance": over([1.0, 0.5, 0.1]),
            "to_end": over(weights),
            "kernel_distance": over(kernel),
            "kernel_other": over(kernel),
            "kernel_angle": over([0.3, 0.2, 0.1]),
            "kernel_independent": ("seed", np.full(seeds, kernel[0] / 10)),
            "independent_barrier": ("seed", np.full(seeds, 0.2)),
            "independent_distance": ("seed", np.full(seeds, 10.0)),
            "diverged": ("seed", [False] * (seeds - 1) + [True]),
        },
        {"seed": range(seeds), "part": [0.0, 0.1, 0.4]},
        {"tolerance": 0.02, "epochs": 20},
    )


def claimed(store):
    return {claim.id: claim for claim in spawning.claims(store, INTERVALS)}


def test_claims_say_what_was_planted():
    found = claimed(a_store([0.1, 0.001, 0.0], [1.0, 0.01, 0.001], [1.0, 0.1, 0.01]))
    assert 0.05 < found["spawning_onset"].estimate.estimate < 0.1
    assert found["spawning_onset"].control == "barrier at the first time 0.1; random step 0.01; other seed 0.2"
    assert found["spawning_line"].estimate.estimate == pytest.approx(1.0, abs=0.02)
    # A kernel that is linear in the weights keeps the square of their share.
    assert found["kernel_settles"].estimate.estimate == pytest.approx(0.0, abs=0.02)
    assert found["kernel_shared"].estimate.estimate == pytest.approx(-1.0, abs=0.02)
    assert {claim.left_out for claim in found.values()} == {1}
    assert found["spawning_line"].estimate.units == 5
    early = claimed(a_store([0.1, 0.001, 0.0], [1.0, 0.001, 0.0001], [1.0, 0.1, 0.01]))["kernel_settles"]
    assert early.estimate.estimate == pytest.approx(-1.0, abs=0.02)


def test_a_network_that_never_becomes_stable_gives_a_bound():
    estimate = claimed(a_store([0.1, 0.1, 0.1], [1.0, 0.1, 0.1], [1.0, 0.1, 0.1]))["spawning_onset"].estimate
    assert estimate.estimate == pytest.approx(0.4)
    assert estimate.high == np.inf


# The figure


def test_the_figure_draws_every_seed_that_is_an_optimum(measured):
    figure = plot_spawning.draw(measured, INTERVALS)
    check_looks(figure, 4)
    for panel, name in zip(titled(figure)[:3], ("barrier", "distance", "kernel_distance"), strict=True):
        for row in measured[name].values:
            drawn = [line.get_ydata() for line in panel.lines]
            assert any(np.allclose(row.clip(plot_spawning.LOWEST), one) for one in drawn if len(one) == len(row))
    assert len(plot_spawning.tabulate(measured)) == 3 * 4
    few = a_store([0.1, 0.001, 0.0], [1.0, 0.01, 0.001], [1.0, 0.1, 0.01])
    velocity = plot_spawning._velocity(few).values[0] * np.array([0.1, 0.3, 0.6]) * 20
    assert velocity == pytest.approx(np.degrees(few["kernel_angle"].values[0]))
