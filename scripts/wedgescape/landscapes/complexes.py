"""Complexes: piecewise linear surfaces over the hull of m points, given by vertices and the pieces between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wedgescape.numerics.randomness import stream


@dataclass
class Complex:
    """A piecewise linear surface over the hull of m optima.

    Args:
        barycentric: (V, m), coordinates of each vertex over the hull; rows sum to 1.
        pieces: (S, 2) or (S, 3), the vertices of each segment or triangle.
        displacement: (V, P), orthogonal to the hull; zero at the optima themselves.
    """

    barycentric: Tensor
    pieces: Tensor
    displacement: Tensor

    def points(self, optima: Tensor) -> Tensor:
        """Return the vertices (V, P) over the hull of optima (m, P)."""
        return self.barycentric @ optima + self.displacement

    def between(self, values: Tensor, weights: Tensor, pieces: Tensor | None = None) -> Tensor:
        """Interpolate values (V, n) of the vertices on the linear pieces.

        Args:
            values: `points` for points of the surface, `barycentric` for their places over the hull.
            weights: (B, k), the same of each piece, or (S, B, k).
            pieces: (S, k), some of the pieces; all of them by default.

        Returns:
            (S, B, n).
        """
        corners = values[self.pieces if pieces is None else pieces]  # (S, k, n)
        return weights.to(corners).expand(len(corners), -1, -1) @ corners


def triangle(subdivisions: int) -> tuple[Tensor, Tensor]:
    """Return the barycentric grid (V, 3) of a triangle and its small triangles (S, 3); V = (n + 1)(n + 2) / 2."""
    corners = [(i, j) for i in range(subdivisions + 1) for j in range(subdivisions + 1 - i)]
    place = {corner: index for index, corner in enumerate(corners)}
    vertices = torch.tensor([[i, j, subdivisions - i - j] for i, j in corners]) / subdivisions
    pieces = []
    for i, j in corners:
        if i + j < subdivisions:
            pieces.append((place[i, j], place[i + 1, j], place[i, j + 1]))
        if i + j < subdivisions - 1:
            pieces.append((place[i + 1, j], place[i + 1, j + 1], place[i, j + 1]))
    return vertices, torch.tensor(pieces)


def skeleton(size: int, spokes: int, edges: int, parts: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return a complex of segments (V, m), (S, 2) that reaches all over a hull of m optima.

    Rays from every optimum to the centre, some edges between optima, and spokes from the centre to random
    barycentric points (uniform over the simplex); each cut into `parts` pieces.
    """
    draw = stream("skeleton", size, seed)
    corner, centre = torch.eye(size), torch.full((size,), 1.0 / size)
    pairs = list(itertools.combinations(range(size), 2))
    chosen = draw.permutation(len(pairs))[:edges]
    lines = [(corner[i], centre) for i in range(size)] if size > 2 else []
    lines += [(corner[pairs[k][0]], corner[pairs[k][1]]) for k in chosen]
    lines += (
        [(centre, torch.from_numpy(draw.dirichlet(np.ones(size))).float()) for _ in range(spokes)] if size > 2 else []
    )
    vertices: list[Tensor] = []
    places: dict[tuple, int] = {}
    pieces = []

    def place(point: Tensor) -> int:
        key = tuple(round(float(x), 6) for x in point)
        if key not in places:
            places[key] = len(vertices)
            vertices.append(point)
        return places[key]

    for start, end in lines:
        on_line = [place(start + (end - start) * step / parts) for step in range(parts + 1)]
        pieces += list(itertools.pairwise(on_line))
    return torch.stack(vertices), torch.tensor(pieces)


def refine(surface: Complex, which: Tensor) -> tuple[Complex, Tensor]:
    """Halve the edges of some pieces (bool (S,)); a new vertex starts in the middle of the surface's edge.

    Returns:
        The finer complex, and which of its vertices (V,) belong to pieces that were to be halved. A triangle gives
        four; where only some triangles of a surface are refined it may tear along their border, so all are.
    """
    asked = which
    if surface.pieces.shape[1] == 3:
        which = torch.ones_like(which)
    middles: dict[tuple[int, int], int] = {}
    count = len(surface.barycentric)

    def middle(a: int, b: int) -> int:
        return middles.setdefault((min(a, b), max(a, b)), count + len(middles))

    pieces = []
    for piece, halve in zip(surface.pieces.tolist(), which.tolist(), strict=True):
        if not halve:
            pieces.append(piece)
        elif len(piece) == 2:
            between = middle(*piece)
            pieces += [[piece[0], between], [between, piece[1]]]
        else:
            a, b, c = piece
            ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
            pieces += [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
    ends = torch.tensor(list(middles), dtype=torch.long).reshape(-1, 2)
    barycentric, displacement = (
        torch.cat([values, values[ends].mean(1)]) for values in (surface.barycentric, surface.displacement)
    )
    concerned = torch.zeros(len(barycentric), dtype=torch.bool)
    for piece in surface.pieces[asked].tolist():
        edges = itertools.combinations(sorted(piece), 2)
        concerned[[*piece, *(middles[edge] for edge in edges)]] = True
    return Complex(barycentric, torch.tensor(pieces), displacement), concerned


def effective_dimension(points: Tensor, share: float = 0.99) -> int:
    """Return how many principal directions hold a share of the variance of points (V, P) about their mean."""
    centred = (points - points.mean(0)).double()
    variances = torch.linalg.eigvalsh(centred @ centred.T).flip(0).clamp_min(0)
    return int((variances.cumsum(0) / variances.sum() < share).sum()) + 1


def rank(points: Tensor, smallest: float = 1e-3) -> int:
    """Return the rank of points (V, P) about their mean: singular values over `smallest` times the largest."""
    centred = (points - points.mean(0)).double()
    values = torch.linalg.eigvalsh(centred @ centred.T).clamp_min(0).sqrt()
    return int((values > smallest * values.max()).sum())
