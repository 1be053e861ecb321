"""Configs and files of users as public bug reports have them, each with what is right."""

import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from projects import SMOKE, Project, copy_to, jobs_in, smoke_layout

C_LOCALE = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
STUDY = {"study": "c", "dataset": "digits", "defaults": "smoke"}


def refused(project, *arguments: str) -> str:
    """What Snakemake says when nothing may be built."""
    done = project.snakemake("--cores", "1", "--dry-run", *arguments, check=False)
    assert done.returncode != 0, done.stdout
    assert "Traceback (most recent call last)" not in done.stdout
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


def test_a_setting_that_the_study_does_not_have_is_answered_with_those_that_it_has(project):
    known = smoke_layout().study.base
    unknown = known.replace("lr~0.05", "lr~0.9")
    for path in (f"weights/{unknown}/seeds~0-3", f"tunnels/{unknown}"):
        said = refused(project, "--configfile", SMOKE, "--", f"results/smoke/{path}.zarr.zip")
        assert f"the study smoke has no setting {unknown}. It has:\n" in said
        assert f"\n  {known}\n" in said
        assert "KeyError" not in said
    said = refused(project, "--configfile", SMOKE, "--", f"results/smoke/wedges/{known}.zarr.zip")
    assert "wedges is measured on the toy model alone: results/smoke/wedges/toy.zarr.zip" in said


def make(project, *arguments: str, **environment: str) -> str:
    """What `make` would do in the copy, whose environment is that of the tests."""
    (project.folder / ".venv").symlink_to(sys.prefix)
    (project.folder / "one.yaml").write_text("# étude sur λ\nstudy: first\ndataset: digits\n", encoding="utf-8")
    (project.folder / "two.yaml").write_text("seeds: 5\n")
    command = ["make", "--dry-run", "--old-file", ".venv/.complete", *arguments]
    done = subprocess.run(
        command, cwd=project.folder, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("configs", ["one.yaml", "one.yaml two.yaml", "two.yaml one.yaml"])
def test_make_finds_the_results_of_a_study_that_lies_in_several_files(project, configs):
    said = make(project, "report", f"CONFIG={configs}", **C_LOCALE)
    assert f"--configfile {configs} --report results/first/report.part.html" in said


def test_make_names_a_config_file_that_is_not_there(project):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        make(project, "CONFIG=one.yaml gone.yaml")
    assert "CONFIG: there is no file gone.yaml" in caught.value.stderr


MY_DATA = """
from pathlib import Path

from reading import arrays


def stripes():
    a, b = arrays(Path(__file__).parent / "stripes.npz")
    return a, b, a, b
"""
READING = """
import numpy as np


def arrays(path):
    with np.load(path) as found:
        return found["a"], found["b"]
"""


@pytest.mark.slow
def test_files_beside_the_user_s_function_count_and_an_axis_that_looks_like_channels_is_named(project):
    def write(number: int) -> None:
        images = np.random.default_rng(number).random((12, 8, 9, 3))
        np.savez(data / "stripes.npz", a=images, b=np.arange(12) % 3)

    data = project.folder / "data"
    data.mkdir()
    (data / "my_data.py").write_text(MY_DATA)
    (data / "reading.py").write_text(READING)
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
    for edit in (lambda: write(1), lambda: project.edit_function(data / "reading.py", "arrays")):
        write(0)
        edit()
        assert jobs_in(project.snakemake("--dry-run", *asked).stdout) == {"prepare_data": 1}


class Elsewhere(Project):
    """A copy whose Python has a space in its path."""

    def python(self, *arguments: str, **more):
        sys_executable, sys.executable = sys.executable, str(self.folder / ".venv/bin/python")
        try:
            return super().python(*arguments, **more)
        finally:
            sys.executable = sys_executable


@pytest.mark.slow
@pytest.mark.parametrize("start", ["forked", "on its own"])
def test_odd_machines(tmp_path, start):
    """A space in every path, a home that cannot be written, a locale that is not UTF-8: jobs run, and log as always."""
    project = Elsewhere(copy_to(tmp_path / "a b").folder)
    (project.folder / ".venv").symlink_to(sys.prefix)
    (project.folder / "nowhere").touch()
    (project.folder / "own file.py").write_text(
        '"""Données."""\nimport numpy as np, warnings\ndef stripes():\n    warnings.warn("über λ")\n'
        "    images = np.zeros((12, 8, 9, 3))\n    return images, np.arange(12) % 3, images, np.arange(12) % 3\n",
        encoding="utf-8",
    )
    config = {**STUDY, "dataset": {"file": "own file.py", "name": "stripes"}}
    config["data"] = {"train_examples": None, "test_examples": None}
    (project.folder / "case.yaml").write_text("# étude\n" + yaml.safe_dump(config), encoding="utf-8")
    strange = {**C_LOCALE, "HOME": str(project.folder / "nowhere"), "XDG_CACHE_HOME": ""}
    strange |= {"WEDGESCAPE_COLD": "1"} if start == "on its own" else {}
    project.snakemake("--cores", "1", "--configfile", "case.yaml", "--", "prepare_data", **strange)
    assert (project.folder / "results/c/data/stripes.zarr.zip").exists()
    log = (project.folder / "results/c/logs/prepare_data.log").read_text(encoding="utf-8")
    assert "own file.py: stripes(): images are read as" in log
    assert "über λ" in log
    assert (project.folder / ".snakemake/cache/snakemake").is_dir()
