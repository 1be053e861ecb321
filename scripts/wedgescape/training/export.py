"""Networks of a study as files that their plain PyTorch model loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.stores.whole_files import whole_file
from wedgescape.study.settings import swept
from wedgescape.training.optima import Optima

TABLE = "networks.csv"  # beside the folders of the settings


@torch.no_grad()
def state_of(landscape: NetworkLandscape, point: Tensor) -> dict[str, Tensor]:
    """Return what the plain module's `load_state_dict` takes, so that in evaluation mode it computes the same.

    Batch norms get the statistics that the landscape computes for this point, on 512 training examples, as their
    running statistics. The variance is that of these examples, without Bessel's correction.

    Args:
        landscape: of the network.
        point: weights (P,).
    """
    state = {name: buffer.cpu() for name, buffer in landscape.module.named_buffers()}
    parts = dict(zip(map(id, landscape.module.parameters()), landscape.unpacked(point), strict=True))
    for name, parameter in landscape.module.named_parameters(remove_duplicate=False):  # a tied one has several names
        state[name] = parts[id(parameter)].cpu()
    for name, moments in landscape.batch_norm_moments(point).items():
        mean, variance = (moment.flatten().cpu() for moment in moments)
        state |= {f"{name}.running_mean": mean, f"{name}.running_var": variance}
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)
    return {name: tensor.contiguous().clone() for name, tensor in state.items()}


def export(optima: Optima, folder: str | Path) -> list[Path]:
    """Write each network that did not diverge to `{folder}/seed~{seed}.safetensors`; return the files.

    Args:
        optima: networks of one setting.
        folder: is made if it is not there.

    >>> import torch
    >>> import wedgescape
    >>> network = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> optima = wedgescape.Optima.from_modules([network], (torch.randn(20, 4), torch.arange(20) % 3))
    >>> from tempfile import mkdtemp
    >>> [file.name for file in wedgescape.export(optima, mkdtemp())]
    ['seed~0.safetensors']
    """
    from safetensors.torch import save_file  # no study needs this package

    Path(folder).mkdir(parents=True, exist_ok=True)
    sound, files = optima.sound(), []
    for seed, point in sound.by_seed.items():
        files.append(Path(folder) / f"seed~{seed}.safetensors")
        with whole_file(files[-1]) as beside:
            save_file(state_of(sound.landscape, point), beside)
    return files


def rows_of(optima: Optima, files: Sequence[Path]) -> list[dict]:
    """Return a row for each network that `export` wrote, as `networks.table` of a config has them.

    Args:
        optima: of one setting of a study.
        files: what `export` returned, in a folder beside `TABLE`.

    Returns:
        `file`, relative to the table; `seed`; and the hyperparameters by their keys in `sweeps`, but the model's name.
    """
    training = optima.training
    places = {key: (training[section.section()], name) for key, (section, name, _sweep) in swept().items()}
    varied = {key: place[name] for key, (place, name) in places.items() if key != "model" and name in place}
    seeds = optima.sound().seeds
    return [
        {"file": f"{file.parent.name}/{file.name}", "seed": seed} | varied
        for seed, file in zip(seeds, files, strict=True)
    ]
