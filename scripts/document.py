"""Write what of the documentation follows from the code: tables of keys, measurements, figures; captions; the schema.

Run it after a change of a setting, a measurement or a figure: ``python scripts/document.py``. With ``--check`` nothing
is written, and the exit status is 1 if something is out of date.
"""

import argparse
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import jinja2
import yaml

from wedgescape.study.catalogue import LIBRARY, REPORT, Catalogue, catalogue
from wedgescape.study.layout import Layout
from wedgescape.study.problems import table_of_keys
from wedgescape.study.study import load_study

REPOSITORY = Path(__file__).resolve().parent.parent
SCHEMA = "config/config.schema.json"  # for editors
WITH_TABLES = ("config/README.md", "docs/measurements.md", "docs/gallery.md", "docs/reference-files.md")
SHOWN = ("config/config.yaml", "config/extended.yaml")  # the studies whose figures the documentation shows


def table_of_measurements(found: Catalogue) -> str:
    """Return the measurements as a Markdown table: rule, file, what it measures, the networks it takes, its figures."""
    rows = ["| rule | what it measures | figures |", "| --- | --- | --- |"]
    for name, file in sorted(found.measurements.items()):
        drawn = [one.name for one in found.figures.values() if name in one.measurements_read("tabulate", "draw")]
        path = f"../scripts/wedgescape/{file.path.parent.name}/{file.path.name}"
        rows.append(f"| [`measure_{name}`]({path}) | {file.summary} | {', '.join(f'`plot_{one}`' for one in drawn)} |")
    return "\n".join(rows)


def table_of_figures(found: Catalogue) -> str:
    """Return the figures as a Markdown table by chapter: rule, title, the measurements that it reads."""
    rows = ["| chapter | rule | figure | reads |", "| --- | --- | --- | --- |"]
    for file in sorted(found.figures.values(), key=lambda one: (one.constant("CATEGORY"), one.name)):
        read = ", ".join(f"`{name}`" for name in file.measurements_read("tabulate", "draw"))
        path = f"../scripts/wedgescape/figures/{file.path.name}"
        rows.append(
            f"| {file.constant('CATEGORY')} | [`plot_{file.name}`]({path}) | {file.constant('TITLE')} | {read} |"
        )
    return "\n".join(rows)


def gallery(found: Catalogue) -> str:
    """Return every figure with its caption as Markdown, by chapter, as the first of the studies shown has it."""
    studies = [load_study(yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8")), found) for path in SHOWN]
    layouts = [Layout(study, found) for study in studies]
    parts, chapter = [], ""
    for file in sorted(found.figures.values(), key=lambda one: (one.constant("CATEGORY"), one.name)):
        if chapter != file.constant("CATEGORY"):
            chapter = file.constant("CATEGORY")
            parts.append(f"## {chapter.partition(' ')[2]}")
        title = file.constant("TITLE")
        parts.append(f"### {title[0].upper()}{title[1:]}")
        config = next(layout.study.config for layout in layouts if file in layout.figures)
        pictures, name = REPOSITORY / f"docs/figures/{config['study']}", f"{file.name}.png"
        if (pictures / name).is_file() or not pictures.is_dir():  # a copy of the project may lack all pictures
            parts.append(f"[![{title}](figures/{pictures.name}/{name})](figures/{pictures.name}/{name})")
        caption = (REPORT / f"plot_{file.name}.rst").read_text(encoding="utf-8")
        sections = {f"claims.{key}": value for key, value in config["claims"].items()}
        of_job = {"config": config, "params": SimpleNamespace(job={"sections": sections})}  # what captions take
        text = jinja2.Template(caption, undefined=jinja2.StrictUndefined).render(snakemake=SimpleNamespace(**of_job))
        parts.append(f"{text.strip().replace('``', '`')} (`plot_{file.name}`)")
    return "\n\n".join(parts)


def reference(found: Catalogue) -> str:
    """Return where Sphinx puts the docstrings of all measurements and figures, a heading each."""
    parts = []
    for title, files, members in (
        ("Measurements", found.measurements, ("measure",)),
        ("Figures", found.figures, ("tabulate", "draw")),
    ):
        parts.append(f"## {title}")
        for _, file in sorted(files.items()):
            shown = ", ".join(name for name in members if name in file.definitions)
            directive = f".. automodule:: {file.module}\n   :members: {shown}"
            parts += [f"### {file.module.removeprefix(f'{LIBRARY.name}.')}", f"```{{eval-rst}}\n{directive}\n```"]
    return "\n\n".join(parts)


def with_tables(text: str, tables: dict[str, str]) -> str:
    """Return a page with what is between each pair of markers, such as `<!-- keys -->` and `<!-- /keys -->`, replaced.

    Args:
        text: of the page; a marker that opens must be closed.
        tables: name in the markers -> table.

    Raises:
        ValueError: if a marker is there without its partner.
    """
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, opened, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if opened and closed:
            text = f"{before}{begin}\n\n{table}\n\n{end}{after}"
        elif opened or end in text:
            raise ValueError(f"needs the markers {begin} and {end}, in this order")
    return text


def generated(root: Path) -> dict[Path, str]:
    """Return every file that follows from the code, as it must be: path -> text."""
    found = catalogue()
    config = found.config_class()
    tables = {
        "keys": table_of_keys(config),
        "measurements": table_of_measurements(found),
        "figures": table_of_figures(found),
        "gallery": gallery(found),
        "reference": reference(found),
    }
    pages = {root / page: with_tables((root / page).read_text(encoding="utf-8"), tables) for page in WITH_TABLES}
    return pages | {root / SCHEMA: json.dumps(config.model_json_schema(), indent=1, ensure_ascii=False) + "\n"}


def main(arguments: list[str] | None = None) -> int:
    """Write what is out of date, or check it.

    Args:
        arguments: The command line's arguments; by default those of this process.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if something is out of date")
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="of the repository")
    options = parser.parse_args(arguments)
    try:
        files = generated(options.root)
    except ValueError as problem:
        parser.error(str(problem))
    outdated = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in outdated:
        if options.check:
            print(f"{path} is out of date: run python scripts/document.py", file=sys.stderr)
        else:
            path.write_text(files[path], encoding="utf-8")
    return int(options.check and bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
