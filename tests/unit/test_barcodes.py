"""Barcodes: wells with known saddles, ultrametric merges, copies of one network, doubled units; claims; the figure."""

import itertools

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from drawings import check_looks, drawn
from wedgescape import NetworkLandscape
from wedgescape.figures import barcodes as plot_barcodes
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.controls import with_duplicated_units
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import barcodes
from wedgescape.measurements.barcodes import (
    Settings,
    claims,
    exponents,
    highest,
    highest_on_curves,
    longest,
    measure,
    sets_of,
)
from wedgescape.measurements.curves import Settings as CurveSettings
from wedgescape.numerics.barcodes import bars, merge_heights
from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import write_store
from wedgescape.training.optima import Optima

INTERVALS = Intervals(resamples=100)
SETTINGS = Settings(seeds=4, size=2, points=5, curve_steps=5)


class Wells(Landscape):
    """x^4/4 - x^3/6 - x^2/2 + x/2 + y^2: minima at x = -1 and 1, between them a saddle at x = 1/2."""

    dim, dtype, examples = 2, torch.float64, 0

    def losses(self, points, split="train"):
        x, y = points.unbind(1)
        return x**4 / 4 - x**3 / 6 - x**2 / 2 + x / 2 + y**2

    def gradients(self, points, batch=None):
        x, y = points.unbind(1)
        return torch.stack([x**3 - x**2 / 2 - x + 0.5, 2 * y], 1)


def square(pairs, count):
    """A symmetric matrix of {(i, j): value}."""
    found = np.zeros((count, count))
    for (one, other), value in pairs.items():
        found[one, other] = found[other, one] = value
    return found


def random_heights(count, seed):
    draw = np.random.default_rng(seed)
    heights = square({pair: draw.uniform(1, 2) for pair in itertools.combinations(range(count), 2)}, count)
    return draw.uniform(0, 1, count), heights


# Barcodes


def test_optima_of_two_wedges_have_one_bar_of_known_length():
    """Lines on a wedge stay on it. From a to b on another, the loss is the smaller of t |b_S| and (1 - t) |a_T|."""
    wedges = WedgeLandscape(dim=8, short=3, wedges=2, seed=1)
    points = wedges.optima(6, 5.0).double()  # in turn on the first and on the second
    pairs = list(itertools.combinations(range(6), 2))
    starts, ends = (points[[pair[end] for pair in pairs]] for end in (0, 1))
    heights = square(dict(zip(pairs, highest(wedges, starts, ends, 2001), strict=True)), 6)
    born, died = bars(np.zeros(6), heights).T
    np.testing.assert_allclose(died[:4], 0, atol=1e-6)
    across = {
        (one, other): [wedges.distances(points[[other]])[0, one % 2], wedges.distances(points[[one]])[0, other % 2]]
        for one, other in pairs
        if one % 2 != other % 2
    }
    saddles = {pair: float(p * q / (p + q)) for pair, (p, q) in across.items()}
    assert died[4] == pytest.approx(min(saddles.values()), rel=1e-3)
    assert born.max() == 0


def test_the_younger_of_two_wells_dies_at_the_saddle():
    minima = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    births, low, high = Wells().losses(minima).numpy(), -7 / 12, 1 / 12
    np.testing.assert_allclose(births, [low, high])
    height = highest(Wells(), minima[:1], minima[1:], 5)  # of which one is the saddle
    saddle = 1 / 64 - 1 / 48 - 1 / 8 + 1 / 4
    np.testing.assert_allclose(height, saddle)
    np.testing.assert_allclose(bars(births, square({(0, 1): height[0]}, 2)), [[high, saddle]])


def test_a_curve_finds_the_way_over_the_saddle_that_a_line_misses():
    """Along the valley y = 2 x^2 of a bent well; the straight line at y = 2 climbs its wall."""

    class Bent(Wells):
        def losses(self, points, split="train"):
            x, y = points.unbind(1)
            return super().losses(torch.stack([x, y - 2 * x**2], 1), split)

        def gradients(self, points, batch=None):
            with torch.enable_grad():
                points = points.detach().requires_grad_()
                return torch.autograd.grad(self.losses(points).sum(), points)[0]

    minima = torch.tensor([[-1.0, 2.0], [1.0, 2.0]], dtype=torch.float64)
    settings = Settings(points=41, curve_steps=1500)
    line = highest(Bent(), minima[:1], minima[1:], 41)
    curve = highest_on_curves(Bent(), minima[:1], minima[1:], [(0, 1)], settings, CurveSettings(learning_rate=0.03))
    saddle = 1 / 64 - 1 / 48 - 1 / 8 + 1 / 4
    assert line > saddle + 2
    assert saddle - 1e-3 < curve < saddle + 0.05


def test_bars_by_hand():
    """1 merges with 0 at 0.5, and is the older; 2 merges with both at 0.6, by way of 1."""
    heights = square({(0, 1): 0.5, (0, 2): 0.9, (1, 2): 0.6, (0, 3): 0.8, (1, 3): 0.9, (2, 3): np.inf}, 4)
    assert bars([0.2, 0.0, 0.1, -0.1], heights).tolist() == [[0.2, 0.5], [0.1, 0.6], [0.0, 0.8]]


def test_a_minimum_that_no_path_reaches_lives_longest_and_one_has_no_bar():
    assert bars([0.0, 0.1], square({(0, 1): np.inf}, 2))[0, 1] > 1e300
    assert bars([0.0], np.zeros((1, 1))).shape == (0, 2)


@pytest.mark.parametrize("seed", range(5))
def test_merges_are_the_lowest_paths_and_an_ultrametric(seed):
    births, heights = random_heights(7, seed)
    merged = merge_heights(births, heights)
    lowest = heights.copy()
    for k in range(7):  # Floyd and Warshall's, with the maximum for the sum
        lowest = np.minimum(lowest, np.maximum(lowest[:, k, None], lowest[k]))
    away = ~np.eye(7, dtype=bool)
    np.testing.assert_allclose(merged[away], lowest[away])
    np.testing.assert_allclose(np.diag(merged), births)
    for i, j, k in itertools.permutations(range(7), 3):
        assert merged[i, j] <= max(merged[i, k], merged[k, j])
    found = bars(births, heights)
    assert sorted([births.min(), *found[:, 0]]) == pytest.approx(sorted(births))
    assert sorted(found[:, 1]) == pytest.approx(sorted(set(merged[away])))


# Networks


@pytest.fixture
def measured(optima, tmp_path):
    store = measure(optima, SETTINGS)
    write_store(store, tmp_path / "barcodes.zarr.zip", Origin("test"))
    return store


def test_equal_networks_merge_at_their_own_loss(optima):
    same = Optima.of(optima.landscape, optima.points[:1].repeat(3, 1), attributes=optima.weights.attrs)
    store = measure(same, SETTINGS)
    for kind in ("line", "matched"):
        births, heights = barcodes.matrix(store, kind, [0, 1, 2])
        np.testing.assert_allclose(bars(births, heights), births[0], rtol=1e-6)


def test_heights_are_those_of_lines_and_no_barcode_lies_above_that_of_lines(optima, measured):
    points = optima.by_seed
    for place, (one, other) in enumerate(measured["members"].values.tolist()):
        t = torch.linspace(0, 1, 5)[:, None]
        line = optima.landscape.losses((1 - t) * points[one] + t * points[other])
        assert float(measured["height"].sel(path="line")[place]) == pytest.approx(float(line.max()), rel=1e-5)
    np.testing.assert_allclose(measured["birth"], optima.landscape.losses(optima.points), rtol=1e-6)
    seeds = optima.seeds
    line, bezier, matched = (longest(measured, kind, seeds, 3) for kind in barcodes.KINDS)
    assert (bezier <= line).all()
    assert (matched <= line).all()


def test_shuffled_copies_are_far_and_come_together_when_matched(measured):
    np.testing.assert_allclose(measured["rematched_height"], measured["birth"], rtol=1e-5)
    assert (measured["copies_height"] > 1.5 * measured["birth"]).all()


def test_doubled_units_leave_bars_of_lines_as_they_are(optima):
    """So width alone has the exponent 0."""
    wider, copies = with_duplicated_units(optima.landscape, optima.points, {"name": "mlp", "width": 16, "depth": 2})
    own = highest(optima.landscape, optima.points[:1], optima.points[1:2], 7)
    np.testing.assert_allclose(highest(wider, copies[:1], copies[1:2], 7), own, rtol=1e-4)


def test_doubling_is_tried_on_pairs_that_share_no_seed(measured):
    tried = measured["members"].values[np.isfinite(measured["doubled_height"].values)]
    assert tried.tolist() == [[0, 1], [2, 3]]
    assert len(barcodes.doubling(measured)) == 2
    same = measured.assign(doubled_height=measured["height"].sel(path="matched", drop=True))
    assert barcodes.doubling(same).tolist() == [0] * 6


def test_networks_that_cannot_be_matched_have_lines_and_curves_alone(optima):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(16, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.last(torch.cumsum(self.first(x.flatten(1)), 1))

    landscape = NetworkLandscape.of(Odd(), optima.landscape.splits)
    points = 0.3 * torch.randn(3, landscape.dim, generator=torch.Generator().manual_seed(0))
    store = measure(Optima.of(landscape, points, attributes=optima.weights.attrs), SETTINGS)
    assert barcodes.kinds(store) == ["line", "bezier"]
    assert "cumsum" in store.attrs["not_aligned"]
    found = list(claims({"a": fake(8, [1.0]), "b": fake(16, [1.0])}, INTERVALS))
    assert len(found) == 4


def test_runs_that_diverged_are_in_no_pair(optima, tmp_path):
    lost = Optima.of(
        optima.landscape, optima.points, diverged=[True, False, False, False], attributes=optima.weights.attrs
    )
    store = measure(lost, SETTINGS)
    assert 0 not in store["members"]
    assert store.sizes["pair"] == 3
    assert bool(store["diverged"].sel(seed=0))
    write_store(store, tmp_path / "barcodes.zarr.zip", Origin("test"))
    none = Optima.of(optima.landscape, optima.points, diverged=[True] * 4, attributes=optima.weights.attrs)
    store = measure(none, SETTINGS)
    assert store.sizes["pair"] == 0
    assert list(claims({"a": store, "b": store}, INTERVALS)) == []
    check_looks(plot_barcodes.draw({"a": store}, {"width": store.attrs["width"]}, INTERVALS), 3)


# Claims


def fake(width, scales, seeds=6, noise=0.0, exponent=-1.0, copies=-1.0, matched=-1.0):
    """A store whose heights are powers of the width, with effects of pairs."""
    draw = np.random.default_rng(width)
    pairs = list(itertools.combinations(range(seeds), 2))

    def power(of, *shape):
        return 0.001 + width**of * np.exp(noise * draw.standard_normal(shape))

    heights = np.stack([power(exponent, len(pairs)), power(exponent, len(pairs)), power(matched, len(pairs))])
    return xr.Dataset(
        {
            "birth": ("seed", np.full(seeds, 0.001)),
            "height": (("path", "pair"), heights * scales[0]),
            "members": (("pair", "end"), np.array(pairs)),
            "copies_height": (("seed", "link"), power(copies, seeds, 3)),
            "doubled_height": ("pair", np.where(np.arange(len(pairs)) == 0, heights[2], np.nan)),
            "rematched_height": ("seed", np.full(seeds, 0.001)),
            "diverged": ("seed", np.zeros(seeds, bool)),
            "unfit": ("seed", np.zeros(seeds, bool)),
        },
        {"seed": np.arange(seeds), "path": ["line", "bezier", "matched"], "pair": [f"{a}-{b}" for a, b in pairs]},
        {"width": width, "chance_loss": 1.001, "size": 3},
    )


def test_exponents_of_powers_are_found():
    stores = {str(width): fake(width, [1.0], exponent=-0.5, copies=-0.5, matched=-1.5) for width in (8, 16, 64)}
    found = {claim.id: claim.estimate for claim in claims(stores, INTERVALS)}
    assert found["barcode_width_line"].estimate == pytest.approx(-0.5, abs=1e-3)
    assert found["barcode_width_matched"].estimate == pytest.approx(-1.5, abs=0.02)
    assert found["barcode_copies"].estimate == pytest.approx(0, abs=1e-3)
    assert found["barcode_matching"].estimate == pytest.approx(-1.0, abs=0.02)
    assert found["barcode_width_line"].units == 6


def test_bars_that_do_not_depend_on_width_support_nothing():
    stores = {str(width): fake(width, [1.0], noise=0.3, exponent=0, copies=0, matched=0) for width in (8, 16, 64)}
    for claim in claims(stores, INTERVALS):
        assert claim.estimate.low < 0 < claim.estimate.high
    assert list(claims({"8": fake(8, [1.0])}, INTERVALS)) == []


def test_unfit_networks_are_in_no_claim():
    stores = {str(width): fake(width, [1.0]) for width in (8, 16)}
    stores["8"]["unfit"][2] = True
    found = list(claims(stores, INTERVALS))
    assert {claim.left_out for claim in found} == {1}
    assert {claim.estimate.units for claim in found} == {5}


def test_bars_are_shares_of_the_way_to_chance():
    store = fake(4, [1.0])
    (births, heights), sets = barcodes.matrix(store, "line", range(6)), sets_of(range(6), 3)
    for some, value in zip(sets, longest(store, "line", range(6), 3), strict=True):
        assert 10**value == pytest.approx(np.diff(bars(births[some], heights[np.ix_(some, some)])).max() / 1.0)
    assert exponents([store, fake(8, [1.0])], [np.zeros(2), np.full(2, np.log10(2))]) == pytest.approx([1.0, 1.0])


# The figure


def test_the_figure_shows_merges_and_every_set():
    stores = {str(width): fake(width, [1.0], noise=0.2, matched=-1.5) for width in (8, 16, 64)}
    figure = plot_barcodes.draw(stores, {"width": 16}, INTERVALS)
    check_looks(figure, 3)
    tree = figure.axes[0]
    births, heights = barcodes.matrix(stores["16"], "line", range(6))
    tops = sorted(max(line.get_ydata()) for line in tree.lines[:5])
    np.testing.assert_allclose(tops, sorted(bars(births, heights)[:, 1]))
    assert min(min(line.get_ydata()) for line in tree.lines[:5]) == pytest.approx(0.001)
    assert len(drawn(figure.axes[2])) == 3 * (3 * 20 + 6)
    table = plot_barcodes.tabulate(stores)
    assert len(table) == 3 * 3 * 15
    assert (table["merge"] <= table["height"]).all()
