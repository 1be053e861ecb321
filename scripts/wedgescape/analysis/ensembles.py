"""Ensembles: methods of finding solutions, compared at one budget (science, section 9).

A group is what all methods make of one seed: its start is the seed's optimum at the base point, or the seed's
initialisation where a method trains from there. Every method has M times E epochs of gradients for a group, E being
those of one optimum, and yields M networks, the members of an ensemble, or a single one. The dimension over methods is
called `ensemble`, since `method` is a keyword of xarray's `sel`.

All networks are points of one landscape. Where it has batch norms it recomputes their statistics for each point that
it evaluates (`networks.NetworkLandscape`), so also for averages, for samples of a tunnel and for places on a curve.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.analysis.members import Found, gradient_epochs, next_curves, next_optima, trained, tunnel_samples
from wedgescape.landscapes.base import SPLITS, Landscape
from wedgescape.landscapes.lines import barrier_along
from wedgescape.measurements.similarity import COMPARISONS, FUNCTIONS
from wedgescape.measurements.tunnels import rotate, tangents
from wedgescape.numerics.intervals import bootstrap_mean
from wedgescape.numerics.randomness import stream
from wedgescape.numerics.scores import SCORES, mixture, score
from wedgescape.stores.attributes import training_of
from wedgescape.stores.zarr_stores import as_rows, described

SUBSETS = 10  # of the members, for each size of an ensemble; all there are, where there are fewer
PLACES = 19  # on a ray and on a curve
BEYOND = 1.5  # where a ray is left, in units of its width


# Scores


def draw_subsets(members: int, size: int) -> list[tuple[int, ...]]:
    """Return all subsets of a size, or where there are more `SUBSETS` random ones."""
    if math.comb(members, size) <= SUBSETS:
        return list(itertools.combinations(range(members), size))
    draw, drawn = stream("ensemble subsets", members, size), {}
    while len(drawn) < SUBSETS:
        drawn[tuple(sorted(draw.choice(members, size, replace=False).tolist()))] = True
    return list(drawn)


def scores_by_size(probabilities: Tensor, labels: Tensor, bins: int) -> dict[str, np.ndarray]:
    """Return the scores of ensembles against their size, means over subsets of the members (`draw_subsets`).

    Args:
        probabilities: (M, N, C), of the members.
        labels: (N,).
        bins: of confidence.

    Returns:
        Name of a score -> (M,), of 1 … M members.
    """
    rows = []
    for size in range(1, len(probabilities) + 1):
        subsets = draw_subsets(len(probabilities), size)
        found = [score(mixture(probabilities[list(subset)]), labels, bins) for subset in subsets]
        rows.append([np.mean([one[name] for one in found]) for name in SCORES])
    return dict(zip(SCORES, np.array(rows).T, strict=True))


def mean_over_pairs(matrix: Tensor) -> float:
    """Return the mean of a symmetric matrix (K, K) over all pairs of different members; nan where there is none."""
    rows, columns = torch.triu_indices(*matrix.shape, offset=1)
    return float(matrix[rows, columns].mean())


def measure_methods(
    landscape: Landscape, found: dict[str, Found], seeds: Sequence[int], bins: int, points: int
) -> xr.Dataset:
    """Measure the ensembles of each method and group, how alike their members are, and their weight averages.

    Args:
        landscape: that also predicts and evaluates accuracy.
        found: method -> what it found from each of G starts.
        seeds: G, of the starts.
        bins: of the calibration error.
        points: on the straight line from each member to the next, ends included.

    Returns:
        Scores over (ensemble, seed, size), similarities over (ensemble, seed), and averages and barriers over
        (ensemble, seed, split). nan where a method yields one network, and in groups of which a run diverged. Matrices
        over (network, other) hold all members of all methods in the first group.
    """
    methods, groups = list(found), len(seeds)
    size = max(one.members.shape[1] for one in found.values())
    sizes = {"ensemble": len(methods), "seed": groups, "size": size, "split": len(SPLITS)}
    values = {name: np.full([sizes[dim] for dim in dims], np.nan) for name, (dims, *_said) in VARIABLES.items()}
    diverged = np.zeros((len(methods), groups), dtype=bool)
    for row, one in enumerate(found.values()):
        for group in range(groups):
            points_of = torch.cat([one.members[group], one.averaged[group]])
            diverged[row, group] = not bool(points_of.isfinite().all())
            seen = {} if diverged[row, group] else _measure_group(landscape, one, group, bins, points)
            for name, value in seen.items():
                values[name][(row, group, *([slice(len(value))] if np.ndim(value) else []))] = value
    variables = {name: described(VARIABLES[name][0], values[name], *VARIABLES[name][1:]) for name in VARIABLES}
    text = "epochs of gradients that a group has cost"
    variables["epochs"] = described(("ensemble",), [one.epochs for one in found.values()], text, "epoch")
    variables["diverged"] = described(("ensemble", "seed"), diverged, "a run of the group left the finite numbers")

    networks = torch.cat([one.members[0] for one in found.values()])
    predicted = landscape.predictions(networks, "test")
    for name, compare in COMPARISONS.items():
        text, units = ALIKE[name]
        text = f"{text}, all members of all methods in the first group"
        matrix = compare(predicted if name in FUNCTIONS else networks)
        variables[f"{name}_matrix"] = described(("network", "other"), matrix, text, units)
    counts = [one.members.shape[1] for one in found.values()]
    coordinates = {
        "ensemble": methods,
        "seed": list(seeds),
        "size": range(1, size + 1),
        "split": list(SPLITS),
        "network_ensemble": ("network", np.repeat(methods, counts)),
        "network_member": ("network", np.concatenate([np.arange(count) for count in counts])),
    }
    return xr.Dataset(variables, coordinates, {"bins": bins, "line_points": points, "subsets": SUBSETS})


def _measure_group(landscape: Landscape, one: Found, group: int, bins: int, points: int) -> dict:
    """Return all `VARIABLES` of one method and group, without similarities and averages where it yields one network."""
    members, averaged = one.members[group], one.averaged[group]
    probabilities = landscape.predictions(members, "test")
    values: dict = scores_by_size(probabilities, landscape.splits["test"][1], bins)
    if len(averaged) > 1:
        predicted = probabilities if one.iterates is None else landscape.predictions(averaged, "test")
        for name, compare in COMPARISONS.items():
            values[name] = mean_over_pairs(compare(predicted if name in FUNCTIONS else averaged))
        both = [weight_average(landscape, averaged, one.mean[group], points, split) for split in SPLITS]
        values |= {name: np.array([part[name] for part in both]) for name in AVERAGES}
    return values


def weight_average(landscape: Landscape, members: Tensor, average: Tensor, points: int, split: str) -> dict[str, float]:
    """Compare the average (P,) of members (M, P) with them; names as in `AVERAGES`."""
    alone, together = landscape.evaluate(members, split), landscape.evaluate(average[None], split)
    barriers = barrier_along(landscape, members[:-1], members[1:], points, split)
    return {
        "members_loss": float(alone["loss"].mean()),
        "average_loss": float(together["loss"]),
        "members_accuracy": float(alone["accuracy"].mean()),
        "average_accuracy": float(together["accuracy"]),
        "barrier": float(barriers.max()),
    }


ALIKE = {
    "disagreement": ("fraction of test examples on which two networks predict different classes", "1"),
    "jensen_shannon": ("mean Jensen-Shannon divergence of two networks' predictions, test split", "nat"),
    "probability_cosine": ("mean cosine of two networks' predicted probabilities, test split", "1"),
    "weight_cosine": ("cosine of the angle between two networks' weights, seen from the origin", "1"),
    "weight_distance": ("Euclidean distance between two networks' weights", "weights"),
}
AVERAGES = {
    "members_loss": ("mean cross-entropy, mean over the members", "nat"),
    "average_loss": ("mean cross-entropy at the average of the members' weights", "nat"),
    "members_accuracy": ("accuracy, mean over the members", "1"),
    "average_accuracy": ("accuracy at the average of the members' weights", "1"),
    "barrier": ("largest barrier on the straight lines from each member to the next", "nat"),
}


SUFFIXES = {"scores": ", test split, mean over subsets of the members", "alike": ", mean over pairs of members"}
VARIABLES = (
    {name: (("ensemble", "seed", "size"), text + SUFFIXES["scores"], units) for name, (text, units) in SCORES.items()}
    | {name: (("ensemble", "seed"), text + SUFFIXES["alike"], units) for name, (text, units) in ALIKE.items()}
    | {name: (("ensemble", "seed", "split"), text, units) for name, (text, units) in AVERAGES.items()}
)


# Along paths


def measure_paths(
    landscape: Landscape, paths: dict[str, Tensor], along: dict[str, Sequence[float]], seeds: Sequence[int]
) -> xr.Dataset:
    """Measure how alike the networks on paths are to those at which the paths start, on the test split.

    Args:
        landscape: that also predicts and evaluates accuracy.
        paths: name -> points (G, S, P), each row from its start.
        along: name -> where they lie (S,), in the path's own measure.
        seeds: G.

    Returns:
        A dataset over (path, seed, place); nan beyond the end of shorter paths.
    """
    longest = max(points.shape[1] for points in paths.values())
    shape = (len(paths), len(seeds), longest)
    values = {name: np.full(shape, np.nan) for name in PATHS}
    where = np.full((len(paths), longest), np.nan)
    for row, (name, points) in enumerate(paths.items()):
        count = points.shape[1]
        where[row, :count] = along[name]
        for group, way in enumerate(points):
            predicted = landscape.predictions(way, "test")
            seen = landscape.evaluate(way, "test")
            found = {
                key: to_first(compare, predicted if key in FUNCTIONS else way) for key, compare in COMPARISONS.items()
            }
            found["weight_angle"] = found.pop("weight_cosine").arccos()
            found |= {key: value.cpu().double() for key, value in seen.items()}
            for key, value in found.items():
                values[key][row, group, :count] = value
    variables = {
        name: described(("path", "seed", "place"), values[name], text, units) for name, (text, units) in PATHS.items()
    }
    variables["along"] = described(
        ("path", "place"), where,
        "place on the path: of the tunnel's width, t of the connector, epochs before the end of the trajectory",
    )  # fmt: skip
    return xr.Dataset(variables, {"path": list(paths), "seed": list(seeds)})


PATHS = {
    "disagreement": ("fraction of test examples on which the class differs from that at the path's start", "1"),
    "jensen_shannon": ("mean Jensen-Shannon divergence from the predictions at the path's start, test split", "nat"),
    "probability_cosine": ("mean cosine of predicted probabilities with those at the path's start, test split", "1"),
    "weight_angle": ("angle between the weights and those at the path's start, seen from the origin", "radian"),
    "weight_distance": ("Euclidean distance to the path's start", "weights"),
    "loss": ("mean cross-entropy, test split", "nat"),
    "accuracy": ("accuracy, test split", "1"),
}


def to_first(compare: Callable[[Tensor], Tensor], members: Tensor) -> Tensor:
    """Return the comparisons (K,) of members (K, …) with the first of them, by a function of `similarity`."""
    return torch.stack([compare(members[[0, k]])[0, 1] for k in range(len(members))])


# All of it


def measure(
    landscape: Landscape,
    weights: xr.Dataset,
    stores: dict[str, xr.Dataset],
    ensembles: dict,
    tunnels: dict,
    curves: dict,
    points: int,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Compare methods at one budget, for each of the first seeds (our definition).

    - `longer`, `sam`, `swa`: single networks (`methods.at_equal_budget`).
    - `snapshots`, `fge`: M members each.
    - `tunnel`: M samples of the tunnel around `longer`.
    - `connector`: M places, evenly in t, on a quadratic Bezier curve from the seed's optimum to the next seed's. Both
      optima and the curve's training, which is cut short where it has to be, stay within the budget.
    - `independent`: the seed's optimum and those of the seeds after it, the first ones after the last.

    Args:
        landscape: of the base point's network.
        weights: the base point's, without runs that diverged.
        stores: method -> its weights, over at least the same seeds.
        ensembles: that section of the config.
        tunnels: that section, which says where a tunnel ends.
        curves: that section, which says how curves are trained.
        points: on a straight line on which a barrier is sought.

    Returns:
        The datasets of `measure_methods` and `measure_paths`.
    """
    optima = torch.from_numpy(weights["theta"].values).to(landscape.device)
    groups, count = min(ensembles["seeds"], len(optima)), ensembles["members"]
    seeds = weights["seed"].values.tolist()
    training = training_of(weights.attrs)["training"]
    epochs = gradient_epochs(training)
    found = trained({name: store.sel(seed=seeds[:groups]) for name, store in stores.items()}, epochs, optima)
    centres = found["longer"].members[:, 0]
    at = {"accuracy_fraction": tunnels["accuracy_fraction"], "angle_error": tunnels["angle_error"]}
    samples, widths = tunnel_samples(landscape, centres, seeds[:groups], count, ensembles["tunnel_fraction"], **at)
    curve, cost, steps = next_curves(landscape, optima, seeds, groups, (count - 2) * epochs, curves)
    found |= {
        "tunnel": Found(samples, found["longer"].epochs),
        "connector": Found(curve(torch.linspace(0, 1, count)), 2 * epochs + cost),
        "independent": Found(next_optima(optima, groups, count), count * epochs),
    }
    methods = measure_methods(landscape, found, seeds[:groups], ensembles["bins"], points)
    methods.attrs |= {"connector_steps": steps, "tunnel_fraction": ensembles["tunnel_fraction"]}
    text = "angular width of the tunnel around `longer` along each sample's ray"
    methods["tunnel_width"] = described(("seed", "sample"), widths, text, "radian")

    relative, t = torch.linspace(0, BEYOND, PLACES), torch.linspace(0, 1, PLACES)
    ray, angles = tangents(centres, 1, seeds[:groups])[:, 0], (relative * widths[:, :1]).to(centres)
    paths = {
        "tunnel": torch.stack([rotate(centres, ray, angle) for angle in angles.unbind(1)], 1),
        "connector": curve(t),
    }
    along: dict[str, Sequence[float]] = {"tunnel": relative.tolist(), "connector": t.tolist()}
    if "trajectory" in weights:
        way = weights["trajectory"].isel(seed=slice(groups)).values
        paths["trajectory"] = torch.from_numpy(way).to(optima).flip(1)  # from its end backwards
        steps_back = (weights["step"].values[-1] - weights["step"].values)[::-1]
        along["trajectory"] = (training["epochs"] * steps_back / steps_back[-1]).tolist()
    return methods, measure_paths(landscape, paths, along, seeds[:groups])


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row an (ensemble, seed, size): the scores of ensembles of that size, the budget and what diverged."""
    rows = as_rows(
        store[[*SCORES, "epochs", "diverged"]], ("ensemble", "seed", "size"), (*SCORES, "epochs", "diverged")
    )
    return rows[rows["accuracy"].notna() | (rows["diverged"] & (rows["size"] == 1))].reset_index(drop=True)


def complete(values: xr.DataArray) -> xr.DataArray:
    """Return the scores (…, size) -> (…) of all members together; of the one network where there is no more."""
    return values.isel(size=-1, drop=True).fillna(values.isel(size=0, drop=True))


def gain(values: xr.DataArray) -> xr.DataArray:
    """Return by how much losses (…, size) of all members together lie below the members' mean; nan for one network."""
    return (values.isel(size=0, drop=True) - values.isel(size=-1, drop=True)).rename("gain")


def several(store: xr.Dataset) -> xr.Dataset:
    """Return the store of methods without those of which nothing is averaged."""
    return store.isel(ensemble=np.isfinite(store["disagreement"]).any("seed").values)


def tidy_averages(store: xr.Dataset) -> pd.DataFrame:
    """Return one row an (ensemble, seed) of methods with members: similarities, averages, barriers and gains.

    `nll_gain` is the members' mean negative log-likelihood less the ensemble's, never negative; `accuracy_gain` the
    ensemble's accuracy less the members' mean.
    """
    store = several(store)
    gains = xr.Dataset({"nll_gain": gain(store["nll"]), "accuracy_gain": -gain(store["accuracy"])})
    parts = [store[[*COMPARISONS, "diverged"]], gains]
    for split in SPLITS:
        part = store[list(AVERAGES)].sel(split=split, drop=True)
        parts.append(part.rename({name: f"{split}_{name}" for name in AVERAGES}))
    columns = [*COMPARISONS, *(f"{split}_{name}" for split in SPLITS for name in AVERAGES)]
    return as_rows(xr.merge(parts), ("ensemble", "seed"), (*columns, "nll_gain", "accuracy_gain", "diverged"))


def tidy_paths(store: xr.Dataset) -> pd.DataFrame:
    """Return one row a (path, seed, place): where it lies, and how far the network there is from the start's."""
    rows = as_rows(store, ("path", "seed", "place"), ("along", *PATHS))
    return rows[rows["along"].notna()].reset_index(drop=True)


def summarise(values: xr.DataArray, confidence: float, resamples: int) -> np.ndarray:
    """Return (estimate, low, high) along a last axis (…, 3): means over seeds (…, seed) with bootstrap intervals."""
    rows = values.transpose(..., "seed").values
    flat = [bootstrap_mean(row, confidence, resamples) for row in rows.reshape(-1, rows.shape[-1])]
    return np.array([(one.estimate, one.low, one.high) for one in flat]).reshape(*rows.shape[:-1], 3)
