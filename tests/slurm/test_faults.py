"""Whatever happens to jobs, daemons and Snakemake itself: complete, correct results, and no work done twice."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import bring_up, queue, wait_for

STATE = Path("/tmp/wedgescape-slurm")


def continued(log: str) -> int:
    """The step that a training went on from."""
    return int(re.search(r"Going on from step (\d+)", log)[1])


def other(job: str) -> str:
    return {"0-1": "2-3", "2-3": "0-1"}[job]


def seeds_of(number: str) -> str:
    """The seeds of a training's job."""
    return next(re.search(r"_(\d-\d)$", job["what"])[1] for job in queue() if job["number"] == number)


def daemon(name: str) -> int:
    return int((STATE / f"{name}.pid").read_text())


def test_a_cancelled_training_goes_on_from_its_last_step(study, complete):
    run = study.start()
    number = run.until_training()
    seeds = seeds_of(number)
    subprocess.run(["scancel", number], check=True)
    assert run.ends() == 0, run.said.read_text()
    complete(study)
    assert continued(study.log(seeds)) > 0
    assert "Going on" not in study.log(other(seeds))
    assert study.jobs() == {"train": 3, "measure_tunnels": 1}


def test_a_training_that_is_preempted_is_queued_again_and_goes_on(study, complete):
    run = study.start()
    number = run.until_training()
    seeds = seeds_of(number)
    subprocess.run(["scontrol", "requeue", number], check=True)
    # Slurm lets a job that was queued again wait for two minutes; the test does not.
    wait_for(lambda: any(job["number"] == number and job["state"] == "PENDING" for job in queue()))
    subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=True)
    assert run.ends() == 0, run.said.read_text()
    complete(study)
    assert continued(study.log(seeds)) > 0
    assert study.jobs() == {"train": 2, "measure_tunnels": 1}  # under the same number


def test_a_job_that_lacked_memory_is_given_more(study, complete):
    run = study.start("--set-resources", "train:mem_mb=300 * attempt**2")
    assert run.ends() == 0, run.said.read_text()
    complete(study)
    assert study.jobs() == {"train": 4, "measure_tunnels": 1}
    logs = study.project.folder.glob(".snakemake/slurm_logs/rule_train/*/*.log")
    assert sum("memory limit" in log.read_text() for log in logs) == 2


def test_a_training_that_hits_its_time_limit_goes_on(study, complete):
    """Slurm's limits are minutes: the training stands still until Slurm wakes it to tell it that its time is over."""
    run = study.start("--set-resources", "train:runtime=attempt")
    number = run.until_training()
    seeds = seeds_of(number)
    subprocess.run(["scancel", "--signal=STOP", number], check=True)
    assert run.ends() == 0, run.said.read_text()
    complete(study)
    assert "TIMEOUT" in run.said.read_text()
    assert continued(study.log(seeds)) > 0
    assert study.jobs() == {"train": 3, "measure_tunnels": 1}


def test_a_controller_that_is_down_for_a_while_does_no_harm(study, complete):
    run = study.start()
    run.until_training()
    subprocess.run(["kill", str(daemon("slurmctld"))], check=True)
    time.sleep(40)
    bring_up()
    assert run.ends() == 0, run.said.read_text()
    complete(study)
    assert study.jobs() == {"train": 2, "measure_tunnels": 1}


def test_a_node_whose_daemon_was_killed_finishes_its_jobs(study, complete):
    run = study.start()
    run.until_training()
    subprocess.run(["kill", "-9", str(daemon("slurmd"))], check=True)
    time.sleep(5)
    bring_up()
    assert run.ends() == 0, run.said.read_text()
    complete(study)
    assert study.jobs() == {"train": 2, "measure_tunnels": 1}


def test_snakemake_that_gets_sigterm_lets_its_jobs_end_and_the_next_run_goes_on(study, complete):
    run = study.start()
    run.until_training()
    run.kill(signal.SIGTERM)
    assert run.ends() != 0
    assert not queue()
    assert study.jobs() == {"train": 2}
    assert study.start().ends() == 0
    complete(study)
    assert study.jobs() == {"train": 2, "measure_tunnels": 1}


def to_all_jobs(number: str) -> None:
    subprocess.run(["scancel", f"--signal={number}", *(job["number"] for job in queue())], check=True)


def orphans(study, do: str) -> str:
    command = [sys.executable, "scripts/orphans.py", do]
    return subprocess.run(command, cwd=study.project.folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("do", ["wait", "cancel"])
def test_snakemake_that_is_killed_leaves_jobs_that_are_found(study, complete, do):
    run = study.start()
    wait_for(lambda: len([job for job in queue() if job["state"] == "RUNNING"]) == 2)
    run.until_training()
    to_all_jobs("STOP")  # so that they last until they were looked for
    run.kill(signal.SIGKILL)
    run.ends()
    study.project.snakemake("--unlock", "--configfile", "fault.yaml")
    again = study.start()
    assert again.ends() != 0
    said = again.said.read_text()
    assert "An earlier run of the study fault has jobs in Slurm's queue, which would be done twice" in said
    assert said.count("stopped: train lr~0.05") == 2
    assert "make orphans DO=wait" in said
    assert study.jobs().total() == 2  # the run that was refused submitted nothing
    assert orphans(study, "list").count("train lr~0.05") == 2
    to_all_jobs("CONT")
    orphans(study, do)
    assert not queue()
    assert orphans(study, "list") == "No job of this folder is in Slurm's queue.\n"
    run = study.start()
    assert run.ends() == 0, run.said.read_text()
    complete(study)
    again = 0 if do == "wait" else 2
    assert study.jobs() == {"train": 2 + again, "measure_tunnels": 1}
    assert all(("Going on from step" in study.log(seeds)) == (do == "cancel") for seeds in ("0-1", "2-3"))
