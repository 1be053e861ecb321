"""Every figure on small synthetic stores, diverged seeds, missing values and text-valued sweeps included."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from PIL import Image
from snakemake.iocontainers import Namedlist

from drawings import drawn, in_order, titled
from wedgescape.figures import predictions as plot_predictions
from wedgescape.figures import scenes, style
from wedgescape.figures import training as plot_training
from wedgescape.figures import tunnels as plot_tunnels
from wedgescape.figures import wedges as plot_wedges
from wedgescape.figures.publish import publish
from wedgescape.measurements import wedges as simulation
from wedgescape.numerics.intervals import Intervals

INTERVALS = Intervals(0.95, 100)
BASE = {"learning_rate": 0.1, "weight_decay": 0.0, "optimizer": "sgd", "width": 64}


def check_looks(figure, width=style.TWO_COLUMNS, toy=False):
    """Sizes, letters, units, and text that lies inside the figure."""
    assert figure.get_figwidth() == width
    assert [axes.get_title(loc="left")[9] for axes in titled(figure)] == list("abcdefghi"[: len(titled(figure))])
    figure.draw_without_rendering()
    for axes in figure.axes:
        for label in (axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title, axes._right_title):
            extent = label.get_window_extent()
            if label.get_text():
                assert figure.bbox.x0 - 1 <= extent.x0
                assert extent.x1 <= figure.bbox.x1 + 1, label.get_text()
                assert figure.bbox.y0 - 1 <= extent.y0
                assert extent.y1 <= figure.bbox.y1 + 1, label.get_text()


# Tunnels


def tunnels(values, seeds=4, lost=(), missing=()):
    """A store of `measure_tunnels`; `lost` and `missing` are (value, seed) places."""
    draw = np.random.default_rng(len(values))
    width = draw.uniform(0.5, 0.9, (len(values), seeds, 3))
    diverged = np.zeros((len(values), seeds), bool)
    for place in lost:
        diverged[place] = True
        width[place] = 0.001
    for place in missing:
        width[place] = np.nan
    dims = ("value", "seed", "direction")
    return xr.Dataset(
        {"width_score": (dims, width), "width_loss": (dims, 0.5 * width), "diverged": (dims[:2], diverged)},
        {"value": np.array(values, dtype=object if isinstance(values[0], str) else float), "seed": range(seeds)},
        {"score_fraction": 0.9, "loss_fraction": 0.25},
    )


def alone(seeds=4, widths=()):
    """What more weights alone make of the base setting's tunnels at some widths: 60 degrees."""
    angles, dims = np.radians(np.arange(91)), ("scaling", "control", "width", "seed", "direction", "angle")
    accuracy = np.broadcast_to(np.where(angles < np.radians(60), 1.0, 0.1), (2, 2, len(widths), seeds, 2, 91))
    return xr.Dataset(
        {"score": (dims, accuracy), "diverged": ("seed", np.zeros(seeds, bool))},
        {"scaling": ["as trained", "balanced layers"], "control": ["idle", "duplicated"]}
        | {"width": list(widths), "seed": range(seeds), "angle": angles},
        {"score_fraction": 0.9, "chance_loss": 2.0},
    )


def drawn_tunnels(stores, base, widths=()):
    tables = {"tunnels": plot_tunnels.tabulate(stores, stores, alone(widths=widths))}
    return plot_tunnels.draw(stores, base, tables, INTERVALS), tables["tunnels"]


STORES = {
    "learning_rate": tunnels([0.01, 0.1, 1.0], lost=[(2, 0), (2, 3)], missing=[(0, 1)]),
    "weight_decay": tunnels([0.0, 1e-4, 1e-2], lost=[(1, k) for k in range(4)]),
    "optimizer": tunnels(["sgd", "adamw"]),
}


def test_tunnels_draw_every_seed_that_did_not_diverge():
    figure, table = drawn_tunnels(STORES, BASE)
    check_looks(figure)
    assert len(table) == 4 * (3 + 3 + 2)
    for axes, (sweep, rows) in zip(titled(figure), table.groupby("sweep", sort=False), strict=True):
        kept = rows[rows["fit"]]
        values = rows["value"].unique().tolist()
        place = values.index if sweep == "optimizer" else float
        wanted = [
            (place(row["value"]), row[column])
            for _, row in kept.iterrows()
            for column in ("width_score", "width_loss")
            if np.isfinite(row[column])
        ]
        assert drawn(axes) == pytest.approx(in_order(wanted))
        assert axes.get_xlabel() == style.NAMES[sweep]
    assert titled(figure)[0].get_ylabel() == "angular width (degrees)"
    assert [text.get_text() for text in titled(figure)[0].texts] == ["2"]  # diverged
    assert [text.get_text() for text in titled(figure)[1].texts] == ["4"]
    assert not titled(figure)[2].texts


def test_a_mean_leaves_diverged_seeds_out():
    figure, table = drawn_tunnels(STORES, BASE)
    axes, rows = titled(figure)[0], table[table["sweep"] == "learning_rate"]
    mean = rows[rows["fit"]].groupby("value")["width_score"].mean()
    line = next(line for line in axes.lines if line.get_marker() == "D")
    assert line.get_ydata() == pytest.approx(mean.to_numpy())


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
def test_tunnels_cope_with_any_number_of_sweeps(count):
    stores = {sweep: tunnels([1, 2, 3], seeds=2) for sweep in list(style.SWEEPS)[:count]}
    figure, _table = drawn_tunnels(stores, {})
    assert len(titled(figure)) == count
    check_looks(figure, style.ONE_COLUMN if count == 1 else style.TWO_COLUMNS)
    shown = figure.legends + [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert len(shown) == 1


def test_one_seed_has_dots_and_no_bars():
    axes = titled(drawn_tunnels({"width": tunnels([16, 64], seeds=1)}, BASE)[0])[0]
    assert len(drawn(axes)) == 4


def test_the_panel_of_the_width_shows_what_dimension_alone_makes():
    figure, table = drawn_tunnels({"width": tunnels([16, 64, 256])}, {"width": 16}, widths=(64, 256))
    check_looks(figure, style.ONE_COLUMN)
    axes = titled(figure)[0]
    start = table.loc[table["value"] == 16, "width_score"].mean()
    lines = {line.get_linestyle(): line for line in axes.lines if line.get_linestyle() in ("--", ":")}
    assert set(lines) == {"--", ":"}
    for line in lines.values():
        assert line.get_xdata().tolist() == [16, 64, 256]
        assert line.get_ydata() == pytest.approx([start, 60, 60], abs=1)
    assert sum(line.get_markerfacecolor() == "white" for line in axes.lines) == 1  # balanced networks
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"base setting, units duplicated", "base setting, further weights idle"} <= set(said)


# Training


def weights(lost=(), unfit=()):
    epochs, seeds = 6, 5
    draw = np.random.default_rng(0)
    diverged = np.isin(np.arange(seeds), lost)
    curves = {}
    for name in plot_training.CURVES:
        values = draw.uniform(0.1, 1, (seeds, epochs)).astype(np.float32)
        values[diverged, 3:] = np.nan
        curves[name] = (("seed", "epoch"), values)
    flags = {"diverged": (("seed",), diverged), "unfit": (("seed",), np.isin(np.arange(seeds), unfit))}
    return xr.Dataset({**curves, **flags}, {"seed": range(seeds), "epoch": range(epochs)})


@pytest.mark.parametrize(
    ("lost", "unfit"), [((), ()), ((1, 4), ()), ((0, 1, 2, 3, 4), ()), ((1,), (0, 3)), ((), range(5))]
)
def test_training_draws_every_seed_and_flags_those_that_are_no_optima(lost, unfit):
    store = weights(lost, unfit)
    figure = plot_training.draw(store, INTERVALS)
    check_looks(figure)
    loss, accuracy, size = titled(figure)
    assert (loss.get_ylabel(), loss.get_yscale()) == ("loss (nats)", "log")
    assert (accuracy.get_ylabel(), size.get_ylabel()) == ("accuracy (fraction)", "length (weights)")
    for axes, names in zip((loss, accuracy, size), np.reshape(plot_training.CURVES, (3, 2)), strict=True):
        lines = [line.get_ydata() for line in axes.lines]
        assert len(lines) == 2 * (5 + 1)  # seeds and their mean
        for name in names:
            for row in store[name].values:
                assert any(np.array_equal(row, line, equal_nan=True) for line in lines)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert (f"diverged: {len(lost)}" in labels) == bool(lost)
    assert (f"do not fit: {len(unfit)}" in labels) == bool(unfit)
    assert sum(line.get_marker() == "x" for line in loss.lines) == 2 * len(unfit)
    kept = 5 - len(lost) - len(unfit)
    assert (f"each of {kept} seeds" in labels) == bool(kept)
    assert not any("nan" in text.get_text() for text in accuracy.texts)
    table = plot_training.tabulate(store)
    assert len(table) == 5 * 6
    assert table["diverged"].sum() == 6 * len(lost)
    assert table["unfit"].sum() == 6 * len(unfit)


# Toy wedges


@pytest.fixture(scope="module")
def predictions():
    """Descents are cut short: the figure is tested, not the simulation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "STEPS", 60)
        settings = simulation.Settings(dimension=24, short=[2, 6], wedges=[1, 3], radii=[1, 8], trials=6, connected=5)
        return simulation.measure(settings)


def test_predictions_state_their_error_and_mark_connectors(predictions):
    figure = plot_predictions.draw(predictions)
    check_looks(figure)
    table = plot_predictions.tabulate(predictions)
    assert len(titled(figure)) == 4
    for axes in titled(figure):
        assert any("relative error: median" in text.get_text() for text in axes.texts)
    rows = table[(table["quantity"] == "random_loss") & (table["wedges"] == 1)]
    errors = rows["relative_error"].abs()
    note = f"relative error: median {errors.median():.1%}, largest {errors.max():.1%}"
    assert note in titled(figure)[0].texts[0].get_text()
    assert table.loc[table["quantity"] == "shared_dim", "connected"].between(0, 1).all()
    assert table.loc[table["quantity"] != "shared_dim", "connected"].isna().all()
    marks = [line for line in titled(figure)[3].lines if line.get_marker() not in ("None", "none", None, "")]
    shown = [(x, y, line.get_markerfacecolor() != "white") for line in marks for x, y in line.get_xydata()]
    rows = table[table["quantity"] == "shared_dim"]
    wanted = zip(rows["size"], rows["simulated"], rows["connected"] >= 0.5, strict=True)
    assert in_order(shown) == pytest.approx(in_order(wanted))


def test_predictions_cope_with_one_of_everything(predictions):
    check_looks(plot_predictions.draw(predictions.isel(short=[0], wedges=[0], radius=[1], size=[0])))


def test_the_toy_picture_shows_what_theory_says():
    toy = plot_wedges.build()
    line, connector = (toy.landscape.losses(points) for points in toy.paths().values())
    assert line[[0, -1]] == pytest.approx([0, 0], abs=1e-6)
    assert line.max() == pytest.approx(plot_wedges.BARRIER, abs=1e-6)  # halfway between unit distances
    assert connector.max() < 1e-4
    assert toy.landscape.distances(toy.centre[None]).max() < 1e-4  # on both wedges
    edge = toy.optima[1] - toy.optima[0]
    assert float((toy.centre - toy.middle) @ edge) == pytest.approx(0, abs=1e-5)
    figure = plot_wedges.draw_toy(toy, pixels=24, samples=1)
    assert len(titled(figure.subfigs[0])) + len(titled(figure.subfigs[1])) == 3
    assert toy.cut.losses(torch.zeros(1, 2)) == pytest.approx([plot_wedges.BARRIER])


def test_rays_meet_what_is_nearest():
    camera = scenes.Camera(eye=(5, 0, 0), target=(0, 0, 0), opening=0.4)
    red = scenes.ball((0, 0, 0), 1.0, (1, 0, 0), gloss=0)
    green = scenes.tube((-2, 0, 1), (-2, 0, -1), 0.3, lambda places: np.eye(3)[np.full(len(places), 1)], gloss=0)
    picture = scenes.render([green, red], camera, 33, 1)
    assert picture.shape == (33, 33, 3)
    assert np.ptp(picture[0, 0]) == 0  # white
    middle = picture[16, 16]
    assert middle[0] > 0.5
    assert middle[1] == 0  # the tube is behind the ball
    glass = scenes.slab((1.5, -3, -3), (1.6, 3, 3), (0, 0, 1), density=3.0)
    behind = scenes.render([green, red, glass], camera, 33, 1)[16, 16]
    assert behind[2] > middle[2]
    assert behind[0] > 0
    assert camera.project((0, 0, 0)) == pytest.approx((0, 0))
    assert camera.project((0, 1, 0)) == pytest.approx((0.5, 0))


# The common end


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publish one figure from a store, whose name is given, of a study whose folder is given; return where it lies."""
    monkeypatch.chdir(tmp_path)

    def publish_from(results, source):
        Path(source).parent.mkdir(parents=True)
        Path(source).write_bytes(b"store")
        output = Namedlist(fromdict={name: f"{results}/x.{name}" for name in ("pdf", "png", "csv")})
        job = {"name": "x", "code": "c0de", "words": {}, "sections": {"figures": {"dpi": 80}}}
        snakemake = SimpleNamespace(
            params=SimpleNamespace(job=job),
            config={"study": "s", "results": results},
            input=[source],
            output=output,
        )
        figure, _axes = style.panels(1, 1, 2.0, 1.0)
        publish(snakemake, figure, {"x": pd.DataFrame({"value": [1.5]})})
        return Path(results)

    return publish_from


def test_publish_names_inputs_and_writes_the_table(published):
    folder = published("results/s", "results/s/a.zarr.zip")
    picture = Image.open(folder / "x.png")
    assert picture.size == (160, 80)
    assert f'"results/s/a.zarr.zip": "{hashlib.sha256(b"store").hexdigest()}"' in picture.text["Keywords"]
    assert (folder / "x.csv").read_text() == "value\n1.5\n"


def test_equal_stores_give_equal_figures_wherever_they_lie(published):
    places = [
        ("results/s", "results/s/a.zarr.zip"),
        ("wedges/results/s", "wedges/results/s/a.zarr.zip"),
        ("more/results/s", ".snakemake/storage/s3/bucket/more/results/s/a.zarr.zip"),
    ]
    first, *others = [published(*place) for place in places]
    for name in ("x.pdf", "x.png", "x.csv"):
        for other in others:
            assert (other / name).read_bytes() == (first / name).read_bytes()
