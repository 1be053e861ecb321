"""Optima that were trained elsewhere: modules in memory, files with weights, or the stores of a study."""

from __future__ import annotations

import copy
import glob
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor, nn

from wedgescape.errors import InputError
from wedgescape.landscapes import models
from wedgescape.landscapes.given import Loss, NetworkLandscape
from wedgescape.landscapes.trials import TRIED
from wedgescape.stores.attributes import SUFFIX
from wedgescape.stores.network_files import read_state
from wedgescape.stores.zarr_stores import as_json, open_store
from wedgescape.study.own_networks import listed
from wedgescape.training import optima

log = logging.getLogger("wedgescape")

BATCH_SIZE = 128  # of minibatches that measurements draw, where the training's is not given


class Optima(optima.Optima):
    """Networks of one architecture, trained from several seeds, with their landscape: what every measurement takes.

    Made by `from_modules`, `from_checkpoints` or `from_store`. Measurements that need the initialisations or the
    hyperparameters of the training say so where these were not given.
    """

    @classmethod
    def from_modules(
        cls,
        modules: Sequence[nn.Module],
        data,
        loss: Loss = "cross_entropy",
        *,
        starts: Sequence[nn.Module] | None = None,
        seeds: Sequence[int] | None = None,
        hyperparameters: Mapping | None = None,
        device: str | torch.device = "cpu",
        where: models.Where = "*",
    ) -> Optima:
        """Make optima of trained modules of one architecture. They are copied and stay as they are.

        Args:
            modules: K networks.
            data: as `NetworkLandscape.of` takes them.
            loss: as `NetworkLandscape.of` takes it.
            starts: the K networks as they were initialised, for measurements that compare with initialisations.
            seeds: K whole numbers that name the networks; 0, 1, … by default.
            hyperparameters: of the training, for measurements that ask for one: `width`, `batch_size` (128 by default).
            device: cpu, cuda, mps, or auto.
            where: the parameters that are directions, as `NetworkLandscape.of` takes them; in all others, the networks
                must be equal.

        Raises:
            InputError: if a network cannot be a landscape, or does not fit the data or the first network.

        >>> import torch
        >>> import wedgescape
        >>> networks = [torch.nn.Linear(4, 3) for _ in range(3)]
        >>> inputs, labels = torch.randn(60, 4), torch.arange(60) % 3
        >>> data = {"train": (inputs[:50], labels[:50]), "test": (inputs[50:], labels[50:])}
        >>> optima = wedgescape.Optima.from_modules(networks, data)
        >>> optima.points.shape
        torch.Size([3, 15])
        >>> wedgescape.measurements.similarity.measure(optima)["pair_barrier"].sizes["pair"]
        3
        """
        return cls._of_networks(
            lambda: _adapted(modules, "modules", where),
            *(data, loss, device, seeds, hyperparameters),
            starts=None if starts is None else lambda: _adapted(starts, "starts", where),
        )

    @classmethod
    def from_checkpoints(
        cls,
        module: nn.Module | Callable[[], nn.Module],
        paths: str | Path | Sequence[str | Path],
        data,
        loss: Loss = "cross_entropy",
        *,
        starts: str | Path | Sequence[str | Path] | None = None,
        seeds: Sequence[int] | None = None,
        hyperparameters: Mapping | None = None,
        device: str | torch.device = "cpu",
        where: models.Where = "*",
    ) -> Optima:
        """Make optima of files that hold the weights of one network each. No code is ever unpickled.

        Running statistics of batch norm in the files are not read: landscapes recompute them for each point.

        Args:
            module: the network, or a function without arguments that builds it.
            paths: K files, or a pattern such as "runs/*/model.pt", whose files are taken in alphabetical order. Files
                are `.safetensors`, `.npz`, or `.pt` and `.pth` with a state_dict, alone or under a key.
            data: as `NetworkLandscape.of` takes them.
            loss: as `NetworkLandscape.of` takes it.
            starts: the files of the initialisations, in the same order.
            seeds: K whole numbers that name the networks; 0, 1, … by default.
            hyperparameters: of the training, for measurements that ask for one: `width`, `batch_size` (128 by default).
            device: cpu, cuda, mps, or auto.
            where: the parameters that are directions, as `NetworkLandscape.of` takes them; in all others, the networks
                must be equal.

        Raises:
            InputError: if a file cannot be read or does not fit the network; the message lists the names that differ.

        >>> import tempfile
        >>> import torch
        >>> import wedgescape
        >>> folder = tempfile.TemporaryDirectory()
        >>> for seed in range(3):
        ...     torch.save(torch.nn.Linear(4, 3).state_dict(), f"{folder.name}/{seed}.pt")
        >>> data = (torch.randn(50, 4), torch.arange(50) % 3)
        >>> optima = wedgescape.Optima.from_checkpoints(torch.nn.Linear(4, 3), f"{folder.name}/*.pt", data)
        >>> wedgescape.measurements.tunnels.measure(optima)["width_loss"].dims
        ('seed', 'direction')
        """
        built = module if isinstance(module, nn.Module) else module()
        if not isinstance(built, nn.Module):
            text = f"module: it returns a {type(built).__name__}"
            raise InputError(f"{text}. It must be a torch.nn.Module or a function without arguments that builds one")
        network = models.adapted(built, where)
        ignored = set(built.state_dict()) - set(network.state_dict())  # what batch norm keeps of batches
        if ignored:
            log.info("Running statistics of batch norm are not read from checkpoints; landscapes recompute them")
        return cls._of_networks(
            lambda: loaded(network, _files(paths, "paths"), ignored),
            *(data, loss, device, seeds, hyperparameters),
            starts=None if starts is None else lambda: loaded(network, _files(starts, "starts"), ignored),
        )

    @classmethod
    def from_store(cls, path: str | Path | Sequence[str | Path], data=None, device: str = "auto") -> Optima:
        """Make optima of a study's networks at one setting.

        Args:
            path: the setting's folder, such as "results/digits/weights/lr~0.05_…"; or its stores of weights.
            data: the study's store of data, open or its path; by default the one in the study's results.
            device: auto, cpu, cuda or mps.

        Raises:
            InputError: if there is no such store, or the networks were trained on other data.

        >>> import wedgescape
        >>> wedgescape.Optima.from_store("results/digits/weights/gone")
        Traceback (most recent call last):
        wedgescape.errors.InputError: results/digits/weights/gone: there is no store of weights
        """
        paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
        stores = [file for one in paths for file in (sorted(one.glob(f"*{SUFFIX}")) if one.is_dir() else [one])]
        if not stores or not all(store.is_file() for store in stores):
            raise InputError(f"{', '.join(map(str, paths))}: there is no store of weights")
        wanted = open_store(stores[0]).attrs.get("dataset_sha256")
        if data is None:
            candidates = sorted((stores[0].absolute().parents[2] / "data").glob(f"*{SUFFIX}"))
            data = next((one for one in candidates if open_store(one).attrs["sha256"] == wanted), None)
            if data is None:
                raise InputError(f"{stores[0]}: its data are not in the study's results; give data='….zarr.zip'")
        data = data if isinstance(data, xr.Dataset) else open_store(data)
        if data.attrs.get("sha256") != wanted:
            raise InputError(f"{stores[0]}: these networks were trained on other data than those given")
        return cls.open(data, [str(store) for store in stores], device)

    @classmethod
    def _of_networks(
        cls,
        networks: Callable[[], Iterator[tuple[str, nn.Module]]],
        data,
        loss: Loss,
        device: str | torch.device,
        seeds: Sequence[int] | None,
        hyperparameters: Mapping | None,
        starts: Callable[[], Iterator[tuple[str, nn.Module]]] | None,
    ) -> Optima:
        """Make optima of adapted networks, each with the words that a message calls it by, one at a time."""
        first = next(networks(), None)
        if first is None:
            raise InputError("modules: there is none; at least one trained network is needed")
        landscape = NetworkLandscape.of(first[1], data, loss, device)
        points = points_of(networks(), first, landscape)
        began = None if starts is None else points_of(starts(), first, landscape)
        if began is not None and len(began) != len(points):
            raise InputError(f"starts: found {len(began)}; there must be as many as trained networks, {len(points)}")
        if seeds is not None and (len(seeds) != len(points) or len(set(seeds)) != len(points)):
            raise InputError(f"seeds: found {list(seeds)}; there must be {len(points)} different whole numbers")
        known = {"batch_size": BATCH_SIZE} | dict(hyperparameters or {})
        settings = {"given": {"model": known, "training": known}}
        attributes = {
            "layout": as_json(models.layout(landscape.module)),
            "config": as_json({"sections": {}, "settings": settings}),
            "chance_loss": landscape.chance_loss,
        }
        made = cls.of(landscape, points, seeds, starts=began, attributes=attributes)
        return made if began is not None else cls(landscape, made.weights.drop_vars("theta_init"))

    @property
    def starts(self) -> Tensor:
        """Where the trainings began (K, P): the initialisations.

        Raises:
            InputError: if they were not given.
        """
        if "theta_init" not in self.weights:
            raise InputError("this measurement compares with the initialisations of the networks; give starts=…")
        return super().starts

    @property
    def training(self) -> dict:
        """What is known of the training: `model` and `training`, each with hyperparameters by name."""
        known = super().training
        return {key: _Known(value) if isinstance(value, dict) else value for key, value in known.items()}


class _Known(dict):
    """Hyperparameters that are known; others are asked for."""

    def __missing__(self, name: str):
        raise InputError(f"this measurement needs the networks' {name}; give hyperparameters={{{name!r}: …}}")


def _adapted(modules: Sequence[nn.Module], place: str, where: models.Where) -> Iterator[tuple[str, nn.Module]]:
    """Yield (words for it, network) of each module."""
    for number, module in enumerate([modules] if isinstance(modules, nn.Module) else modules):
        if not isinstance(module, nn.Module):
            raise InputError(f"{place}[{number}]: found type {type(module).__name__}; it must be a torch.nn.Module")
        yield f"{place}[{number}]", models.adapted(module, where)


def _files(paths: str | Path | Sequence[str | Path], place: str) -> list[Path]:
    """Return the files that were named, one after the other or by a pattern."""
    if not isinstance(paths, str | Path):
        return [Path(path) for path in paths]
    found = [Path(paths)] if Path(paths).is_file() else [Path(one) for one in sorted(glob.glob(str(paths)))]
    if not found:
        raise InputError(f"{place}: there is no file {paths}")
    return found


def loaded(network: nn.Module, files: Sequence[Path], ignored: set[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield (words for it, network) of each file: a copy of an adapted network with the file's weights.

    Args:
        network: from `models.adapted` or `models.build`.
        files: of weights.
        ignored: names that files may have and the network has not: what batch norm keeps of batches.

    Raises:
        InputError: if a file cannot be read, or does not fit; it lists the names that differ.
    """
    ours = network.state_dict(keep_vars=True)
    for file in files:
        state = read_state(file)
        for prefix in ("module.", "_orig_mod."):  # of DataParallel and torch.compile
            if not set(state) & set(ours) and all(name.startswith(prefix) for name in state):
                state = {name.removeprefix(prefix): one for name, one in state.items()}
        there = {id(ours[name]) for name in state if name in ours}  # a tied parameter has several names
        shapes = [
            f"{name} is {tuple(one.shape)} and must be {tuple(ours[name].shape)}"
            for name, one in state.items()
            if name in ours and one.shape != ours[name].shape
        ]
        problems = {
            "missing": [name for name, one in ours.items() if name not in state and id(one) not in there],
            "unexpected": [name for name in state if name not in ours and name not in ignored],
            "of another shape": shapes,
            "complex": [name for name, one in state.items() if one.is_complex()],
        }
        if any(problems.values()):
            text = ". ".join(f"{kind}: {listed(names)}" for kind, names in problems.items() if names)
            raise InputError(f"{file} does not fit {type(network).__name__}. {text}")
        filled = copy.deepcopy(network)
        filled.load_state_dict({name: one for name, one in state.items() if name in ours}, strict=False)
        yield str(file), filled


@torch.no_grad()
def points_of(
    networks: Iterator[tuple[str, nn.Module]], first: tuple[str, nn.Module], landscape: NetworkLandscape
) -> Tensor:
    """Return the weights (K, P) of networks that are the first one at other weights.

    Args:
        networks: K of them, with the words that a message calls each by.
        first: one of them, or another of the same architecture, frozen parameters and buffers.
        landscape: of the first.

    Raises:
        InputError: if one has other parameters or buffers, or computes another function.
    """
    name, reference = first
    layout, inputs = models.layout(reference), landscape.splits["train"][0][:TRIED].cpu()
    points = []
    for place, network in networks:
        found = models.layout(network)
        for one, other in zip(found, layout, strict=False):
            if one != other:
                texts = (f"{entry['name']} {tuple(entry['shape'])}" for entry in (one, other))
                raise InputError(f"{place}: parameter {next(texts)} stands where {name} has {next(texts)}")
        if len(found) != len(layout):
            raise InputError(f"{place}: {len(found)} trainable parameters, while {name} has {len(layout)}")
        ours, theirs = dict(reference.named_buffers()), dict(network.named_buffers())
        for buffer in {*ours, *theirs}:
            if buffer not in ours or buffer not in theirs or not torch.equal(ours[buffer], theirs[buffer]):
                text = f"{place}: {buffer} differs from that of {name}"
                raise InputError(f"{text}; buffers and frozen parameters must be equal, because they are no directions")
        points.append(models.flat(network))
        moved = copy.deepcopy(reference)
        nn.utils.vector_to_parameters(points[-1], moved.parameters())
        if not torch.allclose(moved(inputs), network(inputs), rtol=1e-3, atol=1e-4, equal_nan=True):
            raise InputError(f"{place} computes something else than {name} at the same weights")
    return torch.stack(points)
