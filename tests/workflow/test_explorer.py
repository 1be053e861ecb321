"""The explorer of the smoke study, in a browser: what it shows, and that it asks for nothing."""

import json
import os
import re
import shutil
import time

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

from projects import smoke_layout
from wedgescape.explorer.page import MEGABYTES
from wedgescape.explorer.views import VIEWS
from wedgescape.measurements.tunnels import Definition, widths
from wedgescape.stores.zarr_stores import open_store

pytestmark = pytest.mark.slow

# Without a graphics card, Chromium draws in three dimensions by its own software.
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
PATIENCE = 60_000  # milliseconds

# JavaScript that tests run in the page.
DRAWN = "(plot) => JSON.stringify(document.querySelector(plot).data.map(({ x, y, z }) => [x, y, z]))"
MOVE = """([slider, to]) => {
  const one = document.querySelector(slider);
  one.value = to;
  one.dispatchEvent(new Event("input", { bubbles: true }));
}"""
JUDGED = """() => {
  const { claims, fewest } = explorer.data("specifications");
  return claims.flatMap((claim) => claim.ways.map((way) => explorer.judged(way, claim, fewest)));
}"""
UNNAMED = """() => [...document.querySelectorAll("main input, main select, main button")]
  .filter((one) => !(one.labels?.[0]?.textContent.trim() || one.textContent.trim() || one.ariaLabel)).length"""


@pytest.fixture(scope="module")
def made(smoke_project, tmp_path_factory):
    """The smoke study with its explorer."""
    project = smoke_project.copied_to(tmp_path_factory.mktemp("explorer") / "project")
    project.smoke("--", "explorer")
    return project


@pytest.fixture(scope="module")
def results(made):
    return made.folder / "results/smoke"


@pytest.fixture(scope="module")
def data(results):
    text = (results / "explorer.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.fail(
            "there is no Chromium to look at the explorer with: apt-get install chromium, or name one in CHROMIUM"
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


def opened(browser, results, page="explorer.html", **look):
    """A page in a tab, with what it asked for and complained about."""
    tab = browser.new_context(viewport={"width": 1280, "height": 900}, **look).new_page()
    tab.set_default_timeout(PATIENCE)
    tab.asked, tab.wrong = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("console", lambda message: tab.wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
    tab.goto((results / page).as_uri())
    return tab


@pytest.fixture(scope="module")
def tab(browser, results):
    page = opened(browser, results, color_scheme="light")
    for name in VIEWS:
        show(page, name)
    return page


def show(tab, name):
    """Go to a view and wait until it is drawn: then it says in words what it shows."""
    tab.locator(f"#{name}").scroll_into_view_if_needed()
    until(tab, f"document.querySelector('#{name} .readout').textContent !== ''")


def until(tab, expression, argument=None):
    """Wait until JavaScript says true. Playwright's own waiting is forbidden to a page that allows no other scripts."""
    ends = time.monotonic() + PATIENCE / 1000
    while not tab.evaluate(expression, argument):
        assert time.monotonic() < ends, f"in vain: {expression}"
        tab.wait_for_timeout(50)


def drawn(tab, plot):
    """What a plot shows: its traces as JSON."""
    return tab.evaluate(DRAWN, plot)


def changed(tab, plot, before):
    """Wait until a plot shows something else."""
    until(tab, f"([plot, before]) => ({DRAWN})(plot) !== before", [plot, before])


def move(tab, slider, to):
    """Move a slider as a keyboard does, and wait for the next picture."""
    tab.locator(slider).focus()
    tab.evaluate(MOVE, [slider, to])
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


# Without a browser


def test_the_page_is_small_and_holds_what_the_stores_hold(results, data):
    base = smoke_layout().study.base
    assert (results / "explorer.html").stat().st_size < MEGABYTES * 1e6
    assert list(data["views"]) == list(VIEWS)
    store = open_store(results / f"planes/{base}.zarr.zip")["optima"]
    found = data["views"]["planes"]["planes"][0]
    loss = store["loss"].sel(split="test").transpose("beta", "alpha").values
    np.testing.assert_allclose(np.array(found["loss"]["test"], dtype=float), loss, rtol=1e-4)
    curves = open_store(results / f"curves/{base}.zarr.zip")
    for place, pair in enumerate(data["views"]["curves"]["pairs"]):
        one = pair["kinds"]["bezier"]
        np.testing.assert_allclose(
            one["loss"]["train"], curves["loss"].sel(kind="bezier", split="train").values[place], rtol=1e-4
        )
        length = np.linalg.norm(np.diff(one["place"], axis=0), axis=1).sum()
        assert length == pytest.approx(one["length"], rel=1e-3)  # drawn as long as it is
    claims = pd.read_csv(results / "claims.csv")
    assert [one["id"] for one in data["views"]["claims"]["claims"]] == claims["id"].tolist()
    assert [one["verdict"] for one in data["views"]["claims"]["claims"]] == claims["verdict"].tolist()


def test_links_of_claims_lead_to_files(results, data):
    paths = {path for one in data["views"]["claims"]["files"].values() for part in one.values() for path in part}
    assert len(paths) > 20
    assert [path for path in paths if not (results / path).is_file()] == []


def test_a_second_run_writes_nothing_and_an_edited_view_is_written_again(made):
    assert "explorer" not in made.pending("--", "explorer")
    view = made.folder / "scripts/wedgescape/explorer/planes.js"
    text = view.read_text()
    view.write_text(f"{text}\n// a remark\n")
    assert made.pending("--", "explorer") == {"explorer"}
    view.write_text(text)


def test_no_job_of_the_study_itself_writes_it(smoke_project):
    assert not (smoke_project.folder / "results/smoke/explorer.html").exists()


# In a browser


def test_every_view_is_drawn_and_nothing_is_asked_for(tab, results):
    assert tab.wrong == []
    assert tab.asked[0] == (results / "explorer.html").as_uri()
    assert [url for url in tab.asked[1:] if not url.startswith(("data:", "blob:"))] == []
    assert tab.locator(".js-plotly-plot").count() >= len(VIEWS)
    for name in VIEWS:
        assert tab.locator(f"#{name} .js-plotly-plot").count() or name == "claims"
    assert tab.evaluate("document.querySelector('[data-plot=surface] canvas').width") > 0
    assert tab.locator("#claims button.claim").count() > 10
    assert tab.locator(".modebar-btn").count() > 10
    assert tab.locator("[data-title^=Share]").count() == 0  # Plotly's own button that uploads a plot


def test_sliders_and_choices_change_what_is_drawn(tab):
    changes = {
        "[data-plot=surface]": "#planes [value=distance]",
        "#curves [data-plot=profile]": "#curves [value=test]",
        "[data-plot=rays]": "#tunnels [value=loss]",
    }
    for plot, choice in changes.items():
        before = drawn(tab, plot)
        tab.locator(choice).check(force=True)
        changed(tab, plot, before)
    for slider, plot in {
        "#tunnels-width": "[data-plot=rays]",
        "#tunnels-fraction": "[data-plot=widths]",
        "#simplexes-bound": "[data-plot=regions]",
        "#curves-pair": "#curves [data-plot=profile]",
    }.items():
        before = drawn(tab, plot)
        lowest = tab.locator(slider).get_attribute("min")
        highest = tab.locator(slider).get_attribute("max")
        now = tab.locator(slider).input_value()
        move(tab, slider, lowest if float(now) > float(lowest) else highest)
        assert drawn(tab, plot) != before or lowest == highest, slider
    measure = tab.locator("#similarity-measure")
    before = drawn(tab, "#similarity [data-plot=matrix]")
    measure.select_option("weight_distance")
    changed(tab, "#similarity [data-plot=matrix]", before)
    assert tab.wrong == []


def test_one_hyperparameter_moves_at_a_time(tab):
    move(tab, "#tunnels-width", 0)
    move(tab, "#tunnels-learning_rate", 1)
    assert tab.locator("#tunnels-learning_rate").get_attribute("aria-valuetext") == "0.1"
    base = smoke_layout().study.settings[smoke_layout().study.base]["width"]
    assert tab.locator("#tunnels-width").get_attribute("aria-valuetext") == str(base)
    assert "learning rate 0.1" in tab.locator("#tunnels .readout").text_content()


@pytest.mark.parametrize(("quantity", "fraction"), [("score", 0.8), ("score", 0.95), ("loss", 0.1), ("loss", 0.5)])
def test_widths_on_the_page_are_those_of_the_library(tab, results, data, quantity, fraction):
    layout = smoke_layout()
    sweep = next(one for one in data["views"]["tunnels"]["sweeps"] if one["key"] == "width")
    for place, setting in enumerate(layout.study.sweeps["width"]):
        store = open_store(results / f"tunnels/{setting}.zarr.zip")
        expected = widths(store, Definition(quantity, fraction))
        network = sweep["networks"]["as trained"][place]
        found = tab.evaluate(f"explorer.tunnels.widths({network}, '{quantity}', {fraction})")
        kept = [
            seed
            for seed, is_fit in zip(
                store["seed"].values.tolist(), data["views"]["tunnels"]["networks"][network]["fit"], strict=True
            )
            if is_fit
        ]
        assert [int(seed) for seed in found] == kept
        np.testing.assert_allclose(list(found.values()), expected.sel(seed=kept).values, atol=0.05)


def test_verdicts_on_the_page_are_those_of_the_table(tab, results):
    table = pd.read_csv(results / "tables/specifications.csv")
    found = tab.evaluate(JUDGED)
    assert found == table["verdict"].tolist()


@pytest.mark.parametrize(
    ("estimate", "rule", "verdict"),
    [
        ((0.6, 0.9), {"wanted": "above", "threshold": 0.5}, "supported"),
        ((0.6, 0.9), {"wanted": "below", "threshold": 0.5}, "contradicted"),
        ((0.4, 0.9), {"wanted": "below", "threshold": 0.5}, "undecided"),
        ((-0.2, 0.3), {"wanted": "above", "smallest_effect": 0.5}, "no effect"),
        ((-2.0, -0.6), {"wanted": "above", "smallest_effect": 0.5}, "contradicted"),
        ((-2.0, -0.6), {"wanted": "below", "smallest_effect": 0.5}, "supported"),
        ((-0.2, 0.3), {"wanted": "within", "smallest_effect": 0.5}, "supported"),
        ((0.6, 0.9), {"wanted": "within", "smallest_effect": 0.5}, "contradicted"),
        ((0.6, None), {"wanted": "above", "smallest_effect": 0.5}, "supported"),
        ((None, 0.9), {"wanted": "above", "smallest_effect": 0.5}, "undecided"),
    ],
)
def test_an_interval_against_a_rule(tab, estimate, rule, verdict):
    way = {"estimate": 0, "low": estimate[0], "high": estimate[1], "units": 4}
    whole = {"threshold": None, "smallest_effect": None, **rule}
    assert tab.evaluate("([way, rule]) => explorer.judged(way, rule, 4)", [way, whole]) == verdict
    assert tab.evaluate("([way, rule]) => explorer.judged({ ...way, units: 3 }, rule, 4)", [way, whole]) == "undecided"


def test_moving_the_rule_moves_verdicts_and_the_button_takes_it_back(tab, data):
    says = tab.locator("#specifications .readout")
    before = says.text_content()
    move(tab, "#specifications-rule", "1e9")  # a slider stops at its end
    assert says.text_content() != before
    tab.locator("[data-do=back]").click()
    until(tab, "(before) => document.querySelector('#specifications .readout').textContent === before", before)


def test_claims_are_found_opened_by_keyboard_and_lead_on(tab, data):
    tab.locator("#claims-text").fill("wider at higher learning rates")
    until(tab, "document.querySelectorAll('#claims button.claim').length === 1")
    button = tab.locator("#claims button.claim")
    assert button.get_attribute("aria-expanded") == "false"
    button.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    links = tab.locator("#claims tr.more a").evaluate_all("(some) => some.map((one) => one.getAttribute('href'))")
    assert {"figures/tunnels.png", "tables/tunnels.csv"} <= set(links)
    tab.locator("#claims tr.more button").click()
    assert tab.locator("#specifications-claim").input_value() == "tunnel_learning_rate"


def test_numbers_are_to_be_had_as_a_table(tab):
    tab.locator("#tunnels details summary").press("Enter")
    tab.wait_for_selector("#tunnels details table tbody tr")
    rows = tab.locator("#tunnels details tbody tr").count()
    sweeps = tab.evaluate(
        "explorer.data('tunnels').sweeps.reduce((sum, one) => sum + Object.values(one.networks).flat().length, 0)"
    )
    assert rows == sweeps


def test_what_can_be_reached_has_a_name(tab):
    assert tab.evaluate(UNNAMED) == 0
    assert tab.locator(".plot:not([aria-label])").count() == 0
    assert tab.locator(".plot[role=group]").count() == tab.locator(".plot").count()
    tab.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('main, nav, header, a') !== null")


def test_light_and_dark_follow_the_system_and_the_switch(browser, results):
    tab = opened(browser, results, color_scheme="dark")
    show(tab, "tunnels")
    ground = "getComputedStyle(document.body).backgroundColor"
    text = "document.querySelector('[data-plot=rays]').layout.font.color"
    dark, dark_text = tab.evaluate(ground), tab.evaluate(text)
    tab.locator("#theme [value=light]").check(force=True)
    assert tab.evaluate(ground) == "rgb(255, 255, 255)" != dark
    assert tab.evaluate(text) != dark_text
    tab.locator("#theme [value=system]").check(force=True)
    tab.emulate_media(color_scheme="light")
    until(tab, f"{ground} === 'rgb(255, 255, 255)'")
    assert tab.wrong == []
    tab.context.close()


def test_paper_is_white_and_has_all_views(browser, results):
    tab = opened(browser, results, color_scheme="dark")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    for name in VIEWS:
        assert tab.locator(f"#{name} .readout").text_content()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not tab.locator("#planes form").is_visible()
    tab.context.close()


def test_studies_stand_side_by_side_on_a_page_that_asks_for_nothing(browser, made):
    table = pd.read_csv(made.folder / "results/smoke/claims.csv")
    table["verdict"] = "supported"
    for name, some in (("all", table), ("most", table[1:].replace({"verdict": {"supported": "contradicted"}}))):
        (made.folder / "results" / name).mkdir()
        some.to_csv(made.folder / "results" / name / "claims.csv", index=False)
    made.python("scripts/compare_studies.py", "all", "most")
    tab = opened(browser, made.folder / "results/comparison", "claims.html")
    show(tab, "comparison")
    rows = tab.locator("#comparison tbody tr")
    tab.locator("#comparison [value=check]").check()
    until(tab, f"document.querySelectorAll('#comparison tbody tr').length === {len(table)}")
    assert rows.first.locator("td").count() == 2
    tab.locator("#comparison [value=opposite]").check(force=True)
    until(tab, f"document.querySelectorAll('#comparison tbody tr').length === {len(table) - 1}")
    assert tab.locator("#comparison thead a").first.get_attribute("href") == "../all/claims.html"
    assert len(tab.asked) == 1
    assert tab.wrong == []
    tab.context.close()
