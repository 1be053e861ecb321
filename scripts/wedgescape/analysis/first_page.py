"""The page on which the report opens: what the study asks, and its verdicts chapter by chapter with a picture each."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from PIL import Image

from wedgescape.analysis.verdicts import counted, leading
from wedgescape.numerics.judging import VERDICTS

PIXELS, COLOURS = 1000, 128  # of a picture on this page; the report has it in full as well
SHOWN = 4  # verdicts of a chapter

# The report puts this page into its own, so every rule is for what is inside `.first-page`. Only the first ones make
# room for it: above the graph of rules instead of beside it.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{study}</title></head><body>
<style>
.prose:has(.first-page) {{ max-width: none; }}
div:has(.first-page) {{ align-items: flex-start; }} div.gap-3:has(.first-page) {{ display: block; }}
.first-page {{ font: 15px/1.45 sans-serif; color: #222; max-width: 76rem; margin: 0 auto; }}
.first-page h1 {{ font-size: 1.6rem; margin: 0.4rem 0; }} .first-page h2 {{ font-size: 1.05rem; margin: 0 0 0.4rem; }}
.first-page .chapters {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr)); gap: 1rem; }}
.first-page section {{ border: 1px solid #ddd; border-radius: 0.5rem; padding: 0.8rem; background: #fff; }}
.first-page img {{ width: 100%; height: 15rem; object-fit: contain; margin: 0.3rem 0; cursor: pointer; }}
.first-page ul {{ list-style: none; margin: 0.3rem 0; padding: 0; }} .first-page li {{ margin: 0.15rem 0; padding: 0; }}
.first-page p {{ margin: 0.4rem 0; }} .first-page .small {{ color: #555; font-size: 0.85rem; }}
.first-page b.verdict {{ font-weight: 600; }} .first-page a {{ color: #01665e; cursor: pointer; }}
.first-page .bar {{ display: flex; height: 0.5rem; border-radius: 0.25rem; overflow: hidden; margin: 0.2rem 0; }}
.first-page .supported {{ color: #01665e; }} .first-page i.supported {{ background: #01665e; }}
.first-page .contradicted {{ color: #8c510a; }} .first-page i.contradicted {{ background: #8c510a; }}
.first-page .no-effect {{ color: #3f4b8c; }} .first-page i.no-effect {{ background: #3f4b8c; }}
.first-page .undecided {{ color: #6b6b6b; }} .first-page i.undecided {{ background: #b3b3b3; }}
</style>
<div class="first-page">
<h1>Wedgescape: what the study “{study}” found</h1>
<p>Is the loss landscape of a neural network made of wide wedges that cross? The paper (Fort and Jastrzebski, NeurIPS
2019) says so; this study tests it, claim by claim, on {data}. <b>{counts}.</b></p>
<p class="small"><b class="verdict supported">supported</b>: the measured effect is surely on the claimed side.
<b class="verdict contradicted">contradicted</b>: it is surely on the other side.
<b class="verdict no-effect">no effect</b>: it is surely too small to matter.
<b class="verdict undecided">undecided</b>: these data cannot tell. “Surely” means the whole {confidence:.0%} interval,
corrected for the number of claims in the chapter. <a onclick="{all}">All verdicts, with numbers and rules</a>; the menu
at the left has every figure, with its caption.</p>
<div class="chapters">
{chapters}
</div>
<p class="small">All measurements are our own definitions of what the paper's abstract states; no figure is a copy of
one of the paper's. The tables behind the figures are in the study's folder.</p>
</div></body></html>
"""


def first_page(
    table: pd.DataFrame,
    families: Mapping[str, str],
    pictures: Mapping[str, Mapping],
    study: str,
    dataset: str,
    confidence: float,
) -> str:
    """Return the page as HTML that loads nothing.

    Args:
        table: of the verdicts (`verdicts.as_table`).
        families: of claims: name -> heading, in the order of the chapters.
        pictures: family -> `path` of a PNG, its `title`, and a `text` that says what one sees.
        study: its name.
        dataset: on which networks were trained.
        confidence: of the intervals.
    """
    chapters = [
        _chapter(heading, table[table["family"] == family], pictures.get(family))
        for family, heading in families.items()
        if (table["family"] == family).any()
    ]
    return PAGE.format(
        study=html.escape(study),
        data=html.escape(dataset),
        counts=counted(table),
        confidence=confidence,
        all=show("claims.html"),
        chapters="\n".join(chapters),
    )


def show(name: str) -> str:
    """Return what opens a result in the report, by the name of its file: JavaScript for an attribute."""
    return html.escape(
        f"const path = Object.keys(results).find(path => path.endsWith('/{name}')); "
        "app.setView({navbarMode: 'resultinfo', resultPath: path, content: path.split('.').pop() == 'png' ? 'img' : "
        "'html', contentPath: results[path].data_uri});"
    )


def _chapter(heading: str, part: pd.DataFrame, picture: Mapping | None) -> str:
    claims = part[part["kind"] != "check"]
    judged = claims if len(claims) else part
    seen = judged["verdict"].value_counts()
    bar = "".join(f'<i class="{_class(one)}" style="flex: {seen[one]}"></i>' for one in VERDICTS if one in seen)
    words = ", ".join(f"{seen[one]} {one}" for one in VERDICTS if one in seen)
    first = leading(judged)[:SHOWN]
    lines = [
        f'<li><b class="verdict {_class(row.verdict)}">{row.verdict}</b>: {html.escape(row.sentence)}</li>'
        for row in first.itertuples()
    ]
    more = len(judged) - len(first)
    lines += [f'<li class="small">and {more} more</li>'] if more else []
    note = (
        "" if len(claims) else ' <span class="small">(checks of the implementation, no evidence about networks)</span>'
    )
    drawn = ""
    if picture:
        drawn = (
            f'<img alt="{html.escape(picture["title"])}" src="{embedded(picture["path"])}" '
            f'onclick="{show(Path(picture["path"]).name)}"><p class="small">{html.escape(picture["text"])}</p>\n'
        )
    return (
        f'<section><h2>{html.escape(heading)}</h2>\n<div class="bar">{bar}</div><p>{words}{note}</p>\n'
        f"{drawn}<ul>{''.join(lines)}</ul></section>"
    )


def _class(verdict: str) -> str:
    return verdict.replace(" ", "-")


def embedded(path: str | Path) -> str:
    """Return a PNG as a data URI, at the size in which a screen shows it."""
    with Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((PIXELS, 2 * PIXELS))
        content = io.BytesIO()
        small.quantize(COLOURS).save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
