"""What a job's record says of the sources, and results that are not what their job has made."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from wedgescape.errors import InputError
from wedgescape.provenance import file_sums, records
from wedgescape.provenance.records import described, result_name, set_aside_changed

KNOWN = Path(".snakemake/wedgescape/digits.json")
STUDY = Path("results/digits")
CONFIG = {"study": "digits", "results": "results/digits"}


# The sources


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one file and one commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.setattr(records, "SOURCES", folder)
    (folder / "train.py").write_text("rate = 1\n")
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    for arguments in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "first")):
        subprocess.run(["git", "-C", folder, *arguments], check=True)
    return folder


def test_a_clean_tree_is_named_by_its_commit(repository, tmp_path):
    commit = subprocess.run(["git", "-C", repository, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert records._source(tmp_path) == {"commit": commit.stdout.strip(), "dirty": False, "difference": None}
    assert not (tmp_path / "differences").exists()


def test_how_a_dirty_tree_differs_is_kept_once(repository, tmp_path):
    (repository / "train.py").write_text("rate = 2\n")
    (repository / "own.py").touch()
    source = records._source(tmp_path)
    assert source["dirty"]
    text = Path(source["difference"]).read_text()
    assert "-rate = 1\n+rate = 2" in text
    assert "?? own.py" in text
    assert records._source(tmp_path) == source
    assert len(list((tmp_path / "differences").iterdir())) == 1


def test_sources_without_a_repository_or_without_git(tmp_path, monkeypatch):
    nothing = {"commit": None, "dirty": None, "difference": None}
    monkeypatch.setattr(records, "SOURCES", tmp_path)
    assert records._source(tmp_path) == nothing
    monkeypatch.setenv("PATH", "")
    assert records._source(tmp_path) == nothing


def test_a_hosted_repository_is_named_by_the_commit_that_it_was_read_from(repository, tmp_path):
    assert records._source(tmp_path, "c0ffee") == {"commit": "c0ffee", "dirty": False, "difference": None}


# What results are called


@pytest.mark.parametrize(
    ("results", "path"),
    [
        ("results/digits", "results/digits/tunnels/lr~1.zarr.zip"),
        ("wedges/results/digits", "wedges/results/digits/tunnels/lr~1.zarr.zip"),
        ("/disk/results/digits", "/disk/results/digits/tunnels/lr~1.zarr.zip"),
        ("mine/digits", "mine/digits/tunnels/lr~1.zarr.zip"),  # an importing workflow may replace `results`
        ("results/digits", ".snakemake/storage/s3/bucket/results/digits/tunnels/lr~1.zarr.zip"),
        ("wedges/results/digits", ".snakemake/storage/s3/bucket/wedges/results/digits/tunnels/lr~1.zarr.zip"),
        ("results/digits", "/home/results/digits/results/digits/tunnels/lr~1.zarr.zip"),
    ],
)
def test_a_result_has_one_name_wherever_it_lies(results, path):
    assert result_name(path, CONFIG | {"results": results}) == "results/digits/tunnels/lr~1.zarr.zip"


@pytest.mark.parametrize(
    "path", ["own.csv", "old_results/digits/a.csv", "results/digits_2/a.csv", "/disk/digits/a.csv"]
)
def test_what_is_no_result_of_the_study_is_called_by_its_path(path):
    assert result_name(path, CONFIG) == path


# Results that were changed


@pytest.fixture
def result(tmp_path, monkeypatch):
    """A result that a job has made and recorded."""
    monkeypatch.chdir(tmp_path)
    path = STUDY / "tunnels/point.zarr.zip"
    path.parent.mkdir(parents=True)
    path.write_text("widths")
    record = STUDY / "provenance/measure_tunnels/point.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"output": described([path], CONFIG)}))
    return path


def test_what_a_job_has_made_stays(result):
    assert set_aside_changed(STUDY, KNOWN) == []
    assert set_aside_changed(STUDY, KNOWN) == []
    os.utime(result)
    assert set_aside_changed(STUDY, KNOWN) == []
    assert result.read_text() == "widths"


@pytest.mark.parametrize("content", ["Widths", "width", ""])
def test_what_was_changed_is_set_aside(result, content):
    assert set_aside_changed(STUDY, KNOWN) == []
    result.write_text(content)
    aside = result.with_name("point.zarr.zip.changed")
    assert set_aside_changed(STUDY, KNOWN) == [aside]
    assert aside.read_text() == content
    assert not result.exists()
    assert set_aside_changed(STUDY, KNOWN) == []


def test_results_are_found_below_a_prefix(result):
    """Records name results alike with and without one."""
    Path("results").rename("wedges")
    study = Path("wedges/digits")
    (study / "tunnels/point.zarr.zip").write_text("Widths")
    assert set_aside_changed(study, KNOWN) == [study / "tunnels/point.zarr.zip.changed"]


def test_what_is_missing_or_has_no_record_is_left_alone(result):
    other = result.with_name("other.zarr.zip")
    other.touch()
    result.unlink()
    assert set_aside_changed(STUDY, KNOWN) == []
    assert other.exists()


def test_only_what_was_touched_is_read_again(result, monkeypatch):
    os.utime(result, (1000, 1000))  # a file that has just been written is read again, for an edit at once may not show
    set_aside_changed(STUDY, KNOWN)
    monkeypatch.setattr(file_sums, "sha256", lambda path: pytest.fail(f"{path} was read"))
    assert set_aside_changed(STUDY, KNOWN) == []


def test_what_was_known_may_be_damaged_or_not_writable(result):
    KNOWN.parent.mkdir(parents=True)
    KNOWN.write_text("{")
    assert set_aside_changed(STUDY, KNOWN) == []
    KNOWN.unlink()
    KNOWN.mkdir()
    assert set_aside_changed(STUDY, KNOWN) == []


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"output": ["tunnels/point.zarr.zip"]}', '{"output": {"a": {}}}'])
def test_a_record_that_cannot_be_read_is_named(result, text):
    record = STUDY / "provenance/measure_tunnels/point.json"
    record.write_text(text)
    with pytest.raises(InputError, match=f"{record}: .*delete it"):
        set_aside_changed(STUDY, KNOWN)
    assert result.exists()


def test_sources_are_this_project():
    assert (records.SOURCES / "workflow/Snakefile").is_file()


def test_what_git_says_is_read_in_any_encoding(tmp_path, monkeypatch):
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nprintf '\\303\\251\\377'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert records.git("diff") == "é\ufffd"
