"""Interpolation: the loss on the straight line from initialisation to optimum, and its plateau (docs/science.md)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from wedgescape.landscapes.lines import interpolate, largest_rise
from wedgescape.landscapes.operations import Case, Work, evaluations
from wedgescape.numerics.intervals import Estimate, Intervals, rank_correlations
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.places import AlongMatchedSweeps, AlongSweeps
from wedgescape.study.sections import Count, Fraction, Section, key
from wedgescape.training.optima import TrainedOptima


class Settings(Section):
    """The straight line from the initialisation to the optimum, at every setting of the sweeps."""

    points: Count = key(21, "Points on the line, ends included.", ge=5, smoke=7)
    plateau_fraction: Fraction = key(
        0.1, "The plateau ends where the training loss has fallen by this fraction of its whole fall along the line."
    )


VARIABLES = {
    "loss": Variable(("seed", "alpha"), "training loss on the line from the initialisation to the optimum", "nat"),
    "rise": Variable(("seed",), "largest rise of that loss, from any point to any later one", "nat"),
    "test_loss": Variable(("seed",), "test loss of the optimum", "nat"),
    "test_error": Variable(("seed",), "share of the test split that is misclassified; nan without classes", "1"),
}


def measure(optima: TrainedOptima, settings: Settings = Settings()) -> xr.Dataset:
    """Evaluate the straight line from each initialisation to its optimum (Goodfellow, Vinyals & Saxe 2015).

    Any landscape will do whose optima began somewhere else; on the toy wedges there is no test error.

    Args:
        optima: of one setting.
        settings: of the measurement.

    Returns:
        Training losses over (seed, alpha), their largest rise, and the test loss and error of the optima.
    """
    alpha = torch.linspace(0, 1, settings.points, dtype=torch.float64)
    loss = interpolate(optima.landscape, optima.starts, optima.points, alpha)["loss"].cpu().numpy()
    test = optima.landscape.evaluate(optima.points, "test")
    score = test.get("score", torch.full((len(optima),), torch.nan))
    values = {
        "loss": loss,
        "rise": largest_rise(loss),
        "test_loss": test["loss"].cpu(),
        "test_error": 1 - score.cpu(),
    }
    coordinates = {
        "seed": optima.seeds,
        "alpha": described(("alpha",), alpha, "part of the way from the initialisation to the optimum", "1"),
    }
    attributes = {"plateau_fraction": settings.plateau_fraction}
    return optima.flagged(labelled(VARIABLES, values, coordinates, attributes))


def work(case: Case, settings: Settings) -> Work:
    """Count the losses on the lines, and those of the optima on the test split."""
    return evaluations(case.model, case.seeds * settings.points, ["train"]) + evaluations(
        case.model, case.seeds, ["test"]
    )


def plateau(loss, fraction: float) -> np.ndarray:
    """Return the length (…) of the plateau at the start of lines of losses (…, T) (our definition).

    The first part t of the way at which the loss has fallen by a fraction of the whole fall, L(0) - L(1), interpolated
    linearly between points. On a parabola with its minimum at the end it is 1 - sqrt(1 - fraction). Through a deep
    linear network of L balanced layers that starts at zero, whose squared loss is (1 - t^L)^2, it is
    (1 - sqrt(1 - fraction))^(1 / L): the plateau grows with depth, whatever training did. nan where the end is no
    lower than the start.
    """
    loss = np.asarray(loss, dtype=float)
    whole = loss[..., :1] - loss[..., -1:]
    fallen = (loss[..., :1] - loss) / np.where(whole > 0, whole, np.nan)
    after = np.maximum(np.argmax(fallen >= fraction, axis=-1), 1)[..., None]
    low, high = (np.take_along_axis(fallen, place, -1) for place in (after - 1, after))
    return ((after - 1 + (fraction - low) / (high - low)) / (loss.shape[-1] - 1))[..., 0]


def plateaus(store: xr.Dataset, fraction: float | None = None) -> xr.DataArray:
    """Return the plateau's length (…, seed) from a store of `measure`, by its own fraction unless one is given."""
    fraction = store.attrs["plateau_fraction"] if fraction is None else fraction
    return xr.apply_ufunc(plateau, store["loss"], fraction, input_core_dims=[["alpha"], []])


OTHER_FRACTIONS = (0.05, 0.1, 0.25)
TEST = {"test_error": "test error", "test_loss": "test loss"}
AS_TRAINED, MATCHED = "as trained", "trained to one loss"
FEWEST_VALUES = 3  # that a rank correlation needs
CLAIMS = ("plateau_test_error",)


def claims(
    interpolation: AlongSweeps, matched_interpolation: AlongMatchedSweeps, intervals: Intervals
) -> Iterator[Claim]:
    """Estimate, sweep by sweep, whether a longer plateau goes with a higher test error.

    Vlaar & Frankle (2022) say that the shape of the line does not indicate test accuracy. The mean over sweeps cannot
    tell that: a relation that has opposite signs in two sweeps would pass for none. So each sweep is judged by itself;
    the shape is no indicator if their verdicts differ. Fixed epochs confound both with how far training went, hence the
    specification at one training loss.
    """
    for sweep, store in interpolation.items():
        if store.sizes["value"] < FEWEST_VALUES:
            continue
        own = store.attrs["plateau_fraction"]
        stores = {AS_TRAINED: store}
        stores |= {MATCHED: matched_interpolation[sweep]} if sweep in matched_interpolation else {}
        found: dict[str, Estimate] = {}
        choices = itertools.product(stores, dict.fromkeys((own, *OTHER_FRACTIONS)), TEST)
        for kind, fraction, name in choices:
            estimate = intervals.mean(by_seed(stores[kind], fraction, name))
            found[f"a fall by {fraction:.0%}; {TEST[name]}; {kind}"] = estimate
        first = next(iter(found))
        matched = [one for name, one in found.items() if name == first.replace(AS_TRAINED, MATCHED)]
        yield Claim(
            "plateau_test_error",
            "Spearman's rho of plateau length and test error over the sweep, per seed",
            found[first],
            {"sweep": sweep},
            left_out(store),
            {name: one for name, one in found.items() if name != first and one.units},
            f"{MATCHED}: {matched[0].estimate:.2g}" if matched else "",
            first,
        )


def by_seed(sweep: xr.Dataset, fraction: float | None = None, name: str = "test_error") -> np.ndarray:
    """Return the rank correlation (seed,) of the plateau's length with a variable over the values of a sweep."""
    kept = fit(sweep)
    length, other = (
        part.where(kept).transpose("value", "seed").values for part in (plateaus(sweep, fraction), sweep[name])
    )
    return rank_correlations(length, other)[0]
