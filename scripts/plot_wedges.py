"""Draw the toy model in three dimensions: two wedges, the straight line between two optima, and the connector.

Wedges are planes here, long in two directions and short in one; the loss is the distance to the nearest. (a) The scene: the
straight line leaves one wedge for the other through the open, where the loss is high (its colour); the connector follows
the wedges through their intersection, where it is zero. A plane cuts through both, the loss painted on it. (b) The same
cut from above. (c) The loss along both paths. All of it is computed by the code that measures networks.
"""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from wedgescape import scenes, style
from wedgescape.connectors import find_centres
from wedgescape.descent import Recipe
from wedgescape.figures import publish
from wedgescape.landscape import Slice
from wedgescape.provenance import job
from wedgescape.subspaces import Span, orthonormal
from wedgescape.wedges import WedgeLandscape

SEED = 0  # draws wedges that are short in different coordinates
HEIGHTS = (0.62, -0.12)  # of the optima along the direction that both wedges are long in
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
