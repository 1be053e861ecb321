"""The only module that uses what Snakemake does not promise to keep: parts of its workflow, rules and jobs.

Each function says what it needs and why the public interface has no such thing. They were tried with Snakemake 9.27.1,
which the Snakefile asks for. (Where the workflow's own files are, `workflow/rules/sources.smk` has to find out before
this module can be imported.)
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from wedgescape.study.jobs import job_name


def own_rules(workflow) -> list:
    """Return the rules that this workflow has defined so far, not those of a workflow that imports it."""
    return list(workflow.modifier.rules)


def files_of(rules: Sequence) -> list[str]:
    """Return the outputs and inputs of those rules whose files need no wildcards."""
    return [path for rule in rules if not rule.has_wildcards() for path in (*rule.output, *rule.input)]


def with_prefix(workflow, path: str) -> str:
    """Return where a result lies: a workflow that imports this one may put a prefix before it."""
    return workflow.modifier.path_modifier.replace_prefix(path)


def is_main(workflow) -> bool:
    """Return whether this process decides what runs, rather than running one job."""
    return workflow.is_main_process


def config_files(workflow) -> list[str]:
    """Return the config files that were read so far: those of the command line, and those that a Snakefile names."""
    return [str(file) for file in workflow.configfiles]


def command_line_config(workflow) -> dict:
    """Return what `--config` on the command line says; there, what is below a key is read as text."""
    return dict(workflow.config_settings.config)


def has_config_file(workflow, config: dict) -> bool:
    """Return whether the config comes from a file: of the command line, or of a Snakefile that includes this one."""
    return bool(workflow.overwrite_configfiles) or config != workflow.config_settings.overwrite_config


def wants_apptainer(workflow) -> bool:
    """Return whether the command line asks for `--sdm apptainer`."""
    return any(method.name == "APPTAINER" for method in workflow.deployment_settings.deployment_method)


def give_environment(workflow, folder, path: str) -> None:
    """Give every rule of this workflow a conda environment, for `--sdm conda`.

    A global `container:` serves all rules; a global `conda:` would serve the Snakefile alone. Rules of an importing
    workflow keep what they chose.

    Args:
        workflow: Snakemake's.
        folder: in which this workflow's rules are.
        path: of the environment, from there.
    """
    for rule in own_rules(workflow):
        if rule.basedir == folder and rule.conda_env is None:
            rule.conda_env = path


def on_slurm(workflow) -> bool:
    """Return whether Slurm runs the jobs."""
    return workflow.executor_plugin.name == "slurm"


def on_this_machine(workflow) -> bool:
    """Return whether this machine runs the jobs."""
    return workflow.executor_plugin.name == "local"


def jobs_to_run(workflow) -> tuple[list[str], int]:
    """Return the jobs that make something and are to run, as text, and how many there are with those that are done."""
    to_run = [job for job in workflow.dag.needrun_jobs() if job.output]
    every = sum(1 for job in workflow.dag.jobs if job.output)
    return [job_name(job.rule.name, job.wildcards_dict) for job in to_run], every


def submitted_jobs(workflow) -> list:
    """Return the jobs that are to be submitted, in an order in which they can run."""
    needed = set(workflow.dag.needrun_jobs())
    return [job for layer in workflow.dag.toposorted(needed) for job in sorted(layer, key=str) if not job.is_local]


def attempts(workflow) -> int:
    """Return how often a job is tried at most."""
    return workflow.execution_settings.retries + 1


def resources_of(job, attempt: int = 1) -> dict:
    """Return what a job asks for at an attempt."""
    return job.rule.expand_resources(job.wildcards_dict, job.input, attempt, skip_evaluation={"tmpdir"})


def quote_interpreter() -> None:
    """Let scripts start where the path of Python has a space.

    Snakemake does not quote that path, and its executors offer no say in how a script starts.
    """
    from snakemake.script import PythonScript

    before = PythonScript._execute_cmd

    def execute(self, command, **given):
        return before(self, command.replace("{py_exec}", "{py_exec:q}"), **given)

    PythonScript._execute_cmd = execute


def start_scripts_with(workflow, start) -> None:
    """Let `start` (as `warm_starts.start`) run the scripts of this workflow's jobs on this machine.

    Jobs in a conda environment, an image or a module's environment, jobs on a cluster, those of a workflow that
    imports this one, and those that `start` cannot start (OSError) run as before. Snakemake offers its executors no
    say in how a script starts.
    """
    from snakemake.logging import logger
    from snakemake.script import PythonScript
    from snakemake.shell import shell

    before, own = PythonScript.execute_script, workflow.modifier.rules  # which grows while the rules are read

    def execute_script(self, fname, edit=False):
        elsewhere = (self.container_img, self.conda_env, self.env_modules, self.shadow_dir)
        here = workflow.is_main_process and on_this_machine(workflow)
        ours = any(rule.name == self.rulename for rule in own)
        if edit or not (here and ours) or any(elsewhere) or self.resources.get("shell_exec"):
            return before(self, fname, edit)
        folder = self.resources.get("tmpdir")
        names = ("TMPDIR", "TMP", "TEMPDIR", "TEMP") if folder else ()
        try:
            process = start(fname, self.threads, dict.fromkeys(names, folder))
        except OSError as fault:  # among others a temporary folder whose name is too long for a socket
            logger.debug(f"{self.rulename}: its script starts on its own, for no process could be forked ({fault})")
            return before(self, fname, edit)
        with shell._lock:
            shell._processes[self.jobid] = process
        wait_for(process, self.bench_record)
        with shell._lock:
            shell._processes.pop(self.jobid, None)
        if process.exitcode:
            raise subprocess.CalledProcessError(process.exitcode, f"{sys.executable} {fname}")

    PythonScript.execute_script = execute_script


def wait_for(process, record=None) -> None:
    """Wait for a process that was forked, and fill a benchmark record of Snakemake's meanwhile.

    A short job may be over before anyone looks at it. Snakemake would take that for a fault.
    """
    from psutil import NoSuchProcess
    from snakemake.benchmark import benchmarked

    begun = time.time()
    with contextlib.ExitStack() as watching:
        if record:
            with contextlib.suppress(NoSuchProcess):
                # Every half second at first, and then every four: a look takes 9 ms, and another core is seldom idle.
                watching.enter_context(benchmarked(process.pid, record, interval=4))
        process.join()
    if record and record.running_time is None:
        record.running_time, record.process_gone = time.time() - begun, True


def unfinished_files(folder: Path) -> dict[str, float]:
    """Return the results that jobs have begun and not finished: path -> since when, in seconds since 1970.

    Snakemake tells of them only by refusing to run. It marks each with a file, whose name is the path in base 64.

    Args:
        folder: Snakemake's own, `.snakemake`.
    """
    found = {}
    for mark in sorted((folder / "incomplete").rglob("*")):
        with contextlib.suppress(OSError, ValueError):  # one that has just gone, or that is none
            if mark.is_file():
                parts = [part.removeprefix("@") for part in mark.relative_to(folder / "incomplete").parts]
                found[base64.urlsafe_b64decode("".join(parts)).decode()] = mark.stat().st_mtime
    return found


def is_locked(folder: Path) -> bool:
    """Return whether a run holds the lock: one is under way, or was killed and could not give it back."""
    return any((folder / "locks").glob("*.lock"))


def runs_here() -> bool:
    """Return whether a process of this machine runs Snakemake in this folder. Snakemake's lock names none."""
    import psutil  # which Snakemake requires

    here = os.getcwd()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            if any(Path(word).name == "snakemake" for word in words[:3]) and process.cwd() == here:
                return True
    return False


def merged_config(files: Sequence[str], entries: Sequence[str] = ()) -> dict:
    """Return a config as Snakemake merges it: later files over earlier ones, entries of `--config` over all.

    Args:
        files: of the study.
        entries: such as `study=other`. Snakemake's command line reads them, which takes seconds to import.
    """
    import yaml
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config

    config: dict = {}
    for file in files:
        update_config(config, load_configfile(file))
    for key, _, value in (entry.partition("=") for entry in entries):
        update_config(config, {key: yaml.safe_load(value)})
    return config


def planned_jobs(config_files: Sequence[str], snakefile: Path) -> tuple[object, list, int]:
    """Return a study as its Snakefile reads it, the jobs that it has still to run, and how many are done.

    Snakemake's API has no call that returns jobs.

    Args:
        config_files: of the study, later ones over earlier ones.
        snakefile: of the workflow.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.cli import parse_args
    from snakemake.settings import types

    # The workflow's own profile, which the command line reads, says what makes a result out of date.
    with contextlib.redirect_stderr(io.StringIO()):
        said = parse_args(["--snakefile", str(snakefile), "--cores", "1", "--dry-run"])[1]
    quiet = types.OutputSettings(quiet={types.Quietness.ALL})
    with SnakemakeApi(quiet) as api:
        workflow = api.workflow(
            resource_settings=types.ResourceSettings(cores=1),
            config_settings=types.ConfigSettings(configfiles=[Path(file) for file in config_files]),
            snakefile=snakefile,
        )
        triggers = {"rerun_triggers": said.rerun_triggers, "max_checksum_file_size": said.max_checksum_file_size}
        workflow.dag(types.DAGSettings(force_incomplete=said.rerun_incomplete, **triggers))
        inner = workflow._workflow
        inner._prepare_dag(forceall=False, ignore_incomplete=False, lock_warn_only=True)
        inner._build_dag()
        to_run = set(inner.dag.needrun_jobs())
        done = [job for job in inner.dag.jobs if job not in to_run and job.output]
        order = {rule.name: place for place, rule in enumerate(inner.rules)}
        in_order = sorted(to_run, key=lambda job: (order[job.rule.name], *job.wildcards_dict.values()))
        return inner.globals["study"], [job for job in in_order if job.output], len(done)
