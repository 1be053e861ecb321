"""Eigenpairs of the Hessian, against quadratics and dense Hessians."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh

from benchmarks.problems import on_digits
from wedgescape.landscapes.operations import Product, hessian
from wedgescape.numerics import eigenpairs
from wedgescape.numerics.eigenpairs import hessian_eigenpairs


def dense_hessian(landscape, point):
    """The whole Hessian by nothing of ours: the documented module's loss, differentiated twice in float64."""
    images, labels = landscape.splits["train"]
    module = landscape.module.double()
    try:
        names, shapes = zip(*((name, part.shape) for name, part in module.named_parameters()), strict=True)
        sizes = [shape.numel() for shape in shapes]

        def loss(flat):
            parts = [part.reshape(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
            logits = torch.func.functional_call(module, dict(zip(names, parts, strict=True)), (images.double(),))
            return torch.nn.functional.cross_entropy(logits, labels)

        return torch.autograd.functional.hessian(loss, point.double()).numpy()
    finally:
        module.float()


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


HARD = {
    "repeated": [-2.0, -2.0, *np.linspace(0.01, 1.0, 194), 2.0, 2.0, 2.0, 3.0],
    "zeros within what is asked for": [-3.0, -1.0, *np.zeros(20), *np.linspace(0.05, 1.0, 176), 5.0, 5.5],
    "positive semidefinite": [*np.zeros(100), *np.linspace(0.05, 1.0, 100)],
    "of rank 2": [*np.zeros(198), 2.0, 3.0],
    "zero": np.zeros(200),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("top", "bottom"), [(4, 3), (1, 3), (4, 0), (0, 3)])
@pytest.mark.parametrize("spectrum", HARD.values(), ids=HARD.keys())
def test_lanczos_neither_skips_nor_multiplies_an_eigenvalue(quadratic, spectrum, top, bottom, dtype):
    landscape, products = quadratic(spectrum, dtype=dtype), []
    multiply = landscape.hvp
    landscape.hvp = lambda point, vectors: products.append(len(vectors)) or multiply(point, vectors)
    found = hessian_eigenpairs(landscape, torch.zeros(200, dtype=dtype), top, bottom, krylov=100)
    scale = max(np.abs(spectrum).max(), 1e-9)
    np.testing.assert_allclose(found.top, np.sort(spectrum)[::-1][:top], atol=1e-5 * scale)
    np.testing.assert_allclose(found.bottom, np.sort(spectrum)[:bottom], atol=1e-5 * scale)
    assert max([*found.top_residuals, *found.bottom_residuals]) < 1e-4 * scale
    ways = torch.cat([found.top_vectors, found.bottom_vectors])
    torch.testing.assert_close(ways @ ways.T, torch.eye(top + bottom, dtype=torch.float64), atol=1e-6, rtol=0)
    assert sum(products) < 200  # less than the dense Hessian would take


def test_a_network_against_its_dense_hessian(mlp, points):
    point = 0.3 * points(1, mlp.dim)[0]
    matrix = dense_hessian(mlp, point)
    expected = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    found = hessian_eigenpairs(mlp, point, top=5, bottom=2, krylov=40)
    np.testing.assert_allclose(found.top, expected[::-1][:5], rtol=1e-4)
    np.testing.assert_allclose(found.bottom, expected[:2], rtol=1e-4)
    for value, way, residual in zip(found.top, found.top_vectors, found.top_residuals, strict=True):
        left = np.linalg.norm(matrix @ way.numpy() - float(value) * way.numpy())
        assert left == pytest.approx(float(residual), abs=1e-4)


@pytest.fixture(scope="module")
def trained():
    """A network after 30 epochs on the digits."""
    problem = on_digits({"name": "mlp", "width": 16, "depth": 2})
    return problem.landscape, problem.trained([0], 30)[0]


def products_of(landscape, point, monkeypatch, **asked):
    """Eigenpairs, and how many products they took."""
    hessian, taken = landscape.hessian_at(point), []
    monkeypatch.setattr(landscape, "hessian_at", lambda _: lambda rows: taken.append(len(rows)) or hessian(rows))
    return hessian_eigenpairs(landscape, point, **asked), sum(taken)


@pytest.mark.parametrize(("top", "bottom"), [(3, 0), (10, 0), (20, 0), (1, 1), (3, 3), (20, 10)])
def test_the_plan_counts_the_products_that_an_optimum_takes(trained, top, bottom, monkeypatch):
    _, taken = products_of(*trained, monkeypatch, top=top, bottom=bottom)
    case = SimpleNamespace(parameters=len(trained[1]), model="")
    assert hessian(case, top, bottom)[Product("")] == pytest.approx(taken, rel=0.4)


def test_a_looser_tolerance_takes_fewer_products_and_is_kept(trained, monkeypatch):
    """ARPACK of the same Hessian says which eigenvalues there are."""
    landscape, point = trained
    exact = eigsh(landscape.hessian_operator(point), 10, which="LA", tol=1e-9)[0][::-1]
    few, many = (products_of(*trained, monkeypatch, top=10, bottom=0, tolerance=one) for one in (1e-2, 1e-6))
    assert few[1] < many[1]
    for (found, _), tolerance in ((few, 1e-2), (many, 1e-6)):
        assert float(found.top_residuals.max()) < 3 * tolerance * exact[0]
        np.testing.assert_allclose(found.top, exact, atol=3 * tolerance * exact[0])


def test_what_cannot_be_reached_is_an_error(quadratic, monkeypatch):
    """A crowded spectrum, and one restart."""
    monkeypatch.setattr(eigenpairs, "PRODUCTS", 1)
    landscape = quadratic(np.linspace(-1.0, 1.0, 400))
    with pytest.raises(RuntimeError, match=r"residuals of .* after 20 products"):
        hessian_eigenpairs(landscape, torch.zeros(400, dtype=torch.float64), 5, 0, krylov=20, tolerance=1e-12)


def test_what_is_taken_after_all_products_is_the_best_of_its_space(quadratic, monkeypatch):
    """The products end where the basis is full, which is where it would restart."""
    monkeypatch.setattr(eigenpairs, "PRODUCTS", 1)
    monkeypatch.setattr(eigenpairs, "LOOSEST", 1.0)
    spectrum = torch.linspace(-1, 1, 400, dtype=torch.float64)
    landscape, point = quadratic(spectrum.numpy()), torch.zeros(400, dtype=torch.float64)
    for krylov in (20, 30):
        found = hessian_eigenpairs(landscape, point, 3, 0, krylov=krylov, tolerance=1e-14)
        assert float(found.top[-1]) > 0.8
        moved = landscape.hvp(point, found.top_vectors)
        left = (moved - found.top[:, None] * found.top_vectors).norm(dim=1)
        torch.testing.assert_close(left, found.top_residuals)


def test_a_basis_larger_than_memory_restarts_more_often(quadratic, monkeypatch):
    spectrum = np.concatenate([[-3.0, -1.0], np.linspace(0.05, 1.0, 296), [5.0, 5.5]])
    landscape, point = quadratic(spectrum), torch.zeros(300, dtype=torch.float64)
    at_ease = hessian_eigenpairs(landscape, point, 3, 2)
    monkeypatch.setattr(eigenpairs, "BASIS_BYTES", 25 * 300 * 16)
    cramped = hessian_eigenpairs(landscape, point, 3, 2)
    for name in ("top", "bottom"):
        torch.testing.assert_close(getattr(cramped, name), getattr(at_ease, name), rtol=1e-6, atol=1e-6)


def test_too_many_eigenpairs_and_broken_points_are_refused(quadratic):
    landscape = quadratic([1.0, 2.0])
    with pytest.raises(ValueError, match="allowed: 1 to 2"):
        hessian_eigenpairs(landscape, torch.zeros(2, dtype=torch.float64), top=2, bottom=1)
    with pytest.raises(ValueError, match="not finite"):
        hessian_eigenpairs(landscape, torch.full((2,), torch.nan, dtype=torch.float64), top=1, bottom=0)
