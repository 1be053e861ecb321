"""The frame around each job, and where results may be written."""

import contextlib
import hashlib
import json
import logging
import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from wedgescape.errors import InputError
from wedgescape.figures import style
from wedgescape.provenance import file_sums
from wedgescape.provenance import frame as provenance
from wedgescape.provenance.determinants import Determinants
from wedgescape.provenance.file_sums import FileSums
from wedgescape.provenance.fingerprints import Fingerprints
from wedgescape.provenance.frame import check_writable, digest, job
from wedgescape.study.catalogue import catalogue
from wedgescape.study.layout import Layout
from wedgescape.study.study import load_study

REPOSITORY = Path(__file__).parents[2]

# The frame around a job


class Params:
    """The parameters of a rule of this workflow: there is one, `job`."""

    def __init__(self, **job):
        self.job = job

    def items(self):
        return {"job": self.job}.items()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A job like Snakemake's, in a folder of its own; the process is put back as it was."""
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(provenance.log, "level", provenance.log.level)
    Path("a.csv").write_text("a")
    Path("b.csv").touch()
    Path("tunnels").mkdir()
    Path("tunnels/width.zarr.zip").touch()
    with warnings.catch_warnings():
        yield SimpleNamespace(
            rule="mine_measure_tunnels",  # what a workflow that imports this one may call it
            threads=1,
            log=["job.log"],
            input=["b.csv", "a.csv"],
            output=["tunnels/width.zarr.zip"],
            wildcards={"sweep": "width"},
            params=Params(rule="measure_tunnels", directions=8),
            config={"study": "digits", "all_seeds": [0, 1, 2], "results": "results/digits", "commit": None},
        )
        logging.captureWarnings(False)


@contextlib.contextmanager
def running(fake):
    """The frame in a process whose logging is as fresh as a job's: pytest has handlers of its own."""
    with mock.patch.object(logging.root, "handlers", []), job(fake) as log:
        yield log


# By sha256sum.
SHA256_OF_A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
RECORD = Path("results/digits/provenance/measure_tunnels/width.json")


def test_a_job_that_succeeds_leaves_a_record(fake):
    with running(fake) as log:
        log.info("measuring %s", "width")
        assert os.environ["OMP_NUM_THREADS"] == "1"
        assert not RECORD.exists()
    record = json.loads(RECORD.read_text())
    assert set(record) == {
        "rule",
        "wildcards",
        "input",
        "output",
        "params",
        "seeds",
        "source",
        "threads",
        "started",
        "ended",
        "host",
        "versions",
        "peak_memory_kib",
    }
    assert record["rule"] == "measure_tunnels"
    assert record["wildcards"] == {"sweep": "width"}
    assert record["input"] == {"a.csv": {"bytes": 1, "sha256": SHA256_OF_A}, "b.csv": {"bytes": 0, "sha256": EMPTY}}
    assert list(record["output"]) == ["tunnels/width.zarr.zip"]
    assert record["seeds"] == [0, 1, 2]
    assert record["params"] == {"job": {"rule": "measure_tunnels", "directions": 8}}
    assert 0 <= record["ended"] - record["started"] < 60
    assert {"name", "machine", "system", "cpu", "gpu", "driver"} <= set(record["host"])
    assert (record["host"]["visible_gpus"], record["host"]["slurm_job"]) == ("1,3", None)
    assert {"python", "torch", "numpy", "zarr", "xarray"} <= set(record["versions"])
    assert record["peak_memory_kib"] > 1000
    assert [path.name for path in RECORD.parent.iterdir()] == ["width.json"]
    assert "measuring width" in Path("job.log").read_text()


def test_the_record_of_an_earlier_run_is_gone_while_a_job_runs(fake):
    """Else it would tell of a result that is about to change."""
    with running(fake):
        pass
    with running(fake):
        assert not RECORD.exists()
    assert RECORD.exists()


def test_a_job_without_wildcards_is_recorded_by_its_rule(fake):
    fake.wildcards = {}
    with running(fake):
        pass
    assert RECORD.with_name("measure_tunnels.json").is_file()


def test_what_the_user_gave_wrong_ends_the_job_with_the_message_alone(fake, capsys):
    with pytest.raises(SystemExit) as stop, running(fake):
        raise InputError("model.file: own.py: there is no such file")
    assert stop.value.code == 1
    told = Path("job.log").read_text()
    assert told.endswith("measure_tunnels: model.file: own.py: there is no such file\n")
    for text in (told, capsys.readouterr().err):
        assert len(text.splitlines()) == 1
        assert "Traceback" not in text
    assert not Path("results").exists()


def test_no_body_runs_on_an_input_that_cannot_be_used(fake):
    fake.input = ["absent.zarr.zip"]
    with pytest.raises(SystemExit), running(fake):
        pytest.fail("the body ran")
    assert "absent.zarr.zip: there is no such store" in Path("job.log").read_text()
    assert not Path("results").exists()


def test_any_other_error_is_in_the_log_with_its_place_and_not_recorded(fake):
    with pytest.raises(ZeroDivisionError), running(fake):
        raise ZeroDivisionError
    said = Path("job.log").read_text()
    assert "measure_tunnels failed" in said
    assert "raise ZeroDivisionError" in said
    assert not Path("results").exists()
    assert Path("job.log").read_text().splitlines()[-1] == "ZeroDivisionError"


def test_warnings_reach_the_log(fake):
    with running(fake):
        warnings.warn("a rate of zero", stacklevel=1)
    assert "a rate of zero" in Path("job.log").read_text()


# Names of values


def test_digest_names_values_by_content():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest({})) == 16


# Where results go


def test_a_folder_that_is_there_or_can_be_made_is_writable(tmp_path):
    check_writable(tmp_path)
    check_writable(tmp_path / "results" / "digits")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["results", "results/digits"])
def test_a_file_in_the_way_is_named(tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("")
    with pytest.raises(InputError) as error:
        check_writable(tmp_path / "results" / "digits")
    wanted = f"cannot write results to {tmp_path}/results/digits: {tmp_path / place} exists and is not a folder"
    assert str(error.value) == wanted


def test_a_link_to_nowhere_is_named(tmp_path):
    (tmp_path / "results").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="results exists and is not a folder"):
        check_writable(tmp_path / "results" / "digits")


def test_a_folder_that_is_not_writable_is_named(tmp_path, monkeypatch):
    asked = []

    def access(path, mode):
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", access)  # root may write anywhere, so that permissions would not do
    with pytest.raises(InputError, match=f"{tmp_path} is not writable"):
        check_writable(tmp_path / "results" / "digits")
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]


# Rules


@pytest.fixture
def determinants():
    config = {"study": "s", "dataset": "digits", "defaults": "smoke", "sweeps": {"width": [8, 16]}}
    layout = Layout(load_study(config, catalogue()), catalogue())
    return Determinants(layout, Fingerprints(None), lambda name: REPOSITORY / "scripts" / name)


def test_what_determines_a_measurement_is_its_code_and_its_part_of_the_config(determinants):
    measurements, study = determinants.layout.catalogue.measurements, determinants.layout.study
    found = determinants.measurement(measurements["tunnels"])
    assert found["rule"] == "measure_tunnels"
    assert found["sections"] == {"tunnels": study.config["tunnels"], "fit": study.config["fit"]}
    assert found["context"] == {"settings": {}}
    codes = {determinants.measurement(file)["code"] for file in measurements.values()}
    assert len(codes) == len(measurements)


def test_what_determines_a_figure_says_where_its_stores_lie(determinants):
    found = determinants.figure(determinants.layout.catalogue.figures["tunnels"])
    assert set(found["sections"]) == {"figures", "claims.confidence", "claims.resamples"}
    assert list(found["context"]["sweeps"]) == ["width"]
    assert found["labels"]["learning_rate"] == [style.NAMES["learning_rate"], style.SWEEPS["learning_rate"]]


def test_what_determines_a_training_is_all_of_it_and_its_seeds(determinants):
    study = determinants.layout.study
    found = determinants.training(study.base, "0-3")
    assert found["trains"] == {study.base: study.training(study.base)}
    assert found["seeds"] == [0, 1, 2, 3]
    assert found["sections"] == {}


def test_a_users_own_files_count(determinants, tmp_path):
    own = tmp_path / "net.py"
    own.write_text("class Net: ...\n")
    config = {"study": "s", "dataset": "digits", "model": {"file": str(own), "name": "Net"}}
    mine = Determinants(Layout(load_study(config, catalogue()), catalogue()), Fingerprints(None), determinants.script)
    tunnels = catalogue().measurements["tunnels"]
    before = mine.measurement(tunnels)["code"]
    assert before != determinants.measurement(tunnels)["code"]
    assert mine.claims({})["code"] == determinants.claims({})["code"]


# Files that a user declares


@pytest.fixture
def declaring(determinants, tmp_path, monkeypatch):
    """A function: the determinants of a study with own data and an own model, each of which reads a file."""
    monkeypatch.chdir(tmp_path)
    for name in ("data.npz", "table.csv"):
        Path(name).write_text("1,2\n")
    Path("own.py").write_text("import helper\nclass Net: ...\ndef load(): ...\n")
    Path("helper.py").touch()
    config = {
        "study": "s",
        "dataset": {"file": "own.py", "name": "load", "files": ["data.npz"]},
        "model": {"file": "own.py", "name": "Net", "files": ["table.csv"]},
    }
    layout = Layout(load_study(config, catalogue()), catalogue())
    return lambda: Determinants(layout, Fingerprints(None), determinants.script, FileSums(tmp_path / "sums.json"))


def asked_of(determinants):
    measurements, base = catalogue().measurements, determinants.layout.study.base
    return {
        "data": determinants.data(),
        "models": determinants.models(),
        "train": determinants.training(base, "0-3"),
        "tunnels": determinants.measurement(measurements["tunnels"]),
        "wedges": determinants.measurement(measurements["wedges"]),
        "claims": determinants.claims({}),
    }


@pytest.mark.parametrize(("name", "reached"), [("data.npz", {"data"}), ("table.csv", {"models", "train", "tunnels"})])
def test_the_content_of_declared_files_decides(declaring, name, reached):
    os.utime(name, (0, 0))
    before = asked_of(declaring())
    os.utime(name, (1, 1))
    assert asked_of(declaring()) == before
    Path(name).write_text("1,3\n")  # as long as before
    after = asked_of(declaring())
    assert {key for key in before if after[key] != before[key]} == reached
    Path(name).write_text("1,2\n")
    assert asked_of(declaring()) == before


def test_declared_files_and_imported_ones_are_archived(declaring):
    assert set(declaring().archive(["c.yaml"], [])["own"]) == {"c.yaml", "own.py", "helper.py", "data.npz", "table.csv"}


def test_declared_files_that_are_missing_are_all_named(declaring):
    declaring().check_own_files()
    Path("data.npz").unlink()
    Path("table.csv").unlink()
    with pytest.raises(InputError) as caught:
        declaring().check_own_files()
    lines = str(caught.value).splitlines()
    assert [line.split(" in ")[0].strip() for line in lines[1:]] == [
        "dataset.files: found no file data.npz",
        "model.files: found no file table.csv",
    ]


def test_a_model_or_data_file_that_is_missing_is_named_before_any_job(declaring):
    Path("own.py").unlink()
    with pytest.raises(InputError, match=r"model\.file: own\.py: there is no such file in "):
        declaring().check_own_files()


def test_checksums_are_kept_until_size_or_date_changes(tmp_path, monkeypatch):
    file, kept = tmp_path / "big.npz", tmp_path / "sums.json"
    file.write_text("one")
    os.utime(file, (1000, 1000))
    first = FileSums(kept).of([str(file)])
    assert first == {str(file): hashlib.sha256(b"one").hexdigest()}
    monkeypatch.setattr(file_sums, "sha256", lambda path: "computed again")
    assert FileSums(kept).of([str(file)]) == first
    os.utime(file, (1001, 1001))
    assert FileSums(kept).of([str(file)]) == {str(file): "computed again"}
    kept.write_text("damaged")
    assert FileSums(kept).of([str(file)]) == {str(file): "computed again"}


def test_the_checksum_of_a_file_that_has_just_been_written_is_not_kept(tmp_path):
    """A second edit at once may leave size and date as they are."""
    file, kept = tmp_path / "new.npz", tmp_path / "sums.json"
    file.write_text("one")
    FileSums(kept).of([str(file)])
    assert json.loads(kept.read_text()) == {}
