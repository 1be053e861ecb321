"""Datasets against small files in the published formats, made here."""

import gzip
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from wedgescape.data import datasets
from wedgescape.data.datasets import PUBLISHED, load_dataset, stratified_order
from wedgescape.errors import InputError

IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(autouse=True)
def no_folders_of_this_machine(tmp_path, monkeypatch):
    """Tests use neither the system's datasets nor the user's cache, and download nothing from the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in PUBLISHED:
        change(monkeypatch, name, system_folder=None, mirrors=("http://127.0.0.1:9/",))


def change(monkeypatch, name, **changes):
    monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], **changes))


@pytest.fixture
def mirror(tmp_path, monkeypatch, small):
    """The folder of a mirror of MNIST that a server on this machine serves."""
    folder = write_idx(tmp_path / "mirror", small)
    monkeypatch.setenv("no_proxy", "*")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        change(monkeypatch, "mnist", mirrors=(f"http://127.0.0.1:{server.server_port}/",))
        yield folder
        server.shutdown()
        thread.join()


def refused(*pieces, **arguments):
    """The message with which load_dataset refuses, which must hold the pieces."""
    with pytest.raises(InputError) as error:
        load_dataset(**arguments)
    for piece in pieces:
        assert str(piece) in str(error.value)
    return str(error.value)


# Digits and the choice of examples


def test_digits():
    digits = load_dataset("digits")
    assert digits.images.dims == ("example", "channel", "row", "column")
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.images.dtype == np.uint8
    assert (digits.images.min(), digits.images.max()) == (0, 16)
    assert digits.images.attrs["units"] == "grey level, 0 to 16"
    assert digits.labels.dtype == np.int64
    assert (digits.split.values == ["train"] * 1437 + ["test"] * 360).all()
    assert all(variable.attrs["description"] for variable in digits.data_vars.values())
    assert (digits.attrs["dataset"], digits.attrs["classes"]) == ("digits", 10)
    assert "scikit-learn" in digits.attrs["source"]


def test_digits_are_all_there_once_and_belong_to_their_labels():
    from sklearn.datasets import load_digits

    digits, bundle = load_dataset("digits"), load_digits()
    ours = np.column_stack([digits.images.values.reshape(1797, 64), digits.labels])
    theirs = np.column_stack([bundle.data, bundle.target])
    np.testing.assert_array_equal(np.unique(ours, axis=0), np.unique(theirs, axis=0))


def test_the_split_of_the_digits_is_fixed_and_even():
    digits = load_dataset("digits")
    assert hashlib.sha256(digits.images.values.tobytes()).hexdigest().startswith("9c4f581e1c60b814")
    counts = np.bincount(digits.labels)
    train = np.bincount(digits.labels[digits.split == "train"])
    assert np.abs(train - counts * 1437 / 1797).max() <= 1


def test_sha256_of_the_digits_follows_their_bytes():
    sums = json.loads(load_dataset("digits").attrs["sha256"])
    from sklearn.datasets import load_digits

    assert sums["images"] == hashlib.sha256(load_digits().images.astype(np.uint8).tobytes()).hexdigest()
    assert set(sums) == {"images", "labels"}


@pytest.mark.parametrize("train_examples", [None, 100])
def test_normalisation_gives_zero_mean_and_unit_variance(train_examples):
    digits = load_dataset("digits", train_examples=train_examples)
    normalisation = json.loads(digits.attrs["normalisation"])
    assert normalisation["scale"] == 1 / 16
    train = digits.images.values[digits.split == "train"]
    x = (train * normalisation["scale"] - np.array(normalisation["mean"])) / np.array(normalisation["std"])
    assert x.mean() == pytest.approx(0, abs=1e-12)
    assert x.std() == pytest.approx(1, abs=1e-12)


def test_fewer_examples_are_even_and_part_of_more():
    few = load_dataset("digits", train_examples=200, test_examples=50)
    more = load_dataset("digits", train_examples=300)
    assert (few.sizes["example"], more.sizes["example"]) == (250, 660)
    assert np.abs(np.bincount(few.labels[few.split == "train"]) - 20).max() <= 1
    assert np.abs(np.bincount(few.labels[few.split == "test"]) - 5).max() <= 1
    np.testing.assert_array_equal(few.images[:200], more.images[:200])


def test_as_many_examples_as_there_are():
    assert load_dataset("digits", train_examples=1437, test_examples=360).sizes["example"] == 1797


@pytest.mark.parametrize(("key", "there"), [("train_examples", 1437), ("test_examples", 360)])
@pytest.mark.parametrize("count", [0, 2000])
def test_more_examples_than_there_are(key, there, count):
    refused(f"data.{key}: found {count}; allowed: 1 to {there}", dataset="digits", **{key: count})


def test_stratified_order_of_unequal_classes():
    labels = np.repeat([0, 1, 2], [700, 200, 100])
    order = stratified_order(labels)
    assert sorted(order) == list(range(1000))
    for count in (10, 35, 500, 999):
        there = np.bincount(labels[order[:count]], minlength=3)
        assert np.abs(there - count * np.array([0.7, 0.2, 0.1])).max() <= 1
    first = order[labels[order] == 0]
    assert not np.array_equal(first, np.sort(first)), "shuffled within a class"


@pytest.mark.parametrize("name", ["cifar", "Digits", ""])
def test_unknown_dataset(name):
    refused(
        f"dataset: found {name!r}; allowed: digits, diabetes, mnist, fashion_mnist, cifar10, cifar100", dataset=name
    )


# MNIST and Fashion-MNIST


def idx(array, magic=None):
    header = bytes((0, 0, 8, array.ndim)) if magic is None else magic
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def small():
    """Train and test images and labels of the format of MNIST: 30 and 20 of 5 x 4 pixels."""
    random = np.random.default_rng(1)
    return [
        random.integers(0, 256, (30, 5, 4), np.uint8),
        np.arange(30) % 10,
        random.integers(0, 256, (20, 5, 4), np.uint8),
        np.arange(20) % 10,
    ]


def write_idx(folder, arrays, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    pack = partial(gzip.compress, mtime=0) if suffix else bytes
    for name, array in zip(IDX, arrays, strict=True):
        (folder / (name + suffix)).write_bytes(pack(idx(array)))
    return folder


def sha256_of(folder):
    """Checksum of every file, in the order of the table."""
    names = [name + suffix for suffix in (".gz", "") for name in IDX if (folder / (name + suffix)).is_file()]
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx(tmp_path, monkeypatch, small, suffix, name):
    folder = write_idx(tmp_path / "local", small, suffix)
    if suffix:
        change(monkeypatch, name, sha256=sha256_of(folder))
    loaded = load_dataset(name, folder=str(folder))
    np.testing.assert_array_equal(loaded.images, np.concatenate([small[0], small[2]])[:, None])
    np.testing.assert_array_equal(loaded.labels, np.concatenate([small[1], small[3]]))
    assert (loaded.images.dtype, loaded.labels.dtype) == (np.uint8, np.int64)
    assert (loaded.split.values == ["train"] * 30 + ["test"] * 20).all()
    assert loaded.attrs["classes"] == 10
    assert json.loads(loaded.attrs["sha256"]) == sha256_of(folder)
    normalisation = json.loads(loaded.attrs["normalisation"])
    assert normalisation["scale"] == 1 / 255
    assert normalisation["mean"] == pytest.approx([small[0].mean() / 255])
    assert normalisation["std"] == pytest.approx([small[0].std() / 255])


def test_mnist_that_is_not_the_published_one(tmp_path, small):
    folder = write_idx(tmp_path / "local", small)
    file = folder / f"{IDX[0]}.gz"
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    published = "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    message = f"{file}: found the checksum sha256:{found}, but the published file has sha256:{published}"
    refused(message, dataset="mnist", folder=str(folder))


def test_fashion_mnist_compressed_anew_is_accepted(tmp_path, small):
    """As in Debian's package; its own checksum is in the attributes."""
    loaded = load_dataset("fashion_mnist", folder=str(write_idx(tmp_path / "local", small)))
    assert loaded.sizes["example"] == 50


def broken_gzip(content):
    return gzip.compress(content, mtime=0)[:-20]


def with_bit_flipped(content):
    packed = bytearray(gzip.compress(content, mtime=0))
    packed[len(packed) // 2] ^= 1
    return bytes(packed)


@pytest.mark.parametrize(
    ("number", "content", "found", "needed"),
    [
        (0, broken_gzip, " is damaged or incomplete: ", "a complete copy"),
        (0, with_bit_flipped, " is damaged or incomplete: ", "a complete copy"),
        (0, bytes, " is damaged or incomplete: ", "a complete copy"),
        (
            0,
            lambda c: gzip.compress(b"\0\0\x0d\3" + c[4:]),
            "IDX header 00 00 0d 03",
            "allowed: 00 00 08 03",
        ),
        (
            1,
            lambda c: gzip.compress(b"\0\0\x08\3" + c[4:]),
            "IDX header 00 00 08 03",
            "allowed: 00 00 08 01",
        ),
        (0, lambda c: gzip.compress(c[:10]), "in 10 bytes", "3 sizes"),
        (0, lambda c: gzip.compress(b""), "in 0 bytes", "3 sizes"),
        (0, lambda c: gzip.compress(c[:-1]), ": found 599 values", "must be 600"),
        (0, lambda c: gzip.compress(c + b"\0"), ": found 601 values", "must be 600"),
        (0, lambda c: gzip.compress(idx(np.zeros((0, 5, 4)))), ": found 0 values", "at least one"),
        (1, lambda c: gzip.compress(idx(np.zeros(29))), ": found 29 labels for 30 images", "one label per image"),
        (3, lambda c: gzip.compress(idx(np.full(20, 10))), ": found labels 10 to 10", "allowed: 0 to 9"),
        (2, lambda c: gzip.compress(idx(np.zeros((20, 4, 5)))), ": the images have (4, 5) pixels", "have (5, 4)"),
    ],
)
def test_idx_files_that_cannot_be_used(tmp_path, small, number, content, found, needed):
    folder = write_idx(tmp_path / "local", small)
    file = folder / f"{IDX[number]}.gz"
    file.write_bytes(content(gzip.decompress(file.read_bytes())))
    message = refused(found, needed, dataset="fashion_mnist", folder=str(folder))
    assert message.startswith(str(file))
    assert message.index(found) < message.rindex(needed)


# Where the files come from


def test_folder_that_is_not_there(tmp_path):
    message = refused(dataset="mnist", folder=str(tmp_path / "nowhere"))
    assert message.startswith(f"data.folder {tmp_path / 'nowhere'}: found no such folder. It must contain train-")


def test_folder_that_lacks_a_file(tmp_path, small):
    folder = write_idx(tmp_path / "local", small)
    (folder / f"{IDX[3]}.gz").unlink()
    there = f"{IDX[2]}.gz, {IDX[0]}.gz, {IDX[1]}.gz"
    refused(f"data.folder {folder}: found {there}. It must ", f"{IDX[3]}.gz", dataset="mnist", folder=str(folder))


def test_without_a_folder_the_files_of_the_system_are_taken(tmp_path, monkeypatch, small):
    folder = write_idx(tmp_path / "system", small)
    change(monkeypatch, "fashion_mnist", system_folder=str(folder))
    assert load_dataset("fashion_mnist", download=False).sizes["example"] == 50


def test_downloads_into_the_cache(tmp_path, monkeypatch, mirror):
    change(monkeypatch, "mnist", sha256=sha256_of(mirror))
    first = load_dataset("mnist")
    assert sha256_of(tmp_path / "cache" / "wedgescape" / "mnist") == sha256_of(mirror)
    for path in mirror.iterdir():
        path.unlink()
    assert first.identical(load_dataset("mnist"))
    assert first.identical(load_dataset("mnist", download=False))


def test_a_damaged_cache_is_downloaded_again(tmp_path, monkeypatch, mirror):
    change(monkeypatch, "mnist", sha256=sha256_of(mirror))
    load_dataset("mnist")
    file = tmp_path / "cache" / "wedgescape" / "mnist" / f"{IDX[0]}.gz"
    file.write_bytes(file.read_bytes()[:-3])
    refused(f"{file}: found the checksum", dataset="mnist", download=False)
    assert load_dataset("mnist").sizes["example"] == 50


def test_downloads_of_another_file_are_refused(tmp_path, mirror):
    file = f"{IDX[0]}.gz"
    published = PUBLISHED["mnist"].sha256[file]
    refused(f"expected sha256:{published} but got {sha256_of(mirror)[file]}", "data: {folder: ...}", dataset="mnist")
    assert list((tmp_path / "cache" / "wedgescape" / "mnist").iterdir()) == []


def test_without_download_the_cache_must_be_full(tmp_path):
    cache = tmp_path / "cache" / "wedgescape" / "cifar10"
    refused(f"data.download is false, and the cache {cache}: found no such folder", dataset="cifar10", download=False)


def test_the_table_has_a_checksum_for_every_file_that_is_downloaded():
    for published in PUBLISHED.values():
        assert all(len(checksum) == 64 for checksum in published.sha256.values())


# CIFAR


class Cifar:
    """A CIFAR dataset with a few examples per batch, packed or unpacked."""

    def __init__(self, classes):
        self.classes = classes
        self.name = f"cifar{classes}"
        self.packed = f"cifar-{classes}-binary.tar.gz"
        ten = classes == 10
        self.batches = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"] if ten else None
        self.batches = self.batches or ["train.bin", "test.bin"]
        self.inner = f"cifar-{classes}-" + ("batches-bin" if ten else "binary")
        random = np.random.default_rng(2)
        self.pixels = [random.integers(0, 256, (4, 3072), np.uint8) for _ in self.batches]
        self.labels = [random.integers(0, classes, 4) for _ in self.batches]

    def files(self):
        return {name: self.records(number) for number, name in enumerate(self.batches)}

    def records(self, number):
        columns = [self.labels[number][:, None], self.pixels[number]]
        if self.classes == 100:
            columns.insert(0, np.full((4, 1), 19))
        return np.hstack(columns).astype(np.uint8).tobytes()

    def unpacked(self, folder, **changed):
        inner = folder / self.inner
        inner.mkdir(parents=True)
        for name, content in (self.files() | changed).items():
            (inner / name).write_bytes(content)
        return folder

    def archive(self, folder, lacking=(), extra=()):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.packed
        files = {f"{self.inner}/{name}": content for name, content in self.files().items()}
        files |= {f"{self.inner}/readme.html": b"read me"}
        with tarfile.open(path, "w:gz") as archive:
            for name, content in reversed(files.items()):  # as in the published archives, in no particular order
                if Path(name).name not in lacking:
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
            for member in extra:
                archive.addfile(member, io.BytesIO(bytes(member.size)))
        return path


@pytest.fixture(params=[10, 100])
def cifar(request, monkeypatch):
    cifar = Cifar(request.param)
    change(monkeypatch, cifar.name, sha256={cifar.packed: None})  # these are not the published files
    return cifar


@pytest.fixture
def cifar10(monkeypatch):
    cifar = Cifar(10)
    change(monkeypatch, cifar.name, sha256={cifar.packed: None})
    return cifar


@pytest.mark.parametrize("packing", ["archive", "unpacked", "inner", "renamed"])
def test_cifar(tmp_path, cifar, packing):
    folder = tmp_path / "local"
    if packing == "archive":
        cifar.archive(folder)
    else:
        cifar.unpacked(folder)
    if packing == "inner":
        folder /= cifar.inner
    if packing == "renamed":
        folder = (folder / cifar.inner).rename(tmp_path / "my_batches")
    loaded = load_dataset(cifar.name, folder=str(folder))
    np.testing.assert_array_equal(loaded.images, np.concatenate(cifar.pixels).reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(loaded.labels, np.concatenate(cifar.labels))
    assert (loaded.images.dtype, loaded.labels.dtype) == (np.uint8, np.int64)
    assert (loaded.split == "test").values.tolist() == [False] * (len(loaded.split) - 4) + [True] * 4
    assert (loaded.attrs["dataset"], loaded.attrs["classes"]) == (cifar.name, cifar.classes)
    files = [cifar.packed] if packing == "archive" else cifar.batches
    assert sorted(json.loads(loaded.attrs["sha256"])) == sorted(files)
    train = np.concatenate(cifar.pixels[:-1]).reshape(-1, 3, 1024)
    assert json.loads(loaded.attrs["normalisation"])["mean"] == pytest.approx(train.mean(axis=(0, 2)) / 255)
    assert json.loads(loaded.attrs["normalisation"])["std"] == pytest.approx(train.std(axis=(0, 2)) / 255)


@pytest.mark.parametrize(
    "there", ["cifar-{}-python.tar.gz", "cifar-{}-batches-py/data_batch_1", "cifar-{}-python/train"]
)
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("inside", [False, True])
def test_the_python_version_of_cifar_is_refused(tmp_path, there, classes, inside):
    """The message says which archive is needed instead. Nothing is unpickled."""
    file = tmp_path / there.format(classes)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"cposix\nsystem\n.")
    folder = file.parent if inside and file.parent != tmp_path else tmp_path
    refused(
        f"data.folder {folder}: found ",
        f"It must contain cifar-{classes}-binary.tar.gz; or, unpacked, cifar-{classes}-b",
        "The Python version of CIFAR cannot be read",
        dataset=f"cifar{classes}",
        folder=str(folder),
    )


def test_only_cifar_has_a_python_version(tmp_path):
    (tmp_path / "my-pytorch").mkdir()
    assert "Python version" not in refused(dataset="mnist", folder=str(tmp_path))


@pytest.mark.parametrize(
    ("content", "found", "needed"),
    [
        (bytes(3072), "found 3072 bytes", "There must be a multiple of 3073"),
        (b"", "found 0 bytes", "There must be a multiple of 3073"),
        (b"\x0a" + bytes(3072), "found labels 10 to 10", "allowed: 0 to 9"),
    ],
)
def test_cifar_batches_that_cannot_be_used(tmp_path, cifar10, content, found, needed):
    folder = cifar10.unpacked(tmp_path, **{"test_batch.bin": content})
    message = refused(needed, dataset="cifar10", folder=str(folder))
    assert message.startswith(f"{folder / 'cifar-10-batches-bin' / 'test_batch.bin'}: {found}")


def evil(name, **fields):
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member


@pytest.mark.parametrize(
    "member",
    [
        evil("../evil", size=3),
        evil("cifar-10-batches-bin/../../evil", size=3),
        evil("link", type=tarfile.SYMTYPE, linkname="../evil"),
        evil("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        evil("pipe", type=tarfile.FIFOTYPE),
    ],
)
def test_an_unsafe_member_of_an_archive_is_never_read(tmp_path, monkeypatch, cifar10, member):
    folder = tmp_path / "a" / "local"
    path = cifar10.archive(folder, extra=[member])
    before = sorted(tmp_path.rglob("*"))
    assert load_dataset("cifar10", folder=str(folder)).sizes["example"] == 24
    assert sorted(tmp_path.rglob("*")) == before
    change(monkeypatch, "cifar10", sha256=dict.fromkeys([cifar10.packed], "0" * 64))
    refused(f"{path}: found the checksum sha256:", dataset="cifar10", folder=str(folder))


@pytest.mark.parametrize("target", ["../evil", "/etc/passwd"])
def test_a_batch_that_is_a_link_out_of_the_archive_is_refused(tmp_path, cifar10, target):
    link = evil("cifar-10-batches-bin/test_batch.bin", type=tarfile.SYMTYPE, linkname=target)
    path = cifar10.archive(tmp_path, lacking=["test_batch.bin"], extra=[link])
    refused(f"{path} is damaged or incomplete: ", dataset="cifar10", folder=str(tmp_path))


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-30], lambda c: c[: len(c) // 2], lambda c: b"no archive", lambda c: b""]
)
def test_a_damaged_archive_is_refused(tmp_path, cifar10, damage):
    path = cifar10.archive(tmp_path / "local")
    path.write_bytes(damage(path.read_bytes()))
    message = refused(dataset="cifar10", folder=str(path.parent))
    assert message.startswith(f"{path} is damaged or incomplete: ")
    assert message.endswith("Replace it by a complete copy")


def test_an_archive_that_lacks_a_batch(tmp_path, cifar10):
    path = cifar10.archive(tmp_path / "local", lacking=["data_batch_3.bin"])
    refused(f"{path} is damaged or incomplete", "data_batch_3.bin", dataset="cifar10", folder=str(path.parent))


def test_an_archive_under_a_published_name_must_be_the_published_one(tmp_path):
    path = Cifar(100).archive(tmp_path / "local")
    published = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
    refused(f"{path}: found the checksum ", f" has sha256:{published}", dataset="cifar100", folder=str(path.parent))


# A user's own

OWN = """
import numpy as np

def load():
    random = np.random.default_rng(0)
    train_images, test_images = random.integers(0, 256, (30, 2, 5, 4), np.uint8), np.ones((9, 2, 5, 4), np.uint8)
    train_labels, test_labels = np.arange(30) % 3, np.arange(9) % 3
    {change}
    return train_images, train_labels, test_images, test_labels
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes my_data.py into the working directory and gives the arguments for it."""
    monkeypatch.chdir(tmp_path)

    def write(change="", text=OWN):
        Path("my_data.py").write_text(text.replace("{change}", change))
        return {"dataset": {"file": "my_data.py", "name": "load"}}

    return write


def test_own(own):
    loaded = load_dataset(**own())
    assert loaded.images.shape == (39, 2, 5, 4)
    assert (loaded.images.dtype, loaded.labels.dtype) == (np.uint8, np.int64)
    assert (loaded.attrs["dataset"], loaded.attrs["classes"]) == ("load", 3)
    assert json.loads(loaded.attrs["normalisation"])["scale"] == 1 / 255
    sums = json.loads(loaded.attrs["sha256"])
    assert sums["my_data.py"] == hashlib.sha256(Path("my_data.py").read_bytes()).hexdigest()
    assert sums["test_images"] == hashlib.sha256(np.ones((9, 2, 5, 4), np.uint8)).hexdigest()
    assert load_dataset(**own(), train_examples=6).sizes["example"] == 15


def test_own_floating_images_without_channel(own):
    change = "train_images, test_images = train_images[:, 0] / 7, test_images[:, 0] / 7"
    loaded = load_dataset(**own(change))
    assert loaded.images.shape == (39, 1, 5, 4)
    assert loaded.images.dtype == np.float32
    assert loaded.images.attrs["units"] == "1"
    assert loaded.images[30:].values == pytest.approx(1 / 7)
    assert json.loads(loaded.attrs["normalisation"])["scale"] == 1.0


def test_a_constant_channel_has_std_one(own):
    loaded = load_dataset(**own("train_images[:, 1] = 51"))
    normalisation = json.loads(loaded.attrs["normalisation"])
    assert normalisation["std"][1] == 1.0
    assert normalisation["mean"][1] == pytest.approx(0.2)
    assert normalisation["std"][0] < 1.0


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        ("train_images, test_images = np.ones((30, 8, 8, 3), np.uint8), np.ones((9, 8, 8, 3), np.uint8)", True),
        ("train_images, test_images = np.ones((30, 9, 7, 1), np.uint8), np.ones((9, 9, 7, 1), np.uint8)", True),
        ("train_images, test_images = np.ones((30, 3, 8, 8), np.uint8), np.ones((9, 3, 8, 8), np.uint8)", False),
        ("train_images, test_images = np.ones((30, 8, 3), np.uint8), np.ones((9, 8, 3), np.uint8)", False),
        ("train_images, test_images = np.ones((30, 12, 1, 40), np.uint8), np.ones((9, 12, 1, 40), np.uint8)", False),
        ("", False),
    ],
)
def test_images_whose_last_axis_looks_like_channels_are_told(own, caplog, change, warned):
    loaded = load_dataset(**own(change))
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text.startswith("my_data.py: load(): images are read as (N, C, H, W)") for text in said] == [True] * warned
    if warned:
        _count, channels, rows, columns = loaded.images.shape
        assert f"{channels} channels of {rows} x {columns} pixels. Axis 3, of length {columns}" in said[0]


SEVERAL = """
import numpy as np
from helpers import LABELS

def load():
    from package.inner import images
    return images(12), LABELS, images(12), LABELS
"""


def test_own_may_be_in_several_files_and_other_folders_may_have_files_of_the_same_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    for folder, value in (("one", 1), ("two", 2)):
        (tmp_path / folder / "package").mkdir(parents=True)
        for name, text in {
            "my_data.py": SEVERAL,
            "helpers.py": "import numpy as np\nLABELS = np.arange(12) % 3\n",
            "package/inner.py": f"import numpy as np\nimages = lambda n: np.full((n, 5, 5), {value}, np.uint8)\n",
        }.items():
            (tmp_path / folder / name).write_text(text)
        loaded = load_dataset({"file": f"{folder}/my_data.py", "name": "load"})
        assert (loaded.images == value).all()
    assert sys.path == before
    assert not {"helpers", "package", "package.inner"} & set(sys.modules)


def test_own_may_declare_further_files(own):
    arguments = own()
    arguments["dataset"]["files"] = ["x.npz"]
    assert load_dataset(**arguments).sizes["example"] == 39


def test_own_may_use_dataclasses(own):
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"
        + OWN
    )
    assert load_dataset(**own(text=text)).sizes["example"] == 39


@pytest.mark.parametrize(
    ("change", "found", "needed"),
    [
        ("return None", "a NoneType", "train_images, train_labels, test_images, test_labels"),
        ("return 1, 2, 3", "a tuple of 3", "train_images, train_labels, test_images, test_labels"),
        ("test_labels = [0, 1]", "test_labels is of type list", "a numpy array"),
        ("train_images = train_images[0, 0, 0]", "train_images has the shape (4,)", "(N, C, H, W) or (N, H, W)"),
        ("test_images = test_images[:0]", "test_images has the shape (0, 2, 5, 4)", "without a 0"),
        ("test_images = test_images.astype(int)", "test_images is of type int64", "uint8 (0 to 255) or floating"),
        ("test_images = test_images / 0", "contains 360 values that are not finite", "must be finite"),
        ("train_images = train_images * 1e300", "values that are not finite as float32", "must be finite"),
        ("train_labels = train_labels / 1", "test_labels are int64", "must be like train_labels, float32"),
        ("train_labels = train_labels[:, None, None]", "train_labels has the shape (30, 1, 1)", "(N,)"),
        ("test_labels = test_labels[1:]", "9 test_images and 8 test_labels", "one label per image"),
        (
            "test_images = test_images[:, :, 1:]",
            "test_images is (2, 4, 4) of uint8",
            "(2, 5, 4) of uint8, like train_images",
        ),
        ("test_images = test_images / 255", "of float32", "(2, 5, 4) of uint8, like train_images"),
        ("train_labels = train_labels + 1", "train_labels contains 3 classes from 1 to 3", "0 … n_classes-1"),
        ("train_labels = train_labels * 2", "train_labels contains 3 classes from 0 to 4", "every class must occur"),
        ("train_labels = train_labels * 0", "train_labels contains 1 classes from 0 to 0", "at least two classes"),
        ("test_labels[0] = 3", "test_labels contains 0 to 3", "0 to 2, like train_labels"),
        ("test_labels[0] = -1", "test_labels contains -1 to 2", "0 to 2, like train_labels"),
        ("raise ValueError('no file here')", "ValueError: no file here (line 8)", "run without arguments"),
        ("raise SystemExit(1)", "SystemExit: 1 (line 8)", "run without arguments"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_own_functions_that_cannot_be_used(own, change, found, needed):
    message = refused(found, needed, **own(change))
    assert message.startswith("my_data.py: load()")
    assert message.index(found) < message.rindex(needed)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("def load(:\n", ["SyntaxError: invalid syntax (my_data.py, line 1)", "cannot be imported"]),
        ("import no_such_module_at_all\n", ["ModuleNotFoundError: No module named", "cannot be imported"]),
        ("x = 1\n1 / 0\n", ["ZeroDivisionError: division by zero (line 2)", "cannot be imported"]),
        ("import sys\nsys.exit(3)\n", ["SystemExit: 3 (line 2)", "cannot be imported"]),
        ("def read():\n    pass\n", ["found no function load; allowed: one of read"]),
        ("load = 3\n", ["found no function load; allowed: one of (none there)"]),
        ("def load(folder):\n    pass\n", ["missing 1 required positional argument: 'folder'", "without arguments"]),
    ],
)
def test_own_files_that_cannot_be_used(own, text, pieces):
    message = refused(*pieces, **own(text=text))
    assert message.startswith("my_data.py: ")


@pytest.mark.parametrize("file", ["nowhere.py", "my_data.txt", "."])
def test_own_file_that_is_not_there(tmp_path, monkeypatch, file):
    monkeypatch.chdir(tmp_path)
    Path("my_data.txt").write_text(OWN)
    refused(
        f"{file}: there is no such Python file in {tmp_path}. It must be the path of a .py file",
        dataset={"file": file, "name": "load"},
    )


@pytest.mark.parametrize("dataset", [{}, {"file": "a.py"}, {"file": "a.py", "name": "load", "more": 1}])
def test_own_needs_file_and_name(dataset):
    found = ", ".join(dataset) or "none"
    refused(f"dataset has the keys {found}. It must have file and name", dataset=dataset)


def test_neither_torch_nor_snakemake_is_imported():
    code = "import sys, wedgescape.data.datasets; print({'torch', 'snakemake', 'sklearn'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(Path(datasets.__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
