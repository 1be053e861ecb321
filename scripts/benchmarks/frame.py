"""What is timed: a work, its contestants, what they must agree on, and the floor below which no one can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OURS = "wedgescape"  # name of the project among the contestants


@dataclass(frozen=True)
class Contestant:
    """One way to do a work.

    Args:
        name: of the package or method; `OURS` for the project.
        prepare: imports and builds what the work takes, and returns the function that is timed. It raises ImportError
            if the package is not installed. What it does is not timed.
        against: which line of the table the contestant is in; empty for the project.
        share: part of the whole work that one run does, where time is linear in it. Times are divided by it.
    """

    name: str
    prepare: Callable[[], Callable[[], Any]]
    against: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Agreement:
    """Whether a contestant did the same work as the others, and the numbers that show it."""

    holds: bool
    shown: str


@dataclass(frozen=True)
class Floor:
    """What the whole work takes at least.

    Args:
        operations: floating-point operations in matrix products and convolutions.
        bytes: to be moved between memory and processor.
    """

    operations: float
    bytes: float

    def seconds(self, operations_per_second: float, bytes_per_second: float) -> float:
        """Return the longer of both times; they may overlap."""
        return max(self.operations / operations_per_second, self.bytes / bytes_per_second)


@dataclass(frozen=True)
class Work:
    """A work, the same for all contestants: weights, data, points and precision.

    Args:
        name: lower case, unique.
        title: what is done, with its sizes.
        contestants: the project first.
        check: outcomes of one run each, by contestant -> whether each did equal work.
        floor: of the whole work.
        reach: line of the table -> by how many times the project shall be faster than the best contestant in it.
        threads: numbers of threads to try; each contestant keeps its best.
    """

    name: str
    title: str
    contestants: list[Contestant]
    check: Callable[[dict[str, Any]], dict[str, Agreement]]
    floor: Floor
    reach: dict[str, float] = field(default_factory=dict)
    threads: tuple[int, ...] = (1, 2)
