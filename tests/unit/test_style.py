"""The look: files that are equal when figures are, axes of swept values, intervals, colours."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from wedgescape.figures import style
from wedgescape.numerics.intervals import Intervals

SCRIPTS = Path(__file__).parents[2] / "scripts"
METADATA = {"study": "digits", "code": "0123456789abcdef", "inputs": {"results/digits/a.zarr.zip": "f" * 64}}

DRAW_AND_SAVE = """
import sys
from wedgescape.figures import style
figure, axes = style.panels(1, 2, style.TWO_COLUMNS, 2.0)
style.value_axis(axes[0, 0], [0, 1e-4, 1e-3])
style.intervals(axes[0, 0], [0, 1e-4, 1e-3], [1, 2, 3], [0.5, 1, 2], [2, 3, 4], "#117733")
axes[0, 1].imshow([[0, 1], [2, 3]], cmap=style.colour_map("loss"))
style.title(axes[0, 0], "a", "Letters of several fonts: $m^2$, Straße")
style.save(figure, sys.argv[1:], 100, "test", {"study": "digits"})
"""


def figure_of(height=2.0):
    figure, axes = style.panels(1, 1, style.ONE_COLUMN, height)
    axes[0, 0].plot([1, 2], [3, 4])
    axes[0, 0].set(xlabel="x", ylabel="y")
    return figure


def test_files_are_equal_in_every_byte_whatever_the_process(tmp_path, monkeypatch):
    here, there = ([str(tmp_path / f"{run}.{kind}") for kind in ("pdf", "png")] for run in ("here", "there"))
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"  # sets of letters have another order there
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", DRAW_AND_SAVE, *there], check=True, env=environment)
    monkeypatch.setattr(sys, "argv", ["", *here])
    exec(DRAW_AND_SAVE, {})
    for first, second in zip(here, there, strict=True):
        assert Path(first).read_bytes() == Path(second).read_bytes()


def test_a_figure_saved_twice_is_equal(tmp_path):
    figure = figure_of()
    for run in ("first", "second"):
        style.save(figure, [tmp_path / f"{run}.pdf", tmp_path / f"{run}.png"], 100, "test", METADATA)
    for kind in ("pdf", "png"):
        assert (tmp_path / f"first.{kind}").read_bytes() == (tmp_path / f"second.{kind}").read_bytes()


def test_files_say_what_they_were_made_from_and_not_when(tmp_path):
    style.save(figure_of(), [tmp_path / "a.pdf", tmp_path / "a.png"], 100, "tunnels", METADATA)
    said = Image.open(tmp_path / "a.png").text
    assert set(said) == {"Title", "Subject", "Keywords"}
    assert said["Title"] == "Wedgescape: tunnels"
    assert json.loads(said["Keywords"]) == METADATA
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert json.loads(re.search(rb"/Keywords \((.*?)\)", pdf)[1]) == METADATA
    assert b"/Title (Wedgescape: tunnels)" in pdf
    assert b"/Subject (study digits)" in pdf
    assert b"Date" not in pdf
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".pdf", ".png")]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    figure = figure_of()
    figure.axes[0].set_title("$\\wrong$")
    with pytest.raises(ValueError, match="wrong"):
        style.save(figure, [tmp_path / "a.png"], 100, "test", METADATA)
    assert (tmp_path / "a.png").read_bytes() == b"old"


@pytest.mark.parametrize("dpi", [72, 200])
def test_sizes_are_those_of_the_paper(tmp_path, dpi):
    style.save(figure_of(height=2.5), [tmp_path / "a.png"], dpi, "test", METADATA)
    width, height = Image.open(tmp_path / "a.png").size
    assert width == pytest.approx(style.ONE_COLUMN * dpi, abs=1)
    assert height == pytest.approx(2.5 * dpi, abs=1)


def test_no_colour_means_two_things():
    colours = [
        colour
        for palette in (style.SPLITS, style.PLACES, style.DIRECTIONS, style.SWEEPS, style.VERDICTS)
        for colour in palette.values()
    ]
    assert len(set(colours)) == len(colours)
    assert len({to_hex(colour) for colour in style.levels(6)}) == 6


@pytest.mark.parametrize(
    ("values", "scale", "labels"),
    [
        ([0.005, 0.05, 0.2], "log", ["0.005", "0.05", "0.2"]),
        ([0, 1e-5, 2.5e-3], "symlog", ["0", "$10^{-5}$", "0.0025"]),
        ([0.0, 0.1, 0.4], "linear", ["0", "0.1", "0.4"]),
        ([2, 3, 4], "linear", ["2", "3", "4"]),
        ([0.05], "linear", ["0.05"]),
        ([0], "linear", ["0"]),
        (["sgd", "adam"], "linear", ["sgd", "adam"]),
        (np.array([16, 256]), "log", ["16", "256"]),
    ],
)
def test_an_axis_of_swept_values_has_a_tick_at_each_and_nowhere_else(values, scale, labels):
    figure, axes = style.panels(1, 1, style.ONE_COLUMN, 2)
    positions = style.value_axis(axes[0, 0], values)
    figure.draw_without_rendering()
    low, high = axes[0, 0].get_xlim()
    assert axes[0, 0].get_xscale() == scale
    assert [label.get_text() for label in axes[0, 0].get_xticklabels()] == labels
    assert list(axes[0, 0].get_xticks()) == list(positions)
    assert not len(axes[0, 0].get_xticks(minor=True))
    assert all(low < position < high for position in positions)


def test_labels_that_would_overlap_are_hidden_and_their_ticks_stay():
    figure, axes = style.panels(1, 1, style.ONE_COLUMN, 2)
    values = [0.001, 0.5, 0.501, 0.502, 0.9]
    style.value_axis(axes[0, 0], values)
    style.thin_labels(figure)
    shown = [label.get_text() for label in axes[0, 0].get_xticklabels() if label.get_visible()]
    assert shown == ["0.001", "0.5", "0.9"]
    assert len(axes[0, 0].get_xticks()) == len(values)


def test_an_unbounded_interval_has_no_bar_and_a_bounded_one_its_ends():
    _figure, axes = style.panels(1, 1, style.ONE_COLUMN, 2)
    style.intervals(axes[0, 0], [1, 2], [5, 7], [4, -np.inf], [8, np.inf], "#117733")
    first, second = (segment[:, 1] for segment in axes[0, 0].collections[0].get_segments())
    assert list(first) == [4, 8]
    assert list(second) == [7, 7]


def test_limits_hold_marks_that_are_shifted():
    _figure, axes = style.panels(1, 1, style.ONE_COLUMN, 2)
    style.value_axis(axes[0, 0], [1, 2])
    style.dots(axes[0, 0], [1, 2], [[-40.0, 3.0], [np.nan, 90.0]], "#117733", shift=4)
    low, high = axes[0, 0].get_ylim()
    assert low < -40
    assert high > 90


@pytest.mark.parametrize("limits", [(0.9, 1.3), (2e-4, 7.0), (0.3, 40.0)])
def test_a_logarithmic_axis_always_has_numbers(limits):
    _figure, axes = style.panels(1, 1, style.ONE_COLUMN, 2)
    axes[0, 0].set_ylim(limits)
    style.log_axis(axes[0, 0])
    assert 2 <= len(axes[0, 0].get_yticks()) <= 8
    assert all(limits[0] <= tick <= limits[1] for tick in axes[0, 0].get_yticks())


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (5e-4, "0.0005"), (1e-5, "$10^{-5}$"), (2.5e-6, r"$2.5{\times}10^{-6}$"), (4096, "4096"), (0.1, "0.1")],
)
def test_numbers_are_written_short(value, text):
    assert style.number(value) == text


def test_geometric_means_are_means_of_logarithms_and_their_intervals_stay_above_zero():
    values, intervals = np.array([[0.01, 1.0, 100.0], [2.0, 2.0, 2.0]]), Intervals()
    mean, low, high = style.geometric_means(values, intervals)
    np.testing.assert_allclose(mean, [1.0, 2.0])
    assert (low > 0).all()
    np.testing.assert_allclose(low * high, mean**2)
    assert style.means(values, intervals)[1, 0] < 0  # where the arithmetic interval leaves the axis
