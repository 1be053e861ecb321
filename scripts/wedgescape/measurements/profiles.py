"""Long and short directions: profiles of the loss along rays from an optimum (science, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import SPLITS, Landscape, Slice
from wedgescape.landscapes.lines import barrier, interpolate, largest_rise
from wedgescape.landscapes.models import filter_normalised
from wedgescape.landscapes.spans import Span, gaussian, gram, unit
from wedgescape.measurements.connectors import find_centres
from wedgescape.measurements.tunnels import keeps_accuracy, keeps_loss
from wedgescape.numerics.crossings import Crossing, first_crossing, halvings
from wedgescape.numerics.eigenpairs import Eigenpairs, hessian_eigenpairs
from wedgescape.numerics.intervals import bootstrap_mean
from wedgescape.stores.zarr_stores import as_rows, described
from wedgescape.training.descent import Recipe

SPAN = 512.0  # the largest length of a profile over the smallest: Hessian directions are short, the radial one is long
CONNECTED = 3  # optima that a connector joins whose centre is looked at; two, where there are no more
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


def neighbours(optima: Tensor, count: int) -> Tensor:
    """Return each optimum and the count - 1 that follow it in a circle: (K, P) -> (K, count, P)."""
    return torch.stack([optima.roll(-shift, 0) for shift in range(count)], 1)


def connector_centres(
    landscape: Landscape, optima: Tensor, recipe: Recipe, steps: int, seeds: Sequence[int]
) -> Tensor | None:
    """Return for each optimum the centre (K, P) of a connector of it and the two that follow; None for one optimum."""
    joined = min(CONNECTED, len(optima))
    if joined < 2:
        return None
    return find_centres(landscape, neighbours(optima, joined), recipe, steps, seeds).points


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


def measure(
    landscape: Landscape,
    optima: Tensor,
    seeds: Sequence[int],
    random: int,
    hessian_top: int,
    hessian_bottom: int,
    components: int,
    reach: float,
    points: int,
    line_points: int,
    accuracy_fraction: float,
    loss_threshold: float,
    length_error: float,
    layout: list[dict] | None = None,
    starts: Tensor | None = None,
    trajectories: Tensor | None = None,
    centres: Tensor | None = None,
) -> xr.Dataset:
    """Measure profiles, and how long directions are, from optima of a landscape; all lengths in units of the norm.

    Args:
        landscape: a network's or a toy one.
        optima: (K, P), finite.
        seeds: K seeds; each draws its own random directions.
        random: random directions an optimum, and as many filter-normalised ones.
        hessian_top: Hessian directions of the largest eigenvalues, 0 for none.
        hessian_bottom: of the smallest (most negative) ones, 0 for none.
        components: principal components of the trajectory from either end.
        reach: the largest length.
        points: lengths of a profile to either side, a constant factor apart.
        line_points: points on a straight line between two weight vectors, ends included.
        accuracy_fraction: of the optimum's training accuracy: where it falls below, a direction ends.
        loss_threshold: by the second definition, where the training loss rises above it, nats for networks.
        length_error: of a length, relative to it.
        layout: of the flat vector (`models.layout`), where there are filters.
        starts: (K, P), the initialisations, where there are any.
        trajectories: (K, S, P), where they were kept.
        centres: (K, P), of a connector of each optimum with others (`connector_centres`).

    Returns:
        A dataset; `tidy` makes its table.
    """
    found = random_directions(optima, seeds, random, layout) | {"radial": unit(optima)}
    spectra = []
    if hessian_top + hessian_bottom:
        spectra = [hessian_eigenpairs(landscape, point, hessian_top, hessian_bottom) for point in optima]
        found |= hessian_directions(spectra, optima)
    if trajectories is not None:
        found |= trajectory_components(trajectories, optima, components)
    others = neighbours(optima, 2)[:, 1] if len(optima) > 1 else None
    ends = {"init": starts, "optimum": others, "connector": centres}
    ends = {name: end for name, end in ends.items() if end is not None}
    found |= {name: unit(end - optima) for name, end in ends.items()}

    names, directions = list(found), torch.stack(list(found.values()), 1)  # (K, D, P)
    radius = optima.norm(dim=1)
    rules = {"accuracy": keeps_accuracy(accuracy_fraction), "loss": keeps_loss(loss_threshold)}
    grid = relative_lengths(reach, points)
    variables = _profiles(landscape, optima, directions, radius, grid, length_error, rules)
    distance = {name: (end - optima).norm(dim=1) / radius for name, end in ends.items()}
    missing = torch.full_like(radius, torch.nan)
    target = torch.stack([distance.get(name, missing) for name in names])
    text = "distance to what a direction leads to, over the optimum's norm; nan where it leads to nothing"
    variables |= {
        "radius": described(("seed",), radius.cpu(), "Euclidean norm of the optimum", "weights"),
        "target": described(("direction", "seed"), target.cpu(), text, "1"),
        "norm": described(("direction", "seed"), directions.double().norm(dim=2).T.cpu(), "length of a direction: 1"),
        "gram": described(
            ("seed", "direction", "direction_"), torch.stack([gram(ways) for ways in directions]).cpu(),
            "inner products of the directions of a seed",
        ),
    }  # fmt: skip
    if spectra:
        variables |= _spectrum(spectra)
    t = torch.linspace(0, 1, line_points, dtype=torch.float64)
    if starts is not None:
        variables |= _lines(landscape, starts, optima, t, "init", "seed", "from the initialisation to the optimum")
    if others is not None:
        variables |= _lines(landscape, optima, others, t, "pair", "pair", "from an optimum to the next")

    sided = grid.numpy()
    coordinates = {
        "direction": names,
        "kind": ("direction", [kind_of(name) for name in names]),
        "seed": list(seeds),
        "split": list(SPLITS),
        "t": described(("step",), np.concatenate([-sided[:0:-1], sided]), "signed length over the optimum's norm", "1"),
        "sign": list(SIGNS),
        "alpha": described(("alpha",), t, "part of the way along a straight line", "1"),
        "pair": [f"{first}-{second}" for first, second in zip(seeds, np.roll(seeds, -1), strict=True)],
    }
    if others is None:
        del coordinates["pair"]
    attributes = {
        "reach": reach,
        "accuracy_fraction": accuracy_fraction,
        "loss_threshold": loss_threshold,
        "directions": "profiles.measure regenerates them from the weights, the seeds and the settings",
        "diverged": 0,
    }
    return xr.Dataset(variables, coordinates, attributes)


def _profiles(
    landscape: Landscape, optima: Tensor, directions: Tensor, radius: Tensor, grid: Tensor, error: float, rules: dict
) -> dict[str, tuple]:
    """Return profiles over (direction, seed, split, step) and by each rule lengths over (direction, seed, sign)."""
    steps = torch.cat([-grid.flip(0)[:-1], grid])
    halve = halvings(float(grid[2] / grid[1]) - 1, error)
    values: dict[str, list[Tensor]] = {}
    crossings: dict[str, list[Crossing]] = {}
    for point, ways, norm in zip(optima, directions, radius.double().cpu(), strict=True):
        on_steps = {split: profile(landscape, point, ways, steps * norm, split) for split in SPLITS}
        for name in on_steps["train"]:
            values.setdefault(name, []).append(torch.stack([on_steps[split][name].cpu() for split in SPLITS], 1))
        reference = landscape.evaluate(point[None])
        for rule, inside in rules.items():
            if rule not in reference:  # a toy model has no accuracy
                continue
            within = inside(on_steps["train"], reference)
            middle = len(grid) - 1
            sides = torch.stack([within[:, middle + 1 :], within[:, :middle].flip(1)], 1).flatten(0, 1)
            crossing = lengths_inside(landscape, point, ways, inside, grid * norm, halve, sides)
            crossings.setdefault(rule, []).append(Crossing(crossing.place / norm, crossing.error / norm, crossing.open))
    units = {"loss": "nat", "accuracy": "1"}
    variables = {
        name: described(
            ("direction", "seed", "split", "step"), torch.stack(rows, 1), f"{name} along a ray", units[name]
        )
        for name, rows in values.items()
    }
    for rule, rows in crossings.items():
        for name, part, text, unit_of in (
            ("length", "place", "length at which a ray ends", "1"),
            ("error", "error", "half of the bracket of that length", "1"),
            ("open", "open", "rays that do not end up to the reach", None),
        ):
            found = torch.stack([getattr(row, part).reshape(-1, len(SIGNS)) for row in rows], 1)
            text = f"{text}, by the {rule} threshold on the training split" + (
                "" if unit_of is None else "; over the norm"
            )
            variables[f"{name}_{rule}"] = described(("direction", "seed", "sign"), found, text, unit_of)
    return variables


def _spectrum(spectra: Sequence[Eigenpairs]) -> dict[str, tuple]:
    """Return eigenvalues and residuals over (seed, end, rank); nan where one end has fewer."""
    ends, dims = ("top", "bottom"), ("seed", "end", "rank")
    ranks = max(len(getattr(spectra[0], end)) for end in ends)
    found = {"eigenvalue": np.full((len(spectra), 2, ranks), np.nan)}
    found["residual"] = found["eigenvalue"].copy()
    for row, spectrum in enumerate(spectra):
        for column, end in enumerate(ends):
            count = len(getattr(spectrum, end))
            found["eigenvalue"][row, column, :count] = getattr(spectrum, end)
            found["residual"][row, column, :count] = getattr(spectrum, f"{end}_residuals")
    return {
        "end": described(("end",), list(ends), "of the spectrum of the Hessian of the training loss"),
        "eigenvalue": described(dims, found["eigenvalue"], "eigenvalues, from either end inwards", "nat"),
        "residual": described(dims, found["residual"], "Euclidean norm of H v - lambda v", "nat"),
    }


def _lines(landscape: Landscape, starts: Tensor, ends: Tensor, t: Tensor, name: str, dim: str, text: str) -> dict:
    """Return the values on lines over (dim, split, alpha), their largest rises and their barriers."""
    found = {split: interpolate(landscape, starts, ends, t, split) for split in SPLITS}
    units = {"loss": "nat", "accuracy": "1"}
    variables = {}
    for value in found["train"]:
        rows = torch.stack([found[split][value].cpu() for split in SPLITS], 1)
        variables[f"{name}_{value}"] = described(
            (dim, "split", "alpha"), rows, f"{value} on the line {text}", units[value]
        )
    losses = variables[f"{name}_loss"][1]
    variables[f"{name}_rise"] = described(
        (dim, "split"), largest_rise(losses), f"largest rise of the loss on the line {text}", "nat"
    )
    variables[f"{name}_barrier"] = described(
        (dim, "split"), barrier(losses), f"largest excess of the loss over the chord on the line {text}", "nat"
    )
    return variables


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row an observation.

    `quantity` is `length` by the accuracy or loss threshold (one row a direction, seed and sign; in weights, and
    `relative` to the norm of the optimum), or the `rise` and `barrier` of a straight line from the initialisation
    (`init`) or between two optima (`pair`), in nats.
    """
    parts = []
    for rule in ("accuracy", "loss"):
        if f"length_{rule}" not in store:
            continue
        names = {f"{name}_{rule}": name for name in ("length", "error", "open")}
        part = store[[*names, "radius"]].rename(names)
        table = as_rows(part, ("direction", "seed", "sign"), ("kind", *names.values(), "radius"))
        table = table.assign(quantity=f"length_{rule}", value=table["length"] * table["radius"])
        parts.append(table.rename(columns={"length": "relative"}))
    for line, dim in (("init", "seed"), ("pair", "pair")):
        for name in ("rise", "barrier"):
            if f"{line}_{name}" in store:
                table = as_rows(store[f"{line}_{name}"].to_dataset(name="value"), (dim, "split"), ("value",))
                table = table.astype({dim: str}).rename(columns={dim: "seed"})
                parts.append(table.assign(quantity=name, kind=line))
    columns = ["quantity", "kind", "direction", "seed", "sign", "split", "value", "relative", "error", "open"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


def by_kind(store: xr.Dataset, rule: str = "accuracy") -> pd.DataFrame:
    """Return one row a (kind, seed), sides apart where they differ: the length of directions of a kind.

    `log_length` is the mean of the logarithms of relative lengths over directions and sides; a ray that does not end
    counts with the reach, so that the mean is then a lower bound. `open` is the fraction of such rays.
    """
    rows = []
    for kind, part in store.groupby("kind"):
        names = KINDS[kind]
        sides = [part.sel(sign=[sign]) for sign in SIGNS] if len(names) == 2 else [part]
        for name, side in zip(names, sides, strict=True):
            with np.errstate(divide="ignore"):  # of a length of 0, where an optimum is outside by its own threshold
                logs = np.log(side[f"length_{rule}"]).mean(("direction", "sign")).values
            opened = side[f"open_{rule}"].mean(("direction", "sign")).values
            rows += [
                {"kind": kind, "name": name, "seed": seed, "log_length": log, "open": part_open}
                for seed, log, part_open in zip(store["seed"].values, logs, opened, strict=True)
            ]
    return pd.DataFrame(rows)


def summarise(table: pd.DataFrame, confidence: float, resamples: int) -> pd.DataFrame:
    """Return one row a kind, longest first: the geometric mean of relative lengths over seeds, with its interval."""
    rows = []
    for (kind, name), group in table.groupby(["kind", "name"], sort=False):
        interval = bootstrap_mean(group["log_length"], confidence, resamples)
        ends = {end: float(np.exp(value)) for end, value in vars(interval).items()}
        rows.append({"kind": kind, "name": name, **ends, "open": group["open"].mean(), "seeds": len(group)})
    return pd.DataFrame(rows).sort_values("estimate", ascending=False, kind="stable", ignore_index=True)
