"""A disk that is full: nothing half-written is taken for complete, and with room the same command goes on."""

import os
import subprocess
import tempfile

import numpy as np
import pytest
import xarray as xr

from projects import copy_to
from wedgescape.errors import InputError
from wedgescape.stores import zarr_stores
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import described

STUDY = """
study: full
dataset: digits
model: {width: 256}
training: {epochs: 4}
seeds: 3
checkpoint_minutes: 0.0001
tunnels: {directions: 1, angle_error: 4.0}
"""
SETTING = "lr~0.05_wd~0_width~256_dropout~0_batch~128"
WEIGHTS = f"results/full/weights/{SETTING}/seeds~0-2.zarr.zip"
TARGET = f"results/full/tunnels/{SETTING}.zarr.zip"
ROOM_FOR_DATA_ALONE = "700k"


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that puts a small file system of its own at a folder."""
    if os.geteuid():
        pytest.skip("mounting a file system needs root")
    mounted = []

    def mount(folder, size):
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What is made where there is room."""
    roomy = copy_to(tmp_path_factory.mktemp("roomy") / "project")
    (roomy.folder / "full.yaml").write_text(STUDY)
    roomy.snakemake("--cores", "1", "--configfile", "full.yaml", "--", TARGET)
    return {name: (roomy.folder / name).read_bytes() for name in (WEIGHTS, TARGET)}


def run(project, check=True):
    return project.snakemake("--cores", "1", "--configfile", "full.yaml", "--", TARGET, check=check)


def left_over(project):
    return [path for path in (project.folder / "results").rglob("*") if path.name.endswith(".part")]


def test_results_on_a_full_disk(project, small_disk, expected):
    (project.folder / "full.yaml").write_text(STUDY)
    small_disk(project.folder / "results", ROOM_FOR_DATA_ALONE)
    said = run(project, check=False)
    assert said.returncode != 0
    assert "the checkpoint could not be written" in said.stdout  # which did not end the training
    assert f"train: {WEIGHTS}: it could not be written (No space left on device: 0." in said.stdout
    assert "Make room, and run again" in said.stdout
    assert "Traceback" not in said.stdout
    assert not (project.folder / WEIGHTS).exists()
    assert not left_over(project)
    subprocess.run(["mount", "-o", "remount,size=50m", project.folder / "results"], check=True)
    run(project)
    assert {name: (project.folder / name).read_bytes() for name in expected} == expected


def test_a_store_that_memory_has_room_for_needs_no_temporary_folder(
    project, small_disk, expected, tmp_path, monkeypatch
):
    (project.folder / "full.yaml").write_text(STUDY)
    small_disk(tmp_path / "temporary", ROOM_FOR_DATA_ALONE)
    with monkeypatch.context() as small:
        small.setenv("TMPDIR", str(tmp_path / "temporary"))
        run(project)
    assert {name: (project.folder / name).read_bytes() for name in expected} == expected


def test_a_full_temporary_folder_while_a_large_store_is_put_together(small_disk, tmp_path, monkeypatch):
    draw, temporary, path = np.random.default_rng(0), tmp_path / "temporary", tmp_path / "large.zarr.zip"
    store = xr.Dataset({"theta": described(("seed", "param"), draw.standard_normal((3, 500_000)), "weights", "1")})
    monkeypatch.setattr(zarr_stores, "IN_MEMORY", store.nbytes - 1)
    small_disk(temporary, ROOM_FOR_DATA_ALONE)
    with monkeypatch.context() as small:
        small.setattr(tempfile, "tempdir", str(temporary))
        with pytest.raises(InputError, match="No space left on device") as said:
            zarr_stores.write_store(store, path, Origin("train"))
        assert f"MiB in the temporary folder {temporary}" in str(said.value)
        assert not list(temporary.iterdir())
    assert [file.name for file in tmp_path.iterdir()] == ["temporary"]
    zarr_stores.write_store(store, path, Origin("train"))
    assert zarr_stores.load_store(path)["theta"].identical(store["theta"])
