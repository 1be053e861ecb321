"""A network that is written to a file computes the same in plain PyTorch."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import wedgescape
from wedgescape.errors import InputError
from wedgescape.landscapes import models
from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.training.export import export
from wedgescape.training.optima import Optima

SHAPE, CLASSES = (3, 8, 8), 4


@pytest.fixture(scope="module")
def splits():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % CLASSES
    images = torch.randn(60, *SHAPE, generator=draw) + labels[:, None, None, None]
    return {"train": (images[:40], labels[:40]), "test": (images[40:], labels[40:])}


@pytest.mark.parametrize("name", models.MODELS)
def test_the_plain_model_computes_what_the_landscape_does(name, splits, tmp_path):
    model = {"name": name, "width": 4}
    landscape = NetworkLandscape(models.build(model, SHAPE, CLASSES), splits)
    points = torch.stack(
        [models.flat(models.build({"name": name, "width": 4}, SHAPE, CLASSES, seed)) for seed in (0, 1)]
    )
    files = export(Optima.of(landscape, points, seeds=[3, 8]), tmp_path / "out")
    assert [file.name for file in files] == ["seed~3.safetensors", "seed~8.safetensors"]
    for file, wanted in zip(files, landscape.predictions(points), strict=True):
        plain = models.MODELS[name](SHAPE, CLASSES, width=4)
        plain.load_state_dict(load_file(file))
        with torch.no_grad():
            found = plain.eval()(splits["test"][0]).softmax(1)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_plain_model_without_the_statistics_computes_something_else(splits, tmp_path):
    """What the statistics are exported for."""
    landscape = NetworkLandscape(models.build({"name": "resnet20", "width": 4}, SHAPE, CLASSES), splits)
    point = models.flat(landscape.module)
    (file,) = export(Optima.of(landscape, point[None]), tmp_path)
    state = {key: value for key, value in load_file(file).items() if "running" not in key}
    plain = models.MODELS["resnet20"](SHAPE, CLASSES, width=4)
    plain.load_state_dict(state, strict=False)
    with torch.no_grad():
        found = plain.eval()(splits["test"][0]).softmax(1)
    assert (found - landscape.predictions(point[None])[0]).abs().max() > 0.01


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(192, 192), nn.Linear(192, 192), nn.Linear(192, CLASSES)
        self.b.weight = self.a.weight
        self.a.bias.requires_grad_(False)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        return self.head(self.scale * self.b(self.a(x.flatten(1)).relu()).relu())


def test_tied_and_frozen_parameters_and_buffers_are_in_the_file(splits, tmp_path):
    networks = [Tied()]
    optima = wedgescape.Optima.from_modules(networks, splits)
    (file,) = wedgescape.export(optima, tmp_path)
    plain = Tied()
    plain.load_state_dict(load_file(file))
    torch.testing.assert_close(plain(splits["test"][0]), networks[0](splits["test"][0]))
    again = wedgescape.Optima.from_checkpoints(Tied(), str(file), splits)
    assert torch.equal(again.points, optima.points)


def test_networks_that_diverged_are_not_written(splits, tmp_path):
    landscape = NetworkLandscape(models.build({"name": "mlp", "width": 4}, SHAPE, CLASSES), splits)
    points = models.flat(landscape.module).repeat(2, 1)
    points[1, 0] = torch.nan
    assert len(export(Optima.of(landscape, points), tmp_path)) == 1
    with pytest.raises(InputError, match="0 of 1 runs stayed finite"):
        export(Optima.of(landscape, points[1:]), tmp_path)
