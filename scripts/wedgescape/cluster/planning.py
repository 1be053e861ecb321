"""The plan of a study: which jobs it has still to run, and how long they will take.

A job's work is counted (`workloads`). How long one operation takes is measured, with the study's own networks and
random images of its data's shape; or, for a GPU that is not there, follows from its floating-point operations
(`operations`).
"""

from __future__ import annotations

import contextlib
import io
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from wedgescape.cluster.workloads import Case, work_of
from wedgescape.errors import InputError
from wedgescape.landscapes.base import SPLITS
from wedgescape.landscapes.networks import choose_device
from wedgescape.landscapes.operations import Bench, Data
from wedgescape.study.study import Study

# What is known of published data without having them: (channels, rows, columns), classes, training and test examples.
SHAPES = {
    "digits": ((1, 8, 8), 10, 1437, 360),
    "mnist": ((1, 28, 28), 10, 60000, 10000),
    "fashion_mnist": ((1, 28, 28), 10, 60000, 10000),
    "cifar10": ((3, 32, 32), 10, 50000, 10000),
    "cifar100": ((3, 32, 32), 100, 50000, 10000),
}

SHORT_TRAINING = 60.0  # seconds


@dataclass(frozen=True)
class Job:
    """A job that is to run, as Snakemake asks for it at the first attempt.

    Args:
        rule: its name.
        wildcards: name -> value.
        memory: MB.
        runtime: minutes; 0 for as long as it takes.
        gpu: whether it asks for one.
    """

    rule: str
    wildcards: dict[str, str]
    memory: int
    runtime: int
    gpu: bool

    def __str__(self) -> str:
        return " ".join([self.rule, *self.wildcards.values()])


def jobs_of(config_files: Sequence[str], snakefile: Path = Path("workflow/Snakefile")) -> tuple[Study, list[Job], int]:
    """Ask Snakemake what a study has still to run.

    Args:
        config_files: of the study, later ones over earlier ones; none for the default study.
        snakefile: of the workflow.

    Returns:
        The study, the jobs that are to run, and how many are done already.

    Raises:
        InputError: if Snakemake refuses the study, in its own words.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.cli import parse_args
    from snakemake.settings import types

    # What makes a result out of date is said in the workflow's own profile, which the command line reads.
    with contextlib.redirect_stderr(io.StringIO()):
        said = parse_args(["--snakefile", str(snakefile), "--cores", "1", "--dry-run"])[1]
    quiet = types.OutputSettings(quiet={types.Quietness.ALL})
    with SnakemakeApi(quiet) as api:
        try:
            workflow = api.workflow(
                resource_settings=types.ResourceSettings(cores=1),
                config_settings=types.ConfigSettings(configfiles=[Path(file) for file in config_files]),
                snakefile=snakefile,
            )
            triggers = {"rerun_triggers": said.rerun_triggers, "max_checksum_file_size": said.max_checksum_file_size}
            workflow.dag(types.DAGSettings(force_incomplete=said.rerun_incomplete, **triggers))
            # As the API's own inspections do; it has none that returns jobs.
            workflow._workflow._prepare_dag(forceall=False, ignore_incomplete=False, lock_warn_only=True)
            workflow._workflow._build_dag()
        except Exception as error:
            raise InputError(f"Snakemake cannot plan this study. {error}") from error
        dag, study = workflow._workflow.dag, workflow._workflow.globals["study"]
        to_run = set(dag.needrun_jobs())
        done = [job for job in dag.jobs if job not in to_run and job.output]
        order = {rule.name: place for place, rule in enumerate(workflow._workflow.rules)}
        to_run = sorted(to_run, key=lambda job: (order[job.rule.name], *job.wildcards_dict.values()))
        return study, [_asked(job) for job in to_run if job.output], len(done)


def _asked(job) -> Job:
    resources = job.rule.expand_resources(job.wildcards_dict, job.input, 1, skip_evaluation={"tmpdir"})
    memory, runtime, gpu = (resources.get(name) or 0 for name in ("mem_mb", "runtime", "gpu"))
    return Job(job.rule.name, dict(job.wildcards_dict), int(memory), int(runtime), bool(gpu))


def data_of(study: Study) -> Data:
    """Return the shape of a study's data: that of the published set, or of the user's own, which is read.

    Raises:
        InputError: if the user's own data cannot be read.
    """
    wanted = study.config["data"]
    if study.dataset in SHAPES and isinstance(study.config["dataset"], str):
        shape, classes, *counts = SHAPES[study.dataset]
    else:
        from wedgescape.data.datasets import load_dataset  # which reads nothing else from a network either

        store = load_dataset(study.config["dataset"], **wanted)
        shape, classes = tuple(store["images"].shape[1:]), int(store.attrs["classes"])
        counts = [int((store["split"] == split).sum()) for split in SPLITS]
    counts = [min(count, wanted[f"{split}_examples"] or count) for split, count in zip(SPLITS, counts, strict=True)]
    return Data(shape, classes, dict(zip(SPLITS, counts, strict=True)))


@dataclass(frozen=True)
class Plan:
    """What a study has still to run, and how long that takes.

    Args:
        study: its name.
        jobs: those that are to run.
        seconds: of each of them.
        done: how many are done already.
        source: where the seconds are from, a sentence.
        on_gpu: whether the seconds of jobs that ask for a GPU are those of one.
        chunks: in how many jobs the seeds of a point are trained.
    """

    study: str
    jobs: list[Job]
    seconds: list[float]
    done: int
    source: str
    on_gpu: bool
    chunks: int

    @cached_property
    def by_rule(self) -> dict[str, list[tuple[Job, float]]]:
        """Rule -> its jobs with their seconds, in the order in which rules first run."""
        found = defaultdict(list)
        for job, seconds in zip(self.jobs, self.seconds, strict=True):
            found[job.rule].append((job, seconds))
        return dict(found)


def plan(study: Study, jobs: Sequence[Job], done: int, tflops: float | None = None) -> Plan:
    """Estimate how long jobs take.

    Args:
        study: they belong to.
        jobs: that are to run (`jobs_of`).
        done: how many are done already.
        tflops: floating-point operations, in units of 10^12 a second, that a GPU is assumed to sustain; None measures
            on this machine, on the device that the config asks for.

    Raises:
        InputError: if a rule has no count, or the device is not there.
    """
    case = Case(study, data_of(study))
    works = [work_of(case, job.rule, job.wildcards) for job in jobs]
    device = torch.device("cpu") if tflops else choose_device(study.config["device"])
    bench = Bench(case.data, device, tflops and tflops * 1e12)
    wanted = sorted({operation for work in works for operation in work}, key=lambda one: getattr(one, "model", ""))
    unit = {operation: bench.seconds(operation) for operation in wanted}  # by network: images of one at a time
    seconds = [sum(count * unit[operation] for operation, count in work.items()) for work in works]
    source = f"Unit times measured on this machine's {device.type}, one thread, on random data of the data's shape."
    if tflops:
        source = (
            f"Networks: floating-point operations counted, at an assumed {tflops:g}e12 a second; the rest measured."
        )
    chunks = len(study.seed_chunks)
    return Plan(study.name, list(jobs), seconds, done, source, bool(tflops) or device.type != "cpu", chunks)


def warnings_of(plan: Plan) -> Iterator[str]:
    """Yield what is worth a change before anything is submitted: time limits too short, jobs too small."""
    for rule, jobs in plan.by_rule.items():
        over = [(job, seconds) for job, seconds in jobs if 0 < 60 * job.runtime < seconds]
        for job, seconds in over[:3]:
            yield (
                f"{job}: {seconds / 60:.1f} minutes, but the rule's runtime is {job.runtime} at the first attempt. "
                f"Raise it: --set-resources {rule}:runtime={math.ceil(seconds / 30)}"
            )
        if len(over) > 3:
            yield f"{rule}: so have {len(over) - 3} more of its jobs."
    small = [(seconds, job) for job, seconds in plan.by_rule.get("train", []) if seconds < SHORT_TRAINING]
    if small:
        seconds, job = min(small, key=lambda one: one[0])
        advice = "raise seeds_per_job" if plan.chunks > 1 else "they hold all seeds of their points already"
        yield f"train: {len(small)} jobs of under a minute, the shortest {seconds:.0f} s, {job}: {advice}."


def as_text(plan: Plan, cores: int) -> str:
    """Return a plan as a table of rules, its totals and its warnings.

    Args:
        plan: of a study.
        cores: over which the wall time is divided.
    """
    done = f"{plan.done} jobs are done already."
    if not plan.jobs:
        return f"{plan.study}: nothing is left to do; {done}"
    rows = [
        ("rule", "jobs", "minutes a job", "at most", "minutes", "MB a job", *(["GPU hours"] if plan.on_gpu else []))
    ]
    for rule, jobs in plan.by_rule.items():
        seconds = [spent for _job, spent in jobs]
        numbers = [sum(seconds) / len(seconds) / 60, max(seconds) / 60, sum(seconds) / 60]
        gpu = [f"{sum(spent for job, spent in jobs if job.gpu) / 3600:.2f}"] if plan.on_gpu else []
        memory = max(job.memory for job, _spent in jobs)
        rows.append((rule, str(len(jobs)), *(f"{number:.2f}" for number in numbers), str(memory), *gpu))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    total, on_gpu = sum(plan.seconds), sum(s for job, s in zip(plan.jobs, plan.seconds, strict=True) if job.gpu)
    longest = max(plan.seconds)
    hours = f"{total / 3600:.2f} core hours"
    if plan.on_gpu:
        hours = f"{on_gpu / 3600:.2f} GPU hours, and {(total - on_gpu) / 3600:.2f} core hours without one"
    wall = max(total / cores, longest) / 60
    lines += ["", f"{plan.study}: {len(plan.jobs)} jobs; {done}"]
    lines += [
        f"{hours}; about {wall:.0f} minutes with {cores} jobs at a time. The estimate may be wrong by a factor of 2."
    ]
    lines += [plan.source, *(f"Warning: {text}" for text in warnings_of(plan))]
    return "\n".join(lines)
