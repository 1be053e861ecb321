"""The views of the explorer: which of them a study has, and what they read.

A view is three files of one name: the Python file embeds data (`embed`), the HTML file says what one sees and has the
controls, and the JavaScript file draws. Like a figure's functions, `embed` says by its parameters what it reads
(`study.places`). The Snakefile loads this module, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from wedgescape.provenance.determinants import Determinants
from wedgescape.provenance.file_sums import sha256
from wedgescape.study.catalogue import LIBRARY, File
from wedgescape.study.layout import NEEDED, Layout, tables_of
from wedgescape.study.settings import swept

FOLDER = LIBRARY / "explorer"
VIEWS = ("planes", "curves", "simplexes", "tunnels", "specifications", "similarity", "methods", "claims")
PAGE = ("page.html", "page.css", "page.js", "finding.html")


@cache
def all_views() -> tuple[File, ...]:
    """Return the files of all views, in the order of the page; each is read once."""
    return tuple(File(FOLDER / f"{name}.py") for name in VIEWS)


def left_out(layout: Layout) -> dict[str, str]:
    """Return the views that a study lacks: name -> why."""
    reasons = {file.name: _lacking(file, layout) for file in all_views()}
    return {name: why for name, why in reasons.items() if why}


def _lacking(file: File, layout: Layout) -> str:
    for key, (kind, text) in NEEDED.items():
        if kind in file.kinds("embed") and not getattr(layout.study, key):
            return text
    for name in file.measurements_read("embed"):
        if name in layout.catalogue.left_out:
            return f"the study has no {name}: {layout.catalogue.left_out[name]}"
    return ""


def views_of(layout: Layout) -> list[File]:
    """Return the files of the views that a study has."""
    return [file for file in all_views() if not _lacking(file, layout)]


def read(layout: Layout) -> dict[str, list[str]]:
    """Return what the page reads: name of the input -> paths."""
    found: dict[str, list[str]] = {}
    for file in views_of(layout):
        for name, paths in layout.read(file, "embed").items():
            found[name] = list(dict.fromkeys([*found.get(name, []), *paths]))
    return found


def sources(layout: Layout) -> list[Path]:
    """Return the files that are copied into the page: its template, and the HTML and JavaScript of its views."""
    names = [file.name for file in views_of(layout)]
    parts = [FOLDER / f"{name}.{kind}" for name in names for kind in ("html", "js")]
    return [*(FOLDER / name for name in PAGE), *parts]


def determined_by(determinants: Determinants, families: dict[str, str]) -> dict:
    """Return what determines the page beside what it reads: the code, the files copied into it, and what is told.

    Args:
        determinants: of the study's results.
        families: name of each family of claims -> its heading.
    """
    layout = determinants.layout
    files = views_of(layout)
    roots = [determinants.script("explorer.py"), *((file.path, ["TITLE", "embed"]) for file in files)]
    sections = [key for file in files for key in file.sections("embed")]
    copied = {path.name: sha256(path) for path in sources(layout)}
    kinds = {kind for file in files for kind in file.kinds("embed")}
    more = {"told": told(layout, families), "context": layout.context(*kinds), "copied": copied}
    return determinants.of("explorer", roots, sections, **more)


def told(layout: Layout, families: dict[str, str]) -> dict:
    """Return what the page says of a study that no store and no table holds: plain JSON types.

    Args:
        layout: of the study.
        families: name of each family of claims -> its heading.
    """
    return {
        "study": layout.study.name,
        "base": layout.study.settings[layout.study.base],
        "views": [file.name for file in views_of(layout)],
        "left_out": left_out(layout),
        "families": families,
        "origins": origins(layout),
        "words": layout.study.words,
        "labels": {key: [sweep.label, sweep.colour] for key, (_section, _field, sweep) in swept().items()},
    }


def origins(layout: Layout) -> dict[str, dict]:
    """Return where claims come from: which file makes each (`measured`), and what that file reads (`files`).

    Paths lead from the study's folder on.
    """
    found: dict[str, dict] = {"measured": {}, "files": {}}
    for file in layout.catalogue.claiming:
        stores = dict.fromkeys(path for paths in layout.read(file, "claims").values() for path in paths)
        figures = list(_figures_of(file, layout))
        found["measured"] |= dict.fromkeys(file.claims, file.name)
        found["files"][file.name] = {
            "figures": [f"figures/{figure.name}.png" for figure in figures],
            "tables": [f"tables/{table}.csv" for figure in figures for table in tables_of(figure)],
            "stores": [path.removeprefix(f"{layout.results}/") for path in stores],
        }
    return found


def _figures_of(file: File, layout: Layout) -> Iterator[File]:
    """Yield the figure of a file's own name, or else those that draw what it measured or read."""
    figures = layout.catalogue.figures
    if file.name in figures:
        yield figures[file.name]
        return
    named = {file.name} if file.name in layout.catalogue.measurements else set(file.measurements_read("claims"))
    yield from (one for one in figures.values() if named & set(one.measurements_read("tabulate", "draw")))
