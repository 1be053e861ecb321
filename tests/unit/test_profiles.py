"""Profiles and lengths of directions, where both are known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from wedgescape.analysis.claims import profile_claims
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.lines import barrier
from wedgescape.landscapes.models import filter_normalised, layout
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import profiles
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import write_store

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
    assert not store["open_loss"].any()


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


def test_filter_normalised_directions_of_convolutions_are_scaled_kernel_by_kernel(network, points):
    landscape = network({"name": "simple_cnn", "width": 2})
    point = points(1, landscape.dim)[0]
    scaled = filter_normalised(points(1, landscape.dim, seed=1), point, layout(landscape.module))[0]
    kernels = [entry for entry in layout(landscape.module) if len(entry["shape"]) == 4]
    assert len(kernels) == 3
    for entry in kernels:
        part = slice(entry["offset"], entry["offset"] + int(np.prod(entry["shape"])))
        ours, theirs = (vector[part].reshape(entry["shape"]).flatten(1).norm(dim=1) for vector in (scaled, point))
        torch.testing.assert_close(ours, theirs)


class Line(Landscape):
    """A loss of the first coordinate alone."""

    def __init__(self, loss):
        self.loss, self.dim, self.dtype = loss, 2, torch.float64

    def losses(self, points, split="train"):
        return self.loss(points[:, 0])


TURN = math.acos(1 / (4 * math.pi))


@pytest.mark.parametrize(
    ("loss", "rise", "height"),
    [
        (lambda x: (x - 1) ** 2, 0.0, 0.0),  # falls all the way, and below the chord
        (lambda x: (1 - x) + torch.sin(4 * torch.pi * x), 2 * math.sin(TURN) - TURN / (2 * math.pi), 1.0),  # bumpy
    ],
)
def test_rise_and_barrier_of_a_straight_line(loss, rise, height):
    """Of 1 - x + sin(4 pi x) the chord is 1 - x, so the barrier is 1. It turns where cos(4 pi x) = 1 / (4 pi)."""
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)
    starts, ends = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    values = profiles.interpolate(Line(loss), starts, ends, t)["loss"]
    torch.testing.assert_close(values[0], loss(t))
    assert profiles.largest_rise(values.numpy()) == pytest.approx(rise, abs=1e-3)
    assert barrier(values.numpy()) == pytest.approx(height, abs=1e-4)


def test_a_point_outside_by_its_own_threshold_goes_nowhere(quadratic):
    landscape = quadratic([1.0, 2.0], centre=3.0)
    store = profiles.measure(landscape, torch.ones(1, 2, dtype=torch.float64), [0], **SETTINGS | {"hessian_top": 1})
    assert not store["length_loss"].any()
    assert not store["open_loss"].any()


def a_store(lengths, opened=()):
    """A store with lengths by kind of direction (forwards, backwards), two seeds of the same."""
    names = list(lengths)
    table = np.array(list(lengths.values()))[:, None].repeat(2, 1)
    is_open = np.array([[name in opened] * 2 for name in names])[:, None].repeat(2, 1)
    variables = {
        "length_accuracy": (("direction", "seed", "sign"), table),
        "open_accuracy": (("direction", "seed", "sign"), is_open),
        "pair_barrier": (("pair", "split"), np.array([[0.2, 0.0], [0.4, 0.0]])),
        "init_rise": (("seed", "split"), np.array([[0.005, 0.5], [0.2, 0.5]])),
    }
    coordinates = {
        "direction": names, "kind": ("direction", [profiles.kind_of(name) for name in names]), "seed": [0, 1],
        "sign": [1, -1], "split": ["train", "test"],
    }  # fmt: skip
    return xr.Dataset(variables, coordinates, {"diverged": 1})


def test_kinds_are_averaged_over_logarithms_and_sides_kept_apart_where_they_differ():
    store = a_store({"random_1": (1.0, 4.0), "random_2": (2.0, 2.0), "radial": (8.0, 0.5)}, opened=["radial"])
    means = profiles.summarise(profiles.by_kind(store), 0.95, 100)
    assert means["name"].tolist() == ["radial, outwards", "random", "radial, inwards"]
    assert means["estimate"].tolist() == pytest.approx([8.0, 2.0, 0.5])
    assert means["open"].tolist() == [1.0, 0.0, 1.0]


def test_claims_of_profiles():
    store = a_store({"random_1": (1.0, 4.0), "random_2": (2.0, 2.0), "radial": (8.0, 0.5)})
    rules = SimpleNamespace(
        confidence=0.95, resamples=200, minimum_barrier=0.1, maximum_rise=0.01, minimum_fraction=0.5
    )
    rows = {row["id"]: row for row in profile_claims(store, rules)}
    assert rows["long_radial_outwards"]["estimate"] == pytest.approx(np.log(4.0))
    assert rows["long_radial_inwards"]["estimate"] == pytest.approx(-np.log(4.0))
    assert rows["linear_barrier"]["estimate"] == pytest.approx(0.3)
    assert rows["monotonic_interpolation"]["estimate"] == 0.5
    verdicts = [row["verdict"] for row in rows.values()]
    assert verdicts == ["supported", "contradicted", "supported", "undecided"]
    assert {row["diverged"] for row in rows.values()} == {1}


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
    write_store(store, tmp_path / "profiles.zarr.zip", Origin("test"))
    assert all(torch.equal(a, b) for a, b in zip(before, mlp.module.parameters(), strict=True))
    np.testing.assert_allclose(store["norm"], 1.0, atol=1e-5)
    middle = store.isel(step=store.sizes["step"] // 2)
    own = mlp.evaluate(optima)["loss"].numpy()
    assert (middle["loss"].sel(split="train").values == own).all()  # to the bit: a point is moved by nothing
    assert (middle["accuracy"].sel(split="test").values == mlp.evaluate(optima, "test")["accuracy"].numpy()).all()
    # The line to another optimum ends in its loss.
    np.testing.assert_allclose(store["pair_loss"].sel(split="train").isel(alpha=-1), np.roll(own, -1), atol=1e-6)
    table = profiles.tidy(store)
    assert set(table["quantity"]) == {"length_accuracy", "length_loss", "rise", "barrier"}
