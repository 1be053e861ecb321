"""Patterns: planes on which the loss shows a picture that was chosen beforehand (docs/science.md, Patterns)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.operations import Case, Step, Work, evaluations
from wedgescape.landscapes.patterns import PatternLandscape, picture
from wedgescape.landscapes.spans import random_directions
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.numerics.judging import Claim
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.sections import Count, Odd, Picture, PositiveNumber, Section, key
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima


class Settings(Section):
    """Planes that are searched for, so that the loss on them shows a picture. They say little about landscapes."""

    seeds: Count = key(2, "Number of optima from which a search begins (the first N seeds).", smoke=1)
    picture: Picture = key(
        [
            "...........",
            "#.........#",
            "#.........#",
            "#....#....#",
            "#....#....#",
            ".#..#.#..#.",
            ".#..#.#..#.",
            "..##...##..",
            "..##...##..",
            "...#...#...",
            "...........",
        ],
        "The picture, row by row: the loss is to be low at # and high at a point.",
    )
    examples: Count = key(50, "Training examples of the loss (the first N).", smoke=8)
    steps: Count = key(350, "Steps of the search.", smoke=4)
    learning_rate: PositiveNumber = key(0.03, "Learning rate of the search, by Adam; it falls along a cosine.")
    resolution: Odd = key(
        41, "Grid points per side of a plane, to look between the points of the picture.", ge=5, smoke=7
    )


MINUTES = 60
LOW, HIGH = 0.1, 1.0  # of the picture, as shares of the loss of chance
CHECKS = 8  # in a search, the beginning aside
# Any dimensions do: on a plane, the distance from one wedge is always the root of a convex quadratic.
WEDGE = (50, 10)

VARIABLES = {
    "wanted": Variable(("row", "column"), "loss that the picture asks for", "nat"),
    "loss": Variable(("seed", "plane", "b", "a"), "training loss on the plane, on the first examples", "nat"),
    "explained": Variable(("seed", "step"), "share of the picture's variance that the loss explains", "1"),
    "wedge_explained": Variable(("seed", "step"), "the same of the distance from a toy wedge", "1"),
    "all_explained": Variable(("seed",), "the same at the end of the loss on all training examples", "1"),
    "moved": Variable(("seed",), "distance of the plane's middle from the optimum", "weights"),
    "reach": Variable(("seed", "plane"), "mean length of the two directions, half a side of the plane", "weights"),
}


def search(patterns: PatternLandscape, starts: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Search for planes whose loss shows the picture.

    Args:
        patterns: of the landscape and the picture.
        starts: planes (K, 3 P).
        settings: steps and learning rate.

    Returns:
        Planes (K, 3 P), and on the way the share of the picture's variance that they explain, 1 - loss / variance
        (K, step). It is negative where a constant would explain more, and at most 1.
    """
    variance = patterns.pattern.var(correction=0)
    recipe = Recipe("adam", settings.learning_rate, schedule="cosine")

    def explained(_step: int, planes: Tensor) -> dict[str, Tensor]:
        return {"explained": 1 - patterns.losses(planes) / variance}

    found = descend(patterns, starts, recipe, settings.steps, observe=explained, observe_at=checks(settings.steps))
    return found.points, found.history["explained"].T


def checks(steps: int) -> list[int]:
    """Return after how many steps of a search one looks."""
    return sorted({round(steps * part / CHECKS) for part in range(CHECKS + 1)})


def random_planes(points: Tensor, lengths: Tensor, seeds: list[int]) -> Tensor:
    """Return planes (K, 3 P) around points (K, P), with random directions of some lengths (K,)."""
    ways = [random_directions(2, points.shape[1], "plane of a picture", seed) for seed in seeds]
    return torch.cat([points[:, None], torch.stack(ways).to(points) * lengths[:, None, None]], 1).flatten(1)


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Search for planes on which the loss shows a picture (Skorokhodov & Burtsev 2019).

    A demonstration of how little a plane says. The search moves the plane's middle and both directions, from a random
    plane around an optimum, whose directions are as long as the optimum. The control is the same search on a toy
    wedge: there, the loss on any plane is the root of a convex quadratic, and cannot show a picture that is no bowl.

    Args:
        optima: of one setting, whose landscape is a network's.
        settings: of the measurement.

    Returns:
        The losses on the random planes and on those found, and the share of the picture that they explain, at the
        picture's points; also on all training examples, which the search does not see.
    """
    sound = optima.fit().first(settings.seeds)
    few, points = sound.landscape.of_first(settings.examples), sound.points
    drawn, low, high = picture(settings.picture), LOW * sound.chance_loss, HIGH * sound.chance_loss
    wanted = low + (high - low) * drawn
    starts = random_planes(points, points.norm(dim=1), sound.seeds)
    patterns = PatternLandscape(few, wanted)
    found, explained = search(patterns, starts, settings)
    losses = [torch.stack([patterns.seen(one, settings.resolution, settings.resolution) for one in planes])
              for planes in (starts, found)]  # fmt: skip
    everywhere = PatternLandscape(sound.landscape, wanted)
    planes = torch.stack([starts, found], 1).unflatten(2, (3, -1))  # (K, 2, 3, P)
    values = {
        "wanted": wanted,
        "loss": torch.stack(losses, 1).cpu(),
        "explained": explained.cpu(),
        "wedge_explained": _on_wedge(wanted, sound.seeds, settings),
        "all_explained": (1 - everywhere.losses(found) / wanted.var(correction=0)).cpu(),
        "moved": (planes[:, 1, 0] - points).norm(dim=1).cpu(),
        "reach": planes[:, :, 1:].norm(dim=3).mean(2).cpu(),
    }
    side = np.linspace(-1, 1, settings.resolution)
    coordinates = {"seed": sound.seeds, "plane": ["random", "found"], "step": checks(settings.steps)}
    return optima.flagged(labelled(VARIABLES, values, {**coordinates, "a": side, "b": side[::-1]}))


def _on_wedge(wanted: Tensor, seeds: list[int], settings: Settings) -> Tensor:
    """Return what `search` explains on the way (K, step) on a toy wedge, from random planes about as steep."""
    wedge: Landscape = WedgeLandscape(*WEDGE)
    starts = random_planes(torch.zeros(len(seeds), wedge.dim), wanted.mean().expand(len(seeds)), seeds)
    return search(PatternLandscape(wedge, wanted), starts, settings)[1]


def work(case: Case, settings: Settings) -> Work:
    """Count the search: at each step the losses and gradients at all points of the picture."""
    points = len(settings.picture) * len(settings.picture[0])
    seeds = min(settings.seeds, case.seeds)
    share = min(1.0, settings.examples / case.data.examples["train"])
    losses = share * (settings.steps + CHECKS) * points + 2 * share * settings.resolution**2 + points
    step = Step(case.model, points, min(settings.examples, case.data.examples["train"]))
    return Work({step: seeds * settings.steps}) + evaluations(case.model, seeds * losses, ["train"])


def claims() -> Iterator[Claim]:
    """Claim nothing: that some plane shows a picture says nothing about a landscape."""
    return iter(())
