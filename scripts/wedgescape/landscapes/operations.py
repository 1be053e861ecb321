"""The operations that take a job's time, counted before it runs: losses at points, steps of a descent, products.

Each measurement counts its own work beside the code that does it (`work`). How long one operation takes is measured in
`cluster.timing`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wedgescape.study.study import Study

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Start:
    """Starting a job's script: Python, PyTorch, the stores."""


@dataclass(frozen=True)
class PlainPython:
    """Work of Python itself (tables, figures), as much as importing a script's libraries takes."""


@dataclass(frozen=True)
class Evaluation:
    """The loss of one point on a split."""

    model: str
    split: str


@dataclass(frozen=True)
class Step:
    """One step of a descent of some points together; batch None is the whole training split."""

    model: str
    points: int
    batch: int | None
    optimizer: str = "adam"
    dropout: bool = False
    sharpness_aware: bool = False


@dataclass(frozen=True)
class Product:
    """One Hessian-vector product on the training split."""

    model: str


@dataclass(frozen=True)
class Trace:
    """The trace of the Hessian of the training loss: exactly, or by so many products where it is not known."""

    model: str
    probes: int


@dataclass(frozen=True)
class Projection:
    """One entry of a random span in one product with it."""

    model: str


@dataclass(frozen=True)
class MultiplyAdd:
    """One multiplication and addition of a float64 product with a matrix."""


@dataclass(frozen=True)
class Scoring:
    """The scores of one ensemble's predictions on the test split."""


@dataclass(frozen=True)
class Comparison:
    """How alike two networks are, in all ways."""

    model: str


@dataclass(frozen=True)
class WedgeStep:
    """One step of a descent of the toy model: of points in random cuts, or of a connector's centre between wedges."""

    dimension: int
    points: int
    cut: int = 0
    wedges: int = 1


Operation = (
    Start
    | PlainPython
    | Evaluation
    | Step
    | Product
    | Trace
    | Projection
    | MultiplyAdd
    | Scoring
    | Comparison
    | WedgeStep
)
Work = Counter  # Operation -> how often


@dataclass(frozen=True)
class Data:
    """What of a data set decides how long operations take.

    Args:
        shape: of one input, such as (channels, rows, columns).
        classes: of the data, or outputs of the network where labels are no classes.
        examples: split -> how many.
        plain: whether the loss is the cross-entropy alone, which is written out for linear layers.
    """

    shape: tuple
    classes: int
    examples: dict[str, int]
    plain: bool = True


@cache
def parameters(model: str, shape: tuple, classes: int) -> int:
    """Return P of a network, as operations name it, on images (channels, rows, columns)."""
    from wedgescape.landscapes import models  # imports torch, which counting alone does not need

    return len(models.flat(models.build(json.loads(model), shape, classes)))


@dataclass(frozen=True)
class Case:
    """What a job's work is counted from: a study, the shape of its data, and the setting that the job is about.

    Args:
        study: whose config asks for the job.
        data: the shape of its data set.
        setting: of hyperparameters; the base setting where the job names none.
        wildcards: of the job.
    """

    study: Study
    data: Data
    setting: str
    wildcards: dict[str, str]

    @property
    def seeds(self) -> int:
        """How many networks `Optima` are: those of the first seeds."""
        return self.study.config["seeds"]

    @property
    def all_seeds(self) -> int:
        """How many networks `AllOptima` are: more than `seeds` at the base setting."""
        return self.study.config["base_seeds" if self.setting == self.study.base else "seeds"]

    @property
    def model(self) -> str:
        """The network of the setting, as operations name it: JSON."""
        return json.dumps(self.study.training(self.setting)["model"], sort_keys=True)

    @property
    def parameters(self) -> int:
        """P of that network."""
        return parameters(self.model, self.data.shape, self.data.classes)


def evaluations(model: str, points: float, splits: Sequence[str] = SPLITS) -> Work:
    """Count losses at points, on each of some splits."""
    return Work({Evaluation(model, split): points for split in splits})


def times(count: float, work: Work) -> Work:
    """Count the same work several times."""
    return Work({operation: count * number for operation, number in work.items()})


def hessian(case: Case, top: int, bottom: int) -> Work:
    """Count finding both ends of the Hessian's spectrum at one point (`numerics.eigenpairs`)."""
    from wedgescape.numerics.eigenpairs import KRYLOV  # imports torch, which counting alone does not need

    dim, basis = case.parameters, 0
    top = min(top, dim)
    if dim <= max(KRYLOV, 2 * (top + bottom)):
        products = dim
    else:  # as counted on digits
        products = 10 + 2 * top + (100 + 15 * bottom if bottom else 0)
        basis = min(products, KRYLOV)
    # Lanczos makes each vector orthogonal to a basis, half full on average, and half of the vectors once more.
    return Work({Product(case.model): products, MultiplyAdd(): products * basis * dim * 1.5})
