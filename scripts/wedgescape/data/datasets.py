"""Datasets by name: one table of the published ones, and a user's own from a Python file."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from wedgescape.data.downloads import fetch
from wedgescape.data.image_files import Arrays, read_cifar, read_idx, unpack
from wedgescape.data.own_datasets import RETURNED, read_own
from wedgescape.errors import InputError

_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Published:
    """One row of the table of published datasets.

    Args:
        source: a sentence with the reference.
        classes: number of classes.
        mirrors: addresses that end where a file's name begins.
        sha256: checksum of each file to download.
        unpacked: the files that are packed in these, in the order in which `read` takes them.
        read: the reader of the unpacked files.
        system_folder: where a package of the operating system puts the files.
        recompressed: whether such packages compress the files anew; then only downloads must have these checksums.
    """

    source: str
    classes: int
    mirrors: tuple[str, ...]
    sha256: dict[str, str]
    unpacked: tuple[str, ...] = _IDX
    read: Callable[[dict[Path, bytes], int], Arrays] = read_idx
    system_folder: str | None = None
    recompressed: bool = False


_CIFAR_MIRRORS = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")

PUBLISHED = {
    "mnist": Published(
        source="MNIST, handwritten digits; LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998) 2278.",
        classes=10,
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        sha256={
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion_mnist": Published(
        source="Fashion-MNIST, articles of clothing; Xiao, Rasul and Vollgraf, arXiv:1708.07747 (2017).",
        classes=10,
        mirrors=(
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        sha256={
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        system_folder="/usr/share/datasets/fashion-mnist",  # Debian's package dataset-fashion-mnist
        recompressed=True,
    ),
    "cifar10": Published(
        source="CIFAR-10, photographs; Krizhevsky, Learning multiple layers of features from tiny images (2009).",
        classes=10,
        mirrors=_CIFAR_MIRRORS,
        sha256={"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
        unpacked=(
            *(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),
            "cifar-10-batches-bin/test_batch.bin",
        ),
        read=read_cifar,
    ),
    "cifar100": Published(
        source="CIFAR-100, photographs; Krizhevsky, Learning multiple layers of features from tiny images (2009).",
        classes=100,
        mirrors=_CIFAR_MIRRORS,
        sha256={"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
        unpacked=("cifar-100-binary/train.bin", "cifar-100-binary/test.bin"),
        read=read_cifar,
    ),
}


class _Loaded(NamedTuple):
    """A dataset as read, before any choice of examples."""

    name: str
    source: str
    classes: int
    maximum: int  # largest possible value of a pixel; 1 for floating-point images, which are not scaled
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
        dataset: digits, diabetes, mnist, fashion_mnist, cifar10 or cifar100; or {"file": path, "name": function}, a
            Python file (relative to the working directory) whose function, called without arguments, returns
            (train_images, train_labels, test_images, test_labels) as numpy arrays: images uint8 or floating point, (N,
            C, H, W) or (N, H, W), or in their place vectors (N, F) or tokens (N, L), whole numbers; labels 0 …
            n_classes-1, or numbers (N,) or (N, T), floating point.
        folder: folder that holds the published files, as downloaded or unpacked. None: the system's folder for them if
            it has one, otherwise the cache, `~/.cache/wedgescape/<dataset>`. Digits and a user's own need none.
        download: whether files that the cache lacks may be downloaded into it.
        train_examples: number of training examples to keep, the first N in `stratified_order`. None: all.
        test_examples: the same for the test examples.

    Returns:
        `images` (example, channel, row, column), uint8 or float32 as in the source, or `inputs` (example, feature) or
        (example, position); `labels` (example) or (example, target), int64 classes or float32 numbers; `split`
        (example), "train" or "test". Attributes: `dataset`; `classes`, 0 where labels are none; `source`, one sentence;
        `sha256`, JSON {file or array: checksum}; `normalisation`, JSON {scale, mean, std} with x = (image * scale -
        mean) / std, where scale is 1 / (largest possible value), and mean and std, one per channel or feature, are
        those of the training images kept; null for tokens.

    Raises:
        InputError: the dataset is unknown, a file is missing, damaged or not the published one, a download fails, a
            user's function returns something else, or the dataset has fewer examples than requested.
    """
    if isinstance(dataset, dict):
        loaded = _load_own(dataset)
    elif dataset in BUNDLED:
        loaded = BUNDLED[dataset]()
    elif dataset in PUBLISHED:
        loaded = _load_published(dataset, None if folder is None else Path(folder), download)
    else:
        allowed = ", ".join((*BUNDLED, *PUBLISHED))
        raise InputError(f"dataset: found {dataset!r}; allowed: {allowed}, or {{file: ..., name: ...}} for your own")

    train_images, train_labels = _choose(*loaded.arrays[:2], train_examples, "data.train_examples")
    test_images, test_labels = _choose(*loaded.arrays[2:], test_examples, "data.test_examples")
    split = np.repeat(["train", "test"], [len(train_labels), len(test_labels)])
    inputs, labels = np.concatenate([train_images, test_images]), np.concatenate([train_labels, test_labels])
    dims, name, said = ("example", "channel", "row", "column"), "images", "pixels as in the source"
    if inputs.ndim == 2:
        tokens = inputs.dtype == np.int64
        dims, name = ("example", "position" if tokens else "feature"), "inputs"
        said = "tokens as in the source" if tokens else "features as in the source"
    units = f"grey level, 0 to {loaded.maximum}" if inputs.dtype == np.uint8 else "1"
    about = f"class of the example, 0 to {loaded.classes - 1}" if loaded.classes else "what is predicted of the example"
    return xr.Dataset(
        {
            name: (dims, inputs, {"description": said, "units": units}),
            "labels": (("example", "target")[: labels.ndim], labels, {"description": about}),
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
    """A fixed shuffle that spreads every class evenly over the examples.

    It places the k-th of the n shuffled examples of a class at (k + 1/2) / n. So the first N examples contain each
    class in proportion, to within about one example, and a larger N contains every smaller one.

    Args:
        labels: class of each example, (N,).

    Returns:
        Positions of the examples in their new order, (N,).
    """
    # PCG64 by name, because numpy may change the generator behind default_rng.
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
        raise InputError(f"{key}: found {count}; allowed: 1 to {len(labels)}, the number of examples")
    chosen = stratified_order(labels)[:count]
    return images[chosen], labels[chosen]


def _normalisation(images: np.ndarray, scale: float) -> dict[str, float | list[float]] | None:
    """Scale, and mean and standard deviation of every channel or feature after scaling; None of tokens."""
    if images.dtype == np.int64:
        return None
    images = images.reshape(*images.shape[:2], *(images.shape[2:] or (1, 1)))
    mean = images.mean(axis=(0, 2, 3), dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(images), 1000):  # in slabs, because float64 takes eight times the images' memory
        squares += ((images[start : start + 1000] - mean[:, None, None]) ** 2).sum(axis=(0, 2, 3))
    std = scale * np.sqrt(squares / (images.size / images.shape[1]))
    std[std == 0] = 1.0  # avoids a division by zero for a constant channel
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


def _load_diabetes() -> _Loaded:
    from sklearn.datasets import load_diabetes

    bundle = load_diabetes(scaled=False)
    inputs, labels = bundle.data.astype(np.float32), bundle.target.astype(np.float32)
    order = stratified_order(labels)
    train, test = order[:353], order[353:]  # 80 and 20 per cent of 442
    return _Loaded(
        name="diabetes",
        source="442 patients in scikit-learn: ten features, and how far their diabetes has gone a year later; Efron, "
        "Hastie, Johnstone and Tibshirani, Annals of Statistics 32 (2004) 407.",
        classes=0,
        maximum=1,
        sha256={"inputs": _array_sha256(inputs), "labels": _array_sha256(labels)},
        arrays=(inputs[train], labels[train], inputs[test], labels[test]),
    )


def _load_published(name: str, folder: Path | None, download: bool) -> _Loaded:
    published, sums, files = PUBLISHED[name], {}, {}
    for path in _locate(name, folder, download):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error}") from error
        found, allowed = hashlib.sha256(content).hexdigest(), published.sha256.get(path.name)
        if allowed not in (None, found) and not published.recompressed:
            raise InputError(
                f"{path}: found the checksum sha256:{found}, but the published file has sha256:{allowed}. "
                "Download it again, or provide the unpacked files"
            )
        sums[path.name] = found
        files |= unpack(path, content, published.unpacked)
    return _Loaded(name, published.source, published.classes, 255, sums, published.read(files, published.classes))


def _locate(name: str, folder: Path | None, download: bool) -> list[Path]:
    """The files of a published dataset, packed or unpacked, in the order of the table; downloaded if necessary."""
    published = PUBLISHED[name]
    if folder is not None:
        place, folder = "data.folder", folder.expanduser()
    elif published.system_folder and (paths := _files_in(Path(published.system_folder), published)):
        return paths
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wedgescape" / name
        if download:
            return [
                fetch([mirror + file for mirror in published.mirrors], folder / file, f"sha256:{sha256}")
                for file, sha256 in published.sha256.items()
            ]
        place = "data.download is false, and the cache"
    if paths := _files_in(folder, published):
        return paths
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else ["no such folder"]
    needed = f"{', '.join(published.sha256)}; or, unpacked, {', '.join(published.unpacked)}"
    message = f"{place} {folder}: found {', '.join(there[:10]) or 'an empty folder'}. It must contain {needed}"
    if any("cifar" in entry and "-py" in entry for entry in (folder.name, *there)):
        message += ". The Python version of CIFAR cannot be read, because unpickling can run any code"
    raise InputError(message)


def _files_in(folder: Path, published: Published) -> list[Path] | None:
    # The folder may be the one that holds the unpacked files, or its parent.
    inside = [Path(file).name for file in published.unpacked]
    for files in (published.sha256, published.unpacked, inside):
        paths = [folder / file for file in files]
        if all(path.is_file() for path in paths):
            return paths
    return None


def _load_own(dataset: dict) -> _Loaded:
    if set(dataset) - {"files"} != {"file", "name"}:
        raise InputError(f"dataset has the keys {', '.join(map(str, dataset)) or 'none'}. It must have file and name")
    path, name = Path(dataset["file"]), dataset["name"]
    arrays, classes = read_own(path, name)
    # The file may read other files, so the checksums cover what it returned, too.
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    sums |= {array: _array_sha256(values) for array, values in zip(RETURNED, arrays, strict=True)}
    maximum = 255 if arrays[0].dtype == np.uint8 else 1
    return _Loaded(name, f"The user's own, returned by {name}() in {path.name}.", classes, maximum, sums, arrays)


BUNDLED = {"digits": _load_digits, "diabetes": _load_diabetes}  # in scikit-learn, so that nothing is downloaded


def _array_sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
