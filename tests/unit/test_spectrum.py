"""Moments, densities and counts of eigenvalues, against spectra that are known."""

import numpy as np
import pytest
import torch

from wedgescape.landscapes.spans import gaussian, random_directions
from wedgescape.measurements.spectrum import GRID, Settings, at_random_points, measure, spectra_at
from wedgescape.numerics.eigenpairs import Eigenpairs, hessian_eigenpairs
from wedgescape.numerics.lanczos import density, directions_above, gaps, hessian_moments, lanczos, resolution, spectrum
from wedgescape.training.optima import Optima

DIM = 120
SPECTRUM = np.concatenate(
    [[-0.5, -0.2], np.linspace(0.0, 0.3, 108), [2.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]]
)
ZERO = torch.zeros(DIM, dtype=torch.float64)


def pairs_of(landscape, top):
    if top:
        return hessian_eigenpairs(landscape, ZERO, top, 0, krylov=40)
    nothing = torch.zeros(0, dtype=torch.float64)
    vectors = torch.zeros(0, DIM, dtype=torch.float64)
    return Eigenpairs(nothing, vectors, nothing, nothing, vectors, nothing)


def probes(count, key=0, dim=DIM):
    return gaussian(count, dim, "test spectra", key).double()


@pytest.mark.parametrize("top", [0, 4, 10])
def test_moments_lie_within_their_errors_as_often_as_they_should(quadratic, top):
    landscape, misses = quadratic(SPECTRUM), []
    pairs = pairs_of(landscape, top)
    trace, frobenius = SPECTRUM.sum(), np.sqrt((SPECTRUM**2).sum())
    for key in range(100):
        found = hessian_moments(landscape, ZERO, probes(24, key), pairs)
        misses.append(
            [(found.trace - trace) / found.trace_error, (found.frobenius - frobenius) / found.frobenius_error]
        )
    misses = np.array(misses)
    assert np.abs(misses).max() < 6
    assert (misses.std(0) > 0.6).all()
    assert (misses.std(0) < 1.5).all()
    assert (np.abs(misses.mean(0)) < 0.5).all()  # the root of a mean is a little biased


NOTHING_KNOWN = torch.zeros(0, DIM, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 5, 30])
def test_gauss_weights_reproduce_the_moments_of_their_probe(steps):
    eigenvalues = torch.from_numpy(SPECTRUM)
    starts = torch.nn.functional.normalize(probes(3))
    for start, (values, weights) in zip(
        starts.numpy(), lanczos(lambda vectors: eigenvalues * vectors, starts, steps, NOTHING_KNOWN), strict=True
    ):
        assert len(values) == steps
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        for power in range(min(2 * steps, 12)):
            assert weights @ values**power == pytest.approx(start**2 @ SPECTRUM**power, rel=1e-9)


def test_lanczos_ends_where_the_krylov_space_does_and_makes_no_ghosts():
    spectrum = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64).repeat_interleave(40)
    start = torch.full((1, DIM), DIM**-0.5, dtype=torch.float64)
    [(values, weights)] = lanczos(lambda vectors: spectrum * vectors, start, 60, NOTHING_KNOWN)
    np.testing.assert_allclose(values, [1, 2, 5])
    np.testing.assert_allclose(weights, [1 / 3] * 3)
    spread = torch.linspace(1, 2, DIM, dtype=torch.float64) ** 8
    [(values, _weights)] = lanczos(lambda vectors: spread * vectors, start, DIM, NOTHING_KNOWN)
    np.testing.assert_allclose(values, spread, rtol=1e-9)  # all of them, each once
    assert lanczos(lambda vectors: 0 * vectors, start, 9, NOTHING_KNOWN)[0][0].tolist() == [0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probes_advance_together_and_each_as_if_alone(quadratic, dtype):
    landscape, sizes = quadratic(SPECTRUM, dtype=dtype), []
    starts = torch.nn.functional.normalize(probes(4).to(dtype))
    starts[1] = torch.linalg.eigh(landscape.hessian)[1][:, -1]  # ends after one step, or two by rounding
    known = starts[:0]

    def products(vectors):  # one by one, so that the operator is the same for any number of vectors
        sizes.append(len(vectors))
        return torch.stack([landscape.hessian @ vector for vector in vectors])

    together = lanczos(products, starts, 12, known)
    assert len(sizes) == 12
    assert sizes[0] == 4
    for start, (values, weights) in zip(starts, together, strict=True):
        [(alone, masses)] = lanczos(products, start[None], 12, known)
        np.testing.assert_array_equal(values, alone)
        np.testing.assert_array_equal(weights, masses)
    assert [len(values) for values, _weights in together][::2] == [12, 12]
    if dtype == torch.float64:
        assert len(together[1][0]) == 1


def test_bases_that_do_not_fit_into_memory_together_change_nothing(quadratic, monkeypatch):
    landscape = quadratic(SPECTRUM)
    wanted = spectrum(landscape, ZERO, probes(5), 12, pairs_of(landscape, 4))
    monkeypatch.setattr("wedgescape.numerics.lanczos.BASES_IN_MEMORY", 2 * 12 * DIM * 8)
    found = spectrum(landscape, ZERO, probes(5), 12, pairs_of(landscape, 4))
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.masses, wanted.masses, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("top", [0, 10])
def test_density_integrates_to_one_and_has_the_moments_of_the_spectrum(quadratic, top):
    landscape = quadratic(SPECTRUM)
    found = spectrum(landscape, ZERO, probes(40), 30, pairs_of(landscape, top))
    grid, width = np.linspace(-2, 11, 4001), 0.05
    seen = density(found, grid, width)
    step = grid[1] - grid[0]
    assert seen.sum() * step == pytest.approx(1, abs=1e-6)
    noise = 0.15 if top == 0 else 0.02
    assert (seen * grid).sum() * step == pytest.approx(SPECTRUM.mean(), rel=noise)
    assert (seen * grid**2).sum() * step - width**2 == pytest.approx((SPECTRUM**2).mean(), rel=2 * noise)
    assert (seen >= 0).all()


def test_short_directions_are_counted_exactly_where_the_spectrum_has_a_gap(quadratic):
    landscape = quadratic(SPECTRUM)
    found = spectrum(landscape, ZERO, probes(4), 20, pairs_of(landscape, 12))
    counts, errors = directions_above(found, [1.0, 4.5, 9.5, -10.0])
    np.testing.assert_allclose(counts, [10, 5, 0, DIM], rtol=1e-12)
    np.testing.assert_allclose(errors, 0, atol=1e-12)


@pytest.mark.parametrize("top", [0, 4])
@pytest.mark.parametrize("steps", [3, 8, 20])
def test_quadrature_says_between_which_numbers_the_truth_must_lie(quadratic, steps, top):
    """For each probe's own measure the bounds hold exactly, however few the steps."""
    landscape, thresholds = quadratic(SPECTRUM), np.linspace(-1, 10, 230) + 1e-7
    known = pairs_of(landscape, top)
    drawn = probes(5)
    found = spectrum(landscape, ZERO, drawn, steps, known)
    low, high = resolution(found, thresholds)
    parts = drawn.numpy() @ landscape.eigenvectors.numpy()  # along each eigenvector
    parts[:, DIM - top :] = 0
    masses = (parts**2 / (parts**2).sum(1, keepdims=True)).mean(0) * (DIM - top)
    truth = np.array([masses[t < SPECTRUM].sum() + (SPECTRUM[DIM - top :] > t).sum() for t in thresholds])
    assert (low <= truth + 1e-6).all()
    assert (truth <= high + 1e-6).all()
    counts, _errors = directions_above(found, thresholds)
    assert (low <= counts + 1e-9).all()
    assert (counts <= high + 1e-9).all()


def test_more_steps_resolve_more_and_nothing_is_resolved_inside_a_cluster(quadratic):
    landscape, thresholds = quadratic(SPECTRUM), np.array([0.15, 1.0])
    widths = []
    for steps in (5, 15, 40):
        low, high = resolution(spectrum(landscape, ZERO, probes(5), steps, pairs_of(landscape, 0)), thresholds)
        widths.append(high - low)
    assert (np.diff(np.array(widths)[:, 0]) < 0).all()
    assert widths[-1][0] > 1  # in the middle of a hundred eigenvalues that lie close together
    assert widths[-1][1] < 4  # in the gap between 0.3 and 2, but for the eigenvalues next to it: 2 is a double one
    exact = resolution(spectrum(landscape, ZERO, probes(5), 5, pairs_of(landscape, 4)), [7.5])
    assert [float(one[0]) for one in exact] == [2, 2]  # two of the four that are known


def test_gaps_are_the_distances_of_ritz_values():
    from wedgescape.numerics.lanczos import Spectrum

    values = np.array([[0.0, 1.0, 3.0], [0.0, 2.0, np.nan]])
    found = Spectrum(np.array([9.0]), values, np.full((2, 3), 1 / 3), 10)
    assert gaps(found, np.array([-1.0, 0.5, 1.5, 2.5, 5.0])).tolist() == [0, 1.5, 2, 1, 0]


def test_counts_lie_within_their_errors(quadratic):
    landscape, misses = quadratic(SPECTRUM), []
    for key in range(24):
        found = spectrum(landscape, ZERO, probes(16, key), 16, pairs_of(landscape, 0))
        counts, errors = directions_above(found, [1.0])
        misses.append((counts[0] - 10) / errors[0])
    assert 0.5 < np.std(misses) < 1.6
    assert abs(np.mean(misses)) < 0.7


def test_a_network_is_measured_as_its_dense_hessian_says(mlp, points):
    optima = torch.stack([0.3 * points(1, mlp.dim)[0], 0.4 * points(1, mlp.dim, 1)[0]])
    settings = Settings(top=6, samples=8, steps=40, short_eigenvalue=0.02)
    store = spectra_at(Optima.of(mlp, optima, [3, 7]), settings)
    assert dict(store.sizes) == {
        "seed": 2, "rank": 6, "probe": 8, "step": 40, "grid": GRID, "threshold": len(store["threshold"]),
    }  # fmt: skip
    assert all(store[name].attrs["description"] for name in store.variables if name not in ("seed", "rank"))
    step = float(store["grid"][1] - store["grid"][0])
    np.testing.assert_allclose(store["density"].sum("grid") * step, 1, atol=1e-3)
    np.testing.assert_allclose(store["ritz_mass"].sum("step"), (mlp.dim - 6) / mlp.dim)
    for k, optimum in enumerate(optima):
        matrix = mlp.hvp(optimum, torch.eye(mlp.dim)).double().numpy()
        wanted = np.linalg.eigvalsh((matrix + matrix.T) / 2)
        np.testing.assert_allclose(store["eigenvalue"][k], wanted[::-1][:6], rtol=1e-4)
        error = float(store["short_directions_error"][k])
        assert float(store["short_directions"][k]) == pytest.approx((wanted > 0.02).sum(), abs=4 * error + 0.5)
        assert float(store["short_fraction"][k]) == pytest.approx(float(store["short_directions"][k]) / mlp.dim)
        assert store["directions_above"][k].diff("threshold").max() <= 0
    for name in ("directions_above", "short_directions"):
        assert (store[f"{name}_low"] <= store[name] + 1e-9).all()
        assert (store[name] <= store[f"{name}_high"] + 1e-9).all()
    assert store["ritz_gap"].dims == ("seed", "grid")


def test_all_of_a_small_space_may_be_known(quadratic):
    landscape = quadratic([1.0, 2.0, 3.0])
    settings = Settings(top=9, samples=2, steps=5, short_eigenvalue=1.5)
    store = spectra_at(Optima.of(landscape, torch.ones(1, 3, dtype=torch.float64)), settings)
    np.testing.assert_allclose(store["eigenvalue"][0], [3, 2, 1])
    assert float(store["short_directions"][0]) == 2
    assert float(store["ritz_mass"].sum()) == 0


def test_a_store_has_the_spectrum_and_random_points_and_flags(mlp, points, weights):
    flags = [True, False, False, False]
    starts = torch.from_numpy(weights["theta_init"].values)
    optima = Optima.of(mlp, torch.from_numpy(weights["theta"].values), starts=starts, diverged=flags)
    settings = Settings(seeds=2, top=3, samples=2, steps=6, radii=[1.0], points=2, probes=2)
    store = measure(optima, settings)
    assert list(store) == ["density", "radii"]
    assert store["density"]["seed"].values.tolist() == [0, 1, 2]  # the one that diverged, and two that did not
    assert np.isnan(store["density"]["eigenvalue"][0]).all()
    assert np.isfinite(store["density"]["eigenvalue"][1:]).all()
    for part in store.values():
        assert bool(part["diverged"].sel(seed=0))
        assert not part["diverged"].sel(seed=[1, 2]).any()
    norm = float(starts[1:].norm(dim=1).mean())  # of initialisations whose runs did not diverge
    assert store["radii"].attrs["initial_norm"] == pytest.approx(norm)


# Random points: a quadratic, whose answers are known, and a network against its dense Hessian

EIGENVALUES = np.concatenate([np.full(60, 1.0), np.full(40, -1.0)])


def test_a_quadratic_looks_alike_at_every_radius(quadratic):
    store = at_random_points(quadratic(EIGENVALUES), 3.0, Settings(radii=[0.5, 2.0], points=40, probes=60))
    np.testing.assert_allclose(store["radius"], [1.5, 6.0])
    np.testing.assert_allclose(store["radius_factor"], [0.5, 2.0])
    # x^T H x / 2 at random x of length r has the mean r^2 tr H / (2 D).
    np.testing.assert_allclose(store["loss"].mean("point"), [1.5**2 * 0.1, 6.0**2 * 0.1], rtol=0.5)
    np.testing.assert_allclose(store["loss"][1] / store["loss"][0], 16, rtol=1e-4)  # the same directions
    assert np.isnan(store["score"]).all()
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
    store = at_random_points(quadratic(eigenvalues), 1.0, Settings(radii=[1.0], points=2, probes=5))
    np.testing.assert_array_equal(store["positive"], np.full((1, 2), share))
    assert bool(np.isnan(store["trace_over_norm"]).all()) == (not eigenvalues.any())


def test_a_network_at_random_points(mlp):
    store = at_random_points(mlp, 2.0, Settings(radii=[0.5, 1.0, 1e3], points=3, probes=40))
    assert store["loss"].dims == ("radius", "point")
    assert all(store[name].attrs["description"] for name in store.variables if name != "point")
    again = at_random_points(mlp, 2.0, Settings(radii=[1.0], points=2, probes=40))
    np.testing.assert_allclose(again["loss"][0], store["loss"][1, :2], rtol=1e-5)
    where = torch.nn.functional.normalize(torch.ones(1, mlp.dim))  # not one of them
    assert not np.isclose(float(mlp.losses(2 * where)), store["loss"][1]).any()
    small = store.isel(radius=0)
    assert np.abs(small["loss"] - np.log(3)).max() < 0.1  # nothing is told apart there
    assert (store["loss"][2] > 10).all()


def test_moments_are_those_of_the_dense_hessian(mlp, monkeypatch):
    """By probes, as where the trace is not known."""
    monkeypatch.setattr(mlp, "hessian_trace", lambda point: None)
    store = at_random_points(mlp, 3.0, Settings(radii=[1.0], points=2, probes=250))
    for column, way in enumerate(random_directions(2, mlp.dim, "random points")):
        matrix = mlp.hvp(3.0 * way, torch.eye(mlp.dim)).double()
        error = float(store["trace_error"][0, column])
        assert error > 0
        assert abs(float(store["trace"][0, column]) - float(matrix.trace())) < 4 * error
        assert float(store["frobenius"][0, column]) == pytest.approx(float(matrix.norm()), rel=0.1)


def gauss_newton_trace(landscape, point):
    """Trace of the mean over examples of J^T (diag p - p p^T) J, with the Jacobian J of the logits."""
    images, _labels = landscape.splits["train"]

    def logits(weights):
        parameters = dict(zip(landscape.names, (part[0] for part in landscape._unpack(weights[None])), strict=True))
        return torch.func.functional_call(landscape.module, parameters, (images,))

    jacobian = torch.func.jacrev(logits)(point).double()  # (N, C, P)
    p = logits(point).double().softmax(1)
    squares = (p[:, :, None] * jacobian**2).sum((1, 2)) - (p[:, :, None] * jacobian).sum(1).square().sum(1)
    return float(squares.mean())


@pytest.mark.parametrize("radius", [1.0, 4.0, 12.0])
def test_the_trace_of_a_network_of_relus_is_that_of_its_gauss_newton_part(mlp, radius):
    """Logits are linear in each weight alone, so that the rest of the Hessian has an empty diagonal."""
    settings = Settings(radii=[1.0], points=2, probes=400)
    store = at_random_points(mlp, radius, settings)
    assert (store["trace_error"] == 0).all()
    for column, way in enumerate(random_directions(2, mlp.dim, "random points")):
        wanted = gauss_newton_trace(mlp, radius * way)
        dense = float(mlp.hvp(radius * way, torch.eye(mlp.dim)).double().trace())
        assert dense == pytest.approx(wanted, rel=1e-4, abs=1e-6)
        assert wanted >= 0
        assert float(store["trace"][0, column]) == pytest.approx(wanted, rel=1e-4, abs=1e-6)
