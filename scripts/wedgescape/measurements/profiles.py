"""Long and short directions: profiles of the loss along rays from an optimum (docs/science.md, Profiles)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import SPLITS, Landscape, Slice
from wedgescape.landscapes.lines import barrier, interpolate, largest_rise
from wedgescape.landscapes.models import filter_normalised
from wedgescape.landscapes.operations import Case, Work, evaluations, hessian, times
from wedgescape.landscapes.spans import Span, gaussian, gram, unit
from wedgescape.measurements.connectors import neighbour_centres
from wedgescape.measurements.tunnels import keeps_loss, keeps_score
from wedgescape.numerics.counted import counted
from wedgescape.numerics.crossings import Crossing, first_crossing, halvings
from wedgescape.numerics.eigenpairs import Eigenpairs, hessian_eigenpairs
from wedgescape.numerics.intervals import Intervals, ends_of
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.places import AtBase, AtSetting
from wedgescape.study.sections import Count, Fraction, PositiveNumber, Section, key
from wedgescape.training.optima import TrainedOptima


class Settings(Section):
    """How long directions from optima are, in units of the optimum's norm, and the loss along them."""

    seeds: Count = key(12, "Number of optima to measure (the first N seeds).", smoke=3)
    random: Count = key(4, "Random directions per optimum, and as many filter-normalised ones.", smoke=1)
    hessian_top: int = key(
        3,
        "Hessian directions of the largest eigenvalues: some 10 products with the Hessian, and two more for each.",
        ge=0,
        smoke=1,
    )
    hessian_bottom: int = key(
        3,
        "Hessian directions of the most negative eigenvalues: some 100 products with the Hessian, and 15 for each.",
        ge=0,
        smoke=1,
    )
    components: int = key(
        1,
        "Principal components of the trajectory with most variance, and with least; see `training.snapshot_epochs`.",
        ge=0,
    )
    reach: PositiveNumber = key(4.0, "Largest length.")
    points: int = key(
        18, "Lengths at which a profile is evaluated on either side, a constant factor apart.", ge=5, smoke=6
    )
    line_points: int = key(
        41,
        "Points on the straight lines from initialisation to optimum and between optima, ends included.",
        ge=5,
        smoke=7,
    )
    score_fraction: Fraction = key(
        0.9, "A direction ends where the training score falls below this fraction of the optimum's."
    )
    loss_fraction: Fraction = key(
        0.25,
        "By the second definition, it ends where the training loss has risen by this fraction of the way from the "
        "optimum's to chance, ln of the number of classes.",
    )
    length_error: Fraction = key(0.01, "Largest error of a direction's length, relative to it.", smoke=0.1)


MINUTES = 120
SPAN = 512.0  # the largest length of a profile over the smallest: Hessian directions are short, the radial one is long
SIGNS = (1, -1)

# What a kind of direction is called; with two names, its two sides are two different things.
KINDS = {
    "random": ("random",),
    "filter": ("filter-normalised random",),
    "radial": ("radial, outwards", "radial, inwards"),
    "hessian_top": ("top Hessian",),
    "hessian_bottom": ("bottom Hessian",),
    "init": ("to the initialisation", "away from the initialisation"),
    "optimum": ("to another optimum", "away from another optimum"),
    "trajectory_top": ("trajectory's top, onwards", "trajectory's top, backwards"),
    "trajectory_bottom": ("trajectory's bottom",),
    "connector": ("to a connector's centre", "away from a connector's centre"),
}


def kind_of(name: str) -> str:
    """Return the kind of a direction: its name without the number."""
    return name.rstrip("0123456789").rstrip("_")


# Which directions there are.


def random_directions(optima: Tensor, seeds: Sequence[int], count: int, layout: list[dict] | None) -> dict[str, Tensor]:
    """Return `count` isotropic random directions of each seed, and as many filter-normalised ones from other draws.

    Args:
        optima: (K, P).
        seeds: K numbers that draw.
        count: of each kind.
        layout: of the flat vector (`models.layout`); None where a point has no filters.
    """
    found = {}
    for kind in ("random", "filter") if layout else ("random",):
        draws = torch.stack([gaussian(count, optima.shape[1], f"{kind} profiles", seed) for seed in seeds]).to(optima)
        if kind == "filter":
            draws = filter_normalised(draws, optima[:, None], layout)
        found |= {f"{kind}_{number + 1}": unit(draws[:, number]) for number in range(count)}
    return found


def trajectory_components(trajectories: Tensor, optima: Tensor, count: int) -> dict[str, Tensor]:
    """Return the principal components of trajectories with most and with least of the variance (our definition).

    Of the S points of a trajectory, their mean taken away: there are S - 1 components, and no more than half of them
    are taken from either end. Each points to the side of the optimum.

    Args:
        trajectories: (K, S, P), the first and the last step among them.
        optima: (K, P).
        count: from each end.
    """
    count = min(count, (trajectories.shape[1] - 1) // 2)
    centres = trajectories.double().mean(1, keepdim=True)
    found: dict[str, list[Tensor]] = {}
    for points, centre, optimum in zip(trajectories.double(), centres, optima.double(), strict=True):
        ways = torch.linalg.svd(points - centre, full_matrices=False)[2][:-1]  # the last one has no variance at all
        ways = ways * torch.where(ways @ (optimum - centre[0]) < 0, -1.0, 1.0)[:, None]
        for number in range(count):
            found.setdefault(f"trajectory_top_{number + 1}", []).append(ways[number])
            found.setdefault(f"trajectory_bottom_{number + 1}", []).append(ways[-1 - number])
    return {name: unit(torch.stack(rows)).to(optima) for name, rows in found.items()}


def hessian_directions(spectra: Sequence[Eigenpairs], optima: Tensor) -> dict[str, Tensor]:
    """Return the eigenvectors at both ends of the Hessian's spectrum at each optimum, as directions (K, P)."""
    found = {}
    for end in ("top", "bottom"):
        vectors = torch.stack([getattr(spectrum, f"{end}_vectors") for spectrum in spectra]).to(optima)
        found |= {f"hessian_{end}_{number + 1}": unit(vectors[:, number]) for number in range(vectors.shape[1])}
    return found


# What lies along them.


def profile(landscape: Landscape, point: Tensor, directions: Tensor, lengths: Tensor, split: str = "train") -> dict:
    """Evaluate a landscape at point + length * direction.

    Args:
        landscape: in R^P.
        point: (P,).
        directions: (D, P), unit vectors.
        lengths: (T,), signed; 0 is the point itself.
        split: of the examples.

    Returns:
        name -> (D, T), as `Landscape.evaluate` names them.
    """
    star = Slice(landscape, point, Span(directions))
    ways = torch.eye(len(directions)).to(point)
    coordinates = (lengths.to(point)[None, :, None] * ways[:, None]).flatten(0, 1)  # (D * T, D)
    return {name: value.reshape(len(ways), -1) for name, value in star.evaluate(coordinates, split).items()}


def lengths_inside(
    landscape: Landscape,
    point: Tensor,
    directions: Tensor,
    inside: Callable[[dict[str, Tensor], dict[str, Tensor]], Tensor],
    grid: Tensor,
    halve: int,
    on_grid: Tensor | None = None,
) -> Crossing:
    """Measure how far one can go from a point, along directions and against them (our definition).

    The smallest length at which `inside` no longer holds on the training split, bracketed on a grid and bisected
    (`crossings.first_crossing`, as tunnels are).

    Args:
        landscape: in R^P.
        point: (P,).
        directions: (D, P), unit vectors.
        inside: (values at points, values at the point), each as `Landscape.evaluate` returns them, -> (n,) bool.
        grid: G lengths, rising from 0.
        halve: how often a bracket is halved.
        on_grid: (2 D, G - 1) bool, what is known already.

    Returns:
        A `Crossing` over 2 D rays: each direction forwards, then backwards; 0 where the point itself is outside.
    """
    star, reference = Slice(landscape, point, Span(directions)), landscape.evaluate(point[None])

    def holds(which: Tensor, lengths: Tensor) -> Tensor:
        coordinates = torch.zeros(len(which), len(directions), dtype=torch.float64)
        coordinates[torch.arange(len(which)), which // 2] = torch.where(which % 2 == 0, lengths, -lengths)
        return inside(star.evaluate(coordinates.to(point)), reference)

    crossing = first_crossing(holds, grid, 2 * len(directions), halve, on_grid)
    if not bool(inside(reference, reference)):  # outside itself, a point goes nowhere, as such an optimum has no tunnel
        nowhere = torch.zeros_like(crossing.place)
        return Crossing(nowhere, nowhere, torch.zeros_like(crossing.open))
    return crossing


def relative_lengths(reach: float, points: int) -> Tensor:
    """Return 0 and `points` lengths (float64) that rise by a constant factor to the reach, over the range `SPAN`."""
    return torch.cat([torch.zeros(1), torch.logspace(0, 1, points, SPAN)]).double() * (reach / SPAN)


RULES = ("score", "loss")  # by which a direction's length is judged
UNITS = {"loss": "nat", "score": "1"}
OF_RAYS, SPECTRUM = ("direction", "seed", "sign"), ("seed", "end", "rank")
LENGTHS = {  # what is measured of a ray by each rule, and its unit
    "length": ("length at which a ray ends, over the norm", "1"),
    "error": ("half of the bracket of that length, over the norm", "1"),
    "open": ("rays that do not end up to the reach", None),
}
LINES = {"init": ("seed", "from the initialisation to the optimum"), "pair": ("pair", "from an optimum to the next")}
VARIABLES = {
    **{
        name: Variable(("direction", "seed", "split", "step"), f"{name} along a ray", unit)
        for name, unit in UNITS.items()
    },
    **{
        f"{name}_{rule}": Variable(OF_RAYS, f"{text}, by the {rule} threshold on the training split", unit)
        for rule in RULES
        for name, (text, unit) in LENGTHS.items()
    },
    "members": Variable(("pair", "end_of_line"), "the seeds of the optima that a line joins"),
    "radius": Variable(("seed",), "Euclidean norm of the optimum", "weights"),
    "target": Variable(
        ("direction", "seed"),
        "distance to what a direction leads to, over the optimum's norm; nan where it leads to nothing",
        "1",
    ),
    "norm": Variable(("direction", "seed"), "length of a direction: 1", "1"),
    "gram": Variable(("seed", "direction", "direction_"), "inner products of the directions of a seed", "1"),
    "eigenvalue": Variable(SPECTRUM, "eigenvalues of the Hessian, from either end inwards", "nat/weight^2"),
    "residual": Variable(SPECTRUM, "Euclidean norm of H v - lambda v", "nat/weight^2"),
    **{
        f"{line}_{name}": Variable((dim, "split", "alpha"), f"{name} on the line {text}", unit)
        for line, (dim, text) in LINES.items()
        for name, unit in UNITS.items()
    },
    "loss_threshold": Variable(("seed",), "training loss above which a direction ends, by the loss threshold", "nat"),
    **{
        f"{line}_{name}": Variable((dim, "split"), f"largest {meaning} on the line {text}", "nat")
        for line, (dim, text) in LINES.items()
        for name, meaning in {"rise": "rise of the loss", "barrier": "excess of the loss over the chord"}.items()
    },
}


def measure(optima: TrainedOptima, connectors: AtSetting, settings: Settings = Settings()) -> xr.Dataset:
    """Measure profiles and lengths of directions from optima, and straight lines between weight vectors.

    Directions: random ones, the radial one, both ends of the Hessian's spectrum, and where there are such things:
    filter-normalised random ones, both ends of a trajectory's components, those to the initialisation, to the next
    seed's optimum and to a connector's centre. Lengths are in units of the optimum's norm.

    Args:
        optima: of one setting; the first `settings.seeds` are measured. Each seed draws its own random directions.
        connectors: of the same optima, for the centre of the connector of each with the next two.
        settings: of the measurement.

    Returns:
        A dataset over (direction, seed, …). The values of runs that diverged are nan.

    Raises:
        InputError: if all runs diverged.
    """
    first = optima.first(settings.seeds)
    sound = first.sound()
    landscape, points, starts, trajectories = sound.landscape, sound.points, sound.starts, sound.trajectories
    layout = sound.layout if "layout" in sound.weights.attrs else None  # a toy landscape has no filters
    found = random_directions(points, sound.seeds, settings.random, layout)
    found["radial"] = unit(points)
    spectra = []
    if settings.hessian_top + settings.hessian_bottom:
        spectra = [
            hessian_eigenpairs(landscape, point, settings.hessian_top, settings.hessian_bottom)
            for point in counted(points, "optimum")
        ]
        found |= hessian_directions(spectra, points)
    if trajectories is not None:
        found |= trajectory_components(trajectories, points, settings.components)
    ends = {"init": starts}
    if len(sound) > 1:
        ends |= {"optimum": points.roll(-1, 0), "connector": neighbour_centres(connectors, sound)}
    found |= {name: unit(end - points) for name, end in ends.items()}

    names, directions = list(found), torch.stack(list(found.values()), 1)  # (K, D, P)
    radius = points.norm(dim=1)
    distance = {name: (end - points).norm(dim=1) / radius for name, end in ends.items()}
    missing = torch.full_like(radius, torch.nan)
    grid = relative_lengths(settings.reach, settings.points)
    t = torch.linspace(0, 1, settings.line_points, dtype=torch.float64)
    sided = grid.numpy()
    coordinates = {
        "direction": names,
        "kind": ("direction", [kind_of(name) for name in names]),
        "seed": sound.seeds,
        "split": list(SPLITS),
        "t": described(("step",), np.concatenate([-sided[:0:-1], sided]), "signed length over the optimum's norm", "1"),
        "sign": list(SIGNS),
        "alpha": described(("alpha",), t, "part of the way along a straight line", "1"),
    }
    limits = loss_thresholds(landscape.losses(points), optima.chance_loss, settings.loss_fraction)
    values = {
        **_profiles(landscape, points, directions, radius, grid, limits, settings),
        "loss_threshold": limits.cpu(),
        "radius": radius.cpu(),
        "target": torch.stack([distance.get(name, missing) for name in names]).cpu(),
        "norm": directions.double().norm(dim=2).T.cpu(),
        "gram": torch.stack([gram(ways) for ways in directions]).cpu(),
        **_lines(landscape, starts, points, t, "init"),
    }
    if spectra:
        values |= _spectrum(spectra)
        text = "of the spectrum of the Hessian of the training loss"
        coordinates["end"] = described(("end",), ["top", "bottom"], text)
    if len(sound) > 1:
        values |= _lines(landscape, points, ends["optimum"], t, "pair")
        values["members"] = np.stack([sound.seeds, np.roll(sound.seeds, -1)], 1)
        coordinates["pair"] = [f"{one}-{other}" for one, other in values["members"]]
    attributes = {
        "reach": settings.reach,
        "chance_loss": optima.chance_loss,
        "score_fraction": settings.score_fraction,
        "loss_fraction": settings.loss_fraction,
        "directions": "profiles.measure regenerates them from the weights, the seeds and the settings",
    }
    return first.flagged(labelled(VARIABLES, values, coordinates, attributes))


def loss_thresholds(losses: Tensor, chance: float, fraction: float) -> Tensor:
    """Return the losses (K,) that lie a fraction of the way from those of optima (K,) to chance; both in nats.

    A landscape without classes has no chance level (nan); there the way is 1.
    """
    way = chance - losses if math.isfinite(chance) else torch.ones_like(losses)
    return losses + fraction * way


def _profiles(
    landscape: Landscape,
    optima: Tensor,
    directions: Tensor,
    radius: Tensor,
    grid: Tensor,
    limits: Tensor,
    settings: Settings,
) -> dict[str, Tensor]:
    """Return profiles over (direction, seed, split, step) and by each rule lengths over (direction, seed, sign)."""
    steps = torch.cat([-grid.flip(0)[:-1], grid])
    halve = halvings(float(grid[2] / grid[1]) - 1, settings.length_error)
    values: dict[str, list[Tensor]] = {}
    for point, ways, norm, limit in zip(optima, directions, radius.double().cpu(), limits.tolist(), strict=True):
        rules = {"score": keeps_score(settings.score_fraction), "loss": keeps_loss(limit)}
        on_steps = {split: profile(landscape, point, ways, steps * norm, split) for split in SPLITS}
        for name in on_steps["train"]:
            values.setdefault(name, []).append(torch.stack([on_steps[split][name].cpu() for split in SPLITS], 1))
        reference = landscape.evaluate(point[None])
        for rule, inside in rules.items():
            if rule not in reference:  # a toy model has no score
                continue
            within = inside(on_steps["train"], reference)
            middle = len(grid) - 1
            sides = torch.stack([within[:, middle + 1 :], within[:, :middle].flip(1)], 1).flatten(0, 1)
            crossing = lengths_inside(landscape, point, ways, inside, grid * norm, halve, sides)
            parts = {"length": crossing.place / norm, "error": crossing.error / norm, "open": crossing.open}
            for part, found in parts.items():
                values.setdefault(f"{part}_{rule}", []).append(found.reshape(-1, len(SIGNS)))
    return {name: torch.stack(rows, 1) for name, rows in values.items()}


def _spectrum(spectra: Sequence[Eigenpairs]) -> dict[str, np.ndarray]:
    """Return eigenvalues and residuals over (seed, end, rank); nan where one end has fewer."""
    ends = ("top", "bottom")
    ranks = max(len(getattr(spectra[0], end)) for end in ends)
    found = {name: np.full((len(spectra), len(ends), ranks), np.nan) for name in ("eigenvalue", "residual")}
    for number, spectrum in enumerate(spectra):
        for column, end in enumerate(ends):
            count = len(getattr(spectrum, end))
            found["eigenvalue"][number, column, :count] = getattr(spectrum, end)
            found["residual"][number, column, :count] = getattr(spectrum, f"{end}_residuals")
    return found


def _lines(landscape: Landscape, starts: Tensor, ends: Tensor, t: Tensor, name: str) -> dict[str, np.ndarray]:
    """Return the values on lines over (n, split, alpha), their largest rises and their barriers."""
    seen = {split: interpolate(landscape, starts, ends, t, split) for split in SPLITS}
    values = {
        f"{name}_{value}": torch.stack([seen[split][value].cpu() for split in SPLITS], 1).numpy()
        for value in seen["train"]
    }
    losses = values[f"{name}_loss"]
    return values | {f"{name}_rise": largest_rise(losses), f"{name}_barrier": barrier(losses)}


def work(case: Case, settings: Settings) -> Work:
    """Count profiles along all directions, their lengths, straight lines, and the ends of the spectra."""
    count = min(settings.seeds, case.seeds)
    directions = 2 * settings.random + settings.hessian_top + settings.hessian_bottom + 2  # radial, initialisation
    directions += 2 if count > 1 else 0  # another optimum, a connector
    training = case.study.config["training"]
    if training["snapshot_epochs"]:
        snapshots = len(range(0, training["epochs"], training["snapshot_epochs"])) + 1
        directions += 2 * min(settings.components, (snapshots - 1) // 2)
    grid = relative_lengths(settings.reach, settings.points)
    halve = halvings(float(grid[2] / grid[1]) - 1, settings.length_error)
    total = evaluations(case.model, count * directions * (2 * len(grid) - 1))
    total += evaluations(case.model, count * (4 + 2 * 2 * directions * halve), ["train"])
    total += evaluations(case.model, count * settings.line_points * (2 if count > 1 else 1))
    if settings.hessian_top + settings.hessian_bottom:
        total += times(count, hessian(case, settings.hessian_top, settings.hessian_bottom))
    return total


RISE = 0.005  # of the way to chance: what counts as no rise
CLAIMS = (
    "long_radial_outwards",
    "long_radial_inwards",
    "linear_barrier",
    "monotonic_interpolation",
)


def claims(profiles: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate how long the radial direction is, how high barriers on straight lines are, how often none is met.

    Radial, outwards and inwards apart: log10 of (length of the radial direction) / (geometric mean length of
    random ones), by the score threshold. A ray that does not end within the reach is longer: with it, the ratio is a
    bound. Barriers of the training loss, over pairs of seeds, as a share of the way from the ends' loss to chance.
    Monotonic: the share of seeds whose training loss nowhere rises from the initialisation to the optimum, but for
    `RISE` of that way.
    """
    lost, store = left_out(profiles), sound_seeds(profiles)
    table = by_kind(store)
    logs, opened = (table.pivot_table(name, "seed", "name") for name in ("log_length", "open"))
    random = KINDS["random"][0]
    for name, side in zip(KINDS["radial"], ("outwards", "inwards"), strict=True):
        ratio = (logs[name] - logs[random]).to_numpy() / np.log(10)
        found = intervals.bounds(ratio, np.where(opened[name] > 0, 1, 0))
        if (opened[random] > 0).any():  # random ones are longer than was seen, so that the ratio may be lower
            found = replace(found, low=-np.inf)
        quantity = "log10(length of the radial direction / of random ones)"
        yield Claim(f"long_radial_{side}", quantity, found, left_out=lost)
    if "pair_barrier" in store:
        height = relative_height(store, "pair", "barrier")
        kept = pd.Index(store["seed"].values)
        inside = [all(seed in kept for seed in pair) for pair in store["members"].values]
        found = intervals.pairs(np.where(inside, height, np.nan), store["members"].values)
        yield Claim("linear_barrier", "barrier of the training loss, share of the way to chance", found, left_out=lost)
    rises = relative_height(store, "init", "rise")
    found = intervals.share(int((rises <= RISE).sum()), len(rises))
    quantity = f"share of seeds that rise by at most {RISE:.1%} of the way to chance"
    yield Claim("monotonic_interpolation", quantity, found, left_out=lost)


def relative_height(store: xr.Dataset, line: str, name: str) -> np.ndarray:
    """Return barriers or rises (n,) of the training loss on lines, over the way from their optima's loss to chance.

    Args:
        store: of `measure`, without seeds that are no optima.
        line: one of `LINES`.
        name: `barrier` or `rise`.
    """
    losses = store[f"{line}_loss"].sel(split="train")
    ends = losses.isel(alpha=[-1] if line == "init" else [0, -1]).mean("alpha")
    return (store[f"{line}_{name}"].sel(split="train") / (store.attrs["chance_loss"] - ends)).values


def sound_seeds(profiles: xr.Dataset) -> xr.Dataset:
    """Return a store without the seeds that are no optima."""
    return profiles.isel(seed=fit(profiles).values)


def by_kind(profiles: xr.Dataset, rule: str = "score") -> pd.DataFrame:
    """Return one row per (kind, seed), sides apart where they differ: the length of directions of a kind.

    `log_length` is the mean of the logarithms of relative lengths over directions and sides; a ray that does not end
    counts with the reach, so that the mean is then a lower bound. `open` is the fraction of such rays. Seeds that
    diverged have no row.
    """
    rows = []
    for kind, part in sound_seeds(profiles).groupby("kind"):
        names = KINDS[kind]
        sides = [part.sel(sign=[sign]) for sign in SIGNS] if len(names) == 2 else [part]
        for name, side in zip(names, sides, strict=True):
            with np.errstate(divide="ignore"):  # of a length of 0, where an optimum is outside by its own threshold
                logs = np.log(side[f"length_{rule}"]).mean(("direction", "sign")).values
            opened = side[f"open_{rule}"].mean(("direction", "sign")).values
            rows += [
                {"kind": kind, "name": name, "seed": seed, "log_length": log, "open": part_open}
                for seed, log, part_open in zip(side["seed"].values, logs, opened, strict=True)
            ]
    return pd.DataFrame(rows)


def summarise(table: pd.DataFrame, intervals: Intervals) -> pd.DataFrame:
    """Return one row per kind, longest first: the geometric mean of relative lengths over seeds, with its interval.

    Where a ray does not end within the reach, the mean is a lower bound and its interval has no upper end.
    """
    rows = []
    for (kind, name), group in table.groupby(["kind", "name"], sort=False):
        found = intervals.bounds(group["log_length"], np.where(group["open"] > 0, 1, 0))
        ends = {end: float(np.exp(value)) for end, value in ends_of(found).items()}
        rows.append({"kind": kind, "name": name, **ends, "open": group["open"].mean(), "seeds": found.units})
    return pd.DataFrame(rows).sort_values("estimate", ascending=False, kind="stable", ignore_index=True)
