"""How Sphinx builds the site: `make site`. The pages are those that GitHub shows, and links are between the same files.

The root of the sources is the repository, so that README.md and config/README.md are pages as well. Nothing on the
site is loaded from elsewhere: formulas are MathML, which browsers draw by themselves, and the theme brings the rest.
"""

import html
import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "scripts"))

import wedgescape  # noqa: E402 - found by the line above

project = "Wedgescape"
version = release = wedgescape.VERSION
copyright = "the Wedgescape authors, MIT licence"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md", "docs/**"]
exclude_patterns = ["docs/jupyter_execute", "docs/_build", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]

# Markdown as GitHub reads it
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

# Notebooks are kept without outputs. Each build runs them, and a cell that fails ends it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

# Docstrings are Google's style, and `this` in them is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = f"Wedgescape {release}"
html_additional_pages = {"index": "redirect.html"}  # to the first page
html_math_renderer = "mathml"
html_show_copyright = False


def mathml(node: nodes.Element, *, alone: bool) -> str:
    """Return a formula as MathML; one that docutils cannot read is a warning, which ends the build."""
    tex = re.sub(r"\\([lg])t\b", lambda found: {"l": "<", "g": ">"}[found[1]], node.astext())
    try:
        return latex2mathml.tex2mathml(tex, as_block=alone)
    except MathError as error:
        logging.getLogger("mathml").warning("formula %s: %s", tex, error, location=node)
        return f"<code>{html.escape(tex)}</code>"


def inline_formula(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(mathml(node, alone=False))
    raise nodes.SkipNode


def formula_of_its_own(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula that stands alone."""
    translator.body.append(f"<div class='math'>{mathml(node, alone=True)}</div>")
    raise nodes.SkipNode


def plain(line: str) -> str:
    """Return a line in which |x|, a*b and theta_ are text and no markup; what is between backticks stays code."""
    parts = line.split("`")
    parts[::2] = [re.sub(r"([|*]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def as_text(_app, _kind: str, _name: str, _documented, _options, lines: list[str]) -> None:
    """Take docstrings for text, but for their code and examples, and link the page of the science."""
    example = False
    for number, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            lines[number] = plain(line).replace("docs/science.md", ":doc:`docs/science.md </docs/science>`")


def with_variables(_app, kind: str, _name: str, documented, _options, lines: list[str]) -> None:
    """Put a table of what the store holds behind a measurement's docstring."""
    declared = getattr(documented, "VARIABLES", {}) if kind == "module" else {}
    parts = declared if all(isinstance(one, dict) for one in declared.values()) else {"": declared}
    for part, variables in parts.items():
        rows = [("variable", "dimensions", "unit", "meaning")]
        rows += [
            (f"`{name}`", ", ".join(f"``{dim}``" for dim in one.dims), one.units or "", plain(one.description))
            for name, one in variables.items()
        ]
        title = "Variables of the store" + (f", part `{part}`" if part else "")
        lines += ["", f".. list-table:: {title}", "   :header-rows: 1", ""]
        lines += [f"   {' ' if column else '*'} - {cell}" for row in rows for column, cell in enumerate(row)]
        lines += [""]


def setup(app: Sphinx) -> None:
    """Tell Sphinx how formulas are written and what measurements store."""
    app.connect("autodoc-process-docstring", as_text, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", with_variables, priority=900)
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula_of_its_own, None))
