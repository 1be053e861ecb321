"""Random streams, directions, spans and what is orthogonal to them."""

import itertools
import tracemalloc

import numpy as np
import pytest
import torch

from wedgescape.landscapes import spans
from wedgescape.landscapes.spans import (
    Orthogonal,
    RandomSpan,
    Span,
    gaussian,
    gram,
    orthonormal,
    random_directions,
    unit,
)
from wedgescape.numerics.randomness import stream

# Streams


def draws(*key, count=8):
    return stream(*key).standard_normal(count)


def test_a_stream_is_a_function_of_purpose_and_key():
    alone = draws("order", 7, 3)
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    for other in itertools.product(("order", "dropout"), range(9), range(5)):
        draws(*other)
    np.testing.assert_array_equal(draws("order", 7, 3), alone)


def test_purposes_and_keys_give_different_streams():
    keys = [("order", 7, 3), ("order", 3, 7), ("order", 7), ("order", 7, 3, 1), ("dropout", 7, 3), ("order", 8, 3)]
    firsts = {key: draws(*key)[0] for key in keys}
    assert len(set(firsts.values())) == len(keys)


def test_streams_of_neighbouring_seeds_are_independent():
    rows = np.stack([draws("order", seed, count=2000) for seed in range(30)])
    correlations = np.corrcoef(rows)[np.triu_indices(30, 1)]
    assert abs(correlations.mean()) < 4 / np.sqrt(2000 * len(correlations))
    assert correlations.std() == pytest.approx(1 / np.sqrt(2000), rel=0.15)


def test_a_long_stream_does_not_run_into_the_next_seeds():
    long = stream("order", 0).integers(2**63, size=100_000)
    assert not np.isin(stream("order", 1).integers(2**63, size=1000), long).any()


def test_streams_stay_what_they_are():
    """Results of different days are compared: a change here would change every one of them."""
    assert stream("order", 7, 3).integers(1000, size=5).tolist() == [103, 250, 852, 561, 386]


# Random directions


def test_gaussian_vectors_are_standard_normal():
    vectors = gaussian(200, 1000, "test", 1)
    assert vectors.dtype == torch.float32
    assert vectors.shape == (200, 1000)
    assert abs(vectors.mean()) < 4 / np.sqrt(vectors.numel())
    assert float(vectors.std()) == pytest.approx(1, abs=0.01)
    assert float((vectors**4).mean()) == pytest.approx(3, abs=0.1)


def test_random_directions_are_isotropic():
    """Directions drawn from [0, 1), as some toolkits do, have a mutual cosine of 0.75."""
    dim = 4000
    cosines = gram(random_directions(60, dim, "test", 2)).numpy()
    np.testing.assert_allclose(np.diag(cosines), 1, atol=1e-6)
    off = cosines[np.triu_indices(60, 1)]
    assert abs(off.mean()) < 4 / np.sqrt(dim * len(off))
    assert off.std() == pytest.approx(1 / np.sqrt(dim), rel=0.1)


def test_a_direction_does_not_depend_on_how_many_are_drawn():
    assert torch.equal(random_directions(3, 50, "test", 5), random_directions(8, 50, "test", 5)[:3])


def test_unit_and_gram_by_hand():
    vectors = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    torch.testing.assert_close(unit(vectors), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert gram(vectors).dtype == torch.float64
    assert gram(vectors).tolist() == [[25, -8], [-8, 4]]


# Spans


def test_shared_span_combines_and_projects(points):
    directions, coordinates, vectors = points(3, 7), points(5, 3, 1), points(5, 7, 2)
    span = Span(directions)
    assert (span.count, span.dim, span.batched) == (3, 7, False)
    torch.testing.assert_close(span.combine(coordinates), torch.einsum("kd,dp->kp", coordinates, directions))
    torch.testing.assert_close(span.project(vectors), torch.einsum("kp,dp->kd", vectors, directions))


def test_batched_span_combines_and_projects_each_point_in_its_own(points):
    directions, coordinates, vectors = points(15, 7).reshape(5, 3, 7), points(5, 3, 1), points(5, 7, 2)
    span = Span(directions)
    assert (span.count, span.dim, span.batched) == (3, 7, True)
    torch.testing.assert_close(span.combine(coordinates), torch.einsum("kd,kdp->kp", coordinates, directions))
    torch.testing.assert_close(span.project(vectors), torch.einsum("kp,kdp->kd", vectors, directions))


@pytest.mark.parametrize(("count", "dim"), [(2, 30), (5, 235), (60, 235), (40, 5000)])
def test_batched_span_gives_a_point_the_same_bits_alone_and_among_others(points, count, dim):
    directions = points(8 * count, dim).reshape(8, count, dim)
    coordinates, vectors = points(8, count, 1), points(8, dim, 2)
    together = Span(directions)
    for some in (slice(3, 4), slice(2, 5)):
        alone = Span(directions[some])
        assert torch.equal(alone.combine(coordinates[some]), together.combine(coordinates)[some])
        assert torch.equal(alone.project(vectors[some]), together.project(vectors)[some])


# Random spans


@pytest.fixture
def blocks(monkeypatch):
    """Blocks of a few rows, so that small spans are multiplied block by block as large ones are."""
    monkeypatch.setitem(spans.BLOCK_NUMBERS, "cpu", 1000)


def test_random_rows_have_unit_length_and_are_isotropic():
    dim = 4001  # no multiple of the 8 bytes that are drawn at once
    rows = RandomSpan(80, dim, [3]).directions(0)
    cosines = gram(rows).numpy()
    np.testing.assert_allclose(np.diag(cosines), 1, atol=1e-6)
    off = cosines[np.triu_indices(80, 1)]
    assert abs(off.mean()) < 4 / np.sqrt(dim * len(off))
    assert off.std() == pytest.approx(1 / np.sqrt(dim), rel=0.1)
    numbers = (rows * np.sqrt(dim)).double()
    assert abs(float(numbers.mean())) < 4 / np.sqrt(numbers.numel())
    assert float((numbers**4).mean()) == pytest.approx(3, abs=0.15)  # a Gaussian's is 3, signs' 1
    assert float(numbers.abs().max()) < 3.1


def test_a_few_coordinates_of_random_rows_are_linearly_independent():
    for seed in range(200):
        assert np.linalg.matrix_rank(RandomSpan(4, 30, [seed]).directions(0)[:, :4].numpy()) == 4


@pytest.mark.parametrize("shape", [(5, 300), (7, 40), (3, 2001), (1, 1)])
def test_random_span_equals_its_dense_matrix(points, blocks, shape):
    count, dim = shape
    random = RandomSpan(count, dim, [4, 9, 2])
    assert (random.count, random.dim, random.batched) == (count, dim, True)
    dense = Span(torch.stack([random.directions(k) for k in range(3)]))
    coordinates, vectors = points(3, count, 1), points(3, dim, 2)
    torch.testing.assert_close(random.combine(coordinates), dense.combine(coordinates), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(random.project(vectors), dense.project(vectors), rtol=1e-5, atol=1e-5)


def test_random_span_is_the_same_held_or_drawn(points, blocks, monkeypatch):
    held = RandomSpan(9, 300, [1, 2, 3])
    monkeypatch.setattr(spans, "HELD_BYTES", 3 * 9 * 300 - 1)
    drawn = RandomSpan(9, 300, [1, 2, 3])
    assert held.held
    assert not drawn.held
    coordinates, vectors = points(3, 9, 1), points(3, 300, 2)
    assert torch.equal(held.combine(coordinates), drawn.combine(coordinates))
    assert torch.equal(held.project(vectors), drawn.project(vectors))


@pytest.mark.parametrize("size", [10, 300, 1000, 2**18])
def test_blocks_leave_random_spans_as_they_are(points, monkeypatch, size):
    whole = RandomSpan(9, 300, [1, 2])
    monkeypatch.setitem(spans.BLOCK_NUMBERS, "cpu", size)
    parts = RandomSpan(9, 300, [1, 2])
    assert torch.equal(parts.directions(1), whole.directions(1))
    coordinates = points(2, 9, 1)
    torch.testing.assert_close(parts.combine(coordinates), whole.combine(coordinates), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(9, 300), (2, 30)])  # block by block, all at once
def test_a_random_set_is_the_same_alone_and_within_a_larger_one(points, blocks, shape):
    count, dim = shape
    among = RandomSpan(count, dim, [5, 7, 11])
    alone = RandomSpan(count, dim, [7])
    assert torch.equal(alone.directions(0), among.directions(1))
    coordinates, vectors = points(3, count, 1), points(3, dim, 2)
    assert torch.equal(alone.combine(coordinates[1:2])[0], among.combine(coordinates)[1])
    assert torch.equal(alone.project(vectors[1:2])[0], among.project(vectors)[1])
    assert torch.equal(RandomSpan(count + 4, dim, [7]).directions(0)[:count], alone.directions(0))
    assert not torch.equal(among.directions(0), among.directions(1))


def test_random_rows_stay_what_they_are():
    """Results of different days are compared: a change here would change every one of them."""
    rows = RandomSpan(2, 9, [7])._draw(0, slice(0, 2))
    assert rows.tolist() == [[-48, -28, 14, -26, -29, -83, -28, -18, 4], [43, -37, -43, 28, 14, -32, -2, 3, 5]]


def test_how_many_random_sets_fit_into_memory(monkeypatch):
    monkeypatch.setattr(spans, "HELD_BYTES", 10_000)
    assert [RandomSpan.fitting(10, dim) for dim in (100, 333, 1000, 10_000)] == [10, 3, 1, 1]
    assert RandomSpan(10, 333, range(3)).held
    assert not RandomSpan(10, 333, range(4)).held


def test_random_span_of_a_large_network_needs_little_memory(monkeypatch):
    """What is drawn anew is never there in full: numpy draws a row at a time, torch keeps one row of floats."""
    monkeypatch.setattr(spans, "HELD_BYTES", 0)
    count, dim = 16, 2_000_000  # 128 MB as floats
    span = RandomSpan(count, dim, [0])
    assert span._held is None
    tracemalloc.start()
    span.combine(torch.ones(1, count))
    span.project(torch.ones(1, dim))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * dim


# Orthonormal bases


@pytest.mark.parametrize("shape", [(1, 200), (5, 200), (4, 5, 200)])
def test_orthonormal_spans_the_same_space(points, shape):
    vectors = 100 * points(int(np.prod(shape[:-1])), 200).reshape(shape)
    basis = orthonormal(vectors)
    assert basis.shape == vectors.shape
    assert basis.dtype == torch.float32
    identity = torch.eye(shape[-2]).expand(basis.shape[:-1] + shape[-2:-1])
    torch.testing.assert_close(basis @ basis.mT, identity, rtol=0, atol=1e-6)
    torch.testing.assert_close(vectors @ basis.mT @ basis, vectors, rtol=1e-5, atol=1e-3)


def test_orthonormal_is_accurate_for_vectors_that_nearly_coincide(points):
    first, second = points(2, 300)
    basis = orthonormal(torch.stack([first, first + 1e-4 * second]))
    torch.testing.assert_close(basis @ basis.T, torch.eye(2), rtol=0, atol=1e-6)


def test_dependent_vectors_are_refused(points):
    a, b, c = points(3, 40)
    for vectors in (
        torch.stack([a, a]),
        torch.stack([a, -3 * a]),
        torch.stack([a, b, a - 2 * b]),
        torch.stack([a, torch.zeros(40)]),
        torch.stack([torch.stack([a, b]), torch.stack([c, 2 * c])]),  # one set of two
    ):
        with pytest.raises(ValueError, match="linearly dependent"):
            orthonormal(vectors)
        with pytest.raises(ValueError, match="linearly dependent"):
            Orthogonal(vectors)


# The constraint


def left_in_span(moves, vectors):
    """The largest cosine between a move and a vector."""
    return float((unit(moves)[:, None] * unit(vectors)).sum(-1).abs().max())


def test_orthogonal_leaves_nothing_in_the_span(points):
    vectors, moves = points(6, 5000), 10 * points(4, 5000, 1)
    assert left_in_span(Orthogonal(vectors)(moves), vectors) < 1e-6


def test_orthogonal_leaves_nothing_of_moves_that_lie_almost_in_the_span(points):
    vectors = points(3, 5000)
    moves = points(4, 3, 1) @ vectors + 1e-2 * points(4, 5000, 2)
    assert left_in_span(Orthogonal(vectors)(moves), vectors) < 1e-5


def test_orthogonal_leaves_nothing_where_vectors_nearly_coincide(points):
    base, other = points(2, 5000)
    vectors, moves = torch.stack([base, base + 1e-3 * other]), points(4, 5000, 1)
    constrained = Orthogonal(vectors)(moves)
    assert left_in_span(constrained, torch.stack([base, other])) < 1e-5  # `other` is in the span as well


def test_orthogonal_keeps_what_is_orthogonal_and_its_length(points):
    vectors = torch.eye(6)[:2]
    moves = points(4, 6, 1)
    expected = moves.clone()
    expected[:, :2] = 0
    torch.testing.assert_close(Orthogonal(vectors)(moves), expected, rtol=0, atol=1e-6)


def test_orthogonal_takes_each_move_out_of_its_own_span(points):
    vectors, moves = points(8, 300).reshape(4, 2, 300), points(4, 300, 1)
    together = Orthogonal(vectors)(moves)
    for k in range(4):
        alone = Orthogonal(vectors[k])(moves[k : k + 1])
        torch.testing.assert_close(together[k : k + 1], alone, rtol=1e-5, atol=1e-5)
