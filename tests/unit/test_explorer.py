"""The explorer's data: what each view embeds is what the stores hold, in a page that loads nothing."""

import json
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from projects import REPOSITORY, smoke_layout
from wedgescape.analysis.comparison import compared
from wedgescape.explorer import (
    claims,
    comparison,
    curves,
    look,
    page,
    planes,
    similarity,
    simplexes,
    specifications,
    tunnels,
    views,
)
from wedgescape.explorer.numbers import embedded, kept_of, rounded, thinned
from wedgescape.numerics.intervals import Intervals
from wedgescape.study.catalogue import GIVEN, catalogue
from wedgescape.study.layout import Layout
from wedgescape.study.places import PLACES
from wedgescape.study.rules import load_rules
from wedgescape.study.study import load_study

DRAW = np.random.default_rng(0)


# Numbers


def test_numbers_are_rounded_and_null_where_there_is_none():
    assert rounded([[1.0, np.nan], [0.123456789, -np.inf]]) == [[1, None], [0.12346, None]]
    assert rounded(np.float32(1234567), 3) == 1230000
    assert rounded(np.zeros((2, 0))) == [[], []]


def test_embedded_text_cannot_end_its_element_and_reads_back():
    data = {"text": "</script><!-- \u2028", "numbers": [0.1, None]}
    text = embedded(data)
    assert "<" not in text
    assert json.loads(text) == data
    with pytest.raises(ValueError, match="JSON"):
        embedded([math.nan])


def test_thinning_keeps_the_ends_and_says_so():
    assert thinned(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert thinned(101, 5).tolist() == [0, 25, 50, 75, 100]
    assert kept_of(5, 5, "rays") == ""
    assert "5 of 101 rays" in kept_of(5, 101, "rays")


# Colours


@pytest.mark.parametrize("theme", look.GROUNDS)
def test_every_colour_can_be_told_from_its_ground(theme):
    colours = look.palette(theme)
    marks = [one for kind, some in colours.items() if kind not in ("text", "ground") for one in some.values()]
    assert min(look.contrast(one, colours["ground"]) for one in marks) >= look.MARK
    assert min(look.contrast(one, colours["ground"]) for one in colours["text"].values()) >= look.TEXT


def test_a_colour_that_is_readable_stays():
    assert look.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert look.readable("#0173b2", "#ffffff", 4.5) == "#0173b2"
    assert look.luminance(look.readable("#333333", "#161a20", 3.0)) > look.luminance("#333333")


# Planes


@pytest.fixture
def plane():
    """A plane through three optima whose losses tell where they are."""
    alpha, beta = np.array([0.0, 2.0, 4.0]), np.array([0.0, 3.0])
    loss = alpha[:, None] * 10 + beta + np.array([0.0, 100.0])[:, None, None]  # (split, alpha, beta)
    t = np.array([0.0, 0.5, 1.0])
    ends = {"0-1": (1.0, 2.0), "0-2": (1.0, 3.0), "1-2": (2.0, 3.0)}
    sides = np.array([[[first, 9.0, last] for first, last in ends.values()]] * 2)
    dims = ("split", "alpha", "beta")
    return xr.Dataset(
        {
            "loss": (dims, loss), "score": (dims, loss / 1000), "profile_loss": (("split", "pair", "t"), sides),
            "barrier": (("split", "pair"), np.full((2, 3), 7.0)), "optimum_alpha": ("optimum", [0.0, 4.0, 2.0]),
            "optimum_beta": ("optimum", [0.0, 0.0, 3.0]), "connector_place": ("axis", [2.0, 1.0]),
            "connector_distance": 8.0, "connector_loss": ("split", [0.5, 0.6]),
        },
        {"split": ["train", "test"], "alpha": alpha, "beta": beta, "pair": list(ends), "t": t, "optimum": [0, 1, 2]},
    )  # fmt: skip


def test_a_plane_has_the_losses_of_the_store_row_by_row_of_beta(plane):
    found = planes.embed({"optima": plane})["planes"][0]
    assert found["alpha"] == [0, 2, 4]
    assert found["loss"]["train"] == [[0, 20, 40], [3, 23, 43]]
    assert found["loss"]["test"] == [[100, 120, 140], [103, 123, 143]]
    assert [one["seed"] for one in found["optima"]] == [0, 1, 2]
    assert [one["loss"]["train"] for one in found["optima"]] == [1, 2, 3]
    assert [line["ends"] for line in found["lines"]] == [[0, 1], [0, 2], [1, 2]]
    assert found["centre"] == {"place": [2, 1], "distance": 8, "loss": {"train": 0.5, "test": 0.6}}


def test_a_fine_plane_is_thinned_and_one_around_an_optimum_is_in_weights(plane):
    side = np.linspace(-1, 1, 2 * planes.MOST - 1)
    values = ("split", "alpha", "beta"), np.zeros((1, len(side), len(side)))
    store = xr.Dataset(
        {"loss": values, "score": values}, {"split": ["train"], "alpha": side, "beta": side}, {"scale": 12.0, "seed": 5}
    )
    found = planes.embed({"around": store})["planes"][0]
    assert len(found["alpha"]) == len(found["loss"]["train"]) == planes.MOST
    assert (found["alpha"][0], found["alpha"][-1]) == (-12, 12)
    assert f"{planes.MOST} of {len(side)}" in found["note"]
    assert found["optima"][0]["seed"] == 5


# Curves


@pytest.mark.parametrize("kind", ["bezier", "chain"])
def test_the_place_of_a_curve_follows_from_the_angles_at_its_ends(kind):
    """Distances between points do not depend on the plane: those on the page are those in a space of 50 dimensions."""
    first, control, last = DRAW.normal(size=(3, 50))
    t = np.linspace(0, 1, 21)[:, None]
    if kind == "bezier":
        curve = (1 - t) ** 2 * first + 2 * t * (1 - t) * control + t**2 * last
    else:
        curve = np.where(t < 0.5, first + 2 * t * (control - first), control + (2 * t - 1) * (last - control))

    def angle(a, b):
        return np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    departures = np.array([angle(control - first, last - first), angle(control - last, first - last)])
    found = curves.bent(kind, np.linalg.norm(last - first), departures, t[:, 0])
    for end in (0, -1):
        distances = np.linalg.norm(curve - curve[end], axis=1)
        np.testing.assert_allclose(np.linalg.norm(found - found[end], axis=1), distances, atol=1e-9)


# Simplexes


def test_losses_of_simplexes_keep_their_places():
    shape = {"size": 1, "set": 2, "kind": 1, "bound": 2, "region": 2, "split": 2, "position": 3}
    loss = xr.DataArray(np.arange(48.0).reshape(*shape.values()), dims=list(shape))
    store = xr.Dataset(
        {
            "loss": loss,
            "members": (("size", "set", "member"), [[[4, 7, -1], [2, 3, -1]]]),
            "threshold": (("size", "set"), [[0.5, 0.25]]),
        },
        {
            "size": [2],
            "kind": ["optima"],
            "bound": [0.0, 0.4],
            "region": ["uniform", "edges"],
            "split": ["train", "test"],
        },
        {"low_share": 0.95},
    )
    found = simplexes.embed(store)
    assert found["triangle"] is None
    assert found["members"] == [[[4, 7], [2, 3]]]
    expected = loss.isel(size=0, set=1, kind=0, bound=1, region=0, split=0).values
    assert found["loss"][0][0][1][0][1] == expected.tolist()


# Tunnels


def rays(fall, seeds=3, directions=2, value=None):
    """Profiles that lose their accuracy between 30 and 60 degrees; nothing is looked at after that."""
    angles = np.radians([0, 30, 60, 90])
    score = np.tile([1.0, 1.0, 1.0 - fall, np.nan], (seeds, directions, 1))
    dims = ("seed", "direction", "angle")
    store = xr.Dataset(
        {"score": (dims, score), "loss": (dims, 2 - 2 * score), "diverged": ("seed", np.arange(seeds) == 1)},
        {"seed": range(seeds), "direction": range(directions), "angle": angles},
        {"chance_loss": 2.0, "score_fraction": 0.9, "loss_fraction": 0.25},
    )
    return store if value is None else xr.concat([store] * len(value), xr.Variable("value", value))


def test_each_network_is_embedded_once_and_only_as_far_as_it_was_looked_at():
    sweep, other = rays(0.5, value=[0.1, 0.2]), rays(0.5, value=[16, 64])
    alone = xr.concat([rays(0.25)], xr.Variable("scaling", [tunnels.AS_TRAINED])).expand_dims(
        control=["duplicated", "idle"], width=[64]
    )
    alone = alone.assign(diverged=rays(0.25)["diverged"])
    alone["loss"] = alone["loss"].where(alone["control"] == "duplicated")
    given = {"learning_rate": sweep, "width": other}
    found = tunnels.embed(given, {}, given, alone, {"learning_rate": 0.1, "width": 16}, Intervals())
    assert found["angles"] == [0, 30, 60, 90]
    assert len(found["networks"]) == 2  # all that fall by half, and those that more units make
    assert found["networks"][0]["score"][0][0] == [1, 1, 0.5]
    assert found["networks"][0]["at"][0][0] == [0, 1, 2]
    assert found["networks"][0]["fit"] == [True, False, True]
    rate, width = found["sweeps"]
    assert [(one["name"], one["from"], one["to"]) for one in rate["compared"]] == [
        ("as trained", 0, 0),
        ("balanced layers", 0, 0),
    ]
    names = [
        "as trained; against duplicated units",
        "as trained; dimension not controlled",
        "balanced layers; dimension not controlled",
    ]
    assert [one["name"] for one in width["compared"]] == names
    assert width["compared"][0]["from"] == 1


def test_rays_beyond_the_limit_are_left_out_and_counted(monkeypatch):
    sweep = rays(0.5, directions=8, value=[0.1])
    monkeypatch.setattr(tunnels, "MOST", int(np.isfinite(sweep["loss"]).sum()))
    found = tunnels.embed({"learning_rate": sweep}, {}, {"learning_rate": sweep}, sweep, {}, Intervals())
    assert len(found["networks"][0]["loss"][0]) == 2  # of 8: both kinds of networks and both quantities count
    assert "2 of 8 rays" in found["note"]
    assert found["sweeps"][0]["compared"] == []  # one value has no trend


# Matrices


def test_matrices_are_those_of_the_store():
    values = {name: (("seed", "other"), DRAW.random((2, 2))) for name in similarity.MEASURES}
    store = xr.Dataset(values, {"seed": [0, 3], "other": [0, 3]})
    grids = {"grid": {"keys": ["width"], "settings": {"a": {"width": 8}}}}
    found = similarity.embed({"a": store}, grids)["settings"][0]
    assert found["names"] == ["seed 0", "seed 3"]
    assert found["label"].endswith(" 8")
    for name in similarity.MEASURES:
        np.testing.assert_allclose(found["matrices"][name], store[name], rtol=1e-3)


# Claims


def verdicts():
    row = dict.fromkeys([*claims.WORDS, *claims.NUMBERS], np.nan)
    row |= {"id": "connector_null_11", "sentence": "It <is> low", "wanted": "above", "smallest_effect": 0.5, "units": 4}
    return pd.DataFrame([row | {"estimate": 1.0, "low": -np.inf, "high": 2.0, "left_out": 0, "verdict": "undecided"}])


def test_a_claim_knows_the_file_that_makes_it():
    origins = {"measured": {"connector": "other", "connector_null": "connectors"}, "files": {}}
    found = claims.embed(verdicts(), {"connectors": "Connections"}, origins)["claims"][0]
    assert found["from"] == "connectors"
    assert (found["low"], found["high"], found["control"]) == (None, 2, "")
    with pytest.raises(KeyError, match="alone"):
        claims.rule_name("alone", {"connector": 0})


def test_specifications_are_those_of_the_table_in_its_order():
    table = pd.DataFrame({
        "id": "connector_null_11", "specification": ["a; b", "a; c"], "estimate": [1.0, 2.0], "low": [0.0, np.nan],
        "high": 3.0, "units": [4, 5], "verdict": ["supported", "undecided"],
    })  # fmt: skip
    claim = specifications.embed(table, verdicts(), Intervals())["claims"][0]
    assert (claim["threshold"], claim["smallest_effect"]) == (None, 0.5)
    assert [way["choices"] for way in claim["ways"]] == [["a", "b"], ["a", "c"]]
    assert claim["ways"][1] == {
        "choices": ["a", "c"],
        "estimate": 2,
        "low": None,
        "high": 3,
        "units": 5,
        "verdict": "undecided",
    }


# What a study has


def layout_of(**config):
    return Layout(load_study({"study": "s", "dataset": "digits", **config}, catalogue()), catalogue())


def families():
    return load_rules(REPOSITORY / "config/rules.yaml", catalogue().claims).families


def test_each_view_has_its_three_files_and_a_title():
    for file in views.all_views():
        assert file.constant("TITLE")
        assert all((views.FOLDER / f"{file.name}.{kind}").is_file() for kind in ("py", "html", "js"))
        known = {*PLACES, *GIVEN, "Families", "Origins"}
        assert file.kinds("embed") <= known, file.name


def test_views_without_stores_are_left_out_with_a_reason():
    whole = layout_of(sweeps={"width": [8, 16]}, grids=[{"width": [8], "learning_rate": [0.1]}])
    assert views.left_out(whole) == {}
    assert [file.name for file in views.views_of(whole)] == list(views.VIEWS)
    lacking = views.left_out(layout_of(leave_out=["curves"]))
    assert lacking["tunnels"] == "the study has no sweeps"
    assert lacking["similarity"] == "the study has no grids"
    assert lacking["curves"] == "the study has no curves: the config leaves it out"
    assert {"curves", "tunnels", "similarity"} <= set(lacking)
    assert {"planes", "claims", "specifications"} <= {
        file.name for file in views.views_of(layout_of(leave_out=["curves"]))
    }


def test_every_claim_leads_to_figures_and_stores_of_the_study():
    layout = smoke_layout()
    found = views.origins(layout)
    assert set(found["measured"]) == {name for file in layout.catalogue.claiming for name in file.claims}
    for name, one in found["files"].items():
        assert one["figures"], name
        assert all(path.endswith(".zarr.zip") and not path.startswith("results") for path in one["stores"])
    assert "figures/tunnels.png" in found["files"]["tunnels"]["figures"]
    assert "tables/tunnels.csv" in found["files"]["tunnels"]["tables"]


def test_an_edit_of_what_is_copied_into_the_page_rewrites_it(monkeypatch, tmp_path):
    given = SimpleNamespace(
        layout=smoke_layout(), script=lambda name: name, of=lambda rule, roots, sections, **more: more
    )
    before = views.determined_by(given, families())
    assert {"page.html", "page.css", "page.js", "planes.html", "planes.js"} <= set(before["copied"])
    other = tmp_path / "page.css"
    other.write_text("body {}")
    monkeypatch.setattr(views, "sources", lambda _layout: [other])
    assert views.determined_by(given, families())["copied"]["page.css"] != before["copied"]["page.css"]


def test_the_snakefile_loads_nothing_heavy_and_the_page_no_torch():
    program = (
        "import sys\nfrom wedgescape.explorer import views\n"
        "print(sorted({'torch', 'numpy', 'matplotlib', 'plotly'} & set(sys.modules)))\n"
        "import importlib\nimport wedgescape.provenance.arguments, wedgescape.analysis.verdicts\n"
        "[importlib.import_module(f'wedgescape.explorer.{name}') for name in ('page', *views.VIEWS)]\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY / "scripts", capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


# The page


@pytest.fixture(scope="module")
def assembled():
    data = {"planes": ("Planes", {"planes": [], "text": "</script><b>"}), "claims": ("Claims & more", {"claims": []})}
    head = {"study": "a <study>", "base": {"width": 8}, "words": {}, "counts": "1 supported"}
    return page.assemble(head, data, {"curves": ("Curves", "the study has no curves")}), data


def test_the_page_holds_its_data_and_says_what_it_lacks(assembled):
    text, data = assembled
    found = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert found["views"] == {name: one for name, (_title, one) in data.items()}
    assert found["head"]["study"] == "a <study>"
    assert "<title>Explorer: a &lt;study&gt;</title>" in text
    assert "Curves: left out, because the study has no curves." in text
    assert 'id="claims-title">Claims &amp; more</h2>' in text
    assert "{{" not in text.replace(page.get_plotlyjs(), "")
    assert len(text.encode()) < page.MEGABYTES * 1e6


def test_the_page_names_no_address_to_load_from(assembled):
    text = assembled[0].replace(page.get_plotlyjs(), "")
    assert not re.findall(r'(?:src|href|action)\s*=\s*"(?!#)', text)
    assert set(re.findall(r"https?://[^\"'\s]+", text)) == {"http://www.w3.org/2000/svg"}  # a name, which nothing loads
    assert "default-src 'none'" in text


def test_the_smoke_study_is_a_study_with_all_views():
    study = load_study(yaml.safe_load((REPOSITORY / "config/smoke.yaml").read_text()), catalogue())
    assert views.left_out(Layout(study, catalogue())) == {}


# Studies side by side


def verdicts_of(**found):
    """A table of verdicts: claim -> its verdict and estimate."""
    rows = [
        {"id": claim, "family": claim[0], "kind": "ours", "sentence": claim, "quantity": "nats", "wanted": "above",
         "verdict": verdict, "estimate": estimate, "low": estimate - 1, "high": np.nan, "threshold": np.nan,
         "smallest_effect": 0.1, "units": 4}
        for claim, (verdict, estimate) in found.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_studies_stand_side_by_side_and_lack_what_they_do_not_claim():
    one = verdicts_of(a1=("supported", 2.0), b1=("undecided", 0.0))
    other = verdicts_of(a1=("supported", 3.0), a2=("contradicted", -1.0))
    tables = {"one": one, "other": other}
    found = comparison.embed(compared(tables), tables, {"a": "First"})
    assert found["names"] == ["one", "other"]
    assert found["families"] == {"a": "First", "b": "b"}
    claims = {claim["id"]: claim for claim in found["claims"]}
    assert claims["a1"]["everywhere"] == "supported"
    assert [study["estimate"] for study in claims["a1"]["studies"]] == [2, 3]
    assert claims["a1"]["studies"][0]["high"] is None
    assert claims["a2"]["studies"][0] is None
    assert claims["b1"]["everywhere"] == ""
