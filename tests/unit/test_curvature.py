"""Curvature at small and large scale, gradient energy and correlations, against closed forms."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy import stats

from wedgescape.landscapes.networks import network_landscape
from wedgescape.measurements import curvature
from wedgescape.measurements.curvature import (
    STATISTICS,
    Settings,
    along_rays,
    claims,
    correlations,
    energy_in,
    gradient_energy,
    large_scale_curvature,
    measure,
    small_scale_curvature,
    statistics_of,
    tidy,
)
from wedgescape.measurements.tunnels import coarse_angles, ray_profile, rotate, tangents
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.randomness import stream
from wedgescape.training.optima import Optima

DOUBLE = torch.float64
SETTINGS = Settings(top=4, trace_samples=8, angle=20.0, directions=3, gradients=5)


def hilly(quadratic, dim=30):
    """A quadratic around a centre away from the origin, and two points."""
    landscape = quadratic(np.linspace(-1, 4, dim), centre=0.3)
    return landscape, torch.randn(2, dim, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)


@pytest.mark.parametrize("angle", [0.05, 0.5, math.pi / 2])
def test_large_scale_curvature_of_a_quadratic(quadratic, angle):
    landscape, optima = hilly(quadratic)
    ways = tangents(optima, 4, [0, 1])
    found = large_scale_curvature(landscape, optima, ways, angle)["loss"]
    matrix, centre = landscape.hessian, landscape.centre
    for k, theta in enumerate(optima):
        # Of x^T H x / 2 - c^T H x: the terms that are odd in the direction cancel, the linear one shrinks by 1 - cos.
        turn = math.cos(angle)
        radial = (turn**2 - 1) * (theta @ matrix @ theta) + 2 * (1 - turn) * (centre @ matrix @ theta)
        across = math.sin(angle) ** 2 * theta @ theta * ((ways[k] @ matrix) * ways[k]).sum(1)
        torch.testing.assert_close(found[k], (radial + across) / angle**2, rtol=1e-9, atol=1e-9)


def test_curvature_along_rays_to_one_side_is_that_to_both_on_average(quadratic):
    landscape, optima = hilly(quadratic, 12)
    # A basis of all tangents and their opposites stands for their mean.
    ways = [torch.linalg.qr(torch.cat([one[:, None], torch.eye(12, dtype=DOUBLE)], 1))[0].T[1:12] for one in optima]
    both = torch.stack([torch.cat([one, -one]) for one in ways])
    profile = ray_profile(landscape, optima, both)
    store = xr.Dataset(
        {"loss": (("seed", "direction", "angle"), profile.values["loss"])}, {"angle": coarse_angles().numpy()}
    )
    for degrees in (20.0, 30.0):
        wanted = large_scale_curvature(landscape, optima, torch.stack(ways), math.radians(degrees))["loss"].mean(1)
        found = along_rays(store, math.radians(degrees), "large_scale")
        np.testing.assert_allclose(10**found, wanted, rtol=1e-6)


def test_small_scale_curvature_is_the_limit_of_the_large_scale(quadratic):
    landscape, optima = hilly(quadratic, 12)
    for theta in optima:
        # A basis of all tangents stands for their mean.
        complete = torch.linalg.qr(torch.cat([theta[:, None], torch.eye(12, dtype=DOUBLE)], 1))[0].T[1:12]
        limit = large_scale_curvature(landscape, theta[None], complete[None], 1e-4)["loss"].mean()
        gradient = landscape.gradients(theta[None])[0]
        found = small_scale_curvature(landscape, theta, gradient, float(landscape.hessian.trace()))
        assert found == pytest.approx(float(limit), rel=1e-5)
        assert abs(found) > 0.1


def test_energy_is_the_share_within_the_span(points):
    vectors = torch.eye(5, dtype=DOUBLE)[:2]
    gradients = torch.tensor([[3.0, 0, 4, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 2], [0, 0, 0, 0, 0]])
    torch.testing.assert_close(
        energy_in(vectors, gradients), torch.tensor([9 / 25, 1, 0, math.nan], dtype=DOUBLE), equal_nan=True
    )
    random = energy_in(torch.eye(200, dtype=DOUBLE)[:30], points(400, 200))
    assert float(random.mean()) == pytest.approx(30 / 200, abs=0.005)


def test_gradient_energy_is_that_of_minibatches_drawn_by_seed(mlp, points):
    point = 0.5 * points(1, mlp.dim)[0]
    vectors = torch.linalg.qr(points(mlp.dim, 3, 1).double())[0].T
    found = gradient_energy(mlp, point, vectors, 7, 40, 16)
    images, labels = mlp.splits["train"]
    for number in (0, 33):  # of two batches of minibatches
        chosen = stream("gradient energy", 7, number).choice(mlp.examples, 16, replace=False)
        leaf = point.clone().requires_grad_()
        parts = [part[0] for part in mlp._unpack(leaf[None])]
        logits = torch.func.functional_call(mlp.module, dict(zip(mlp.names, parts, strict=True)), (images[chosen],))
        gradient = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels[chosen]), leaf)[0].double()
        wanted = float(((vectors @ gradient) ** 2).sum() / (gradient @ gradient))
        assert float(found[number]) == pytest.approx(wanted, rel=1e-4)
    assert found.std() > 0
    assert not torch.allclose(found, gradient_energy(mlp, point, vectors, 8, 40, 16))


@pytest.fixture(scope="module")
def measured(data, weights):
    """A store of the small network's optima, of which the second is flagged and the third not finite."""
    landscape = network_landscape(data, {"name": "mlp", "width": 8, "depth": 2}, "cpu")
    optima = torch.from_numpy(weights["theta"].values).clone()
    optima[2, 5] = math.nan
    flags = [False, True, False, False]
    store = measure(Optima.of(landscape, optima, diverged=flags, attributes=weights.attrs), SETTINGS)
    return landscape, optima, store


def test_a_store_of_networks(measured):
    landscape, optima, store = measured
    assert store["diverged"].values.tolist() == [False, True, True, False]
    for name, variable in store.data_vars.items():
        assert variable.dims[0] == "seed"
        assert variable.attrs["description"]
        if name not in ("diverged", "unfit"):
            assert np.isfinite(variable[[0, 3]]).all(), name
            assert np.isnan(variable[[1, 2]]).all(), name
    assert store.attrs["random_energy"] == 4 / landscape.dim
    for k in (0, 3):
        matrix = landscape.hvp(optima[k], torch.eye(landscape.dim)).double().numpy()
        wanted = np.linalg.eigvalsh((matrix + matrix.T) / 2)
        np.testing.assert_allclose(store["eigenvalue"][k], wanted[::-1][:4], rtol=1e-4)
        assert float(store["residual"][k].max()) < 1e-4
        assert float(store["trace"][k]) == pytest.approx(wanted.sum(), rel=1e-4)
        assert float(store["trace_error"][k]) == 0
        norm = np.linalg.norm(wanted)
        assert float(store["frobenius"][k]) == pytest.approx(norm, abs=4 * float(store["frobenius_error"][k]))
        # By hand: both sides of one ray, over the training split.
        ray = tangents(optima[k : k + 1], 2, [k])[:, 1]
        phi = math.radians(20)
        sides = [landscape.evaluate(rotate(optima[k : k + 1], ray, torch.tensor([turn]))) for turn in (phi, -phi)]
        rest = landscape.evaluate(optima[k : k + 1])
        for name, quantity, sign in (("large_scale", "loss", 1), ("large_scale_error", "score", -1)):
            bend = sign * float(sides[0][quantity] + sides[1][quantity] - 2 * rest[quantity]) / phi**2
            assert float(store[name][k, 1]) == pytest.approx(bend, rel=1e-3, abs=1e-3)
        assert float(store["train_loss"][k]) == pytest.approx(float(rest["loss"]))
        assert float(store["test_error"][k]) == pytest.approx(
            1 - float(landscape.evaluate(optima[k : k + 1], "test")["score"][0])
        )
        assert 0 < float(store["gradient_energy"][k]) <= 1


def test_a_seed_is_measured_alike_alone_and_among_others(measured, weights):
    landscape, optima, store = measured
    last = Optima.of(landscape, optima[3:], [3], attributes=weights.attrs)
    alone = measure(last, SETTINGS)
    for name in store.data_vars:
        np.testing.assert_allclose(alone[name][0], store[name][3], rtol=1e-4, atol=1e-7, err_msg=name)
    again = measure(last, SETTINGS)
    xr.testing.assert_identical(alone, again)


# Tables


def sweep(values, seeds=6, lost=()):
    """Stores of curvature and of tunnels: the top eigenvalue falls with the width, the trace knows nothing of it."""
    draw = np.random.default_rng(len(values))
    shape = (len(values), seeds)
    width = draw.uniform(0.3, 1.0, shape)
    diverged = np.zeros(shape, bool)
    for place in lost:
        diverged[place] = True
    dims = ("value", "seed")
    per_seed = {name: (dims, draw.uniform(0, 1, shape)) for name in curvature.VARIABLES}
    curved = xr.Dataset(
        per_seed
        | {
            "eigenvalue": ((*dims, "rank"), np.stack([np.exp(-5 * width), 0 * width], -1)),
            "residual": ((*dims, "rank"), np.zeros((*shape, 2))),
            "large_scale": ((*dims, "direction"), np.stack([width, 3 * width], -1)),
            "large_scale_error": ((*dims, "direction"), draw.uniform(0, 1, (*shape, 2))),
            "diverged": (dims, diverged),
        },
        {"value": list(values), "seed": range(seeds)},
        {"angle": math.radians(30), "random_energy": 0.001},
    )
    rays = np.stack([width - 0.1, width + 0.1], -1)
    tunnels = xr.Dataset(
        {"width_score": ((*dims, "direction"), rays), "diverged": (dims, diverged)},
        {"value": list(values), "seed": range(seeds)},
    )
    return curved, tunnels


def test_a_table_has_one_row_per_seed_and_averages_directions():
    curved, tunnels = sweep([0.1, 0.2, 0.4])
    table = tidy(curved, "learning_rate")
    assert list(table.columns) == ["sweep", "value", "seed", *STATISTICS, "fit"]
    assert table[["value", "seed"]].drop_duplicates().shape == (18, 2)
    width = tunnels["width_score"].mean("direction").values.ravel()
    np.testing.assert_allclose(table["large_scale"], 2 * width)
    np.testing.assert_allclose(table["top_eigenvalue"], np.exp(-5 * width))
    assert set(statistics_of(curved).data_vars) == {*STATISTICS, "diverged"}


def test_correlations_are_spearmans_within_sweeps_seed_by_seed():
    curved, tunnels = sweep([0.1, 0.2, 0.4, 0.8], lost=[(0, 1), (2, 4)])
    for place in ((0, 1), (2, 4)):
        curved["eigenvalue"][place] = 1e9  # would spoil it
    table = correlations({"lr": curved}, {"lr": tunnels}, Intervals())
    assert isinstance(table, pd.DataFrame)
    table = table[table["settings"] == "lr"].set_index("statistic")
    assert table.loc["top_eigenvalue", ["estimate", "low", "high"]].tolist() == pytest.approx([-1, -1, -1])
    assert table.loc["large_scale", "estimate"] == pytest.approx(1)
    assert set(table["count"]) == {6}
    width, rho = tunnels["width_score"].mean("direction").values, []
    for seed in range(6):
        kept = ~curved["diverged"].values[:, seed]
        rho.append(stats.spearmanr(curved["trace"].values[kept, seed], width[kept, seed]).statistic)
    assert table.loc["trace", "estimate"] == pytest.approx(np.mean(rho))


def test_correlations_take_the_seeds_that_both_have():
    curved, tunnels = sweep([1, 2, 3], seeds=5)
    table = correlations({"lr": curved.isel(seed=[0, 2, 4])}, {"lr": tunnels}, Intervals())
    assert set(table["count"]) == {3}
    assert table.set_index("statistic").loc["top_eigenvalue", "estimate"].tolist() == pytest.approx([-1, -1])


def test_large_scale_curvature_goes_by_rays_that_the_tunnel_does_not_have():
    curved, tunnels = sweep([0.1, 0.2, 0.4])
    width = tunnels["width_score"].mean("direction").values
    shared, own = np.stack([-width, -width], -1), width[..., None]  # two of the tunnel's, one of its own
    longer = curved.drop_dims("direction").assign(
        large_scale=(("value", "seed", "direction"), np.concatenate([shared, own], -1)),
        large_scale_error=(("value", "seed", "direction"), np.concatenate([shared, own], -1)),
    )
    table = correlations({"lr": longer}, {"lr": tunnels}, Intervals()).set_index("statistic")
    assert table.loc["large_scale", "estimate"].tolist() == pytest.approx([1, 1])


# Claims


def rising(decades, levels=(8, 16, 32), seeds=6):
    """Stores of curvature, and of rays whose loss rises with the angle squared, over a sweep."""
    draw, dims = np.random.default_rng(0), ("value", "seed", "direction")
    curvatures = 10 ** (decades * np.arange(len(levels)))[:, None] * 10 ** (
        0.02 * draw.standard_normal((len(levels), seeds))
    )
    angles = coarse_angles().numpy()
    loss = 0.5 * np.stack([curvatures] * 2, -1)[..., None] * angles**2
    flat = {name: (dims[:2], curvatures) for name in curvature.VARIABLES}
    curved = xr.Dataset(
        flat
        | {name: (dims, np.stack([curvatures] * 2, -1)) for name in ("large_scale", "large_scale_error")}
        | {"eigenvalue": ((*dims[:2], "rank"), curvatures[..., None]), "diverged": (dims[:2], curvatures < 0)},
        {"value": list(levels), "seed": range(seeds)},
        {"angle": math.radians(30)},
    )
    rays = xr.Dataset(
        {"loss": ((*dims, "angle"), loss), "score": ((*dims, "angle"), 1 - loss), "radius": (dims[:2], curvatures)}
        | {"diverged": (dims[:2], curvatures < 0)},
        {"value": list(levels), "seed": range(seeds), "angle": angles},
    )
    return curved, rays


def alone(rays, decades):
    """What more weights alone make of the curvature at the smallest width: decades at each of two larger ones."""
    base = rays.isel(value=0, drop=True)
    parts = []
    for down in decades:
        loss = base["loss"] * 10**down
        parts.append(xr.Dataset({"loss": loss, "score": 1 - loss}))
    store = xr.concat(parts, xr.Variable("width", [16, 32])).expand_dims(
        scaling=["as trained", "balanced layers"], control=["idle", "duplicated"]
    )
    return store.assign(diverged=base["diverged"])


def test_curvature_of_a_sweep_changes_by_decades():
    curved, rays = rising(-0.5)
    some = {"learning_rate": curved}, {"learning_rate": rays}, {}, {"learning_rate": rays}
    found = {claim.id: claim for claim in claims(*some, alone(rays, (0, 0)), {"width": 8}, Intervals())}
    assert set(found) == {"curvature_learning_rate", "roughness_learning_rate"}
    claim = found["curvature_learning_rate"]
    assert claim.estimate.estimate == pytest.approx(-1, abs=0.05)
    assert len(claim.specifications) == 6  # along rays at three angles, as trained and balanced
    assert claim.specifications["20°; balanced layers"].estimate == pytest.approx(-1, abs=0.05)
    curves = curved["large_scale_error"].mean("direction").values
    assert found["roughness_learning_rate"].estimate.estimate == pytest.approx((curves[2] - curves[0]).mean())


def test_curvature_of_wider_networks_is_compared_with_what_dimension_alone_makes():
    curved, rays = rising(-0.5)
    found = {
        claim.id: claim
        for claim in claims(
            {"width": curved},
            {"width": rays},
            {},
            {"width": rays},
            alone(rays, (-0.4, -0.8)),
            {"width": 8},
            Intervals(),
        )
    }
    claim = found["curvature_width"]
    assert claim.estimate.estimate == pytest.approx(-1 + 0.8, abs=0.05)
    assert claim.specification == "30°; as trained; against duplicated units"
    assert claim.specifications["30°; as trained; dimension not controlled"].estimate == pytest.approx(-1, abs=0.05)


def test_runs_that_are_no_optima_are_in_no_change():
    curved, rays = rising(-0.5)
    curved["diverged"][2, :2] = True
    rays["diverged"][2, :2] = True
    curved["large_scale"][2, :2] = 1e6
    some = {"learning_rate": curved}, {"learning_rate": rays}, {}, {"learning_rate": rays}
    claim = next(claims(*some, alone(rays, (0, 0)), {"width": 8}, Intervals()))
    assert (claim.estimate.units, claim.left_out) == (4, 2)
    assert claim.estimate.estimate == pytest.approx(-1, abs=0.05)
