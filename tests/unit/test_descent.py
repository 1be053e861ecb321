"""The one optimiser: against PyTorch's step by step, and its promises about seeds and neighbours."""

import math
from pathlib import Path

import pytest
import torch

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.spans import Orthogonal, random_directions
from wedgescape.numerics.randomness import stream
from wedgescape.training.descent import Recipe, descend

EIGENVALUES = [0.1, 0.5, 1.0, 2.0, 5.0]
DIM = len(EIGENVALUES)
DOUBLE = torch.float64
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def bowl(quadratic):
    return quadratic(EIGENVALUES, centre=0.7)


@pytest.fixture
def starts(points):
    return 3 * points(4, DIM, dtype=DOUBLE)


# Against torch.optim

OPTIMISERS = {
    "sgd": (dict(optimizer="sgd", momentum=0.0), torch.optim.SGD, {}),
    "momentum": (dict(optimizer="sgd", momentum=0.9), torch.optim.SGD, dict(momentum=0.9)),
    "nesterov": (
        dict(optimizer="sgd", momentum=0.9, nesterov=True),
        torch.optim.SGD,
        dict(momentum=0.9, nesterov=True),
    ),
    "adam": (dict(optimizer="adam"), torch.optim.Adam, {}),
    "adamw": (dict(optimizer="adamw"), torch.optim.AdamW, {}),
}


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_step_is_pytorchs(bowl, starts, name, decay, clip):
    ours, optimiser, theirs = OPTIMISERS[name]
    steps, rate = 25, 0.05
    recipe = Recipe(**ours, learning_rate=rate, weight_decay=decay, clip_norm=clip)
    found = descend(bowl, starts, recipe, steps, keep_at=range(steps + 1)).snapshots
    for k, start in enumerate(starts):
        point = start.clone().requires_grad_()
        optimizer = optimiser([point], lr=rate, weight_decay=decay, **theirs)
        for step in range(steps + 1):
            torch.testing.assert_close(found[step, k], point.detach(), rtol=1e-6, atol=1e-6)
            optimizer.zero_grad()
            bowl.losses(point[None]).sum().backward()
            if clip:
                torch.nn.utils.clip_grad_norm_([point], clip)
            optimizer.step()


def test_gradient_descent_on_a_quadratic_contracts_by_the_closed_form(bowl, starts):
    steps, rate = 20, 0.1
    found = descend(bowl, starts, Recipe(learning_rate=rate, momentum=0.0), steps).points
    powers = (1 - rate * torch.tensor(EIGENVALUES, dtype=DOUBLE)) ** steps
    wanted = 0.7 + (starts - 0.7) @ bowl.eigenvectors * powers @ bowl.eigenvectors.T
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_starts_are_left_as_they_are(bowl, starts):
    before = starts.clone()
    descend(bowl, starts, Recipe(), 3)
    assert torch.equal(starts, before)


def test_no_steps_return_the_starts(bowl, starts):
    descent = descend(bowl, starts, Recipe(), 0)
    assert torch.equal(descent.points, starts)
    assert (descent.history, descent.snapshots) == ({}, None)


# Sharpness-aware minimisation


def test_a_sharpness_aware_step_is_the_closed_form_on_a_quadratic(bowl, starts):
    radius, rate = 0.3, 0.05
    gradient = (starts - bowl.centre) @ bowl.hessian
    uphill = starts + radius * gradient / gradient.norm(dim=1, keepdim=True)
    wanted = starts - rate * (uphill - bowl.centre) @ bowl.hessian
    recipe = Recipe(momentum=0.0, learning_rate=rate, sharpness_radius=radius)
    torch.testing.assert_close(descend(bowl, starts, recipe, 1).points, wanted)
    assert (wanted - descend(bowl, starts, Recipe(momentum=0.0, learning_rate=rate), 1).points).abs().max() > 1e-3


def test_each_point_may_have_a_radius_of_its_own_and_zero_is_ordinary(bowl, starts):
    radii = [0.0, 0.1, 0.0, 0.4]
    together = descend(bowl, starts, Recipe(sharpness_radius=radii), 9).points
    for k, radius in enumerate(radii):
        alone = descend(bowl, starts[k : k + 1], Recipe(sharpness_radius=radius), 9).points
        torch.testing.assert_close(together[k : k + 1], alone)
    torch.testing.assert_close(together[2], descend(bowl, starts, Recipe(), 9).points[2])


def test_where_the_gradient_is_zero_a_sharpness_aware_step_stays(bowl):
    assert torch.equal(descend(bowl, bowl.centre[None], Recipe(sharpness_radius=1.0), 3).points, bowl.centre[None])


def test_both_gradients_of_a_sharpness_aware_step_see_the_same_examples_and_dropout(mlp, points):
    start, rate, radius = points(2, mlp.dim), 0.1, 0.2
    recipe = Recipe(momentum=0.0, learning_rate=rate, batch_size=16, dropout=0.3)

    def gradient(at):
        return (at - descend(mlp, at, recipe, 1, seeds=[4, 5]).points) / rate

    first = gradient(start)
    wanted = start - rate * gradient(start + radius * first / first.norm(dim=1, keepdim=True))
    found = descend(mlp, start, Recipe(**{**vars(recipe), "sharpness_radius": radius}), 1, seeds=[4, 5]).points
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


# Schedules


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        (Recipe(schedule="constant"), {0: 1, 50: 1, 99: 1}),
        (Recipe(schedule="cosine"), {0: 1, 25: 0.5 + 0.25 * math.sqrt(2), 50: 0.5, 75: 0.5 - 0.25 * math.sqrt(2)}),
        (Recipe(schedule="step"), {0: 1, 49: 1, 50: 0.1, 74: 0.1, 75: 0.01, 99: 0.01}),
        (Recipe(schedule="triangular"), {0: 1, 25: 0.5, 50: 0, 75: 0.5, 99: 0.98}),
        (Recipe(schedule="triangular", cycles=2), {0: 1, 25: 0, 50: 1, 60: 0.6, 75: 0}),
        (Recipe(schedule="cyclic_cosine"), {0: 1, 50: 0.5, 75: 0.5 - 0.25 * math.sqrt(2)}),
        (Recipe(schedule="cyclic_cosine", cycles=5), {0: 1, 10: 0.5, 15: 0.5 - 0.25 * math.sqrt(2), 20: 1, 90: 0.5}),
        (Recipe(schedule="constant", warmup_steps=4), {0: 0.25, 1: 0.5, 2: 0.75, 3: 1, 4: 1, 99: 1}),
        (Recipe(schedule="cosine", warmup_steps=20), {0: 0.05, 19: 1, 20: 1, 60: 0.5, 80: 0.5 - 0.25 * math.sqrt(2)}),
        (Recipe(schedule="step", warmup_steps=20), {19: 1, 59: 1, 60: 0.1, 79: 0.1, 80: 0.01}),
    ],
)
def test_schedules_in_closed_form(recipe, wanted):
    assert {step: recipe.rate(step, 100) for step in wanted} == pytest.approx(wanted, abs=1e-12)


def test_cosine_ends_near_zero_and_a_run_of_one_step_takes_it_in_full():
    assert Recipe(schedule="cosine").rate(99, 100) == pytest.approx(0, abs=3e-4)
    assert Recipe(schedule="cosine").rate(0, 1) == 1


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        (Recipe(schedule="cosine", cycles=4), []),
        (Recipe(schedule="cyclic_cosine", cycles=4), [25, 50, 75, 100]),
        (Recipe(schedule="triangular", cycles=2), [25, 75]),
        (Recipe(schedule="triangular", cycles=2, warmup_steps=20), [40, 80]),
    ],
)
def test_low_points_are_where_the_rate_is_lowest(recipe, wanted):
    assert recipe.low_points(100) == wanted
    for step in wanted:  # the rate before it and after it is no lower
        assert recipe.rate(step - 1, 100) <= 0.06


def test_unknown_schedule_is_named_with_those_allowed():
    with pytest.raises(ValueError, match="found 'sine', allowed are constant, cosine, step, triangular, cyclic_cosine"):
        Recipe(schedule="sine").rate(0, 10)


class Slope(Landscape):
    """A constant gradient of 1."""

    dim = 1

    def losses(self, points, split="train"):
        return points.sum(1)


def test_a_descent_follows_its_schedule():
    recipe = Recipe(momentum=0.0, learning_rate=2.0, schedule="step", warmup_steps=2)
    kept = descend(Slope(), torch.zeros(1, 1, dtype=DOUBLE), recipe, 10, keep_at=range(11)).snapshots[:, 0, 0]
    rates = [0.5, 1, 1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    torch.testing.assert_close(-kept.diff(), 2 * torch.tensor(rates, dtype=DOUBLE))


# Each point its own hyperparameters

OWN = {
    "learning_rate": [0.01, 0.05, 0.1, 0.2],
    "momentum": [0.0, 0.5, 0.9, 0.95],
    "weight_decay": [0.0, 1e-3, 1e-2, 0.1],
    "dropout": [0.0, 0.1, 0.3, 0.5],
    "clip_norm": [0.1, 0.3, 1.0, 10.0],
}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_points_with_hyperparameters_of_their_own_equal_separate_runs_bit_for_bit(mlp, points, optimizer):
    starts = points(4, mlp.dim)
    shared = {"optimizer": optimizer, "batch_size": 16, "schedule": "cosine"}
    together = descend(mlp, starts, Recipe(**shared, **OWN), 12, seeds=range(4)).points
    for k in range(4):
        own = {name: values[k] for name, values in OWN.items()}
        alone = descend(mlp, starts[k : k + 1], Recipe(**shared, **own), 12, seeds=[k]).points
        assert torch.equal(alone[0], together[k])


# Chunk invariance


@pytest.mark.parametrize("model", [{"name": "mlp", "width": 8, "depth": 2}, {"name": "simple_cnn", "width": 3}])
def test_a_seed_ends_in_the_same_bits_alone_among_others_and_in_another_order(network, points, model):
    landscape = network(model)
    starts = {seed: points(1, landscape.dim, seed)[0] * 0.3 for seed in range(8)}
    recipe = Recipe(learning_rate=0.1, weight_decay=1e-3, dropout=0.3, batch_size=16, schedule="cosine")

    def ends(seeds):
        descent = descend(landscape, torch.stack([starts[seed] for seed in seeds]), recipe, 40, seeds)
        return dict(zip(seeds, descent.points, strict=True))

    among, alone, elsewhere = ends(range(8)), ends([7]), ends([7, 2, 5])
    assert torch.equal(among[7], alone[7])
    assert torch.equal(among[7], elsewhere[7])
    assert torch.equal(among[2], elsewhere[2])
    assert len({end.numpy().tobytes() for end in among.values()}) == 8


def test_seeds_choose_order_and_dropout(mlp, points):
    start = points(1, mlp.dim).expand(2, -1)
    ends = {}
    for dropout, batch_size in ((0.0, 16), (0.3, None)):
        recipe = Recipe(dropout=dropout, batch_size=batch_size)
        ends[dropout] = descend(mlp, start, recipe, 5, seeds=[1, 2]).points
        assert not torch.equal(*ends[dropout])
    same = descend(mlp, start, Recipe(), 5, seeds=[1, 2]).points  # the full loss without dropout has no randomness
    assert torch.equal(*same)


# Minibatches


def batches_of(quadratic, batch_size, steps, seeds=(3, 4), examples=10):
    landscape = quadratic(EIGENVALUES, examples=examples)
    descend(landscape, torch.zeros(len(seeds), DIM, dtype=DOUBLE), Recipe(batch_size=batch_size), steps, seeds)
    return [batch.examples if batch else None for what, batch, _ in landscape.asked if what == "gradients"]


def test_every_example_is_seen_once_an_epoch_the_last_smaller_batch_included(quadratic):
    examples = batches_of(quadratic, 4, 6)
    assert [batch.shape for batch in examples] == [(2, 4), (2, 4), (2, 2)] * 2
    orders = [torch.cat(examples[first : first + 3], 1) for first in (0, 3)]
    for order in (*orders[0], *orders[1]):
        assert sorted(order.tolist()) == list(range(10))
    distinct = {tuple(order.tolist()) for order in (*orders[0], *orders[1])}
    assert len(distinct) == 4  # two seeds, two epochs


def test_orders_belong_to_seeds_and_epochs(quadratic):
    together, alone = batches_of(quadratic, 4, 6), batches_of(quadratic, 4, 6, seeds=[4])
    assert all(torch.equal(pair[1], single[0]) for pair, single in zip(together, alone, strict=True))


def test_a_batch_larger_than_the_split_is_the_split(quadratic):
    assert [batch.shape for batch in batches_of(quadratic, 64, 2)] == [(2, 10), (2, 10)]


def test_without_batches_or_examples_the_full_gradient_is_taken(quadratic):
    assert batches_of(quadratic, None, 2) == [None, None]
    assert batches_of(quadratic, 4, 2, examples=0) == [None, None]


def test_a_noisy_landscape_gets_streams_of_its_seeds_and_steps(quadratic):
    for batch_size, examples in ((None, 0), (None, 10), (4, 10)):
        landscape = quadratic(EIGENVALUES, examples=examples)
        landscape.noise = "points on a curve"
        descend(landscape, torch.zeros(2, DIM, dtype=DOUBLE), Recipe(batch_size=batch_size), 3, seeds=[3, 4])
        batches = [batch for what, batch, _ in landscape.asked if what == "gradients"]
        for step, batch in enumerate(batches):
            assert (batch.examples is None) == (batch_size is None)
            for seed, found in zip((3, 4), batch.streams, strict=True):
                assert found.random() == stream("points on a curve", seed, step).random()


def test_steps_per_epoch():
    assert [Recipe(batch_size=size).steps_per_epoch(61) for size in (None, 1, 16, 61, 100)] == [1, 61, 4, 1, 1]
    assert Recipe(batch_size=16).steps_per_epoch(0) == 1


# Divergence


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_point_that_diverges_is_flagged_and_its_neighbours_do_not_notice(mlp, points, optimizer):
    starts = points(3, mlp.dim)
    recipe = {"optimizer": optimizer, "batch_size": 16, "dropout": 0.2, "weight_decay": 1e-3, "clip_norm": 5.0}

    def run(rate):
        return descend(mlp, starts, Recipe(learning_rate=[0.05, rate, 0.05], **recipe), 15, seeds=[0, 1, 2])

    calm, wild = run(0.05), run(1e38)
    assert calm.diverged.tolist() == [False, False, False]
    assert wild.diverged.tolist() == [False, True, False]
    assert torch.equal(wild.points[[0, 2]], calm.points[[0, 2]])
    assert not wild.points[1].isfinite().all()


class Steep(Landscape):
    """One direction in which a descent explodes, and one that knows nothing of it."""

    dim = 2

    def losses(self, points, split="train"):
        return 0.05 * points[:, 0] ** 2 + 1e30 * points[:, 1] ** 2


def test_one_number_that_is_not_finite_is_enough_to_be_flagged():
    descent = descend(Steep(), torch.tensor([[1.0, 1.0], [1.0, 0.0]]), Recipe(momentum=0.0), 20)
    assert descent.points.isfinite().tolist() == [[True, False], [True, True]]
    assert descent.diverged.tolist() == [True, False]


# Constraints


@pytest.mark.parametrize("recipe", [Recipe(momentum=0.9, weight_decay=0.1), Recipe(optimizer="adam")])
def test_moves_respect_the_constraint(mlp, points, recipe):
    starts, forbidden = points(2, mlp.dim), points(6, mlp.dim, 1).reshape(2, 3, -1)
    moved = descend(mlp, starts, recipe, 50, constraint=Orthogonal(forbidden)).points - starts
    assert (moved.norm(dim=1) > 0.1).all()
    cosines = (forbidden @ moved[:, :, None])[:, :, 0] / forbidden.norm(dim=2) / moved.norm(dim=1, keepdim=True)
    assert cosines.abs().max() < 1e-5


def test_a_constrained_descent_ends_at_the_constrained_minimum(bowl, starts):
    normals = random_directions(2, DIM, "test").double()
    found = descend(bowl, starts, Recipe(learning_rate=0.1), 3000, constraint=Orthogonal(normals)).points
    free = torch.linalg.qr(torch.cat([normals, torch.eye(DIM, dtype=DOUBLE)]).T)[0][:, 2:]  # (P, P - 2)
    inverse = torch.linalg.inv(free.T @ bowl.hessian @ free)
    wanted = starts - (starts - 0.7) @ bowl.hessian @ free @ inverse @ free.T
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


# What is looked at on the way


def test_snapshots_and_observations_are_those_after_so_many_steps(bowl, starts):
    recipe, seen = Recipe(learning_rate=0.1), []

    def observe(step, points):
        seen.append(step)
        return {"loss": bowl.losses(points), "step": torch.full((len(points),), step)}

    descent = descend(bowl, starts, recipe, 7, observe=observe, observe_at=[0, 3, 7], keep_at=[0, 2, 3, 7])
    assert seen == [0, 3, 7]
    assert descent.history["step"].tolist() == [[0] * 4, [3] * 4, [7] * 4]
    assert descent.snapshots.shape == (4, 4, DIM)
    for row, steps in enumerate([0, 2, 3, 7]):
        assert torch.equal(descent.snapshots[row], descend(bowl, starts, recipe, steps).points)
    assert torch.equal(descent.history["loss"], bowl.losses(descent.snapshots[[0, 2, 3]].flatten(0, 1)).reshape(3, 4))


def test_the_average_is_the_mean_of_the_points_at_its_steps(mlp, points):
    """The mean of the snapshots to 1e-6, none of them counted twice; the descent itself goes on undisturbed."""
    start, steps = points(3, mlp.dim), [4, 8, 12, 16, 20]
    recipe = Recipe(learning_rate=0.1, batch_size=16)
    descent = descend(mlp, start, recipe, 20, keep_at=steps, average_at=steps)
    assert len(descent.snapshots) == 5
    torch.testing.assert_close(descent.average, descent.snapshots.mean(0), rtol=0, atol=1e-6)
    assert descent.average.dtype == start.dtype
    plain = descend(mlp, start, recipe, 20)
    assert torch.equal(plain.points, descent.points)
    assert plain.average is None
