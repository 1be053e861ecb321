"""Scores of predictions against what can be worked out by hand."""

import math
import warnings

import pytest
import torch

from wedgescape.numerics.scores import SCORES, mixture, score


def test_scores_of_three_predictions_by_hand():
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.0, 0.9]])
    found = score(probabilities, torch.tensor([0, 1, 2]), bins=10)
    assert list(found) == list(SCORES)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["nll"] == pytest.approx(-(math.log(0.7) + math.log(0.3) + math.log(0.9)) / 3, rel=1e-6)
    squares = (0.09 + 0.04 + 0.01) + (0.36 + 0.49 + 0.01) + (0.01 + 0.0 + 0.01)
    assert found["brier"] == pytest.approx(squares / 3, rel=1e-6)
    # Three examples in three bins: gaps of 0.3, 0.6 and 0.1.
    assert found["calibration_error"] == pytest.approx((0.3 + 0.6 + 0.1) / 3, rel=1e-6)


def test_bins_weigh_by_their_examples():
    """Three of four right at a confidence of 0.9 in one bin, one of one at 0.6 in another."""
    sure, unsure = [0.9, 0.1], [0.4, 0.6]
    found = score(torch.tensor([sure] * 4 + [unsure]), torch.tensor([0, 0, 0, 1, 1]), bins=10)
    assert found["calibration_error"] == pytest.approx(4 / 5 * 0.15 + 1 / 5 * 0.4, rel=1e-6)
    coarse = score(torch.tensor([sure] * 4 + [unsure]), torch.tensor([0, 0, 0, 1, 1]), bins=1)
    assert coarse["calibration_error"] == pytest.approx(abs(0.84 - 0.8), rel=1e-5)


def test_perfect_and_hopeless_predictions():
    labels = torch.tensor([0, 1, 2, 1])
    sure = torch.eye(3)[labels]
    right = score(sure, labels, 15)
    assert right == pytest.approx({"accuracy": 1, "nll": 0, "brier": 0, "calibration_error": 0}, abs=1e-9)
    wrong = score(sure, (labels + 1) % 3, 15)
    assert wrong["accuracy"] == 0
    assert wrong["brier"] == pytest.approx(2)
    assert wrong["calibration_error"] == pytest.approx(1)
    assert 30 < wrong["nll"] < 40  # finite: a probability of 0 counts with the smallest step above it


def test_classes_without_an_example_and_float_rounding_are_no_trouble():
    probabilities = torch.randn(50, 10, generator=torch.Generator().manual_seed(0)).mul(8).softmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score(probabilities, torch.zeros(50, dtype=torch.long), 15)
    assert found["nll"] == pytest.approx(float(-probabilities[:, 0].double().log().mean()), rel=1e-5)


def test_a_mixture_is_the_mean_of_probabilities():
    members = torch.tensor([[[0.9, 0.1]], [[0.3, 0.7]]])
    torch.testing.assert_close(mixture(members), torch.tensor([[0.6, 0.4]], dtype=torch.float64), rtol=0, atol=1e-7)
