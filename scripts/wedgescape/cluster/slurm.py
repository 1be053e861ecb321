"""What is asked of Slurm itself: whether it would take a study's jobs, and which of them an earlier run left behind.

Submitting and watching jobs is Snakemake's work, through its executor plugin.
"""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from wedgescape.cluster import internals
from wedgescape.errors import InputError

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")  # Snakemake's; a prefix may stand before it
log = logging.getLogger("wedgescape")


def _check_commands() -> None:
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        raise InputError(
            f"Slurm: found no command {', '.join(missing)}. Start where Slurm takes jobs, such as on a cluster's login "
            "node; or run on this machine alone: snakemake --cores 2"
        )


def _ask(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)


def _errors(done: subprocess.CompletedProcess) -> str:
    lines = [re.sub(r"^(s\w+: error|allocation failure): ", "", line) for line in done.stderr.splitlines()]
    return "; ".join(line for line in lines if line.strip())


def preflight(workflow, study: str) -> Iterator[str]:
    """Ask Slurm whether it takes the jobs that Snakemake is about to submit; yield what is worth a warning.

    Args:
        workflow: Snakemake's, about to start.
        study: its name.

    Raises:
        InputError: if Python's path has a space, or Slurm would refuse a job at its first attempt, or holds jobs of an
            earlier run of the study.
    """
    if " " in sys.executable:
        raise InputError(
            f"Slurm: Snakemake cannot submit jobs with {sys.executable}, because there is a space in this path. Move "
            "the project to a path without one, delete .venv and run `make` again"
        )
    jobs, settings = internals.submitted_jobs(workflow), workflow.executor_settings
    check_requests(jobs, settings)
    check_none_left(study, Path.cwd(), workflow.configfiles)
    try:
        check_requests(jobs, settings, internals.attempts(workflow))
    except InputError as error:
        yield f"A job's last attempt would be in vain. {error}"


# Whether jobs would be taken


def check_requests(jobs: Iterable, settings, attempt: int = 1) -> None:
    """Ask Slurm whether it would take every job; `sbatch --test-only` says so and submits nothing.

    Args:
        jobs: Snakemake's, those that are to be submitted.
        settings: of Snakemake's Slurm executor.
        attempt: which one, for what grows with it.

    Raises:
        InputError: if Slurm is not there or would refuse a job; it names the rules, what they ask for and why not.
    """
    _check_commands()
    rules = defaultdict(set)
    for job in jobs:
        rules[_request(job, settings, attempt)].add(job.rule.name)
    refused = {request: reason for request in rules if (reason := _refusal(request))}
    if refused:
        lines = [f"{', '.join(sorted(rules[request]))}: {request}: {reason}" for request, reason in refused.items()]
        if any("--gpus" in request for request in refused):
            lines.append("On a cluster without GPUs, set `device: cpu` in the config, or add --config device=cpu.")
        raise InputError("\n  ".join([f"Slurm would refuse these jobs at attempt {attempt}:", *lines]))


def _request(job, settings, attempt: int) -> str:
    """Return what the executor would ask of sbatch for a job, without what is the same for all jobs."""
    from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string

    resources = internals.resources_of(job, attempt)
    asking = SimpleNamespace(name=job.name, threads=job.threads, resources=resources)
    partition, account = resources.get("slurm_partition"), resources.get("slurm_account")
    if not partition and settings.partition_config:
        partition = get_best_partition(read_partition_file(settings.partition_config), asking, log)
    named = {
        "partition": f"--partition={shlex.quote(str(partition))}" if partition else "",
        "account": f"--account={shlex.quote(str(account))}" if account else "",
        **{"run_uuid": "", "slurm_logfile": "", "comment_str": "", "workdir": None},
    }
    words = shlex.split(get_submit_command(asking, named, settings) + set_gres_string(asking))
    common = {"sbatch", "--parsable", "--job-name", "--output", "--comment", "", "--export=ALL", "--requeue"}
    return shlex.join(word for word in words if word not in common)


def _refusal(request: str) -> str:
    """Return why Slurm would refuse a request; empty if it would not."""
    done = _ask("sbatch", "--test-only", *shlex.split(request), "--wrap=true")
    return _errors(done) if done.returncode else ""


# What an earlier run left behind


@dataclass(frozen=True)
class QueuedJob:
    """A job of this workflow that Slurm holds.

    Args:
        number: Slurm's.
        run: the name that all jobs of one run of Snakemake have; it ends in the run's id.
        state: Slurm's word, such as RUNNING.
        what: the rule and its wildcards.
    """

    number: str
    run: str
    state: str
    what: str


def queued(folder: str | Path) -> list[QueuedJob]:
    """Return the jobs that runs of Snakemake in this folder have submitted and that have not ended.

    Raises:
        InputError: if Slurm is not there or does not answer.
    """
    _check_commands()
    done = _ask("squeue", "--me", "--noheader", "--format=%i|%j|%T|%Z|%k")
    if done.returncode:
        raise InputError(f"Slurm does not answer: {_errors(done)}")
    rows = [line.split("|", 4) for line in done.stdout.splitlines()]
    return [
        QueuedJob(number, name, state, what.removeprefix("rule_").replace("_wildcards_", " "))
        for number, name, state, place, what in rows
        if place == str(Path(folder).resolve()) and RUN_ID.search(name)
    ]


def check_none_left(study: str, folder: str | Path, config_files: Sequence[str | Path]) -> None:
    """Make sure that no job of this study from an earlier run is under way, which would then be done twice.

    Args:
        study: its name.
        folder: in which Snakemake runs.
        config_files: of this run, which tell for a job that reads no result whose it is.

    Raises:
        InputError: if there are some; it says how to wait for them or to cancel them.
    """
    marks = [f"results/{study}/", *map(str, config_files)]
    left = [job for job in queued(folder) if any(mark in _script(job.number) for mark in marks)]
    if left:
        lines = [f"{job.number} {job.state.lower()}: {job.what} (run {job.run})" for job in left]
        raise InputError(
            "\n  ".join(
                [
                    f"An earlier run of the study {study} has jobs in Slurm's queue, which would be done twice:",
                    *lines,
                    "Wait for them (make orphans DO=wait) or cancel them (make orphans DO=cancel), then run again.",
                ]
            )
        )


def _script(number: str) -> str:
    """Return the script of a job, which names its inputs and config files; empty for a job that has just ended."""
    return _ask("scontrol", "write", "batch_script", number, "-").stdout


def cancel(runs: Iterable[str]) -> None:
    """Cancel all jobs of runs of Snakemake; a training keeps its last step.

    Raises:
        InputError: if Slurm does not.
    """
    for run in sorted(set(runs)):
        done = _ask("scancel", "--me", f"--name={run}")
        if done.returncode:
            raise InputError(f"Slurm did not cancel the jobs of run {run}: {_errors(done)}")
