"""Planes through three optima, against values in closed form and the network's own losses; their figures."""

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba

from drawings import check_looks, titled
from wedgescape.errors import InputError
from wedgescape.figures import planes as plot_planes
from wedgescape.figures import style
from wedgescape.figures import surroundings as plot_surroundings
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.models import layout
from wedgescape.measurements.planes import (
    Settings,
    locate,
    measure,
    plane_along,
    plane_around,
    plane_through,
    with_connector,
)
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.optima import Optima


class Judged(Landscape):
    """Gives a quadratic an accuracy, so that it can stand for a network."""

    def __init__(self, bowl):
        self.bowl, self.dim, self.dtype = bowl, bowl.dim, bowl.dtype

    def losses(self, points, split="train"):
        return self.evaluate(points, split)["loss"]

    def evaluate(self, points, split="train"):
        loss = self.bowl.losses(points) * (1 if split == "train" else 2)
        return {"loss": loss, "score": torch.exp(-loss)}


@pytest.fixture
def bowl(quadratic):
    return Judged(quadratic([0.1, 1.0, 2.0, 3.0, 0.5, 0.0], centre=0.3))


@pytest.fixture
def corners(points):
    return points(3, 6, dtype=torch.float64)


@pytest.fixture(scope="module")
def optima(weights):
    return torch.tensor(weights["theta"].values[:3])


@pytest.fixture
def plane(mlp, optima):
    return plane_through(mlp, optima, [0, 1, 2], resolution=6, margin=0.25, profile_points=5)


def points_of(store, alpha, beta):
    """The points of the full space that coordinates stand for, from what the store holds."""
    coordinates = torch.tensor(np.stack([alpha, beta], -1))
    return torch.tensor(store["origin"].values) + coordinates @ torch.tensor(store["axes"].values)


# Geometry


def test_axes_are_orthonormal(plane):
    np.testing.assert_allclose(plane["gram"], np.eye(2), atol=1e-5)
    axes = plane["axes"].values.astype(np.float64)
    np.testing.assert_allclose(plane["gram"], axes @ axes.T, atol=1e-12)


def test_coordinates_of_the_optima_are_where_they_lie(plane, optima):
    alpha, beta = plane["optimum_alpha"].values, plane["optimum_beta"].values
    torch.testing.assert_close(points_of(plane, alpha, beta), optima, rtol=1e-5, atol=1e-5)
    distances = torch.cdist(optima.double(), optima.double())
    flat = np.stack([alpha, beta], 1).astype(float)
    np.testing.assert_allclose(np.linalg.norm(flat[:, None] - flat, axis=-1), distances, rtol=1e-4, atol=1e-4)
    assert (alpha[0], beta[0]) == (0, 0)
    assert alpha[1] == pytest.approx(float(distances[0, 1]), rel=1e-5)
    assert abs(beta[1]) < 1e-5 * alpha[1]
    assert beta[2] > 0
    assert plane["optimum"].values.tolist() == [0, 1, 2]


@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_grid_reaches_beyond_the_triangle_by_the_margin(mlp, optima, margin):
    store = plane_through(mlp, optima, [0, 1, 2], resolution=4, margin=margin, profile_points=3)
    across = [store["optimum_alpha"].values, store["optimum_beta"].values]
    reach = margin * max(np.ptp(values) for values in across)
    for values, name in zip(across, ("alpha", "beta"), strict=True):
        wanted = np.linspace(values.min() - reach, values.max() + reach, 4)
        np.testing.assert_allclose(store[name], wanted, rtol=1e-4, atol=1e-4)


# Values


@pytest.mark.parametrize("split", ["train", "test"])
def test_grid_holds_the_networks_own_values_at_its_coordinates(mlp, plane, split):
    alpha, beta = np.meshgrid(plane["alpha"], plane["beta"], indexing="ij")
    values = mlp.evaluate(points_of(plane, alpha.ravel(), beta.ravel()), split)
    for name in ("loss", "score"):
        assert plane[name].dims == ("split", "alpha", "beta")
        found = plane[name].sel(split=split).values.ravel()
        tolerance = 1e-4 if name == "loss" else 0.02  # an example may lie on the border
        np.testing.assert_allclose(found, values[name], rtol=1e-4, atol=tolerance)
    assert np.ptp(plane["loss"].sel(split=split).values) > 0.1


@pytest.mark.parametrize("split", ["train", "test"])
def test_ends_of_the_lines_have_the_optimas_own_losses(mlp, plane, optima, split):
    own = mlp.evaluate(optima, split)
    for name in ("loss", "score"):
        lines = plane[f"profile_{name}"].sel(split=split)
        for pair, (first, last) in {"0-1": (0, 1), "0-2": (0, 2), "1-2": (1, 2)}.items():
            ends = lines.sel(pair=pair).values[[0, -1]]
            np.testing.assert_allclose(ends, own[name][[first, last]], rtol=1e-4, atol=1e-5)


def test_middles_of_the_lines_are_the_averages_of_weights(mlp, plane, optima):
    middles = torch.stack([(optima[i] + optima[j]) / 2 for i, j in ((0, 1), (0, 2), (1, 2))])
    found = plane["profile_loss"].sel(split="train").sel(t=0.5)
    np.testing.assert_allclose(found, mlp.losses(middles), rtol=1e-4, atol=1e-5)


def test_plane_of_a_quadratic_in_closed_form(bowl, corners):
    store = plane_through(bowl, corners, [7, 8, 9], resolution=5, margin=0.0, profile_points=5)
    axes, origin = store["axes"].values, store["origin"].values
    hessian = bowl.bowl.hessian.numpy()
    for i, alpha in enumerate(store["alpha"].values):
        for j, beta in enumerate(store["beta"].values):
            away = origin + alpha * axes[0] + beta * axes[1] - 0.3
            loss = 0.5 * away @ hessian @ away
            np.testing.assert_allclose(store["loss"][:, i, j], [loss, 2 * loss], rtol=1e-6)
            np.testing.assert_allclose(store["score"][:, i, j], np.exp([-loss, -2 * loss]), rtol=1e-6)
    # On the line between x and y a quadratic lies below its chord by t (1 - t) / 2 times (y - x)^T H (y - x).
    edge = (corners[1] - corners[0]).numpy()
    sag = 0.5 * edge @ hessian @ edge * np.linspace(0, 1, 5) * (1 - np.linspace(0, 1, 5))
    line = store["profile_loss"].sel(split="train", pair="7-8").values
    np.testing.assert_allclose(line, np.linspace(line[0], line[-1], 5) - sag, rtol=1e-5)
    assert store["barrier"].sel(split="train", pair="7-8") == pytest.approx(0, abs=1e-6)


def test_barriers_are_those_of_the_stored_lines(plane):
    for split in ("train", "test"):
        for pair in plane["pair"].values:
            line = plane["profile_loss"].sel(split=split, pair=pair).values
            along = zip(line, plane["t"].values, strict=True)
            excess = max(value - (line[0] * (1 - t) + line[-1] * t) for value, t in along)
            assert float(plane["barrier"].sel(split=split, pair=pair)) == pytest.approx(excess, abs=1e-6)


def test_the_same_plane_gives_the_same_bytes(tmp_path, mlp, optima):
    for name in ("a", "b"):
        store = plane_through(mlp, optima, [0, 1, 2], resolution=4, margin=0.1, profile_points=3)
        write_store(store, tmp_path / f"{name}.zarr.zip", Origin("measure_planes"))
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()


def test_values_that_are_not_finite_are_kept(bowl, corners):
    class Cliff(Judged):
        def evaluate(self, points, split="train"):
            loss = super().evaluate(points, split)["loss"]
            loss = torch.where(points[:, 0] > float(corners[1, 0]), torch.inf, loss)
            loss = torch.where(points[:, 0] < float(corners[0, 0]), torch.nan, loss)
            return {"loss": loss, "score": loss}

    store = plane_through(Cliff(bowl.bowl), corners, [0, 1, 2], resolution=9, margin=0.5, profile_points=3)
    first = store["origin"].values[0] + np.add.outer(
        store["alpha"].values * store["axes"].values[0, 0], store["beta"].values * store["axes"].values[1, 0]
    )
    clear = np.abs(first - float(corners[1, 0])) > 1e-3  # float32 coordinates at the edge of the cliff
    clear &= np.abs(first - float(corners[0, 0])) > 1e-3
    loss = store["loss"].sel(split="train").values
    np.testing.assert_array_equal(np.isnan(loss)[clear], (first < float(corners[0, 0]))[clear])
    above = (first > float(corners[1, 0])) & (first >= float(corners[0, 0]))
    np.testing.assert_array_equal(np.isposinf(loss)[clear], above[clear])
    assert np.isnan(loss).any()
    assert np.isposinf(loss).any()


# What is refused


def test_optima_on_one_line_span_no_plane(bowl, corners):
    first, second = corners[0], corners[1]
    for third in (2 * second - first, second, first, (first + second) / 2):
        with pytest.raises(ValueError, match=r"seeds \[3, 4, 5\]: their optima lie on one line and span no plane"):
            plane_through(bowl, torch.stack([first, second, third]), [3, 4, 5], 3, 0.1, 3)


# Around an optimum, and along a trajectory


def test_plane_around_an_optimum_has_its_loss_in_the_middle(mlp, optima):
    plane = plane_around(mlp, optima[0], layout(mlp.module), seed=0, resolution=5, reach=0.5)
    np.testing.assert_allclose(plane["gram"], np.eye(2), atol=1e-5)
    for split in ("train", "test"):
        own = mlp.evaluate(optima[:1], split)
        for name in ("loss", "score"):
            assert float(plane[name].sel(split=split)[2, 2]) == pytest.approx(float(own[name]), abs=1e-6)
    # A coordinate is a length over the optimum's norm: the corner is where it says.
    norm = float(optima[0].norm())
    assert plane.attrs["scale"] == pytest.approx(norm)
    point = points_of(plane, plane["alpha"].values[:1] * norm, plane["beta"].values[-1:] * norm)
    expected = float(mlp.losses(point.float()))
    assert float(plane["loss"].sel(split="train")[0, -1]) == pytest.approx(expected, rel=1e-4)


def test_plane_along_a_flat_trajectory_holds_all_of_it(bowl):
    way = torch.zeros(5, 6, dtype=torch.float64)
    way[:, 1] = torch.tensor([-4.0, -3.0, -2.0, -1.0, 0.0])
    way[:, 4] = torch.tensor([0.0, 1.0, 1.5, 1.0, 0.5])
    plane = plane_along(bowl, way, range(5), resolution=5, margin=0.1)
    assert float(plane["variance_share"]) == pytest.approx(1.0)
    np.testing.assert_allclose(plane["path_distance"], 0.0, atol=1e-6)
    assert plane["path"].values[-1].tolist() == pytest.approx([0, 0])
    steps = np.linalg.norm(np.diff(plane["path"].values, axis=0), axis=1)
    np.testing.assert_allclose(steps, (way[1:] - way[:-1]).norm(dim=1), rtol=1e-5)


def test_distance_from_the_plane_is_stored(bowl):
    way = torch.zeros(4, 6, dtype=torch.float64)
    way[:, 0], way[:, 1] = torch.tensor([0.0, 10.0, 20.0, 30.0]), torch.tensor([0.0, 5.0, 0.0, 5.0])
    way[2, 5] = 0.5  # off the plane of most of the path
    plane = plane_along(bowl, way, range(4), resolution=5, margin=0.1)
    assert 0.1 < float(plane["path_distance"].max()) < 0.5
    assert 0.99 < float(plane["variance_share"]) < 1.0


def test_a_straight_trajectory_spans_no_plane(bowl):
    way = torch.outer(torch.arange(4.0, dtype=torch.float64), torch.ones(6, dtype=torch.float64))
    with pytest.raises(InputError, match=r"spans no plane; keep more: training\.snapshot_epochs"):
        plane_along(bowl, way, range(4), resolution=5, margin=0.1)


def test_a_connector_is_projected_with_its_distance(mlp, optima, plane):
    axes = torch.tensor(plane["axes"].values)
    off = torch.randn(mlp.dim, generator=torch.Generator().manual_seed(0))
    off = off - (off @ axes.T) @ axes
    centre = optima.mean(0) + 3 * off / off.norm()
    seen = with_connector(plane, mlp, centre)
    assert float(seen["connector_distance"]) == pytest.approx(3.0, rel=1e-4)
    middle = [float(plane["optimum_alpha"].mean()), float(plane["optimum_beta"].mean())]
    assert seen["connector_place"].values.tolist() == pytest.approx(middle, abs=1e-4)
    assert float(seen["connector_loss"].sel(split="test")) == pytest.approx(float(mlp.losses(centre[None], "test")))
    assert locate(plane, optima)[1].max() < 1e-4


# The measurement


def connectors_of(weights):
    """A store of `measure_connectors` with some point beside each optimum as the centre."""
    centres = weights["theta"].values + 0.01
    return xr.Dataset({"neighbour_centre": (("seed", "param"), centres)}, {"seed": weights["seed"].values})


FLAGS = ["diverged", "unfit", "seed"]


def test_measure_has_three_planes_of_the_first_sound_seeds(mlp, weights, tmp_path):
    settings = Settings(resolution=5, margin=0.1, reach=0.5, profile_points=5)
    lost = weights.assign(diverged=("seed", [True, False, False, False]))
    found = measure(Optima(mlp, lost), connectors_of(weights), settings)
    assert list(found) == ["optima", "around", "trajectory"]
    theta = torch.tensor(weights["theta"].values)
    through = plane_through(mlp, theta[1:], [1, 2, 3], 5, 0.1, 5)
    assert found["optima"].drop_vars(FLAGS).identical(with_connector(through, mlp, theta[1] + 0.01))
    around = plane_around(mlp, theta[1], layout(mlp.module), 1, 5, 0.5)
    assert found["around"].drop_vars(FLAGS).identical(around)
    way = torch.tensor(weights["trajectory"].values[1])
    along = plane_along(mlp, way, weights["step"].values.tolist(), 5, 0.1)
    assert found["trajectory"].drop_vars(FLAGS).identical(along)
    assert all(part["diverged"].values.tolist() == [True, False, False, False] for part in found.values())
    write_store(found, tmp_path / "planes.zarr.zip", Origin("measure_planes"))
    assert list(open_store(tmp_path / "planes.zarr.zip")) == list(found)


def test_without_snapshots_there_is_no_trajectory_and_three_runs_are_needed(mlp, weights):
    optima, settings = Optima(mlp, weights.drop_vars("trajectory")), Settings(resolution=5, profile_points=5)
    assert list(measure(optima, connectors_of(weights), settings)) == ["optima", "around"]
    with pytest.raises(InputError, match="2 of 2 runs stayed finite; this measurement needs at least 3"):
        measure(optima.first(2), connectors_of(weights))


# The figures


def drawn_plane(broken=False):
    side, points = 7, 9
    draw = np.random.default_rng(0)
    losses = draw.uniform(0.01, 3, (2, side, side)).astype(np.float32)
    if broken:
        losses[:, 0, :2] = np.nan, np.inf
        losses[0, 3, 3] = 0
    lines = draw.uniform(0.01, 3, (2, 3, points)).astype(np.float32)
    return xr.Dataset(
        {
            "loss": (("split", "alpha", "beta"), losses),
            "score": (("split", "alpha", "beta"), draw.uniform(0, 1, (2, side, side))),
            "profile_loss": (("split", "pair", "t"), lines),
            "profile_score": (("split", "pair", "t"), draw.uniform(0, 1, lines.shape)),
            "barrier": (("split", "pair"), draw.uniform(0, 1, (2, 3))),
            "optimum_alpha": (("optimum",), [0.0, 4.0, 2.0]),
            "optimum_beta": (("optimum",), [0.0, 0.0, 3.0]),
            "connector_place": (("axis",), [2.0, 1.0]),
            "connector_distance": 5.25,
            "connector_loss": (("split",), [0.0012, 0.1]),
        },
        {
            "split": ["train", "test"],
            "alpha": np.linspace(-1, 5, side),
            "beta": np.linspace(-1, 4, side),
            "t": np.linspace(0, 1, points),
            "pair": ["10-11", "10-12", "11-12"],
            "optimum": [10, 11, 12],
        },
    )


@pytest.mark.parametrize("broken", [False, True])
def test_planes_show_optima_sides_and_barriers(broken):
    store = drawn_plane(broken)
    figure = plot_planes.draw({"optima": store})
    check_looks(figure, 5)
    loss, accuracy, *sides = titled(figure)
    assert len(sides) == 3
    for axes in (loss, accuracy):
        assert axes.get_aspect() == 1
        assert "(weights)" in axes.get_xlabel()
        corners = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "o"]
        assert corners == [[0, 0], [4, 0], [2, 3]]
        assert {"seed 10", "seed 11", "seed 12"} <= {text.get_text() for text in axes.texts}
    (note,) = (text.get_text() for text in loss.texts if "connector" in text.get_text())
    assert "5.2 weights off the plane" in note
    assert "0.001 nats" in note
    assert len(accuracy.texts) == 3
    for k, axes in enumerate(sides):
        assert [line.get_ydata().tolist() for line in axes.lines[::2]] == store["profile_loss"][:, k].values.tolist()
        train, test = store["barrier"][:, k].values
        assert f"train {train:.3f}, test {test:.3f} nats" in axes.get_xlabel()
    table = plot_planes.tabulate({"optima": store})
    assert table["part"].value_counts().to_dict() == {"plane": 2 * 49, "side": 2 * 3 * 9}
    assert table["loss"].isna().sum() == np.isnan(store["loss"]).sum()  # kept, not replaced


def surroundings(broken):
    flat = drawn_plane(broken)[["loss", "score"]]
    path = {
        "path": (("step", "axis"), [[0.0, 0.0], [2.0, 2.0], [4.0, 3.0]]),
        "path_distance": (("step",), [0.1, 2.0, 0.0]),
        "variance_share": 0.87,
    }
    return {"around": flat.assign_attrs(scale=12.34), "trajectory": flat.assign(path)}


@pytest.mark.parametrize("broken", [False, True])
def test_surroundings_show_the_norm_and_the_path_with_what_lies_far_off_the_plane(broken):
    planes = surroundings(broken)
    figure = plot_surroundings.draw(planes)
    check_looks(figure, 2)
    around, along = titled(figure)
    assert around.get_title(loc="right") == "norm 12.3 weights"
    assert "(norms)" in around.get_xlabel()
    assert along.get_title(loc="right") == "87% of the variance"
    assert "(weights)" in along.get_xlabel()
    assert {"initialisation", "optimum", "red: over 1.0 weights off the plane"} <= {
        text.get_text() for text in along.texts
    }
    (snapshots,) = (part for part in along.collections if isinstance(part, PathCollection))
    assert snapshots.get_offsets().tolist() == planes["trajectory"]["path"].values.tolist()
    white, far = to_rgba("white"), to_rgba(style.PLACES["far"])
    assert [tuple(colour) for colour in snapshots.get_facecolors()] == [white, far, white]
    table = plot_surroundings.tabulate(planes)
    assert table["plane"].value_counts().to_dict() == {"around": 2 * 49, "trajectory": 2 * 49}
    assert list(table.columns) == ["plane", "split", "alpha", "beta", "loss", "score"]


def test_surroundings_without_snapshots_have_one_panel():
    planes = {"around": surroundings(False)["around"]}
    check_looks(plot_surroundings.draw(planes), 1)
    assert set(plot_surroundings.tabulate(planes)["plane"]) == {"around"}
