"""Random hyperplanes through wedges, where the lowest loss is known for each of them and on average."""

import numpy as np
import pytest
import torch

from wedgescape.descent import Recipe
from wedgescape.errors import InputError
from wedgescape.hyperplanes import descend_in_hyperplanes
from wedgescape.networks import initial_points
from wedgescape.subspaces import RandomSpan, random_directions
from wedgescape.wedges import WedgeLandscape, cut_loss

DIM, SHORT, RADIUS, TRIALS = 200, 40, 2.0, 64
RECIPE = Recipe(optimizer="adam", learning_rate=0.06, schedule="cosine")


def cut(count, trials=TRIALS, steps=300, recipe=RECIPE):
    landscape = WedgeLandscape(DIM, SHORT)
    starts = RADIUS * random_directions(trials, DIM, "test starts")
    return landscape, starts, descend_in_hyperplanes(landscape, starts, count, recipe, steps, range(trials))


def lowest(landscape, starts, count):
    """The lowest loss on each hyperplane, by least squares."""
    short = landscape.members[0].bool().numpy()
    losses = []
    for seed, start in enumerate(starts.double().numpy()):
        rows = RandomSpan(count, DIM, [seed]).directions(0).double().numpy()[:, short]
        coordinates = np.linalg.lstsq(rows.T, -start[short], rcond=None)[0]
        losses.append(np.linalg.norm(start[short] + coordinates @ rows))
    return np.array(losses)


@pytest.mark.parametrize("count", [1, 10, 20, 30])
def test_below_the_threshold_a_cut_misses_the_wedge_by_the_closed_form(count):
    landscape, starts, descent = cut(count)
    found = landscape.losses(descent.points).double().numpy()
    np.testing.assert_allclose(found, lowest(landscape, starts, count), rtol=5e-3)
    assert np.sqrt((found**2).mean()) == pytest.approx(cut_loss(RADIUS, SHORT, count, DIM), rel=0.03)


@pytest.mark.parametrize("count", [60, 100])
def test_above_the_threshold_a_cut_meets_the_wedge(count):
    landscape, starts, descent = cut(count, trials=16, steps=600)
    assert landscape.losses(starts).min() > 0.5
    assert landscape.losses(descent.points).max() < 0.01


def test_points_stay_in_their_own_hyperplanes():
    count = 5
    _, starts, descent = cut(count, trials=4, steps=50)
    assert descent.points.shape == (4, DIM)
    for seed in range(4):
        rows = RandomSpan(count, DIM, [seed]).directions(0)
        moved = (descent.points - starts)[seed]
        outside = moved - torch.linalg.lstsq(rows.T, moved[:, None]).solution[:, 0] @ rows
        assert moved.norm() > 0.1
        assert outside.norm() < 1e-5 * moved.norm()


def test_a_hyperplane_belongs_to_its_seed(mlp, points):
    starts = points(3, mlp.dim)
    together = descend_in_hyperplanes(mlp, starts, 5, RECIPE, 20, [0, 1, 2]).points
    alone = descend_in_hyperplanes(mlp, starts[2:], 5, RECIPE, 20, [2]).points
    other = descend_in_hyperplanes(mlp, starts[2:], 5, RECIPE, 20, [3]).points
    assert torch.equal(together[2], alone[0])
    assert not torch.allclose(together[2], other[0], rtol=1e-3)


def test_a_network_learns_in_enough_random_directions(mlp, data):
    starts = initial_points(mlp, data, {"name": "mlp", "width": 8, "depth": 2}, [0, 1])
    recipe = Recipe(optimizer="adam", learning_rate=0.05, batch_size=16, dropout=0.1)
    few, many = (descend_in_hyperplanes(mlp, starts, count, recipe, 100, [0, 1]).points for count in (1, 60))
    assert (mlp.losses(many) < 0.7 * mlp.losses(few)).all()


def test_as_many_directions_as_dimensions_fit_and_no_more():
    landscape = WedgeLandscape(10, 2)
    starts = torch.ones(2, 10)
    descend_in_hyperplanes(landscape, starts, 10, RECIPE, 1, [0, 1])
    with pytest.raises(InputError, match="found 11 dimensions; allowed: 1 to 10"):
        descend_in_hyperplanes(landscape, starts, 11, RECIPE, 1, [0, 1])
