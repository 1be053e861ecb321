"""Verdicts by rules that are fixed before the run; their table as a page, a forest plot, and in the documentation."""

import math

import pytest

import document_results
from wedgescape.analysis.verdicts import as_page, as_table
from wedgescape.figures import claims as plot_claims
from wedgescape.numerics.intervals import Interval, Intervals
from wedgescape.numerics.judging import is_large, is_small, judge, row
from wedgescape.stores.zarr_stores import write_table

NAN = math.nan

# Verdicts


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.21, 0.9, "supported"),
        (0.2, 0.9, "undecided"),  # at the edge
        (-0.9, -0.21, "contradicted"),
        (-0.9, -0.2, "undecided"),
        (-0.1, 0.1, "undecided"),
        (-0.9, 0.9, "undecided"),
        (-math.inf, math.inf, "undecided"),
        (NAN, NAN, "undecided"),
    ],
)
def test_verdict_by_where_the_interval_lies(low, high, verdict):
    assert judge(Interval(0.0, low, high), 0.2, -0.2) == verdict
    assert is_large(Interval(0.0, low, high), 0.2, -0.2)["verdict"] == verdict
    mirrored = is_small(Interval(-0.0, -high, -low), -0.2, 0.2)
    assert mirrored["verdict"] == verdict
    assert (mirrored["low"], mirrored["wanted"], mirrored["threshold"]) == (
        pytest.approx(-high, nan_ok=True),
        "below",
        -0.2,
    )


def test_without_a_second_value_the_claim_and_its_opposite_meet():
    assert is_large(Interval(2.0, 1.1, 3.0), 1.0)["verdict"] == "supported"
    assert is_large(Interval(0.5, 0.1, 0.9), 1.0)["verdict"] == "contradicted"
    assert is_small(Interval(0.5, 0.1, 0.9), 1.0)["verdict"] == "supported"
    assert is_small(Interval(2.0, 1.1, 3.0), 1.0)["verdict"] == "contradicted"
    assert is_small(Interval(1.0, 0.9, 1.1), 1.0)["verdict"] == "undecided"


# The table


@pytest.fixture
def table():
    trend = is_large(Interval(0.9, 0.8, 0.95), 0.2, -0.2)
    return as_table(
        [
            row("tunnel_width", "Tunnels are <wider> & longer", "Spearman's rho", trend, 12, 60),
            row("curvature_width", "Falls", "Spearman's rho", is_small(Interval(0.1, -0.3, 0.4), -0.2, 0.2), 12, 60),
            row("long_radial", "Longer", "log(length)", is_large(Interval(-4.0, -5.0, 1.0), 0.0), 12, 12, 1),
            row("wedge_cut", "Follows", "mean error", is_small(Interval(0.05, 0.02, 0.2), 0.1), 64, 16),
            row("linear_barrier", "A barrier", "nats", is_large(Interval(0.4, 0.2, 0.8), 0.1), 12, 12),
            row("one_seed", "Unknown", "nats", is_large(Interval(0.4, -math.inf, math.inf), 0.1), 1, 1),
            row("perfect", "None is wrong", "fraction", is_small(Interval(0.0, 0.0, 0.0), 0.1), 4, 9),
        ]
    )


def test_table_has_one_row_per_claim_and_its_columns_also_without_any(table, tmp_path):
    columns = [
        "id",
        "sentence",
        "statistic",
        "estimate",
        "low",
        "high",
        "wanted",
        "threshold",
        "effect",
        "seeds",
        "points",
        "diverged",
        "verdict",
    ]
    assert list(table.columns) == columns
    ids = ["tunnel_width", "curvature_width", "long_radial", "wedge_cut", "linear_barrier", "one_seed", "perfect"]
    assert table["id"].tolist() == ids
    assert list(as_table([]).columns) == columns
    write_table(table, tmp_path / "claims.csv")
    assert (tmp_path / "claims.csv").read_text().splitlines()[0] == ",".join(columns)


def test_what_shares_an_axis_is_drawn_together(table):
    parts = plot_claims.blocks(table)
    assert {kind: part["id"].tolist() for kind, part in parts.items()} == {
        "correlations": ["tunnel_width", "curvature_width"],
        "differences": ["long_radial"],
        "factors": ["wedge_cut", "linear_barrier", "one_seed", "perfect"],
    }


def test_factors_say_how_far_a_rule_is_passed_in_the_direction_that_it_wants(table):
    part = plot_claims.blocks(table)["factors"].set_index("id")
    assert part.loc["wedge_cut", ["x", "left", "right"]].tolist() == pytest.approx([2.0, 0.5, 5.0])
    assert part.loc["linear_barrier", ["x", "left", "right"]].tolist() == pytest.approx([4.0, 2.0, 8.0])
    assert part.loc["one_seed", "x"] == pytest.approx(4.0)
    assert part.loc["one_seed", ["left", "right"]].isna().all()
    assert part.loc["perfect", ["x", "left", "right"]].tolist() == [plot_claims.LARGEST_FACTOR] * 3
    for claim in part.dropna().itertuples():
        assert claim.left <= claim.x <= claim.right
        assert (claim.left > 1) == (claim.verdict == "supported")


def test_differences_are_in_units_of_their_farther_end(table):
    (claim,) = plot_claims.blocks(table)["differences"].itertuples()
    assert (claim.x, claim.left, claim.right) == pytest.approx((-0.8, -1.0, 0.2))


def test_every_claim_has_its_line_in_the_figure(table):
    figure = plot_claims.draw(table, Intervals(0.95))
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert set(table["sentence"]) <= set(said)
    assert "0.9 [0.8, 0.95]" in said
    legend = [text.get_text() for text in figure.legends[0].texts]
    counts = table["verdict"].value_counts()
    assert legend[:3] == [f"{counts.get(name, 0)} {name}" for name in ("supported", "contradicted", "undecided")]


def test_the_page_has_every_claim_and_escapes_what_html_would_read(table):
    page = as_page(table, "a<b", 0.9)
    assert page.count("<tr") == 1 + len(table)
    assert "Tunnels are &lt;wider&gt; &amp; longer" in page
    assert "a&lt;b" in page
    assert "whole 90% interval" in page
    assert '<b class="supported">supported</b>' in page
    assert "http" not in page  # nothing is fetched


def test_the_documentations_table_is_put_between_its_markers(table):
    shown = document_results.claims_table(table)
    assert len(shown.splitlines()) == 2 + len(table)
    assert "| Falls | Spearman's rho | 0.1 | -0.3 … 0.4 | 12 | undecided |" in shown
    page = "before\n<!-- claims s -->\nold\n<!-- /claims s -->\nafter"
    wanted = "before\n<!-- claims s -->\nnew\n<!-- /claims s -->\nafter"
    assert document_results.replace_between(page, "claims s", "new") == wanted
    assert document_results.replace_between(page, "claims other", "new") == page
