"""Copies of the project, with and without the finished smoke study."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from projects import TRACING, Project, copy_to


@pytest.fixture
def project(tmp_path) -> Project:
    """A fresh copy, without results."""
    return copy_to(tmp_path / "project")


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id) -> Path:
    """A folder in which the smoke study has run, once for all processes that test; SMOKE_FOLDER, where it is set."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder if worker_id == "master" else folder.parent
    folder = Path(os.environ.get("SMOKE_FOLDER", folder))
    with FileLock(folder / "smoke.lock"):
        if not (folder / "smoke/complete").exists():
            shutil.rmtree(folder / "smoke", ignore_errors=True)
            (folder / "smoke/calls").mkdir(parents=True)
            path = os.pathsep.join([str(TRACING), str(folder / "smoke/project/scripts")])
            calls = {"CALLS_FOLDER": str(folder / "smoke/calls"), "PYTHONPATH": path}
            said = copy_to(folder / "smoke/project").smoke("--logger", "wedgescape", **calls).stdout
            (folder / "smoke/said.txt").write_text(said, encoding="utf-8")
            (folder / "smoke/complete").touch()
    return folder / "smoke"


@pytest.fixture(scope="session")
def calls(shared) -> Path:
    """A folder with a file for each job of the smoke study, which says what functions of the library it called."""
    return shared / "calls"


@pytest.fixture(scope="session")
def said(shared) -> str:
    """What the run of the smoke study said, by the logger that `make` uses."""
    return (shared / "said.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def smoke_project(shared, tmp_path_factory) -> Project:
    """A copy in which the smoke study has run; tests leave it as they found it."""
    return Project(shared / "project").copied_to(tmp_path_factory.mktemp("smoke") / "project")


@pytest.fixture
def finished(smoke_project, tmp_path) -> Project:
    """A copy of the finished smoke study, to be changed at will."""
    return smoke_project.copied_to(tmp_path / "finished")
