"""The plan of a study: which jobs it has still to run, and how long they will take.

Each measurement counts its own work (`work`). How long one operation takes is measured with the study's own networks
and random images of its data's shape; or, for a GPU that is not there, it follows from floating-point operations
(`timing`).
"""

from __future__ import annotations

import importlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from wedgescape.cluster import internals
from wedgescape.cluster.timing import Bench
from wedgescape.errors import InputError
from wedgescape.landscapes.base import SPLITS
from wedgescape.landscapes.operations import Case, Data, PlainPython, Start, Work
from wedgescape.landscapes.strategies import choose_device
from wedgescape.study import losses
from wedgescape.study.catalogue import catalogue
from wedgescape.study.jobs import StudyJob, job_name
from wedgescape.study.places import TOY
from wedgescape.study.study import Study
from wedgescape.training import train

# What is known of published data without having them: (channels, rows, columns), classes, training and test examples.
SHAPES = {
    "digits": ((1, 8, 8), 10, 1437, 360),
    "diabetes": ((10,), 1, 353, 89),
    "mnist": ((1, 28, 28), 10, 60000, 10000),
    "fashion_mnist": ((1, 28, 28), 10, 60000, 10000),
    "cifar10": ((3, 32, 32), 10, 50000, 10000),
    "cifar100": ((3, 32, 32), 100, 50000, 10000),
}

SHORT_TRAINING = 60.0  # seconds
SHORT_TRIAL = 0.01  # seconds for which an operation is timed where a rough estimate is enough
FIGURE = 0.6  # of importing a script's libraries: what drawing a figure takes, measured on those of the smoke study


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
        return job_name(self.rule, self.wildcards)


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
    try:
        study, jobs, done = internals.planned_jobs(config_files, snakefile)
    except Exception as error:
        raise InputError(f"Snakemake cannot plan this study. {error}") from error
    return study, [_asked(job) for job in jobs], done


def _asked(job) -> Job:
    resources = internals.resources_of(job)
    memory, runtime, gpu = (resources.get(name) or 0 for name in ("mem_mb", "runtime", "gpu"))
    return Job(job.rule.name, dict(job.wildcards_dict), int(memory), int(runtime), bool(gpu))


def work_of(study: Study, data: Data, job: Job) -> Work:
    """Return what a job does, its start among it. A measurement counts its own work, in its file."""
    setting = job.wildcards.get("setting", study.base)
    case = Case(study, data, study.base if setting == TOY else setting, job.wildcards)
    start = Work({Start(): 1})
    if job.rule == "train":
        return start + train.work(case)
    file = catalogue().measurements.get(job.rule.removeprefix("measure_"))
    if job.rule.startswith("measure_") and file:
        module = importlib.import_module(file.module)
        given = {
            name: getattr(module, annotation)(**study.config[file.section(annotation)])
            for name, annotation in file.parameters("work").items()
            if annotation != "Case"
        }
        return start + module.work(case, **given)
    draws = job.rule.startswith("plot_") or job.rule == "judge_claims"
    return start + (Work({PlainPython(): FIGURE}) if draws else Work())


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
        from wedgescape.landscapes.tasks import outputs_of, shape_of

        store = load_dataset(study.config["dataset"], **wanted)
        shape, classes = shape_of(store), outputs_of(store, study.config["loss"])
        counts = [int((store["split"] == split).sum()) for split in SPLITS]
    counts = [min(count, wanted[f"{split}_examples"] or count) for split, count in zip(SPLITS, counts, strict=True)]
    plain = study.loss == losses.PLAIN
    return Data(shape, classes, dict(zip(SPLITS, counts, strict=True)), plain)


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
        chunks: in how many jobs the seeds of a setting are trained.
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
        InputError: if the device is not there.
    """
    data = data_of(study)
    works = [work_of(study, data, job) for job in jobs]
    device = torch.device("cpu") if tflops else choose_device(study.config["device"])
    bench = Bench(data, device, tflops and tflops * 1e12)
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


def quick_estimates(study: Study, jobs: Iterable[StudyJob], imports: float) -> dict[str, float]:
    """Estimate roughly, in seconds of this machine's time, how long jobs take, by trials that are as short as can be.

    Args:
        study: they belong to.
        jobs: of it.
        imports: seconds in which a Python imports what a job's script does.

    Returns:
        Job, as text -> seconds.
    """
    data = data_of(study)
    works = {job: work_of(study, data, Job(job.rule, dict(job.wildcards), 0, 0, False)) for job in jobs}
    bench = Bench(data, choose_device(study.config["device"]), trial=SHORT_TRIAL, imports=imports)
    wanted = sorted({one for work in works.values() for one in work}, key=lambda one: getattr(one, "model", ""))
    unit = {operation: bench.seconds(operation) for operation in wanted}
    return {str(job): sum(count * unit[one] for one, count in work.items()) for job, work in works.items()}


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
            yield f"{rule}: {len(over) - 3} more jobs of this rule also exceed their time limit."
    small = [(seconds, job) for job, seconds in plan.by_rule.get("train", []) if seconds < SHORT_TRAINING]
    if small:
        seconds, job = min(small, key=lambda one: one[0])
        advice = "raise seeds_per_job" if plan.chunks > 1 else "they hold all seeds of their settings already"
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
