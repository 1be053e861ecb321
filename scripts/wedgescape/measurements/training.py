"""How networks were trained: loss, accuracy and norm over epochs, kept apart from the weights.

So nothing that is drawn of training needs the weights, the largest of all stores.
"""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from wedgescape.landscapes.operations import Case, Work
from wedgescape.numerics.judging import Claim
from wedgescape.stores.zarr_stores import Variable
from wedgescape.study.places import Weights
from wedgescape.training.train import CURVES

VARIABLES = {name: Variable(("seed", "epoch"), *text) for name, text in CURVES.items()}
VARIABLES["diverged"] = Variable(("seed",), "the run diverged")
MEMORY = 2000  # MB
MINUTES = 10


def measure(weights: Weights) -> xr.Dataset:
    """Return the curves of a weights store over (seed, epoch), and `diverged`, in memory."""
    return weights[list(VARIABLES)].drop_attrs(deep=False).load()


def work(case: Case) -> Work:
    """Count nothing: no network is computed."""
    return Work()


def claims() -> Iterator[Claim]:
    """Claim nothing of training."""
    return iter(())
