"""What tests of figures look at: panels, dots, and whether all text lies inside the figure."""

import string

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.legend import Legend

from wedgescape.figures import style


def titled(figure):
    """The panels of a figure, in order; colour bars have no title."""
    return [axes for axes in figure.axes if axes.get_title(loc="left")]


def drawn(axes):
    """All (x, y) of the dots of a panel that can be seen."""
    dots = [part.get_offsets() for part in axes.collections if isinstance(part, PathCollection)]
    points = np.ma.filled(np.ma.concatenate(dots), np.nan)
    return in_order(points[np.isfinite(points).all(1)])


def in_order(rows):
    return np.array(sorted(map(tuple, rows)), dtype=float)


def check_looks(figure, count, width=style.TWO_COLUMNS):
    """Size, letters of so many panels, and text and legends that lie inside the figure."""
    assert figure.get_figwidth() == width
    assert [axes.get_title(loc="left")[9] for axes in titled(figure)] == list(string.ascii_letters[:count])
    figure.draw_without_rendering()
    texts = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title, axes._right_title]
    for text in filter(lambda text: isinstance(text, Legend) or text.get_text(), texts):
        extent = text.get_window_extent()
        assert figure.bbox.x0 - 1 <= extent.x0, text
        assert extent.x1 <= figure.bbox.x1 + 1, text
        assert figure.bbox.y0 - 1 <= extent.y0, text
        assert extent.y1 <= figure.bbox.y1 + 1, text
