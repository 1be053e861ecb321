"""Trainings that are repeated as far as needed: the networks on the way from their initialisations to the optima."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima
from wedgescape.training.train import recipe_of

NEEDED = {"epochs", "schedule", "warmup_epochs"}  # of the section `training`


@dataclass(frozen=True)
class Repeated:
    """The training of some networks, so that it can be repeated.

    Args:
        optima: the networks.
        training: how they were trained, the section `training` of a config.
        recipe: the same as a descent.
        steps: of the whole training.
    """

    optima: Optima
    training: dict
    recipe: Recipe
    steps: int

    @classmethod
    def of(cls, optima: Optima, measurement: str, instead: str) -> Repeated:
        """Return the training of networks.

        Args:
            optima: the networks.
            measurement: that needs it, for the message.
            instead: what of it takes networks without their training, for the message.

        Raises:
            InputError: if nothing says how the networks were trained.
        """
        training = optima.training["training"] if "config" in optima.weights.attrs else {}
        if missing := NEEDED - set(training):
            lacks = ", ".join(sorted(missing))
            raise InputError(
                f"{measurement}: the training of these networks cannot be repeated: their store lacks {lacks}; it must "
                f"be a store of weights that this workflow trained. {instead} takes any points"
            )
        recipe = recipe_of(training, optima.landscape.examples)
        return cls(optima, training, recipe, steps_of(training, optima.landscape.examples))

    def steps_after(self, parts: Sequence[float]) -> list[int]:
        """Return how many steps lie before parts of the training, in order, none twice."""
        return sorted({round(part * self.steps) for part in parts})

    def after(self, times: Sequence[int]) -> Tensor:
        """Return the networks (time, K, P) after some steps of their training, which is repeated up to the last.

        Args:
            times: rising, at most `steps`.
        """

        def there(_step: int, points: Tensor) -> dict[str, Tensor]:
            return {"there": torch.ones(len(points))}

        found = descend(
            self.optima.landscape.in_training(),
            self.optima.starts,
            self.recipe,
            self.steps,
            self.optima.seeds,
            observe=there,
            observe_at=times[-1:],
            keep_at=times,
            stop=lambda seen: seen["there"] > 0,
        )
        return found.snapshots.to(self.optima.starts)


def steps_of(training: dict, examples: int) -> int:
    """Return how many steps a training takes, on a number of examples."""
    return training["epochs"] * recipe_of(training, examples).steps_per_epoch(examples)
