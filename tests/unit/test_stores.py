"""Stores: whole or absent, equal in every byte, and readable without this project."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from wedgescape.errors import InputError
from wedgescape.stores import zarr_stores as stores
from wedgescape.stores.attributes import Origin, read_attributes, training_of
from wedgescape.stores.zarr_stores import (
    Variable,
    along,
    as_json,
    described,
    labelled,
    load_store,
    open_store,
    open_weights,
    setting_of,
    write_store,
    write_table,
)


def dataset(seeds=(0, 1), shift=0.0):
    theta = np.arange(len(seeds) * 5, dtype=np.float32).reshape(-1, 5) + shift
    return xr.Dataset(
        {
            "theta": described(("seed", "param"), theta, "weights"),
            "loss": described(("seed", "epoch"), np.full((len(seeds), 3), np.nan), "loss", "nat"),
            "diverged": described(("seed",), np.zeros(len(seeds), bool), "left the finite numbers"),
            "total": described((), 4.5, "a single number"),
            "part": described(("example",), ["train", "test"], "text"),
        },
        {"seed": list(seeds), "epoch": [0, 1, 2]},
        {"zebra": "last", "ape": "first"},
    )


def equal(first, second):
    xr.testing.assert_identical(first.load(), second.load())


# Writing


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "a" / "b" / "store.zarr.zip"
    origin = Origin("train", "0123", {"seeds": 3, "claims.resamples": 9}, {"lr~1": {"training": {"epochs": 2}}})
    write_store(dataset(), path, origin)
    config = '{"sections":{"claims.resamples":9,"seeds":3},"settings":{"lr~1":{"training":{"epochs":2}}}}'
    wanted = {"schema_version": stores.SCHEMA_VERSION, "created_by": "train", "code": "0123", "config": config}
    equal(open_store(path), dataset().assign_attrs(wanted))
    assert open_store(path)["theta"].dtype == np.float32
    assert open_store(path)["loss"].attrs == {"description": "loss", "units": "nat"}


def test_infinities_and_nans_are_kept(tmp_path):
    values = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    write_store(xr.Dataset({"x": described(("n",), values, "odd")}), tmp_path / "x.zarr.zip", Origin("test"))
    assert open_store(tmp_path / "x.zarr.zip")["x"].values.tobytes() == values.tobytes()


def test_equal_content_gives_equal_bytes_in_another_folder_on_another_day(tmp_path, monkeypatch):
    first, second = tmp_path / "a.zarr.zip", tmp_path / "elsewhere" / "b.zarr.zip"
    write_store(dataset(), first, Origin("train"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    shuffled = dataset()
    shuffled.attrs = dict(reversed(shuffled.attrs.items()))
    write_store(shuffled, second, Origin("train"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as packed:
        assert {entry.date_time for entry in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_other_content_gives_other_bytes(tmp_path):
    write_store(dataset(), tmp_path / "a.zarr.zip", Origin("train"))
    write_store(dataset(shift=1e-3), tmp_path / "b.zarr.zip", Origin("train"))
    assert (tmp_path / "a.zarr.zip").read_bytes() != (tmp_path / "b.zarr.zip").read_bytes()


@pytest.mark.parametrize("in_memory", [0, stores.IN_MEMORY])
def test_a_store_is_one_zip_of_few_files_none_of_them_twice_or_deflated(tmp_path, monkeypatch, in_memory):
    monkeypatch.setattr(stores, "SMALL", 100)
    monkeypatch.setattr(stores, "IN_MEMORY", in_memory)
    path = tmp_path / "many.zarr.zip"
    write_store(dataset(seeds=range(1000)), path, Origin("train"))
    with zipfile.ZipFile(path) as packed:
        names = packed.namelist()
        assert {entry.compress_type for entry in packed.infolist()} == {zipfile.ZIP_STORED}
    assert len(names) == len(set(names))
    assert len(names) <= 1 + 2 * len(dataset().variables)
    assert zarr.open(zarr.storage.ZipStore(path, mode="r"))["theta"].chunks == (1, 5)  # a seed is read alone


def test_small_variables_are_plain_and_large_ones_are_compressed(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "SMALL", 200)
    write_store(dataset(seeds=range(20)), tmp_path / "both.zarr.zip", Origin("train"))
    store = zarr.open(zarr.storage.ZipStore(tmp_path / "both.zarr.zip", mode="r"))
    assert (store["seed"].nbytes, store["theta"].nbytes) == (160, 400)
    assert (store["seed"].chunks, store["seed"].compressors) == ((20,), ())
    assert (store["theta"].chunks, len(store["theta"].compressors)) == ((1, 5), 1)


def test_a_store_that_memory_has_no_room_for_is_the_same_store(tmp_path, monkeypatch):
    first, second = tmp_path / "a.zarr.zip", tmp_path / "b.zarr.zip"
    write_store(dataset(), first, Origin("train"))
    monkeypatch.setattr(stores, "IN_MEMORY", 0)
    write_store(dataset(), second, Origin("train"))
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        assert {name: one.read(name) for name in one.namelist()} == {
            name: other.read(name) for name in other.namelist()
        }


def test_nothing_is_left_beside_a_store(tmp_path):
    write_store(dataset(), tmp_path / "a.zarr.zip", Origin("train"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr.zip"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("moment", ["while writing", "while packing", "while moving"])
def test_a_failure_leaves_an_earlier_store_intact_and_nothing_beside_it(tmp_path, monkeypatch, error, moment):
    path = tmp_path / "a.zarr.zip"
    write_store(dataset(), path, Origin("train"))
    before = path.read_bytes()

    def fail(*_, **__):
        raise error("no space left on device")

    if moment == "while writing":
        real = xr.Dataset.to_zarr

        def write_and_fail(self, *given, **named):
            real(self, *given, **named)
            fail()

        monkeypatch.setattr(xr.Dataset, "to_zarr", write_and_fail)
    elif moment == "while packing":
        monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    else:
        real_replace = os.replace  # zarr uses it too
        monkeypatch.setattr(os, "replace", lambda old, new: fail() if new == path else real_replace(old, new))
    with pytest.raises(error):
        write_store(dataset(shift=1.0), path, Origin("train"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_variable_that_says_nothing_is_refused_by_name(tmp_path):
    silent = dataset().assign(mute=("seed", [1, 2]), dumb=("seed", [1, 2]))
    with pytest.raises(ValueError, match="without one: mute, dumb"):
        write_store(silent, tmp_path / "a.zarr.zip", Origin("train"))
    assert not list(tmp_path.iterdir())


def data_types(path):
    with zipfile.ZipFile(path) as packed:
        read = {Path(name).parent.name: json.loads(packed.read(name)) for name in packed.namelist()
                if name.endswith("zarr.json")}  # fmt: skip
    return {name: array["data_type"] for name, array in read.items() if "data_type" in array}


def test_text_that_is_data_is_stored_in_a_type_that_every_reader_knows_and_read_as_it_was(tmp_path):
    path = tmp_path / "a.zarr.zip"
    texts = {
        "split": ["train", "train", "test"],
        "twice": ["train", "test", "train"],
        "sentence": ["a b", "", "c"],
        "accented": ["λ", "é", "λ"],
    }
    content = xr.Dataset(
        {name: described(("example",), text, "text") for name, text in texts.items()}, {"example": ["x", "y", "z"]}
    )
    write_store(content, path, Origin("test"))
    types = data_types(path)
    assert types == {"split": "uint8", "twice": "uint8", "accented": "uint8", "sentence": "string", "example": "string"}
    again = open_store(path)
    for name, text in texts.items():
        assert again[name].values.tolist() == text
        assert again[name].attrs == {"description": "text"}
    copy = tmp_path / "b.zarr.zip"
    write_store(again.drop_attrs(deep=False), copy, Origin("test"))
    assert copy.read_bytes() == path.read_bytes()


def test_text_of_more_words_than_there_are_codes_stays_text(tmp_path):
    path = tmp_path / "a.zarr.zip"
    for count, kind in ((256, "uint8"), (257, "string")):
        words = [f"w{number}" for number in range(count)]
        write_store(xr.Dataset({"word": described(("n",), words, "text")}), path, Origin("test"))
        assert data_types(path) == {"word": kind}
        assert open_store(path)["word"].values.tolist() == words


# Opening


def test_plain_xarray_opens_a_store_by_the_documented_line(tmp_path):
    path = tmp_path / "a.zarr.zip"
    write_store(dataset(), path, Origin("train"))
    line = 'xr.open_zarr(zarr.storage.ZipStore(path, mode="r"), consolidated=False)'
    assert line in stores.__doc__
    plain = eval(line)  # noqa: S307
    equal(plain.drop_vars("part"), open_store(path).drop_vars("part"))
    assert plain["part"].values.tolist() == [0, 1]
    assert plain["part"].attrs == {
        "description": "text", "flag_values": [0, 1], "flag_meanings": "train test"
    }  # fmt: skip


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.zarr\.zip: there is no such store"):
        open_store(tmp_path / "nowhere.zarr.zip")


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "another zip"])
def test_a_damaged_store_is_named_with_what_to_do(tmp_path, damage):
    path = tmp_path / "a.zarr.zip"
    write_store(dataset(), path, Origin("train"))
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[:-200], "garbage": b"no zip at all" * 99}.get(damage, b""))
    if damage == "another zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("readme.txt", "no zarr")
    with pytest.raises(InputError) as error:
        open_store(path)
    assert str(error.value).startswith(f"{path}: not a readable zarr store (")
    assert str(error.value).endswith(f"delete {path} and run the workflow again to rebuild it")


@pytest.mark.parametrize("version", [0, 1, 5, None])
def test_another_schema_version_is_told_with_what_to_do(tmp_path, monkeypatch, version):
    path = tmp_path / "a.zarr.zip"
    if version is None:
        dataset().to_zarr(tmp_path / "plain", consolidated=False)  # by another program
        shutil.make_archive(path.with_suffix(""), "zip", tmp_path / "plain")
    else:
        monkeypatch.setattr(stores, "SCHEMA_VERSION", version)
        write_store(dataset(), path, Origin("train"))
        monkeypatch.undo()
    with pytest.raises(InputError) as error:
        open_store(path)
    wanted = (
        f"{path}: schema_version is {version}; it must be 4; delete {path} and run the workflow again to rebuild it"
    )
    assert str(error.value) == wanted


# Chunks of seeds


def test_chunks_of_seeds_are_one_dataset_in_the_order_of_seeds(tmp_path):
    paths = []
    for seeds in ((10, 11), (4, 5), (2, 3)):
        paths.append(tmp_path / f"seeds~{seeds[0]}-{seeds[1]}.zarr.zip")
        write_store(dataset(seeds, shift=10 * seeds[0]), paths[-1], Origin("train"))
    whole = open_weights(paths)
    assert whole["seed"].values.tolist() == [2, 3, 4, 5, 10, 11]
    for seeds in ((10, 11), (4, 5), (2, 3)):
        np.testing.assert_array_equal(
            whole["theta"].sel(seed=list(seeds)), dataset(seeds, shift=10 * seeds[0])["theta"]
        )
    assert whole["total"].dims == ()
    assert whole["part"].dims == ("example",)
    assert whole.attrs == open_store(paths[0]).attrs


def test_one_chunk_is_opened_by_its_path_or_in_a_list(tmp_path):
    path = tmp_path / "a.zarr.zip"
    write_store(dataset(), path, Origin("train"))
    for given in (path, str(path), [path]):
        equal(open_weights(given), open_store(path))


def test_chunks_that_do_not_fit_together_are_refused(tmp_path):
    write_store(dataset((0, 1)), tmp_path / "a.zarr.zip", Origin("train"))
    write_store(dataset((2, 3)).isel(epoch=[0, 1]), tmp_path / "b.zarr.zip", Origin("train"))
    with pytest.raises(ValueError, match="epoch"):
        open_weights([tmp_path / "a.zarr.zip", tmp_path / "b.zarr.zip"])


def test_settings_are_joined_along_a_sweep_in_the_order_of_its_values(tmp_path):
    places = {"lr~2": 2.0, "lr~1": 1.0, "lr~1.5_wd~0.1": 1.5}
    for setting, number in places.items():
        measured = xr.Dataset({"width": described(("seed",), [number, 10 * number], "a number")}, {"seed": [0, 3]})
        write_store(measured, tmp_path / f"{setting}.zarr.zip", Origin("measure"))
    paths = [tmp_path / f"{setting}.zarr.zip" for setting in sorted(places)]
    assert sorted(map(setting_of, paths)) == sorted(places)
    measured = {setting_of(path): load_store(path) for path in paths}
    sweep = along(measured, {"lr~2": 2, "lr~1": 1})
    assert sweep["value"].values.tolist() == [2, 1]
    assert sweep["width"].dims == ("value", "seed")
    assert sweep["width"].values.tolist() == [[2, 20], [1, 10]]
    assert along(measured, {"lr~1.5_wd~0.1": "text"})["value"].values.tolist() == ["text"]


# Parts


def test_a_store_may_have_parts(tmp_path):
    path = tmp_path / "a.zarr.zip"
    parts = {"near": dataset(), "far": dataset((5,), 1.0)}
    write_store(parts, path, Origin("measure", "0123"))
    found = open_store(path)
    assert list(found) == ["near", "far"]
    for name, part in parts.items():
        equal(found[name].drop_attrs(deep=False), part.drop_attrs(deep=False))
    assert read_attributes(path)["created_by"] == "measure"
    again = tmp_path / "b.zarr.zip"
    write_store({name: part.load() for name, part in load_store(path).items()}, again, Origin("measure", "0123"))
    assert again.read_bytes() == path.read_bytes()


def test_a_part_whose_variable_says_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="without one: x"):
        write_store({"near": dataset(), "far": xr.Dataset({"x": 1})}, tmp_path / "a.zarr.zip", Origin("measure"))
    assert not (tmp_path / "a.zarr.zip").exists()


# Labels


def test_values_are_labelled_by_what_was_declared():
    variables = {"rise": Variable(("seed",), "rise of the loss", "nat"), "met": Variable(("seed",), "it was met")}
    found = labelled(variables, {"rise": [1.0, 2.0]}, {"seed": [3, 4]}, {"angle": 0.5})
    assert found["rise"].attrs == {"description": "rise of the loss", "units": "nat"}
    assert found.attrs == {"angle": 0.5}
    assert found["seed"].values.tolist() == [3, 4]
    with pytest.raises(KeyError, match="fall"):
        labelled(variables, {"fall": [1.0]}, {})


# Text


def test_json_text_is_the_same_for_equal_values():
    assert as_json({"b": [1, 2.5], "a": None}) == as_json({"a": None, "b": [1, 2.5]}) == '{"a":null,"b":[1,2.5]}'


def test_a_table_is_written_whole_with_nine_digits(tmp_path, monkeypatch):
    path = tmp_path / "tables" / "t.csv"
    table = pd.DataFrame({"name": ["a", "b"], "value": [1 / 3, np.nan], "count": [1, 2]})
    write_table(table, path)
    assert path.read_bytes() == b"name,value,count\na,0.333333333,1\nb,,2\n"
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_table(table.assign(count=3), path)
    assert path.read_bytes().endswith(b"b,,2\n")


# The promise to those who do not have this project

PLAIN = """
import json, sys
import torch, xarray as xr, zarr
from torch import nn

torch.set_num_threads(1)
data, weights = (xr.open_zarr(zarr.storage.ZipStore(path, mode="r"), consolidated=False) for path in sys.argv[1:])
rule = json.loads(data.attrs["normalisation"])
images = torch.tensor(data.images.values, dtype=torch.float32) * rule["scale"]
images = (images - torch.tensor(rule["mean"])[:, None, None]) / torch.tensor(rule["std"])[:, None, None]
labels = torch.tensor(data.labels.values)

(training,) = json.loads(weights.attrs["config"])["settings"].values()
model = training["model"]
units, width = images[0].numel(), model["width"]
network = nn.Sequential(
    nn.Flatten(), nn.Linear(units, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, width), nn.ReLU(), nn.Dropout(),
    nn.Linear(width, int(labels.max()) + 1),
).eval()
layout = json.loads(weights.attrs["layout"])
assert [entry["name"] for entry in layout] == list(network.state_dict())

found = []
for theta in weights.theta.values:
    nn.utils.vector_to_parameters(torch.tensor(theta), network.parameters())
    losses = {}
    for split in ("train", "test"):
        chosen = torch.tensor(data.split.values == data.split.attrs["flag_meanings"].split().index(split))
        losses[split] = nn.functional.cross_entropy(network(images[chosen]), labels[chosen]).item()
    found.append(losses)
assert not [name for name in sys.modules if name.startswith("wedgescape")]
print(json.dumps(found))
"""


def test_plain_pytorch_reproduces_the_stored_losses_without_this_project(tmp_path, data, weights):
    write_store(data, tmp_path / "data.zarr.zip", Origin("prepare_data"))
    origin = Origin("train", settings={"here": training_of(weights.attrs)})
    write_store(weights, tmp_path / "weights.zarr.zip", origin)
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(tmp_path / "data.zarr.zip"), str(tmp_path / "weights.zarr.zip")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": ""},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for split in ("train", "test"):
        stored = weights[f"{split}_loss"].isel(epoch=-1).values
        np.testing.assert_allclose([losses[split] for losses in found], stored, rtol=0, atol=1e-5)
    assert (weights["train_loss"].isel(epoch=-1) < 0.5 * weights["train_loss"].isel(epoch=0)).all()  # it did learn


def test_rows_and_columns_come_in_the_order_asked_for_whatever_the_store_s():
    from wedgescape.stores.zarr_stores import as_rows

    variables = {"b": (("y", "x"), np.arange(6).reshape(3, 2)), "a": (("x",), [10, 20]), "c": (("y",), [1, 2, 3])}
    tables = [
        as_rows(xr.Dataset({name: variables[name] for name in order}), ("x", "y"), ("a", "b"))
        for order in ("abc", "cba", "bca")
    ]
    assert list(tables[0].columns) == ["x", "y", "a", "b"]
    assert tables[0][["x", "y"]].values.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert tables[0]["b"].tolist() == [0, 2, 4, 1, 3, 5]
    for table in tables[1:]:
        assert table.equals(tables[0])
