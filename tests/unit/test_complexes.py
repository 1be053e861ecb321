"""Complexes: their geometry, exactly."""

import numpy as np
import pytest
import torch

from wedgescape.landscapes.complexes import Complex, effective_dimension, rank, refine, skeleton, triangle


def area(corners: torch.Tensor) -> torch.Tensor:
    """Areas (S,) of triangles (S, 3, 2)."""
    first, second = (corners[:, 1] - corners[:, 0]), (corners[:, 2] - corners[:, 0])
    return (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).abs() / 2


def flat_triangle(subdivisions: int) -> Complex:
    barycentric, pieces = triangle(subdivisions)
    return Complex(barycentric, pieces, torch.zeros(len(barycentric), 2))


@pytest.mark.parametrize("subdivisions", [1, 2, 10])
def test_triangle_tiles_the_hull(subdivisions):
    surface = flat_triangle(subdivisions)
    assert len(surface.barycentric) == (subdivisions + 1) * (subdivisions + 2) // 2
    assert len(surface.pieces) == subdivisions**2
    torch.testing.assert_close(surface.barycentric.sum(1), torch.ones(len(surface.barycentric)))
    optima = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    areas = area(surface.points(optima)[surface.pieces])
    assert float(areas.sum()) == pytest.approx(0.5, rel=1e-5)
    assert float(areas.min()) == pytest.approx(0.5 / subdivisions**2, rel=1e-4)


def test_a_refined_triangle_has_four_times_the_pieces_and_shares_vertices():
    surface = flat_triangle(3)
    finer, concerned = refine(surface, torch.ones(len(surface.pieces), dtype=torch.bool))
    expected = flat_triangle(6)
    assert len(finer.pieces) == len(expected.pieces)
    ours = {tuple(row) for row in (finer.barycentric * 6).round().int().tolist()}
    assert ours == {tuple(row) for row in (expected.barycentric * 6).round().int().tolist()}
    assert len(finer.barycentric) == len(ours)  # no vertex twice
    assert concerned.all()


def test_a_new_vertex_starts_on_the_surface():
    surface = Complex(torch.eye(2), torch.tensor([[0, 1]]), torch.tensor([[0.0, 4.0], [0.0, 8.0]]))
    finer, _ = refine(surface, torch.tensor([True]))
    assert finer.pieces.tolist() == [[0, 2], [2, 1]]
    assert finer.barycentric[2].tolist() == [0.5, 0.5]
    assert finer.displacement[2].tolist() == [0.0, 6.0]


def test_only_the_segments_asked_for_are_halved():
    barycentric, pieces = skeleton(2, spokes=0, edges=1, parts=4)
    surface = Complex(barycentric, pieces, torch.zeros(len(barycentric), 3))
    which = torch.tensor([False, True, False, False])
    finer, concerned = refine(surface, which)
    assert len(finer.pieces) == 5
    assert sorted(concerned.nonzero()[:, 0].tolist()) == sorted([*pieces[1].tolist(), 5])


def test_skeleton_reaches_every_optimum_and_counts_its_lines():
    size, spokes, edges, parts = 6, 5, 4, 3
    barycentric, pieces = skeleton(size, spokes, edges, parts)
    assert len(pieces) == (size + edges + spokes) * parts
    assert len(torch.unique(barycentric, dim=0)) == len(barycentric)
    corners = (barycentric.amax(1) > 1 - 1e-6).nonzero()[:, 0]
    assert len(corners) == size
    assert set(corners.tolist()) <= set(pieces.flatten().tolist())
    torch.testing.assert_close(barycentric.sum(1), torch.ones(len(barycentric)))
    assert (barycentric >= 0).all()


def test_skeleton_draws_anew_with_the_seed():
    assert torch.equal(skeleton(5, 3, 3, 2, seed=1)[0], skeleton(5, 3, 3, 2, seed=1)[0])
    assert not torch.equal(skeleton(5, 3, 3, 2, seed=1)[0], skeleton(5, 3, 3, 2, seed=2)[0])


def test_between_interpolates_linearly():
    surface = flat_triangle(1)
    values = torch.tensor([[1.0], [10.0], [100.0]])
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    corners = values[surface.pieces[0], 0]
    found = surface.between(values, weights)[0, :, 0]
    torch.testing.assert_close(found, torch.stack([0.5 * corners[0] + 0.25 * (corners[1] + corners[2]), corners[2]]))


def test_dimension_and_rank_of_a_known_cloud():
    draw = np.random.default_rng(0)
    basis = np.linalg.qr(draw.normal(size=(50, 4)))[0].T
    sizes = np.array([1.0, 1.0, 1.0, 0.01])  # the fourth holds 0.003 % of the variance
    points = torch.from_numpy((draw.normal(size=(200, 4)) * sizes) @ basis).float() + 7.0
    assert effective_dimension(points) == 3
    assert rank(points) == 4
