"""What stores say of where they come from, and what becomes of those that do not fit the present config."""

import errno
import json
import shlex
import zipfile
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from wedgescape.errors import InputError
from wedgescape.provenance.origins import check_inputs, origin
from wedgescape.stores import zarr_stores as stores
from wedgescape.stores.attributes import Origin, training_of
from wedgescape.stores.zarr_stores import described, open_store, write_store

TRAINING = {"model": {"name": "mlp", "width": 8}, "training": {"epochs": 3, "momentum": 0.9}}
CONFIG = {
    "study": "here",
    "device": "cpu",
    "dataset": "digits",
    "data": {"folder": "somewhere", "download": True, "train_examples": 400},
    "seeds": 4,
    "first_seed": 0,
    "sweeps": {"width": [8, 16]},
    "tunnels": {"directions": 2, "thresholds": [0.5, 0.9]},
    "curves": {"steps": 20},
    "claims": {"confidence": 0.95, "resamples": 100},
    "settings": {"lr~1": TRAINING, "lr~2": {**TRAINING, "training": {"epochs": 3, "momentum": 0.5}}},
}
SECTIONS = {"tunnels": CONFIG["tunnels"], "claims.resamples": 100, "dataset": "digits", "seeds": 4}


def write(path, sections=SECTIONS, settings=("lr~1",), rule="measure_tunnels"):
    """Write a store that fits the config, unless told otherwise; its path."""
    values = np.arange(400, dtype=np.float64)
    dataset = xr.Dataset({"x": described(("n",), values, "numbers"), "y": described(("n",), values**2, "more")})
    trainings = settings if isinstance(settings, dict) else {name: CONFIG["settings"][name] for name in settings}
    write_store(dataset, path, Origin(rule, "0123", sections, trainings))
    return path


def refusal(*paths) -> list[str]:
    """The lines of the message that refuses stores, without its first and its last one."""
    with pytest.raises(InputError) as error:
        check_inputs(paths, CONFIG)
    first, *lines, last = str(error.value).split("\n  ")
    assert first == "stores that cannot be used for this study:"
    assert last.startswith(
        "Delete them and run the workflow again to rebuild them, or use the config that made them: rm "
    )
    assert set(shlex.split(last.partition(": rm ")[2])) == {line.partition(": ")[0] for line in lines}
    return lines


# Looking at stores


def test_stores_that_fit_pass_and_other_files_are_passed_over(tmp_path):
    table = tmp_path / "claims.csv"
    table.write_text("id\n")
    both = write(tmp_path / "b.zarr.zip", {}, ("lr~1", "lr~2"))
    check_inputs(
        [write(tmp_path / "a.zarr.zip"), str(both), write(tmp_path / "lr~2.zarr.zip", settings=["lr~2"]), table], CONFIG
    )


def test_what_determines_no_result_makes_no_difference(tmp_path):
    path = write(tmp_path / "a.zarr.zip")
    other = deepcopy(CONFIG) | {"study": "there", "device": "cuda", "sweeps": {}}
    other["data"] |= {"folder": None, "download": False}
    other["claims"]["confidence"] = 0.5  # another threshold than the one that the store rests on
    other["curves"]["steps"] = 21
    check_inputs([path], other)


@pytest.mark.parametrize("length", [0, 1, 50, -1, -200])
def test_a_truncated_store_is_named(tmp_path, length):
    path = write(tmp_path / "a.zarr.zip")
    path.write_bytes(path.read_bytes()[:length])
    (line,) = refusal(path)
    assert line.startswith(f"{path}: damaged or cut short")


def test_a_disk_that_fails_is_no_damaged_store(tmp_path, monkeypatch):
    path = write(tmp_path / "a.zarr.zip")

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile.ZipFile, "testzip", fail)
    with pytest.raises(OSError, match="Input/output error"):
        check_inputs([path], CONFIG)


def test_a_missing_store_is_named(tmp_path):
    assert refusal(tmp_path / "a.zarr.zip") == [f"{tmp_path}/a.zarr.zip: there is no such store"]


def test_a_zip_that_is_no_store_is_named(tmp_path):
    path = tmp_path / "a.zarr.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("readme.txt", "no zarr")
    (line,) = refusal(path)
    assert line.startswith(f"{path}: not a zarr store")


def test_one_byte_that_flipped_in_any_array_or_in_the_attributes_is_found(tmp_path):
    whole = write(tmp_path / "a.zarr.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zarr.zip") as packed:
        entries = packed.infolist()
    assert len(entries) >= 5
    for entry in entries:
        path = tmp_path / "flipped.zarr.zip"
        place = entry.header_offset + 30 + len(entry.filename) + entry.file_size // 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert refusal(path) == [
            f"{path}: damaged: {entry.filename} in it does not have the checksum that was stored with it"
        ]


def test_a_byte_that_flipped_anywhere_is_found_or_changes_nothing(tmp_path):
    """Never another error than the message: also in the zip file's own tables, where few bytes matter."""
    good = write(tmp_path / "good.zarr.zip")
    whole, path, found = good.read_bytes(), tmp_path / "a.zarr.zip", 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x21]) + whole[place + 1 :])
        try:
            check_inputs([path], CONFIG)
        except InputError:
            found += 1
        else:
            xr.testing.assert_identical(open_store(path).load(), open_store(good).load())
    assert found > len(whole) / 7 / 2


@pytest.mark.parametrize("version", [1, 5])
def test_another_schema_version_is_named(tmp_path, monkeypatch, version):
    monkeypatch.setattr(stores, "SCHEMA_VERSION", version)
    path = write(tmp_path / "a.zarr.zip")
    assert refusal(path) == [f"{path}: schema_version is {version}; it must be 4"]


def test_another_value_in_a_section_is_named_by_its_key(tmp_path):
    path = write(tmp_path / "a.zarr.zip", SECTIONS | {"tunnels": {"directions": 3, "thresholds": [0.5, 0.9]}})
    assert refusal(path) == [f"{path}: tunnels.directions: found 3; the present config has 2"]


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        ({"claims.resamples": 1000}, "claims.resamples: found 1000; the present config has 100"),
        ({"seeds": 12}, "seeds: found 12; the present config has 4"),
        ({"dataset": {"file": "own.py"}}, 'dataset.file: found "own.py"; the present config has nothing'),
        ({"tunnels": {"directions": 2}}, "tunnels.thresholds: found nothing; the present config has [0.5, 0.9]"),
        ({"spirals": {"turns": 2}}, "spirals.turns: found 2; the present config has nothing"),
    ],
)
def test_keys_that_one_of_both_lacks_are_named_too(tmp_path, section, wanted):
    lines = refusal(write(tmp_path / "a.zarr.zip", SECTIONS | section))
    assert lines[0] == f"{tmp_path}/a.zarr.zip: {wanted}"


def test_another_training_at_a_setting_is_named_by_setting_and_key(tmp_path):
    training = {**TRAINING, "training": {"epochs": 80, "momentum": 0.9}}
    path = write(tmp_path / "a.zarr.zip", settings={"lr~1": training})
    assert refusal(path) == [f"{path}: at lr~1, training.epochs: found 80; the present config has 3"]


def test_an_unknown_setting_is_named(tmp_path):
    path = write(tmp_path / "a.zarr.zip", settings={"lr~7": TRAINING})
    assert refusal(path) == [f"{path}: made at the setting lr~7, which the present config does not have"]


@pytest.mark.parametrize("place", ["weights/lr~1/seeds~0-3.zarr.zip", "tunnels/lr~1.zarr.zip"])
def test_a_store_under_the_name_of_another_setting_is_named(tmp_path, place):
    path = write(tmp_path / place, settings=["lr~2"])
    assert refusal(path) == [f"{path}: made at lr~2; its path says lr~1"]


def test_weights_that_were_trained_on_other_data_are_named(tmp_path):
    data, fitting, other = (tmp_path / f"{name}.zarr.zip" for name in ("data", "fitting", "other"))
    sums = {data: {"sha256": "one"}, fitting: {"dataset_sha256": "one"}, other: {"dataset_sha256": "two"}}
    for path, attributes in sums.items():
        write_store(xr.Dataset(attrs=attributes), path, Origin("train", "0123", {"dataset": "digits"}))
    check_inputs([data, fitting], CONFIG)
    check_inputs([other], CONFIG)  # nothing to compare it with
    wanted = f"{other}: dataset_sha256 is not the sha256 of {data}: trained on other data"
    assert refusal(data, fitting, other) == [wanted]


def test_a_store_that_says_nothing_of_its_origin_is_named(tmp_path):
    path = tmp_path / "a.zarr.zip"
    for config in ({}, {"config": "no json"}, {"config": json.dumps({"model": {}})}):
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("zarr.json", json.dumps({"attributes": {"schema_version": 4, **config}}))
        (line,) = refusal(path)
        assert line.startswith(f"{path}: it does not say what determined it")


def test_all_bad_stores_are_told_at_once_and_good_ones_are_not(tmp_path):
    good, cut = write(tmp_path / "good.zarr.zip"), write(tmp_path / "cut.zarr.zip")
    cut.write_bytes(cut.read_bytes()[:-100])
    other = write(tmp_path / "other.zarr.zip", SECTIONS | {"seeds": 5})
    lost = write(tmp_path / "lost.zarr.zip", settings={"lr~7": TRAINING})
    assert [line.partition(": ")[0] for line in refusal(good, cut, other, lost)] == [str(cut), str(other), str(lost)]


def test_of_many_differences_the_first_are_told_and_the_others_counted(tmp_path):
    path = write(tmp_path / "a.zarr.zip", {f"key{number}": number for number in range(10)})
    lines = refusal(path)
    assert len(lines) == 5
    assert lines[-1] == f"{path}: and 6 more differences"


# What a job writes


def job_of(rule, sections, *inputs, **more):
    job = {"rule": rule, "code": "0123", "sections": sections, **more}
    return SimpleNamespace(
        rule=f"mine_{rule}", params=SimpleNamespace(job=job), input=list(map(str, inputs)), config=CONFIG
    )


def test_origins_are_inherited_and_name_no_seed_of_a_chunk(tmp_path):
    made = origin(job_of("prepare_data", {"dataset": "digits", "data.train_examples": 400}))
    assert made == Origin("prepare_data", "0123", {"dataset": "digits", "data.train_examples": 400}, {})
    data = write(tmp_path / "digits.zarr.zip", made.sections, made.settings)

    chunks = []
    for seeds in ([0, 1], [2, 3], [0, 1, 2, 3]):
        made = origin(job_of("train", {}, data, trains={"lr~1": TRAINING}, seeds=seeds))
        assert made == Origin("train", "0123", {"dataset": "digits", "data.train_examples": 400}, {"lr~1": TRAINING})
        chunks.append(write(tmp_path / f"{seeds}.zarr.zip", made.sections, made.settings))
    assert training_of(open_store(chunks[0]).attrs) == TRAINING

    wanted = {
        "dataset": "digits",
        "data.train_examples": 400,
        "tunnels": CONFIG["tunnels"],
        "seeds": 4,
        "first_seed": 0,
    }
    for inputs in ([data, *chunks[:2]], [data, chunks[2]]):
        made = origin(job_of("measure_tunnels", {"tunnels": CONFIG["tunnels"]}, *inputs, methods={"swa": "lr~1"}))
        assert made == Origin("measure_tunnels", "0123", wanted, {"lr~1": TRAINING})
    measured = write(tmp_path / "tunnels.zarr.zip", made.sections, made.settings)

    made = origin(job_of("measure_fitted_wedges", {"claims.resamples": 100}, measured))
    assert made == Origin("measure_fitted_wedges", "0123", wanted | {"claims.resamples": 100}, {"lr~1": TRAINING})
    check_inputs([data, *chunks, measured], CONFIG)


def test_what_rests_on_no_network_rests_on_no_number_of_seeds():
    made = origin(job_of("measure_wedges", {"curves": CONFIG["curves"]}))
    assert made == Origin("measure_wedges", "0123", {"curves": {"steps": 20}}, {})


def test_a_job_that_names_settings_trains_none(tmp_path):
    """Only what a job trains is its training; that a figure marks settings makes it none."""
    weights = write(tmp_path / "w.zarr.zip")
    made = origin(job_of("plot_curvature", {}, weights, settings={"lr~2": {}}, context={"settings": ["lr~2"]}))
    assert made.settings == {"lr~1": TRAINING}
