"""How networks were trained: loss, score and norm over epochs, kept apart from the weights.

So nothing that is drawn of training needs the weights, the largest of all stores.
"""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from wedgescape.landscapes.operations import Case, Work
from wedgescape.numerics.judging import Claim
from wedgescape.stores.zarr_stores import Variable, described
from wedgescape.study.places import AtBase, Weights
from wedgescape.study.settings import Fit
from wedgescape.training.fit import is_unfit
from wedgescape.training.optima import UNFIT
from wedgescape.training.train import CURVES, PREDICTIONS, STOPPED

VARIABLES = {name: Variable(("seed", "epoch"), *text) for name, text in CURVES.items()}
VARIABLES |= {name: Variable(("seed", "example"), *text) for name, text in PREDICTIONS.items()}
VARIABLES["diverged"] = Variable(("seed",), "the run diverged")
VARIABLES["unfit"] = Variable(("seed",), UNFIT)
VARIABLES["stopped_after"] = Variable(("seed",), *STOPPED)
MEMORY = 2000  # MB
MINUTES = 10


def measure(weights: Weights, fit: Fit = Fit()) -> xr.Dataset:
    """Take what a weights store says of training, and flag the runs that are no optima.

    Args:
        weights: of one setting.
        fit: which networks count as optima.

    Returns:
        Curves over (seed, epoch), predictions on the test split over (seed, example), `diverged` and `unfit`, in
        memory; `stopped_after` where networks were trained to one loss.
    """
    store = weights[[name for name in VARIABLES if name in weights]].load()
    ends = store.isel(epoch=-1)
    chance = weights.attrs["chance_loss"]
    unfit = is_unfit(ends["train_loss"].values, ends["norm"].values, chance, fit.maximum_loss)
    if "stopped_after" in store:
        unfit |= store["stopped_after"].values < 0
    unfit &= ~store["diverged"].values
    return store.drop_attrs(deep=False).assign(unfit=described(("seed",), unfit, UNFIT))


def work(case: Case) -> Work:
    """Count nothing: no network is computed."""
    return Work()


def claims(training: AtBase) -> Iterator[Claim]:
    """Claim nothing of training; the verdicts say whether the base setting's networks fit (`warning`)."""
    return iter(())


def warning(training: xr.Dataset) -> str:
    """Return the sentence that comes before all verdicts where networks of the base setting do not fit; else "".

    Args:
        training: store of `measure` at the base setting.
    """
    lost = {name: int(training[name].sum()) for name in ("diverged", "unfit")}
    if not any(lost.values()):
        return ""
    count = training.sizes["seed"]
    said = " and ".join(
        f"{lost[name]} {text}"
        for name, text in (("diverged", "diverged"), ("unfit", "do not fit their training data"))
        if lost[name]
    )
    loss = float(training["train_loss"].isel(epoch=-1).median())
    text = (
        f"Of the {count} networks of the base setting {said} (median training loss {loss:.3g} nats): they are no "
        "optima and are in no verdict."
    )
    here = "distance_from_init" in training  # which is not known of networks that were trained elsewhere
    return f"{text} Train longer, or change training.learning_rate." if here else text
