"""How far a study is, in words: `make status`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from wedgescape.cluster import internals
from wedgescape.cluster.progress import (
    Progress,
    Remaining,
    in_words,
    last_line,
    progress_of,
    read_estimates,
    took,
)
from wedgescape.study.study import Study

LISTED = 8  # jobs of one state


def as_text(study: Study, cores: int) -> str:
    """Return how far a study is, in a few lines.

    Args:
        study: to look at; only files are read.
        cores: how many jobs run at a time, if that cannot be seen.
    """
    progress = progress_of(study)
    seen = Counter(progress.states.values())
    total = len(progress.states)
    counts = ", ".join(f"{seen[state]} {state}" for state in ("done", *_rest(seen)))
    lines = [f"{study.name}: {total} jobs: {counts}"]
    for state in ("running", "waiting", "failed", "stopped"):
        jobs = progress.of(state)
        lines += [f"  {state}: {job}{_said(progress, job, state)}" for job in jobs[:LISTED]]
        lines += [f"  {state}: {len(jobs) - LISTED} more"] if len(jobs) > LISTED else []
    if not progress.to_do:
        return "\n".join([*lines, f"All is done: {progress.layout.results}/report.html"])
    return "\n".join([*lines, *_outlook(study, progress, cores), _run(seen["running"] + seen["waiting"])])


def _rest(seen: Counter) -> list[str]:
    """Name the states to count: what is left always, the others where there are some."""
    return [state for state in ("running", "waiting", "stopped", "failed", "left") if seen[state] or state == "left"]


def _said(progress: Progress, job, state: str) -> str:
    log = Path(progress.layout.results, job.log)
    said = last_line(log)
    where = f" (log: {log})" if state == "failed" else ""
    return f"{where}: {said}" if said else where


def _outlook(study: Study, progress: Progress, cores: int) -> list[str]:
    remaining = Remaining(read_estimates(study.name))
    for job, seconds in took(progress.layout, progress.of("done")).items():
        remaining.finished(job, seconds)
    together = max(cores, len(progress.of("running")))
    seconds = remaining.seconds(map(str, progress.to_do), together)
    if seconds is None:
        return ["How long that takes is not known yet: no job is done, and `make plan` has not been asked."]
    return [f"About {in_words(seconds)} left with {together} jobs at a time; this may be wrong by a factor of 2."]


def _run(under_way: int) -> str:
    """Say whether a run is under way, as far as files and this machine's processes tell."""
    if internals.runs_here():
        return "A run is under way on this machine."
    if not internals.is_locked(Path(".snakemake")):
        return "No run is under way. `make` goes on from here."
    return (
        "A run holds the lock of this folder, and no process of this machine is it. Either it is on another machine, "
        "or it was killed; then `.venv/bin/snakemake --unlock` and `make` go on from here."
    )
