"""The documentation: references from the code reach a section, and links and names reach a file."""

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import wedgescape

REPOSITORY = Path(__file__).parents[2]
SCIENCE = REPOSITORY / "docs/science.md"
CODE = sorted((REPOSITORY / "scripts").rglob("*.py"))
PAGES = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")]
PAGES += sorted((REPOSITORY / "docs").glob("*.md"))
NOTEBOOKS = sorted((REPOSITORY / "docs/notebooks").glob("*.ipynb"))
REFERENCE = re.compile(r"\(docs/science\.md,\s+([^)]*)\)")
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)  # [text](target) and [label]: target


def prose(page: Path) -> str:
    """Return a page without its fenced code, in which brackets mean other things; of a notebook, its text."""
    text = page.read_text()
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def lost_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead to no file."""
    links = [inline or defined for inline, defined in LINK.findall(prose(page))]
    relative = [link for link in links if not re.match(r"[a-z][a-z0-9+.-]*:|#", link)]
    return [link for link in relative if not (page.parent / link.partition("#")[0]).exists()]


def test_references_of_the_code_name_sections_of_the_science():
    titles = re.findall(r"^## (.+)$", prose(SCIENCE), re.MULTILINE)
    named = [
        (file.relative_to(REPOSITORY).as_posix(), " ".join(title.split()))
        for file in CODE
        for title in REFERENCE.findall(file.read_text())
    ]
    assert named
    assert [(file, title) for file, title in named if title not in titles] == []


def test_no_reference_names_a_section_by_its_number():
    numbered = [file for file in CODE if re.search(r"\(science,\s+section", file.read_text())]
    assert [file.relative_to(REPOSITORY).as_posix() for file in numbered] == []


@pytest.mark.parametrize("page", PAGES + NOTEBOOKS, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_to_files(page):
    assert lost_links(page) == []


def test_a_lost_link_is_seen_and_code_and_addresses_are_not_links(tmp_path):
    (tmp_path / "there.md").touch()
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md#part) ![b](gone.png) [c](https://example.org/x) [d](#here)\n\n"
        '```python\nvalues["x"](y)\n```\n\n[e]: gone.md\n[f]: there.md\n'
    )
    assert lost_links(page) == ["gone.png", "gone.md"]


def test_the_science_names_modules_and_tests_that_exist():
    modules = re.findall(r"`(\w+/\w+\.py)`", prose(SCIENCE))
    tests = re.findall(r"`(test_\w+\.py)`", prose(SCIENCE))
    assert modules
    assert tests
    assert [name for name in modules if not (REPOSITORY / "scripts/wedgescape" / name).is_file()] == []
    assert [name for name in tests if not (REPOSITORY / "tests/unit" / name).is_file()] == []


def test_contributors_are_told_of_the_rooms_in_their_order():
    layers = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0][
        "layers"
    ]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| .* \|$", prose(REPOSITORY / "CONTRIBUTING.md"), re.MULTILINE)
    assert [room for row in rows for room in re.findall(r"\w+", row)] == [one for one in layers if one != "errors"]


def test_the_citation_names_the_version_of_the_library():
    cited = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert cited["version"] == wedgescape.VERSION


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs(notebook):
    """The site runs them. Outputs in the repository would be those of some day."""
    cells = json.loads(notebook.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [cell["source"] for cell in code if cell["outputs"] or cell["execution_count"]] == []


def test_the_site_has_every_page():
    shown = set(re.findall(r"^[\w./-]+$", (REPOSITORY / "docs/index.md").read_text(), re.MULTILINE))
    pages = [Path(os.path.relpath(page, REPOSITORY / "docs")).with_suffix("") for page in PAGES + NOTEBOOKS]
    assert shown == {page.as_posix() for page in pages} - {"index"} | {"../CHANGELOG"}


def test_the_glossary_is_in_order_and_has_each_word_once():
    words = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", (REPOSITORY / "docs/glossary.md").read_text(), re.MULTILINE)[2:]
    assert len(words) > 50
    assert words == sorted(set(words), key=str.casefold)
