"""Optima: the trained networks that every measurement takes, with where they began and which of them diverged."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.networks import network_landscape
from wedgescape.stores.attributes import training_of
from wedgescape.stores.zarr_stores import described, in_unit, open_weights
from wedgescape.study.losses import loss_of
from wedgescape.training.fit import is_unfit

log = logging.getLogger("wedgescape")

UNFIT = "the run stayed finite but does not fit the training data, so it is no optimum"
FILLS = {"f": np.nan, "b": False, "i": -1, "u": 0, "U": "", "T": ""}  # by kind of dtype, where a seed was not measured


@dataclass(frozen=True)
class Optima:
    """Networks trained from several seeds at one setting of hyperparameters.

    Args:
        landscape: whose points they are.
        weights: their store: `theta` (seed, param), `theta_init`, `diverged`; `trajectory` where there are snapshots.
        maximum_loss: largest training loss of an optimum, as a share of that of chance (`fit.maximum_loss`).
    """

    landscape: Landscape
    weights: xr.Dataset
    maximum_loss: float = 0.5

    @classmethod
    def open(
        cls,
        data: xr.Dataset,
        stores: Sequence[str],
        device: str,
        strategy: str = "auto",
        maximum_loss: float = 0.5,
        without: Sequence[str] = (),
    ) -> Optima:
        """Open the networks of one setting.

        Args:
            data: the data store.
            stores: the setting's weights stores, one per chunk of seeds.
            device: where networks are computed: auto, cpu, cuda or mps.
            strategy: how: auto or plain.
            maximum_loss: of a network that counts as an optimum, as a share of that of chance.
            without: variables of the stores that are not read.
        """
        weights = open_weights(stores, without)
        training = training_of(weights.attrs)
        landscape = network_landscape(data, training["model"], device, strategy, loss_of(training))
        return cls(landscape, weights, maximum_loss)

    @classmethod
    def of(
        cls,
        landscape: Landscape,
        points: Tensor,
        seeds: Sequence[int] | None = None,
        *,
        starts: Tensor | None = None,
        diverged: Sequence[bool] | None = None,
        trajectories: Tensor | None = None,
        steps: Sequence[int] = (),
        attributes: dict | None = None,
    ) -> Optima:
        """Make optima of points that are in memory, of any landscape.

        Args:
            landscape: whose points they are.
            points: (K, P).
            seeds: K; 0, 1, … by default.
            starts: (K, P), where they began; the origin by default.
            diverged: K; none of them by default.
            trajectories: (K, step, P), snapshots on the way.
            steps: of the snapshots.
            attributes: of a weights store: `layout`, `config`.
        """
        count = len(points)
        variables = {
            "theta": (("seed", "param"), points.cpu().numpy()),
            "theta_init": (("seed", "param"), (torch.zeros_like(points) if starts is None else starts).cpu().numpy()),
            "diverged": (("seed",), np.zeros(count, bool) if diverged is None else np.asarray(diverged, bool)),
        }
        coordinates = {"seed": list(range(count) if seeds is None else seeds)}
        if trajectories is not None:
            variables["trajectory"] = (("seed", "step", "param"), trajectories.cpu().numpy())
            coordinates["step"] = list(steps)
        return cls(landscape, xr.Dataset(variables, coordinates, attributes))

    def __len__(self) -> int:
        return self.weights.sizes["seed"]

    @property
    def points(self) -> Tensor:
        """The optima (K, P), on the landscape's device."""
        return self._on_device("theta")

    @property
    def starts(self) -> Tensor:
        """Where the trainings began (K, P): the initialisations."""
        return self._on_device("theta_init")

    @property
    def trajectories(self) -> Tensor | None:
        """Snapshots (K, step, P); None where the study keeps none."""
        return self._on_device("trajectory") if "trajectory" in self.weights else None

    @property
    def steps(self) -> list[int]:
        """The optimiser's step of each snapshot."""
        return self.weights["step"].values.tolist()

    @property
    def seeds(self) -> list[int]:
        """The seed of each network."""
        return self.weights["seed"].values.tolist()

    @property
    def diverged(self) -> np.ndarray:
        """(K,), which runs diverged: their weights or losses are not finite."""
        finite = np.isfinite(self.weights["theta"].values).all(1)
        return self.weights["diverged"].values.astype(bool) | ~finite

    @property
    def chance_loss(self) -> float:
        """The loss of a network that knows nothing, ln(classes) for the cross-entropy; nan where there is none."""
        return self.landscape.chance_loss

    @cached_property
    def unfit(self) -> np.ndarray:
        """(K,), which runs stayed finite and yet are no optima: near chance, blown up, or not trained to the target.

        Of a landscape without a loss of chance, none.
        """
        if math.isnan(self.chance_loss):
            return np.zeros(len(self), bool)
        if "train_loss" in self.weights:  # as training saw it after the last epoch
            loss = self.weights["train_loss"].isel(epoch=-1).values
        else:
            loss = self.landscape.losses(self.points).cpu().numpy()
        unfit = is_unfit(loss, self.points.norm(dim=1).cpu().numpy(), self.chance_loss, self.maximum_loss)
        if "stopped_after" in self.weights:
            unfit |= self.weights["stopped_after"].values < 0
        return unfit & ~self.diverged

    @property
    def by_seed(self) -> dict[int, Tensor]:
        """Seed -> optimum (P,)."""
        return dict(zip(self.seeds, self.points, strict=True))

    @property
    def training(self) -> dict:
        """What determined the training: `dataset`, `data`, `model`, `training`."""
        return training_of(self.weights.attrs)

    @property
    def layout(self) -> list[dict]:
        """Name, shape and offset of each parameter in the flat vector."""
        return json.loads(self.weights.attrs["layout"])

    def _on_device(self, name: str) -> Tensor:
        return torch.from_numpy(self.weights[name].values).to(self.landscape.device)

    def first(self, count: int) -> Optima:
        """Return the networks of the first seeds; all of them, if there are fewer."""
        return self._at(slice(count))

    def of_seeds(self, seeds: Sequence[int]) -> Optima:
        """Return the networks of some seeds, in their order."""
        return replace(self, weights=self.weights.sel(seed=list(seeds)))

    def _at(self, places) -> Optima:
        return replace(self, weights=self.weights.isel(seed=places))

    def sound(self, at_least: int = 1) -> Optima:
        """Return the networks that did not diverge.

        Raises:
            InputError: if there are fewer than `at_least`.
        """
        kept = (~self.diverged).nonzero()[0]
        if len(kept) < at_least:
            raise InputError(
                f"{len(kept)} of {len(self)} runs stayed finite; this measurement needs at least {at_least}. Lower "
                "training.learning_rate, or set training.clip_norm"
            )
        return self._at(kept)

    def fit(self, at_least: int = 1) -> Optima:
        """Return the networks that are optima: for sets and pairs, of which one bad member spoils all.

        Where fewer than `at_least` fit, all that stayed finite are returned, so that a study can be looked at whose
        networks do not fit; the store flags them as `unfit`, and claims leave them out.

        Raises:
            InputError: if fewer than `at_least` stayed finite.
        """
        sound = self.sound(at_least)
        kept = (~sound.unfit).nonzero()[0]
        if len(kept) < at_least:
            log.warning(
                "%d of %d runs fit their training data (fit.maximum_loss); this measurement needs at least %d, so it "
                "takes all that stayed finite. No claim rests on those that do not fit",
                *(len(kept), len(self), at_least),
            )
            return sound
        return sound._at(kept)

    def flagged(self, store: xr.Dataset) -> xr.Dataset:
        """Return a measurement with `diverged` and `unfit` over all its seeds, without values where a run diverged.

        Every store is flagged in this one way: runs that diverged or do not fit are kept and counted, and are in no
        statistic. Values of those that do not fit are kept.

        Args:
            store: over `seed` or without it; seeds that were not measured for one of these reasons are added.
        """
        runs = dict(zip(self.seeds, self.diverged.tolist(), strict=True))
        unfit = dict(zip(self.seeds, self.unfit.tolist(), strict=True))
        measured = store["seed"].values.tolist() if "seed" in store.dims else self.seeds
        seeds = sorted({*measured, *(seed for seed in runs if runs[seed] or unfit[seed])})
        sound = [seed for seed in measured if not runs[seed]]
        if "seed" in store.dims and seeds != sound:
            over_seeds = {name: one for name, one in store.data_vars.items() if "seed" in one.dims}
            fills = {name: FILLS[one.dtype.kind] for name, one in over_seeds.items()}
            store = store.sel(seed=sound).reindex(seed=seeds, fill_value=fills)
        flags = {
            "diverged": described(("seed",), [runs[seed] for seed in seeds], "the run diverged"),
            "unfit": described(("seed",), [unfit[seed] for seed in seeds], UNFIT),
        }
        flagged = store.assign(flags).assign_coords(seed=seeds)
        return in_unit(flagged, self.landscape.unit)


TrainedOptima: TypeAlias = Optima  # where the initialisations must be known, which those of given networks are not
AllOptima: TypeAlias = Optima  # all networks of a setting: at the base setting `base_seeds`, not only the first `seeds`
OptimaOfMethods: TypeAlias = dict[str, Optima]  # method of finding solutions -> its networks (`study.methods`)
