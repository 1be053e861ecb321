"""The weights store of networks from files is the one that their training wrote, as far as files can tell."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from wedgescape.errors import InputError
from wedgescape.landscapes import models
from wedgescape.landscapes.networks import network_landscape
from wedgescape.measurements import training as training_curves
from wedgescape.training.export import export, rows_of
from wedgescape.training.given_weights import check_different, check_files, read_networks
from wedgescape.training.optima import Optima

CLASSES = 3
OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, classes):
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, classes)
        self.frozen = nn.Parameter(torch.ones(8), requires_grad=False)

    def forward(self, x):
        return self.head(self.frozen * self.norm(self.first(x.flatten(1))).relu())
"""


@pytest.fixture
def exported(mlp, weights, tmp_path):
    return dict(enumerate(map(str, export(Optima(mlp, weights), tmp_path))))


def test_the_store_is_that_of_the_training_to_the_last_bit(mlp, data, weights, exported):
    found = read_networks(mlp, data, exported)
    for name in ("theta", "diverged", "log_probability", "correct"):
        assert found[name].identical(weights[name])
    for name in ("train_loss", "train_score", "test_loss", "test_score", "norm"):
        assert np.array_equal(found[name].isel(epoch=-1), weights[name].isel(epoch=-1))
        assert found[name].attrs == weights[name].attrs
    assert found.attrs == {key: weights.attrs[key] for key in found.attrs}
    unknown = {"theta_init", "trajectory", "distance_from_init"}
    assert set(found.data_vars) == set(weights.data_vars) - unknown
    assert set(training_curves.measure(found)) == set(training_curves.measure(weights)) - {"distance_from_init"}


def test_the_rows_of_an_export_say_how_each_network_was_trained(mlp, weights, tmp_path):
    optima = Optima(mlp, weights)
    found = rows_of(optima, export(optima, tmp_path / "here"))
    assert [row["file"] for row in found] == [f"here/seed~{seed}.safetensors" for seed in range(4)]
    assert [row["seed"] for row in found] == [0, 1, 2, 3]
    for key, value in {"learning_rate": 0.1, "width": 8, "dropout": 0.2, "batch_size": 16}.items():
        assert {row[key] for row in found} == {value}


def test_a_network_that_diverged_is_flagged(mlp, data, weights, tmp_path, exported):
    state = models.build({"name": "mlp", "width": 8, "depth": 2}, (1, 4, 4), CLASSES).state_dict()
    state[next(iter(state))][:] = torch.nan
    torch.save(state, tmp_path / "lost.pt")
    found = read_networks(mlp, data, {0: exported[0], 5: str(tmp_path / "lost.pt")})
    assert found["seed"].values.tolist() == [0, 5]
    assert found["diverged"].values.tolist() == [False, True]


@pytest.fixture
def own(data, tmp_path):
    """The landscape of a user's network with batch norm, a frozen parameter, and a function that builds it."""
    (tmp_path / "own.py").write_text(OWN)
    model = {"file": str(tmp_path / "own.py"), "name": "Net"}
    space = {}
    exec(OWN, space)

    def build(seed):
        torch.manual_seed(seed)
        return space["Net"]((1, 4, 4), CLASSES)

    return network_landscape(data, model, "cpu"), build


def saved(network: nn.Module, path, kind):
    state = network.state_dict()
    if kind == "npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    elif kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"model_state_dict": state, "epoch": 3} if kind == "pth" else state, path)
    return str(path)


@pytest.mark.parametrize("kind", ["pt", "pth", "npz", "safetensors"])
def test_all_kinds_of_files_give_the_same_weights_without_running_statistics(own, data, tmp_path, kind):
    landscape, build = own
    network = build(4)
    network(torch.randn(50, 1, 4, 4) + 3)  # moves the running statistics
    found = read_networks(landscape, data, {0: saved(network, tmp_path / f"a.{kind}", kind)})
    wanted = torch.cat([one.detach().flatten() for one in network.parameters() if one.requires_grad])
    assert np.array_equal(found["theta"].values[0], wanted.numpy())


def test_files_that_do_not_fit_are_all_told_with_the_names_that_differ(own, tmp_path):
    landscape, build = own
    good = saved(build(0), tmp_path / "good.pt", "pt")
    renamed = {name.replace("head", "fc"): one for name, one in build(1).state_dict().items()}
    torch.save(renamed, tmp_path / "renamed.pt")
    changed = build(2)
    changed.frozen.data *= 2
    other = saved(changed, tmp_path / "other.pt", "pt")
    (tmp_path / "text.pt").write_text("no weights")
    files = [good, str(tmp_path / "renamed.pt"), other, str(tmp_path / "text.pt")]
    with pytest.raises(InputError) as caught:
        check_files(landscape, files)
    first, *told = str(caught.value).split("\n  ")
    assert first == "networks.files: these cannot be used:"
    assert len(told) == 3
    assert "renamed.pt does not fit Net. missing: head.weight, head.bias. unexpected: fc.weight, fc.bias" in told[0]
    assert "other.pt: frozen differs from that of the model" in told[1]
    assert "text.pt: cannot be read as weights" in told[2]


def test_one_network_in_two_files_is_told(own, tmp_path):
    landscape, build = own
    files = [saved(build(seed), tmp_path / name, name[-2:]) for seed, name in ((0, "a.pt"), (0, "b.pth"), (1, "c.pt"))]
    digests = check_files(landscape, files)
    assert len(set(digests.values())) == 2
    with pytest.raises(InputError) as caught:
        check_different(digests)
    assert str(caught.value).endswith("a.pt, " + files[1] + " hold the same weights")
    check_different({file: digests[file] for file in files[1:]})
