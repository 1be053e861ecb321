"""Networks of a user's own: what is wrong with them is said before anything is trained, and the rest works."""

import textwrap

import numpy as np
import pytest
import torch
import xarray as xr
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from wedgescape.errors import InputError
from wedgescape.landscapes import models, trials
from wedgescape.landscapes.base import Batch
from wedgescape.landscapes.networks import network_landscape
from wedgescape.numerics.randomness import stream
from wedgescape.training.train import train

SHAPE, CLASSES = (3, 8, 8), 3
HEAD = "import numpy as np\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn\n"
TRAINING = {
    "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0, "dropout": 0.0,
    "batch_size": 16, "epochs": 2, "schedule": "constant", "warmup_epochs": 0, "cycles": 1, "clip_norm": None,
    "snapshot_epochs": None, "sharpness_radius": 0.0, "average_epochs": None,
}  # fmt: skip


@pytest.fixture
def own(tmp_path):
    """Write a class `Net` to a file; return the model as a config has it."""

    def write(body: str, name: str = "my_model.py", **keys) -> dict:
        (tmp_path / name).write_text(HEAD + textwrap.dedent(body))
        return {"name": "Net", "file": str(tmp_path / name), "width": 8, "depth": 2, "norm": "batch", **keys}

    return write


def net(init: str, forward: str) -> str:
    """A class with the lines of its constructor and of its forward pass, of x (B, 3, 8, 8)."""
    lines = ["class Net(nn.Module):", "    def __init__(self, input_shape, classes, width=8, **_):"]
    lines += ["        super().__init__()", "        inputs = input_shape[0] * input_shape[1] * input_shape[2]"]
    lines += [f"        {line}" for line in init.strip().splitlines()]
    lines += ["    def forward(self, x):", *(f"        {line}" for line in forward.strip().splitlines())]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    draw = np.random.default_rng(0)
    labels = np.arange(72) % CLASSES
    images = draw.normal(labels[:, None, None, None], 1.0, (72, *SHAPE)).astype("float32")
    normal = '{"scale": 1.0, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}'
    return xr.Dataset(
        {
            "images": (("example", "channel", "row", "column"), images),
            "labels": (("example",), labels),
            "split": (("example",), np.array(["train"] * 48 + ["test"] * 24)),
        },
        attrs={"classes": CLASSES, "normalisation": normal, "sha256": "0"},
    )


def trained(data, model, seeds=(0, 1), **training):
    landscape = network_landscape(data, model, "cpu")
    return landscape, train(landscape, data, {"model": model, "training": TRAINING | training}, list(seeds))


MLP = "self.a, self.b = nn.Linear(inputs, width), nn.Linear(width, classes)"
KINDS = {
    "functional dropout": net(MLP, "return self.b(F.dropout(F.relu(self.a(x.flatten(1))), 0.5, self.training))"),
    "convolution and dropout": net(
        "self.c, self.b = nn.Conv2d(3, width, 3, padding=1), nn.Linear(16 * width, classes)",
        "return self.b(F.dropout(F.max_pool2d(F.relu(self.c(x)), 2).flatten(1), 0.5, self.training))",
    ),
    "transformer": net(
        "self.e, self.h = nn.Linear(24, width), nn.Linear(width, classes)\n"
        "self.t = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True)",
        "return self.h(self.t(self.e(x.permute(0, 2, 1, 3).flatten(2))).mean(1))",
    ),
    "attention": net(
        "self.q, self.h = nn.Linear(24, 3 * width), nn.Linear(width, classes)",
        "q, k, v = self.q(x.permute(0, 2, 1, 3).flatten(2)).chunk(3, -1)\n"
        "return self.h(F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0].mean(1))",
    ),
    "view": net(
        "self.c, self.b = nn.Conv2d(3, width, 3, padding=1), nn.Linear(16 * width, classes)",
        "return self.b(F.max_pool2d(F.relu(self.c(x)), 2).view(-1, self.b.in_features))",
    ),
    "unused": net(MLP + "; self.u = nn.Linear(width, 2)", "return self.b(F.relu(self.a(x.flatten(1))))"),
    "scale": net(
        MLP + "; self.s = nn.Parameter(torch.ones(()))", "return self.b(self.s * F.relu(self.a(x.flatten(1))))"
    ),
    "frozen": net(MLP + "; self.a.requires_grad_(False)", "return self.b(F.relu(self.a(x.flatten(1))))"),
    "recurrent": net(
        "self.r, self.h = nn.GRU(24, width, batch_first=True), nn.Linear(width, classes)",
        "return self.h(self.r(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])",
    ),
    "tied": net(
        "self.a, self.b = nn.Linear(inputs, inputs), nn.Linear(inputs, inputs); self.h = nn.Linear(inputs, classes)\n"
        "self.b.weight = self.a.weight",
        "return self.h(F.relu(self.b(F.relu(self.a(x.flatten(1))))))",
    ),
    "float64": net(MLP + "; self.double()", "return self.b(F.relu(self.a(x.flatten(1))))"),
    "lazy": net(
        "self.a, self.b = nn.LazyLinear(width), nn.Linear(width, classes)", "return self.b(self.a(x.flatten(1)))"
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_many_kinds_are_trained_and_have_hessians(kind, own, data):
    model = own(KINDS[kind])
    trials.check_seeds(model, SHAPE, CLASSES)
    landscape, store = trained(data, model)
    theta = torch.from_numpy(store["theta"].values)
    assert not store["diverged"].any()
    assert torch.equal(landscape.losses(theta), landscape.losses(theta))
    alone = trained(data, model, seeds=[1])[1]
    assert np.array_equal(alone["theta"].values[0], store["theta"].values[1])  # whatever is trained beside it
    direction = torch.nn.functional.normalize(torch.randn(landscape.dim), dim=0)
    torch.testing.assert_close(
        landscape.hvp(theta[0], direction[None])[0],
        plain_product(model, data, theta[0], direction),
        rtol=1e-3,
        atol=1e-4,
    )


def plain_product(model, data, point, direction):
    """The Hessian's product with a direction, from the module alone: by the slope of its gradient along the line."""
    module, chosen = models.build(model, SHAPE, CLASSES), data["split"].values == "train"
    images, labels = (torch.from_numpy(data[name].values[chosen]) for name in ("images", "labels"))
    names = [name for name, _ in module.named_parameters()]
    shapes = [one.shape for one in module.parameters()]

    def loss(vector):
        parts = vector.split([shape.numel() for shape in shapes])
        weights = {name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return cross_entropy(functional_call(module, weights, (images,)), labels)

    with sdpa_kernel(SDPBackend.MATH):
        return torch.autograd.functional.hvp(loss, point, direction)[1]


@pytest.mark.parametrize("kind", ["functional dropout", "convolution and dropout", "transformer"])
def test_noise_of_training_is_drawn_from_the_stream_of_the_seed(kind, own, data):
    landscape = network_landscape(data, own(KINDS[kind]), "cpu")
    assert landscape.trains_with_noise
    assert not landscape.noise  # only training has it
    noisy, point = landscape.in_training(), models.flat(landscape.module)

    def gradient(seed: int) -> torch.Tensor:
        batch = Batch(torch.arange(16)[None], [stream(noisy.noise, seed, 0)], torch.zeros(1))
        return noisy.gradients(point[None], batch)

    assert torch.equal(gradient(0), gradient(0))
    assert not torch.equal(gradient(0), gradient(1))
    assert not landscape.module.training


def test_a_network_without_noise_trains_without(own, data):
    landscape = network_landscape(data, own(KINDS["view"]), "cpu")
    assert landscape.in_training() is landscape


def test_frozen_parameters_are_no_directions_and_a_tied_one_counts_once(own, data):
    built = models.build(own(KINDS["frozen"]), SHAPE, CLASSES)
    assert [entry["name"] for entry in models.layout(built)] == ["b.weight", "b.bias"]
    before = built.a.weight.clone()
    landscape, _store = trained(data, own(KINDS["frozen"]))
    assert torch.equal(landscape.module.a.weight, before)
    tied = models.build(own(KINDS["tied"]), SHAPE, CLASSES)
    assert [entry["name"] for entry in models.layout(tied)] == ["a.weight", "a.bias", "b.bias", "h.weight", "h.bias"]


def test_an_unused_parameter_stays_where_it_began(own, data):
    _landscape, store = trained(data, own(KINDS["unused"]))
    moved = store["theta"].values != store["theta_init"].values
    assert not moved[:, -18:].any()
    assert moved[:, :-18].any()


REFUSED = {
    "layer a (ParametrizedLinear)|buffer a.parametrizations.weight.0._u changes": net(
        "from torch.nn.utils.parametrizations import spectral_norm\n"
        "self.a, self.b = spectral_norm(nn.Linear(inputs, width)), nn.Linear(width, classes)",
        "return self.b(F.relu(self.a(x.flatten(1))))",
    ),
    "the network (Net) gives other outputs for the same inputs, also in evaluation mode": net(
        MLP, "return self.b(F.dropout(F.relu(self.a(x.flatten(1))), 0.5))"
    ),
    "draws noise in training from elsewhere than PyTorch's generator": net(
        MLP, "return self.b(F.relu(self.a(x.flatten(1)))) + (np.random.random() if self.training else 0.0)"
    ),
    "is complex": net(
        MLP + "; self.c = nn.Parameter(torch.zeros(2, dtype=torch.complex64))", "return self.b(self.a(x.flatten(1)))"
    ),
    "has no trainable parameter": net(MLP + "; self.requires_grad_(False)", "return self.b(self.a(x.flatten(1)))"),
    "is called on inputs of two shapes": net(
        MLP + "; self.d = nn.Dropout()", "return self.b(self.d(self.a(self.d(x.flatten(1)))))"
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_a_landscape_is_refused_by_the_name_of_its_layer(said, own, data):
    with pytest.raises(InputError, match=r"^model.file: .*my_model.py: Net: ") as caught:
        network_landscape(data, own(REFUSED[said]), "cpu")
    assert any(part in str(caught.value) for part in said.split("|"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("torch.manual_seed(42)", "begins with the same weights for every seed"),
        ("self.s = nn.Parameter(torch.from_numpy(np.random.random(2)))", "begins with other weights each time"),
    ],
)
def test_an_initialisation_that_is_no_function_of_the_seed_is_refused(line, said, own):
    model = own(net(f"{line}\n{MLP}", "return self.b(self.a(x.flatten(1)))"))
    with pytest.raises(InputError, match=said):
        trials.check_seeds(model, SHAPE, CLASSES)


def test_a_key_that_the_model_does_not_read_is_refused(own):
    reading = own(net(MLP, "return self.b(self.a(x.flatten(1)))"))
    trials.check_keys([reading, reading | {"width": 4}, reading | {"width": 16}], SHAPE, CLASSES)
    body = net(MLP.replace("width", "8"), "return self.b(self.a(x.flatten(1)))")
    for deaf in (own(body, "deaf.py"), own(body.replace(", width=8, **_", ""), "silent.py")):
        with pytest.raises(InputError, match="Net does not read width: with 8 and 4 it is the same network"):
            trials.check_keys([deaf, deaf | {"width": 4}], SHAPE, CLASSES)


def test_dropout_without_a_layer_that_drops_is_refused(own):
    model = own(net(MLP, "return self.b(self.a(x.flatten(1)))"))
    network = models.build(model, SHAPE, CLASSES)
    trials.check_dropout(network, model, [0.0])
    with pytest.raises(InputError, match=r"has no nn.Dropout layer, so dropout 0.5 would change nothing"):
        trials.check_dropout(network, model, [0.0, 0.5])


def test_a_loss_without_second_derivatives_is_refused(own, data):
    body = net(MLP, "return Once.apply(self.b(self.a(x.flatten(1))))") + textwrap.dedent(
        """
        class Once(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                return x.clone()

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(context, slope):
                return slope
        """
    )
    model = own(body)
    landscape = network_landscape(data, model, "cpu")
    with pytest.raises(InputError, match="does not match how the gradient changes"):
        trials.check_second_derivatives(landscape, model)


def test_modules_beside_the_file_and_late_annotations_are_imported(own, tmp_path):
    (tmp_path / "own_blocks.py").write_text("from torch import nn\n\n\nclass Hidden(nn.Linear):\n    pass\n")
    body = (
        "from dataclasses import dataclass\nfrom own_blocks import Hidden\n@dataclass\nclass S:\n    width: int = 8\n"
    )
    model = own(body + net(MLP.replace("nn.Linear(inputs", "Hidden(inputs"), "return self.b(self.a(x.flatten(1)))"))
    path = tmp_path / "my_model.py"
    path.write_text("from __future__ import annotations\n" + path.read_text())
    assert len(initial_points_of(model)) == 2


def initial_points_of(model):
    return [models.flat(models.build(model, SHAPE, CLASSES, seed)) for seed in (0, 1)]
