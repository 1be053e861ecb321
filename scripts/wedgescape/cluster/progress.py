"""How far a study is, from files alone: what is done, running, failed or left, and about how long it will take.

Nothing is locked, changed or asked of Snakemake or a cluster. So this works beside a run, after one that was killed,
and for jobs on other machines, as soon as their files are seen here.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wedgescape.cluster import internals
from wedgescape.provenance.determinants import Determinants
from wedgescape.provenance.file_sums import FileSums
from wedgescape.provenance.fingerprints import Fingerprints
from wedgescape.stores.whole_files import whole_file
from wedgescape.study.catalogue import catalogue
from wedgescape.study.jobs import StudyJob, jobs_of
from wedgescape.study.layout import Layout
from wedgescape.study.rules import load_rules
from wedgescape.study.study import Study

REPOSITORY = Path(__file__).parents[3]
NOTES = Path(".snakemake/wedgescape")  # they only save time
STATES = ("done", "running", "waiting", "stopped", "failed", "left")
STOPPED = "stopped by"  # in the last line of the log of a job that did not fail by itself
PRIOR = 20.0  # seconds: an estimate counts as if it had proved right for so long


@dataclass(frozen=True)
class Progress:
    """The jobs of a study and how far they are.

    Args:
        layout: of the study.
        states: job -> one of `STATES`, in an order in which they can run.
    """

    layout: Layout
    states: dict[StudyJob, str]

    def of(self, *states: str) -> list[StudyJob]:
        """Return the jobs that are in one of these states."""
        return [job for job, state in self.states.items() if state in states]

    @property
    def to_do(self) -> list[StudyJob]:
        """The jobs that are not done."""
        return [job for job, state in self.states.items() if state != "done"]


def progress_of(study: Study) -> Progress:
    """Look how far a study is.

    Args:
        study: in the folder from which Snakemake runs it.
    """
    layout = Layout(study, catalogue())
    fingerprints = Fingerprints(NOTES / "fingerprints.json")
    fingerprints.file = None  # what is computed about the code is kept by Snakemake's own run alone
    determined = _determined(layout, Determinants(layout, fingerprints, _script, FileSums(None)))
    begun = internals.unfinished_files(Path(".snakemake"))
    alive = internals.is_locked(Path(".snakemake"))
    jobs = jobs_of(layout)
    put_away = {job for job in jobs if job.rule == "train" and not Path(job.makes[0]).parent.exists()}
    stale = {job for job in jobs if job not in put_away and not _is_complete(job, layout, determined[job])}
    left = _with_what_follows(jobs, stale, put_away)
    return Progress(layout, {job: _state(job, layout, begun, alive) if job in left else "done" for job in jobs})


def _with_what_follows(jobs: list[StudyJob], stale: set[StudyJob], put_away: set[StudyJob]) -> set[StudyJob]:
    """Return the jobs that run if some are stale: also all that read their results.

    Weights that someone has put away are trained again only for a job that reads them; then all that read them run.
    """
    maker = {path: job for job in jobs for path in job.makes}
    left, before = set(stale), None
    while left != before:
        before = set(left)
        for job in jobs:
            needs = {maker[path] for path in job.reads}
            if needs & left and job not in put_away:
                left.add(job)
            if job in left:
                left |= needs & put_away
    return left


def _script(name: str) -> Path:
    return (REPOSITORY / "scripts" / name).resolve()


def _determined(layout: Layout, determinants: Determinants) -> dict[StudyJob, dict]:
    """Return what determines each job, as its record has it when it is up to date."""
    rules = load_rules(REPOSITORY / "config/rules.yaml", catalogue().claims)
    by_file: dict[str, dict] = {}
    found = {}
    for job in jobs_of(layout):
        if job.rule == "train":
            known = determinants.training(job.wildcards["setting"], job.wildcards["seeds"])
        elif job.rule in by_file:
            known = by_file[job.rule]
        elif job.rule.startswith("plot_"):
            known = determinants.figure(job.file)
        elif job.file:
            known = by_file[job.rule] = determinants.measurement(job.file)
        else:
            known = {
                "prepare_data": determinants.data,
                "check_models": determinants.models,
                "judge_claims": lambda: determinants.claims(rules.model_dump()),
                "summarise": lambda: determinants.first_page(rules.families),
            }[job.rule]()
        found[job] = json.loads(json.dumps(known, default=str))
    return found


def _is_complete(job: StudyJob, layout: Layout, determined: dict) -> bool:
    """Return whether a job has succeeded with what determines it now, and its results are there."""
    try:
        record = json.loads(Path(layout.results, job.record).read_text(encoding="utf-8"))
        return record["params"]["job"] == determined and all(Path(path).is_file() for path in job.makes)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _state(job: StudyJob, layout: Layout, begun: Mapping[str, float], alive: bool) -> str:
    log, record = Path(layout.results, job.log), Path(layout.results, job.record)
    since = min((begun[path] for path in job.makes if path in begun), default=None)
    if since is not None:
        if not alive:
            return "stopped"
        # On a cluster a job waits, from when it is submitted until it opens its log.
        return "running" if log.exists() and log.stat().st_mtime >= since - 1 else "waiting"
    if log.exists() and not record.exists():
        return "stopped" if STOPPED in last_line(log) else "failed"
    return "left"


def last_line(log: str | Path, size: int = 2000) -> str:
    """Return the last line of a log that has something in it; "" if there is none or no such file."""
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


# How long it will take


def estimates_file(name: str) -> Path:
    """Return where the estimates of a study are kept, made at the start of `make`: job -> seconds."""
    return NOTES / "estimates" / f"{name}.json"


def write_estimates(name: str, seconds: Mapping[str, float]) -> None:
    """Keep the estimates of a study's jobs, beside those of other jobs of it that were made before."""
    with whole_file(estimates_file(name)) as beside:
        beside.write_text(json.dumps(read_estimates(name) | dict(seconds), indent=1), encoding="utf-8")


def read_estimates(name: str) -> dict[str, float]:
    """Return the estimates of a study's jobs, seconds; none where there are none."""
    try:
        return {str(job): float(value) for job, value in json.loads(estimates_file(name).read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


class Remaining:
    """What is left of a run: estimates, corrected by how long jobs took.

    Args:
        estimates: job, as text -> seconds. A job without one takes as long as others of its rule, or as all.
    """

    def __init__(self, estimates: Mapping[str, float]):
        self.estimates = dict(estimates)
        self.taken: dict[str, float] = {}

    def finished(self, job: str, seconds: float) -> None:
        """Tell how long a job took."""
        self.taken[job] = seconds

    def seconds(self, jobs: Iterable[str], together: int, elapsed: Mapping[str, float] | None = None) -> float | None:
        """Return how long jobs will take from now on; None if nothing is known of any.

        Args:
            jobs: that are not done.
            together: how many run at a time.
            elapsed: of those that run already, job -> seconds.
        """
        known, elapsed = self.estimates | self.taken, elapsed or {}
        if not known:
            return None
        by_rule = defaultdict(list)
        for job, seconds in known.items():
            by_rule[job.split()[0]].append(seconds)
        mean = {rule: sum(found) / len(found) for rule, found in by_rule.items()}
        every = sum(known.values()) / len(known)
        both = [job for job in self.taken if job in self.estimates]
        said, was = (sum(found[job] for job in both) for found in (self.estimates, self.taken))
        pace = (was + PRIOR) / (said + PRIOR)

        def expected(job: str) -> float:
            rule = job.split()[0]
            whole = pace * self.estimates[job] if job in self.estimates else mean.get(rule, every)
            return max(0.1 * whole, whole - elapsed.get(job, 0.0))

        each = [expected(job) for job in jobs]
        return max(sum(each) / max(1, together), max(each, default=0.0))


def took(layout: Layout, jobs: Iterable[StudyJob]) -> dict[str, float]:
    """Return how long jobs that are done took, seconds, from their benchmarks."""
    found = {}
    for job in jobs:
        path = Path(layout.results, job.log.replace("logs/", "benchmarks/", 1)).with_suffix(".tsv")
        try:
            with path.open(encoding="utf-8", newline="") as file:
                found[str(job)] = float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return found


def in_words(seconds: float) -> str:
    """Return a duration as people say it: `40 s`, `4 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def what_will_run(study: str, to_run: Collection[str], every: int) -> str:
    """Return what a run will do, in a line.

    Args:
        study: its name.
        to_run: the jobs that are to run, as text.
        every: how many there are with those that are done.
    """
    count = f"{len(to_run)} job{'s' if len(to_run) > 1 else ''}"
    return f"Study {study}: {count} to run, {every - len(to_run)} done already: {what_they_are(to_run)}."


def what_they_are(jobs: Iterable[str]) -> str:
    """Return what kinds of jobs there are, in words: `56 trainings, 138 measurements and 22 figures`."""
    seen = Counter(_kind(job.split()[0]) for job in jobs)
    kinds = {kind: seen[kind] for kind in ("training", "measurement", "figure", "other job") if seen[kind]}
    words = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items()]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "nothing"


def _kind(rule: str) -> str:
    kinds = {"train": "training", "measure": "measurement", "plot": "figure"}
    return kinds.get(rule.partition("_")[0], "other job")
