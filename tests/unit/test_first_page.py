"""The page on which the report opens, and which verdicts are said first."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from projects import REPOSITORY
from wedgescape.analysis.first_page import PIXELS, embedded, first_page
from wedgescape.analysis.verdicts import leading, most_important
from wedgescape.study.catalogue import catalogue

ROWS = [
    ("check", "toy", "check", "supported"),
    ("ours", "tunnels", "ours", "supported"),
    ("open", "tunnels", "paper", "undecided"),
    ("against", "tunnels", "paper", "contradicted"),
    ("for", "tunnels", "paper", "supported"),
    ("flat", "curvature", "paper", "no effect"),
]


@pytest.fixture
def table():
    """Verdicts in the order of their rules."""
    made = pd.DataFrame(ROWS, columns=["id", "family", "kind", "verdict"])
    return made.assign(sentence=[f"Claim {name} <holds>" for name in made["id"]])


def test_the_papers_claims_come_first_and_decided_before_undecided(table):
    assert list(leading(table)["id"]) == ["against", "for", "flat", "open", "ours", "check"]
    assert list(leading(table).columns) == list(table.columns)


def test_the_most_important_verdicts_are_of_different_chapters_and_no_checks(table):
    assert list(most_important(table)["id"]) == ["against", "flat", "for"]
    assert list(most_important(table, 2)["id"]) == ["against", "flat"]
    assert len(most_important(table, 99)) == 5


@pytest.fixture
def page(table, tmp_path):
    """The page of these verdicts, with a picture of one chapter."""
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "tunnels.png")
    picture = {"path": str(tmp_path / "tunnels.png"), "title": "tunnels", "text": "How wide they are."}
    families = {"toy": "Toy", "tunnels": "Tunnels", "curvature": "Curvature", "empty": "Empty"}
    return first_page(table, families, {"tunnels": picture}, "s", "digits", 0.95)


def test_each_chapter_with_claims_has_its_verdicts_and_its_picture(page):
    assert re.findall("<h2>(.*?)</h2>", page) == ["Toy", "Tunnels", "Curvature"]
    toy, tunnels, curvature = page.split("<section>")[1:]
    assert "1 supported" in toy
    assert "no evidence about networks" in toy
    assert "2 supported, 1 contradicted, 1 undecided" in tunnels
    assert tunnels.index("Claim against") < tunnels.index("Claim open")
    assert "How wide they are." in tunnels
    assert 'class="verdict no-effect">no effect</b>: Claim flat &lt;holds&gt;' in curvature
    assert ("<img" in toy, "<img" in tunnels, "<img" in curvature) == (False, True, False)


def test_the_page_loads_nothing(page):
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', page) == []


def test_pictures_are_made_small_for_the_screen(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (900, 3 * PIXELS, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "big.png")
    assert len(embedded(tmp_path / "big.png")) < (tmp_path / "big.png").stat().st_size / 5


def test_one_figure_stands_for_each_family_of_claims():
    families = yaml.safe_load((REPOSITORY / "config/rules.yaml").read_text())["families"]
    shown = Counter(name for file in catalogue().figures.values() for name in file.constant("STANDS_FOR", {}))
    assert shown == Counter(families.keys())
