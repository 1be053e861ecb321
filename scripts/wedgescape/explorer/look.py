"""Colours of the page: those of the figures (`figures.style`), made readable on a light and on a dark ground."""

from __future__ import annotations

from matplotlib.colors import to_hex, to_rgb

from wedgescape.figures import style

GROUNDS = {"light": "#ffffff", "dark": "#161a20"}
MARK, TEXT = 3.0, 4.5  # contrast that WCAG 2.1 asks of graphics and of text
STOPS = 24  # of a colour scale


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.1)."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.1)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, ground: str, least: float) -> str:
    """Return a colour mixed with white on a dark ground, with black on a light one, as little as the contrast needs."""
    end = 1.0 if luminance(ground) < 0.18 else 0.0
    for step in range(51):
        mixed = to_hex([part + (end - part) * step / 50 for part in to_rgb(colour)])
        if contrast(mixed, ground) >= least:
            return mixed
    return to_hex([end] * 3)


def palette(theme: str) -> dict:
    """Return the colours of a theme by what they mean, for marks and (`text`) for words."""
    ground = GROUNDS[theme]
    meanings = {
        "splits": style.SPLITS,
        "places": style.PLACES,
        "curves": style.CURVES,
        "sweeps": style.SWEEPS,
        "methods": style.METHODS,
        "verdicts": style.VERDICTS,
        "plain": {"neutral": style.NEUTRAL},
        "regions": dict(zip(("uniform", "faces", "vertices", "edges"), map(to_hex, style.levels(4)), strict=True)),
    }
    marks = {kind: {name: readable(one, ground, MARK) for name, one in some.items()} for kind, some in meanings.items()}
    words = {name: readable(one, ground, TEXT) for name, one in style.VERDICTS.items()}
    return marks | {"text": words, "ground": ground}


def scales() -> dict[str, list]:
    """Return the colour scales of quantities: name -> pairs of a place from 0 to 1 and a colour."""
    places = [place / (STOPS - 1) for place in range(STOPS)]
    return {name: [[round(at, 4), to_hex(style.colour_map(name)(at))] for at in places] for name in style.MAPS}


def look() -> dict:
    """Return all colours and names of the page."""
    return {
        "themes": {theme: palette(theme) for theme in GROUNDS},
        "scales": scales(),
        "names": style.NAMES,
        "methods": style.METHOD_NAMES,
    }
