"""Configs and files of users as public bug reports have them, each with what is right."""

import numpy as np
import pytest
import yaml

from projects import SMOKE, jobs_in

STUDY = {"study": "c", "dataset": "digits", "defaults": "smoke"}


def refused(project, *arguments: str) -> str:
    """What Snakemake says when nothing may be built."""
    done = project.snakemake("--cores", "1", "--dry-run", *arguments, check=False)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout
    assert not jobs_in(done.stdout)
    return done.stdout


def test_keys_that_are_twice_in_a_file_are_refused_with_their_lines(project):
    (project.folder / "case.yaml").write_text("study: c\nseeds: 4\ntraining:\n  epochs: 3\n  epochs: 2\nseeds: 3\n")
    said = refused(project, "--configfile", SMOKE, "case.yaml")
    assert "case.yaml: seeds is in lines 2 and 6" in said
    assert "case.yaml: training.epochs is in lines 4 and 5" in said


def test_a_config_file_without_a_study_is_no_overlay_of_the_default_study(project):
    (project.folder / "case.yaml").write_text("training: {epochs: 4}\nsweeps: {learning_rate: [0.1, 0.2]}\n")
    assert "study: missing" in refused(project, "--configfile", "case.yaml")


def test_without_a_config_file_the_default_study_is_meant_whatever_the_command_line_adds(project):
    default = yaml.safe_load((project.folder / "config/config.yaml").read_text())
    for said, study in ((["device=cpu"], default["study"]), (["study=other"], "other")):
        asked = ("--dry-run", "--config", *said, "--", f"results/{study}/data/digits.zarr.zip")
        assert jobs_in(project.snakemake("--cores", "1", *asked).stdout) == {"prepare_data": 1}


def test_keys_below_a_key_of_the_command_line_are_sent_to_a_file(project):
    said = refused(project, "--configfile", SMOKE, "--config", "training={epochs: 5}")
    assert 'training.epochs: found "5"; allowed: integer >= 1 (--config reads what is below a key as text' in said
    assert "without quotes" not in said


MY_DATA = """
from pathlib import Path

import numpy as np


def stripes():
    with np.load(Path(__file__).parent / "stripes.npz") as found:
        return found["a"], found["b"], found["a"], found["b"]
"""


@pytest.mark.slow
def test_a_file_that_the_users_function_reads_counts_and_an_axis_that_looks_like_channels_is_named(project):
    def write(number: int) -> None:
        images = np.random.default_rng(number).random((12, 8, 9, 3))
        np.savez(data / "stripes.npz", a=images, b=np.arange(12) % 3)

    data = project.folder / "data"
    data.mkdir()
    (data / "my_data.py").write_text(MY_DATA)
    own = {"file": "data/my_data.py", "name": "stripes", "files": ["data/stripes.npz"]}
    config = {**STUDY, "dataset": own, "data": {"train_examples": None, "test_examples": None}}
    (project.folder / "case.yaml").write_text(yaml.safe_dump(config))
    asked = ("--cores", "1", "--configfile", "case.yaml", "--", "prepare_data")

    assert "dataset.files: found no file data/stripes.npz" in refused(project, *asked)
    write(0)
    project.snakemake(*asked)
    log = (project.folder / "results/c/logs/prepare_data.log").read_text()
    assert "8 channels of 9 x 3 pixels. Axis 3, of length 3, looks like the channels" in log
    (data / "stripes.npz").touch()
    assert "Nothing to be done" in project.snakemake(*asked).stdout
    write(1)
    assert jobs_in(project.snakemake("--dry-run", *asked).stdout) == {"prepare_data": 1}
