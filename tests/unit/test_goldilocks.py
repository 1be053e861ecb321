"""Random points: a quadratic, whose answers are known, and a network against its dense Hessian."""

import numpy as np
import pytest
import torch

from wedgescape.landscapes.spans import random_directions
from wedgescape.measurements.goldilocks import measure

EIGENVALUES = np.concatenate([np.full(60, 1.0), np.full(40, -1.0)])


def test_a_quadratic_looks_alike_at_every_radius(quadratic):
    store = measure(quadratic(EIGENVALUES), 3.0, [0.5, 2.0], points=40, probes=60)
    np.testing.assert_allclose(store["radius"], [1.5, 6.0])
    np.testing.assert_allclose(store["radius_factor"], [0.5, 2.0])
    # x^T H x / 2 at random x of length r has the mean r^2 tr H / (2 D).
    np.testing.assert_allclose(store["loss"].mean("point"), [1.5**2 * 0.1, 6.0**2 * 0.1], rtol=0.5)
    np.testing.assert_allclose(store["loss"][1] / store["loss"][0], 16, rtol=1e-4)  # the same directions
    assert np.isnan(store["accuracy"]).all()
    mean, error = float(store["trace"].mean()), float(store["trace_error"].mean()) / np.sqrt(80)
    assert abs(mean - 20) < 5 * error
    np.testing.assert_allclose(store["frobenius"].mean(), 10, rtol=0.02)
    np.testing.assert_allclose(store["trace_over_norm"], store["trace"] / store["frobenius"])
    share = 0.921  # P(z^T H z > 0), about that of a Gaussian of mean 20 and variance 200
    assert float(store["positive"].mean()) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("eigenvalues", "share"), [(np.full(9, 2.0), 1.0), (np.full(9, -2.0), 0.0), (np.zeros(9), 0.0)]
)
def test_the_sign_of_the_curvature(quadratic, eigenvalues, share):
    store = measure(quadratic(eigenvalues), 1.0, [1.0], points=2, probes=5)
    np.testing.assert_array_equal(store["positive"], np.full((1, 2), share))
    assert bool(np.isnan(store["trace_over_norm"]).all()) == (not eigenvalues.any())


def test_a_network_at_random_points(mlp):
    store = measure(mlp, 2.0, [0.5, 1.0, 1e3], points=3, probes=40)
    assert store["loss"].dims == ("radius", "point")
    assert all(store[name].attrs["description"] for name in store.variables if name != "point")
    again = measure(mlp, 2.0, [1.0], points=2, probes=40)
    np.testing.assert_allclose(again["loss"][0], store["loss"][1, :2], rtol=1e-5)
    where = torch.nn.functional.normalize(torch.ones(1, mlp.dim))  # not one of them
    assert not np.isclose(float(mlp.losses(2 * where)), store["loss"][1]).any()
    small = store.isel(radius=0)
    assert np.abs(small["loss"] - np.log(3)).max() < 0.1  # nothing is told apart there
    assert (store["loss"][2] > 10).all()


def test_moments_are_those_of_the_dense_hessian(mlp):
    store = measure(mlp, 3.0, [1.0], points=2, probes=250)
    for column, way in enumerate(random_directions(2, mlp.dim, "random points")):
        matrix = mlp.hvp(3.0 * way, torch.eye(mlp.dim)).double()
        error = float(store["trace_error"][0, column])
        assert abs(float(store["trace"][0, column]) - float(matrix.trace())) < 4 * error
        assert float(store["frobenius"][0, column]) == pytest.approx(float(matrix.norm()), rel=0.1)
