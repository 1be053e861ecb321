"""A small ray caster: glass slabs, tubes, balls and painted rectangles in R^3, sorted exactly in every pixel.

Matplotlib's 3-D axes sort whole polygons and so cannot show things that run through each other; a wedge picture is
nothing else. A body turns rays into layers; layers are sorted by depth and composed front to back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

ROWS_AT_ONCE = 64
LIGHT = np.array([0.45, 0.2, 0.87])


@dataclass(frozen=True)
class Layer:
    """What rays meet: indices (k,) of those that do, depths (k,), colours (k, 3), opacities (k,) or one for all."""

    rays: np.ndarray
    depth: np.ndarray
    colour: np.ndarray
    opacity: np.ndarray | float = 1.0


Body = Callable[[np.ndarray, np.ndarray], list[Layer]]  # (3,) eye, (n, 3) unit rays -> layers


def _unit(vector) -> np.ndarray:
    vector = np.asarray(vector, dtype=float)
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def _lit(colour, normal: np.ndarray, rays: np.ndarray, gloss: float) -> np.ndarray:
    """Return colours (n, 3) under one lamp, with a highlight; the side of a surface does not matter."""
    normal = np.where((normal * rays).sum(-1, keepdims=True) > 0, -normal, normal)
    lamp = _unit(LIGHT)
    diffuse = np.clip(normal @ lamp, 0, 1)[:, None]
    half = _unit(lamp - rays)
    highlight = np.clip((normal * half).sum(-1, keepdims=True), 0, 1) ** 40
    return np.clip(np.asarray(colour) * (0.62 + 0.42 * diffuse) + gloss * highlight, 0, 1)


@dataclass(frozen=True)
class Camera:
    """A perspective camera; the vertical axis is the third.

    Args:
        eye: where it stands.
        target: the point that it looks at, in the middle of the picture.
        opening: half of the picture's height over the distance to the target.
        aspect: width over height.
    """

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    opening: float
    aspect: float = 1.0
    _axes: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        forward = _unit(np.subtract(self.target, self.eye))
        right = _unit(np.cross(forward, (0, 0, 1)))
        object.__setattr__(self, "_axes", np.stack([right, np.cross(right, forward), forward]))

    def rays(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return unit rays (n, 3) through picture points, x in [-aspect, aspect], y in [-1, 1]."""
        plane = np.stack([x * self.opening, y * self.opening, np.ones_like(x)], -1)
        return _unit(plane @ self._axes)

    def project(self, point) -> tuple[float, float]:
        """Return where a point (3,) lies in the picture."""
        right, up, forward = self._axes @ np.subtract(point, self.eye)
        return right / forward / self.opening, up / forward / self.opening


def slab(low, high, colour, density: float, rim: float = 0.012) -> Body:
    """Return a box of coloured glass with darker edges: the longer a ray's way through it, the more of it is seen."""
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    dark = 0.55 * np.asarray(colour)

    def face(point: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return colours of points (k, 3) on the surface, and which lie on an edge."""
        gaps = np.minimum(np.abs(point - low), np.abs(point - high))
        on_edge = np.sort(gaps, axis=1)[:, 1] < rim
        return np.where(on_edge[:, None], dark, _lit(colour, np.eye(3)[gaps.argmin(1)], rays, 0.05)), on_edge

    def meet(eye: np.ndarray, rays: np.ndarray) -> list[Layer]:
        with np.errstate(divide="ignore"):
            ends = np.stack([(low - eye) / rays, (high - eye) / rays])
        near, far = ends.min(0).max(1), ends.max(0).min(1)
        hit = np.flatnonzero((far > near) & (near > 0))
        through = 1 - np.exp(-density * (far - near)[hit] / 2)  # half of the glass at either surface
        layers = []
        for depth in (near[hit], far[hit]):
            shown, on_edge = face(eye + rays[hit] * depth[:, None], rays[hit])
            layers.append(Layer(hit, depth, shown, np.where(on_edge, np.maximum(through, 0.6), through)))
        return layers

    return meet


def ball(centre, radius: float, colour, gloss: float = 0.5) -> Body:
    """Return an opaque, shining ball."""
    centre = np.asarray(centre, dtype=float)

    def meet(eye: np.ndarray, rays: np.ndarray) -> list[Layer]:
        middle = rays @ (centre - eye)
        inside = radius**2 - ((centre - eye) ** 2).sum() + middle**2
        hit = np.flatnonzero(inside > 0)
        depth = middle[hit] - np.sqrt(inside[hit])
        normal = (eye + rays[hit] * depth[:, None] - centre) / radius
        return [Layer(hit, depth, _lit(colour, normal, rays[hit], gloss))]

    return meet


def tube(start, end, radius: float, paint: Callable[[np.ndarray], np.ndarray], gloss: float = 0.3) -> Body:
    """Return an opaque straight tube; `paint` gives colours (n, 3) for places (n,) from 0, its start, to 1, its end."""
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    along, length = _unit(end - start), float(np.linalg.norm(end - start))

    def meet(eye: np.ndarray, rays: np.ndarray) -> list[Layer]:
        offset = eye - start
        across_ray = rays - (rays @ along)[:, None] * along
        across_offset = offset - (offset @ along) * along
        a, b = (across_ray**2).sum(1), across_ray @ across_offset
        root = b**2 - a * ((across_offset**2).sum() - radius**2)
        hit = np.flatnonzero((root > 0) & (a > 0))
        depth = (-b[hit] - np.sqrt(root[hit])) / a[hit]
        place = (eye + rays[hit] * depth[:, None] - start) @ along / length
        within = (place >= 0) & (place <= 1)
        hit, depth, place = hit[within], depth[within], place[within]
        normal = (eye + rays[hit] * depth[:, None] - start - (place * length)[:, None] * along) / radius
        return [Layer(hit, depth, _lit(paint(place), normal, rays[hit], gloss))]

    return meet


def rectangle(
    origin, axes, low, high, paint: Callable[[np.ndarray, np.ndarray], np.ndarray], opacity: float, rim: float = 0.012
) -> Body:
    """Return a flat rectangle, painted: `paint` gives colours (n, 3) for points (n, 3) and their coordinates (n, 2).

    Args:
        origin: (3,), where its coordinates are 0.
        axes: (2, 3), orthonormal.
        low: (2,), its lowest coordinates.
        high: (2,), its highest.
        paint: see above; only called for rays that meet it.
        opacity: in [0, 1].
        rim: width of its dark border.
    """
    origin, axes = np.asarray(origin, dtype=float), np.asarray(axes, dtype=float)
    normal = np.cross(*axes)

    def meet(eye: np.ndarray, rays: np.ndarray) -> list[Layer]:
        depth = ((origin - eye) @ normal) / (rays @ normal)
        point = eye + rays * depth[:, None]
        place = (point - origin) @ axes.T
        gap = np.minimum(place - low, high - place).min(1)
        hit = np.flatnonzero((gap >= 0) & (depth > 0))
        colour = paint(point[hit], place[hit])
        return [Layer(hit, depth[hit], np.where(gap[hit, None] < rim, 0.5 * colour, colour), opacity)]

    return meet


def render(bodies: Sequence[Body], camera: Camera, pixels: int, samples: int = 3) -> np.ndarray:
    """Return the picture (pixels, pixels * aspect, 3) of bodies on white.

    Args:
        bodies: what there is to see.
        camera: where from.
        pixels: of the height.
        samples: rays along each side of a pixel; their mean smooths edges.
    """
    eye = np.asarray(camera.eye, dtype=float)
    rows, columns = pixels * samples, round(pixels * camera.aspect) * samples
    x = ((np.arange(columns) + 0.5) / columns * 2 - 1) * camera.aspect
    y = 1 - (np.arange(rows) + 0.5) / rows * 2
    picture = []
    for some in np.split(y, range(ROWS_AT_ONCE * samples, rows, ROWS_AT_ONCE * samples)):
        grid_y, grid_x = np.meshgrid(some, x, indexing="ij")
        rays = camera.rays(grid_x.ravel(), grid_y.ravel())
        colour = _compose([layer for body in bodies for layer in body(eye, rays)], len(rays))
        blocks = colour.reshape(len(some) // samples, samples, columns // samples, samples, 3)
        picture.append(blocks.mean((1, 3)))
    return np.concatenate(picture)


def _compose(layers: Sequence[Layer], count: int) -> np.ndarray:
    """Return the colours (count, 3) of rays that meet layers, nearest first, on white."""
    busy = np.unique(np.concatenate([layer.rays for layer in layers]))
    depth = np.full((len(layers), len(busy)), np.inf)
    opacity, colours = np.zeros_like(depth), np.zeros((*depth.shape, 3))
    for row, layer in enumerate(layers):
        column = np.searchsorted(busy, layer.rays)
        depth[row, column], opacity[row, column], colours[row, column] = layer.depth, layer.opacity, layer.colour
    left, seen, every = np.ones(len(busy)), np.zeros((len(busy), 3)), np.arange(len(busy))
    for nearest in np.argsort(depth, axis=0):
        weight = left * opacity[nearest, every]
        seen += weight[:, None] * colours[nearest, every]
        left -= weight
    picture = np.ones((count, 3))
    picture[busy] = seen + left[:, None]
    return picture
