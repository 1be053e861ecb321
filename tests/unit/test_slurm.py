"""What is asked of Slurm, answered by commands that only pretend; tests/slurm asks a real one."""

import os
import stat
from types import SimpleNamespace

import pytest

from wedgescape.cluster import slurm
from wedgescape.errors import InputError

RUN = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
OTHER = "ffffffff-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Return a function that puts a command on the path; nothing else of Slurm's is there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(slurm.shutil, "which", lambda name: name if (folder / name).exists() else None)

    def put(name: str, script: str) -> None:
        command = folder / name
        command.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/asked.txt\n{script}\n')
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

    for name in slurm.COMMANDS:
        put(name, "true")
    return put


@pytest.fixture
def asked(tmp_path):
    """Return a function that tells how a command was called."""
    asked = tmp_path / "asked.txt"
    return lambda command: [line for line in asked.read_text().splitlines() if line.split()[0] == command]


class Resources(dict):
    """What Snakemake's are like: items are attributes too."""

    __getattr__ = dict.__getitem__


def job(rule: str, **resources):
    """A job of Snakemake's, whose memory grows with the attempt."""

    def expand(wildcards, inputs, attempt, skip_evaluation):
        return Resources({"mem_mb": 100 * attempt, "runtime": 5} | resources)

    asks = SimpleNamespace(name=rule, expand_resources=expand)
    return SimpleNamespace(rule=asks, name=rule, threads=1, wildcards_dict={}, input=[])


@pytest.fixture
def settings():
    from snakemake_executor_plugin_slurm import ExecutorSettings

    return ExecutorSettings()


def test_equal_requests_are_asked_once(commands, asked, settings):
    slurm.check_requests([job("train"), job("train"), job("measure_tunnels"), job("train", runtime=6)], settings)
    assert len(asked("sbatch")) == 2
    assert all(line.startswith("sbatch --test-only ") and line.endswith("--wrap=true") for line in asked("sbatch"))
    assert "--mem 100" in asked("sbatch")[0]


def test_a_later_attempt_asks_for_more(commands, asked, settings):
    slurm.check_requests([job("train")], settings, attempt=3)
    assert "--mem 300" in asked("sbatch")[0]


def test_a_refusal_names_rules_request_and_reason(commands, settings):
    commands("sbatch", 'case "$*" in *--gpus*) echo "allocation failure: No such node" >&2; exit 1;; esac')
    jobs = [job("train", gpu=1), job("measure_tunnels", gpu=1), job("measure_wedges")]
    with pytest.raises(InputError, match="attempt 1") as told:
        slurm.check_requests(jobs, settings)
    _, second, hint = str(told.value).splitlines()
    assert second.startswith("  measure_tunnels, train: ")
    assert "--gpus=1" in second
    assert second.endswith(": No such node")
    assert "device: cpu" in hint
    assert "measure_wedges" not in str(told.value)


def test_the_hint_at_the_cpu_is_for_gpus_alone(commands, settings):
    commands("sbatch", "echo 'sbatch: error: Too much memory' >&2; exit 1")
    with pytest.raises(InputError, match=r"train: .*: Too much memory$"):
        slurm.check_requests([job("train")], settings)


def test_the_commands_that_are_missing_are_named(commands, settings, tmp_path):
    (tmp_path / "bin/sbatch").unlink()
    (tmp_path / "bin/sinfo").unlink()
    with pytest.raises(InputError, match="found no command sbatch, sinfo"):
        slurm.check_requests([job("train")], settings)
    with pytest.raises(InputError, match="found no command sbatch, sinfo"):
        slurm.queued(tmp_path)


@pytest.fixture
def queue(commands, tmp_path):
    """Slurm's queue: two jobs of a run in this folder, one of another folder, and one that is not Snakemake's."""
    lines = [
        f"1|{RUN}|RUNNING|{tmp_path}|rule_train_wildcards_point_0-1",
        f"2|mine_{RUN}|PENDING|{tmp_path}|rule_measure_wedges",
        f"3|{OTHER}|RUNNING|{tmp_path}/elsewhere|rule_train_wildcards_point_0-1",
        f"4|interactive|RUNNING|{tmp_path}|",
    ]
    commands("squeue", "\n".join(f"echo '{line}'" for line in lines))


def test_jobs_of_this_folder_are_found(queue, tmp_path):
    assert slurm.queued(tmp_path) == [
        slurm.QueuedJob("1", RUN, "RUNNING", "train point_0-1"),
        slurm.QueuedJob("2", f"mine_{RUN}", "PENDING", "measure_wedges"),
    ]


def test_jobs_of_a_folder_are_found_through_a_link(queue, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    assert len(slurm.queued(tmp_path / "link")) == 2


def test_a_controller_that_does_not_answer_is_told(commands, tmp_path):
    commands("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(InputError, match=r"Slurm does not answer: .*Unable to contact"):
        slurm.queued(tmp_path)


def test_only_jobs_of_the_same_study_are_in_the_way(queue, commands, tmp_path):
    commands("scontrol", 'case "$3" in 1) echo results/mine/weights;; 2) echo "--configfiles mine.yaml";; esac')
    with pytest.raises(InputError, match="study mine") as told:
        slurm.check_none_left("mine", tmp_path, ["mine.yaml"])
    assert "1 running: train point_0-1" in str(told.value)
    assert "2 pending: measure_wedges" in str(told.value)
    assert "make orphans DO=wait" in str(told.value)
    slurm.check_none_left("other", tmp_path, ["other.yaml"])


def test_runs_are_cancelled_by_their_names_once(commands, asked):
    slurm.cancel([RUN, OTHER, RUN])
    assert asked("scancel") == [f"scancel --me --name={RUN}", f"scancel --me --name={OTHER}"]


def test_a_run_that_is_not_cancelled_is_told(commands):
    commands("scancel", "echo 'scancel: error: Access denied' >&2; exit 1")
    with pytest.raises(InputError, match=f"{RUN}: .*Access denied"):
        slurm.cancel([RUN])


def test_a_python_in_a_path_with_a_space_is_refused_before_slurm_is_asked(commands, tmp_path, monkeypatch):
    workflow = SimpleNamespace()  # has nothing that could be submitted
    monkeypatch.setattr(slurm.sys, "executable", "/home/a b/.venv/bin/python")
    with pytest.raises(InputError, match="cannot submit jobs with /home/a b/"):
        list(slurm.preflight(workflow, "digits"))
    assert not (tmp_path / "asked.txt").exists()
