"""A user's own dataset: what a function in a Python file returns, checked."""

import logging
import traceback
from pathlib import Path

import numpy as np

from wedgescape.data.image_files import Arrays
from wedgescape.errors import InputError
from wedgescape.study.own_files import import_own, importing_from

log = logging.getLogger("wedgescape")

CHANNELS = (1, 3, 4)  # of grey images, of colour, of colour with transparency
RETURNED = ("train_images", "train_labels", "test_images", "test_labels")


def read_own(path: Path, name: str) -> tuple[Arrays, int]:
    """Import a Python file, call one of its functions without arguments, and check what it returns.

    Args:
        path: the Python file, relative to the working directory.
        name: the function.

    Returns:
        Train inputs: images (N, C, H, W) or vectors (N, F), uint8 or float32, or tokens (N, L), int64; train labels:
        classes (N,), int64, or numbers (N,) or (N, T), float32; the same of M test examples; and the number of classes,
        0 where labels are none.

    Raises:
        InputError: the file cannot be imported or lacks the function, the function fails, or it returns something else.
    """
    where = f"{path}: {name}()"
    returned = _call(path, name, where)
    if not isinstance(returned, tuple | list) or len(returned) != 4:
        count = f" of {len(returned)}" if isinstance(returned, tuple | list) else ""
        raise InputError(
            f"{where} returned a {type(returned).__name__}{count}. It must return a tuple: {', '.join(RETURNED)}"
        )
    for what, array in zip(RETURNED, returned, strict=True):
        if not isinstance(array, np.ndarray):
            raise InputError(f"{where}: {what} is of type {type(array).__name__}. It must be a numpy array")
    train_images, test_images = (_check_inputs(returned[i], f"{where}: {RETURNED[i]}") for i in (0, 2))
    train_labels, test_labels = (_check_labels(returned[i], f"{where}: {RETURNED[i]}") for i in (1, 3))
    for part, images, labels in (("train", train_images, train_labels), ("test", test_images, test_labels)):
        if len(images) != len(labels):
            raise InputError(
                f"{where}: found {len(images)} {part}_images and {len(labels)} {part}_labels. "
                "There must be one label per image"
            )
    if (train_images.shape[1:], train_images.dtype) != (test_images.shape[1:], test_images.dtype):
        raise InputError(
            f"{where}: one of the test_images is {test_images.shape[1:]} of {test_images.dtype}. "
            f"It must be {train_images.shape[1:]} of {train_images.dtype}, like train_images"
        )
    if train_images.ndim == 4 and (last := _channels_last(train_images.shape)):
        log.warning("%s: %s", where, last)
    if train_labels.shape[1:] != test_labels.shape[1:] or train_labels.dtype != test_labels.dtype:
        found, wanted = (f"{one.dtype} of shape (N, …) = {one.shape}" for one in (test_labels, train_labels))
        raise InputError(f"{where}: test_labels are {found}. They must be like train_labels, {wanted}")
    if train_labels.dtype.kind == "f" or train_labels.ndim > 1:
        return (train_images, train_labels, test_images, test_labels), 0
    # Labels with a gap are usually counted from 1, or a class was lost in the split. Either would give the network an
    # output that nothing trains.
    known = np.unique(train_labels)
    if len(known) < 2 or not np.array_equal(known, np.arange(len(known))):
        raise InputError(
            f"{where}: train_labels contains {len(known)} classes from {known[0]} to {known[-1]}. Labels must be "
            "0 … n_classes-1, every class must occur, and there must be at least two classes"
        )
    if test_labels.min() < 0 or test_labels.max() >= len(known):
        raise InputError(
            f"{where}: test_labels contains {test_labels.min()} to {test_labels.max()}. "
            f"Labels must be 0 to {len(known) - 1}, like train_labels"
        )
    return (train_images, train_labels, test_images, test_labels), len(known)


def _call(path: Path, name: str, where: str) -> object:
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"{path}: there is no such Python file in {Path.cwd()}. It must be the path of a .py file")
    with importing_from(path.resolve().parent):
        try:
            module = import_own(path)
        except (Exception, SystemExit) as error:
            raise InputError(f"{path}: the file cannot be imported: {_reason(error, path)}") from error
        function = getattr(module, name, None)
        if not callable(function):
            functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            found = ", ".join(functions) or "(none there)"
            raise InputError(f"{path}: found no function {name}; allowed: one of {found}")
        try:
            return function()
        except (Exception, SystemExit) as error:
            raise InputError(f"{where} failed: {_reason(error, path)}. It must run without arguments") from error


def _reason(error: BaseException, path: Path) -> str:
    """The error in one line, with the last line of the user's file that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return f"{type(error).__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")


def _check_inputs(inputs: np.ndarray, where: str) -> np.ndarray:
    """Images as (N, C, H, W) and vectors as (N, F), of uint8 or float32; tokens as whole numbers (N, L), int64."""
    if inputs.ndim not in (2, 3, 4) or not inputs.size:
        raise InputError(
            f"{where} has the shape {inputs.shape}. It must be (N, C, H, W) or (N, H, W) for images, (N, F) for "
            "vectors or tokens, without a 0"
        )
    if inputs.dtype.kind in "iu" and inputs.dtype != np.uint8 and inputs.ndim == 2:
        if inputs.min() < 0:
            raise InputError(f"{where} contains {inputs.min()}. Tokens must be whole numbers from 0")
        return inputs.astype(np.int64)
    if inputs.dtype != np.uint8 and inputs.dtype.kind != "f":
        raise InputError(f"{where} is of type {inputs.dtype}. It must be uint8 (0 to 255) or floating point")
    if inputs.dtype != np.uint8:
        inputs = _finite(inputs, where)
    return inputs[:, None] if inputs.ndim == 3 else inputs


def _finite(values: np.ndarray, where: str) -> np.ndarray:
    """Return numbers as float32."""
    with np.errstate(over="ignore"):  # values too large for float32 become infinite
        values = values.astype(np.float32)
    if bad := np.count_nonzero(~np.isfinite(values)):
        raise InputError(f"{where} contains {bad} values that are not finite as float32. All must be finite")
    return values


def _channels_last(shape: tuple[int, ...]) -> str | None:
    """What to say of images (N, C, H, W) whose last axis looks like the channels; None where none does."""
    _count, channels, rows, columns = shape
    if columns not in CHANNELS or min(channels, rows) <= max(CHANNELS):
        return None
    return (
        f"images are read as (N, C, H, W), so these have {channels} channels of {rows} x {columns} pixels. Axis 3, of "
        f"length {columns}, looks like the channels: if it is, return images.transpose(0, 3, 1, 2)"
    )


def _check_labels(labels: np.ndarray, where: str) -> np.ndarray:
    """Classes as (N,), int64; numbers as (N,) or (N, T), float32; several labels of 0 and 1 as (N, T), int64."""
    several = labels.ndim == 2 and labels.size
    if labels.dtype.kind == "f" and (labels.ndim == 1 or several):
        return _finite(labels, where)
    if labels.dtype.kind not in "iu" or not (labels.ndim == 1 or several):
        raise InputError(
            f"{where} has the shape {labels.shape} of {labels.dtype}. It must be (N,) of integers for classes, or (N,) "
            "or (N, T) of floating point for numbers"
        )
    return labels.astype(np.int64)
