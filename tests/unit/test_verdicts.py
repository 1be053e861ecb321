"""Verdicts by rules; their correction within families; their table as a page, a plot, and in the documentation."""

import math

import numpy as np
import pytest
import xarray as xr

import document_results
from wedgescape.analysis.verdicts import COLUMNS, as_page, as_specifications, as_table, counted, rule_of
from wedgescape.figures import claims as plot_claims
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim, change_over, fit, holm, judge, left_out, p_value, verdict
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import write_table
from wedgescape.study.rules import Rule, RuleBook

INTERVALS = Intervals(0.95, 400)
NAN = math.nan
EFFECT = {"sentence": "It rises", "kind": "ours", "family": "first", "wanted": "above", "smallest_effect": 1.0}
EDGE = {"sentence": "It is small", "kind": "ours", "family": "first", "wanted": "below", "threshold": 0.5}


def around(centre, half, count=8):
    """An estimate with a centre and half an interval."""
    spread = np.tile([-1.0, 1.0], count // 2)
    plain = INTERVALS.mean(spread)
    return INTERVALS.mean(centre + half * spread / plain.high)


def judged(estimate, **rule):
    rule = Rule(**rule)
    return verdict(estimate, rule, p_value(estimate, rule))[0]


# One verdict


@pytest.mark.parametrize(
    ("centre", "half", "found"),
    [
        (3.0, 1.5, "supported"),
        (2.0, 1.2, "undecided"),
        (-3.0, 1.5, "contradicted"),
        (-2.0, 1.2, "undecided"),
        (0.0, 0.9, "no effect"),
        (0.3, 0.5, "no effect"),
        (0.0, 1.1, "undecided"),
        (0.0, 5.0, "undecided"),
    ],
)
def test_verdict_by_where_the_interval_lies_about_a_smallest_effect(centre, half, found):
    estimate = around(centre, half)
    assert (estimate.low, estimate.high) == pytest.approx((centre - half, centre + half))
    assert judged(estimate, **EFFECT) == found
    mirrored = around(-centre, half)
    assert judged(mirrored, **EFFECT | {"wanted": "below"}) == found


@pytest.mark.parametrize(
    ("centre", "half", "found"), [(0.0, 0.9, "supported"), (3.0, 1.0, "contradicted"), (-3.0, 1.0, "contradicted")]
)
def test_wanted_within_is_an_equivalence(centre, half, found):
    assert judged(around(centre, half), **EFFECT | {"wanted": "within"}) == found
    assert judged(around(0.9, 0.5), **EFFECT | {"wanted": "within"}) == "undecided"


def test_a_threshold_has_two_sides_and_nothing_between():
    assert judged(around(0.2, 0.2), **EDGE) == "supported"
    assert judged(around(0.9, 0.2), **EDGE) == "contradicted"
    assert judged(around(0.5, 0.1), **EDGE) == "undecided"
    assert judged(around(0.9, 0.2), **EDGE | {"wanted": "above"}) == "supported"


def test_below_four_units_there_is_no_verdict():
    rule = Rule(**EFFECT)
    for count, found in ((3, "undecided"), (4, "supported")):
        estimate = INTERVALS.mean(100 + np.arange(count))
        said, reason = verdict(estimate, rule, p_value(estimate, rule))
        assert said == found
        assert ("a verdict needs 4" in reason) == (found == "undecided")
    assert verdict(INTERVALS.mean([]), rule, 1.0) == ("undecided", "nothing to estimate from")


def test_a_bound_decides_only_what_it_can():
    values = [2.0, 2.1, 2.2, 2.3, 2.4]
    above = INTERVALS.bounds(values, [1] * 5)
    assert judged(above, **EFFECT) == "supported"  # at least 2
    assert judged(above, **EFFECT | {"wanted": "below"}) == "contradicted"
    small = INTERVALS.bounds([0.1, 0.11, 0.12, 0.13], [1] * 4)  # at least 0.1: it may be 1, too
    assert judged(small, **EDGE) == "undecided"
    assert judged(INTERVALS.bounds([0.1, 0.11, 0.12, 0.13], [-1] * 4), **EDGE) == "supported"


@pytest.mark.parametrize("centre", [3.0, -3.0, 0.0])
@pytest.mark.parametrize("wanted", ["above", "below", "within"])
def test_reasons_say_on_which_side_the_interval_lies(centre, wanted):
    estimate, rule = around(centre, 0.5), Rule(**EFFECT | {"wanted": wanted})
    _found, reason = verdict(estimate, rule, p_value(estimate, rule))
    place = {3.0: "above 1", -3.0: "below -1", 0.0: "between -1 and 1"}[centre]
    if wanted == "within" and centre:
        place = "beyond 1 on one side"
    assert reason == f"the interval lies {place}"


# Families


def test_holm_is_the_step_down_method():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]).tolist() == []


def book(**claims):
    families = {"first": "First chapter", "second": "Second chapter"}
    return RuleBook(families=families, claims={name: Rule(**rule) for name, rule in claims.items()})


def test_many_claims_of_one_family_make_each_harder_and_checks_do_not_count():
    barely = around(2.0, 0.99)
    names = {f"c{place}": EFFECT for place in range(5)}
    rows, _ = judge([Claim(name, "x", barely) for name in names], book(**names), INTERVALS)
    assert {row["verdict"] for row in rows} == {"undecided"}
    assert "alone it would be supported" in rows[0]["reason"]
    names = {name: EFFECT | ({"kind": "check"} if name != "c0" else {}) for name in names}
    rows, _ = judge([Claim(name, "x", barely) for name in names], book(**names), INTERVALS)
    assert rows[0]["verdict"] == "supported"


def test_under_the_null_a_family_is_rarely_wrong():
    """Ten claims without an effect, the rule's edge at the truth: at most one family in twenty says anything."""
    names, draw = {f"c{place}": EDGE | {"threshold": 0.0} for place in range(10)}, stream("test families")
    rules, wrong = book(**names), 0
    for _ in range(200):
        values = draw.normal(size=(10, 8))
        rows, _ = judge(
            [Claim(n, "x", INTERVALS.mean(v)) for n, v in zip(names, values, strict=True)], rules, INTERVALS
        )
        wrong += any(row["verdict"] != "undecided" for row in rows)
    assert wrong / 200 < 0.08


def test_two_claims_of_one_name_are_refused():
    with pytest.raises(ValueError, match="one name"):
        judge([Claim("a", "x", around(1, 1))] * 2, book(a=EFFECT), INTERVALS)


def test_specifications_are_judged_beside_the_registered_one():
    claim = Claim("a", "x", around(3, 1), specifications={"other": around(4, 1), "third": around(0, 0.5)})
    rows, ways = judge([claim, Claim("b", "x", around(3, 1))], book(a=EFFECT, b=EFFECT), INTERVALS)
    assert [way["specification"] for way in ways] == ["registered", "other", "third"]
    assert [way["verdict"] for way in ways] == ["supported", "supported", "no effect"]
    assert rows[0]["robust"] == pytest.approx(2 / 3)
    assert math.isnan(rows[1]["robust"])


# What runs count


def sweep(unfit=()):
    values = np.arange(4.0) + np.array([[0.0], [2.0], [5.0]])  # (value, seed): the effect is 5, whatever the seed
    lost = np.zeros((3, 4), bool)
    for place in unfit:
        lost[place] = True
    store = xr.Dataset({"x": (("value", "seed"), values), "diverged": (("value", "seed"), np.zeros((3, 4), bool))})
    return store.assign(unfit=(("value", "seed"), lost)).assign_coords(value=[0.1, 0.2, 0.4], seed=range(4))


def test_a_change_is_the_difference_of_the_ends_seed_by_seed():
    store = sweep()
    found = change_over(store, store["x"], INTERVALS)
    assert (found.estimate, found.low, found.high, found.units) == (5.0, 5.0, 5.0, 4)
    turned = store.isel(value=[2, 0, 1])
    assert change_over(turned, turned["x"], INTERVALS).estimate == 5.0


def test_unfit_and_diverged_runs_are_in_no_statistic_and_counted():
    store = sweep(unfit=[(2, 0), (2, 1), (1, 2)])
    store["diverged"][0, 3] = True
    assert left_out(store) == 4
    assert fit(store).sum() == 8
    assert change_over(store, store["x"], INTERVALS).units == 1


# The table


@pytest.fixture
def rules():
    return book(
        tunnel=EFFECT | {"sentence": "Tunnels are <wider> & longer", "kind": "paper", "quote": "they are wider"},
        curve=EFFECT | {"wanted": "below", "family": "second"},
        barrier=EDGE | {"wanted": "above", "threshold": 0.1, "sentence": "A barrier at width {width}"},
        wedge=EDGE | {"kind": "check", "sentence": "The toy model follows"},
        few=EDGE,
    )


@pytest.fixture
def table(rules):
    return as_table(
        judge(
            [
                Claim("tunnel", "degrees", around(9, 3), specifications={"other": around(9, 3)}, control="none seen"),
                Claim("curve", "decades", around(0.1, 0.5)),
                Claim("barrier", "nats", around(0.4, 0.1), {"width": 16}, 2),
                Claim("wedge", "error", around(0.05, 0.02)),
                Claim("few", "nats", INTERVALS.mean([1.0])),
            ],
            rules,
            INTERVALS,
        )[0]
    )


def test_table_has_one_row_per_claim_and_its_columns_also_without_any(table, tmp_path):
    assert list(table.columns) == list(COLUMNS)
    assert list(as_table([]).columns) == list(COLUMNS)
    assert table["id"].tolist() == ["tunnel", "barrier_16", "wedge", "few", "curve"]  # by families
    assert table.set_index("id")["verdict"].to_dict() == {
        "tunnel": "supported", "barrier_16": "supported", "wedge": "supported", "few": "undecided", "curve": "no effect"
    }  # fmt: skip
    assert table.set_index("id").loc["barrier_16", ["sentence", "left_out"]].tolist() == ["A barrier at width 16", 2]
    write_table(table, tmp_path / "claims.csv")
    assert (tmp_path / "claims.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert len(as_specifications([])) == 0


def test_checks_are_counted_apart(table):
    text = "2 supported, 0 contradicted, 1 no effect, 1 undecided; checks of the implementation: 1 of 1 passed"
    assert counted(table) == text


def test_rules_are_said_in_words(table):
    said = dict(zip(table["id"], map(rule_of, table.itertuples()), strict=True))
    assert said == {
        "tunnel": "above by 1",
        "barrier_16": "above 0.1",
        "wedge": "below 0.5",
        "few": "below 0.5",
        "curve": "below by 1",
    }


def test_what_shares_an_axis_is_drawn_together(table):
    parts = plot_claims.blocks(table)
    assert {kind: part["id"].tolist() for kind, part in parts.items()} == {
        "effects": ["tunnel", "curve"],
        "thresholds": ["barrier_16", "few"],
        "checks": ["wedge"],
    }


def test_marks_lie_right_of_the_rule_where_a_claim_is_supported(table):
    for kind, part in plot_claims.blocks(table).items():
        edge = 1.0 if kind == "effects" else 0.0
        for claim in part.itertuples():
            assert (claim.left > edge) == (claim.verdict == "supported")
            assert claim.left <= claim.x <= claim.right or claim.id == "few"


def test_every_claim_has_its_line_in_the_figure(table):
    figure = plot_claims.draw(table, INTERVALS)
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert set(table["sentence"]) <= set(said)
    assert "9 [6, 12]" in said
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert legend[:4] == ["3 supported", "0 contradicted", "1 no effect", "1 undecided"]


def test_the_page_has_every_claim_and_escapes_what_html_would_read(table, rules):
    page = as_page(table, rules, "a<b", 0.9, warning="The base setting does not fit.", left_out={"planes": "so"})
    assert "<p>Left out: planes (so).</p>" in page
    assert page.index("The base setting does not fit.") < page.index("First chapter")
    assert page.count("<tr>") + page.count("<tr style") >= len(table)
    assert "Tunnels are &lt;wider&gt; &amp; longer" in page
    assert "paper: “they are wider”" in page
    assert "a&lt;b" in page
    assert '<b class="no-effect">no effect</b>' in page
    assert "First chapter: checks of the implementation" in page
    assert "http" not in page  # nothing is fetched


def test_the_documentations_table_is_put_between_its_markers(table):
    shown = document_results.claims_table(table)
    assert len(shown.splitlines()) == 2 + len(table)
    row = "paper | degrees | 9 | 6 … 12 | above by 1 | 8 (seed) | 100% | **supported** |  |"
    assert f"| Tunnels are <wider> & longer | {row}" in shown
    assert shown.splitlines()[-1].startswith("| The toy model follows | check |")
    page = "before\n<!-- claims s -->\nold\n<!-- /claims s -->\nafter"
    wanted = "before\n<!-- claims s -->\nnew\n<!-- /claims s -->\nafter"
    assert document_results.replace_between(page, "claims s", "new") == wanted
    with pytest.raises(SystemExit, match="<!-- claims other --> is missing"):
        document_results.replace_between(page, "claims other", "new")
    with pytest.raises(SystemExit, match="<!-- /claims s --> is missing"):
        document_results.replace_between(page.replace("<!-- /claims s -->", "<!-- /claims -->"), "claims s", "new")
