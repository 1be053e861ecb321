"""The front door: networks that were trained elsewhere give the numbers of a study's own."""

import copy
import doctest
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.sparse.linalg import eigsh
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import wedgescape
from projects import REPOSITORY, code_blocks
from wedgescape.errors import InputError
from wedgescape.landscapes import base, models
from wedgescape.landscapes import given as landscapes
from wedgescape.landscapes.strategies import PLAIN
from wedgescape.measurements import connectors, curvature, planes, similarity, tunnels
from wedgescape.stores.attributes import Origin, training_of
from wedgescape.stores.zarr_stores import as_json, write_store
from wedgescape.training import given

SHAPE, CLASSES = (1, 4, 4), 3


@pytest.fixture
def splits(mlp):
    """The data of the small network."""
    return dict(mlp.splits)


def plain(model, weights=None, seed=0):
    """A network as PyTorch makes it, in training mode, with some weights."""
    torch.manual_seed(seed)
    module = models.MODELS[model["name"]](SHAPE, CLASSES, **{key: model[key] for key in model if key != "name"})
    if weights is not None:
        nn.utils.vector_to_parameters(weights.clone(), module.parameters())
    return module


@pytest.fixture
def modules(optima):
    """The networks of the small study, as their users have them."""
    return [plain(optima.training["model"], point) for point in optima.points]


# The package


def test_importing_it_imports_nothing_heavy():
    program = "import sys, wedgescape; print({'torch', 'numpy', 'xarray', 'matplotlib'} & set(sys.modules), wedgescape)"
    folder = REPOSITORY / "scripts"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("set()")


def test_measurements_and_figures_are_attributes():
    program = "import wedgescape as w; print(w.measurements.tunnels.measure.__name__, w.figures.tunnels.draw.__name__)"
    folder = REPOSITORY / "scripts"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["measure", "draw"]
    assert wedgescape.Optima is given.Optima
    assert {"Optima", "NetworkLandscape", "measurements", "figures"} <= set(dir(wedgescape))
    with pytest.raises(AttributeError, match="no attribute 'Optimum'"):
        _ = wedgescape.Optimum
    with pytest.raises(AttributeError, match="no attribute 'tunnel'"):
        _ = wedgescape.measurements.tunnel


def test_it_says_that_it_is_typed():
    assert (REPOSITORY / "scripts/wedgescape/py.typed").is_file()


@pytest.mark.parametrize("module", [base, landscapes, given], ids=lambda module: module.__name__)
def test_examples_in_docstrings_run(module):
    torch.manual_seed(0)
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert found
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    for test in found:
        assert runner.run(test).failed == 0, test.name


# The same numbers


def test_modules_give_the_numbers_of_the_study(optima, modules, splits):
    ours = wedgescape.Optima.from_modules(modules, splits, seeds=optima.seeds, hyperparameters={"batch_size": 16})
    torch.testing.assert_close(ours.points, optima.points, rtol=0, atol=0)
    assert ours.layout == optima.layout
    assert ours.chance_loss == optima.chance_loss
    settings = tunnels.Settings(directions=2)
    xr.testing.assert_identical(tunnels.measure(ours, settings), tunnels.measure(optima, settings))
    few = curvature.Settings(seeds=2, directions=2)
    xr.testing.assert_identical(curvature.measure(ours, few), curvature.measure(optima, few))
    xr.testing.assert_identical(similarity.measure(ours), similarity.measure(optima))


def test_connectors_and_planes_of_modules(optima, modules, splits):
    """The null that starts from initialisations is left out where they are unknown."""
    settings, resolution = connectors.Settings(steps=5), planes.Settings(resolution=5, profile_points=5)
    ours = wedgescape.Optima.from_modules(modules, splits)
    found, wanted = (connectors.measure(one, settings) for one in (ours, optima))
    assert found["size"].values.tolist() == [2, 3]
    assert np.isnan(found["loss"].sel(place="initialisation")).all()
    assert np.isfinite(wanted["loss"].sel(place="initialisation", size=2, set=[0, 1])).all()
    rest = ["optima", "centroid", "centre", "random"]
    xr.testing.assert_identical(found["loss"].sel(place=rest), wanted["loss"].sel(place=rest))
    parts = planes.measure(ours, found, resolution)
    assert set(parts) == {"optima", "around"}
    xr.testing.assert_identical(parts["optima"], planes.measure(optima, wanted, resolution)["optima"])
    wedgescape.figures.planes.draw(parts)


def test_initialisations_may_be_given(optima, modules, splits):
    starts = [plain(optima.training["model"], point) for point in optima.starts]
    ours = wedgescape.Optima.from_modules(modules, splits, starts=starts)
    torch.testing.assert_close(ours.starts, optima.starts, rtol=0, atol=0)
    with pytest.raises(InputError, match="starts: found 3; there must be as many as trained networks, 4"):
        wedgescape.Optima.from_modules(modules, splits, starts=starts[:3])


def test_what_is_not_known_of_the_training_is_asked_for(modules, splits):
    ours = wedgescape.Optima.from_modules(modules, splits)
    with pytest.raises(InputError, match="initialisations of the networks; give starts="):
        _ = ours.starts
    with pytest.raises(InputError, match="needs the networks' width; give hyperparameters="):
        _ = ours.training["model"]["width"]
    assert ours.training["training"]["batch_size"] == 128
    assert wedgescape.Optima.from_modules(modules, splits, hyperparameters={"width": 8}).training["model"]["width"] == 8
    with pytest.raises(InputError, match="networks of other widths"):
        ours.landscape.of_model({"name": "mlp"})


def test_a_network_with_batch_norm(network, splits):
    """As a study has it: statistics are those of the calibration set, whatever the module's running ones are."""
    model = {"name": "resnet20", "width": 4, "norm": "batch"}
    study = network(model)
    networks = [plain(model, seed=seed) for seed in (1, 2)]
    for module in networks:
        module.train()(torch.randn(8, *SHAPE))  # moves the running statistics
    points = torch.stack([models.flat(module) for module in networks])
    ours = wedgescape.Optima.from_modules(networks, splits)
    torch.testing.assert_close(ours.points, points, rtol=0, atol=0)
    torch.testing.assert_close(ours.landscape.losses(points), study.losses(points), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.landscape.gradients(points), study.gradients(points), rtol=1e-3, atol=1e-4)


def test_a_module_stays_as_it_was():
    module = nn.Sequential(
        nn.Linear(5, 6, dtype=torch.float64), nn.BatchNorm1d(6, dtype=torch.float64), nn.Dropout(), nn.Linear(6, 3)
    )
    module[3].double().requires_grad_(False)
    before, kinds = copy.deepcopy(module.state_dict()), [type(layer) for layer in module]
    landscape = wedgescape.NetworkLandscape.of(module, (torch.randn(20, 5), torch.arange(20) % 3))
    landscape.gradients(torch.randn(2, landscape.dim))
    assert module.training
    assert [type(layer) for layer in module] == kinds
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())
    assert all(one.dtype == torch.float64 for one in module.parameters())
    assert [one.requires_grad for one in module.parameters()] == [True] * 4 + [False] * 2
    assert not any(layer._forward_hooks for layer in module.modules())


def test_frozen_parameters_stay_and_are_no_directions(splits):
    module = plain({"name": "mlp", "width": 8, "depth": 2})
    module[1].requires_grad_(False)
    whole = wedgescape.NetworkLandscape.of(plain({"name": "mlp", "width": 8, "depth": 2}), splits)
    part = wedgescape.NetworkLandscape.of(module, splits)
    frozen = sum(one.numel() for one in module[1].parameters())
    assert part.dim == whole.dim - frozen
    point = models.flat(module)
    torch.testing.assert_close(part.losses(point[None, frozen:]), whole.losses(point[None]))
    torch.testing.assert_close(part.gradients(point[None, frozen:]), whole.gradients(point[None])[:, frozen:])
    with pytest.raises(InputError, match="Sequential has no trainable parameter; frozen ones"):
        wedgescape.NetworkLandscape.of(module.requires_grad_(False), splits)


# Layers


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project, self.out = nn.Linear(4, 24), nn.Linear(32, CLASSES)

    def forward(self, x):
        query, key, value = self.project(x.flatten(1, 2)).chunk(3, -1)
        return self.out(nn.functional.scaled_dot_product_attention(query, key, value).flatten(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.GRU(4, 5, batch_first=True), nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.out(self.rnn(x[:, 0])[0][:, -1])


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.spare, self.out = nn.Linear(3, 3), nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.out(x.flatten(1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(16, 16), nn.Linear(16, CLASSES)
        self.second = nn.Linear(16, 16)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.out(self.second(self.first(x.flatten(1)).tanh()).tanh())


class Viewing(nn.Module):
    """Its `view` fails in the memory format that is fast."""

    def __init__(self):
        super().__init__()
        self.convolution, self.out = nn.Conv2d(1, 3, 3, padding=1), nn.Linear(48, CLASSES)

    def forward(self, x):
        return self.out(self.convolution(x).view(-1, 48))


class Line(nn.Module):
    """Convolutions over what are no images."""

    def __init__(self):
        super().__init__()
        self.convolution, self.out = nn.Conv1d(4, 3, 3), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.out(self.convolution(x[:, 0]).tanh().flatten(1))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True)
        self.out = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.out(self.layer(x[:, 0]).flatten(1))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.out(nn.functional.dropout(x.flatten(1), 0.5, self.training))


KINDS = [Attention, Recurrent, Unused, Tied, Viewing, Line, Encoder, Functional]


def direct_loss(module, splits, point, split="train"):
    """The loss of a module at a point, as its user computes it."""
    module = copy.deepcopy(module).eval()
    nn.utils.vector_to_parameters(point, module.parameters())
    return nn.functional.cross_entropy(module(splits[split][0]), splits[split][1])


@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_many_kinds_give_their_own_losses_gradients_and_hessians(kind, splits):
    torch.manual_seed(1)
    module = kind()
    landscape = wedgescape.NetworkLandscape.of(module, splits)
    point = models.flat(module)
    assert landscape.dim == len(point)
    for split in ("train", "test"):
        torch.testing.assert_close(landscape.losses(point[None], split)[0], direct_loss(module, splits, point, split))
    moved = copy.deepcopy(module).eval()
    nn.functional.cross_entropy(moved(splits["train"][0]), splits["train"][1]).backward()
    wanted = torch.cat([torch.zeros(one.numel()) if one.grad is None else one.grad.flatten()
                        for one in moved.parameters()])  # fmt: skip
    torch.testing.assert_close(landscape.gradients(torch.stack([point, point]))[1], wanted, rtol=1e-4, atol=1e-6)
    way = nn.functional.normalize(torch.randn(len(point)), dim=0)
    found = landscape.hvp(point, way[None])[0]
    forth, back = landscape.gradients(torch.stack([point + 1e-2 * way, point - 1e-2 * way]))
    torch.testing.assert_close(found, (forth - back) / 2e-2, rtol=5e-2, atol=5e-3)


def test_a_slower_way_is_taken_only_where_the_fast_one_fails(splits):
    of = wedgescape.NetworkLandscape.of
    assert of(plain({"name": "mlp", "width": 8, "depth": 2}), splits).strategy.stack
    assert of(plain({"name": "simple_cnn", "width": 4}), splits).strategy.rewritten
    viewing = of(Viewing(), splits).strategy
    assert viewing.memory_format == torch.contiguous_format
    assert (viewing.examples, viewing.rewritten) == (of(Line(), splits).strategy.examples, False) or viewing != PLAIN
    assert of(Recurrent(), splits).strategy == PLAIN


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Cuts(nn.Module):
    def forward(self, x):
        return x.detach().round()


def on_flat(*layers):
    return nn.Sequential(nn.Flatten(), *layers)


LINEAR = on_flat(nn.Linear(16, CLASSES))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (on_flat(nn.Linear(9, 3)), r"layer 1 \(Linear\) cannot be run on inputs of shape \(8, 1, 4, 4\)"),
        (on_flat(nn.Linear(16, 3), Noisy()), r"layer 2 \(Noisy\) gives other outputs for the same"),
        (on_flat(nn.Linear(16, 3), Cuts()), "Sequential cannot be differentiated with respect to its"),
        (nn.Conv2d(1, 3, 3), r"Conv2d maps inputs of shape \(8, 1, 4, 4\) to \(8, 3, 2, 2\)\. It must be"),
        (on_flat(nn.Linear(16, 2)), r"labels of the train split are 0 to 2; the network has 2 outputs"),
        (on_flat(nn.LazyLinear(3)), r"parameter 1\.weight has no shape yet"),
        (on_flat(nn.Linear(16, 3, dtype=torch.complex64)), r"parameter 1\.weight is complex"),
        (torch.jit.trace(LINEAR, torch.zeros(2, *SHAPE)), "compiled by torch.jit"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be_landscapes_are_refused_with_the_layer(module, said, splits):
    with pytest.raises(InputError, match=said):
        wedgescape.NetworkLandscape.of(module, splits)


def test_modules_that_are_not_one_architecture_are_refused(splits):
    of = wedgescape.Optima.from_modules
    first = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    other = nn.Sequential(nn.Flatten(), nn.Linear(16, 9), nn.ReLU(), nn.Linear(9, 3))
    with pytest.raises(InputError, match=r"modules\[1\]: parameter 1\.weight \(9, 16\) stands where modules\[0\] has"):
        of([first, other], splits)
    with pytest.raises(InputError, match=r"modules\[1\]: 2 trainable parameters, while modules\[0\] has 4"):
        of([first, first[:2]], splits)
    with pytest.raises(InputError, match=r"modules\[1\] computes something else than modules\[0\]"):
        of([first, nn.Sequential(first[0], first[1], nn.Tanh(), first[3])], splits)
    frozen = [copy.deepcopy(first) for _ in range(2)]
    for module in frozen:
        module[1].requires_grad_(False)
    assert len(of(frozen, splits)) == 2
    frozen[1][1].weight.data += 1
    with pytest.raises(
        InputError, match=r"modules\[1\]: 1\.weight differs from that of modules\[0\]; buffers and froz"
    ):
        of(frozen, splits)
    with pytest.raises(InputError, match=r"modules\[1\]: found type OrderedDict; it must be a torch\.nn\.Module"):
        of([first, first.state_dict()], splits)
    with pytest.raises(InputError, match="there is none"):
        of([], splits)
    with pytest.raises(InputError, match="seeds: found"):
        of([first], splits, seeds=[1, 2])


# Data


def test_data_may_have_many_forms(splits):
    inputs, labels = splits["train"]
    forms = {
        "pair": (inputs, labels),
        "arrays": (inputs.numpy().astype(np.float64), labels.numpy().astype(np.int32)),
        "splits": (splits["train"], splits["test"]),
        "dataset": TensorDataset(inputs, labels),
        "datasets": (TensorDataset(inputs, labels), TensorDataset(*splits["test"])),
        "loader": {"train": DataLoader(TensorDataset(inputs, labels), 7)},
        "loader alone": DataLoader(TensorDataset(inputs, labels), 7),
        "batches": [(inputs[:7], labels[:7]), (inputs[7:].numpy(), labels[7:].numpy())],
        "generator": ((inputs[n : n + 5], labels[n : n + 5]) for n in range(0, len(labels), 5)),
    }
    for name, form in forms.items():
        found = landscapes.splits_of(form)
        assert list(found) == (["train", "test"] if name in ("splits", "datasets") else ["train"])
        torch.testing.assert_close(found["train"], (inputs, labels), rtol=0, atol=0)


@pytest.mark.parametrize("where", ["head.*", lambda name: name.startswith("head")])
def test_a_landscape_of_some_parameters_is_a_slice_of_the_whole_one(where, splits):
    module = on_flat(nn.Linear(16, 5), nn.ReLU())
    module.head = nn.Linear(5, CLASSES)
    whole, part = (wedgescape.NetworkLandscape.of(module, splits, where=one) for one in ("*", where))
    assert part.dim == 5 * CLASSES + CLASSES == len(part.module.head.weight.flatten()) + CLASSES
    point = models.flat(module)
    moved = torch.cat([point[: -part.dim], 2 * point[-part.dim :]])
    torch.testing.assert_close(part.losses(moved[None, -part.dim :]), whole.losses(moved[None]))
    torch.testing.assert_close(part.gradients(moved[None, -part.dim :]), whole.gradients(moved[None])[:, -part.dim :])
    assert all(one.requires_grad for one in module.parameters())  # the module itself stays as it is


def test_optima_of_some_parameters_are_equal_in_the_others(splits):
    body = nn.Linear(16, 5)
    same, other = (
        [on_flat(one, nn.Linear(5, CLASSES)) for one in bodies] for bodies in ((body, body), (body, nn.Linear(16, 5)))
    )
    assert wedgescape.Optima.from_modules(same, splits, where="2.*").points.shape == (2, 5 * CLASSES + CLASSES)
    with pytest.raises(InputError, match="frozen parameters must be equal"):
        wedgescape.Optima.from_modules(other, splits, where="2.*")
    with pytest.raises(InputError, match=r"where: 'conv\.\*' chooses no parameter; there are 1.weight"):
        wedgescape.Optima.from_modules(same, splits, where="conv.*")


GOOD, NUMBERS = torch.randn(6, *SHAPE), torch.arange(6) % CLASSES


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"valid": (GOOD, NUMBERS)}, "found the splits valid; give data="),
        (GOOD, r"train split: found a Tensor; give data=\(inputs, labels\)"),
        ((GOOD, NUMBERS.float()), "loss: cross_entropy needs labels that are classes; the data's are numbers"),
        ((GOOD, nn.functional.one_hot(NUMBERS)), r"needs labels of shape \(N,\), a class each; found 3 an example"),
        ((GOOD[:5], NUMBERS), r"found inputs of shape \(5, 1, 4, 4\) and 6 labels"),
        ((GOOD * torch.inf, NUMBERS), "some inputs are not finite"),
        ({"train": (GOOD, NUMBERS), "test": (GOOD, NUMBERS + 1)}, "labels of the test split are 1 to 3; the network"),
        ((["a"], NUMBERS), "inputs and labels must be tensors or arrays"),
    ],
)  # fmt: skip
def test_data_of_another_form_are_refused(data, said):
    with pytest.raises(InputError, match=said):
        wedgescape.NetworkLandscape.of(LINEAR, data)


def test_other_losses_are_refused(splits):
    with pytest.raises(InputError, match="loss: mse needs labels that are numbers"):
        wedgescape.NetworkLandscape.of(LINEAR, splits, loss="mse")


def test_without_a_test_split_its_values_are_unknown(modules, splits, caplog):
    ours = wedgescape.Optima.from_modules(modules, splits["train"])
    assert "there is no test split" in caplog.text
    store = curvature.measure(ours, curvature.Settings(seeds=1, directions=1))
    assert np.isfinite(store["train_loss"]).any()
    assert np.isnan(store["test_loss"]).all()
    with pytest.raises(InputError, match="there is no test split, which this measurement needs"):
        similarity.measure(ours)


# Hessians


def test_the_hessian_operator_has_the_hessians_eigenvalues(quadratic):
    bowl = quadratic([1.0, 2.0, 5.0, 9.0])
    operator = bowl.hessian_operator(torch.zeros(4, dtype=torch.float64))
    dense = operator @ np.eye(4)
    np.testing.assert_allclose(dense, bowl.hessian, atol=1e-12)
    np.testing.assert_allclose(eigsh(operator, 2, which="LA")[0], [5.0, 9.0])
    np.testing.assert_allclose(operator.T @ np.eye(4)[0], dense[0], atol=1e-12)


# Checkpoints


def save(module, path, kind):
    state = module.state_dict()
    path = path.with_suffix({"nested": ".pt", "prefixed": ".pth"}.get(kind, kind))
    if kind == ".safetensors":
        pytest.importorskip("safetensors").torch.save_file(state, path)
    elif kind == ".npz":
        np.savez(path, **{name: one.numpy() for name, one in state.items()})
    elif kind == "nested":
        torch.save({"epoch": 3, "model": state, "optimizer": {"lr": 0.1}}, path)
    elif kind == "prefixed":
        torch.save({f"module.{name}": one for name, one in state.items()}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("kind", [".pt", ".npz", ".safetensors", "nested", "prefixed"])
def test_checkpoints_are_the_modules_they_were_saved_from(kind, tmp_path, splits, caplog):
    if kind == ".safetensors":
        pytest.importorskip("safetensors.torch")
    caplog.set_level(logging.INFO, "wedgescape")
    model = {"name": "resnet20", "width": 4, "norm": "batch"}
    networks = [plain(model, seed=seed) for seed in (1, 2)]
    paths = [save(module, tmp_path / f"{number}", kind) for number, module in enumerate(networks)]
    wanted = wedgescape.Optima.from_modules(networks, splits)
    for given_paths in (paths, str(tmp_path / f"*{paths[0].suffix}")):
        found = wedgescape.Optima.from_checkpoints(lambda: plain(model, seed=5), given_paths, splits)
        torch.testing.assert_close(found.points, wanted.points, rtol=0, atol=0)
    assert "Running statistics of batch norm are not read from checkpoints" in caplog.text


def test_a_checkpoint_may_name_a_tied_parameter_once(tmp_path, splits):
    module = Tied()
    state = module.state_dict()
    del state["second.weight"]
    torch.save(state, tmp_path / "tied.pt")
    found = wedgescape.Optima.from_checkpoints(Tied, tmp_path / "tied.pt", splits)
    assert torch.equal(found.points[0], models.flat(module))


class Code:
    def __reduce__(self):
        return (Path("ran").touch, ())


def test_checkpoints_that_do_not_fit_are_refused_with_the_names(tmp_path, splits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = LINEAR.state_dict()

    def refused(content, said, name="one.pt"):
        torch.save(content, name)
        with pytest.raises(InputError, match=said):
            wedgescape.Optima.from_checkpoints(LINEAR, name, splits)

    refused({"1.weight": good["1.weight"], "2.bias": good["1.bias"]},
            r"one\.pt does not fit Sequential\. missing: 1\.bias\. unexpected: 2\.bias")  # fmt: skip
    refused(good | {"1.bias": torch.zeros(4)}, r"of another shape: 1\.bias is \(4,\) and must be \(3,\)")
    refused(good | {"1.bias": torch.zeros(3, dtype=torch.complex64)}, r"complex: 1\.bias")
    refused({"epoch": 3, "weights": good}, "no state_dict, neither the file itself nor under .* it has epoch, weights")
    refused([1, 2], "holds a list; it must hold a module's state_dict")
    refused({"code": Code()}, "Only tensors are loaded, because anything else can run code: save module.state_dict()")
    refused(LINEAR, "Only tensors are loaded")
    assert not (tmp_path / "ran").exists()
    refused(good, r"one\.bin: weights are read from \.safetensors, \.pt, \.pth, \.npz files", "one.bin")
    np.savez("objects.npz", **{"1.weight": np.array([Code()], dtype=object)})
    with pytest.raises(InputError, match=r"objects\.npz: cannot be read as weights"):
        wedgescape.Optima.from_checkpoints(LINEAR, "objects.npz", splits)
    with pytest.raises(InputError, match=r"paths: there is no file gone\*\.pt"):
        wedgescape.Optima.from_checkpoints(LINEAR, "gone*.pt", splits)
    with pytest.raises(InputError, match=r"gone\.pt: there is no such file"):
        wedgescape.Optima.from_checkpoints(LINEAR, ["gone.pt"], splits)
    with pytest.raises(InputError, match="module: it returns a dict"):
        wedgescape.Optima.from_checkpoints(dict, "one.pt", splits)


# Stores


def test_a_studys_networks_are_opened_from_their_folder(tmp_path, data, weights, optima):
    folder = tmp_path / "results/s"
    origin = Origin("train", settings={"here": training_of(weights.attrs)})
    write_store(weights, folder / "weights/here/seeds~0-3.zarr.zip", origin)
    write_store(data, folder / "data/patterns.zarr.zip", origin)
    for path in (folder / "weights/here", [folder / "weights/here/seeds~0-3.zarr.zip"]):
        found = wedgescape.Optima.from_store(path, device="cpu")
        assert torch.equal(found.points, optima.points)
        assert torch.equal(found.starts, optima.starts)
        assert found.training["training"]["batch_size"] == 16
    assert len(wedgescape.Optima.from_store(folder / "weights/here", folder / "data/patterns.zarr.zip", "cpu")) == 4
    with pytest.raises(InputError, match="were trained on other data"):
        wedgescape.Optima.from_store(folder / "weights/here", data.assign_attrs(sha256=as_json({})), "cpu")
    with pytest.raises(InputError, match="there is no store of weights"):
        wedgescape.Optima.from_store(folder / "weights/gone")
    (folder / "data/patterns.zarr.zip").unlink()
    with pytest.raises(InputError, match="its data are not in the study's results; give data="):
        wedgescape.Optima.from_store(folder / "weights/here")


# The page


def test_the_page_on_own_networks_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = [text for language, text in code_blocks("docs/own-networks.md") if language == "python"]
    assert len(blocks) > 2
    names = {"__name__": "page"}
    for text in blocks:
        exec(compile(text, "docs/own-networks.md", "exec"), names)
    assert (tmp_path / "planes.png").stat().st_size > 10_000
