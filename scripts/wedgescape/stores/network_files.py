"""Files with the weights of one network, as PyTorch users keep them. Nothing is unpickled but tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.study.own_networks import SUFFIXES

KEYS = ("state_dict", "model_state_dict", "model")  # under which training scripts keep the weights beside other things


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file by their names: parameters and buffers, as in a module's `state_dict`.

    Args:
        path: `.safetensors`; `.npz`, an array per name; `.pt` or `.pth`, what `torch.save` wrote of a state_dict, or of
            a dictionary that has one under `state_dict`, `model_state_dict` or `model`.

    Raises:
        InputError: if there is no such file, or it holds no tensors by name.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: weights are read from {', '.join(SUFFIXES)} files")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # the other formats do without this package

            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(array) for name, array in arrays.items()}
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, numpy, zipfile and torch raise many kinds
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        text = f"{path}: cannot be read as weights ({reason})"
        if path.suffix in (".pt", ".pth"):
            text += ". Only tensors are loaded, because anything else can run code: save module.state_dict()"
        raise InputError(text) from error
    return _state_in(content, path)


def _state_in(content, path: Path) -> dict[str, Tensor]:
    """Return the state_dict that a file's content is, or has under one of `KEYS`."""
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: holds a {type(content).__name__}; it must hold a module's state_dict")
    for state in (content, *(content[key] for key in KEYS if key in content)):
        if isinstance(state, Mapping):
            tensors = {name: one for name, one in state.items() if not str(name).endswith("_extra_state")}
            if tensors and all(isinstance(one, Tensor) for one in tensors.values()):
                return tensors
    found = ", ".join(map(str, content)) or "nothing"
    raise InputError(f"{path}: no state_dict, neither the file itself nor under {', '.join(KEYS)}; it has {found}")
