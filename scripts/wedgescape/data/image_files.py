"""Readers of published image files: IDX (MNIST and its kin) and CIFAR, packed or unpacked.

A reader gets the contents of the files, by path, and gives (train images, train labels, test images, test labels):
images uint8 (example, channel, row, column), labels int64 (example). What it cannot use is an InputError that names
the file, what was found in it and what is allowed.
"""

import gzip
import io
import math
import pickle
import struct
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wedgescape.errors import InputError

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

_DAMAGED = (OSError, EOFError, zlib.error, tarfile.TarError)


def read_idx(files: dict[Path, bytes], classes: int) -> Arrays:
    """Read the four files of an MNIST-like dataset.

    Args:
        files: contents of train images, train labels, test images, test labels, in this order; gzipped if the name
            ends in .gz.
        classes: labels are 0 .. classes - 1.

    Returns:
        Train images (N, 1, H, W), train labels (N,), test images (M, 1, H, W), test labels (M,).

    Raises:
        InputError: a file is damaged, no IDX file, or does not fit the others.

    Source: the IDX format, described at the foot of http://yann.lecun.com/exdb/mnist.
    """
    parts = []
    for (path, content), dimensions in zip(files.items(), (3, 1, 3, 1), strict=True):
        parts.append(_decode_idx(path, content, dimensions))
    paths = list(files)
    for images, labels in ((0, 1), (2, 3)):
        _check_labels(paths[labels], parts[labels], len(parts[images]), classes)
    if parts[0].shape[1:] != parts[2].shape[1:]:
        raise InputError(
            f"{paths[2]}: found images of {parts[2].shape[1:]} pixels; allowed: {parts[0].shape[1:]}, as in {paths[0]}"
        )
    return parts[0][:, None], parts[1].astype(np.int64), parts[2][:, None], parts[3].astype(np.int64)


def read_cifar(files: dict[Path, bytes], classes: int, train: Sequence[str], test: Sequence[str]) -> Arrays:
    """Read CIFAR-10 or CIFAR-100 from their archive or from its unpacked batches.

    Args:
        files: contents of one .tar.gz archive, or of the batches.
        classes: labels are 0 .. classes - 1 (the fine labels of CIFAR-100).
        train: names of the training batches; the binary version adds .bin.
        test: names of the test batches.

    Returns:
        Train images (N, 3, 32, 32), train labels (N,), test images (M, 3, 32, 32), test labels (M,).

    Raises:
        InputError: a file is damaged, lacks a batch, would unpack outside its folder, or holds a pickle that wants
            to run anything.

    Source: the Python and binary versions as described at https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    batches = {}
    for path, content in files.items():
        batches |= _unpack(path, content, {*train, *test}) if path.suffix == ".gz" else {path: content}
    by_name = {path.stem: (path, content) for path, content in batches.items()}
    arrays = []
    for names in (train, test):
        for name in names:
            if name not in by_name:
                where = ", ".join(map(str, files))
                raise InputError(f"{where}: found no batch {name}; allowed: {', '.join((*train, *test))}, all of them")
        pairs = [_decode_batch(*by_name[name], classes) for name in names]
        images, labels = zip(*pairs, strict=True)
        arrays += [np.concatenate(images), np.concatenate(labels)]
    return tuple(arrays)


def _decode_idx(path: Path, content: bytes, dimensions: int) -> np.ndarray:
    """One IDX file of unsigned bytes: two zeros, type 8, number of dimensions, sizes (big-endian int32), values."""
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except _DAMAGED as error:
            raise InputError(f"{path}: found a damaged gzip file ({error}); allowed: a whole one") from error
    magic = bytes((0, 0, 8, dimensions))
    header = 4 + 4 * dimensions
    if content[:4] != magic or len(content) < header:
        raise InputError(
            f"{path}: found an IDX header {content[:4].hex(' ')} in {len(content)} bytes; "
            f"allowed: {magic.hex(' ')} (unsigned bytes, {dimensions} dimensions) and {dimensions} sizes"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape) or not math.prod(shape):
        raise InputError(
            f"{path}: found {len(content) - header} values; allowed: {math.prod(shape)}, "
            f"the product of the sizes {shape} in the header, and at least one"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _check_labels(path: Path, labels: np.ndarray, images: int, classes: int) -> None:
    if len(labels) != images:
        raise InputError(f"{path}: found {len(labels)} labels; allowed: {images}, one for each image")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"{path}: found labels {labels.min()} to {labels.max()}; allowed: 0 to {classes - 1}")


def _unpack(path: Path, content: bytes, wanted: set[str]) -> dict[Path, bytes]:
    """The wanted batches of a .tar.gz archive, read in memory; nothing is written to the disk."""
    batches = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                # The filter refuses what would leave the folder or is no plain file, even where it is not wanted.
                tarfile.data_filter(member, str(path.parent))
                if member.isfile() and Path(member.name).stem in wanted:
                    batches[path / member.name] = archive.extractfile(member).read()
    except tarfile.FilterError as error:
        raise InputError(
            f"{path}: found an unsafe member ({error}); allowed: files and folders inside the archive's own folder"
        ) from error
    except _DAMAGED as error:
        raise InputError(f"{path}: found a damaged archive ({error}); allowed: a whole .tar.gz archive") from error
    return batches


def _decode_batch(path: Path, content: bytes, classes: int) -> tuple[np.ndarray, np.ndarray]:
    decode = _decode_binary if path.suffix == ".bin" else _decode_pickle
    pixels, labels = decode(path, content, classes)
    _check_labels(path, labels, len(pixels), classes)
    return pixels.reshape(-1, 3, 32, 32), labels


def _decode_binary(path: Path, content: bytes, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Records of one label byte (CIFAR-100: coarse, then fine) and 3072 pixels."""
    label_bytes = 2 if classes == 100 else 1
    record = label_bytes + 3072
    if not content or len(content) % record:
        raise InputError(f"{path}: found {len(content)} bytes; allowed: a multiple of {record}, the size of one record")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64)


def _decode_pickle(path: Path, content: bytes, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A pickled dictionary with `data`, uint8 (N, 3072), and a list of N `labels` (CIFAR-100: `fine_labels`)."""
    key = b"fine_labels" if classes == 100 else b"labels"
    try:
        # The batches were pickled by Python 2, whose strings are bytes.
        batch = _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"].array(), np.array(batch[key])
    except _ForbiddenError as error:
        raise InputError(
            f"{path}: found a pickle that asks for {error}; allowed: numpy arrays, lists, numbers and strings, "
            "nothing else, for a pickle can run any code"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(
            f"{path}: found no CIFAR batch ({type(error).__name__}: {error}); "
            f"allowed: a pickled dictionary with an array of bytes {b'data'} and a list {key}"
        ) from error
    if pixels.ndim != 2 or pixels.shape[1] != 3072 or labels.ndim != 1 or labels.dtype.kind != "i" or not labels.size:
        raise InputError(
            f"{path}: found data {pixels.shape} and labels {labels.shape} of {labels.dtype}; "
            "allowed: data (N, 3072) and N whole numbers"
        )
    return pixels, labels.astype(np.int64)


class _ForbiddenError(Exception):
    """A pickle asks for something else than numpy arrays; the message names it."""


class _PickledArray:
    """What a pickle says of a numpy array; plain data until `array` makes it one of bytes."""

    def __init__(self, *_):
        pass  # class, shape and type of an empty array, which the state replaces

    def __setstate__(self, state: tuple) -> None:
        _, self.shape, self.dtype, self.is_fortran, self.content = state

    def array(self) -> np.ndarray:
        if self.dtype.code not in (b"u1", "u1"):
            raise TypeError(f"an array of {self.dtype.code}, not of bytes (u1)")
        return np.frombuffer(self.content, np.uint8).reshape(self.shape, order="F" if self.is_fortran else "C")


class _PickledDtype:
    """What a pickle says of a numpy dtype: its code, such as u1."""

    def __init__(self, code: bytes | str, *_):
        self.code = code

    def __setstate__(self, state: tuple) -> None:
        pass  # byte order and fields, which single bytes lack


class _BatchUnpickler(pickle.Unpickler):
    """Admits the three names by which numpy pickles an array, and puts plain stand-ins behind them.

    So nothing of numpy runs on the pickle's data, and it does not matter that numpy 2 renamed numpy.core.
    """

    _ADMITTED = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy", "ndarray"): None,  # only ever an argument of _reconstruct
        ("numpy", "dtype"): _PickledDtype,
    }

    def find_class(self, module: str, name: str) -> object:
        try:
            return self._ADMITTED[module, name]
        except KeyError:
            raise _ForbiddenError(f"{module}.{name}") from None
