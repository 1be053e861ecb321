"""Curves between optima: their formulas on quadratics, a ring whose barrier is known, networks of every kind."""

import math

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection

from wedgescape.errors import InputError
from wedgescape.figures import curves as plot_curves
from wedgescape.figures import style
from wedgescape.landscapes.base import Batch, Landscape, Slice
from wedgescape.landscapes.curves import CurveLandscape
from wedgescape.landscapes.lines import barrier
from wedgescape.landscapes.spans import Span
from wedgescape.measurements import curves
from wedgescape.measurements.curves import Settings, claims, train_curves
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.randomness import stream
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima

DOUBLE = torch.float64
DIM, COUNT = 4, 3
SHAPES = [("bezier", 1), ("bezier", 3), ("chain", 1), ("chain", 3)]
SETTINGS = Settings(bends=2, pairs=2, steps=60, learning_rate=0.02, batch_size=16, samples=3, points=11)


def close(found, wanted, tolerance=1e-12):
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.fixture
def bowl(quadratic):
    return quadratic([-0.5, 0.3, 1.0, 4.0], centre=0.7)


@pytest.fixture(params=SHAPES, ids=lambda shape: "-".join(map(str, shape)))
def shape(request):
    return request.param


@pytest.fixture
def curve(bowl, points, shape):
    """Three curves over a quadratic."""
    return CurveLandscape(bowl, points(COUNT, DIM, 1, DOUBLE), points(COUNT, DIM, 2, DOUBLE), *shape)


@pytest.fixture
def inner(points, shape):
    """Their inner control points, flat."""
    return points(COUNT, shape[1] * DIM, 3, DOUBLE)


def by_formula(curve, inner, t):
    """The point (P,) at a place t of one curve, from its control points (bends + 2, P), as the textbook has it."""
    last = curve.bends + 1
    if curve.kind == "bezier":
        return sum(math.comb(last, c) * t**c * (1 - t) ** (last - c) * inner[c] for c in range(last + 1))
    piece = min(int(t * last), last - 1)
    return inner[piece] + (t * last - piece) * (inner[piece + 1] - inner[piece])


def mean_gradients(curve, points, places):
    """Autograd's gradients (K, dim) of the mean loss at places (K, T) of curves, through the formula."""
    points = points.clone().requires_grad_()
    controls = curve.controls(points)
    losses = [
        curve.landscape.losses(torch.stack([by_formula(curve, controls[k], float(t)) for t in row])).mean()
        for k, row in enumerate(places)
    ]
    return torch.autograd.grad(sum(losses), points)[0]


def streams(count=COUNT, step=0):
    return [stream("curve", seed, step) for seed in range(count)]


# What a curve is


def test_points_are_those_of_the_formula(curve, inner):
    t = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 0.99, 1.0], dtype=DOUBLE)
    controls = curve.controls(inner)
    wanted = torch.stack([torch.stack([by_formula(curve, own, float(place)) for place in t]) for own in controls])
    close(curve.at(inner, t), wanted)
    close(curve.at(inner, t.expand(COUNT, -1)), wanted)


def test_ends_are_exact(curve, inner):
    ends = curve.at(inner, torch.tensor([0.0, 1.0], dtype=DOUBLE))
    assert torch.equal(ends[:, 0], curve.starts)
    assert torch.equal(ends[:, 1], curve.ends)


def test_a_straight_curve_is_the_line_at_equal_steps_and_as_long_as_the_distance(curve):
    t = torch.linspace(0, 1, 13, dtype=DOUBLE)
    straight, way = curve.straight(), curve.ends - curve.starts
    close(curve.at(straight, t), curve.starts[:, None] + t[:, None] * way[:, None])
    norms, lengths = curve.trace(straight, t)
    close(lengths, way.norm(dim=1))
    close(norms, curve.at(straight, t).norm(dim=2))
    close(curve.tangents(straight, t), way[:, None].expand(-1, 13, -1))


def test_a_chain_without_bends_is_the_straight_line(bowl, points):
    start, end = points(1, DIM, 1, DOUBLE), points(1, DIM, 2, DOUBLE)
    line = CurveLandscape(bowl, start, end, "chain", 0)
    t = torch.linspace(0, 1, 5, dtype=DOUBLE)
    assert line.dim == 0
    close(line.at(line.straight(), t)[0], start + t[:, None] * (end - start))


def test_lengths_of_a_chain_are_those_of_its_pieces(bowl, points):
    chain = CurveLandscape(bowl, torch.zeros(1, DIM, dtype=DOUBLE), points(1, DIM, 2, DOUBLE), "chain", 2)
    inner = points(1, 2 * DIM, 3, DOUBLE)
    pieces = chain.controls(inner).diff(dim=1).norm(dim=2).sum(1)
    close(chain.trace(inner, torch.linspace(0, 1, 31, dtype=DOUBLE))[1], pieces)


def test_length_of_a_parabola(quadratic):
    """(2t, 4t(1 - t)) is y = x(2 - x) on [0, 2]: sqrt(5) + asinh(2) / 2 long."""
    flat = quadratic([1.0, 1.0])
    ends = torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=DOUBLE)
    parabola = CurveLandscape(flat, ends[:1], ends[1:])
    length = parabola.trace(torch.tensor([[1.0, 2.0]], dtype=DOUBLE), torch.linspace(0, 1, 2001, dtype=DOUBLE))[1]
    close(length, torch.tensor([math.sqrt(5) + math.asinh(2) / 2], dtype=DOUBLE), 1e-6)


def test_tangents_are_the_derivatives(curve, inner):
    t = torch.tensor([0.05, 0.3, 0.6, 0.9], dtype=DOUBLE)
    found = (curve.at(inner, t + 1e-6) - curve.at(inner, t - 1e-6)) / 2e-6
    close(curve.tangents(inner, t), found, 1e-7)


def test_curves_leave_their_ends_towards_the_next_control_point(curve, inner):
    controls = curve.controls(inner)
    found = curve.tangents(inner, torch.tensor([0.0, 1.0], dtype=DOUBLE))
    close(found[:, 0], (curve.bends + 1) * (controls[:, 1] - controls[:, 0]))
    close(found[:, 1], (curve.bends + 1) * (controls[:, -1] - controls[:, -2]))


def test_unknown_kind_is_named_with_those_allowed(bowl, points):
    with pytest.raises(ValueError, match="found 'spline', allowed are bezier, chain"):
        CurveLandscape(bowl, points(1, DIM), points(1, DIM), "spline")


# As a landscape


def test_losses_are_the_mean_over_the_grid(curve, inner):
    places = curve.at(inner, curve.grid)
    wanted = torch.stack([curve.landscape.losses(own).mean() for own in places])
    close(curve.losses(inner), wanted)
    close(curve.evaluate(inner, "test")["loss"], wanted)


def test_full_gradients_are_autograds_through_the_formula(curve, inner):
    close(curve.gradients(inner), mean_gradients(curve, inner, curve.grid.expand(COUNT, -1)))


def test_stochastic_gradients_are_autograds_at_one_place_in_each_part(curve, inner):
    draws = np.stack([draw.random(curve.samples) for draw in streams()])
    places = (np.arange(curve.samples) + draws) / curve.samples
    found = curve.gradients(inner, Batch(None, streams(), torch.zeros(COUNT)))
    close(found, mean_gradients(curve, inner, places))


def test_stochastic_gradients_are_unbiased_and_vary_less_than_independent_draws(bowl, points, shape):
    ends, at = points(2, DIM, 1, DOUBLE), points(1, shape[1] * DIM, 3, DOUBLE)
    count = 2000
    many = Batch(None, streams(count), torch.zeros(count))

    def draw(samples):
        curve = CurveLandscape(bowl, ends[:1], ends[1:], *shape, samples=samples)
        return curve.gradients(at.expand(count, -1), many), curve

    found, curve = draw(4)
    exact = mean_gradients(curve, at, (torch.arange(2000, dtype=DOUBLE)[None] + 0.5) / 2000)[0]
    spread = found.std(0)
    assert ((found.mean(0) - exact).abs() < 4 * spread / math.sqrt(count)).all()
    independent = draw(1)[0].unflatten(0, (-1, 4)).mean(1).std(0)
    assert spread.norm() < 0.9 * independent.norm()  # a chain of four pieces has one draw a piece, and gains least


def test_hvp_is_autograds(curve, inner, points):
    one = CurveLandscape(curve.landscape, curve.starts[:1], curve.ends[:1], curve.kind, curve.bends)
    vectors = points(2, one.dim, 4, DOUBLE)
    close(one.hvp(inner[0], vectors), Landscape.hvp(one, inner[0], vectors))


def test_a_descent_draws_from_the_streams_of_its_seeds_and_steps(curve, inner):
    found = descend(curve, inner, Recipe(learning_rate=0.1, momentum=0.0), 2, seeds=[5, 6, 7]).points
    wanted = inner
    for step in range(2):
        own = [stream("curve", seed, step) for seed in (5, 6, 7)]
        wanted = wanted - 0.1 * curve.gradients(wanted, Batch(None, own, torch.zeros(COUNT)))
    assert torch.equal(found, wanted)


def test_a_slice_of_curves_is_as_noisy(curve, inner, points):
    cut = Slice(curve, inner, Span(points(2, curve.dim, 4, DOUBLE)))
    found = descend(cut, torch.zeros(COUNT, 2, dtype=DOUBLE), Recipe(learning_rate=0.1, momentum=0.0), 1)
    batch = Batch(None, streams(), torch.zeros(COUNT))
    assert torch.equal(found.points, -0.1 * cut.span.project(curve.gradients(inner, batch)))


# A valley whose straight lines are known: the ring


class Ring(Landscape):
    """(|x| - 1)^2 in R^10."""

    dim = 10
    dtype = DOUBLE

    def losses(self, points, split="train"):
        return (points.norm(dim=1) - 1).square()


def on_ring(angle, count=COUNT):
    """Pairs of points on the ring, an angle (radians) apart, each pair in a plane of its own."""
    draws = torch.randn(count, 10, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    first, second = torch.linalg.qr(draws)[0].unbind(2)
    return first, math.cos(angle) * first + math.sin(angle) * second


@pytest.mark.parametrize(
    ("kind", "bends", "bound"), [("bezier", 1, 0.01), ("bezier", 3, 1e-4), ("chain", 1, 0.06), ("chain", 3, 0.005)]
)
def test_curves_follow_a_ring_that_the_line_cuts(kind, bends, bound):
    angle = math.radians(150)
    first, second = on_ring(angle)
    t = torch.linspace(0, 1, 101, dtype=DOUBLE)
    line = CurveLandscape(Ring(), first, second, "chain", 0)
    straight = barrier(line.profiles(line.straight(), t)["loss"].numpy())
    known = (1 - math.cos(angle / 2)) ** 2  # 0.55, in the middle of the chord
    np.testing.assert_allclose(straight, known, rtol=1e-12)

    curve = CurveLandscape(Ring(), first, second, kind, bends)
    recipe = Recipe(optimizer="adam", learning_rate=0.03, schedule="cosine")
    found = descend(curve, curve.straight(), recipe, 400).points
    bent = barrier(curve.profiles(found, t)["loss"].numpy())
    assert (bent < bound).all()
    lengths = curve.trace(found, t)[1]
    assert (lengths > line.trace(line.straight(), t)[1]).all()
    torch.testing.assert_close(lengths, torch.full_like(lengths, angle), rtol=0.05, atol=0)  # the arc's length


# Networks


@pytest.fixture
def own(tmp_path, network):
    """A user's module with convolution, batch norm and dropout."""
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, input_shape, classes):\n"
        "        super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),\n"
        "                         nn.Dropout(), nn.Linear(64, classes))\n"
    )
    return network({"name": "Net", "file": str(tmp_path / "own.py")})


@pytest.fixture(params=["mlp", "own", "ring"])
def any_landscape(request):
    return Ring() if request.param == "ring" else request.getfixturevalue(request.param)


@pytest.mark.parametrize("batch_size", [16, None])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_curve_ends_in_the_same_bits_alone_among_others_and_in_another_order(
    any_landscape, points, shape, dropout, batch_size
):
    count = 5
    starts, ends = (points(count, any_landscape.dim, seed).to(any_landscape.dtype) for seed in (1, 2))
    recipe = Recipe(optimizer="adam", learning_rate=0.02, dropout=dropout, batch_size=batch_size)

    def train(which):
        curve = CurveLandscape(any_landscape, starts[which], ends[which], *shape, samples=3)
        return descend(curve, curve.straight(), recipe, 6, [10 + k for k in which]).points

    together = train(list(range(count)))
    assert not torch.equal(together, CurveLandscape(any_landscape, starts, ends, *shape).straight())
    assert torch.equal(train([4, 2, 0]), together[[4, 2, 0]])
    assert torch.equal(train([3]), together[[3]])


def test_full_gradients_of_a_network_are_those_of_the_mean_loss(mlp, points):
    starts, ends = points(2, mlp.dim, 1), points(2, mlp.dim, 2)
    curve = CurveLandscape(mlp, starts, ends)
    at, move = points(2, mlp.dim, 3), 1e-2 * points(2, mlp.dim, 4) / math.sqrt(mlp.dim)
    slope = (curve.gradients(at) * move).sum(1)
    close((curve.losses(at + move) - curve.losses(at - move)) / 2, slope, 1e-4)


def test_a_trained_curve_through_a_users_network_has_a_lower_loss(own, points):
    starts, ends = (0.3 * points(2, own.dim, seed) for seed in (1, 2))
    curve = CurveLandscape(own, starts, ends)
    recipe = Recipe(optimizer="adam", learning_rate=0.02, batch_size=16)
    found = descend(curve, curve.straight(), recipe, 60).points
    before, after = curve.evaluate(curve.straight()), curve.evaluate(found)
    assert (after["loss"] < 0.5 * before["loss"]).all()
    assert (after["score"] > before["score"]).all()
    ends = curve.profiles(found, torch.tensor([0.0, 1.0]))["loss"]
    assert torch.equal(ends[:, 0], own.losses(starts))


def test_a_pair_that_is_not_finite_does_not_disturb_the_others(mlp, points):
    starts, ends = points(2, mlp.dim, 1), points(2, mlp.dim, 2)
    broken = starts.clone()
    broken[0, 0] = math.nan
    recipe = Recipe(optimizer="adam", learning_rate=0.02, batch_size=16)

    def train(first):
        curve = CurveLandscape(mlp, first, ends)
        return descend(curve, curve.straight(), recipe, 5)

    found, wanted = train(broken), train(starts)
    assert found.diverged.tolist() == [True, False]
    assert torch.equal(found.points[1], wanted.points[1])


# The measurement


@pytest.fixture
def measured(optima):
    return curves.measure(optima, SETTINGS)


def test_measure_has_every_kind_pair_split_and_place(measured):
    assert measured["loss"].dims == ("kind", "pair", "split", "t")
    assert measured["kind"].values.tolist() == ["line", "bezier", "chain"]
    assert measured["loss"].shape == measured["score"].shape == (3, 2, 2, 11)
    assert measured["bezier_controls"].shape[1] == 1
    assert measured["chain_controls"].shape[1] == 2
    assert measured["bezier_controls"].dtype == np.float32
    assert measured["loss"].notnull().all()


def test_ends_have_the_losses_of_their_optima(measured, mlp, optima):
    for pair in range(2):
        for end, place in enumerate((0.0, 1.0)):
            seed = int(measured["members"][pair, end])
            for split in ("train", "test"):
                wanted = mlp.evaluate(optima.by_seed[seed][None], split)
                for name in ("loss", "score"):
                    found = measured[name].isel(pair=pair).sel(split=split, t=place).values
                    assert (found == wanted[name].numpy()).all()


def test_stored_control_points_give_the_curve_again(measured, mlp, optima):
    t = torch.tensor(measured["t"].values)
    for kind in ("bezier", "chain"):
        controls = torch.from_numpy(measured[f"{kind}_controls"].values)
        starts, ends = (
            torch.stack([optima.by_seed[int(seed)] for seed in measured["members"][:, end]]) for end in (0, 1)
        )
        curve = CurveLandscape(mlp, starts, ends, kind, controls.shape[1])
        found = curve.profiles(controls.flatten(1), t)["loss"].numpy()
        np.testing.assert_array_equal(found, measured["loss"].sel(kind=kind, split="train").values)


def test_barriers_lengths_and_departures_say_what_they_are(measured):
    losses = measured["loss"].values.astype(float)
    chord = losses[..., :1] + measured["t"].values * (losses[..., -1:] - losses[..., :1])
    np.testing.assert_allclose(measured["barrier"], (losses - chord).max(-1), atol=1e-6)
    np.testing.assert_array_equal(measured["largest_loss"], measured["loss"].max("t"))
    bent = measured.sel(kind=["bezier", "chain"])
    assert (bent["length"] > measured["length"].sel(kind="line")).all()
    assert (bent["departure"] > 0.1).all()
    np.testing.assert_allclose(measured["departure"].sel(kind="line"), 0, atol=1e-6)
    # The lowest mean loss is what curves are trained for.
    assert (
        bent["loss"].sel(split="train").mean("t") < measured["loss"].sel(kind="line", split="train").mean("t")
    ).all()


def test_equal_settings_give_equal_bytes(measured, optima, tmp_path):
    write_store(measured, tmp_path / "a.zarr.zip", Origin("measure_curves"))
    write_store(curves.measure(optima, SETTINGS), tmp_path / "b.zarr.zip", Origin("measure_curves"))
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()
    assert len(curves.tidy(open_store(tmp_path / "a.zarr.zip"))) == 3 * 2 * 2 * 11


def test_a_pair_has_the_same_curve_whichever_others_are_measured(measured, mlp, weights):
    pair = [int(seed) for seed in measured["members"][1]]
    alone = curves.measure(Optima(mlp, weights.sel(seed=pair)), SETTINGS)
    assert alone.sizes["pair"] == 1
    np.testing.assert_array_equal(alone["chain_controls"][0], measured["chain_controls"][1])


def test_trained_curves_join_optima_and_are_lines_without_steps(mlp, optima):
    optima, t = optima.points, torch.linspace(0, 1, 5)
    curve = CurveLandscape(mlp, optima[:2], optima[2:], "bezier", 1, 2)

    def trained(steps):
        return curve.at(train_curves(curve, [(0, 2), (1, 3)], Settings(batch_size=16), steps), t)

    line, bent = trained(0), trained(60)
    torch.testing.assert_close(line, optima[:2, None] + t[:, None] * (optima[2:] - optima[:2])[:, None])
    torch.testing.assert_close(bent[:, 0], optima[:2])
    torch.testing.assert_close(bent[:, -1], optima[2:])
    assert (mlp.losses(bent[:, 2]) < mlp.losses(line[:, 2])).all()


def test_runs_that_diverged_are_in_no_pair_and_flagged(mlp, weights):
    def measured(diverged):
        optima = Optima.of(mlp, torch.from_numpy(weights["theta"].values), [4, 5, 6, 7], diverged=diverged)
        return curves.measure(optima, Settings(kinds=["bezier"], steps=1, points=5))

    store = measured([False, True, False, False])
    assert sorted(store["pair"].values) == ["4-6", "4-7", "6-7"]
    assert store["seed"].values.tolist() == [4, 5, 6, 7]
    assert store["diverged"].values.tolist() == [False, True, False, False]
    with pytest.raises(InputError, match="1 of 4 runs"):
        measured([True, True, True, False])


# The figure


def test_the_figure_draws_every_pair_of_every_kind(measured):
    figure = plot_curves.draw(measured, Intervals(0.95, 100))
    figure.draw_without_rendering()
    assert figure.get_figwidth() == style.TWO_COLUMNS
    loss, error, norm, barriers, lengths = figure.axes
    assert [axes.get_title(loc="left")[9] for axes in figure.axes] == list("abcde")
    wanted = {
        loss: measured["loss"].sel(split="train"),
        error: 1 - measured["score"].sel(split="test"),
        norm: measured["norm"],
    }
    for axes, values in wanted.items():
        lines = [line.get_ydata() for line in axes.lines]
        assert len(lines) == 3 * (2 + 1)  # pairs and their mean
        for row in values.transpose("kind", "pair", "t").values.reshape(-1, 11):
            assert any(np.allclose(row, line) for line in lines)
    pairs = np.log(wanted[loss].transpose("kind", "pair", "t").values).mean(1)
    for row in np.exp(pairs):  # of losses the geometric mean, on whose axis bands stay above zero
        assert any(np.allclose(row, line.get_ydata()) for line in loss.lines)
    assert min(part.get_datalim(loss.transData).y0 for part in loss.collections) > 0
    assert [label.get_text() for label in barriers.get_xticklabels()] == ["line", "Bezier", "chain"]
    assert sum(isinstance(part, PathCollection) for part in barriers.collections) == 2 * 2  # pairs on both splits
    relative = (measured["length"] / measured["length"].sel(kind="line")).values.ravel()
    dots = [float(part.get_offsets()[0, 1]) for part in lengths.collections if isinstance(part, PathCollection)]
    assert dots == pytest.approx(relative)
    labels = [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]
    assert labels == ["straight line", "Bezier curve", "polygonal chain", "each of 2 pairs", "mean, 95% interval"]
    assert plot_curves.tabulate(measured).columns.tolist() == [
        *("kind", "pair", "split", "t", "loss", "score", "norm", "barrier", "relative_length")
    ]


def test_the_figure_draws_one_pair_and_losses_that_are_not_finite(measured):
    measured["loss"][1, 0, 0, 4:] = np.nan
    measured["barrier"][1, 0] = np.nan
    plot_curves.draw(measured.isel(pair=[0]), Intervals(0.95, 100)).draw_without_rendering()


# The verdicts


def test_a_claim_compares_barriers_pair_by_pair_in_decades(measured):
    barriers = measured["barrier"].copy(data=np.ones(measured["barrier"].shape))
    barriers[{"kind": 1, "pair": 0}], barriers[{"kind": 1, "pair": 1}] = 0.1, 0.01
    barriers[{"kind": 2}] = [[np.nan, np.nan], [0.0, 0.0]]
    bezier, chain = claims(measured.assign(barrier=barriers), Intervals())
    assert (bezier.id, chain.id) == ("curve_bezier", "curve_chain")
    assert bezier.estimate == Intervals().pairs([-1.0, -2.0], measured["members"].values)
    assert (bezier.estimate.units, bezier.left_out) == (2, 0)  # pairs that share no seed
    assert (chain.estimate.estimate, chain.left_out) == (pytest.approx(-4), 1)  # the floor


def test_pairs_with_a_run_that_does_not_fit_are_left_out(measured):
    lost = measured["members"].values[0, 0]
    measured = measured.assign(unfit=measured["seed"] == lost)
    assert {claim.left_out for claim in claims(measured, Intervals())} == {1}
