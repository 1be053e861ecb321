"""Phase diagrams: what grids of hyperparameters do to the landscape (docs/science.md, Phase diagrams).

A *statistic* is one number per network: how wide its tunnel is, how curved, how far from other seeds, how good. The
networks of a grid's settings give a table of statistics. From it come the correlations between statistics and the
effect of each hyperparameter on all of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from wedgescape.measurements.curvature import statistics_of
from wedgescape.numerics.intervals import Estimate, Intervals, ends_of
from wedgescape.numerics.judging import Claim, fit
from wedgescape.stores.zarr_stores import as_rows, described
from wedgescape.study.places import Grids, InGrids


@dataclass(frozen=True)
class Statistic:
    """One number per network.

    Args:
        measurement: whose store it comes from.
        of: (the store of a setting) -> (seed).
        text: what it is.
        units: of it.
    """

    measurement: str
    of: Callable[[xr.Dataset], xr.DataArray]
    text: str
    units: str


STATISTICS = {
    "angular_width": Statistic(
        "tunnels",
        lambda store: store["width_score"].mean("direction") * (180 / math.pi),
        "angular width of the tunnel by the accuracy threshold, mean over rays",
        "degree",
    ),
    "large_scale": Statistic(
        "curvature",
        lambda store: statistics_of(store)["large_scale"],
        "large-scale curvature of the training loss, mean over directions",
        "nat/radian^2",
    ),
    "top_eigenvalue": Statistic(
        "curvature",
        lambda store: statistics_of(store)["top_eigenvalue"],
        "largest eigenvalue of the Hessian of the training loss",
        "nat/weight^2",
    ),
    "trace": Statistic(
        "curvature",
        lambda store: statistics_of(store)["trace"],
        "trace of the Hessian of the training loss",
        "nat/weight^2",
    ),
    "barrier": Statistic(
        "similarity",
        lambda store: store["barrier"].sel(split="train", drop=True),
        "barrier of the training loss on straight lines to other seeds",
        "nat",
    ),
    "disagreement": Statistic(
        "similarity",
        lambda store: store["disagreement"].where(store["other"] != store["seed"]).mean("other"),
        "fraction of test examples on which another seed predicts another class, mean over the other seeds",
        "1",
    ),
    "test_error": Statistic(
        "similarity", lambda store: store["error"].sel(split="test", drop=True), "fraction of test examples wrong", "1"
    ),
}


def gather(grids: Grids, stores: dict[str, dict[str, xr.Dataset]]) -> xr.Dataset:
    """Return all statistics at all settings of grids over (setting, seed), with hyperparameters as coordinates.

    Args:
        grids: name -> `keys` of the grid, and its `settings` {name: hyperparameters}.
        stores: measurement -> {name of a setting: its store}.

    Returns:
        `STATISTICS`, nan where a run is no optimum or a seed was not measured, and `fit`: which are optima.
    """
    settings = settings_of(grids)
    seeds = next(iter(stores["similarity"].values()))["seed"].values.tolist()
    are_fit = np.array([fit(stores["similarity"][name]).values for name in settings])
    variables = {"fit": described(("setting", "seed"), are_fit, "the run is an optimum: finite, and it fits")}
    for name, statistic in STATISTICS.items():
        rows = [statistic.of(stores[statistic.measurement][one]).reindex(seed=seeds).values for one in settings]
        values = np.where(are_fit, np.array(rows, dtype=float), np.nan)
        variables[name] = described(("setting", "seed"), values, statistic.text, statistic.units)
    coordinates = {"setting": list(settings), "seed": seeds}
    for key in next(iter(settings.values())):
        coordinates[key] = ("setting", np.array([values[key] for values in settings.values()]))
    return xr.Dataset(variables, coordinates)


def settings_of(grids: Grids) -> dict[str, dict]:
    """Return the settings of all grids, each once: name -> hyperparameters."""
    return {name: values for grid in grids.values() for name, values in grid["settings"].items()}


def varied(grids: Grids, ordered: bool = False) -> list[str]:
    """Return the hyperparameters that grids vary, in the grids' order.

    Args:
        grids: of the study.
        ordered: whether to leave out those whose values are text, which have no order.
    """
    settings = settings_of(grids).values()
    taken = {key: {one[key] for one in settings} for grid in grids.values() for key in grid["keys"]}
    return [
        key
        for key, values in taken.items()
        if len(values) > 1 and not (ordered and any(isinstance(value, str) for value in values))
    ]


def tidy(data: xr.Dataset, keys: list[str]) -> pd.DataFrame:
    """Return one row per (setting, seed): the hyperparameters `keys`, all statistics, and whether it is an optimum."""
    return as_rows(data, ("setting", "seed"), (*keys, *STATISTICS, "fit"))


def plane_of(settings: dict[str, dict], keys: list[str], base: dict) -> tuple[list, list, list[list[str]]]:
    """Return which settings of a grid form the plane over its first two hyperparameters.

    Args:
        settings: name -> hyperparameters, a full product of the values of `keys`.
        keys: the grid's hyperparameters; all beyond the first two stay at the base setting's value, where it is among
            the grid's, else at the grid's first.
        base: the base setting's hyperparameters.

    Returns:
        The values of the first, those of the second, and names (second, first).
    """
    values = {key: list(dict.fromkeys(one[key] for one in settings.values())) for key in keys}
    held = {key: base[key] if base[key] in values[key] else values[key][0] for key in keys[2:]}
    names = {tuple(one[key] for key in keys): name for name, one in settings.items()}
    first, second = (values[key] for key in keys[:2])
    return first, second, [[names[(x, y, *held.values())] for x in first] for y in second]


# How alike


COLUMNS = ["quantity", "first", "second", "estimate", "low", "high", "settings", "seeds"]


def _counts(there: np.ndarray) -> dict[str, int]:
    """Return how many settings and seeds have any of what is there (setting, seed)."""
    return {"settings": int(there.any(1).sum()), "seeds": int(there.any(0).sum())}


def correlations(data: xr.Dataset, intervals: Intervals) -> pd.DataFrame:
    """Return Spearman's rho of each pair of statistics over the grids' settings, per seed, averaged over seeds.

    Networks of one width are a stratum: between widths the number of weights changes, and with it every statistic.

    Args:
        data: of `gather`.
        intervals: how they are computed.
    """
    widths = data["width"].values if "width" in data.coords else np.zeros(data.sizes["setting"])
    strata = [np.flatnonzero(widths == width) for width in np.unique(widths)]
    rows = []
    for first, second in itertools.combinations(STATISTICS, 2):
        x, y = data[first].values, data[second].values
        found = intervals.correlation(x, y, strata)
        both = np.isfinite(x) & np.isfinite(y)
        rows.append({"quantity": "correlation", "first": first, "second": second, **ends_of(found), **_counts(both)})
    return pd.DataFrame(rows, columns=COLUMNS)


def effects(data: xr.Dataset, keys: list[str], intervals: Intervals) -> pd.DataFrame:
    """Return the standardised effect of each hyperparameter on each statistic (our definition).

    A statistic is replaced by its rank over all (setting, seed) pairs and scaled to a standard deviation of 1, so that
    units and outliers do not matter; a hyperparameter by the place of its value among those it takes, from -1/2 at the
    lowest to 1/2 at the highest. The effects are the coefficients of the least-squares fit of the one by all of the
    other, without interactions: by how many standard deviations a statistic changes from the lowest to the highest
    value, the other hyperparameters held fixed. Intervals are the jackknife's, over seeds.

    Args:
        data: of `gather`.
        keys: the hyperparameters, numbers all of them.
        intervals: how they are computed.
    """
    found = _effects(data, keys)  # (1 + seed, key, statistic)
    rows = [
        {"quantity": "effect", "first": key, "second": name}
        | ends_of(intervals.jackknife(found[0, j, m], found[1:, j, m]))
        | _counts(np.isfinite(data[name].values))
        for j, key in enumerate(keys)
        for m, name in enumerate(STATISTICS)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def likenesses(data: xr.Dataset, keys: list[str], intervals: Intervals) -> dict[tuple[str, str], Estimate]:
    """Return how alike each pair of hyperparameters acts (our definition): the cosine of their effects (`effects`).

    1: raising the one changes all statistics in the same proportions as raising the other; -1: as lowering it; 0: they
    have nothing in common. A cosine and not a correlation: it stays the same when a statistic is counted the other way
    round, and no effect is zero and not the mean effect. Noise in the effects pulls the cosine towards 0. Intervals are
    the jackknife's, over seeds.

    Args:
        data: of `gather`.
        keys: the hyperparameters, numbers all of them.
        intervals: how they are computed.
    """
    found = _effects(data, keys)
    found = found[:, :, np.isfinite(found[0]).all(0)]
    made = {}
    for (j, first), (k, second) in itertools.combinations(enumerate(keys), 2):
        x, y = found[:, j], found[:, k]
        with np.errstate(invalid="ignore"):
            cosine = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
        made[first, second] = intervals.jackknife(cosine[0], cosine[1:])
    return made


def contrasts(
    data: xr.Dataset, keys: list[str], intervals: Intervals
) -> dict[tuple[str, str, str], tuple[Estimate, tuple[float, float]]]:
    """Return by how much the effects (`effects`) of two hyperparameters on a statistic differ, and both effects.

    Args:
        data: of `gather`.
        keys: the hyperparameters, numbers all of them.
        intervals: how they are computed; the jackknife's, over seeds.

    Returns:
        (first, second, statistic of `JUDGED`) -> (effect of the first minus that of the second, the two).
    """
    found = _effects(data, keys)
    made = {}
    for (j, first), (k, second) in itertools.combinations(enumerate(keys), 2):
        for name in JUDGED:
            x, y = (found[:, place, list(STATISTICS).index(name)] for place in (j, k))
            made[first, second, name] = intervals.jackknife(x[0] - y[0], x[1:] - y[1:]), (float(x[0]), float(y[0]))
    return made


def tidy_contrasts(data: xr.Dataset, keys: list[str], intervals: Intervals) -> pd.DataFrame:
    """Return `contrasts` as a table; `second` names both the second hyperparameter and the statistic."""
    counts = _counts(data["fit"].values)
    rows = [
        {"quantity": "difference of effects", "first": first, "second": f"{second}: {name}", **ends_of(found), **counts}
        for (first, second, name), (found, _effects) in contrasts(data, keys, intervals).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def likeness(data: xr.Dataset, keys: list[str], intervals: Intervals) -> pd.DataFrame:
    """Return `likenesses` as a table, with what chance would give.

    Statistics depend on one another: were all of them signs of one thing, every cosine would be 1 or -1. `chance` is
    the root mean square of the cosine of random vectors with the correlations of the statistics, 1 / sqrt(effective
    number of statistics), (sum of eigenvalues)^2 / (sum of their squares) of the correlation matrix.

    Args:
        data: of `gather`.
        keys: the hyperparameters, numbers all of them.
        intervals: how they are computed.
    """
    counts, chance = _counts(data["fit"].values), _chance(data)
    rows = [
        {"quantity": "likeness", "first": first, "second": second, **ends_of(found), **counts, "chance": chance}
        for (first, second), found in likenesses(data, keys, intervals).items()
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "chance"])


def _effects(data: xr.Dataset, keys: list[str]) -> np.ndarray:
    """Return effects (1 + seed, key, statistic): of all seeds, then without each of them.

    The fit is linear in sums over a seed's settings.
    """
    shape = (data.sizes["setting"], data.sizes["seed"])
    design = np.stack([np.ones(shape[0]), *(_places(data[key].values) for key in keys)], 1)  # (setting, 1 + key)
    times = np.concatenate([np.ones((1, shape[1])), 1 - np.eye(shape[1])])  # (1 + seed, seed)
    found = np.full((len(times), len(keys), len(STATISTICS)), np.nan)
    for m, name in enumerate(STATISTICS):
        values = data[name].values
        finite = np.isfinite(values)
        if not finite.any() or np.ptp(values[finite]) == 0:
            continue
        scores = np.zeros(shape)
        ranks = pd.Series(values[finite]).rank()
        scores[finite] = (ranks - ranks.mean()) / ranks.std(ddof=0)
        squares = np.einsum("ps,pi,pj->sij", finite, design, design)
        products = np.einsum("ps,pi->si", scores, design)
        inverse = np.linalg.pinv(np.einsum("rs,sij->rij", times, squares), hermitian=True)
        found[:, :, m] = np.einsum("rij,rs,sj->ri", inverse, times, products)[:, 1:]
    return found


def _places(values: np.ndarray) -> np.ndarray:
    """Return where values lie among the different ones: -1/2 for the lowest, 1/2 for the highest."""
    levels, place = np.unique(values, return_inverse=True)
    return place / max(1, len(levels) - 1) - 0.5


def _chance(data: xr.Dataset) -> float:
    table = tidy(data, [])[list(STATISTICS)]
    matrix = table.corr(method="spearman").to_numpy()
    known = np.isfinite(np.diag(matrix))
    matrix = matrix[known][:, known]
    return float(np.sqrt((matrix**2).sum()) / len(matrix)) if len(matrix) else np.nan


# On which two hyperparameters may act alike; the trace says what the top eigenvalue does.
JUDGED = ("angular_width", "large_scale", "top_eigenvalue", "barrier", "disagreement", "test_error")
CLAIMS = (
    "similar",
    "alike",
)


def claims(
    tunnels: InGrids, curvature: InGrids, similarity: InGrids, grids: Grids, intervals: Intervals
) -> Iterator[Claim]:
    """Estimate whether two hyperparameters of a grid act in similar ways.

    On all statistics together: the cosine of their effects (`likeness`). On each of them: by how much their effects
    differ (`contrasts`), which is an equivalence. Two that both do nothing to a statistic act alike on it, so the
    effects themselves are said beside.
    """
    if not grids:
        return
    data = gather(grids, {"tunnels": tunnels, "curvature": curvature, "similarity": similarity})
    control, lost = f"by chance {_chance(data):.2f}", int((~data["fit"]).sum())
    for (first, second), found in likenesses(data, varied(grids, ordered=True), intervals).items():
        names = {"first": first, "second": second}
        yield Claim("similar", "cosine of their effects on all statistics", found, names, lost, control=control)
    for (first, second, name), (found, effects_of) in contrasts(data, varied(grids, ordered=True), intervals).items():
        names = {"first": first, "second": second, "statistic": name}
        control = "effects {:.2g} and {:.2g}".format(*effects_of)
        yield Claim("alike", "difference of their effects, sd of ranks", found, names, lost, control=control)
