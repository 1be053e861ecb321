"""Ensembles: methods of finding solutions, compared at one budget (docs/science.md, Ensembles).

A group is one seed, from whose initialisation every method trains, and M - 1 further seeds for its independent
solutions. No two groups share a seed, so groups are independent, and within one methods are compared. Every method has
M times E epochs of gradients for a group, where E is what one optimum takes, and yields M networks, the members of an
ensemble, or a single one. The dimension over methods is called `ensemble`, because `method` is a keyword of xarray's
`sel`; groups have the name of the seed that leads them.

All networks are points of one landscape. If it has batch norms, it recomputes their statistics for each point that it
evaluates (`networks.NetworkLandscape`): also for averages, for samples of a tunnel and for positions on a curve.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.analysis.members import (
    Found,
    budgeted_curves,
    curve_steps,
    disjoint_groups,
    trained,
    tunnel_samples,
)
from wedgescape.landscapes.base import SPLITS, Landscape
from wedgescape.landscapes.lines import barrier_along
from wedgescape.landscapes.operations import Case, Comparison, PlainPython, Scoring, Step, Work, evaluations, times
from wedgescape.measurements.curves import Settings as CurveSettings
from wedgescape.measurements.similarity import COMPARISONS, FUNCTIONS
from wedgescape.measurements.similarity import Settings as SimilaritySettings
from wedgescape.measurements.tunnels import Settings as TunnelSettings
from wedgescape.measurements.tunnels import coarse_angles, rotate, tangents
from wedgescape.numerics.crossings import halvings
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim, fit
from wedgescape.numerics.randomness import stream
from wedgescape.numerics.scores import SCORES, mixture, score
from wedgescape.stores.zarr_stores import Variable, as_rows, labelled
from wedgescape.study.methods import gradient_epochs
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, Fraction, PositiveNumber, Section, key
from wedgescape.training.optima import AllOptima, Optima, OptimaOfMethods


class Settings(Section):
    """Methods of finding solutions, compared at one budget: `members` times `training.epochs` epochs of gradients."""

    members: int = key(
        5,
        "Members M of an ensemble; at most `base_seeds`. If that is below 5, it is the default.",
        ge=2,
        smoke=3,
        at_most="base_seeds",
    )
    seeds: Count = key(
        12,
        "Ensembles of each method, at most: no two share a seed, so there are as many as the seeds allow.",
        smoke=2,
    )
    sharpness_radius: PositiveNumber = key(0.05, "Radius of sharpness-aware minimisation.")
    last_fraction: Fraction = key(
        0.25,
        "Last fraction of the budget, in which weight averaging has a constant rate, and in which the members' cycles "
        "of fast geometric ensembling lie. Before, the rate follows `training.schedule`.",
    )
    high_rate: PositiveNumber = key(
        0.5,
        "Constant rate of weight averaging, and highest rate of those cycles, as a fraction of "
        "`training.learning_rate`.",
    )
    low_rate: PositiveNumber = key(0.01, "Lowest rate of those cycles, as such a fraction; at most `high_rate`.")
    tunnel_fraction: Fraction = key(
        0.5,
        "Angle at which samples of a tunnel are drawn, as a fraction of the tunnel's angular width along each ray.",
    )
    bins: Count = key(15, "Bins of confidence for the calibration error.", smoke=5)


MEMORY = 4000  # MB
MINUTES = 120

SUBSETS = 10  # of the members, for each size of an ensemble; all of them, if there are fewer
PLACES = 19  # positions on a ray and on a curve
BEYOND = 1.5  # where a ray is left, in units of its angular width

ALIKE = {
    "disagreement": ("fraction of test examples on which two networks predict different classes", "1"),
    "jensen_shannon": ("mean Jensen-Shannon divergence of two networks' predictions, test split", "nat"),
    "probability_cosine": ("mean cosine of two networks' predicted probabilities, test split", "1"),
    "weight_cosine": ("cosine of the angle between two networks' weights, seen from the origin", "1"),
    "weight_distance": ("Euclidean distance between two networks' weights", "weights"),
}
BY_SPLIT, MATRIX, ON_PATH = ("ensemble", "seed", "split"), ("network", "other"), ("path", "seed", "place")
AVERAGES = {
    "members_loss": Variable(BY_SPLIT, "mean cross-entropy, mean over the members", "nat"),
    "average_loss": Variable(BY_SPLIT, "mean cross-entropy at the average of the members' weights", "nat"),
    "members_accuracy": Variable(BY_SPLIT, "accuracy, mean over the members", "1"),
    "average_accuracy": Variable(BY_SPLIT, "accuracy at the average of the members' weights", "1"),
    "barrier": Variable(BY_SPLIT, "largest barrier on the straight lines between all pairs of members", "nat"),
}
BY_GROUP = (
    {
        name: Variable(("ensemble", "seed", "size"), f"{text}, test split, mean over subsets of the members", units)
        for name, (text, units) in SCORES.items()
    }
    | {
        name: Variable(("ensemble", "seed"), f"{text}, mean over pairs of members", units)
        for name, (text, units) in ALIKE.items()
    }
    | AVERAGES
)
OF_EXAMPLES = ("disagrees", "example_nll")
METHODS = (
    BY_GROUP
    | {
        f"{name}_matrix": Variable(MATRIX, f"{text}, all members of all methods in the first group", units)
        for name, (text, units) in ALIKE.items()
    }
    | {
        "disagrees": Variable(
            ("ensemble", "seed", "example"), "share of pairs of members that predict different classes", "1"
        ),
        "example_nll": Variable(
            ("ensemble", "seed", "example"), "negative log-likelihood by all members together, test split", "nat"
        ),
        "members": Variable(("seed", "member"), "seeds of a group's independent solutions; the first leads the group"),
        "epochs": Variable(("ensemble",), "epochs of gradients that a group has cost", "epoch"),
        "group_diverged": Variable(("ensemble", "seed"), "a run of the group diverged"),
        "tunnel_width": Variable(
            ("seed", "sample"), "angular width of the tunnel around `longer` along each sample's ray", "radian"
        ),
    }
)
PATHS = {
    "disagreement": Variable(
        ON_PATH, "fraction of test examples on which the class differs from that at the path's start", "1"
    ),
    "jensen_shannon": Variable(
        ON_PATH, "mean Jensen-Shannon divergence from the predictions at the path's start, test split", "nat"
    ),
    "probability_cosine": Variable(
        ON_PATH, "mean cosine of predicted probabilities with those at the path's start, test split", "1"
    ),
    "weight_angle": Variable(
        ON_PATH, "angle between the weights and those at the path's start, seen from the origin", "radian"
    ),
    "weight_distance": Variable(ON_PATH, "Euclidean distance to the path's start", "weights"),
    "loss": Variable(ON_PATH, "mean cross-entropy, test split", "nat"),
    "accuracy": Variable(ON_PATH, "accuracy, test split", "1"),
}
ALONG = Variable(
    ("path", "place"),
    "position on the path: fraction of the tunnel's angular width, t of the connector, epochs before the end of the "
    "trajectory",
    "1",
)
VARIABLES = {"methods": METHODS, "paths": PATHS | {"along": ALONG}}


# Scores


def draw_subsets(members: int, size: int) -> list[tuple[int, ...]]:
    """Return all subsets of a size; if there are more than `SUBSETS`, so many random ones."""
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
    """Return the mean of a symmetric matrix (K, K) over all pairs of different members; nan if there is none."""
    rows, columns = torch.triu_indices(*matrix.shape, offset=1)
    return float(matrix[rows, columns].mean())


def disagreeing_pairs(probabilities: Tensor) -> np.ndarray:
    """Return for each example the share (N,) of pairs of members (M, N, C) that predict different classes."""
    classes = probabilities.argmax(2).cpu().numpy()
    pairs = itertools.combinations(range(len(classes)), 2)
    return np.mean([classes[one] != classes[other] for one, other in pairs], axis=0)


def example_nll(probabilities: Tensor, labels: Tensor) -> np.ndarray:
    """Return -ln p of the label of each example (N,), from probabilities (N, C); finite, as `scores.score` has it."""
    probabilities = probabilities.cpu().double()
    probabilities = probabilities / probabilities.sum(1, keepdim=True)
    smallest = torch.finfo(torch.float64).eps
    return -probabilities.gather(1, labels.cpu()[:, None])[:, 0].clamp_min(smallest).log().numpy()


def measure_methods(
    landscape: Landscape, found: dict[str, Found], seeds: Sequence[int], bins: int, points: int
) -> xr.Dataset:
    """Measure the ensembles of each method and group, how alike their members are, and their weight averages.

    Args:
        landscape: that also predicts and evaluates accuracy.
        found: method -> what it found from each of G starts.
        seeds: G, of the starts.
        bins: of the calibration error.
        points: on the straight line between two members, ends included.

    Returns:
        Scores over (ensemble, seed, size), similarities over (ensemble, seed), averages and barriers over
        (ensemble, seed, split), and `OF_EXAMPLES`. They are nan if a method yields one network, and in groups of which
        a run diverged.
        Matrices over (network, other) hold all members of all methods in the first group.
    """
    methods, counts = list(found), [one.members.shape[1] for one in found.values()]
    sizes = {"ensemble": len(methods), "seed": len(seeds), "size": max(counts), "split": len(SPLITS)}
    sizes["example"] = len(landscape.splits["test"][1])
    kept = BY_GROUP | {name: METHODS[name] for name in OF_EXAMPLES}
    values = {
        name: np.full([sizes[dim] for dim in variable.dims], np.nan, np.float32 if name in OF_EXAMPLES else float)
        for name, variable in kept.items()
    }
    diverged = np.zeros((len(methods), len(seeds)), dtype=bool)
    for index, one in enumerate(found.values()):
        for group in range(len(seeds)):
            points_of = torch.cat([one.members[group], one.averaged[group]])
            diverged[index, group] = not bool(points_of.isfinite().all())
            seen = {} if diverged[index, group] else _measure_group(landscape, one, group, bins, points)
            for name, value in seen.items():
                values[name][(index, group, *([slice(len(value))] if np.ndim(value) else []))] = value
    networks = torch.cat([one.members[0] for one in found.values()])
    predicted = landscape.predictions(networks, "test")
    for name, compare in COMPARISONS.items():
        values[f"{name}_matrix"] = compare(predicted if name in FUNCTIONS else networks)
    values |= {"epochs": [one.epochs for one in found.values()], "group_diverged": diverged}
    coordinates = {
        "ensemble": methods,
        "seed": list(seeds),
        "size": range(1, max(counts) + 1),
        "split": list(SPLITS),
        "network_ensemble": ("network", np.repeat(methods, counts)),
        "network_member": ("network", np.concatenate([np.arange(count) for count in counts])),
    }
    return labelled(METHODS, values, coordinates, {"bins": bins, "line_points": points, "subsets": SUBSETS})


def _measure_group(landscape: Landscape, one: Found, group: int, bins: int, points: int) -> dict:
    """Return `BY_GROUP` of one method and group, without similarities and averages if the method yields one network."""
    members, averaged = one.members[group], one.averaged[group]
    probabilities = landscape.predictions(members, "test")
    labels = landscape.splits["test"][1]
    values: dict = scores_by_size(probabilities, labels, bins)
    values["example_nll"] = example_nll(mixture(probabilities), labels)
    if len(averaged) > 1:
        predicted = probabilities if one.iterates is None else landscape.predictions(averaged, "test")
        for name, compare in COMPARISONS.items():
            values[name] = mean_over_pairs(compare(predicted if name in FUNCTIONS else averaged))
        values["disagrees"] = disagreeing_pairs(predicted)
        both = [weight_average(landscape, averaged, one.mean[group], points, split) for split in SPLITS]
        values |= {name: np.array([part[name] for part in both]) for name in AVERAGES}
    return values


def weight_average(landscape: Landscape, members: Tensor, average: Tensor, points: int, split: str) -> dict[str, float]:
    """Compare the average (P,) of members (M, P) with them; names as in `AVERAGES`."""
    alone, together = landscape.evaluate(members, split), landscape.evaluate(average[None], split)
    first, second = torch.triu_indices(len(members), len(members), offset=1)
    barriers = barrier_along(landscape, members[first], members[second], points, split)
    return {
        "members_loss": float(alone["loss"].mean()),
        "average_loss": float(together["loss"]),
        "members_accuracy": float(alone["score"].mean()),
        "average_accuracy": float(together["score"]),
        "barrier": float(barriers.max()),
    }


# Along paths


def measure_paths(
    landscape: Landscape, paths: dict[str, Tensor], along: dict[str, Sequence[float]], seeds: Sequence[int]
) -> xr.Dataset:
    """Measure how alike the networks on paths are to those at which the paths start, on the test split.

    Args:
        landscape: that also predicts and evaluates accuracy.
        paths: name -> points (G, S, P), each row from its start.
        along: name -> their positions (S,), in the path's own measure.
        seeds: G.

    Returns:
        A dataset over (path, seed, place); nan beyond the end of shorter paths.
    """
    longest = max(points.shape[1] for points in paths.values())
    shape = (len(paths), len(seeds), longest)
    values = {name: np.full(shape, np.nan) for name in PATHS}
    where = np.full((len(paths), longest), np.nan)
    for index, (path, points) in enumerate(paths.items()):
        count = points.shape[1]
        where[index, :count] = along[path]
        for group, way in enumerate(points):
            predicted = landscape.predictions(way, "test")
            found = {
                name: to_first(compare, predicted if name in FUNCTIONS else way)
                for name, compare in COMPARISONS.items()
            }
            found["weight_angle"] = found.pop("weight_cosine").arccos()
            seen = landscape.evaluate(way, "test")
            found |= {"loss": seen["loss"].cpu().double(), "accuracy": seen["score"].cpu().double()}
            for name, value in found.items():
                values[name][index, group, :count] = value
    coordinates = {"path": list(paths), "seed": list(seeds)}
    return labelled(VARIABLES["paths"], values | {"along": where}, coordinates)


def to_first(compare: Callable[[Tensor], Tensor], members: Tensor) -> Tensor:
    """Return the comparisons (K,) of members (K, …) with the first of them, by a function of `similarity`."""
    return torch.stack([compare(members[[0, k]])[0, 1] for k in range(len(members))])


# All of it


def measure(
    optima: Optima,
    everyone: AllOptima,
    methods: OptimaOfMethods,
    settings: Settings,
    tunnels: TunnelSettings,
    curves: CurveSettings,
    similarity: SimilaritySettings,
) -> dict[str, xr.Dataset]:
    """Compare methods at one budget, for each of the first seeds (our definition).

    - `longer`, `sam`, `swa`: single networks (`methods.at_equal_budget`).
    - `snapshots`, `fge`: M members each.
    - `tunnel`: M samples of the tunnel around `longer`.
    - `connector`: M positions, evenly in t, on a quadratic Bezier curve between the first two optima of the group. It
      is trained for what those leave of the budget, in whole steps.
    - `independent`: the M optima of the group.

    Args:
        optima: of the base setting, with their trajectories; their seeds lead groups.
        everyone: all networks of the base setting, for independent solutions. Runs that are no optima are in no group.
        methods: the networks of each method of the same name, over the seeds of the optima.
        settings: of the measurement.
        tunnels: where a tunnel ends.
        curves: how curves are trained.
        similarity: how many points on a straight line are searched for its barrier.

    Returns:
        The parts `methods` (`measure_methods`) and `paths` (`measure_paths`).

    Raises:
        InputError: if fewer runs than an ensemble has members did not diverge.
    """
    sound, landscape, count = everyone.fit(at_least=settings.members), optima.landscape, settings.members
    by_seed, epochs = sound.by_seed, gradient_epochs(optima.training["training"])
    leaders = [seed for seed in optima.seeds if seed in by_seed]
    groups = disjoint_groups(leaders, sound.seeds, count, settings.seeds)
    seeds = [group[0] for group in groups]
    independent = torch.stack([torch.stack([by_seed[seed] for seed in group]) for group in groups])
    base = optima.of_seeds(seeds)
    found = trained(methods, seeds)
    centres = found["longer"].members[:, 0]
    samples, widths = tunnel_samples(landscape, centres, seeds, count, settings.tunnel_fraction, tunnels)
    pairs = [group[:2] for group in groups]
    curve, cost, steps = budgeted_curves(landscape, independent[:, :2], pairs, (count - 2) * epochs, curves)
    found |= {
        "tunnel": Found(samples, found["longer"].epochs),
        "connector": Found(curve(torch.linspace(0, 1, count)), 2 * epochs + cost),
        "independent": Found(independent, count * epochs),
    }
    compared = measure_methods(landscape, found, seeds, settings.bins, similarity.points)
    compared = compared.assign_attrs(connector_steps=steps, tunnel_fraction=settings.tunnel_fraction)
    compared = compared.assign_attrs(chance_loss=optima.chance_loss)
    compared = compared.merge(labelled(METHODS, {"tunnel_width": widths, "members": groups}, {}))

    relative, t = torch.linspace(0, BEYOND, PLACES), torch.linspace(0, 1, PLACES)
    ray, angles = tangents(centres, 1, seeds)[:, 0], (relative * widths[:, :1]).to(centres)
    paths = {
        "tunnel": torch.stack([rotate(centres, ray, angle) for angle in angles.unbind(1)], 1),
        "connector": curve(t),
    }
    along: dict[str, Sequence[float]] = {"tunnel": relative.tolist(), "connector": t.tolist()}
    if (trajectories := base.trajectories) is not None:
        paths["trajectory"] = trajectories.flip(1)  # from its end backwards
        steps_back = (base.steps[-1] - np.array(base.steps))[::-1]
        along["trajectory"] = (base.training["training"]["epochs"] * steps_back / steps_back[-1]).tolist()
    parts = {"methods": compared, "paths": measure_paths(landscape, paths, along, seeds)}
    return {name: everyone.flagged(part) for name, part in parts.items()}


def work(case: Case, settings: Settings) -> Work:
    """Count all methods' predictions, scores, likeness and averages, and networks along paths."""
    config, model, members = case.study.config, case.model, settings.members
    groups = min(settings.seeds, case.seeds, case.all_seeds // members)
    training, points = config["training"], config["similarity"]["points"]
    single, several = 3, 5  # longer, sam, swa; snapshots, fge, tunnel, connector, independent
    averaged = several + 1  # and the iterates of swa
    networks = single + several * members
    scores = single + several * sum(len(draw_subsets(members, size)) for size in range(1, members + 1))
    snapshots = 0
    if training["snapshot_epochs"]:
        snapshots = len(range(0, training["epochs"], training["snapshot_epochs"])) + 1
    places = 2 * PLACES + snapshots
    lines = members + 1 + math.comb(members, 2) * points
    grid = coarse_angles()
    ray = len(grid) - 1 + halvings(float(grid[1]), math.radians(config["tunnels"]["angle_error"]))
    curves = CurveSettings(**config["curves"])
    steps, _cost = curve_steps(curves, case.data.examples["train"], (members - 2) * gradient_epochs(training))
    one = evaluations(model, averaged * lines) + evaluations(model, members * ray + 1, ["train"])
    one += evaluations(model, networks + members + 2 * places, ["test"])
    one += Work({Scoring(): scores, Comparison(model): averaged * math.comb(members, 2) + places})
    # `scores.score` imports packages that no other job needs; that takes as long as a start.
    together = Work({Comparison(model): math.comb(networks, 2), PlainPython(): 1})
    return times(groups, one) + together + Work({Step(model, groups * curves.samples, curves.batch_size): steps})


# Tables and verdicts


def groups_of(part: xr.Dataset) -> xr.Dataset:
    """Return a part over groups alone: runs at the base setting that are no optima are in no group."""
    return part.isel(seed=fit(part).values)


def tidy(methods: xr.Dataset) -> pd.DataFrame:
    """Return one row per (ensemble, seed, size): the scores of ensembles of that size, the budget and what diverged."""
    columns = (*SCORES, "epochs", "group_diverged")
    rows = as_rows(groups_of(methods)[list(columns)], ("ensemble", "seed", "size"), columns)
    rows = rows.rename(columns={"group_diverged": "diverged"})
    return rows[rows["accuracy"].notna() | (rows["diverged"] & (rows["size"] == 1))].reset_index(drop=True)


def complete(values: xr.DataArray) -> xr.DataArray:
    """Return the scores (…, size) -> (…) of all members together; of a single network, its own."""
    return values.isel(size=-1, drop=True).fillna(values.isel(size=0, drop=True))


def gain(values: xr.DataArray) -> xr.DataArray:
    """Return by how much losses (…, size) of all members together are below the members' mean; nan for one network."""
    return (values.isel(size=0, drop=True) - values.isel(size=-1, drop=True)).rename("gain")


def several(methods: xr.Dataset) -> xr.Dataset:
    """Return the groups of the methods that average something: the others yield one network."""
    return groups_of(methods).isel(ensemble=np.isfinite(methods["disagreement"]).any("seed").values)


def tidy_averages(methods: xr.Dataset) -> pd.DataFrame:
    """Return one row per (ensemble, seed) of methods with members: similarities, averages, barriers and gains.

    `nll_gain` is the members' mean negative log-likelihood minus the ensemble's, never negative; `accuracy_gain` is the
    ensemble's accuracy minus the members' mean.
    """
    store = several(methods)
    gains = xr.Dataset({"nll_gain": gain(store["nll"]), "accuracy_gain": -gain(store["accuracy"])})
    parts = [store[[*COMPARISONS, "group_diverged"]], gains]
    for split in SPLITS:
        part = store[list(AVERAGES)].sel(split=split, drop=True)
        parts.append(part.rename({name: f"{split}_{name}" for name in AVERAGES}))
    columns = [*COMPARISONS, *(f"{split}_{name}" for split in SPLITS for name in AVERAGES)]
    columns += ["nll_gain", "accuracy_gain", "group_diverged"]
    return as_rows(xr.merge(parts), ("ensemble", "seed"), columns).rename(columns={"group_diverged": "diverged"})


def tidy_paths(paths: xr.Dataset) -> pd.DataFrame:
    """Return one row per (path, seed, place): its position, and how far the network there is from the start's."""
    rows = as_rows(groups_of(paths), ("path", "seed", "place"), ("along", *PATHS))
    return rows[rows["along"].notna()].reset_index(drop=True)


def summarise(values: xr.DataArray, intervals: Intervals) -> np.ndarray:
    """Return (estimate, low, high) along a last axis (…, 3): means over seeds (…, seed) with their intervals."""
    rows = values.transpose(..., "seed").values
    flat = [intervals.mean(row) for row in rows.reshape(-1, rows.shape[-1])]
    return np.array([(one.estimate, one.low, one.high) for one in flat]).reshape(*rows.shape[:-1], 3)


SEQUENTIAL = ("snapshots", "fge", "tunnel", "connector")  # members of one training, or around one solution
ON_ONE_WAY = ("swa", "snapshots", "fge")  # of one training; samples of a tunnel lie around one point by construction
OF_CLASSES = True  # it compares predicted probabilities, or which labels are predicted

CLAIMS = (
    "diversity",
    "ensemble_nll",
    "gain_disagreement",
    "one_tunnel",
    "average",
)


def claims(ensembles: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate how methods of making ensembles differ, on groups of which no two share a seed.

    Differences from independent solutions are taken within groups, which begin at one seed: of the disagreement of
    pairs of members, and of the negative log-likelihood of the whole ensemble, over groups and test examples. Gain:
    each group's rank correlation over methods of (the ensemble's accuracy minus the members' mean) and disagreement;
    that of likelihood hardly can be otherwise, by Jensen's inequality, and stands beside. One tunnel: the largest
    barrier of the training loss between any two members, as a share of the way from the members' loss to chance; how
    far apart the members are is said beside, for those that do not move meet no barrier. Averages: log10 of the test
    loss at the average of the members' weights over the members' mean.
    """
    store = groups_of(ensembles["methods"])
    lost, members = int(store["group_diverged"].sum()), store["members"].values
    for method in SEQUENTIAL:
        names = {"method": method}
        differs, nll = (
            (store[name].sel(ensemble=method) - store[name].sel(ensemble="independent")).transpose("seed", "example")
            for name in OF_EXAMPLES
        )
        yield Claim("diversity", "difference of disagreement", intervals.examples(differs), names, lost)
        quantity = "difference of negative log-likelihood, nats"
        yield Claim("ensemble_nll", quantity, intervals.examples(nll), names, lost)
    alike = store["disagreement"].transpose("ensemble", "seed").values
    accuracy, likelihood = (
        intervals.correlation(values.transpose("ensemble", "seed").values, alike)
        for values in (-gain(store["accuracy"]), gain(store["nll"]))
    )
    other = {"gain in log-likelihood": likelihood}
    yield Claim(
        "gain_disagreement", "Spearman's rho over methods, of accuracy", accuracy, left_out=lost, specifications=other
    )
    heights = relative_barrier(store).sel(split="train")
    test = store.sel(split="test")
    ratios = np.log10(test["average_loss"] / test["members_loss"])
    angles = np.degrees(np.arccos(store["weight_cosine"])).mean("seed")
    for method in ON_ONE_WAY:
        names = {"method": method}
        apart, away = (float(angles.sel(ensemble=one)) for one in (method, "independent"))
        control = f"members are {apart:.1f} degrees apart, independent solutions {away:.0f}"
        found = intervals.sets(heights.sel(ensemble=method), members)
        quantity = "largest barrier between members, share of the way to chance"
        yield Claim("one_tunnel", quantity, found, names, lost, control=control)
        quantity = "log10(test loss, of the average / of the members)"
        yield Claim("average", quantity, intervals.sets(ratios.sel(ensemble=method), members), names, lost)


def relative_barrier(methods: xr.Dataset) -> xr.DataArray:
    """Return the largest barriers of groups as a share of the way from their members' mean loss to chance."""
    return (methods["barrier"] / (methods.attrs["chance_loss"] - methods["members_loss"])).rename("relative_barrier")
