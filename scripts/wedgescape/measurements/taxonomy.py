"""Taxonomy: how connected, how alike and how sharp the networks of a setting are (docs/science.md, Taxonomy)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import SPLITS
from wedgescape.landscapes.curves import CurveLandscape
from wedgescape.landscapes.lines import interpolate, mode_connectivity
from wedgescape.landscapes.operations import Case, Evaluation, Step, Trace, Work, evaluations
from wedgescape.landscapes.spans import gaussian
from wedgescape.measurements.curves import Settings as Curves
from wedgescape.measurements.curves import train_curves
from wedgescape.measurements.similarity import linear_cka
from wedgescape.numerics.intervals import ROUNDING, Estimate, Intervals, partial_correlation, rank_correlations
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.numerics.lanczos import hessian_moments
from wedgescape.numerics.pairs import draw_pairs, pairs_in_circle
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.places import AlongMatchedSweeps, AlongSweeps
from wedgescape.study.sections import Count, Fraction, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """How connected, alike and sharp the networks are, at every setting of sweeps, matched sweeps and grids."""

    neighbours: Count = key(
        2, "Straight lines lead from each optimum to so many on either side, in a circle of all seeds.", smoke=1
    )
    points: int = key(21, "Points on each line and curve, ends included.", ge=3, smoke=5)
    curves: Count = key(6, "Quadratic Bezier curves between pairs of optima that share none, at most.", smoke=2)
    steps: Count = key(150, "Steps of the descent that trains a curve, with the other keys of `curves`.", smoke=5)
    trace_samples: int = key(32, "Random probes for the trace of the Hessian.", ge=2, smoke=2)
    fitted: Fraction = key(
        0.02, "Training is finished where the training loss is below this share of chance: phases III and IV."
    )
    tolerance: Fraction = key(
        0.02, "Networks are connected where a curve's barrier is below this share of the way to chance: phases II, IV."
    )
    similar: Fraction = key(0.95, "Networks are alike where the linear CKA of their outputs is above: phase IV-B.")


OF_CLASSES = True  # it compares outputs by classes, and error rates
MINUTES = 60

VARIABLES = {
    "line": Variable(("seed",), "mode connectivity of the training loss on straight lines to other seeds, mean", "nat"),
    "line_error": Variable(("seed",), "the same of the training error", "1"),
    "curve": Variable(("seed",), "mode connectivity of the training loss on a Bezier curve to another seed", "nat"),
    "cka": Variable(("seed",), "linear CKA of the outputs on the test split with other seeds, mean", "1"),
    "trace": Variable(("seed",), "trace of the Hessian of the training loss", "nat/weight^2"),
    "train_loss": Variable(("seed",), "mean cross-entropy on the training split", "nat"),
    "train_error": Variable(("seed",), "share of the training split that is misclassified", "1"),
    "test_loss": Variable(("seed",), "mean cross-entropy on the test split", "nat"),
    "test_error": Variable(("seed",), "share of the test split that is misclassified", "1"),
}


def measure(optima: Optima, settings: Settings = Settings(), curves: Curves = Curves()) -> xr.Dataset:
    """Measure the coordinates of the taxonomy of Yang et al. (2021) at one setting.

    Runs that are no optima are in no pair. The trace is estimated again, without eigenpairs, since the networks of
    matched sweeps have no store of `curvature`, which would cost many times as much. It makes no sense for the toy
    model, which has no outputs to be alike and no test error to be ordered.

    Args:
        optima: of one setting, whose landscape also evaluates score and outputs.
        settings: of the measurement.
        curves: learning rate, batch size and samples of the descent of curves.

    Returns:
        All over seeds; what is of pairs is the mean over a seed's pairs, and every seed is in equally many, of curves
        in one at most.
    """
    landscape, finite = optima.landscape, int((~optima.diverged).sum())
    chosen = optima.fit(min(2, finite))
    sound = np.flatnonzero(np.isin(optima.seeds, chosen.seeds))
    values = {name: np.full(len(optima), np.nan) for name in VARIABLES}
    found = _of_networks(chosen, settings) if len(sound) else {}
    if len(sound) > 1:
        found |= _between(chosen, settings, curves)
    for name, one in found.items():
        values[name][sound] = one
    attributes = {name: getattr(settings, name) for name in ("fitted", "tolerance", "similar")}
    attributes["chance_loss"] = landscape.chance_loss
    return optima.flagged(labelled(VARIABLES, values, {"seed": optima.seeds}, attributes))


def _of_networks(optima: Optima, settings: Settings) -> dict[str, np.ndarray]:
    """Return what is of single networks (K,)."""
    landscape, points, found = optima.landscape, optima.points, {}
    for split in SPLITS:
        seen = landscape.evaluate(points, split)
        found |= {f"{split}_loss": seen["loss"].cpu().numpy(), f"{split}_error": 1 - seen["score"].cpu().numpy()}
    traces = []
    for seed, point in zip(optima.seeds, points, strict=True):
        exact = landscape.hessian_trace(point)
        if exact is None:
            probes = gaussian(settings.trace_samples, landscape.dim, "trace probes", seed).to(points)
            exact = hessian_moments(landscape, point, probes).trace
        traces.append(exact)
    return found | {"trace": np.array(traces)}


def _between(optima: Optima, settings: Settings, curves: Curves) -> dict[str, np.ndarray]:
    """Return what is of pairs (K,): means over the pairs of each network."""
    landscape, points, count = optima.landscape, optima.points, len(optima)
    pairs = pairs_in_circle(count, settings.neighbours)
    t = torch.linspace(0, 1, settings.points, dtype=torch.float64)
    seen = interpolate(landscape, points[pairs[:, 0]], points[pairs[:, 1]], t)
    drawn = np.array(draw_pairs(range(count), min(settings.curves, count // 2)))
    ends, seeds = points[torch.from_numpy(drawn)], np.asarray(optima.seeds)[drawn]
    curve = CurveLandscape(landscape, ends[:, 0], ends[:, 1], "bezier", 1, curves.samples)
    bends = train_curves(curve, seeds.tolist(), curves, settings.steps)
    alike = linear_cka(landscape.logits(points, "test")).numpy()
    return {
        "line": _of_each(_connectivity(seen["loss"]), pairs, count),
        "line_error": _of_each(_connectivity(1 - seen["score"]), pairs, count),
        "curve": _of_each(_connectivity(curve.profiles(bends, t.to(points), "train")["loss"]), drawn, count),
        "cka": (alike.sum(1) - 1) / (count - 1),
    }


def _connectivity(losses: Tensor) -> np.ndarray:
    return mode_connectivity(losses.cpu().double().numpy())


def _of_each(values: np.ndarray, pairs: np.ndarray, count: int) -> np.ndarray:
    """Return means (count,) over the pairs (n, 2) that each place is in; nan of one that is in none."""
    member = (pairs[None] == np.arange(count)[:, None, None]).any(2)
    return np.array([values[row].mean() if row.any() else np.nan for row in member])


def work(case: Case, settings: Settings, curves: Curves) -> Work:
    """Count the losses on lines and curves, the descent of curves, products for the trace, and outputs."""
    count, model = case.seeds, case.model
    paths = len(pairs_in_circle(count, settings.neighbours)) + min(settings.curves, count // 2)
    total = evaluations(model, count) + evaluations(model, paths * settings.points, ["train"])
    together = min(settings.curves, count // 2) * curves.samples
    total += Work({Step(model, together, curves.batch_size): settings.steps if together else 0})
    return total + Work({Trace(model, settings.trace_samples): count, Evaluation(model, "test"): count})


# Phases


PHASES = ("I", "II", "III", "IV-A", "IV-B")


def phase(store: xr.Dataset) -> np.ndarray:
    """Return the phase (…) of each setting of a store (…, seed), one of `PHASES`; "" where no run is an optimum.

    I: training is not finished, and a barrier lies even on a trained curve. II: not finished, no barrier. III:
    finished, with a barrier. IV: finished, without; A: the networks differ, B: they are alike. Yang et al. call I and
    II locally sharp, III and IV locally flat, and find that training loss and Hessian say the same. We go by the loss:
    what trace is a large one depends on the network.
    """
    means = store.where(fit(store)).mean("seed")
    attributes, chance = store.attrs, store.attrs["chance_loss"]
    finished = means["train_loss"].values < attributes["fitted"] * chance
    connected = -means["curve"].values < attributes["tolerance"] * (chance - means["train_loss"].values)
    alike = means["cka"].values > attributes["similar"]
    place = np.where(finished, np.where(connected, 3 + alike, 2), connected)
    return np.where(np.isfinite(means["curve"].values), np.array(PHASES)[place.astype(int)], "")


# What orders the test error


AS_TRAINED, MATCHED = "as trained", "trained to one loss"
FEWEST_VALUES = 3  # that a rank correlation needs
ERRORS = {"test_error": "test error", "test_loss": "test loss"}
BARRIERS = {"line": "lines", "line_error": "error on lines", "curve": "curves"}
ROWS = {"barrier": 1, "trace": 2, "training loss": 3}  # in the matrices of `correlations`
CLAIMS = ("taxonomy_order", "taxonomy_connectivity")


def correlations(
    sweeps: Mapping[str, xr.Dataset], error: str = "test_error", barrier: str = "line", by_seed: bool = False
) -> np.ndarray:
    """Return rank correlations over the settings of each sweep: (sweep, seed, 4, 4), in the order of the sweeps.

    Between the error, the barrier, the trace and the training loss. A sweep is a stratum, so that no difference between
    sweeps passes for a relation. The barrier is how far the connectivity is from 0: straight lines have nothing else,
    and a curve far below its ends counts as connected as little as one above them.

    Args:
        sweeps: stores of `measure` over `value`.
        error: one of `ERRORS`.
        barrier: one of `BARRIERS`.
        by_seed: whether each seed is taken alone; else the means of settings over their optima are (one "seed").

    Returns:
        nan where a sweep has fewer than three settings with values.
    """
    found = []
    for store in sweeps.values():
        kept = store.where(fit(store))
        columns = [kept[error], abs(kept[barrier]), kept["trace"], kept["train_loss"]]
        if not by_seed:
            columns = [one.mean("seed").expand_dims("seed") for one in columns]
        values = [one.transpose("value", "seed").values for one in columns]
        matrix = np.ones((len(values[0][0]), 4, 4))
        for x, y in itertools.combinations(range(4), 2):
            matrix[:, x, y] = matrix[:, y, x] = rank_correlations(values[x], values[y])[0]
        found.append(matrix)
    return np.array(found) if found else np.empty((0, 1, 4, 4))


def ahead(matrices: np.ndarray) -> np.ndarray:
    """Return by how much the error goes with the barrier more than with the trace: (…, 4, 4) -> (…).

    nan where barrier and trace put the settings in one order: then nothing can tell which of them the error follows.
    """
    same = matrices[..., 1, 2] > 1 - ROUNDING
    return np.where(same, np.nan, matrices[..., 0, 1] - matrices[..., 0, 2])


def ahead_given(matrices: np.ndarray, of_loss: bool) -> float:
    """Return the same of partial correlations, from correlations averaged over sweeps (sweep, 4, 4).

    With the other of barrier and trace held fixed; or, `of_loss`, the training loss. Within a sweep of five settings a
    partial correlation is hardly defined. |r(e, b | t)| > |r(e, t | b)| exactly if |r(e, b)| > |r(e, t)|, since
    1 - r(e, b | t)^2 = (1 - R^2) / (1 - r(e, t)^2): partial correlations say who is ahead as plain ones do.
    """
    mean = matrices.mean(0)
    given = (3, 3) if of_loss else (2, 1)
    one, other = (partial_correlation(mean, 0, which, held) for which, held in zip((1, 2), given, strict=True))
    return one - other


def claims(taxonomy: AlongSweeps, matched_taxonomy: AlongMatchedSweeps, intervals: Intervals) -> Iterator[Claim]:
    """Estimate whether the test error is ordered by connectivity before trace, at equal training loss.

    The unit is a sweep. Within one, a single hyperparameter drives the error, the barrier and the trace, so its
    settings together are one observation of who follows whom; settings resampled one by one would count as many. Each
    sweep has the difference of two rank correlations, and their mean has Student's t interval. It speaks for
    connectivity only where the barrier itself orders the error, which is the second claim. The prescribed difference of
    partial correlations is a specification: in simulations its intervals are too short.

    With seeds as units the sentence is about these settings alone.
    """
    kinds = {kind: long(sweeps) for kind, sweeps in ((MATCHED, matched_taxonomy), (AS_TRAINED, taxonomy))}
    if not matched_taxonomy:
        return
    order, alone = {}, {}
    for kind, sweeps in kinds.items():
        for error, barrier in itertools.product(ERRORS, BARRIERS):
            matrices, name = correlations(sweeps, error, barrier)[:, 0], f"{ERRORS[error]}; {BARRIERS[barrier]}; {kind}"
            order[name] = _within(intervals.mean(ahead(matrices), "sweep"), 2)
            alone[name] = _within(intervals.mean(matrices[:, 0, 1], "sweep"), 1)
        matrices = correlations(sweeps)[:, 0]
        matrices = matrices[np.isfinite(matrices).all((1, 2))]
        for text, of_loss in (("given the other", False), ("given the training loss", True)):
            order[f"{text}; {kind}"] = _over_sweeps(matrices, of_loss, intervals)
        by_seed = correlations(sweeps, by_seed=True)
        order[f"seeds at these settings; {kind}"] = _within(intervals.mean(_means(ahead(by_seed))), 2)
        alone[f"seeds at these settings; {kind}"] = _within(intervals.mean(_means(by_seed[..., 0, 1])), 1)
    matrices = correlations(kinds[MATCHED])[:, 0]
    same = int((np.isfinite(matrices[:, 1, 2]) & ~np.isfinite(ahead(matrices))).sum())
    means = {name: intervals.mean(matrices[:, 0, place]).estimate for name, place in ROWS.items()}
    said = ", ".join(f"{name} {mean:.2g}" for name, mean in means.items())
    lost = sum(left_out(store) for store in kinds[MATCHED].values())
    texts = {
        "taxonomy_order": (order, "rho of test error and barrier minus that of test error and trace, within sweeps",
                           f"rho of {said}; barrier and trace in one order in {same} of {len(matrices)} sweeps"),
        "taxonomy_connectivity": (alone, "rho of test error and barrier, within sweeps", f"rho of {said}"),
    }  # fmt: skip
    for rule, (found, quantity, control) in texts.items():
        first, *others = found
        ways = {name: found[name] for name in others if np.isfinite(found[name].estimate)}
        yield Claim(rule, quantity, found[first], {}, lost, ways, control, first)


def long(sweeps: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Return the sweeps of enough settings for a rank correlation."""
    return {name: store for name, store in sweeps.items() if store.sizes["value"] >= FEWEST_VALUES}


def _means(values: np.ndarray) -> np.ndarray:
    """Return the means over sweeps of what is finite: (sweep, seed) -> (seed,)."""
    return np.array([one[np.isfinite(one)].mean() if np.isfinite(one).any() else np.nan for one in values.T])


def _within(found: Estimate, reach: float) -> Estimate:
    """Return an estimate without the part of its interval that cannot occur."""
    if not np.isfinite(found.low):
        return found
    return replace(found, low=max(-reach, found.low), high=min(reach, found.high))


def _over_sweeps(matrices: np.ndarray, of_loss: bool, intervals: Intervals) -> Estimate:
    """Return `ahead_given` with the jackknife over sweeps."""
    if len(matrices) < 3:
        return intervals.mean([], "sweep")
    without = [ahead_given(np.delete(matrices, place, 0), of_loss) for place in range(len(matrices))]
    return intervals.jackknife(ahead_given(matrices, of_loss), without, "sweep")
