"""Eigenpairs of the Hessian, against quadratics and dense Hessians."""

import numpy as np
import pytest
import torch

from wedgescape.curvature import hessian_eigenpairs


def dense_hessian(landscape, point):
    """The whole Hessian, one unit vector at a time through autograd of the full gradient."""
    return landscape.hvp(point, torch.eye(len(point), dtype=point.dtype)).double().numpy()


@pytest.mark.parametrize("krylov", [30, 500])  # Lanczos, and the dense way out
def test_both_ends_of_a_known_spectrum(quadratic, krylov):
    spectrum = np.concatenate([[-3.0, -1.0], np.linspace(0.05, 1.0, 96), [5.0, 5.5]])
    landscape = quadratic(spectrum)
    found = hessian_eigenpairs(landscape, torch.zeros(100, dtype=torch.float64), top=3, bottom=3, krylov=krylov)
    np.testing.assert_allclose(found.top, [5.5, 5.0, 1.0], rtol=1e-4)
    np.testing.assert_allclose(found.bottom, [-3.0, -1.0, 0.05], rtol=1e-4)
    ways = torch.cat([found.top_vectors, found.bottom_vectors])
    torch.testing.assert_close(ways @ ways.T, torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)
    assert float(found.top_residuals.max()) < 1e-3


def test_a_repeated_eigenvalue_is_neither_skipped_nor_multiplied(quadratic):
    landscape = quadratic([2.0, 2.0, *np.linspace(0.0, 1.0, 98)])
    found = hessian_eigenpairs(landscape, torch.zeros(100, dtype=torch.float64), top=4, bottom=0)
    np.testing.assert_allclose(found.top, [2.0, 2.0, 1.0, 1.0 - 1 / 97], rtol=1e-4)


def test_a_network_against_its_dense_hessian(mlp, points):
    point = 0.3 * points(1, mlp.dim)[0]
    matrix = dense_hessian(mlp, point)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    expected = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    found = hessian_eigenpairs(mlp, point, top=5, bottom=2, krylov=40)
    np.testing.assert_allclose(found.top, expected[::-1][:5], rtol=1e-4)
    np.testing.assert_allclose(found.bottom, expected[:2], rtol=1e-3)
    for value, way, residual in zip(found.top, found.top_vectors, found.top_residuals, strict=True):
        left = np.linalg.norm(matrix @ way.numpy() - float(value) * way.numpy())
        assert left == pytest.approx(float(residual), abs=1e-4)


def test_too_many_eigenpairs_and_broken_points_are_refused(quadratic):
    landscape = quadratic([1.0, 2.0])
    with pytest.raises(ValueError, match="allowed: 1 to 2"):
        hessian_eigenpairs(landscape, torch.zeros(2, dtype=torch.float64), top=2, bottom=1)
    with pytest.raises(ValueError, match="not finite"):
        hessian_eigenpairs(landscape, torch.full((2,), torch.nan, dtype=torch.float64), top=1, bottom=0)
