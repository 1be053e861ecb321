"""Landscapes by their losses alone, and slices of them, against quadratics."""

import pytest
import torch

from wedgescape.landscapes import base as module
from wedgescape.landscapes.base import Batch, Landscape, Slice
from wedgescape.landscapes.spans import Span

EIGENVALUES = [-2.0, 0.0, 0.5, 1.0, 3.0, 10.0]
DIM = len(EIGENVALUES)
DOUBLE = torch.float64


def close(found, wanted, tolerance=1e-12):
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.fixture
def bowl(quadratic):
    return quadratic(EIGENVALUES, centre=0.7)


class Tilted(Landscape):
    """A linear function: its Hessian is zero, and autograd knows no graph of its gradient."""

    dim = 4
    slope = torch.tensor([1.0, -2.0, 0.0, 3.0])

    def losses(self, points, split="train"):
        return points @ self.slope


# The base class


def test_gradients_follow_from_the_losses(bowl, points):
    at = points(5, DIM, dtype=DOUBLE)
    close(bowl.gradients(at), (at - 0.7) @ bowl.hessian)


def test_hvp_follows_from_the_losses(bowl, points):
    vectors = points(3, DIM, seed=1, dtype=DOUBLE)
    close(bowl.hvp(points(1, DIM, dtype=DOUBLE)[0], vectors), vectors @ bowl.hessian)


def test_hvp_of_eigenvectors_gives_the_spectrum(bowl, points):
    vectors = bowl.eigenvectors.T
    products = bowl.hvp(points(1, DIM, dtype=DOUBLE)[0], vectors)
    close((products * vectors).sum(1), torch.tensor(EIGENVALUES, dtype=DOUBLE))


def test_hvp_of_a_linear_landscape_is_zero(points):
    vectors = points(3, 4)
    assert torch.equal(Tilted().hvp(torch.ones(4), vectors), torch.zeros(3, 4))


def test_evaluate_gives_the_losses_of_a_split_without_a_graph(bowl, points):
    at = points(5, DIM, dtype=DOUBLE).requires_grad_()
    values = bowl.evaluate(at, "test")
    assert list(values) == ["loss"]
    assert not values["loss"].requires_grad
    assert bowl.asked == [("losses", "test", 5)]
    close(values["loss"], bowl.losses(at).detach())


def test_gradients_leave_the_points_and_their_graph_alone(bowl, points):
    at = points(2, DIM, dtype=DOUBLE)
    before = at.clone()
    bowl.gradients(at)
    assert torch.equal(at, before)
    assert not at.requires_grad


# Slices: a shared one, one with an origin a point, one with an origin and directions a point


def slices(bowl, points):
    origins = points(5, DIM, seed=2, dtype=DOUBLE)
    shared, each = points(3, DIM, seed=3, dtype=DOUBLE), points(15, DIM, seed=4, dtype=DOUBLE).reshape(5, 3, DIM)
    return {
        "shared": (Slice(bowl, origins[0], Span(shared)), origins[:1].expand(5, -1), shared.expand(5, -1, -1)),
        "own origins": (Slice(bowl, origins, Span(shared)), origins, shared.expand(5, -1, -1)),
        "own directions": (Slice(bowl, origins, Span(each)), origins, each),
    }


@pytest.fixture(params=["shared", "own origins", "own directions"])
def cut(request, bowl, points):
    """(slice, origins (K, P), directions (K, d, P)) of five points."""
    return slices(bowl, points)[request.param]


@pytest.fixture
def coordinates(points):
    return points(5, 3, seed=5, dtype=DOUBLE)


def by_hand(origins, directions, coordinates):
    return origins + torch.einsum("kd,kdp->kp", coordinates, directions)


def test_slice_lifts_coordinates_to_origin_and_directions(cut, coordinates):
    inside, origins, directions = cut
    assert inside.dim == 3
    close(inside.lift(coordinates), by_hand(origins, directions, coordinates))


def test_slice_has_the_losses_of_the_lifted_points(bowl, cut, coordinates):
    inside, origins, directions = cut
    wanted = bowl.losses(by_hand(origins, directions, coordinates), "test")
    close(inside.losses(coordinates, "test"), wanted)
    close(inside.evaluate(coordinates, "test")["loss"], wanted)
    assert {split for _, split, _ in bowl.asked} == {"test"}


def test_slice_gradients_are_those_of_its_own_losses(bowl, cut, coordinates):
    inside, origins, directions = cut
    variable = coordinates.clone().requires_grad_()
    wanted = torch.autograd.grad(bowl.losses(by_hand(origins, directions, variable)).sum(), variable)[0]
    close(inside.gradients(coordinates), wanted)


def test_slice_hvp_is_the_hessian_between_its_directions(bowl, points, coordinates):
    inside, _, directions = slices(bowl, points)["shared"]
    vectors = points(2, 3, seed=6, dtype=DOUBLE)
    close(inside.hvp(coordinates[0], vectors), vectors @ (directions[0] @ bowl.hessian @ directions[0].T))


class Quartic(Landscape):
    """Its Hessian depends on where one is: 12 x^2 on the diagonal."""

    dim = DIM

    def losses(self, points, split="train"):
        return (points**4).sum(1)


def test_slice_hvp_is_taken_at_the_lifted_point(points, coordinates):
    origin, directions = points(1, DIM, seed=2, dtype=DOUBLE)[0], points(3, DIM, seed=3, dtype=DOUBLE)
    inside, vectors = Slice(Quartic(), origin, Span(directions)), points(2, 3, seed=6, dtype=DOUBLE)
    hessian = torch.diag(12 * (origin + coordinates[0] @ directions) ** 2)
    close(inside.hvp(coordinates[0], vectors), vectors @ (directions @ hessian @ directions.T))


def test_slice_hands_the_minibatch_on(bowl, cut, coordinates):
    batch = Batch(torch.zeros(5, 2, dtype=torch.long), [], torch.zeros(5))
    cut[0].gradients(coordinates, batch)
    assert bowl.asked[0] == ("gradients", batch, 5)


def test_slice_of_a_network_has_its_examples_and_all_its_values(mlp, points):
    at = points(3, mlp.dim)
    inside = Slice(mlp, at[0], Span(at[1:]))
    assert (inside.examples, inside.device, inside.dtype) == (61, torch.device("cpu"), torch.float32)
    values = inside.evaluate(torch.tensor([[0.0, 0.0], [1.0, -0.5]]), "test")
    lifted = torch.stack([at[0], at[0] + at[1] - 0.5 * at[2]])
    for name, wanted in mlp.evaluate(lifted, "test").items():
        close(values[name], wanted, 1e-6)
    assert set(values) == {"loss", "score"}


def test_many_points_of_a_shared_slice_are_lifted_a_few_at_a_time(bowl, points, monkeypatch):
    inside, origins, directions = slices(bowl, points)["shared"]
    many = points(10, 3, seed=7, dtype=DOUBLE)
    wanted = bowl.losses(by_hand(origins[:1], directions[:1].expand(10, -1, -1), many))
    bowl.asked.clear()
    monkeypatch.setattr(module, "POINTS_IN_MEMORY", 4 * DIM * 4 + 3)  # four points and a bit
    close(inside.evaluate(many)["loss"], wanted)
    assert [count for _, _, count in bowl.asked] == [4, 4, 2]


def test_a_point_that_exceeds_the_memory_is_still_evaluated(bowl, points, monkeypatch, coordinates):
    inside = slices(bowl, points)["shared"][0]
    wanted = inside.losses(coordinates)
    bowl.asked.clear()
    monkeypatch.setattr(module, "POINTS_IN_MEMORY", 1)
    close(inside.losses(coordinates), wanted)
    assert [count for _, _, count in bowl.asked] == [1] * 5
