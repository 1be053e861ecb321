"""Gradients of single examples against autograd and a closed form; labels that mean nothing; claims; the figure."""

import numpy as np
import pytest
import torch
from torch import nn

from drawings import check_looks
from wedgescape import NetworkLandscape
from wedgescape.figures import stiffness as plot_stiffness
from wedgescape.measurements import stiffness
from wedgescape.measurements.stiffness import Settings, cosines, grouped, measure
from wedgescape.numerics.intervals import Intervals
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima

INTERVALS = Intervals(resamples=50)


def clusters(noise, count=60, classes=3, seed=0):
    """Examples (N, 4) around one centre a class, and their labels."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    return 2 * torch.eye(4)[labels] + noise * torch.randn(count, 4, generator=draw), labels


def trained(noise, labels=None, seeds=4, hidden=0):
    """Networks of four inputs and three classes, at their initialisations and trained."""
    inputs, own = clusters(noise)
    unseen, theirs = clusters(noise, 30, seed=1)
    own = own if labels is None else labels
    layers = [nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 3)] if hidden else [nn.Linear(4, 3)]
    landscape = NetworkLandscape(nn.Sequential(*layers), {"train": (inputs, own), "test": (unseen, theirs)})
    starts = 0.3 * torch.randn(seeds, landscape.dim, generator=torch.Generator().manual_seed(2))
    points = descend(landscape, starts, Recipe("adam", 0.03), 60).points
    return Optima.of(landscape, points, starts=starts)


def test_gradients_of_examples_are_those_of_autograd_and_their_mean_that_of_the_loss(optima):
    landscape, point = optima.landscape, optima.points[0]
    found = landscape.example_gradients(point)
    assert found.shape == (landscape.examples, landscape.dim)
    torch.testing.assert_close(found.mean(0), landscape.gradients(point[None])[0], rtol=1e-4, atol=1e-5)
    one = landscape.of_first(1)
    torch.testing.assert_close(found[0], one.gradients(point[None])[0], rtol=1e-4, atol=1e-5)


def test_a_linear_classifier_has_its_closed_form():
    optima = trained(0.5)
    landscape, point = optima.landscape, optima.points[0]
    inputs, labels = landscape.splits["train"]
    weights, bias = point[:12].reshape(3, 4), point[12:]
    pulls = (inputs @ weights.T + bias).softmax(1) - torch.eye(3)[labels]
    longer = torch.cat([inputs, torch.ones(len(inputs), 1)], 1)
    wanted = cosines(pulls, pulls) * cosines(longer, longer)
    gradients = landscape.example_gradients(point)
    torch.testing.assert_close(cosines(gradients, gradients), wanted, rtol=1e-3, atol=1e-4)


def test_means_are_of_pairs_of_one_class_and_of_two():
    cosine = np.array([[np.nan, 0.5, -0.1], [0.5, np.nan, -0.3], [-0.1, -0.3, np.nan]])
    labels = np.array([0, 0, 1])
    within, between = grouped(cosine, labels, labels)
    assert within == 0.5
    assert between == pytest.approx(-0.2)
    assert np.isnan(grouped(cosine, np.arange(3), np.arange(3))[0])


def test_examples_of_one_class_agree_and_those_of_shuffled_labels_do_not():
    store = measure(trained(0.2), Settings(examples=60))
    at = store["stiffness"].sel(time="optimum", pairs="unseen")
    assert (at.sel(group="within") > 0.8).all()
    assert (at.sel(group="between") < 0).all()
    assert (at.sel(group="within") - at.sel(group="within relabelled") > 0.2).all()
    diagonal = store["by_class"].sel(time="optimum").values[:, range(3), range(3)]
    assert (diagonal > 0.8).all()
    assert (store["share"].sel(time="optimum", pairs="unseen") > 0.95).all()


def test_labels_that_mean_nothing_have_no_advantage_over_shuffled_ones():
    labels = torch.randint(3, (60,), generator=torch.Generator().manual_seed(5))
    store = measure(trained(1.0, labels, hidden=16), Settings(examples=60, shuffles=8))
    at = store["stiffness"].sel(time="initialisation", pairs="train")
    # The label alone makes gradients alike: a control that leaves the gradients as they are would be too weak.
    assert (at.sel(group="within") - at.sel(group="between") > 0.2).all()
    assert (abs(at.sel(group="within") - at.sel(group="within relabelled")) < 0.06).all()


def test_claims_are_of_unseen_examples_beside_shuffled_labels():
    store = measure(trained(0.2), Settings(examples=60))
    found = {claim.rule: claim for claim in stiffness.claims(store, INTERVALS)}
    assert set(found) == set(stiffness.CLAIMS)
    unseen = store["stiffness"].sel(pairs="unseen", time="optimum")
    assert found["stiffness_within"].estimate.estimate == pytest.approx(float(unseen.sel(group="within").mean()))
    assert found["stiffness_control"].estimate.low > 0.2
    assert found["stiffness_between"].estimate.high < 0
    assert "shuffled labels" in found["stiffness_within"].control
    assert found["stiffness_within"].estimate.units == 4


def test_the_figure_shows_classes_and_every_network():
    store = measure(trained(0.2), Settings(examples=30))
    figure = plot_stiffness.draw(store, INTERVALS)
    check_looks(figure, 2)
    image = figure.axes[0].images[0].get_array()
    assert np.allclose(image, store["by_class"].sel(time="optimum").mean("seed").values)
    assert len(plot_stiffness.tabulate(store)) == 4 * 2 * 2 * 4
