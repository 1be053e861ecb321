"""Products written out for linear layers, against autograd in float64."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from wedgescape.landscapes import models
from wedgescape.landscapes.base import Landscape, Slice, combine
from wedgescape.landscapes.linear_stacks import LinearStack
from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.landscapes.spans import Span

SHAPE, CLASSES, EXAMPLES = (1, 2, 3), 3, 11


def build(depth=2, width=4):
    return models.build({"name": "mlp", "width": width, "depth": depth}, SHAPE, CLASSES)


@pytest.fixture(params=[0, 1, 3])
def module(request):
    return build(request.param).double()


@pytest.fixture
def images():
    return torch.randn(EXAMPLES, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def labels():
    return torch.arange(EXAMPLES) % CLASSES


def points(module, count, seed=0):
    size = len(parameters_to_vector(module.parameters()))
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unpacked(module, point):
    found, rest = {}, point
    for name, one in module.named_parameters():
        found[name], rest = rest[: one.numel()].reshape(one.shape), rest[one.numel() :]
    return found


def logits(module, point, images):
    return functional_call(module, unpacked(module, point), (images,))


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_logits_equal_the_modules(module, images):
    where = points(module, 3)
    found = LinearStack(models.linear_sizes(module)).logits(where, images.flatten(1).T)
    for k, point in enumerate(where):
        close(found[k].T, logits(module, point, images))


def test_logits_at_combinations_equal_those_at_the_points(module, images):
    vectors, shares = points(module, 3), torch.tensor([[1.0, 0, 0], [0.3, -2, 1], [0, 0, 0]]).double()
    stack, columns = LinearStack(models.linear_sizes(module)), images.flatten(1).T
    close(stack.combined(vectors, columns)(shares), stack.logits(shares @ vectors, columns))


@pytest.mark.parametrize("own_examples", [False, True])
@pytest.mark.parametrize("drops", [False, True])
def test_gradients_equal_autograd(module, images, labels, own_examples, drops):
    where = points(module, 3).requires_grad_()
    chosen = torch.stack([torch.randperm(EXAMPLES)[:5] for _ in where]) if own_examples else None
    masks, layers, divisor = [], models.dropouts(module), 5 if own_examples else 2 * EXAMPLES
    if drops:
        count = 5 if own_examples else EXAMPLES
        masks = [(torch.rand(3, 4, count) > 0.4).double() * 2 for _ in layers]
    losses = []
    for k, point in enumerate(where):
        for layer, mask in zip(layers, masks, strict=False):
            layer.mask = mask[k].T
        seen, said = (images, labels) if chosen is None else (images[chosen[k]], labels[chosen[k]])
        losses.append(cross_entropy(logits(module, point, seen), said, reduction="sum") / divisor)
    wanted = torch.autograd.grad(sum(losses), where)[0]
    seen = images.flatten(1).T if chosen is None else images.flatten(1)[chosen].mT
    said = labels if chosen is None else labels[chosen]
    close(LinearStack(models.linear_sizes(module)).gradients(where.detach(), seen, said, masks, divisor), wanted)


def test_products_equal_the_dense_hessian(module, images, labels):
    point, vectors = points(module, 1)[0], points(module, 4, 1)
    dense = hessian(lambda one: cross_entropy(logits(module, one, images), labels, reduction="sum") / 7)(point)
    found = LinearStack(models.linear_sizes(module)).hessian(point, images.flatten(1).T, labels, 7)(vectors)
    torch.testing.assert_close(found, vectors @ dense, rtol=1e-10, atol=1e-10)


def test_each_network_has_the_same_bits_alone_and_among_others():
    module = build(2, 33)
    images, labels = torch.randn(70, 6), torch.arange(70) % CLASSES
    where, stack = torch.randn(9, len(models.flat(module))), LinearStack(models.linear_sizes(module))
    among = [stack.logits(where, images.T), stack.gradients(where, images.T, labels)]
    shares = torch.randn(9, 3)
    among += [stack.combined(where[:3], images.T)(shares), combine(shares, where[:3])]
    for k in range(9):
        some = slice(k, k + 1)
        alone = [stack.logits(where[some], images.T), stack.gradients(where[some], images.T, labels)]
        alone += [stack.combined(where[:3], images.T)(shares[some]), combine(shares[some], where[:3])]
        for one, other in zip(alone, among, strict=True):
            assert torch.equal(one[0], other[k])


def test_a_plane_is_what_its_points_are():
    """Through the first layer of the plane's vectors, and through every point of it."""
    module = build(2, 8)
    images, labels = torch.randn(600, *SHAPE), torch.arange(600) % CLASSES
    landscape = NetworkLandscape(module, {"train": (images, labels), "test": (images[:50], labels[:50])})
    origin, *axes = torch.randn(3, landscape.dim)
    plane, where = Slice(landscape, origin, Span(torch.stack(axes))), torch.randn(20, 2)
    for split in ("train", "test"):
        shared = plane.evaluate(where, split)
        for name, one in Landscape.evaluate_combinations(
            landscape, torch.stack([origin, *axes]), torch.cat([torch.ones(20, 1), where], 1), split
        ).items():
            torch.testing.assert_close(shared[name], one, rtol=1e-5, atol=1e-5)
    assert torch.equal(plane.evaluate(torch.zeros(5, 2))["loss"][:1], landscape.evaluate(origin[None])["loss"])


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(6, 4), nn.Flatten(), nn.ReLU(), nn.Linear(4, 3)),
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(12, 3)),
        nn.Linear(6, 3),
    ],
)
def test_other_networks_are_no_stacks(module):
    assert models.linear_sizes(module) == []


def test_tied_layers_are_no_stack():
    tied = nn.Linear(6, 6)
    assert models.linear_sizes(nn.Sequential(nn.Flatten(), tied, nn.ReLU(), tied)) == []
