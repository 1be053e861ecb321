"""Phase diagrams: planted effects and correlations come out as they were planted, and the figure shows them."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.linear_model import LinearRegression

from wedgescape.analysis import phase_diagram
from wedgescape.analysis.phase_diagram import (
    STATISTICS,
    contrasts,
    correlations,
    effects,
    gather,
    likeness,
    plane_of,
    settings_of,
    tidy,
    tidy_contrasts,
    varied,
)
from wedgescape.figures import phase_diagram as plot_phase_diagram
from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals

BASE = {"learning_rate": 0.1, "width": 8, "model": "mlp"}
SEEDS = 10


def grid(**values):
    """A grid as the rule hands it over: its keys, and its settings by name."""
    points = [BASE | dict(zip(values, some, strict=True)) for some in itertools.product(*values.values())]
    return {
        "keys": list(values),
        "settings": {"_".join(f"{k}~{v}" for k, v in point.items()): point for point in points},
    }


SQUARE = {"learning_rate_x_width": grid(learning_rate=[0.1, 0.3, 1.0], width=[8, 16, 32])}
KEYS = ["learning_rate", "width"]


def planted(grids, of, noise=0.1, seeds=SEEDS):
    """Data where the statistic m of a point is of(m, x, y) plus noise; x and y are the places of the first two keys."""
    points, draw = settings_of(grids), np.random.default_rng(3)
    keys = varied(grids, ordered=True)[:2]
    levels = {key: sorted({point[key] for point in points.values()}) for key in keys}
    places = [
        [levels[key].index(point[key]) / (len(levels[key]) - 1) - 0.5 for key in keys] for point in points.values()
    ]
    shape = (len(points), seeds)
    variables = {"fit": (("setting", "seed"), np.ones(shape, bool))}
    for m, name in enumerate(STATISTICS):
        means = np.array([of(m, *place) for place in places])
        variables[name] = (("setting", "seed"), means[:, None] + noise * draw.normal(size=shape))
    coordinates = {key: ("setting", [point[key] for point in points.values()]) for key in BASE}
    return xr.Dataset(variables, {"setting": list(points), "seed": range(seeds), **coordinates})


def numbers_of(table, value="estimate"):
    return {(row["first"], row["second"]): row[value] for row in table.to_dict("records")}


def two(first, second):
    return {"pair": {"keys": ["width"], "settings": {"first": first, "second": second}}}


# Data


@pytest.fixture
def stores():
    """Of two points: three seeds, the second of which diverged at the second point; curvature of two seeds alone."""
    width = np.radians([[10.0, 30], [20, 40], [5, 5]])
    apart = np.array([[0, 0.1, 0.3], [0.1, 0, 0.5], [0.3, 0.5, 0]])
    found: dict[str, dict] = {name: {} for name in ("tunnels", "curvature", "similarity")}
    for point, lost in {"first": [False] * 3, "second": [False, True, False]}.items():
        seeds = {"seed": [4, 5, 6]}
        flags = {"diverged": ("seed", lost)}
        found["tunnels"][point] = xr.Dataset({"width_score": (("seed", "direction"), width)} | flags, seeds)
        others = ("trace", "frobenius", "small_scale", "gradient_energy")
        found["curvature"][point] = xr.Dataset(
            {
                "eigenvalue": (("seed", "rank"), [[9.0, 3], [7, 2]]),
                "large_scale": (("seed", "direction"), [[1.0, 3], [5, 7]]),
                "large_scale_error": (("seed", "direction"), [[1.0, 3], [5, 7]]),
                "diverged": ("seed", lost[:2]),
            }
            | {name: ("seed", [11.0, 12]) for name in others},
            {"seed": [4, 5], "rank": [1, 2]},
        )
        matrix, row = np.where(np.array(lost)[:, None] | np.array(lost), np.nan, apart), np.where(lost, np.nan, 0.25)
        sides = (("seed", "split"), np.stack([row, 2 * row], 1))
        found["similarity"][point] = xr.Dataset(
            {"disagreement": (("seed", "other"), matrix), "barrier": sides, "error": sides} | flags,
            {**seeds, "other": [4, 5, 6], "split": ["train", "test"]},
        )
    return found


def test_gather_takes_one_number_a_network(stores):
    data = gather(two(BASE, BASE | {"width": 16}), stores)
    first = data.sel(setting="first")
    assert first["angular_width"].values == pytest.approx([20, 30, 5])  # degrees
    assert first["top_eigenvalue"].values == pytest.approx([9, 7, np.nan], nan_ok=True)
    assert first["large_scale"].values == pytest.approx([2, 6, np.nan], nan_ok=True)
    assert first["trace"].values == pytest.approx([11, 12, np.nan], nan_ok=True)
    assert first["disagreement"].values == pytest.approx([0.2, 0.3, 0.4])  # with the others alone
    assert first["barrier"].values == pytest.approx([0.25] * 3)  # of the training loss
    assert first["test_error"].values == pytest.approx([0.5] * 3)
    assert data["width"].values.tolist() == [8, 16]
    assert all(variable.attrs["description"] for variable in data.data_vars.values())


def test_runs_that_diverged_have_no_numbers(stores):
    data = gather(two(BASE, BASE), stores)
    second = data.sel(setting="second")
    assert second["fit"].values.tolist() == [True, False, True]
    assert all(np.isnan(second[name].values[1]) for name in STATISTICS)
    assert second["disagreement"].values == pytest.approx([0.3, np.nan, 0.3], nan_ok=True)
    table = tidy(data, ["width"])
    assert table.columns.tolist() == ["setting", "seed", "width", *STATISTICS, "fit"]
    assert len(table) == 6


def test_points_and_hyperparameters_of_grids():
    grids = SQUARE | {"learning_rate_x_model": grid(learning_rate=[0.1, 1.0], model=["mlp", "net"])}
    assert len(settings_of(grids)) == 9 + 2
    assert varied(grids) == ["learning_rate", "width", "model"]
    assert varied(grids, ordered=True) == KEYS
    assert varied({"one": grid(width=[8, 16], learning_rate=[0.1])}) == ["width"]


def test_a_map_holds_further_hyperparameters_at_the_base_point():
    cube = grid(width=[8, 16], model=["net", "mlp"], learning_rate=[0.3, 0.1])
    first, second, names = plane_of(cube["settings"], cube["keys"], BASE)
    assert (first, second) == ([8, 16], ["net", "mlp"])
    for y, x in itertools.product(range(2), range(2)):
        wanted = {"learning_rate": 0.1, "width": first[x], "model": second[y]}
        assert cube["settings"][names[y][x]] == wanted
    names = plane_of(cube["settings"], cube["keys"], BASE | {"learning_rate": 0.7})[2]
    assert cube["settings"][names[0][0]]["learning_rate"] == 0.3  # the first, where the base point's is not among them


# Correlations


def test_correlations_recover_a_monotone_relation():
    data = planted(SQUARE, lambda m, x, y: x + y if m < 3 else 0.0, noise=1e-3)
    data["trace"] = -np.exp(5 * data["angular_width"])
    data["barrier"] = data["barrier"].where(data["seed"] < 4)
    table = correlations(data, Intervals(0.95, 300))
    rho, low, high = (numbers_of(table, end) for end in ("estimate", "low", "high"))
    pair = ("angular_width", "trace")
    assert (rho[pair], low[pair], high[pair]) == pytest.approx((-1, -1, -1))
    assert rho["angular_width", "large_scale"] > 0.9
    assert low["angular_width", "disagreement"] < 0 < high["angular_width", "disagreement"]
    assert numbers_of(table, "seeds")["angular_width", "barrier"] == 4
    assert numbers_of(table, "settings")["angular_width", "barrier"] == 9
    assert len(table) == math.comb(len(STATISTICS), 2)


# Effects


def test_the_effect_of_two_values_that_decide_all_is_two_standard_deviations():
    grids = {"small": grid(learning_rate=[0.1, 1.0], width=[8, 16])}
    data = planted(grids, lambda m, x, _y: (-1) ** m * 7 * x, noise=0.0)
    table = numbers_of(effects(data, KEYS, Intervals(0.95, 100)))
    for m, name in enumerate(STATISTICS):
        assert table["learning_rate", name] == pytest.approx(2 * (-1) ** m)
        assert table["width", name] == pytest.approx(0, abs=1e-12)


def test_effects_are_those_of_a_regression_also_where_runs_are_missing():
    data = planted(SQUARE, lambda m, x, y: x * (m - 2) + y * y, noise=0.3)
    data["trace"][0, :5] = np.nan
    data["trace"][7, 3] = np.nan
    table = effects(data, KEYS, Intervals(0.95, 200))
    rows = tidy(data, KEYS)
    places = {"learning_rate": {0.1: -0.5, 0.3: 0, 1.0: 0.5}, "width": {8: -0.5, 16: 0, 32: 0.5}}
    for name in ("trace", "test_error"):
        kept = rows.dropna(subset=name)
        scores = kept[name].rank()
        scores = (scores - scores.mean()) / scores.std(ddof=0)
        fit = LinearRegression().fit(np.stack([kept[key].map(places[key]) for key in KEYS], 1), scores)
        found = table[table["second"] == name].set_index("first").loc[KEYS]
        assert found["estimate"].to_numpy() == pytest.approx(fit.coef_)
        assert (found["low"] < found["estimate"]).all()
        assert (found["estimate"] < found["high"]).all()


def test_a_statistic_that_never_changes_has_no_effect_to_speak_of():
    data = planted(SQUARE, lambda _m, x, _y: x)
    data["barrier"][:] = 0.0
    table = effects(data, KEYS, Intervals(0.95, 100))
    assert table.loc[table["second"] == "barrier", "estimate"].isna().all()
    assert likeness(data, KEYS, Intervals(0.95, 100))["estimate"].notna().all()


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (lambda m, x, y: (m + 1) * (x + y) * (-1) ** m, 1),  # of whatever sign a statistic is
        (lambda m, x, y: (m - 3.5) * (x - y), -1),
        (lambda m, x, y: x if m < 4 else y, 0),
    ],
)
def test_likeness_tells_alike_from_opposite_and_unlike(of, wanted):
    (row,) = likeness(planted(SQUARE, of), KEYS, Intervals(0.95, 300)).to_dict("records")
    assert (row["first"], row["second"]) == tuple(KEYS)
    assert row["estimate"] == pytest.approx(wanted, abs=0.1)
    assert row["low"] <= row["estimate"] <= row["high"]
    assert row["high"] - row["low"] < 0.3


def test_contrasts_are_differences_of_effects():
    data = planted(SQUARE, lambda m, x, y: x + (m + 1) / 7 * y)
    effect = numbers_of(effects(data, KEYS, Intervals()))
    found = contrasts(data, KEYS, Intervals())
    assert set(found) == {(*KEYS, name) for name in phase_diagram.JUDGED}
    for (first, second, name), (difference, both) in found.items():
        assert both == pytest.approx((effect[first, name], effect[second, name]))
        assert difference.estimate == pytest.approx(both[0] - both[1])
        assert difference.low < difference.estimate < difference.high
        assert difference.units == SEEDS
    table = tidy_contrasts(data, KEYS, Intervals())
    assert table["second"].tolist() == [f"{second}: {name}" for _first, second, name in found]


def test_chance_is_less_likeness_where_statistics_are_independent():
    signs = planted(SQUARE, lambda _m, x, y: x + y, noise=0.0)
    independent = planted(SQUARE, lambda *_: 0.0, noise=1.0, seeds=200)
    tied, free = (float(likeness(data, KEYS, Intervals(0.95, 100))["chance"][0]) for data in (signs, independent))
    assert tied == pytest.approx(1)
    assert free == pytest.approx(1 / math.sqrt(len(STATISTICS)), rel=0.05)


def test_chance_is_that_of_random_effects():
    data = planted(SQUARE, lambda m, x, y: x if m < 5 else y, noise=0.2, seeds=40)
    matrix = tidy(data, [])[list(STATISTICS)].corr(method="spearman")
    drawn = np.random.default_rng(0).multivariate_normal(np.zeros(len(matrix)), matrix, (2, 20_000))
    inner = (drawn[0] * drawn[1]).sum(1)
    size = [(part**2).sum(1).mean() for part in drawn]
    wanted = math.sqrt((inner**2).mean() / (size[0] * size[1]))
    assert float(likeness(data, KEYS, Intervals(0.95, 100))["chance"][0]) == pytest.approx(wanted, rel=0.03)


def test_one_seed_has_unbounded_intervals():
    data = planted(SQUARE, lambda m, x, y: x - m * y, seeds=1)
    for table in (
        effects(data, KEYS, Intervals(0.95, 100)),
        likeness(data, KEYS, Intervals(0.95, 100)),
        correlations(data, Intervals(0.95, 100)),
    ):
        assert table["estimate"].notna().all()
        assert (table["low"] == -np.inf).all()
        assert (table["high"] == np.inf).all()


# The figure


def draw(data, grids):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(phase_diagram, "gather", lambda _grids, _stores: data)
        tables = plot_phase_diagram.tabulate({}, {}, {}, grids, Intervals(0.95, 100))
        figure = plot_phase_diagram.draw({}, {}, {}, grids, BASE, tables, Intervals(0.95, 100))
    figure.draw_without_rendering()
    return figure, tables["phase_diagram_numbers"]


def test_the_figure_writes_every_mean_and_counts_what_diverged():
    data = planted(SQUARE, lambda m, x, y: 3 + x + m * y)
    data["fit"][2, :3] = False
    data["fit"][4] = False
    for name in STATISTICS:
        data[name] = data[name].where(data["fit"])
    figure, numbers = draw(data, SQUARE)
    assert figure.get_figwidth() == style.TWO_COLUMNS
    maps = figure.subfigs[0].axes
    assert len(maps) == len(STATISTICS)
    first, second, names = plane_of(SQUARE["learning_rate_x_width"]["settings"], KEYS, BASE)
    for axes, name in zip(maps, STATISTICS, strict=True):
        written = {
            tuple(np.round(text.get_position())): text.get_text()
            for text in axes.texts
            if "lost" not in text.get_text()
        }
        factor = 100 if name in plot_phase_diagram.PERCENT else 1
        for y, x in itertools.product(range(len(second)), range(len(first))):
            mean = float(data[name].sel(setting=names[y][x]).mean())
            if math.isnan(mean):
                assert written[x, y] == "nan"
            else:
                assert float(written[x, y]) == pytest.approx(mean * factor, rel=0.06)
    assert sorted(text.get_text() for text in maps[0].texts if "lost" in text.get_text()) == ["10 lost", "3 lost"]
    effect, correlation, cosine = (axes for part in figure.subfigs[1:] for axes in part.axes)
    shown = numbers[numbers["quantity"] == "correlation"]
    estimates = [f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in shown["estimate"]]
    assert set(estimates) <= {text.get_text() for text in correlation.texts}
    markers = [line for line in cosine.lines if line.get_marker() == "D"]
    wanted = numbers.loc[numbers["quantity"] == "likeness", "estimate"].tolist()
    assert [float(line.get_xdata()[0]) for line in markers] == wanted
    assert {line.get_color() for line in effect.lines} >= {style.SWEEPS[key] for key in KEYS}
    for axes, letter in zip((effect, correlation, cosine), "bcd", strict=True):
        assert axes.get_title(loc="left")[9] == letter


def test_the_figure_lies_inside_its_page():
    grids = SQUARE | {"three": grid(learning_rate=[0.1, 1.0], model=["mlp", "net"], width=[8, 16])}
    figure, _numbers = draw(planted(grids, lambda m, x, y: 1e3 * (1 + x + m * y)), grids)
    for part in figure.subfigs:
        for axes in part.axes:
            for label in (axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title, *axes.get_xticklabels()):
                extent = label.get_window_extent()
                if label.get_text():
                    assert figure.bbox.x0 - 1 <= extent.x0
                    assert extent.x1 <= figure.bbox.x1 + 1, label.get_text()
                    assert figure.bbox.y0 - 1 <= extent.y0
                    assert extent.y1 <= figure.bbox.y1 + 1, label.get_text()
    row = figure.subfigs[0].axes[len(STATISTICS) :]
    assert row[len(STATISTICS) // 2].get_xlabel() == "learning rate (width 8)"


def test_the_figure_copes_with_names_alone_and_with_one_hyperparameter():
    for values in ({"model": ["mlp", "net"], "optimizer": ["sgd", "adam"]}, {"model": ["mlp"], "width": [8, 16]}):
        some = {"odd": grid(**values)}
        data = xr.Dataset({"fit": (("setting", "seed"), np.ones((len(some["odd"]["settings"]), 3), bool))})
        for m, name in enumerate(STATISTICS):
            data[name] = ("setting", "seed"), np.random.default_rng(m).uniform(1, 2, data["fit"].shape)
        data = data.assign_coords(setting=list(some["odd"]["settings"]), seed=range(3))
        for key in values:
            data = data.assign_coords({key: ("setting", [point[key] for point in some["odd"]["settings"].values()])})
        _figure, numbers = draw(data, some)
        assert isinstance(numbers, pd.DataFrame)
        assert "correlation" in set(numbers["quantity"])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0066, "0.007"), (0.45, "0.45"), (3.14, "3.1"), (54.3, "54"), (1234.0, "1234"), (np.nan, "nan")],
)
def test_numbers_fit_their_cells(value, text):
    assert plot_phase_diagram._short(value) == text


def test_shades_are_logarithmic_over_a_wide_range():
    assert type(plot_phase_diagram._norm(np.array([0.01, 1.0, np.nan]))).__name__ == "LogNorm"
    assert type(plot_phase_diagram._norm(np.array([0.0, 1.0]))).__name__ == "Normalize"
    assert plot_phase_diagram._norm(np.array([2.0, 2.0]))(2.0) == pytest.approx(0.5)
