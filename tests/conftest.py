"""Copies of the project, with and without the finished smoke study."""

import shutil
from pathlib import Path

import pytest

from projects import TRACING, Project, copy_to


@pytest.fixture
def project(tmp_path) -> Project:
    """A fresh copy, without results."""
    return copy_to(tmp_path / "project")


@pytest.fixture(scope="session")
def calls(tmp_path_factory) -> Path:
    """A folder with a file for each job of the smoke study, which says what functions of the library it called."""
    return tmp_path_factory.mktemp("calls")


@pytest.fixture(scope="session")
def smoke_project(tmp_path_factory, calls) -> Project:
    """A copy in which the smoke study has run; tests leave it as they found it."""
    made = copy_to(tmp_path_factory.mktemp("smoke") / "project")
    made.smoke(CALLS_FOLDER=str(calls), PYTHONPATH=str(TRACING))
    return made


@pytest.fixture
def finished(smoke_project, tmp_path) -> Project:
    """A copy of the finished smoke study, to be changed at will."""
    shutil.copytree(smoke_project.folder, tmp_path / "finished", symlinks=True)
    return Project(tmp_path / "finished")
