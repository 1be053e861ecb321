"""Inputs as points: linear classifiers, where all is known; obstacles; pairs that no path joins; claims; the figure."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from drawings import check_looks
from wedgescape import NetworkLandscape
from wedgescape.figures import input_paths as plot_input_paths
from wedgescape.landscapes import models
from wedgescape.landscapes.inputs import InputLandscape, MiddleLandscape, input_landscape
from wedgescape.measurements import input_paths
from wedgescape.measurements.input_paths import KINDS, Settings, bend, draw_inputs, measure, separate, synthesise
from wedgescape.numerics.intervals import Intervals
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima

INTERVALS = Intervals(resamples=50)
FEW = Settings(pairs=6, search_steps=150, steps=40, points=101, random_bends=2)
LN2 = math.log(2)


def stripes(count, seed=0):
    """Inputs (N, 2) in stripes along the first axis, and their classes 0, 1, 0: two stripes of a class lie apart."""
    inputs = 6 * torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)) - 3
    return inputs, (inputs[:, 0].abs() < 1).long()


def trained(hidden=32, seeds=4, classes=2):
    """Networks that know the stripes; without hidden units they cannot."""
    data = {"train": stripes(300), "test": stripes(150, 1)}
    layers = [nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, classes)] if hidden else [nn.Linear(2, classes)]
    landscape = NetworkLandscape(nn.Sequential(*layers), data)
    starts = 0.5 * torch.randn(seeds, landscape.dim, generator=torch.Generator().manual_seed(2))
    return Optima.of(landscape, descend(landscape, starts, Recipe("adam", 0.03), 300).points, starts=starts)


@pytest.fixture(scope="module")
def store():
    return measure(trained(), FEW)


def linear(classes=3, dim=4):
    """A linear classifier over inputs, with steep weights."""
    weights = 3 * torch.randn(dim, classes, generator=torch.Generator().manual_seed(0))
    inputs = torch.randn(200, dim, generator=torch.Generator().manual_seed(1))
    return InputLandscape(lambda inputs: inputs @ weights, inputs, torch.zeros(1, 1, dtype=torch.int64)), inputs


@pytest.mark.parametrize("name", ["mlp", "simple_cnn", "resnet20"])
def test_over_inputs_is_the_network_and_has_derivatives(data, network, name):
    landscape = network({"name": name, "width": 4})
    point = models.flat(landscape.module)
    images, labels = landscape.splits["test"]
    points = images.flatten(1)
    inputs = input_landscape(landscape, point, labels[:, None])
    known = -landscape.on_examples(point[None])["log_probability"][0]
    torch.testing.assert_close(inputs.losses(points), known, rtol=1e-4, atol=1e-5)
    assert torch.equal(inputs.predicted(points) == labels, landscape.on_examples(point[None])["correct"][0])
    gradients = inputs.gradients(points)
    way = torch.randn(points.shape, generator=torch.Generator().manual_seed(0))
    rise = (inputs.losses(points + 1e-3 * way) - inputs.losses(points - 1e-3 * way)) / 2e-3
    # Kinks of ReLUs lie between some of the two sides.
    assert (((gradients * way).sum(1) - rise) / rise).abs().median() < 0.03
    assert inputs.within(10 * points).abs().max() <= landscape.splits["train"][0].abs().max()


def test_labels_are_those_of_each_point_also_of_several_in_a_row():
    landscape, inputs = linear()
    landscape = landscape.of_labels(torch.tensor([[0, 0], [1, 2]]))
    logs = landscape.logits(inputs[:4]).log_softmax(1)
    wanted = torch.stack([-logs[0, 0], -logs[1, 0], -logs[2, 1:].max(), -logs[3, 1:].max()])
    torch.testing.assert_close(landscape.losses(inputs[:4]), wanted)
    pairs = MiddleLandscape(landscape.of_labels(torch.tensor([[0]])), landscape.of_labels(torch.tensor([[1]])))
    each = pairs.of_each(inputs[:4].reshape(2, 8))
    middle = landscape.logits(inputs[:2].mean(0, keepdim=True)).log_softmax(1)
    torch.testing.assert_close(each[0], torch.stack([-logs[0, 0], -logs[1, 0], -middle[0, 1]]))


def test_a_linear_classifier_has_no_barrier_on_lines_and_no_pairs_to_separate():
    landscape, inputs = linear()
    label = landscape.predicted(inputs).mode().values
    some = inputs[landscape.predicted(inputs) == label][:20]
    landscape = landscape.of_labels(label.expand(10, 1))
    found = bend(landscape, some[:10], some[10:], list(range(10)), FEW)
    assert (found["barrier"][0] < 1e-5).all()
    others = torch.full((10,), (int(label) + 1) % 3)
    _pairs, apart = separate(landscape, torch.cat([some[:10], some[10:]], 1), others, FEW)
    assert not apart.any()


def test_between_two_classes_every_path_reaches_ln_2_in_a_linear_classifier_too():
    landscape, inputs = linear(classes=2)
    predicted = landscape.predicted(inputs)
    first, second = (inputs[predicted == label][:8] for label in (0, 1))
    labels = torch.tensor([[0, 1]]).expand(8, 2)
    found = bend(landscape.of_labels(labels), first, second, list(range(8)), Settings(steps=60, points=2001))
    assert (found["loss"].max(2) > LN2 - 0.02).all()
    assert (found["loss"][0].max(1) < LN2 + 1e-5).all()


def test_a_curve_goes_round_an_obstacle_that_the_line_runs_into():
    """The second class is a disc around the origin, which lies on the line."""

    def network(inputs):
        return torch.stack([torch.zeros(len(inputs)), 6 * (1 - inputs.square().sum(1))], 1)

    span = torch.tensor([[-3.0, -3.0], [3.0, 3.0]])
    landscape = InputLandscape(network, span, torch.zeros(4, 1, dtype=torch.int64))
    starts = torch.tensor([[-2.0, 0.1], [-2.0, -0.1], [-2.0, 0.2], [-2.0, 0.0]])
    ends = -starts + torch.tensor([0.0, 0.3])
    found = bend(landscape, starts, ends, [0, 1, 2, 3], Settings(steps=300))
    assert (found["barrier"][0] > 4).all()
    assert (found["barrier"][1] < 0.05).all()
    moves = (found["controls"] - found["controls"][0]).norm(dim=2)
    torch.testing.assert_close(moves[2], moves[1])
    torch.testing.assert_close(moves[3], 2 * moves[1])
    assert (found["controls"][:2].abs() <= 3).all()


def test_noise_is_moved_until_the_network_is_sure_and_within_the_range():
    landscape, _inputs = linear()
    landscape = landscape.of_labels(torch.arange(3).repeat(4)[:, None])
    starts = 5 * torch.randn(12, 4, generator=torch.Generator().manual_seed(3))
    made, sure = synthesise(landscape, starts, Settings(search_steps=300))
    assert sure.all()
    assert (landscape.losses(made) <= -math.log(0.9) + 1e-6).all()
    assert torch.equal(landscape.within(made), made)


def test_pairs_are_two_inputs_of_a_class_and_one_of_another():
    labels = np.array([0, 0, 0, 1, 1, -1, 2, 2, 3])
    rows = draw_inputs(labels, 50, np.random.default_rng(0))
    of = labels[rows]
    assert (of[:, 0] == of[:, 1]).all()
    assert (rows[:, 0] != rows[:, 1]).all()
    assert (of[:, 2] != of[:, 0]).all()
    assert set(of.ravel()) == {0, 1, 2}
    assert len(draw_inputs(np.array([0, 0, 1]), 5, np.random.default_rng(0))) == 0


def test_separated_pairs_have_a_barrier_on_the_line_by_construction(store):
    lines = store["barrier"].sel(path="line")
    found = lines.sel(kind="separated").values
    assert np.isfinite(found).any()
    assert (found[np.isfinite(found)] > (math.log(10) + math.log(0.9)) / LN2 - 0.1).all()
    # Between classes the bound is ln 2; less, where the loss is steep between two positions.
    assert (store["barrier"].sel(kind="classes") > 0.2).all()


def test_stripes_of_a_class_are_not_joined_by_any_path(store):
    """So that the claim can fail: between two stripes lies the other class, whichever way a curve bends."""
    known = input_paths.judged(store)
    assert known.sum() > 8
    curves = store["barrier"].sel(path="bezier", kind=list(KINDS[:3]))
    assert (curves.values[known.values] > 0.05).all()
    found = {claim.rule: claim for claim in input_paths.claims(store, INTERVALS)}
    assert found["input_curves"].estimate.estimate == 0
    assert found["input_lines"].estimate.estimate < 1


def test_claims_are_of_networks_beside_both_controls(store):
    found = {claim.rule: claim for claim in input_paths.claims(store, INTERVALS)}
    assert set(found) == set(input_paths.CLAIMS)
    assert found["input_classes"].estimate.low > 0.3
    assert found["input_curves"].estimate.units == 4
    assert "lines between classes with a barrier: 24 of 24" in found["input_lines"].control
    assert "best random bend" in found["input_curves"].control
    assert set(found["input_curves"].specifications) == {"tolerance 0.025", "tolerance 0.1"}


def test_without_pairs_nothing_is_estimated():
    empty = measure(trained(hidden=0, seeds=1), FEW)  # a line cannot tell stripes, and the network is sure of nothing
    assert empty["barrier"].isnull().all()
    found = {claim.rule: claim.estimate for claim in input_paths.claims(empty, INTERVALS)}
    assert found["input_curves"].units == 0
    assert np.isnan(found["input_curves"].estimate)
    assert np.isnan(found["input_classes"].estimate)
    plot_input_paths.draw(empty).draw_without_rendering()


def test_a_seed_gives_the_same_alone():
    optima = trained(seeds=2)
    both, one = measure(optima, FEW), measure(optima.of_seeds([1]), FEW)
    assert np.array_equal(both["barrier"].sel(seed=1), one["barrier"].sel(seed=1), equal_nan=True)


def test_tokens_have_no_paths_and_that_is_said():
    words = torch.arange(60).reshape(20, 3) % 4
    splits = dict.fromkeys(("train", "test"), (words, words[:, 0] % 2))
    landscape = NetworkLandscape(nn.Sequential(nn.Embedding(4, 2), nn.Flatten(), nn.Linear(6, 2)), splits)
    optima = Optima.of(landscape, torch.zeros(2, landscape.dim))
    store = measure(optima, FEW)
    assert store["barrier"].isnull().all()
    assert "tokens" in store.attrs["no_paths"]
    assert list(input_paths.claims(store, INTERVALS)) == []
    assert "tokens" in plot_input_paths.draw(store).axes[0].texts[0].get_text()


def test_the_figure_shows_inputs_losses_and_barriers(store, optima):
    figure = plot_input_paths.draw(store)
    check_looks(figure, 3)
    assert len(figure.axes[0].images) == 4 * input_paths.STEPS
    assert len(plot_input_paths.tabulate(store)) == 4 * len(KINDS) * 4 * 6
    images = measure(optima, Settings(seeds=2, pairs=3, certainty=0.5, search_steps=200, search_rate=0.3))
    assert images["shown"].max() >= 0
    assert images["images"].dims == ("seed", "path", "step", "channel", "row", "column")
    check_looks(plot_input_paths.draw(images), 3)
