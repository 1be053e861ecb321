"""Copies of the project, with and without the finished smoke study."""

import shutil

import pytest

from projects import Project, copy_to


@pytest.fixture
def project(tmp_path) -> Project:
    """A fresh copy, without results."""
    return copy_to(tmp_path / "project")


@pytest.fixture(scope="session")
def smoke_project(tmp_path_factory) -> Project:
    """A copy in which the smoke study has run; tests leave it as they found it."""
    made = copy_to(tmp_path_factory.mktemp("smoke") / "project")
    made.smoke()
    return made


@pytest.fixture
def finished(smoke_project, tmp_path) -> Project:
    """A copy of the finished smoke study, to be changed at will."""
    shutil.copytree(smoke_project.folder, tmp_path / "finished", symlinks=True)
    return Project(tmp_path / "finished")
