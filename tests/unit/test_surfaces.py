"""Connectors as subspaces, on a sphere where everything is known."""

import itertools

import numpy as np
import pytest
import torch

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.complexes import Complex, skeleton, triangle
from wedgescape.landscapes.spans import random_directions
from wedgescape.measurements import subspaces as surfaces
from wedgescape.measurements.connectors import find_centres
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import write_store
from wedgescape.training.descent import Recipe

RECIPE = Recipe(learning_rate=0.1, momentum=0.9, schedule="cosine")


class Sphere(Landscape):
    """(|x| - 1)^2: every connector of optima is a piece of the unit sphere."""

    dim = 12

    def losses(self, points, split="train"):
        return (points.norm(dim=1) - 1).square()

    def evaluate(self, points, split="train"):
        loss = super().evaluate(points, split)["loss"]
        return {"loss": loss, "accuracy": 1 - loss}


@pytest.fixture
def optima():
    return random_directions(5, Sphere.dim, "optima of the sphere")


def connect(optima, begin, tolerance, refinements, steps=150):
    landscape = Sphere()
    centre = find_centres(landscape, optima[None], RECIPE, 200, [0]).points[0]
    return surfaces.connect(landscape, optima, centre, *begin, RECIPE, steps, tolerance, refinements)


def test_vertices_reach_the_sphere_and_stay_orthogonal_to_the_hull(optima):
    corners = optima[:3]
    surface, _ = connect(corners, triangle(4), tolerance=1e-9, refinements=0)
    points = surface.points(corners)
    torch.testing.assert_close(points.norm(dim=1), torch.ones(len(points)), atol=2e-3, rtol=0)
    edges = corners[1:] - corners[:1]
    assert float((surface.displacement @ edges.T).abs().max()) < 1e-5
    on_optima = surface.barycentric.amax(1) > 1 - 1e-6
    assert int(on_optima.sum()) == 3
    assert float(surface.displacement[on_optima].abs().max()) == 0.0
    # The hull below it is far from the sphere.
    hull = surface.barycentric[~on_optima] @ corners
    assert float(Sphere().losses(hull).min()) > 0.01


def test_refinement_lowers_the_loss_between_vertices(optima):
    """The sagitta of a chord falls with the square of its length, the loss here with the fourth power."""
    line = skeleton(2, spokes=0, edges=1, parts=1)
    surface, levels = connect(optima[:2], line, tolerance=2e-5, refinements=4, steps=600)
    assert len(levels) == 4
    assert levels[-1] <= 2e-5
    assert all(10 < earlier / later < 20 for earlier, later in itertools.pairwise(levels))
    assert len(surface.pieces) == 2 ** (len(levels) - 1)


def test_without_refinement_it_says_that_the_tolerance_is_not_met(optima):
    _, levels = connect(optima, skeleton(5, 2, 2, 1), tolerance=1e-6, refinements=0)
    assert len(levels) == 1
    assert levels[0] > 1e-6


def test_loss_between_vertices_is_not_the_loss_at_them():
    """Two good vertices with a bad middle: only a look between them shows it."""
    optima = torch.zeros(2, Sphere.dim)
    optima[0, 0], optima[1, 0] = 1.0, -1.0
    surface = Complex(torch.eye(2), torch.tensor([[0, 1]]), torch.zeros(2, Sphere.dim))
    assert float(Sphere().losses(surface.points(optima)).max()) == 0.0
    assert float(surfaces.largest_between(Sphere(), optima, surface)) == pytest.approx(1.0)


def test_measure_tells_surface_and_hull_apart(optima, tmp_path):
    store = surfaces.measure(
        Sphere(), dict(enumerate(optima)), RECIPE, 100, sizes=[3, 4], sets=2, steps=100, learning_rate=0.1,
        batch_size=None, subdivisions=3, parts=2, spokes=2, edges=2, tolerance=1e-3, refinements=3,
    )  # fmt: skip
    write_store(store, tmp_path / "surfaces.zarr.zip", Origin("test"))
    table = surfaces.tidy(store)
    assert table[["size", "set"]].values.tolist() == [[3, 0], [3, 1], [4, 0], [4, 1]]
    assert (table["largest_train_loss"] < 2e-3).all()
    assert (table["largest_hull_train_loss"] > 0.1).all()
    assert table["met"].all()
    assert (table["dimension"] >= table["size"] - 1).all()
    assert float(store["cosine"].max()) < 1e-5
    members = store["members"].values
    assert (members[0, :, 3] == -1).all()
    np.testing.assert_allclose(store["barycentric"].fillna(0).sum("member"), 1.0, atol=1e-5)


def test_a_constant_surface_would_fail(optima, monkeypatch):
    """The hull itself passed off as a connector is found out."""
    monkeypatch.setattr(surfaces, "settle", lambda landscape, optima, surface, *_: surface)
    monkeypatch.setattr(surfaces, "find_centres", lambda landscape, sets, *_: type("D", (), {"points": sets.mean(1)}))
    store = surfaces.measure(
        Sphere(), dict(enumerate(optima)), RECIPE, 1, sizes=[3], sets=1, steps=1, learning_rate=0.1, batch_size=None,
        subdivisions=3, parts=2, spokes=0, edges=1, tolerance=1e-3, refinements=1,
    )  # fmt: skip
    assert not store["met"].values.any()
    assert surfaces.tidy(store)["largest_train_loss"].item() > 0.05
