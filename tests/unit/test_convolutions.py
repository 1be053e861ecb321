"""Convolutional networks in fewer passes over memory, against the same networks as their modules compute them."""

import dataclasses

import pytest
import torch
from torch import nn

from wedgescape.landscapes import convolutions, models
from wedgescape.landscapes.base import Batch
from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.numerics.randomness import stream

CNN = {"name": "simple_cnn", "width": 4}
BATCH = {"name": "resnet20", "width": 4, "norm": "batch"}
GROUP = {"name": "resnet20", "width": 4, "norm": "group"}
MODELS = {"cnn": CNN, "batch": BATCH, "group": GROUP}
EXAMPLES = 40


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def landscape_of(model, shape=(1, 9, 11), dtype=torch.float64):
    """The landscape of a model on noise; 9 x 11 pixels leave an odd row and column to both poolings."""
    images = normal(EXAMPLES + 10, *shape, seed=1, dtype=dtype)
    labels = torch.arange(len(images)) % 3
    splits = {"train": (images[:EXAMPLES], labels[:EXAMPLES]), "test": (images[EXAMPLES:], labels[EXAMPLES:])}
    return NetworkLandscape(models.build(model, shape, 3), splits)


def plain(landscape):
    """The same landscape, computed by its module."""
    landscape.strategy = dataclasses.replace(landscape.strategy, rewritten=False)
    return landscape


def starts(model, shape, count, dtype=torch.float64):
    points = [models.flat(models.build(model, shape, 3, seed)) for seed in range(count)]
    return torch.stack(points).to(dtype)


def batch_of(seeds, rate):
    examples = torch.stack([torch.from_numpy(stream("examples", seed).integers(EXAMPLES, size=12)) for seed in seeds])
    return Batch(examples, [stream("dropout", seed) for seed in seeds], torch.full((len(seeds),), rate))


def relative(found, wanted):
    assert wanted.norm() > 0
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("shape", [(1, 9, 11), (3, 8, 8)], ids=["gray", "colour"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_everything_equals_the_module_in_float64(model, shape):
    """Within 1e-11 of the length of each: predictions, gradients with dropout and in full, Hessian-vector products."""
    new, old = landscape_of(model, shape), plain(landscape_of(model, shape))
    assert new.strategy.rewritten
    points = starts(model, shape, 2) + 0.01 * normal(2, new.dim, seed=2)
    for split in ("train", "test"):
        assert relative(new.predictions(points, split), old.predictions(points, split)) < 1e-11
        assert torch.equal(new.evaluate(points, split)["score"], old.evaluate(points, split)["score"])
        assert relative(new.losses(points, split), old.losses(points, split)) < 1e-6  # returned in float32
    for rate in (0.0, 0.4):
        gradients = [one.gradients(points, batch_of((3, 4), rate)) for one in (new, old)]
        assert relative(*gradients) < 1e-11
    assert relative(new.gradients(points), old.gradients(points)) < 1e-11
    vectors = normal(2, new.dim, seed=3)
    assert relative(new.hvp(points[0], vectors), old.hvp(points[0], vectors)) < 1e-11


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_seed_alone_and_among_others_gives_the_same_bytes(model):
    landscape = landscape_of(model, dtype=torch.float32)
    points = starts(model, (1, 9, 11), 3, torch.float32)
    together = (
        landscape.gradients(points, batch_of((5, 6, 7), 0.3)),
        landscape.gradients(points),
        landscape.predictions(points),
        landscape.losses(points),
    )
    for k, seed in enumerate((5, 6, 7)):
        some = points[k : k + 1]
        alone = (
            landscape.gradients(some, batch_of((seed,), 0.3)),
            landscape.gradients(some),
            landscape.predictions(some),
            landscape.losses(some),
        )
        for found, wanted in zip(together, alone, strict=True):
            assert found[k].numpy().tobytes() == wanted[0].numpy().tobytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_activations_are_in_channels_last_from_the_first_convolution_on(channels):
    landscape, seen = landscape_of(CNN, (channels, 8, 8)), []
    landscape.module[3].register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    landscape.module[0].register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
    points = starts(CNN, (channels, 8, 8), 1)
    landscape.losses(points)
    landscape.gradients(points, batch_of((0,), 0.0))
    assert len(seen) == 4
    assert all(one.is_contiguous(memory_format=torch.channels_last) and not one.is_contiguous() for one in seen)


def calls_of_first_layer(landscape):
    counts = []
    landscape.module[0].register_forward_hook(lambda _layer, inputs, _output: counts.append(len(inputs[0])))
    return counts


def test_batch_norms_are_calibrated_once_per_point():
    landscape = landscape_of(BATCH)
    landscape.strategy = dataclasses.replace(landscape.strategy, examples=15)
    counts = calls_of_first_layer(landscape)
    landscape.losses(starts(BATCH, (1, 9, 11), 2))
    assert counts == [EXAMPLES, 15, 15, 10] * 2  # all 40 examples calibrate


# Rewriting


def test_the_module_itself_stays_as_it_was_and_shares_its_layers():
    module = models.build(CNN, (1, 8, 8), 3)
    layers, kinds = list(module), [type(layer) for layer in module.modules()]
    rewritten = convolutions.rewrite(module)
    assert [type(layer) for layer in module.modules()] == kinds
    assert all(one is other for one, other in zip(rewritten, layers, strict=True))
    wanted = dict(module.named_parameters())
    assert {name: id(value) for name, value in rewritten.named_parameters()} == {
        name: id(value) for name, value in wanted.items()
    }


class Skipping(nn.Module):
    """Calls the layers of an `nn.Sequential` one by one, and uses what is between them."""

    def __init__(self):
        super().__init__()
        self.chain = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.part = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU())

    def forward(self, x):
        """(N, 1, H, W) -> (N,)."""
        seen, y = [], x
        for layer in self.chain:
            y = layer(y)
            seen.append(y)
        return sum(one.flatten(1).sum(1) for one in (*seen, self.part[:2](x), self.part(x)))


def test_a_network_that_reaches_into_a_chain_finds_its_layers():
    module, images = Skipping().double(), normal(5, 1, 6, 6)
    torch.testing.assert_close(convolutions.rewrite(module)(images), module(images), rtol=1e-12, atol=1e-12)


def test_inputs_that_others_read_are_not_overwritten():
    images = normal(4, 1, 6, 6)
    before = images.clone()
    for chain in (
        nn.Sequential(nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(2), nn.ReLU()),
        nn.Sequential(nn.Identity(), nn.ReLU()),
    ):
        convolutions.rewrite(chain)(images)
        assert torch.equal(images, before)


def test_layers_with_hooks_are_called():
    module, seen = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)).double(), []
    for layer in module:
        layer.register_forward_hook(lambda layer, _inputs, output: seen.append((type(layer), output)))
    images = normal(4, 1, 8, 8)
    found = convolutions.rewrite(module)(images)
    assert [kind for kind, _ in seen] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    assert (seen[0][1] < 0).any()  # the ReLU did not overwrite what the hook was given
    assert torch.equal(found, module(images))


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(3), nn.MaxPool2d(2, stride=1), nn.MaxPool2d(2, padding=1), nn.MaxPool2d(2, ceil_mode=True),
     nn.MaxPool2d((2, 1)), nn.MaxPool2d(2, dilation=2), nn.MaxPool2d(2), nn.MaxPool2d((2, 2), (2, 2))],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("shape", [(4, 3, 7, 9), (3, 8, 8)], ids=["images", "one image"])
def test_any_pooling_equals_pytorchs_in_every_bit(pool, shape):
    images = normal(*shape, dtype=torch.float32)
    images[..., :3] = 0.5  # equal values in a window
    module = nn.Sequential(nn.Identity(), nn.ReLU(), pool)
    assert torch.equal(convolutions.rewrite(module)(images), module(images))
    slopes = []
    for one in (module, convolutions.rewrite(module)):
        leaf = images.clone().requires_grad_()
        outputs = one(leaf)
        slopes.append(torch.autograd.grad(outputs, leaf, normal(*outputs.shape, seed=4, dtype=torch.float32))[0])
    assert torch.equal(*slopes)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), -float("inf")])
def test_maxima_of_what_is_not_finite_are_pytorchs(spoilt):
    images = normal(2, 2, 6, 6)
    images[0, 0, 1, 0] = images[1, 1, 4, 5] = spoilt
    torch.testing.assert_close(convolutions.max_pool(images), nn.functional.max_pool2d(images, 2), equal_nan=True)
