"""What a cluster would refuse is told at once, in one message, and nothing is left waiting."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from projects import Project

from .conftest import queue

REFUSED = "Slurm would refuse these jobs at attempt 1:"


def told(study, *arguments: str) -> str:
    """What Snakemake says of a run that it refuses within seconds."""
    started = time.monotonic()
    run = study.start(*arguments)
    assert run.ends() != 0
    assert time.monotonic() - started < 30
    assert not queue()
    assert not study.jobs()
    said = run.said.read_text()
    assert said.count(REFUSED) + said.count("Slurm: found") == 1
    assert "Traceback" not in said
    assert "Error in rule" not in said
    return said


@pytest.mark.parametrize(
    ("arguments", "asked", "reason"),
    [
        (("--default-resources", "slurm_partition=nope"), "--partition=nope", "Invalid partition name specified"),
        (("--set-resources", "train:mem_mb=900000"), "--mem 900000", "Requested node configuration is not available"),
        (("--set-resources", "train:runtime=99999"), "-t 99999", "Requested time limit is invalid"),
        (("--set-resources", "train:gpu=3"), "--gpus=3", "add --config device=cpu"),
        (("--config", "gpu_model=a100"), "--gpus=a100:1", "Requested node configuration is not available"),
    ],
)
def test_an_impossible_request_is_told_with_the_rules_that_make_it(study, arguments, asked, reason):
    said = told(study, *arguments)
    lines = [line for line in said.splitlines() if asked in line and line.startswith("  ")]
    of_one_rule = "train:" in arguments[1]
    assert [line.split(":")[0].strip() for line in lines] == (
        ["train"] if of_one_rule else ["train", "measure_tunnels"]
    )
    assert reason in said


def test_a_machine_without_slurm_is_told(study, monkeypatch, tmp_path):
    for command in ("bash", "sh", "env", "which", "python3"):
        (tmp_path / command).symlink_to(shutil.which(command))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{tmp_path}")
    run = study.start()
    assert run.ends() != 0
    said = run.said.read_text()
    assert "Slurm: found no command sbatch, squeue" in said
    assert "snakemake --cores 2" in said
    assert "Traceback" not in said


def test_a_gpu_that_a_job_does_not_find_is_told_with_the_key(project: Project):
    """The node has two GPUs by name alone: CUDA does not see them."""
    said = project.snakemake(
        *("--profile", "slurm", "--configfile", "config/smoke.yaml", "--config", "device=cuda", "--retries", "0"),
        *("--slurm-init-seconds-before-status-checks", "2", "--", "results/smoke/tables/models.csv"),
        check=False,
    )
    assert said.returncode != 0
    assert "device: cuda is not available on this machine; allowed here: auto, cpu" in said.stdout
