"""Layers: how far towards the optimum one layer gets alone, and all others without it (docs/science.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.operations import Case, Work, evaluations
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, Section, key
from wedgescape.training.optima import TrainedOptima


class Settings(Section):
    """Straight lines from the initialisation to the optimum on which one layer moves, or all but one."""

    seeds: Count = key(12, "Number of optima to measure (the first N seeds).", smoke=4)
    points: Count = key(21, "Points on each line, ends included.", ge=2, smoke=3)
    largest: Count = key(8, "Largest number of layers told apart; a network of more has consecutive ones put together.")
    draws: Count = key(4, "Random partitions of the weights, into parts as large as the layers.", smoke=1)


MOVED = ("alone", "others")
VARIABLES = {
    "loss": Variable(
        ("seed", "moved", "layer", "alpha"), "training loss where a layer moves alone, or all others", "nat"
    ),
    "random_loss": Variable(
        ("seed", "draw", "moved", "layer"),
        "training loss where as many weights as a layer's, drawn at random, move alone, or all others; at the end",
        "nat",
    ),
    "start_loss": Variable(("seed",), "training loss of the initialisation", "nat"),
    "end_loss": Variable(("seed",), "training loss of the optimum", "nat"),
    "moved_by": Variable(("seed", "layer"), "distance that a layer moves, over its norm at the initialisation", "1"),
    "weights": Variable(("layer",), "number of weights of a layer", "1"),
}


def layers_of(layout: Sequence[dict] | None, dim: int, largest: int) -> dict[str, np.ndarray]:
    """Return name of each layer -> the places of its parameters in the flat vector.

    Parameters belong to one layer if their names are equal up to the last dot, such as a weight and its bias. The order
    is PyTorch's.

    Args:
        layout: of the flat vector (`models.layout`); None where there are no layers, so that all weights are one.
        dim: P.
        largest: number of layers at most; consecutive ones are put together, in groups of nearly as many layers.
    """
    if layout is None:
        return {"all": np.arange(dim)}
    found: dict[str, list[np.ndarray]] = {}
    for entry in layout:
        name = entry["name"].rpartition(".")[0] or entry["name"]
        found.setdefault(name, []).append(entry["offset"] + np.arange(int(np.prod(entry["shape"]))))
    groups = np.array_split(list(found), min(largest, len(found)))
    return {
        str(group[0]) if len(group) == 1 else f"{group[0]} … {group[-1]}": np.concatenate(
            [places for name in group for places in found[name]]
        )
        for group in groups
    }


def move_parts(landscape: Landscape, start: Tensor, end: Tensor, parts: Sequence[np.ndarray], alpha: Tensor) -> Tensor:
    """Return training losses (moved, part, T) where one part of the weights moves alone, or all but it.

    Args:
        landscape: in R^P.
        start: (P,).
        end: (P,).
        parts: places in the flat vector; together all of them, none twice.
        alpha: (T,), how far what moves is on its way from start to end.
    """
    ways = torch.zeros(len(parts), len(start)).to(start)
    for way, places in zip(ways, parts, strict=True):
        way[places] = (end - start)[places]
    alone = torch.eye(len(parts)).to(start)
    masks = torch.cat([alone, 1 - alone])
    shares = (alpha.to(start)[None, :, None] * masks[:, None]).flatten(0, 1)
    shares = torch.cat([torch.ones(len(shares), 1).to(start), shares], 1)
    losses = landscape.evaluate_combinations(torch.cat([start[None], ways]), shares)["loss"]
    return losses.reshape(len(MOVED), len(parts), -1)


def measure(optima: TrainedOptima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure lines from initialisation to optimum on which one layer moves, or all but one (Vlaar & Frankle 2022).

    What a layer is follows from the names in the landscape's layout. A landscape without one, such as the toy wedges,
    is a single layer. The control takes random parts of the weights, as large as the layers, so that what is said of a
    layer is more than what its number of weights says.

    Args:
        optima: of one setting; the first `settings.seeds` are measured.
        settings: of the measurement.

    Returns:
        Training losses over (seed, moved, layer, alpha), and at the end of the way for random parts.
    """
    optima = optima.first(settings.seeds)
    landscape = optima.landscape
    layout = optima.layout if "layout" in optima.weights.attrs else None
    layers = layers_of(layout, landscape.dim, settings.largest)
    alpha = torch.linspace(0, 1, settings.points)
    values: dict[str, list] = {"loss": [], "random_loss": [], "moved_by": []}
    for seed, start, end in zip(optima.seeds, optima.starts, optima.points, strict=True):
        values["loss"].append(move_parts(landscape, start, end, list(layers.values()), alpha).cpu())
        drawn = [random_parts(layers, seed, draw) for draw in range(settings.draws)]
        ends = [move_parts(landscape, start, end, parts, torch.ones(1))[..., 0].cpu() for parts in drawn]
        values["random_loss"].append(torch.stack(ends))
        moved = [float((end - start)[part].norm() / start[part].norm()) for part in layers.values()]
        values["moved_by"].append(torch.tensor(moved))
    coordinates = {
        "seed": optima.seeds,
        "moved": described(("moved",), list(MOVED), "what moves: the layer alone, or all others"),
        "layer": list(layers),
        "alpha": described(("alpha",), alpha, "part of the way from the initialisation to the optimum", "1"),
        "draw": range(settings.draws),
    }
    stacked = {name: torch.stack(rows) for name, rows in values.items()}
    stacked["start_loss"], stacked["end_loss"] = (
        landscape.losses(points).cpu() for points in (optima.starts, optima.points)
    )
    stacked["weights"] = torch.tensor([len(places) for places in layers.values()])
    return optima.flagged(labelled(VARIABLES, stacked, coordinates, {}))


def random_parts(layers: dict[str, np.ndarray], seed: int, draw: int) -> list[np.ndarray]:
    """Return a random partition of all weights into parts as large as the layers."""
    sizes = [len(places) for places in layers.values()]
    return np.split(stream("parts of the weights", seed, draw).permutation(sum(sizes)), np.cumsum(sizes)[:-1])


def work(case: Case, settings: Settings) -> Work:
    """Count the losses on all lines, of as many layers as are told apart at most."""
    each = len(MOVED) * settings.largest * (settings.points + settings.draws) + 2
    return evaluations(case.model, min(settings.seeds, case.seeds) * each, ["train"])


def covered(store: xr.Dataset, name: str = "loss") -> xr.DataArray:
    """Return the part of the fall from initialisation to optimum that moving covers: 0 at the start, 1 for all weights.

    Args:
        store: of `measure`.
        name: `loss`, of layers along their lines, or `random_loss`, of random parts at the end.
    """
    return (store["start_loss"] - store[name]) / (store["start_loss"] - store["end_loss"])


def beyond_random(store: xr.Dataset, moved: str) -> xr.DataArray:
    """Return by how much more a layer covers than a random part as large (seed, layer); of `others`, how much less.

    That of `others` is what leaving the layer behind costs beyond what leaving as many weights behind does.
    """
    layers = covered(store).isel(alpha=-1, drop=True).sel(moved=moved, drop=True)
    parts = covered(store, "random_loss").sel(moved=moved, drop=True).mean("draw")
    return layers - parts if moved == "alone" else parts - layers


CLAIMS = ("layers_alone", "layers_left_behind")


def claims(layers: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate how far a layer gets alone, and what leaving it behind costs, beyond random parts of as many weights.

    Means over layers, as shares of the fall of the training loss from initialisation to optimum. Of a network of one
    layer nothing is claimed: its only part is the whole.
    """
    if layers.sizes["layer"] < 2:
        return
    quantities = {
        "alone": ("layers_alone", "share of the way that a layer covers alone, less that of a random part"),
        "others": ("layers_left_behind", "share of the way lost without a layer, less that without a random part"),
    }
    for moved, (rule, quantity) in quantities.items():
        beyond = beyond_random(layers, moved).where(fit(layers))
        by_layer = "; ".join(
            f"{name} {mean:+.2g}" for name, mean in zip(layers["layer"].values, beyond.mean("seed").values, strict=True)
        )
        found = intervals.mean(beyond.mean("layer").values)
        yield Claim(rule, quantity, found, left_out=left_out(layers), control=f"by layer: {by_layer}")
