"""The weights store of networks that were trained elsewhere, as far as it can be known from their files.

It is what training writes, without the initialisations and the snapshots, and with the last values of the curves alone.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Mapping, Sequence

import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes import models
from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.stores.zarr_stores import as_json, described, in_unit
from wedgescape.study.own_networks import listed
from wedgescape.training.given import loaded, points_of
from wedgescape.training.train import CURVES, PREDICTIONS

log = logging.getLogger("wedgescape")

RUNNING = ("running_mean", "running_var", "num_batches_tracked")
LAST = -1  # in place of an epoch: nobody says how many there were


def check_files(landscape: NetworkLandscape, files: Sequence[str]) -> dict[str, str]:
    """Make sure that files hold weights of the landscape's network, and return a digest of each one's weights.

    Args:
        landscape: of the network.
        files: of weights.

    Raises:
        InputError: if some do not; it says of each file what differs.
    """
    found, wrong = {}, []
    for file in files:
        try:
            (point,) = weights_of(landscape, [file])
            found[file] = hashlib.sha256(point.numpy().tobytes()).hexdigest()
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        raise InputError("\n  ".join(["networks.files: these cannot be used:", *wrong]))
    return found


def check_different(digests: Mapping[str, str]) -> None:
    """Make sure that no two files hold the same network, which would count as two independent ones.

    Args:
        digests: file -> digest of its weights.

    Raises:
        InputError: if two do; it names them.
    """
    files: dict[str, list[str]] = {}
    for file, digest in digests.items():
        files.setdefault(digest, []).append(file)
    if same := [names for names in files.values() if len(names) > 1]:
        lines = [f"{listed(names)} hold the same weights" for names in same]
        raise InputError("\n  ".join(["networks.files: each network may be there once:", *lines]))


def weights_of(landscape: NetworkLandscape, files: Sequence[str]) -> Tensor:
    """Return the weights (K, P) in files.

    Args:
        landscape: of the network; its frozen parameters and buffers must be those of the files.
        files: K, each with the weights of one network.

    Raises:
        InputError: if one cannot be read or does not fit.
    """
    network = copy.deepcopy(landscape.module).cpu()
    norms = [name for name, layer in network.named_modules() if isinstance(layer, models.CalibratedBatchNorm)]
    ignored = {f"{name}.{buffer}" for name in norms for buffer in RUNNING}
    return points_of(loaded(network, files, ignored), ("the model", network), landscape)


def read_networks(landscape: NetworkLandscape, data: xr.Dataset, files: Mapping[int, str]) -> xr.Dataset:
    """Return the weights store of given networks.

    Args:
        landscape: of their model on the data.
        data: the data store; its checksum is kept with the weights.
        files: seed -> file with the weights.

    Returns:
        `theta`, the final losses, scores and norms over one epoch, `diverged` and predictions on the test split,
        over seeds.

    Raises:
        InputError: if a file cannot be read or does not fit the model.
    """
    theta = weights_of(landscape, list(files.values())).to(landscape.device)
    if models.batch_norms(landscape.module):
        log.info("Running statistics of batch norm are not read from the files; landscapes recompute them")
    final = {"norm": theta.norm(dim=1)}
    for split in ("train", "test"):
        final |= {f"{split}_{name}": value for name, value in landscape.evaluate(theta, split).items()}
    diverged = ~final["train_loss"].isfinite() | ~theta.isfinite().all(1)
    examples = landscape.on_examples(theta, "test")
    variables = {
        "theta": described(("seed", "param"), theta.cpu(), "final weights, flat"),
        **{name: described(("seed", "epoch"), final[name][:, None].cpu(), *CURVES[name]) for name in sorted(final)},
        "diverged": described(("seed",), diverged.cpu(), "the run diverged"),
        **{name: described(("seed", "example"), one.cpu(), *PREDICTIONS[name]) for name, one in examples.items()},
    }
    coordinates = {"seed": list(files), "epoch": [LAST], "example": range(len(landscape.splits["test"][1]))}
    attributes = {
        "layout": as_json(models.layout(landscape.module)),
        "dataset_sha256": data.attrs["sha256"],
        "chance_loss": landscape.chance_loss,
        "score": landscape.score,
    }
    return in_unit(xr.Dataset(variables, coordinates, attributes), landscape.unit)
