"""Draw the toy model in three dimensions: two wedges, the straight line between two optima, and the connector.

Wedges are planes here, long in two directions and short in one; the loss is the distance to the nearest. (a) The scene:
the straight line leaves one wedge for the other through the open, where the loss is high (its colour); the connector
follows the wedges through their intersection, where it is zero. A plane cuts through both, the loss painted on it.
(b) The same cut from above. (c) The loss along both paths. All of it is computed by the code that measures networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from wedgescape.figures import scenes, style
from wedgescape.landscapes.base import Slice
from wedgescape.landscapes.spans import Span, orthonormal
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements.connectors import find_centres
from wedgescape.study.settings import Look
from wedgescape.training.descent import Recipe

CATEGORY = "2 Toy wedges"
TITLE = "two wedges in three dimensions"
STANDS_FOR = {
    "toy": "The toy model: two long, flat wedges that cross. The straight line between two optima climbs; a "
    "connector stays at zero loss.",
}

SEED = 5  # draws two different wedges, both of them long in the third coordinate, the vertical one
HEIGHTS = (0.3, -0.3)  # of the optima along the direction that both wedges are long in
REACH = 1.25  # half the side of what is drawn of a wedge
THICKNESS = 0.03  # half of a drawn wedge's
STEPS = 400
POINTS = 201  # on a path


@dataclass(frozen=True)
class Toy:
    """What the figure shows, in R^3.

    Args:
        landscape: two wedges.
        optima: (2, 3), one on each wedge.
        centre: (3,), the connector's.
        axes: (2, 3), orthonormal, of the cut: from one optimum to the other, and towards the centre.
    """

    landscape: WedgeLandscape
    optima: torch.Tensor
    centre: torch.Tensor
    axes: torch.Tensor

    @property
    def middle(self) -> torch.Tensor:
        """(3,), the middle of the straight line, where the cut's coordinates are 0."""
        return self.optima.mean(0)

    @property
    def cut(self) -> Slice:
        """The landscape seen from inside the plane through both optima and the connector's centre."""
        return Slice(self.landscape, self.middle, Span(self.axes))

    def paths(self) -> dict[str, torch.Tensor]:
        """Return points (POINTS, 3) along the straight line and the connector, at equal steps."""
        first, last = self.optima
        return {"centroid": along(first, last), "centre": along(first, self.centre, last)}


def along(*corners: torch.Tensor) -> torch.Tensor:
    """Return points (POINTS, 3) at equal steps of length along a polygonal path."""
    corners = torch.stack(corners)
    reached = torch.cat([torch.zeros(1), (corners[1:] - corners[:-1]).norm(dim=1).cumsum(0)])
    steps = np.linspace(0, float(reached[-1]), POINTS)
    return torch.tensor(np.stack([np.interp(steps, reached, corners[:, axis]) for axis in range(3)], 1)).float()


def build() -> Toy:
    """Build the landscape, choose an optimum on each wedge, and find the connector's centre by descent."""
    landscape = WedgeLandscape(3, short=1, wedges=2, seed=SEED)
    short = landscape.members.argmax(1).tolist()
    long = ({0, 1, 2} - set(short)).pop()
    optima = torch.zeros(2, 3)
    for row, other, height in zip(optima, reversed(short), HEIGHTS, strict=True):
        row[other], row[long] = 1.0, height
    meeting = WedgeLandscape(3, short=1, wedges=2, seed=SEED, meet=True)
    recipe = Recipe(optimizer="adam", learning_rate=0.03, schedule="cosine")
    centre = find_centres(meeting, optima[None], recipe, STEPS, [0]).points[0]
    axes = orthonormal(torch.stack([optima[1] - optima[0], centre - optima.mean(0)]))
    axes = axes * (axes * torch.stack([optima[1] - optima[0], centre - optima.mean(0)])).sum(1).sign()[:, None]
    return Toy(landscape, optima, centre, axes)


CAMERA = scenes.Camera(eye=(4.3, 3.1, 3.3), target=(0.16, 0.14, 0.0), opening=0.29, aspect=1.06)
CUT = ((-1.1, -0.55), (1.1, 1.25))  # lowest and highest coordinates of the cut
HIGHEST = 0.8  # loss at the end of the colour scale
BARRIER = 0.5  # loss in the middle of the straight line, where its colour is full
CONTOUR = 0.1  # loss between two contours


def scene(toy: Toy) -> list[scenes.Body]:
    """Return what there is to see: two wedges of glass, the painted cut, both paths and their ends."""
    first, last, centre = (point.numpy().astype(float) for point in (*toy.optima, toy.centre))
    segments = [(first, last), (first, centre), (centre, last)]
    green, red, dark = (np.array(to_rgb(style.PLACES[place])) for place in ("centre", "centroid", "optima"))

    colours = style.colour_map("loss")

    def cut_paint(points: np.ndarray, _places: np.ndarray) -> np.ndarray:
        losses = toy.landscape.losses(torch.from_numpy(points)).numpy()
        shade = 1 - 0.35 * np.exp(-((np.min([distance(points, *ends) for ends in segments], axis=0) / 0.07) ** 2))
        shade = np.where(np.abs(losses / CONTOUR - np.round(losses / CONTOUR)) < 0.035, 0.85 * shade, shade)
        return colours(losses / HIGHEST)[:, :3] * shade[:, None]

    def line_paint(places: np.ndarray) -> np.ndarray:
        losses = toy.landscape.losses(torch.from_numpy(first + places[:, None] * (last - first))).numpy()
        return dark + np.clip(losses / BARRIER, 0, 1)[:, None] * (red - dark)

    bodies = [scenes.rectangle(toy.middle.numpy(), toy.axes.numpy(), *CUT, cut_paint, 0.93)]
    for short in toy.landscape.members.argmax(1).tolist():
        half = np.where(np.arange(3) == short, THICKNESS, REACH)
        bodies.append(scenes.slab(-half, half, to_rgb(style.DIRECTIONS["long"]), density=8.0))
    for end in (first, last):
        bodies.append(scenes.tube(end, centre, 0.035, lambda places: np.broadcast_to(green, (len(places), 3))))
        bodies.append(scenes.ball(end, 0.085, dark))
    bodies += [scenes.ball(centre, 0.06, green), scenes.tube(first, last, 0.035, line_paint)]
    return bodies


INCHES = 3.8  # height of the scene, a little more than it takes in the figure


def distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distances (n,) of points (n, 3) to a segment."""
    edge = end - start
    place = np.clip((points - start) @ edge / (edge @ edge), 0, 1)
    return np.linalg.norm(points - start - place[:, None] * edge, axis=1)


def draw(look: Look = Look()) -> Figure:
    """Draw the figure, the scene at the resolution of PNG files."""
    return draw_toy(build(), round(INCHES * look.dpi))


def draw_toy(toy: Toy, pixels: int = 760, samples: int = 2) -> Figure:
    """Draw a landscape of two wedges.

    Args:
        toy: what to show.
        pixels: height of the rendered scene.
        samples: rays along each side of a pixel.
    """
    style.apply()
    figure = Figure(figsize=(style.TWO_COLUMNS, 3.45))
    left, right = figure.subfigures(1, 2, width_ratios=(3.5, 3.4), wspace=0.01)
    _draw_scene(left.subplots(), toy, pixels, samples)
    above, below = right.subplots(2, 1, height_ratios=(1.9, 1))
    _draw_cut(above, toy)
    _draw_paths(below, toy)
    return figure


def _draw_scene(axes, toy: Toy, pixels: int, samples: int) -> None:
    picture = scenes.render(scene(toy), CAMERA, pixels, samples)
    axes.imshow(picture, extent=(-CAMERA.aspect, CAMERA.aspect, -1, 1))
    axes.set_anchor("N")
    axes.set_axis_off()
    style.title(axes, "a", "Two wedges in three dimensions")
    low = CUT[0]
    wedges = [torch.eye(3)[short] for short in toy.landscape.members.argmax(1).tolist()]
    up, out = torch.eye(3)[2] * REACH, REACH - 0.12
    notes = [
        ("wedge", (up - wedges[0] * out) * 0.9, (-0.98, 0.86), "optima"),
        ("wedge", (up - wedges[1] * out) * 0.9, (0.98, 0.86), "optima"),
        ("intersection", up, (0.26, 0.98), "optima"),
        ("optimum", toy.optima[0], (-0.98, 0.2), "optima"),
        ("optimum", toy.optima[1], (0.98, -0.28), "optima"),
        ("connector", 0.4 * toy.optima[1] + 0.6 * toy.centre, (1.0, 0.16), "centre"),
        ("straight line", toy.middle, (0.72, -0.9), "centroid"),
        ("cut", toy.middle + torch.tensor([0.8 * low[0], 0.9 * low[1]]) @ toy.axes, (-0.86, -0.5), "optima"),
    ]
    for text, point, place, colour in notes:
        axes.annotate(
            text,
            CAMERA.project(point.numpy()),
            place,
            ha="center",
            va="center",
            fontsize=7,
            color=style.PLACES[colour],
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "shrinkB": 0, "color": style.PLACES[colour]},
        )


def _draw_cut(axes, toy: Toy) -> None:
    sides = [torch.linspace(low, high, 221) for low, high in zip(*CUT, strict=True)]
    losses = toy.cut.losses(torch.cartesian_prod(*sides)).reshape(221, 221).T.numpy()
    levels = np.linspace(0, HIGHEST, 33)
    filled = axes.contourf(*sides, losses, levels, cmap=style.colour_map("loss"), extend="max")
    axes.contour(*sides, losses, np.arange(CONTOUR, HIGHEST, CONTOUR), colors="black", linewidths=0.3, alpha=0.4)
    for place, points in toy.paths().items():
        places = (points - toy.middle) @ toy.axes.T
        axes.plot(*places.T, color="white", linewidth=2.6, solid_capstyle="round")
        axes.plot(*places.T, color=style.PLACES[place], linewidth=1.6)
    for point in (*toy.optima, toy.centre):
        colour = style.PLACES["centre" if point is toy.centre else "optima"]
        axes.plot(*((point - toy.middle) @ toy.axes.T), "o", color=colour, markeredgecolor="white", markersize=5)
    axes.set_aspect("equal")
    axes.set(xlabel="distance along the line between the optima", ylabel="distance across it")
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
    axes.yaxis.set_major_locator(MultipleLocator(0.5))
    style.title(axes, "b", "Loss on the cut")
    style.colour_bar(axes, filled, "loss").set_ticks(np.arange(0, HIGHEST + 0.01, 0.2))


def _draw_paths(axes, toy: Toy) -> None:
    place = np.linspace(0, 1, POINTS)
    notes = {"centroid": ("straight line", (0.64, 0.42)), "centre": ("connector", (0.5, 0.05))}
    for name, points in toy.paths().items():
        text, where = notes[name]
        axes.plot(place, toy.landscape.losses(points), color=style.PLACES[name], clip_on=False)
        axes.text(*where, text, color=style.PLACES[name], fontsize=7, ha="left" if name == "centroid" else "center")
    axes.plot([0, 1], [0, 0], "o", color=style.PLACES["optima"], clip_on=False, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 0.55), xlabel="place along the path, as a fraction of its length", ylabel="loss")
    style.title(axes, "c", "Loss along both paths")
