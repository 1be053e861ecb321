"""Connectors as subspaces, on a sphere where everything is known; their claims and their figure."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from drawings import check_looks, drawn, in_order, titled
from wedgescape.figures import subspaces as plot_subspaces
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.complexes import Complex, skeleton, triangle
from wedgescape.landscapes.spans import random_directions
from wedgescape.measurements import connectors
from wedgescape.measurements import subspaces as surfaces
from wedgescape.measurements.connectors import Settings as ConnectorSettings
from wedgescape.measurements.connectors import find_centres
from wedgescape.measurements.subspaces import Settings
from wedgescape.numerics.intervals import Interval, Intervals, bootstrap_mean
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import write_store
from wedgescape.study.settings import Rules
from wedgescape.training.descent import Recipe
from wedgescape.training.optima import Optima

RECIPE = Recipe(learning_rate=0.1, momentum=0.9, schedule="cosine")
SEARCH = ConnectorSettings(sizes=[3], sets=1, steps=100, learning_rate=0.03)


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


@pytest.fixture
def trained(optima):
    return Optima.of(Sphere(), optima)


def test_measure_tells_surface_and_hull_apart(trained, tmp_path):
    settings = Settings(
        sizes=[3, 4], sets=2, steps=100, learning_rate=0.1, batch_size=None, subdivisions=3, parts=2, spokes=2, edges=2,
        tolerance=1e-3, refinements=3,
    )  # fmt: skip
    store = surfaces.measure(trained, connectors.measure(trained, SEARCH), SEARCH, settings)
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


FLAT = Settings(
    sizes=[3], sets=1, steps=1, learning_rate=0.1, batch_size=None, subdivisions=3, parts=2, spokes=0, edges=1,
    tolerance=1e-3, refinements=1,
)  # fmt: skip


def test_a_constant_surface_would_fail(trained, monkeypatch):
    """The hull itself passed off as a connector is found out."""
    monkeypatch.setattr(surfaces, "settle", lambda landscape, optima, surface, *_: surface)
    monkeypatch.setattr(connectors, "search", lambda _landscape, sets, *_: sets.mean(1))
    store = surfaces.measure(trained, connectors.measure(trained, SEARCH), SEARCH, FLAT)
    assert not store["met"].values.any()
    assert surfaces.tidy(store)["largest_train_loss"].item() > 0.05


def test_centres_that_are_stored_are_not_searched_again(trained, monkeypatch):
    stored, more = connectors.measure(trained, SEARCH), FLAT.model_copy(update={"sizes": [3, 4], "sets": 2})
    everything = connectors.measure(trained, SEARCH.model_copy(update={"sizes": [3, 4], "sets": 2}))
    wanted = surfaces.measure(trained, everything, SEARCH, more)
    searched, search = [], connectors.search
    monkeypatch.setattr(
        connectors, "search", lambda *given: searched.append((given[1].shape[1], given[3])) or search(*given)
    )
    found = surfaces.measure(trained, stored, SEARCH, more)
    assert searched == [(3, [1]), (4, [0]), (4, [1])]
    for name in ("loss", "largest_loss"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=1e-6)


# Claims


@pytest.mark.parametrize(
    ("largest", "verdict", "diverged"),
    [
        ([0.01, 0.02, 0.03], "supported", 0),
        ([0.1, 0.2, 0.3], "contradicted", 0),
        ([0.01, 0.02, 0.3], "undecided", 0),
        ([0.05, 0.05], "undecided", 0),  # at the edge
        ([0.01, math.nan, 0.03, math.inf], "supported", 2),
    ],
)
def test_a_subspace_is_judged_by_its_largest_loss(monkeypatch, largest, verdict, diverged):
    table = pd.DataFrame({"size": [3] * len(largest) + [5], "largest_train_loss": [*largest, 9.0]})
    monkeypatch.setattr(surfaces, "tidy", lambda _store: table)
    members = [[[0, 1, 4, -1, -1], [0, 2, 4, -1, -1]], [[0, 1, 2, 3, 4], [-1] * 5]]
    store = xr.Dataset({"members": (("size", "set", "member"), members)}, {"size": [3, 5]})
    three, five = surfaces.claims(store, Rules(maximum_connector_loss=0.05), Intervals(resamples=300))
    assert (three["id"], three["verdict"], three["seeds"]) == ("subspace_3", verdict, 4)
    assert (three["points"], three["diverged"]) == (len(largest) - diverged, diverged)
    assert three["estimate"] == pytest.approx(np.mean([loss for loss in largest if math.isfinite(loss)]))
    assert Interval(three["estimate"], three["low"], three["high"]) == bootstrap_mean(
        [loss for loss in largest if math.isfinite(loss)], 0.95, 300
    )
    assert (five["verdict"], five["points"], five["seeds"]) == ("undecided", 1, 5)


# The figure


@pytest.mark.parametrize("sizes", [[3, 4], [4]])
def test_the_figure_draws_every_set(trained, sizes):
    settings = FLAT.model_copy(update={"sizes": sizes, "sets": 2, "spokes": 2})
    store = surfaces.measure(trained, connectors.measure(trained, SEARCH), SEARCH, settings)
    figure = plot_subspaces.draw(store, Intervals(resamples=100))
    check_looks(figure, 2 * len(sizes))
    panels, table = titled(figure), plot_subspaces.tabulate(store)
    columns = ("largest_hull_train_loss", "largest_train_loss", "median_train_loss")
    wanted = [(row["size"], row[column]) for _, row in table.iterrows() for column in columns]
    assert drawn(panels[-2]) == pytest.approx(in_order(wanted))
    levels = [line.get_ydata() for line in panels[-1].lines]
    rows = store["largest_loss"].values.reshape(-1, store.sizes["level"])
    assert all(any(np.array_equal(row, level, equal_nan=True) for level in levels) for row in rows)
    if 3 in sizes:
        seeds = store["members"].sel(size=3).values[0, :3]
        for panel in panels[:2]:
            assert [text.get_text() for text in panel.texts] == [f"seed {seed}" for seed in seeds]
