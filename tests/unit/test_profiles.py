"""Profiles and lengths of directions, where both are known."""

import numpy as np
import pytest
import torch

from wedgescape import profiles
from wedgescape.models import filter_normalised, layout
from wedgescape.stores import write_store
from wedgescape.subspaces import unit
from wedgescape.wedges import WedgeLandscape

SETTINGS = {
    "random": 2, "hessian_top": 2, "hessian_bottom": 1, "components": 1, "reach": 4.0, "points": 12, "line_points": 9,
    "accuracy_fraction": 0.9, "loss_threshold": 0.5, "length_error": 0.01,
}  # fmt: skip


def test_a_profile_of_a_quadratic_is_its_parabola(quadratic):
    landscape = quadratic([1.0, 2.0, 8.0], centre=0.0)
    lengths = torch.linspace(-2, 2, 9, dtype=torch.float64)
    seen = profiles.profile(landscape, torch.zeros(3, dtype=torch.float64), landscape.eigenvectors.T, lengths)["loss"]
    for row, eigenvalue in zip(seen, [1.0, 2.0, 8.0], strict=True):
        torch.testing.assert_close(row, 0.5 * eigenvalue * lengths**2)


def test_lengths_along_hessian_directions_are_sqrt_of_two_tau_over_lambda(quadratic):
    """At the minimum of x^T H x / 2 shifted to norm 1, a ray along an eigenvector ends at sqrt(2 tau / lambda)."""
    landscape = quadratic([0.5, 2.0, 8.0, 32.0], centre=0.5)
    optimum = landscape.centre[None]
    store = profiles.measure(landscape, optima=optimum, seeds=[0], **{**SETTINGS, "hessian_bottom": 1})
    found = store["length_loss"].sel(direction="hessian_top_1").values[0]
    assert found == pytest.approx([np.sqrt(2 * 0.5 / 32.0)] * 2, rel=0.02)
    found = store["length_loss"].sel(direction="hessian_bottom_1").values[0]
    assert found == pytest.approx([np.sqrt(2 * 0.5 / 0.5)] * 2, rel=0.02)
    assert store["eigenvalue"].sel(end="top").values[0, :2].tolist() == pytest.approx([32.0, 8.0], rel=1e-4)
    assert not store["open_loss"].values[:, 0].all()


def test_long_directions_of_a_wedge_are_open_and_short_ones_end_at_the_threshold():
    landscape = WedgeLandscape(20, 4)
    optimum = landscape.optima(1, radius=1.0)
    store = profiles.measure(landscape, optimum, [0], **{**SETTINGS, "hessian_top": 0, "hessian_bottom": 0})
    # Radially, a point of a wedge through the origin never leaves it.
    assert store["open_loss"].sel(direction="radial").values.all()
    # Along a random unit vector u the loss is |t| ||u_S||.
    ways = profiles.random_directions(optimum, [0], 2, None)
    for name, way in ways.items():
        exact = 0.5 / float((way[0] * landscape.members[0]).norm())
        assert store["length_loss"].sel(direction=name).values[0] == pytest.approx([exact] * 2, rel=0.02)


def test_filter_normalised_directions_have_the_filters_norms(mlp, points):
    point, draws = points(1, mlp.dim)[0], points(3, mlp.dim, seed=1)
    scaled = filter_normalised(draws, point, layout(mlp.module))
    for entry in layout(mlp.module):
        size = int(np.prod(entry["shape"]))
        part = slice(entry["offset"], entry["offset"] + size)
        if len(entry["shape"]) < 2:
            assert not scaled[:, part].any()
            continue
        ours = scaled[:, part].reshape(3, entry["shape"][0], -1)
        torch.testing.assert_close(
            ours.norm(dim=2), point[part].reshape(entry["shape"][0], -1).norm(dim=1).expand(3, -1)
        )
        assert (
            float(torch.cosine_similarity(ours[0, 0], draws[0, part].reshape(entry["shape"][0], -1)[0], dim=0)) > 0.9999
        )


def test_largest_rise_tells_a_monotone_line_from_a_bumpy_one():
    falling, bumpy = np.linspace(3, 0, 7), np.array([3.0, 2.0, 2.5, 1.0, 1.75, 0.5, 0.0])
    assert profiles.largest_rise(np.stack([falling, bumpy])).tolist() == pytest.approx([0.0, 0.75])


def test_trajectory_components_of_a_known_path():
    path = torch.zeros(1, 6, 5)
    path[0, :, 1] = torch.arange(6.0)
    path[0, :, 3] = 0.01 * torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    found = profiles.trajectory_components(path, path[:, -1], 1)
    top = found["trajectory_top_1"][0]
    assert float(top[1]) == pytest.approx(1.0, abs=1e-3)  # it points to the side of the optimum
    assert float(found["trajectory_top_1"].norm()) == pytest.approx(1.0)


def test_a_network_s_store_is_complete_and_measuring_changes_nothing(mlp, weights, tmp_path):
    optima = torch.tensor(weights["theta"].values[:3])
    before = [parameter.clone() for parameter in mlp.module.parameters()]
    store = profiles.measure(
        mlp, optima, [0, 1, 2], **SETTINGS, layout=layout(mlp.module),
        starts=torch.tensor(weights["theta_init"].values[:3]),
        trajectories=torch.tensor(weights["trajectory"].values[:3]), centres=optima.mean(0).expand(3, -1),
    )  # fmt: skip
    write_store(store, tmp_path / "profiles.zarr.zip", "test")
    assert all(torch.equal(a, b) for a, b in zip(before, mlp.module.parameters(), strict=True))
    np.testing.assert_allclose(store["norm"], 1.0, atol=1e-5)
    middle = store.isel(step=store.sizes["step"] // 2)
    own = mlp.evaluate(optima)["loss"].numpy()
    np.testing.assert_allclose(
        middle["loss"].sel(split="train"), np.broadcast_to(own, middle["loss"].shape[:2]), atol=1e-6
    )
    # The line to another optimum ends in its loss.
    np.testing.assert_allclose(store["pair_loss"].sel(split="train").isel(alpha=-1), np.roll(own, -1), atol=1e-6)
    radial = unit(optima)
    assert float((radial * radial).sum()) == pytest.approx(3.0, rel=1e-5)
    table = profiles.tidy(store)
    assert set(table["quantity"]) == {"length_accuracy", "length_loss", "rise", "barrier"}
