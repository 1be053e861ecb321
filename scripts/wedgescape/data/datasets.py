"""Datasets by name: one table of the published ones, and a user's own from a Python file."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from wedgescape.data.downloads import fetch
from wedgescape.data.image_files import Arrays, read_cifar, read_idx
from wedgescape.data.own_datasets import RETURNED, read_own
from wedgescape.errors import InputError


@dataclass(frozen=True)
class Published:
    """One row of the table of published datasets.

    A packing is a set of files that holds the whole dataset; the first is the one that is downloaded. A file with a
    published MD5 must match it, save where distributions are known to have compressed it anew.
    """

    source: str
    classes: int
    mirrors: tuple[str, ...]
    md5: dict[str, str]
    packings: tuple[tuple[str, ...], ...]
    read: Callable[[dict[Path, bytes], int], Arrays]
    system_folder: str | None = None
    recompressed: bool = False


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_IDX_PACKINGS = (tuple(f"{name}.gz" for name in _IDX), _IDX)
_CIFAR10_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_CIFAR_MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://cave.cs.toronto.edu/kriz/",
    "https://dataset.bj.bcebos.com/cifar/",
)

PUBLISHED = {
    "mnist": Published(
        source="MNIST, handwritten digits; LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998) 2278.",
        classes=10,
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        md5={
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        packings=_IDX_PACKINGS,
        read=read_idx,
    ),
    "fashion_mnist": Published(
        source="Fashion-MNIST, articles of clothing; Xiao, Rasul and Vollgraf, arXiv:1708.07747 (2017).",
        classes=10,
        mirrors=(
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        md5={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        packings=_IDX_PACKINGS,
        read=read_idx,
        system_folder="/usr/share/datasets/fashion-mnist",  # Debian's package dataset-fashion-mnist
        recompressed=True,
    ),
    "cifar10": Published(
        source="CIFAR-10, photographs; Krizhevsky, Learning multiple layers of features from tiny images (2009).",
        classes=10,
        mirrors=_CIFAR_MIRRORS,
        md5={
            "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
            "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
        },
        packings=(
            ("cifar-10-python.tar.gz",),
            ("cifar-10-binary.tar.gz",),
            tuple(f"cifar-10-batches-py/{name}" for name in (*_CIFAR10_TRAIN, "test_batch")),
            tuple(f"cifar-10-batches-bin/{name}.bin" for name in (*_CIFAR10_TRAIN, "test_batch")),
        ),
        read=partial(read_cifar, train=_CIFAR10_TRAIN, test=("test_batch",)),
    ),
    "cifar100": Published(
        source="CIFAR-100, photographs; Krizhevsky, Learning multiple layers of features from tiny images (2009).",
        classes=100,
        mirrors=_CIFAR_MIRRORS,
        md5={
            "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
            "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
        },
        packings=(
            ("cifar-100-python.tar.gz",),
            ("cifar-100-binary.tar.gz",),
            ("cifar-100-python/train", "cifar-100-python/test"),
            ("cifar-100-binary/train.bin", "cifar-100-binary/test.bin"),
        ),
        read=partial(read_cifar, train=("train",), test=("test",)),
    ),
}


class _Loaded(NamedTuple):
    """A dataset as read, before any choice of examples."""

    name: str
    source: str
    classes: int
    maximum: int  # the largest value that a pixel can take; 1 for floating images, which are not scaled
    sha256: dict[str, str]
    arrays: Arrays


def load_dataset(
    dataset: str | dict,
    folder: str | None = None,
    download: bool = True,
    train_examples: int | None = None,
    test_examples: int | None = None,
) -> xr.Dataset:
    """Load a published dataset, or a user's own.

    Args:
        dataset: digits, mnist, fashion_mnist, cifar10 or cifar100; or {"file": path, "name": function}, a Python file
            (relative to the working directory) whose function, called without arguments, returns
            (train_images, train_labels, test_images, test_labels) as numpy arrays: images uint8 or floating, (N, C,
            H, W) or (N, H, W), labels 0 .. classes - 1.
        folder: where the published files lie, as downloaded or unpacked. Without it they are taken from where the
            system keeps them, then from `~/.cache/wedgescape/<dataset>`. Digits and a user's own need none.
        download: whether files missing from the cache may be downloaded into it.
        train_examples: how many training examples to keep, the first in `stratified_order`; all by default.
        test_examples: the same for the test examples.

    Returns:
        `images` (example, channel, row, column), uint8 or float32 as in the source; `labels` (example), int64; `split`
        (example), "train" or "test". Attributes: `dataset`; `classes`; `source`, one sentence; `sha256`, JSON {file or
        array: sum}; `normalisation`, JSON {scale, mean, std} with x = (image * scale - mean) / std, where scale is
        1 / (largest possible value) and mean and std, one per channel, are those of the training images kept.

    Raises:
        InputError: the dataset is unknown, a file is missing, damaged or not the published one, a download fails, a
            user's function gives something else, or more examples are asked for than there are.
    """
    if isinstance(dataset, dict):
        loaded = _load_own(dataset)
    elif dataset == "digits":
        loaded = _load_digits()
    elif dataset in PUBLISHED:
        loaded = _load_published(dataset, None if folder is None else Path(folder), download)
    else:
        allowed = ", ".join(("digits", *PUBLISHED))
        raise InputError(f"dataset: found {dataset!r}; allowed: {allowed}, or {{file: ..., name: ...}} for your own")

    train_images, train_labels = _choose(*loaded.arrays[:2], train_examples, "data.train_examples")
    test_images, test_labels = _choose(*loaded.arrays[2:], test_examples, "data.test_examples")
    split = np.repeat(["train", "test"], [len(train_labels), len(test_labels)])
    grey = train_images.dtype == np.uint8
    return xr.Dataset(
        {
            "images": (
                ("example", "channel", "row", "column"),
                np.concatenate([train_images, test_images]),
                {
                    "description": "pixels as in the source",
                    "units": f"grey level, 0 to {loaded.maximum}" if grey else "1",
                },
            ),
            "labels": (
                ("example",),
                np.concatenate([train_labels, test_labels]),
                {"description": f"class of the example, 0 to {loaded.classes - 1}"},
            ),
            "split": (("example",), split, {"description": "the part that the example belongs to: train or test"}),
        },
        attrs={
            "dataset": loaded.name,
            "classes": loaded.classes,
            "source": loaded.source,
            "sha256": json.dumps(loaded.sha256),
            "normalisation": json.dumps(_normalisation(train_images, 1 / loaded.maximum)),
        },
    )


def stratified_order(labels: np.ndarray) -> np.ndarray:
    """A fixed shuffle in which every class is spread evenly from the first example to the last.

    The k-th of the n shuffled examples of a class is placed at (k + 1/2) / n, so that any first part holds each class
    in proportion, to within one example or so, and a larger part contains every smaller one.

    Args:
        labels: class of each example, (N,).

    Returns:
        Positions of the examples in their new order, (N,).
    """
    # PCG64 by name, since numpy may change what default_rng stands for.
    shuffled = np.argsort(np.random.Generator(np.random.PCG64(0)).random(len(labels)), kind="stable")
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def _choose(images: np.ndarray, labels: np.ndarray, count: int | None, key: str) -> tuple[np.ndarray, np.ndarray]:
    if count is None:
        return images, labels
    if not 1 <= count <= len(labels):
        raise InputError(f"{key}: found {count}; allowed: 1 to {len(labels)}, the examples that there are")
    chosen = stratified_order(labels)[:count]
    return images[chosen], labels[chosen]


def _normalisation(images: np.ndarray, scale: float) -> dict[str, float | list[float]]:
    """Scale, and mean and standard deviation of every channel after scaling."""
    mean = images.mean(axis=(0, 2, 3), dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(images), 1000):  # in slabs: as float64 the whole would be eight times the images
        squares += ((images[start : start + 1000] - mean[:, None, None]) ** 2).sum(axis=(0, 2, 3))
    std = scale * np.sqrt(squares / (images.size / images.shape[1]))
    std[std == 0] = 1.0  # a constant channel has nothing to divide by
    return {"scale": scale, "mean": (scale * mean).tolist(), "std": std.tolist()}


def _load_digits() -> _Loaded:
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images, labels = bundle.images.astype(np.uint8)[:, None], bundle.target.astype(np.int64)
    order = stratified_order(labels)
    train, test = order[:1437], order[1437:]  # 80 and 20 per cent of 1797
    return _Loaded(
        name="digits",
        source="The 1797 digits of 8 x 8 pixels in scikit-learn: test set of the UCI dataset by Alpaydin and Kaynak.",
        classes=10,
        maximum=16,
        sha256={"images": _array_sha256(images), "labels": _array_sha256(labels)},
        arrays=(images[train], labels[train], images[test], labels[test]),
    )


def _load_published(name: str, folder: Path | None, download: bool) -> _Loaded:
    published = PUBLISHED[name]
    contents, sums = {}, {}
    for path in _locate(name, published, folder, download):
        contents[path] = _read_checked(path, None if published.recompressed else published.md5.get(path.name))
        sums[path.name] = hashlib.sha256(contents[path]).hexdigest()
    arrays = published.read(contents, published.classes)
    return _Loaded(name, published.source, published.classes, 255, sums, arrays)


def _locate(name: str, published: Published, folder: Path | None, download: bool) -> Sequence[Path]:
    """The files of the first packing that is whole, in the order of the table."""
    if folder is not None:
        return _require_packing(folder.expanduser(), published, "data.folder")
    if published.system_folder and (paths := _whole_packing(Path(published.system_folder), published)):
        return paths
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wedgescape" / name
    if not download:
        return _require_packing(cache, published, "data.download: false, cache")
    return [
        fetch([mirror + file for mirror in published.mirrors], cache / file, f"md5:{published.md5[file]}")
        for file in published.packings[0]
    ]


def _whole_packing(folder: Path, published: Published) -> list[Path] | None:
    for packing in published.packings:
        # The folder given may be the one that the archive unpacks to, or the one around it.
        around = folder.parent if folder.name == Path(packing[0]).parent.name else folder
        paths = [around / file for file in packing]
        if all(path.is_file() for path in paths):
            return paths
    return None


def _require_packing(folder: Path, published: Published, key: str) -> list[Path]:
    if paths := _whole_packing(folder, published):
        return paths
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) if folder.is_dir() else "no such folder"
    allowed = "; or ".join(", ".join(packing) for packing in published.packings)
    raise InputError(f"{key} {folder}: found {found or 'an empty folder'}; allowed: a folder with {allowed}")


def _read_checked(path: Path, md5: str | None) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: found {error}; allowed: a file that can be read") from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 and found != md5:
        raise InputError(
            f"{path}: found md5 {found}; allowed: md5 {md5}, that of the published file. "
            "Fetch it again, or give the unpacked files"
        )
    return content


def _array_sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _load_own(dataset: dict) -> _Loaded:
    if set(dataset) != {"file", "name"}:
        raise InputError(
            f"dataset: found the keys {', '.join(map(str, dataset)) or 'none'}; allowed: file and name, both"
        )
    path, name = Path(dataset["file"]), dataset["name"]
    arrays, classes = read_own(path, name)
    # The file may read others, so what it returned is summed too.
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    sums |= {array: _array_sha256(values) for array, values in zip(RETURNED, arrays, strict=True)}
    maximum = 255 if arrays[0].dtype == np.uint8 else 1
    return _Loaded(name, f"The user's own, returned by {name}() in {path.name}.", classes, maximum, sums, arrays)
