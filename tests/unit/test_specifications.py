"""The figure of specifications: every estimate and every choice is drawn, and the registered one marked."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from wedgescape.figures import specifications, style
from wedgescape.figures.specifications import blocks, choices_of
from wedgescape.numerics.intervals import Intervals

VERDICTS = ("supported", "contradicted", "no effect", "undecided")


def rows_of(name, *choices):
    """All combinations of choices of a claim, the registered one first."""
    draw = np.random.default_rng(len(name))
    return [
        {
            "id": name,
            "specification": "; ".join(some),
            "estimate": (middle := draw.normal()),
            "low": middle - 0.5,
            "high": middle + 0.5,
            "units": 12,
            "verdict": VERDICTS[k % 4],
        }
        for k, some in enumerate(itertools.product(*choices))
    ]


WAYS, SCALES = ["accuracy 90%", "accuracy 80%", "loss 25%"], ["as trained", "balanced layers"]
TABLE = pd.DataFrame(
    [
        *rows_of("tunnel_learning_rate", WAYS, SCALES),
        *rows_of("tunnel_width", WAYS, SCALES, ["against duplicated units", "dimension not controlled"]),
        *rows_of("flat_trace", ["all sweeps", "without that over width"]),
    ]
)


def claims(table):
    names = table["id"].unique()
    return pd.DataFrame({"id": names, "smallest_effect": [0.2] * len(names), "quantity": "change of it, degrees"})


def test_claims_of_one_kind_are_beside_each_other():
    assert blocks(TABLE) == [["tunnel_learning_rate", "tunnel_width"], ["flat_trace"]]
    many = pd.DataFrame({"id": [f"tunnel_{k}" for k in range(7)]})
    assert [len(names) for names in blocks(many)] == [5, 2]


def test_choices_are_listed_by_their_place_the_registered_ones_first():
    assert choices_of(TABLE[TABLE["id"] == "tunnel_learning_rate"]) == [WAYS, SCALES]
    assert len(choices_of(TABLE[TABLE["id"].str.startswith("tunnel")])) == 3


def test_every_estimate_and_every_choice_is_drawn():
    figure = specifications.draw(TABLE, claims(TABLE), Intervals())
    assert figure.get_figwidth() == style.TWO_COLUMNS
    for curve, dots, (name, part) in zip(
        figure.axes[::2], figure.axes[1::2], TABLE.groupby("id", sort=False), strict=True
    ):
        ordered = part.sort_values("estimate")
        marks = [line for line in curve.lines if line.get_marker() == "o" and line.get_markerfacecolor() != "none"]
        assert [float(line.get_ydata()[0]) for line in marks] == pytest.approx(ordered["estimate"].tolist())
        assert [line.get_color() for line in marks] == [style.VERDICTS[one] for one in ordered["verdict"]]
        (ring,) = [line for line in curve.lines if line.get_markerfacecolor() == "none"]
        assert float(ring.get_ydata()[0]) == part["estimate"].iloc[0]
        squares = sum(len(line.get_ydata()) for line in dots.lines if line.get_marker() == "s")
        assert squares == sum(len(one.split("; ")) for one in part["specification"]), name
    assert figure.axes[0].get_title(loc="left").endswith(f"{math.ceil(6 / 4) / 6:.0%}")
    figure.draw_without_rendering()
    for axes in figure.axes:
        for label in (axes._left_title, *axes.get_yticklabels()):
            extent = label.get_window_extent()
            if label.get_text():
                assert figure.bbox.x0 - 1 <= extent.x0
                assert extent.x1 <= figure.bbox.x1 + 1, label.get_text()
                assert figure.bbox.y0 - 1 <= extent.y0
                assert extent.y1 <= figure.bbox.y1 + 1, label.get_text()


def test_unbounded_intervals_and_no_claims_at_all():
    few = TABLE.assign(low=-math.inf, high=math.inf, verdict="undecided")
    specifications.draw(few, claims(few), Intervals()).draw_without_rendering()
    figure = specifications.draw(TABLE.iloc[:0], claims(TABLE).iloc[:0], Intervals())
    assert [text.get_text() for text in figure.texts] == ["no claim was measured in several ways"]
