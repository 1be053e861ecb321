"""A user's own dataset: what a function in a Python file returns, checked."""

import importlib.util
import sys
import traceback
from pathlib import Path

import numpy as np

from wedgescape.data.image_files import Arrays
from wedgescape.errors import InputError

RETURNED = ("train_images", "train_labels", "test_images", "test_labels")


def read_own(path: Path, name: str) -> tuple[Arrays, int]:
    """Import a Python file, call one of its functions without arguments, and check what it returns.

    Args:
        path: the Python file, relative to the working directory.
        name: the function.

    Returns:
        Train images (N, C, H, W), uint8 or float32, train labels (N,), int64, test images (M, C, H, W), test labels
        (M,); and the number of classes.

    Raises:
        InputError: the file cannot be imported, lacks the function, or the function fails or returns something else.
    """
    where = f"{path}: {name}()"
    returned = _call(path, name, where)
    if not isinstance(returned, tuple | list) or len(returned) != 4:
        count = f" of {len(returned)}" if isinstance(returned, tuple | list) else ""
        raise InputError(f"{where}: found a {type(returned).__name__}{count}; allowed: {', '.join(RETURNED)}")
    for what, array in zip(RETURNED, returned, strict=True):
        if not isinstance(array, np.ndarray):
            raise InputError(f"{where}: found {what} of type {type(array).__name__}; allowed: a numpy array")
    train_images, test_images = (_check_images(returned[i], f"{where}: {RETURNED[i]}") for i in (0, 2))
    train_labels, test_labels = (_check_labels(returned[i], f"{where}: {RETURNED[i]}") for i in (1, 3))
    _check_together(where, train_images, train_labels, test_images, test_labels)
    return (train_images, train_labels, test_images, test_labels), int(train_labels.max()) + 1


def _call(path: Path, name: str, where: str) -> object:
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"{path}: found no such Python file in {Path.cwd()}; allowed: the path of a .py file")
    spec = importlib.util.spec_from_file_location(f"wedgescape_own_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"{path}: found {_reason(error, path)}; allowed: a file that can be imported") from error
    function = getattr(module, name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(f"{path}: found no function {name}; allowed: one of {', '.join(functions) or '(none there)'}")
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{where}: found {_reason(error, path)}; allowed: a function that runs without arguments"
        ) from error


def _reason(error: BaseException, path: Path) -> str:
    """The error in one line, with the last line of the user's file that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return f"{type(error).__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")


def _check_images(images: np.ndarray, where: str) -> np.ndarray:
    """Images as (N, C, H, W) of uint8 or float32."""
    if images.ndim not in (3, 4) or not images.size:
        raise InputError(f"{where}: found shape {images.shape}; allowed: (N, C, H, W) or (N, H, W), none of them 0")
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise InputError(f"{where}: found {images.dtype}; allowed: uint8 (0 to 255) or floating numbers")
    if images.dtype != np.uint8:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is counted
            images = images.astype(np.float32)
        if bad := np.count_nonzero(~np.isfinite(images)):
            raise InputError(f"{where}: found {bad} values that are not finite as float32; allowed: none")
    return images[:, None] if images.ndim == 3 else images


def _check_labels(labels: np.ndarray, where: str) -> np.ndarray:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(f"{where}: found shape {labels.shape} of {labels.dtype}; allowed: (N,) of whole numbers")
    return labels.astype(np.int64)


def _check_together(
    where: str, train_images: np.ndarray, train_labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray
) -> None:
    for part, images, labels in (("train", train_images, train_labels), ("test", test_images, test_labels)):
        if len(images) != len(labels):
            raise InputError(
                f"{where}: found {len(images)} {part}_images and {len(labels)} {part}_labels; allowed: as many of both"
            )
    if (train_images.shape[1:], train_images.dtype) != (test_images.shape[1:], test_images.dtype):
        raise InputError(
            f"{where}: found test_images {test_images.shape[1:]} of {test_images.dtype}; "
            f"allowed: {train_images.shape[1:]} of {train_images.dtype}, as train_images"
        )
    # A gap is most often a count from 1, or a class lost in the split; the network would train an output for nothing.
    known = np.unique(train_labels)
    if len(known) < 2 or not np.array_equal(known, np.arange(len(known))):
        found = f"{len(known)} classes from {known[0]} to {known[-1]}"
        raise InputError(f"{where}: found train_labels of {found}; allowed: 0 to classes - 1, each there, 2 at least")
    if test_labels.min() < 0 or test_labels.max() >= len(known):
        raise InputError(
            f"{where}: found test_labels {test_labels.min()} to {test_labels.max()}; "
            f"allowed: 0 to {len(known) - 1}, as train_labels"
        )
