"""A file is whole or absent."""

import errno
import os

import pytest

from wedgescape.errors import InputError
from wedgescape.stores.whole_files import whole_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_into_place_when_it_is_done(tmp_path):
    path = tmp_path / "deep" / "a.csv"
    with whole_file(path) as beside:
        beside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.csv"]


def test_a_body_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")

    def fail():
        with whole_file(path) as beside:
            beside.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.csv"]


def test_what_a_killed_writer_left_is_removed_and_nothing_that_is_anothers(tmp_path):
    for name in (".a.csv.node7-123.part", ".b.csv.node7-123.part", "a.csv.part", ".[a].csv.node7-1.part"):
        (tmp_path / name).write_text("half")
    with whole_file(tmp_path / "a.csv") as beside:
        beside.write_text("whole")
    assert names(tmp_path) == [".[a].csv.node7-1.part", ".b.csv.node7-123.part", "a.csv", "a.csv.part"]
    with whole_file(tmp_path / "[a].csv") as beside:
        beside.write_text("whole")
    assert ".[a].csv.node7-1.part" not in names(tmp_path)


def test_of_two_writers_one_fails_and_the_file_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"

    def write_twice():
        with whole_file(path) as first:
            first.write_text("first")
            monkeypatch.setattr(os, "getpid", lambda: -1)  # the second writer is another process
            with whole_file(path) as second:
                second.write_text("second")

    with pytest.raises(FileNotFoundError):
        write_twice()
    assert path.read_text() == "second"
    assert names(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_the_files_name(tmp_path, number):
    with (
        pytest.raises(InputError, match=r"a\.csv: it could not be written \(no room: [\d.]+ MiB are free there"),
        whole_file(tmp_path / "a.csv"),
    ):
        raise OSError(number, "no room")
    assert names(tmp_path) == []


def test_other_errors_of_a_disk_are_not_taken_for_a_full_one(tmp_path):
    with pytest.raises(PermissionError), whole_file(tmp_path / "a.csv"):
        raise PermissionError(errno.EACCES, "not yours")
