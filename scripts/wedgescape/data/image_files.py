"""Readers of published image files: IDX (MNIST and Fashion-MNIST) and the binary version of CIFAR.

A reader takes the unpacked contents of the files, by path, and returns (train images, train labels, test images, test
labels): images uint8 (example, channel, row, column), labels int64 (example). For a file that it cannot use it raises
an InputError that says which file, what is wrong and what must be.
"""

import gzip
import io
import math
import struct
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wedgescape.errors import InputError

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def unpack(path: Path, content: bytes, members: Sequence[str]) -> dict[Path, bytes]:
    """Unpack one file in memory. Nothing is written to disk, and of an archive only the named members are read.

    Args:
        path: the file; the end of its name (.tar.gz, .gz or another) says how it is packed.
        content: its bytes.
        members: names of the members to read if the file is an archive.

    Returns:
        The unpacked contents by path, in the order of `members`. A member's path is its name below the archive's path.

    Raises:
        InputError: the file is damaged or lacks a member.
    """
    try:
        if path.name.endswith(".tar.gz"):
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
                return {path / name: archive.extractfile(name).read() for name in members}
        return {path: gzip.decompress(content) if path.suffix == ".gz" else content}
    except (OSError, EOFError, KeyError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"{path} is damaged or incomplete: {error}. Replace it by a complete copy") from error


def read_idx(files: dict[Path, bytes], classes: int) -> Arrays:
    """Read the four files of a dataset in MNIST's format.

    Args:
        files: contents of train images, train labels, test images and test labels, in this order.
        classes: labels are 0 … classes-1.

    Returns:
        Train images (N, 1, H, W), train labels (N,), test images (M, 1, H, W), test labels (M,).

    Raises:
        InputError: a file is damaged, is no IDX file, or does not fit the others.

    Source: the IDX format, described at the foot of http://yann.lecun.com/exdb/mnist.
    """
    dimensions = (3, 1, 3, 1)
    parts = [_decode_idx(*file, axes) for file, axes in zip(files.items(), dimensions, strict=True)]
    paths, (train_images, train_labels, test_images, test_labels) = list(files), parts
    _check_labels(paths[1], train_labels, len(train_images), classes)
    _check_labels(paths[3], test_labels, len(test_images), classes)
    sizes = train_images.shape[1:], test_images.shape[1:]
    if sizes[0] != sizes[1]:
        raise InputError(f"{paths[2]}: the images have {sizes[1]} pixels, but those of {paths[0]} have {sizes[0]}")
    return train_images[:, None], train_labels.astype(np.int64), test_images[:, None], test_labels.astype(np.int64)


def read_cifar(files: dict[Path, bytes], classes: int) -> Arrays:
    """Read the batches of CIFAR-10 or CIFAR-100 in the binary version.

    Args:
        files: contents of the training batches, then of the only test batch.
        classes: 10 or 100; labels are 0 … classes-1 (of CIFAR-100 the fine ones).

    Returns:
        Train images (N, 3, 32, 32), train labels (N,), test images (M, 3, 32, 32), test labels (M,).

    Raises:
        InputError: a batch does not consist of whole records, or has a label out of range.

    Source: the binary version, described at https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    *train, test = (_decode_batch(path, content, classes) for path, content in files.items())
    images, labels = map(np.concatenate, zip(*train, strict=True))
    return images, labels, *test


def _decode_idx(path: Path, content: bytes, dimensions: int) -> np.ndarray:
    """One IDX file of unsigned bytes: two zeros, type 8, number of dimensions, sizes (big-endian int32), values."""
    magic = bytes((0, 0, 8, dimensions))
    header = 4 + 4 * dimensions
    if content[:4] != magic or len(content) < header:
        raise InputError(
            f"{path}: found an IDX header {content[:4].hex(' ')} in {len(content)} bytes; allowed: "
            f"{magic.hex(' ')} (unsigned bytes, {dimensions} dimensions), followed by {dimensions} sizes"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape) or not math.prod(shape):
        raise InputError(
            f"{path}: found {len(content) - header} values. There must be {math.prod(shape)}, the product of the "
            f"sizes {shape} in the header, and at least one"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _decode_batch(path: Path, content: bytes, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """One batch of CIFAR: records of one label byte (CIFAR-100: coarse, then fine) and 3072 pixels."""
    label_bytes = 2 if classes == 100 else 1
    record = label_bytes + 3072
    if not content or len(content) % record:
        raise InputError(f"{path}: found {len(content)} bytes. There must be a multiple of {record}, the record size")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    labels = records[:, label_bytes - 1].astype(np.int64)
    _check_labels(path, labels, len(records), classes)
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), labels


def _check_labels(path: Path, labels: np.ndarray, images: int, classes: int) -> None:
    if len(labels) != images:
        raise InputError(f"{path}: found {len(labels)} labels for {images} images. There must be one label per image")
    if labels.max() >= classes:
        raise InputError(f"{path}: found labels {labels.min()} to {labels.max()}; allowed: 0 to {classes - 1}")
