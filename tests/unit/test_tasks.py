"""Tasks: losses, scores and chance against PyTorch and scikit-learn; what does not fit is refused."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import nn
from torch.nn import functional

import wedgescape
from wedgescape.data.datasets import load_dataset
from wedgescape.errors import InputError
from wedgescape.landscapes import tasks
from wedgescape.landscapes.networks import initial_points, network_landscape
from wedgescape.study import losses
from wedgescape.study.losses import PLAIN, said

MLP = {"name": "mlp", "width": 6, "depth": 2}
MSE = PLAIN | {"loss": "mse"}


@pytest.fixture(scope="module")
def diabetes():
    return load_dataset("diabetes", train_examples=60, test_examples=40)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", train_examples=60, test_examples=40)


def outputs_at(landscape, point, split):
    """Return the network's outputs (N, O) at a point, computed by the module itself."""
    nn.utils.vector_to_parameters(point, landscape.module.parameters())
    with torch.no_grad():
        return landscape.module(landscape.splits[split][0])


@pytest.mark.parametrize("strategy", ["auto", "plain"])
def test_the_squared_error_and_r2_are_those_of_the_outputs(diabetes, strategy):
    landscape = network_landscape(diabetes, MLP, "cpu", strategy, MSE)
    points = initial_points(landscape, diabetes, MLP, [0, 1])
    assert (landscape.score, landscape.unit, landscape.classes, landscape.outputs) == ("R^2", "variance", 0, 1)
    for split in ("train", "test"):
        found = landscape.evaluate(points, split)
        for k, point in enumerate(points):
            predicted, labels = outputs_at(landscape, point, split)[:, 0], landscape.splits[split][1]
            assert float(found["loss"][k]) == pytest.approx(float((predicted - labels).square().mean()), rel=1e-5)
            assert float(found["score"][k]) == pytest.approx(r2_score(labels, predicted), abs=1e-5)


def test_chance_is_the_mean_label(diabetes):
    landscape = network_landscape(diabetes, MLP, "cpu", about=MSE)
    labels = landscape.splits["train"][1]
    assert (float(labels.mean()), float(labels.var(correction=0))) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
    assert landscape.chance_loss == pytest.approx(1)
    assert network_landscape(load_dataset("digits"), MLP, "cpu").chance_loss == np.log(10)


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("diabetes", MSE),
        ("digits", PLAIN | {"label_smoothing": 0.2}),
        ("digits", PLAIN | {"class_weights": [1.0, 3.0, *[2.0] * 8]}),
    ],
)
def test_gradients_and_hessians_are_those_of_finite_differences(name, about, request):
    landscape = network_landscape(request.getfixturevalue(name), MLP, "cpu", about=about)
    landscape.module.double()
    landscape.splits = {
        split: (inputs.double(), labels.double() if labels.is_floating_point() else labels)
        for split, (inputs, labels) in landscape.splits.items()
    }
    draw = torch.Generator().manual_seed(1)
    point, way = (torch.randn(landscape.dim, generator=draw, dtype=torch.float64) for _ in range(2))
    point, step = point / 4, 1e-5
    ahead, behind = point + step * way, point - step * way

    def exact(at):
        """The loss at a point, float64 from end to end."""
        nn.utils.vector_to_parameters(at, landscape.module.parameters())
        inputs, labels = landscape.splits["train"]
        with torch.no_grad():
            return float(landscape.task.mean(landscape.module(inputs), labels))

    slope = float(landscape.gradients(point[None])[0] @ way)
    assert slope == pytest.approx((exact(ahead) - exact(behind)) / (2 * step), rel=1e-5)
    change = (landscape.gradients(ahead[None]) - landscape.gradients(behind[None]))[0] / (2 * step)
    assert torch.allclose(landscape.hvp(point, way[None])[0], change, rtol=1e-4, atol=1e-6)


def test_smoothing_and_weights_are_pytorchs(digits):
    weights = [1.0, 3.0, *[2.0] * 8]
    about = PLAIN | {"label_smoothing": 0.2, "class_weights": weights}
    landscape = network_landscape(digits, MLP, "cpu", about=about)
    points = initial_points(landscape, digits, MLP, [0])
    labels = landscape.splits["train"][1]
    outputs = outputs_at(landscape, points[0], "train")
    each = functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=0.2)
    wanted = (each * torch.tensor(weights)[labels]).sum() / torch.tensor(weights)[labels].sum()
    assert float(landscape.losses(points)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(landscape.evaluate(points)["score"]) == pytest.approx(
        float((outputs.argmax(1) == labels).float().mean())
    )
    assert landscape.chance_loss == pytest.approx(np.log(10))
    probabilities = landscape.predictions(points, "train")[0]
    assert torch.allclose(probabilities, outputs.softmax(1), atol=1e-6)


def test_the_binary_cross_entropy_of_several_labels():
    draw = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(30, 4, generator=draw), torch.randint(2, (30, 3), generator=draw)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    landscape = wedgescape.NetworkLandscape.of(network, (inputs, labels), "binary_cross_entropy")
    point = torch.nn.utils.parameters_to_vector(network.parameters()).detach()[None]
    found, outputs = landscape.evaluate(point), network(inputs).detach()
    wanted = functional.binary_cross_entropy_with_logits(outputs, labels.float())
    assert float(found["loss"]) == pytest.approx(float(wanted), rel=1e-5)
    assert float(found["score"]) == pytest.approx(float(((outputs > 0) == (labels > 0)).float().mean()))
    assert landscape.chance_loss == pytest.approx(np.log(2))
    with pytest.raises(InputError, match="compares probabilities of classes, which loss binary_cross_entropy has not"):
        landscape.predictions(point, "train")


def test_a_function_is_a_loss_as_good_as_a_name():
    draw = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(40, 4, generator=draw), torch.randint(3, (40,), generator=draw)
    networks = [nn.Linear(4, 3) for _ in range(3)]
    loss = partial(functional.cross_entropy, reduction="none")
    own = wedgescape.Optima.from_modules(networks, (inputs, labels), loss)
    named = wedgescape.Optima.from_modules(networks, (inputs, labels))
    assert torch.allclose(own.landscape.losses(own.points), named.landscape.losses(own.points), atol=1e-6)
    assert own.chance_loss == pytest.approx(named.chance_loss)
    numbers = torch.randn(40, generator=draw)
    huber = partial(functional.huber_loss, reduction="none")
    with pytest.raises(InputError, match=r"returns \(4, 3\) for 4 examples. It must return the loss of each"):
        wedgescape.Optima.from_modules(networks, (inputs, labels[:, None].float().expand(-1, 3)), huber)
    each = wedgescape.Optima.from_modules([nn.Linear(4, 1)] * 2, (inputs, numbers), lambda a, b: huber(a[:, 0], b))
    assert each.landscape.score == "R^2"
    assert wedgescape.measurements.tunnels.measure(each)["width_score"].sizes["seed"] == 2


@pytest.mark.parametrize(
    ("name", "about", "text"),
    [
        ("digits", MSE, "loss: mse needs labels that are numbers"),
        ("digits", PLAIN | {"loss": "binary_cross_entropy"}, "needs labels that are 0 or 1; the data's are not"),
        ("diabetes", PLAIN, "loss: cross_entropy needs labels that are classes; the data's are numbers"),
        (
            "digits",
            PLAIN | {"class_weights": [1.0]},
            "class_weights: found 1 weights; there must be one a class",
        ),
        (
            "digits",
            PLAIN | {"loss": {"file": "gone.py", "name": "a", "score": "R^2"}},
            "gone.py: there is no",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(name, about, text, request):
    with pytest.raises(InputError, match=text):
        network_landscape(request.getfixturevalue(name), MLP, "cpu", about=about)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return outputs[:, 0].detach()", "does not depend on the outputs"),
        ("return outputs.mean()", "It must return the loss of each"),
        ("return outputs[:, 0] / 0", "must be finite, and the same for the same outputs"),
        ("return outputs[:, 0] + torch.rand(len(outputs))", "must be finite, and the same for the same outputs"),
        ("return nothing", "fails: NameError"),
    ],
)
def test_own_losses_are_tried_first(diabetes, tmp_path, body, text):
    file = tmp_path / "my_loss.py"
    file.write_text(f"import torch\n\ndef mine(outputs, labels):\n    {body}\n")
    about = PLAIN | {"loss": {"file": str(file), "name": "mine", "score": "R^2"}}
    with pytest.raises(InputError, match=text):
        network_landscape(diabetes, MLP, "cpu", about=about)


def test_an_own_loss_from_a_file(diabetes, tmp_path):
    file = tmp_path / "my_loss.py"
    file.write_text("def mine(outputs, labels):\n    return (outputs[:, 0] - labels).abs()\n")
    about = PLAIN | {"loss": {"file": str(file), "name": "mine", "score": "R^2"}}
    landscape = network_landscape(diabetes, MLP, "cpu", about=about)
    points = initial_points(landscape, diabetes, MLP, [0])
    wanted = (outputs_at(landscape, points[0], "train")[:, 0] - landscape.splits["train"][1]).abs().mean()
    assert float(landscape.losses(points)) == pytest.approx(float(wanted), rel=1e-5)
    assert landscape.chance_loss == pytest.approx(float(landscape.splits["train"][1].abs().mean()))
    about["loss"]["score"] = "accuracy"
    with pytest.raises(InputError, match=r"loss.score: found accuracy; the data's labels are numbers, so it must be R"):
        network_landscape(diabetes, MLP, "cpu", about=about)


def test_vectors_and_tokens_are_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = """
        import numpy as np
        def {name}():
            draw = np.random.default_rng(0)
            inputs = {inputs}
            labels = np.arange(30) % 3
            return inputs[:20], labels[:20], inputs[20:], labels[20:]
    """
    for name, inputs in (("vectors", "draw.random((30, 4))"), ("tokens", "draw.integers(7, size=(30, 5))")):
        code = "\n".join(line[8:] for line in text.format(name=name, inputs=inputs).splitlines())
        (tmp_path / f"{name}.py").write_text(code)
    vectors = load_dataset({"file": "vectors.py", "name": "vectors"})
    assert vectors["inputs"].dims == ("example", "feature")
    inputs, _labels = tasks.examples_of(vectors)["train"]
    assert torch.allclose(inputs.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(inputs.std(0, correction=0), torch.ones(4), atol=1e-5)
    tokens = load_dataset({"file": "tokens.py", "name": "tokens"})
    assert (tokens["inputs"].dims, json.loads(tokens.attrs["normalisation"])) == (("example", "position"), None)
    inputs, _labels = tasks.examples_of(tokens)["test"]
    assert np.array_equal(inputs, tokens["inputs"][20:])
    assert inputs.dtype == torch.int64
    with pytest.raises(InputError, match=r"model.name: mlp takes no tokens of shape \(5,\)"):
        network_landscape(tokens, MLP, "cpu")
    (tmp_path / "tokens.py").write_text((tmp_path / "tokens.py").read_text().replace("(7,", "(-1, 7,"))
    with pytest.raises(InputError, match=r"contains -1. Tokens must be whole numbers from 0"):
        load_dataset({"file": "tokens.py", "name": "tokens"})


def test_what_figures_say_of_other_losses():
    assert losses.words("cross_entropy") == losses.words("binary_cross_entropy") == {}
    words = losses.words("mse")
    assert said("Test accuracy", words) == "Test R²"
    assert said("training loss (nats)", words) == "training loss (variances)"
    own = losses.words({"file": "a.py", "name": "a", "score": "accuracy"})
    assert said("loss (nats), accuracy (fraction)", own) == "loss, accuracy (fraction)"
