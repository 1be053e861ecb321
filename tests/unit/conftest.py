"""Small landscapes whose answers are known, and a small network on data made here."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.networks import network_landscape
from wedgescape.stores.zarr_stores import as_json
from wedgescape.training.optima import Optima
from wedgescape.training.train import train

torch.set_num_threads(1)  # the tests share their machine, and small networks want one thread

CLASSES = 3
MLP = {"name": "mlp", "width": 8, "depth": 2}
TRAINING = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 1e-3,
    "dropout": 0.2,
    "batch_size": 16,
    "epochs": 5,
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "cycles": 1,
    "clip_norm": None,
    "snapshot_epochs": 2,
    "sharpness_radius": 0.0,
    "average_epochs": None,
}


class QuadraticLandscape(Landscape):
    """(x - c)^T H (x - c) / 2, where H has the eigenvalues given and random eigenvectors."""

    def __init__(self, eigenvalues, centre=0.0, dtype: torch.dtype = torch.float64, examples: int = 0):
        eigenvalues = torch.as_tensor(eigenvalues, dtype=torch.float64)
        self.dim, self.dtype, self.examples = len(eigenvalues), dtype, examples
        draws = torch.randn(self.dim, self.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.eigenvectors = torch.linalg.qr(draws)[0]  # columns
        self.hessian = (self.eigenvectors * eigenvalues @ self.eigenvectors.T).to(dtype)
        self.centre = torch.as_tensor(centre, dtype=dtype).expand(self.dim)
        self.asked: list[tuple] = []  # (what, detail) of each call that a test may want to see

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        self.asked.append(("losses", split, len(points)))
        away = points - self.centre
        return 0.5 * ((away @ self.hessian) * away).sum(1)

    def gradients(self, points: Tensor, batch=None) -> Tensor:
        self.asked.append(("gradients", batch, len(points)))
        return super().gradients(points)


@pytest.fixture
def quadratic():
    """The class of quadratics."""
    return QuadraticLandscape


def random_points(count: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.fixture
def points():
    """A function (count, dim, seed, dtype) -> Gaussian points."""
    return random_points


@pytest.fixture(scope="session")
def data() -> xr.Dataset:
    """A data store in memory, like the digits but smaller: noisy copies of three patterns of 4 x 4 pixels."""
    draw = np.random.Generator(np.random.PCG64(1))
    train, test = 61, 31
    labels = np.arange(train + test) % CLASSES
    patterns = draw.integers(0, 17, (CLASSES, 1, 4, 4))
    images = np.clip(patterns[labels] + draw.integers(-6, 7, (train + test, 1, 4, 4)), 0, 16).astype(np.uint8)
    scaled = images[:train] / 16
    rule = {"scale": 1 / 16, "mean": [float(scaled.mean())], "std": [float(scaled.std())]}
    return xr.Dataset(
        {
            "images": (("example", "channel", "row", "column"), images, {"description": "pixels"}),
            "labels": (("example",), labels.astype(np.int64), {"description": "class"}),
            "split": (("example",), np.repeat(["train", "test"], [train, test]), {"description": "part"}),
        },
        attrs={
            "dataset": "patterns",
            "classes": CLASSES,
            "source": "made here",
            "sha256": json.dumps({"images": "0" * 64}),
            "normalisation": json.dumps(rule),
        },
    )


@pytest.fixture
def network(data):
    """A function: model -> its landscape on the data."""
    return lambda model=MLP, **changes: network_landscape(data, {**model, **changes}, "cpu")


@pytest.fixture
def mlp(network):
    """The landscape of the small network."""
    return network()


@pytest.fixture(scope="session")
def train_small(data):
    """A function: seeds, changes of the training -> a weights store of the small network, in memory."""

    def trained(seeds, model=MLP, **changes) -> xr.Dataset:
        settings = {"model": model, "training": {**TRAINING, **changes}}
        store = train(network_landscape(data, model, "cpu"), data, settings, seeds)
        return store.assign_attrs(config=as_json({"sections": {}, "settings": {"here": settings}}))

    return trained


@pytest.fixture(scope="session")
def weights(train_small) -> xr.Dataset:
    """The weights store of seeds 0 to 3, in memory."""
    return train_small(range(4), epochs=12, snapshot_epochs=4)


@pytest.fixture
def optima(mlp, weights) -> Optima:
    """The optima of seeds 0 to 3, with their landscape."""
    return Optima(mlp, weights)
