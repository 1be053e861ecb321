"""Networks by name, a user's own, and the layers that are exchanged in them."""

import copy

import pytest
import torch
from torch import nn

from wedgescape.errors import InputError
from wedgescape.landscapes import models

CIFAR = (3, 32, 32)
BUILT_IN = [
    {"name": "mlp", "width": 8, "depth": 3},
    {"name": "simple_cnn", "width": 4, "depth": 2},
    {"name": "resnet20", "width": 4, "depth": 2, "norm": "batch"},
    {"name": "resnet20", "width": 4, "depth": 2, "norm": "group"},
]
IDS = ["mlp", "simple_cnn", "resnet20", "resnet20-group"]


@pytest.fixture(params=BUILT_IN, ids=IDS)
def model(request):
    return request.param


def as_pytorch_makes_it(model, seed=0):
    """The network before our layers are put into it, initialised by PyTorch alone."""
    torch.manual_seed(seed)
    arguments = {key: value for key, value in model.items() if key != "name"}
    return models.MODELS[model["name"]](input_shape=(3, 8, 8), classes=5, **arguments)


# Building


def test_initialisation_is_pytorchs_own_for_the_seed(model):
    for seed in (0, 7):
        plain = as_pytorch_makes_it(model, seed)
        wanted = nn.utils.parameters_to_vector(plain.parameters())
        torch.manual_seed(99)
        assert torch.equal(models.flat(models.build(model, (3, 8, 8), 5, seed)), wanted)


def test_seeds_differ(model):
    first, second = (models.flat(models.build(model, (3, 8, 8), 5, seed)) for seed in (0, 1))
    assert not torch.equal(first, second)


def test_building_leaves_the_global_stream_alone(model):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    models.build(model, (3, 8, 8), 5, 7)
    assert torch.equal(torch.get_rng_state(), before)


def test_logits_are_one_a_class(model):
    assert models.build(model, (1, 8, 8), 10)(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


# Layout


def test_layout_has_the_names_of_a_state_dict(model):
    module = models.build(model, (3, 8, 8), 5)
    names = [entry["name"] for entry in models.layout(module)]
    plain = as_pytorch_makes_it(model)
    assert names == [name for name in plain.state_dict() if not name.rpartition(".")[2].startswith(RUNNING)]
    assert names == list(module.state_dict())


RUNNING = ("running_", "num_batches")  # of PyTorch's batch norm; ours keeps none


def test_layout_says_where_each_parameter_lies_in_the_flat_vector(model):
    module = models.build(model, (3, 8, 8), 5)
    weights, parameters = models.flat(module), module.state_dict()
    assert weights.dtype == torch.float32
    end = 0
    for entry in models.layout(module):
        assert entry["offset"] == end
        end += int(torch.tensor(entry["shape"]).prod())
        assert torch.equal(weights[entry["offset"] : end].reshape(entry["shape"]), parameters[entry["name"]])
    assert end == len(weights)


def test_flat_is_a_copy():
    module = models.build(BUILT_IN[0], (3, 8, 8), 5)
    models.flat(module).zero_()
    assert models.flat(module).any()


# Sizes


@pytest.mark.parametrize(("width", "depth"), [(64, 2), (5, 1), (7, 4)])
def test_parameters_of_the_mlp(width, depth):
    built = models.build({"name": "mlp", "width": width, "depth": depth}, (1, 8, 8), 10)
    wanted = (64 + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * 10
    assert len(models.flat(built)) == wanted


def test_parameters_of_the_cnn():
    built = models.build({"name": "simple_cnn"}, (1, 28, 28), 10)
    assert len(models.flat(built)) == (9 + 1) * 16 + (16 * 9 + 1) * 32 + (32 * 9 + 1) * 32 + 33 * 10


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_parameters_of_the_resnet(norm):
    """As published for CIFAR-10: 0.27 million; 269,722 with parameter-free shortcuts."""
    assert len(models.flat(models.build({"name": "resnet20", "norm": norm}, CIFAR, 10))) == 269_722


def test_the_resnet_has_twenty_layers_of_weights():
    module = models.build({"name": "resnet20"}, CIFAR, 10)
    layers = [entry for entry in models.layout(module) if len(entry["shape"]) > 1]
    assert len(layers) == 20
    assert len(models.batch_norms(module)) == 19
    assert not models.batch_norms(models.build({"name": "resnet20", "norm": "group"}, CIFAR, 10))


def test_a_residual_block_with_zero_weights_passes_its_input_through():
    block = models.ResidualBlock(2, 4, 2, nn.BatchNorm2d)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    images = torch.rand(3, 2, 6, 6)
    wanted = torch.cat([images[:, :, ::2, ::2], torch.zeros(3, 2, 3, 3)], 1)
    assert torch.equal(block(images), wanted)


def test_which_networks_convolve():
    convolve = [models.is_convolutional(models.build(model, (3, 8, 8), 5)) for model in BUILT_IN]
    assert convolve == [False, True, True, True]


# Exchanged layers


def everywhere():
    """A network with the layers in question at several depths."""
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3))
    return nn.Sequential(inner, nn.Flatten(), nn.Linear(144, 6), nn.BatchNorm1d(6), nn.Dropout(0.1), nn.Linear(6, 5))


def test_exchange_reaches_all_layers_and_keeps_the_parameters():
    plain = everywhere()
    ours = models._exchange(copy.deepcopy(plain))
    assert not [layer for layer in ours.modules() if isinstance(layer, nn.Dropout | nn.modules.batchnorm._BatchNorm)]
    assert (len(models.dropouts(ours)), len(models.batch_norms(ours))) == (2, 2)
    assert not list(ours.buffers())
    wanted = dict(plain.named_parameters())
    assert [name for name, _ in ours.named_parameters()] == list(wanted)
    assert all(torch.equal(parameter, wanted[name]) for name, parameter in ours.named_parameters())


def test_weights_go_back_into_a_plain_network():
    plain = everywhere()
    ours = models._exchange(copy.deepcopy(plain))
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    missing, unexpected = plain.load_state_dict(ours.state_dict(), strict=False)
    assert not unexpected
    assert all(name.rpartition(".")[2].startswith(RUNNING) for name in missing)
    images = torch.rand(9, 3, 8, 8)
    for layer in plain.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    torch.testing.assert_close(ours(images), plain(images))  # both by the statistics of this batch


def test_exchange_reaches_a_layer_that_stands_under_two_names():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = self.second = nn.Dropout(0.9)

        def forward(self, x):
            return self.second(x)

    ones = torch.ones(2, 50)
    assert torch.equal(models._exchange(Twice())(ones), ones)


def test_dropout_multiplies_by_the_mask_it_is_given():
    layer = models.SeededDropout()
    x = torch.rand(4, 3, 2)
    assert torch.equal(layer(x), x)
    assert layer.shape == (3, 2)
    layer.mask = torch.full((4, 3, 2), 2.0)
    assert torch.equal(layer(x), 2 * x)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("make", "shape"), [(nn.BatchNorm1d, (16, 3)), (nn.BatchNorm2d, (6, 3, 4, 5))])
def test_batch_norm_is_pytorchs_by_the_batch_and_then_by_what_it_remembers(make, shape, affine):
    plain = make(3, eps=1e-3, affine=affine)
    for parameter in plain.parameters():
        nn.init.uniform_(parameter, 0.5, 2.0)
    (ours,) = models.batch_norms(models._exchange(nn.Sequential(copy.deepcopy(plain))))
    shown, later = 3 * torch.randn(shape) + 1, torch.randn(shape)
    torch.testing.assert_close(ours(shown), plain(shown))
    ours.frozen = True
    axes = [axis for axis in range(shown.ndim) if axis != 1]
    plain.eval()
    plain.running_mean, plain.running_var = shown.mean(axes), shown.var(axes, correction=0)
    torch.testing.assert_close(ours(later), plain(later))
    ours.frozen = False
    plain.train()
    torch.testing.assert_close(ours(later), plain(later))


# A user's own network

OWN = """
from torch import nn

LIMIT = 3

class Net(nn.Module):
    def __init__(self, input_shape, classes, width):
        super().__init__()
        self.norm = nn.BatchNorm2d(input_shape[0])
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, width), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(self.norm(x)))

class Wrong(Net):
    def forward(self, x):
        return super().forward(x)[:, :-1]

class Pair(Net):
    def forward(self, x):
        return super().forward(x), x

class Failing(Net):
    def __init__(self, input_shape, classes, width):
        raise RuntimeError("out of ideas")

class Crashing(Net):
    def forward(self, x):
        return self.head(x)

class Other:
    def __init__(self, input_shape, classes):
        pass
"""


@pytest.fixture
def own(tmp_path):
    """A function (name, text) -> a user's model."""

    def written(name="Net", text=OWN):
        file = tmp_path / "my_model.py"
        file.write_text(text)
        return {"name": name, "file": str(file), "width": 6, "depth": 2, "norm": "batch"}

    return written


def refused(model):
    with pytest.raises(InputError) as error:
        models.build(model, (3, 8, 8), 5)
    return str(error.value)


def test_own_network_gets_the_arguments_that_it_accepts(own):
    module = models.build(own(), (3, 8, 8), 5, seed=4)
    names = [entry["name"] for entry in models.layout(module)]
    assert names == ["norm.weight", "norm.bias", "body.1.weight", "body.1.bias", "head.weight", "head.bias"]
    assert module.body[1].out_features == 6
    assert (len(models.dropouts(module)), len(models.batch_norms(module))) == (1, 1)
    assert torch.equal(models.flat(module), models.flat(models.build(own(), (3, 8, 8), 5, seed=4)))


def test_own_network_with_keywords_gets_all_arguments(own):
    module = models.build(own("make", OWN + MAKE), (3, 8, 8), 5)
    assert len(models.flat(module)) == 6 + 193 * 6 + 35


MAKE = """
def make(input_shape, classes, **rest):
    assert rest == {'width': 6, 'depth': 2, 'norm': 'batch'}
    return Net(input_shape, classes, rest['width'])
"""


def test_missing_file_is_named(own):
    message = refused({**own(), "file": "nowhere/my_model.py"})
    assert "nowhere/my_model.py" in message
    assert "no such file" in message
    assert "Net" in message


def test_syntax_error_names_file_and_line(own):
    message = refused(own(text="import torch\nclass Net(:\n"))
    assert "my_model.py" in message
    assert "SyntaxError" in message
    assert "line 2" in message


def test_error_on_import_is_told(own):
    message = refused(own(text="import a_package_that_is_not_there\n"))
    assert "my_model.py" in message
    assert "a_package_that_is_not_there" in message


def test_missing_class_lists_what_there_is(own):
    message = refused(own("Nett"))
    assert "my_model.py does not define Nett" in message
    assert "Net, Wrong" in message


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("Wrong", ["maps 2 inputs of shape (3, 8, 8) to (2, 4)", "It must be (2, 5)"]),
        ("Pair", ["tuple", "(2, 5)"]),
        ("Failing", ["RuntimeError: out of ideas", "(3, 8, 8)"]),
        ("Crashing", ["RuntimeError", "shape"]),
        ("Other", ["(3, 8, 8)"]),
        ("LIMIT", ["LIMIT"]),
    ],
)
def test_class_that_cannot_be_used_is_told_without_a_traceback(own, name, pieces):
    message = refused(own(name))
    for piece in ["my_model.py", name, *pieces]:
        assert piece in message


def test_error_in_a_built_in_network_is_not_the_users(monkeypatch):
    def broken(**_):
        raise RuntimeError("ours")

    monkeypatch.setitem(models.MODELS, "mlp", broken)
    with pytest.raises(RuntimeError, match="ours"):
        models.build({"name": "mlp"}, (3, 8, 8), 5)
