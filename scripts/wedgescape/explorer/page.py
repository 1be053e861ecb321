"""The page itself: its template with styles, scripts and data put in, so that one file is all there is."""

from __future__ import annotations

import html
from collections.abc import Mapping
from types import MappingProxyType

from plotly.offline import get_plotlyjs

from wedgescape.explorer.look import look
from wedgescape.explorer.numbers import embedded
from wedgescape.explorer.views import FOLDER

MEGABYTES = 8  # the most that a page may have


def assemble(
    head: Mapping,
    views: Mapping[str, tuple[str, dict]],
    left_out: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    plots: bool = True,
) -> str:
    """Return the page as HTML that loads nothing.

    Args:
        head: what the page says first: `study`, `counts` of the verdicts, `base`, the base setting, `words` of the
            loss (`study.losses`).
        views: name -> title, and what the view embeds, in the order of the page.
        left_out: name of each view that the study lacks -> title, why.
        plots: whether a view draws plots, for which the page then holds a library of 5 MB.
    """
    sections = "\n".join(_section(name, title) for name, (title, _) in views.items())
    links = "\n".join(f'<li><a href="#{name}">{name.capitalize()}</a></li>' for name in views)
    lacking = "\n".join(_lacking(title, why) for title, why in left_out.values())
    data = {"head": dict(head), "look": look(), "views": {name: data for name, (_, data) in views.items()}}
    scripts = [_read("page.js"), *(_read(f"{name}.js") for name in views)]
    parts = {
        "study": html.escape(head["study"]),
        "style": _read("page.css"),
        "links": links,
        "sections": sections + lacking,
        "data": embedded(data),
        "library": get_plotlyjs().replace("</script", "<\\/script") if plots else "",
        "script": "\n".join(scripts),
    }
    page = _read("page.html")
    before, *rest = page.split("{{")
    return before + "".join(parts[name] + after for name, after in (one.split("}}", 1) for one in rest))


def _section(name: str, title: str) -> str:
    heading = f'<h2 id="{name}-title">{html.escape(title)}</h2>'
    finding = _read("finding.html").replace("{{view}}", name)  # the controls of views that list claims
    content = _read(f"{name}.html").replace("{{finding}}", finding)
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{content}</section>'


def _lacking(title: str, why: str) -> str:
    return f'<p class="lacking">{html.escape(f"{title}: left out, because {why}.")}</p>\n'


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
