"""Networks as landscapes, against the same networks written in PyTorch alone."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from wedgescape.errors import InputError
from wedgescape.landscapes import models, networks
from wedgescape.landscapes.base import Batch
from wedgescape.landscapes.networks import initial_points, network_landscape
from wedgescape.landscapes.strategies import GRAPH_BYTES, PLAIN, choose_device, choose_strategy
from wedgescape.numerics.lanczos import hessian_moments
from wedgescape.numerics.randomness import stream

CNN = {"name": "simple_cnn", "width": 3}
RESNET = {"name": "resnet20", "width": 2, "norm": "batch"}
GROUPED = {"name": "resnet20", "width": 4, "norm": "group"}  # the last images are one pixel: a group needs two channels


def plain_mlp(width=8, dropout=0.0):
    """The small network of depth 2, on images of 16 pixels and 3 classes."""
    hidden = [layer for units in (16, width) for layer in (nn.Linear(units, width), nn.ReLU(), nn.Dropout(dropout))]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, 3))


def plain_normed(width=6):
    """Convolution, batch norm, dropout: layers that have a state of their own."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.0),
        nn.Linear(16 * width, 5),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Linear(5, 3),
    )


OWN = """
from torch import nn

def normed(input_shape, classes):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.9),
        nn.Linear(96, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, classes),
    )
"""


@pytest.fixture
def normed(tmp_path, network):
    """A user's network of its own, with batch norm and dropout."""
    (tmp_path / "own.py").write_text(OWN)
    return network({"name": "normed", "file": str(tmp_path / "own.py")})


def plain_split(data, split):
    rule, chosen = json.loads(data.attrs["normalisation"]), data["split"].values == split
    images = (data["images"].values[chosen] * rule["scale"] - rule["mean"][0]) / rule["std"][0]
    return torch.tensor(images, dtype=torch.float32), torch.tensor(data["labels"].values[chosen])


@pytest.fixture
def plain_data(data):
    return {split: plain_split(data, split) for split in ("train", "test")}


def at(plain, point):
    vector_to_parameters(point, plain.parameters())
    return plain


def plain_gradient(plain, point, images, labels):
    loss = cross_entropy(at(plain, point)(images), labels)
    return parameters_to_vector(torch.autograd.grad(loss, list(plain.parameters())))


def use(landscape, **changes):
    """Compute in another way, whatever the device would choose."""
    landscape.strategy = dataclasses.replace(landscape.strategy, **changes)
    return landscape


WAYS = {
    "loop": {"stack": None, "train_together": False, "evaluate_together": False, "points": 1},
    "together": {"stack": None, "train_together": True, "evaluate_together": True, "points": 2},
    "chosen": {"points": 2},  # linear layers have their products written out
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


def close(found, wanted, tolerance=1e-6):
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


# The data and the weights


def test_images_are_normalised_as_the_data_store_says(mlp, plain_data):
    assert mlp.examples == 61
    for split, (images, labels) in plain_data.items():
        close(mlp.splits[split][0], images)
        assert torch.equal(mlp.splits[split][1], labels)
    assert abs(float(mlp.splits["train"][0].mean())) < 1e-6
    assert float(mlp.splits["train"][0].std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_each_channel_is_normalised_by_its_own_numbers(network, data):
    colour = data.drop_vars("images").assign(
        images=(("example", "channel", "row", "column"), np.repeat(data["images"].values, 2, 1))
    )
    colour.attrs["normalisation"] = json.dumps({"scale": 0.5, "mean": [1.0, 2.0], "std": [4.0, 8.0]})
    found = network_landscape(colour, {"name": "mlp", "width": 4, "depth": 1}, "cpu").splits["test"][0]
    raw = torch.tensor(data["images"].values[61:, 0], dtype=torch.float32)
    close(found[:, 0], (raw / 2 - 1) / 4)
    close(found[:, 1], (raw / 2 - 2) / 8)


def test_initial_points_are_those_of_the_seeds_in_any_order(mlp, data):
    model = {"name": "mlp", "width": 8, "depth": 2}
    found = initial_points(mlp, data, model, [5, 2])
    assert found.shape == (2, mlp.dim)
    for row, seed in zip(found, (5, 2), strict=True):
        assert torch.equal(row, models.flat(models.build(model, (1, 4, 4), 3, seed)))


# Losses


@pytest.mark.parametrize("split", ["train", "test"])
def test_losses_and_accuracies_equal_a_plain_loop(mlp, plain_data, points, way, split):
    """In chunks of 7, the last of which is smaller: every example counts the same."""
    where, (images, labels) = points(5, mlp.dim), plain_data[split]
    values = use(mlp, examples=7, **way).evaluate(where, split)
    for k, point in enumerate(where):
        logits = at(plain_mlp(), point)(images).detach()
        assert float(values["loss"][k]) == pytest.approx(float(cross_entropy(logits.double(), labels)), rel=1e-6)
        assert float(values["score"][k]) == pytest.approx(float((logits.argmax(1) == labels).double().mean()), abs=1e-7)
    assert torch.equal(mlp.losses(where, split), values["loss"])


@pytest.mark.parametrize("model", [CNN, GROUPED, RESNET], ids=["cnn", "group", "batch"])
def test_one_after_another_and_together_agree(network, points, model):
    landscape = network(model)
    where = 0.3 * points(3, landscape.dim)
    loop, together = (use(landscape, examples=20, **WAYS[name]).evaluate(where) for name in ("loop", "together"))
    close(loop["loss"], together["loss"], 1e-5)
    assert torch.equal(loop["score"], together["score"])
    gradients = [use(landscape, examples=20, **WAYS[name]).gradients(where) for name in ("loop", "together")]
    assert (gradients[0] - gradients[1]).norm() < 1e-2 * gradients[0].norm()  # norms of few values amplify rounding
    # In float64 they amplify it by as much, and 1e-10 is far above that.
    landscape.module.double()
    landscape.splits = {split: (images.double(), labels) for split, (images, labels) in landscape.splits.items()}
    batch = Batch(torch.arange(24).reshape(3, 8), [], torch.zeros(3))
    gradients = [
        use(landscape, examples=20, **WAYS[name]).gradients(where.double(), batch) for name in ("loop", "together")
    ]
    assert (gradients[0] - gradients[1]).norm() < 1e-10 * gradients[0].norm()


def test_large_logits_give_the_exact_loss(mlp, points):
    where = 1e4 * points(2, mlp.dim)
    values = mlp.evaluate(where)
    assert values["loss"].isfinite().all()
    assert (values["loss"] > 1e6).all()


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_give_nan_and_leave_neighbours_alone(mlp, points, way, spoilt):
    use(mlp, examples=20, **way)
    where = points(4, mlp.dim)
    alone = mlp.evaluate(where)
    where[1, 5] = spoilt
    values = mlp.evaluate(where)
    for name in ("loss", "score"):
        assert values[name][1].isnan()
        assert torch.equal(values[name][[0, 2, 3]], alone[name][[0, 2, 3]])


# Gradients


def minibatch(count=4, size=9, seed=0):
    examples = [stream("test batch", seed, k).integers(61, size=size) for k in range(count)]
    return Batch(torch.tensor(np.stack(examples)), [], torch.zeros(count))


def test_stochastic_gradients_equal_autograd_on_each_points_own_examples(mlp, plain_data, points, way):
    where, batch = points(4, mlp.dim), minibatch()
    images, labels = plain_data["train"]
    found = use(mlp, **way).gradients(where, batch)
    for k, point in enumerate(where):
        chosen = batch.examples[k]
        close(found[k], plain_gradient(plain_mlp(), point, images[chosen], labels[chosen]))


def test_full_gradients_equal_autograd_on_all_examples(mlp, plain_data, points, way):
    where = points(3, mlp.dim)
    found = use(mlp, examples=7, **way).gradients(where)
    for k, point in enumerate(where):
        close(found[k], plain_gradient(plain_mlp(), point, *plain_data["train"]))


def test_gradients_leave_no_graph(mlp, points):
    where = points(2, mlp.dim)
    assert not mlp.gradients(where).requires_grad
    assert not mlp.gradients(where, minibatch(2)).requires_grad
    assert not where.requires_grad
    assert all(parameter.grad is None for parameter in mlp.module.parameters())


def test_full_gradients_are_the_slope_of_the_losses_with_batch_norm(normed, points, way):
    use(normed, examples=20, **way)
    where, along = 0.5 * points(2, normed.dim), points(2, normed.dim, 1)
    along = along / along.norm(dim=1, keepdim=True)
    step = 1e-2
    slope = (normed.losses(where + step * along) - normed.losses(where - step * along)) / (2 * step)
    close((normed.gradients(where) * along).sum(1), slope, 2e-3)
    assert slope.abs().max() > 0.02


# Hessian-vector products


def test_hvp_equals_a_dense_hessian(network, plain_data, points):
    tiny = use(network(width=3, depth=1), examples=7, differentiated=7)
    images, labels = plain_data["train"]
    plain = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.ReLU(), nn.Linear(3, 3)).double()
    names = [name for name, _ in plain.named_parameters()]
    sizes = [parameter.numel() for parameter in plain.parameters()]
    shapes = [parameter.shape for parameter in plain.parameters()]

    def loss(point):
        parts = [part.reshape(shape) for part, shape in zip(point.split(sizes), shapes, strict=True)]
        return cross_entropy(
            torch.func.functional_call(plain, dict(zip(names, parts, strict=True)), (images.double(),)), labels
        )

    point, vectors = points(1, tiny.dim)[0], points(4, tiny.dim, 1)
    hessian = torch.autograd.functional.hessian(loss, point.double())
    wanted = (vectors.double() @ hessian).float()
    assert wanted.abs().max() > 1
    close(tiny.hvp(point, vectors), wanted, 1e-5)
    close(use(tiny, train_together=False).hvp(point, vectors), wanted, 1e-5)


def test_hvp_is_the_slope_of_the_gradients_with_batch_norm(normed, points):
    point, vectors = 0.5 * points(1, normed.dim)[0], points(2, normed.dim, 1)
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    step = 1e-3
    slope = (normed.gradients(point + step * vectors) - normed.gradients(point - step * vectors)) / (2 * step)
    found = normed.hvp(point, vectors)
    assert float((found - slope).norm() / slope.norm()) < 0.02
    close(found[0] @ vectors[1], found[1] @ vectors[0], 1e-5)  # the Hessian is symmetric


MODELS = pytest.mark.parametrize(
    "model", [{"name": "mlp", "width": 8, "depth": 2}, CNN, RESNET], ids=["mlp", "cnn", "resnet"]
)


@pytest.mark.parametrize("held", [0, GRAPH_BYTES])
@MODELS
def test_a_hessian_that_is_asked_often_gives_the_same_products(network, points, model, held):
    landscape = use(network(model), differentiated=20, held=held)
    point, vectors = 0.5 * points(1, landscape.dim)[0], points(3, landscape.dim, 1)
    hessian = landscape.hessian_at(point)
    for _ in range(2):
        torch.testing.assert_close(hessian(vectors), landscape.hvp(point, vectors), rtol=0, atol=0)
    torch.testing.assert_close(hessian(vectors[1:2])[0], landscape.hvp(point, vectors)[1], rtol=0, atol=0)


@pytest.mark.parametrize("products", [1, 61, 200])
@MODELS
def test_products_do_not_depend_on_how_many_examples_or_vectors_are_together(network, points, model, products):
    landscape = network(model)
    point, vectors = 0.5 * points(1, landscape.dim)[0], points(3, landscape.dim, 1)
    wanted = use(landscape, differentiated=61, held=0).hvp(point, vectors)
    assert float(wanted.abs().max()) > 0.1
    for held in (0, GRAPH_BYTES):
        found = use(landscape, differentiated=13, products=products, held=held).hvp(point, vectors)
        assert float((found - wanted).norm() / wanted.norm()) < 1e-5


def test_a_hessian_that_fits_is_differentiated_once(network, points):
    calls = []
    landscape = use(network(), differentiated=20, stack=None)
    fixed, each = landscape._graph_bytes
    for held in (math.ceil(fixed + 61 * each) - 1, math.ceil(fixed + 61 * each)):  # 61 examples in 4 chunks
        landscape = use(network(), differentiated=20, held=held, stack=None)
        assert landscape.holds_graphs == (held >= fixed + 61 * each)
        logits = landscape._logits
        landscape._logits = lambda *args, logits=logits: calls.append(1) or logits(*args)
        hessian = landscape.hessian_at(points(1, landscape.dim)[0])
        for _ in range(3):
            hessian(points(2, landscape.dim, 1))
        calls.append(0)
    first, second = "".join(map(str, calls)).split("0")[:2]
    assert (len(first), len(second)) == (12, 4)


def test_the_size_of_a_graph_is_what_it_keeps(network, points):
    """A network of linear layers keeps at least its inputs and activations, and not ten times as much."""
    landscape = use(network(width=8, depth=2), stack=None)
    fixed, each = landscape._graph_bytes
    assert each >= 4 * (8 + 8 + 3)
    assert each < 10 * 4 * (16 + 8 + 8 + 3)
    assert fixed <= 10 * 4 * landscape.dim


def test_examples_that_are_in_memory_anyway_are_no_part_of_a_graph(network):
    landscape = use(network(CNN))
    before = landscape._graph_bytes
    images, labels = landscape.splits["train"]
    many = use(network(CNN))
    arranged = images.repeat(50, 1, 1, 1).to(memory_format=torch.channels_last)
    many.splits = many.splits | {"train": (arranged, labels.repeat(50))}
    many.examples = 50 * landscape.examples
    assert many._graph_bytes == pytest.approx(before, rel=1e-6)


def test_chunks_of_one_graph_share_the_statistics_of_batch_norm(network, points):
    landscape, calls = use(network(RESNET), differentiated=20), []
    assert landscape.holds_graphs
    moments = landscape._moments
    landscape._moments = lambda parameters: calls.append(1) or moments(parameters)
    landscape.hessian_at(0.5 * points(1, landscape.dim)[0])(points(2, landscape.dim, 1))
    assert len(calls) == 1


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("strategy", ["auto", "plain"])
def test_the_trace_of_linear_layers_is_exact(data, plain_data, points, depth, strategy):
    landscape = network_landscape(data, {"name": "mlp", "width": 4, "depth": depth}, "cpu", strategy)
    point = points(1, landscape.dim)[0]
    dense = landscape.hvp(point, torch.eye(landscape.dim))
    assert float(dense.trace()) > 1
    assert landscape.hessian_trace(point) == pytest.approx(float(dense.double().trace()), rel=1e-5)
    moments = hessian_moments(landscape, point, points(3, landscape.dim, 2))
    assert (moments.trace, moments.trace_error) == (landscape.hessian_trace(point), 0)


@pytest.mark.parametrize("model", [CNN, RESNET, GROUPED], ids=["cnn", "batch", "group"])
def test_the_trace_of_other_networks_is_asked_of_products(network, points, model):
    landscape = network(model)
    point, probes = 0.5 * points(1, landscape.dim)[0], points(5, landscape.dim, 2)
    assert landscape.hessian_trace(point) is None
    moments = hessian_moments(landscape, point, probes)
    assert moments.trace == pytest.approx(float((landscape.hvp(point, probes) * probes).sum(1).mean()), rel=1e-4)
    assert moments.trace_error > 0


def test_a_network_that_does_other_than_its_layers_say_has_no_exact_trace(network, points):
    landscape = use(network(), stack=None)
    landscape.module[1].register_forward_hook(lambda _layer, _inputs, output: 2 * output)
    assert landscape.hessian_trace(points(1, landscape.dim)[0]) is None


# Evaluating changes nothing


def state_of(module):
    tensors = itertools.chain(module.parameters(), module.buffers())
    return [tensor.detach().numpy().tobytes() for tensor in tensors]


@MODELS
def test_evaluating_never_changes_the_model_and_repeats_itself_in_every_byte(network, points, way, model):
    landscape = use(network(model), examples=20, **way)
    where = points(3, landscape.dim)
    before, given, global_stream = state_of(landscape.module), where.clone(), torch.get_rng_state()
    first = landscape.evaluate(where)
    landscape.predictions(where)
    landscape.gradients(where, minibatch(3))
    landscape.gradients(where)
    landscape.hvp(where[0], where[1:])
    again = landscape.evaluate(where)
    for name, values in first.items():
        assert values.numpy().tobytes() == again[name].numpy().tobytes()
    assert state_of(landscape.module) == before
    assert torch.equal(where, given)
    assert torch.equal(torch.get_rng_state(), global_stream)


# Dropout


def with_dropout(rates, seeds=(3, 4, 5), step=11, size=9):
    batch = minibatch(len(rates), size)
    streams = [stream("dropout", seed, step) for seed in seeds[: len(rates)]]
    return Batch(batch.examples, streams, torch.tensor(rates))


def test_masks_depend_on_seed_and_step_alone(mlp):
    def masks(seeds, step):
        return mlp._masks(with_dropout([0.5] * len(seeds), seeds, step))

    three, alone = masks((3, 4, 5), 11), masks((4,), 11)
    for layer in range(2):
        assert torch.equal(three[layer][1], alone[layer][0])
        assert not torch.equal(three[layer][1], three[layer][0])
        assert not torch.equal(alone[layer], masks((4,), 12)[layer])
    assert not torch.equal(alone[0], alone[1])  # layers of equal width have masks of their own


def test_masks_keep_expectations_and_each_points_own_rate(mlp):
    rates = [0.0, 0.25, 0.8]
    for mask in mlp._masks(with_dropout(rates, size=2000)):
        assert mask.shape == (3, 2000, 8)
        assert torch.equal(mask[0], torch.ones(2000, 8))
        for k in (1, 2):
            kept = 1 / (1 - rates[k])
            np.testing.assert_allclose(np.unique(mask[k]), [0, kept], rtol=1e-6)
            deviation = np.sqrt(rates[k] / (1 - rates[k]) / mask[k].numel())
            assert abs(float(mask[k].mean()) - 1) < 4 * deviation


def test_without_dropout_there_are_no_masks(mlp):
    assert mlp._masks(minibatch()) == ()


def test_gradients_with_dropout_equal_autograd_through_the_same_masks(mlp, plain_data, points, way):
    where = points(3, mlp.dim)
    masks = mlp._masks(with_dropout([0.0, 0.3, 0.6]))
    batch = with_dropout([0.0, 0.3, 0.6])
    found = use(mlp, **way).gradients(where, batch)
    images, labels = plain_data["train"]
    for k, point in enumerate(where):
        plain = at(plain_mlp(), point)
        hidden = (plain[1](images[batch.examples[k]].flatten(1)).relu()) * masks[0][k]
        hidden = (plain[4](hidden).relu()) * masks[1][k]
        loss = cross_entropy(plain[7](hidden), labels[batch.examples[k]])
        close(found[k], parameters_to_vector(torch.autograd.grad(loss, list(plain.parameters()))))
    assert all(layer.mask is None for layer in models.dropouts(mlp.module))


def test_evaluation_after_dropout_is_noiseless(mlp, points):
    where = points(3, mlp.dim)
    before = mlp.evaluate(where)["loss"]
    full = mlp.gradients(where)
    mlp.gradients(where, with_dropout([0.5] * 3))
    assert torch.equal(mlp.evaluate(where)["loss"], before)
    assert torch.equal(mlp.gradients(where), full)


# Batch norm


def test_losses_with_batch_norm_equal_pytorchs_by_the_statistics_of_the_training_split(normed, plain_data, points, way):
    """All 61 examples are the calibration set here, so PyTorch's training mode on the whole split gives them."""
    where = 0.5 * points(3, normed.dim)
    values = {split: use(normed, examples=7, **way).losses(where, split) for split in ("train", "test")}
    for k, point in enumerate(where):
        plain = at(plain_normed(), point)
        for layer in plain.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.momentum = 1.0
        count = 61
        train = cross_entropy(plain(plain_data["train"][0]), plain_data["train"][1])
        assert float(values["train"][k]) == pytest.approx(train.item(), rel=1e-5)
        plain.eval()
        for layer in plain.modules():  # PyTorch remembers the unbiased variance
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                pixels = 16 if isinstance(layer, nn.BatchNorm2d) else 1
                layer.running_var *= (count * pixels - 1) / (count * pixels)
        test = cross_entropy(plain(plain_data["test"][0]), plain_data["test"][1])
        assert float(values["test"][k]) == pytest.approx(test.item(), rel=1e-5)


def test_stochastic_gradients_use_the_statistics_of_their_minibatch(normed, plain_data, points, way):
    where, batch = 0.5 * points(3, normed.dim), minibatch(3)
    images, labels = plain_data["train"]
    use(normed, **way).evaluate(where)  # statistics that must not be used
    found = normed.gradients(where, batch)
    for k, point in enumerate(where):
        chosen = batch.examples[k]
        close(found[k], plain_gradient(plain_normed(), point, images[chosen], labels[chosen]), 1e-5)


@pytest.mark.parametrize("model", [RESNET, GROUPED], ids=["batch", "group"])
def test_losses_do_not_depend_on_chunks_or_on_earlier_evaluations(network, points, way, model):
    landscape = network(model)
    where = 0.3 * points(3, landscape.dim)
    whole = use(landscape, examples=61, **way).evaluate(where)
    for examples in (5, 16):
        chunked = use(landscape, examples=examples).evaluate(where)
        close(chunked["loss"], whole["loss"], 1e-5)
    use(landscape, examples=16).evaluate(10 * points(2, landscape.dim, 1))
    landscape.gradients(where[:2], minibatch(2))
    again = landscape.evaluate(where)
    assert torch.equal(again["loss"], chunked["loss"])


def test_calibration_is_a_fixed_part_of_the_training_split(network, monkeypatch):
    monkeypatch.setattr(networks, "CALIBRATION_EXAMPLES", 10)
    first, second = network(RESNET), network(RESNET)
    assert first._calibration.shape == (10, 1, 4, 4)
    assert torch.equal(first._calibration, second._calibration)
    train = {image.numpy().tobytes() for image in first.splits["train"][0]}
    assert all(image.numpy().tobytes() in train for image in first._calibration)


# Predictions


def test_predictions_are_the_probabilities_of_every_example(mlp, plain_data, points, way):
    where, (images, labels) = points(5, mlp.dim), plain_data["test"]
    found = use(mlp, examples=7, **way).predictions(where)
    assert found.shape == (5, 31, 3)
    close(found.sum(2), torch.ones(5, 31))
    for k, point in enumerate(where):
        close(found[k], at(plain_mlp(), point)(images).softmax(1).detach(), 1e-5)
    accuracy = (found.argmax(2) == labels).float().mean(1)
    close(accuracy, mlp.evaluate(where, "test")["score"])
    assert mlp.predictions(where, "train").shape == (5, 61, 3)


# Where to compute


def machine(monkeypatch, cuda, mps):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "wanted"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, False, "cuda")],
)
def test_auto_takes_the_best_there_is(monkeypatch, cuda, mps, wanted):
    machine(monkeypatch, cuda, mps)
    assert choose_device("auto") == torch.device(wanted)
    assert choose_device("cpu") == torch.device("cpu")


def test_a_device_that_is_not_there_is_named_with_those_that_are(monkeypatch):
    machine(monkeypatch, False, True)
    with pytest.raises(InputError) as error:
        choose_device("cuda")
    assert str(error.value) == "device: cuda is not available on this machine; allowed here: auto, mps, cpu"


def test_strategies_are_those_that_were_measured(network):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    linear, convolutional = network(), network(CNN)
    assert linear.strategy.stack.sizes == [(16, 8), (8, 8), (8, 3)]
    assert convolutional.strategy == choose_strategy(cpu, convolutional.module)
    assert not convolutional.strategy.stack
    assert not choose_strategy(cpu, convolutional.module).train_together
    assert choose_strategy(gpu, convolutional.module).train_together
    assert choose_strategy(gpu, convolutional.module).evaluate_together
    assert choose_strategy(gpu, linear.module).stack
    assert choose_strategy(gpu, linear.module).points > choose_strategy(cpu, linear.module).points


def test_the_plain_strategy_computes_one_point_after_another(network, points):
    fast, plain = network(), network()
    plain.strategy = PLAIN
    where = points(3, fast.dim)
    for name, values in fast.evaluate(where).items():
        close(plain.evaluate(where)[name], values)
    close(plain.gradients(where), fast.gradients(where))
    close(plain.hvp(where[0], where), fast.hvp(where[0], where), 1e-5)
