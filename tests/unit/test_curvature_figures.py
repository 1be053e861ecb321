"""The figures of curvature and of spectra, on small stores."""

import math
import string

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from matplotlib.collections import PathCollection

from wedgescape.figures import curvature as plot_curvature
from wedgescape.figures import spectrum as plot_spectrum
from wedgescape.figures import style
from wedgescape.landscapes.networks import network_landscape
from wedgescape.measurements import curvature
from wedgescape.measurements.spectrum import Settings, at_random_points, spectra_at
from wedgescape.numerics.intervals import Intervals
from wedgescape.training.optima import Optima

INTERVALS = Intervals(0.95, 100)


def titled(figure):
    return [axes for axes in figure.axes if axes.get_title(loc="left")]


def check_looks(figure):
    """Letters in order, and all text inside the figure."""
    letters = [axes.get_title(loc="left")[9] for axes in titled(figure)]
    assert letters == list(string.ascii_letters[: len(letters)])
    figure.draw_without_rendering()
    texts = [figure.legends[0], *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    for axes in titled(figure):
        low, high = sorted(axes.get_ylim())
        texts += [axes.xaxis.label, axes.yaxis.label, axes._left_title, axes._right_title]
        texts += [label for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high]
    for text in texts:
        extent = text.get_window_extent()
        assert figure.bbox.x0 - 1 <= extent.x0
        assert extent.x1 <= figure.bbox.x1 + 1
        assert figure.bbox.y0 - 1 <= extent.y0
        assert extent.y1 <= figure.bbox.y1 + 1


def dots(axes):
    parts = [part.get_offsets() for part in axes.collections if isinstance(part, PathCollection)]
    found = np.ma.filled(np.ma.concatenate(parts), np.nan)
    return np.array(sorted(map(tuple, found[np.isfinite(found).all(1)])), dtype=float)


def stores(values, seeds=4, lost=(), lowest=0.1):
    draw = np.random.default_rng(len(values))
    dims, shape = ("value", "seed"), (len(values), seeds)
    diverged = np.zeros(shape, bool)
    for place in lost:
        diverged[place] = True

    def variable(*more):
        sizes = {"rank": 2, "direction": 3}
        drawn = draw.uniform(lowest, 1, (*shape, *(sizes[dim] for dim in more)))
        drawn[diverged] = np.nan
        return (*dims, *more), drawn

    more = {"eigenvalue": ("rank",), "residual": ("rank",), "large_scale": ("direction",)}
    more["large_scale_error"] = ("direction",)
    coordinates = {"value": np.array(values, dtype=object if isinstance(values[0], str) else float)}
    coordinates["seed"] = range(seeds)
    angles = np.linspace(0, math.pi / 2, 10)
    curved = xr.Dataset(
        {name: variable(*more.get(name, ())) for name in curvature.VARIABLES} | {"diverged": (dims, diverged)},
        coordinates,
        {"angle": math.radians(30), "random_energy": 0.001},
    )
    rise = 0.5 * variable("direction")[1][..., None] * angles**2
    rays = xr.Dataset(
        {name: ((*dims, "direction", "angle"), rise if name == "loss" else 1 - rise) for name in ("loss", "score")}
        | {"width_score": variable("direction"), "diverged": (dims, diverged)},
        coordinates | {"angle": angles},
        {"score_fraction": 0.9, "chance_loss": 2.0},
    )
    return curved, rays


def alone(seeds=4, widths=()):
    """What more weights alone make of the base setting's networks, at some widths."""
    angles, dims = np.linspace(0, math.pi / 2, 10), ("scaling", "control", "width", "seed", "direction", "angle")
    loss = np.broadcast_to(0.05 * angles**2, (2, 2, len(widths), seeds, 2, 10))
    return xr.Dataset(
        {"loss": (dims, loss), "score": (dims, 1 - loss), "diverged": ("seed", np.zeros(seeds, bool))},
        {"scaling": ["as trained", "balanced layers"], "control": ["idle", "duplicated"]}
        | {"width": list(widths), "seed": range(seeds), "angle": angles},
        {"score_fraction": 0.9, "chance_loss": 2.0},
    )


def pictured(sweeps, base=None, widths=()):
    """The figure and the tables of sweeps."""
    curved = {name: pair[0] for name, pair in sweeps.items()}
    tunnels = {name: pair[1] for name, pair in sweeps.items()}
    tables = plot_curvature.tabulate(curved, tunnels, tunnels, alone(widths=widths), INTERVALS)
    figure = plot_curvature.draw(curved, base or {}, tables, INTERVALS)
    return figure, tables["curvature"], tables["curvature_correlations"]


def test_curvature_draws_every_seed_that_did_not_diverge():
    sweeps = {
        "learning_rate": stores([0.01, 0.1, 1.0], lost=[(2, 0), (2, 3)]),
        "optimizer": stores(["sgd", "adamw"]),
    }
    figure, table, related = pictured(sweeps, {"learning_rate": 0.1, "optimizer": "sgd"})
    check_looks(figure)
    panels = titled(figure)
    assert len(panels) == 2 * 3 + 1
    for row, (shown, _label) in enumerate(plot_curvature.ROWS):
        for column, sweep in enumerate(sweeps):
            rows = table[(table["sweep"] == sweep) & table["fit"]]
            place = ["sgd", "adamw"].index if sweep == "optimizer" else float
            wanted = sorted(
                (place(value), x) for name in shown for value, x in zip(rows["value"], rows[name], strict=True)
            )
            np.testing.assert_allclose(dots(panels[2 * row + column]), wanted)
            assert panels[2 * row + column].get_yscale() == "log"
            texts = [text.get_text() for text in panels[2 * row + column].texts]
            assert texts == (["2"] if column == 0 else [])
    marks = [line.get_xydata() for container in panels[-1].containers for line in container.lines[:1]]
    seen = sorted(np.concatenate(marks)[:, 0])
    np.testing.assert_allclose(seen, sorted(related["estimate"]))
    names = [label.get_text() for label in panels[-1].get_yticklabels()]
    assert len(names) == len(curvature.STATISTICS)
    assert "loss curvature, 30°" in names


@pytest.mark.parametrize("count", [1, 5, 7])
def test_curvature_copes_with_any_number_of_sweeps(count):
    figure, *_ = pictured({sweep: stores([1, 2, 3], seeds=2) for sweep in list(style.SWEEPS)[:count]})
    check_looks(figure)
    assert len(titled(figure)) == 3 * count + 1


def test_the_column_of_the_width_shows_what_dimension_alone_makes():
    figure, table, _related = pictured({"width": stores([16, 64, 256])}, {"width": 16}, widths=(64, 256))
    panel = titled(figure)[1]
    lines = {line.get_linestyle(): line for line in panel.lines if line.get_linestyle() in ("--", ":")}
    assert set(lines) == {"--", ":"}
    start = table.loc[table["value"] == 16, "large_scale"].mean()
    for line in lines.values():
        assert line.get_xdata().tolist() == [16, 64, 256]
        np.testing.assert_allclose(line.get_ydata(), [start, 0.1, 0.1])
    assert sum(line.get_markerfacecolor() == "white" for line in panel.lines) == 1  # balanced networks
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"base setting, units duplicated", "the same, layers of equal norm"} <= set(said)


def test_negative_curvature_takes_the_axis_off_its_logarithm():
    figure, *_ = pictured({"width": stores([16, 64], lowest=-1)})
    assert {axes.get_yscale() for axes in titled(figure)[:3]} == {"linear"}


def test_one_seed_and_none_that_stayed_finite():
    check_looks(pictured({"width": stores([16, 64], seeds=1)})[0])
    check_looks(pictured({"width": stores([16, 64], seeds=2, lost=[(k, s) for k in (0, 1) for s in (0, 1)])})[0])


@pytest.fixture(scope="module")
def measured(data, weights):
    landscape = network_landscape(data, {"name": "mlp", "width": 8, "depth": 2}, "cpu")
    optima = torch.from_numpy(weights["theta"].values)[:2]
    settings = Settings(top=3, samples=2, steps=12, radii=[0.5, 1.0, 4.0], points=3, probes=4)
    density = spectra_at(Optima.of(landscape, optima), settings)
    return {"density": density, "radii": at_random_points(landscape, 3.0, settings)}


def some_curve_down(store):
    """The store, with random points of which one curves the other way in all directions."""
    radii = store["radii"]
    positive = xr.ones_like(radii["positive"])
    positive[0, 0], positive[1] = 0, 0
    positive[1, 0] = 1
    return {**store, "radii": radii.assign(positive=positive)}


def test_spectrum_shows_every_eigenvalue_and_every_random_point(measured):
    density, radii = measured["density"], measured["radii"]
    figure = plot_spectrum.draw(measured, INTERVALS)
    check_looks(figure)
    spectrum, counts, *below = titled(figure)
    ticks = np.concatenate([line.get_xdata() for line in spectrum.lines if line.get_marker() == "|"])
    np.testing.assert_allclose(sorted(ticks), sorted(density["eigenvalue"].values.ravel()))
    assert (spectrum.get_yscale(), counts.get_yscale(), counts.get_xscale()) == ("log", "log", "log")
    assert f"short: {float(density['short_directions'].mean()):.0f} of" in counts.texts[0].get_text()
    for axes, (name, *_) in zip(below, plot_spectrum.PANELS, strict=True):
        wanted = sorted((float(row["radius_factor"]), float(value)) for row in radii[name] for value in row)
        np.testing.assert_allclose(dots(axes), wanted, rtol=1e-6)
    middle = np.exp(np.log(radii["loss"].transpose("radius", "point").values).mean(1))
    means = [line.get_ydata() for line in below[0].lines]
    assert any(len(mean) == len(middle) and np.allclose(mean, middle) for mean in means)
    shares = plot_spectrum.draw(some_curve_down(measured), INTERVALS)
    ends = np.concatenate(
        [bar.get_segments() for bar in titled(shares)[-1].collections if hasattr(bar, "get_segments")]
    )
    assert (ends[..., 1].min(), ends[..., 1].max()) == (0, 1)  # of a share
    table = plot_spectrum.tabulate(measured)
    assert isinstance(table, pd.DataFrame)
    assert table["part"].value_counts().to_dict() == {"spectrum": 2 * density.sizes["threshold"], "radii": 9}


def test_spectrum_copes_with_a_flat_landscape(measured):
    flat = measured["radii"].copy(deep=True)
    flat["trace_over_norm"][2] = np.nan
    check_looks(
        plot_spectrum.draw({"density": measured["density"].isel(seed=[0]), "radii": flat.isel(point=[0])}, INTERVALS)
    )
