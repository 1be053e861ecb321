"""What a run tells of itself: a short line per finished job, or bars on a terminal; errors in full.

Both receive the records that Snakemake logs (its `LogEvent`s), in the order in which things happen.
"""

from __future__ import annotations

import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from wedgescape.cluster.foretelling import Foretelling
from wedgescape.cluster.progress import Remaining, in_words, last_line, read_estimates
from wedgescape.study.jobs import job_name

# What Snakemake says at every run and what tells nobody anything. All else is said, so that no message is lost.
CHATTER = re.compile(
    r"Select jobs to execute|Execute \d+ jobs|Building DAG of jobs|Using shell:|host:|Provided |Rules claiming more|"
    r"Assuming unrestricted|Using workflow specific profile|Complete log|Elapsed time|Reasons?:|None$|Job stats|"
    r"Conda environments: ignored|Singularity containers: ignored|"
    r"Reporting metadata|Finished jobid|Loading script code|Creating report|Report created|Adding \S+ \("
)
LAST_LINES = 20  # of a failed job's log


@dataclass
class Job:
    """A job of a run.

    Args:
        name: its rule and the values of its wildcards.
        log: path of its log, if it has one.
        makes: paths.
        since: when it was started, on the clock of `time.monotonic`.
    """

    name: str
    log: str
    makes: list[str]
    since: float


@dataclass
class Run:
    """How far a run is, by its records.

    Args:
        total: how many jobs it has, `all` not among them.
        together: how many run at a time.
    """

    total: int = 0
    together: int = 1
    done: int = 0
    began: float = field(default_factory=time.monotonic)
    jobs: dict[int, Job] = field(default_factory=dict)  # those that run, by their number
    expected: dict[str, int] = field(default_factory=dict)  # rule -> jobs that have not begun
    remaining: Remaining = field(default_factory=lambda: Remaining({}))
    figure: str = ""  # the first one that was drawn

    def read(self, record: logging.LogRecord) -> Job | None:
        """Take in a record; return the job that has just finished, if it says so."""
        event = str(getattr(record, "event", None) or "")
        if event == "run_info":
            stats = {rule: count for rule, count in record.stats.items() if rule not in ("total", "all")}
            self.total, self.expected = sum(stats.values()), stats
        elif event == "resources_info" and getattr(record, "cores", None):
            self.together = int(record.cores)
        elif event == "job_info" and record.rule_name != "all":
            name = job_name(record.rule_name, dict(record.wildcards))
            log = [str(path) for path in record.log]
            makes = [str(path) for path in record.output]
            self._learn(makes)
            self.jobs[record.jobid] = Job(name, log[0] if log else "", makes, time.monotonic())
            self.expected[record.rule_name] = max(0, self.expected.get(record.rule_name, 1) - 1)
            self.together = max(self.together, len(self.jobs))
        elif event == "job_finished" and record.job_id in self.jobs:
            job = self.jobs.pop(record.job_id)
            self.done += 1
            self.remaining.finished(job.name, time.monotonic() - job.since)
            return job
        return None

    def _learn(self, makes: list[str]) -> None:
        """Read the estimates of the study, which is known from where its results are."""
        found = next((re.search(r"(?:^|/)results/([^/]+)/", path) for path in makes), None)
        if found and not self.remaining.estimates:
            self.remaining.estimates = read_estimates(found[1])

    def left(self) -> float | None:
        """Return how long the run will still take, seconds; None while that is not known."""
        now = time.monotonic()
        elapsed = {job.name: now - job.since for job in self.jobs.values()}
        # Snakemake tells how many jobs of a rule are to come, and not which. They are taken to be its unknown ones.
        known = self.remaining.estimates.keys() - self.remaining.taken.keys() - elapsed.keys()
        ahead = []
        for rule, count in self.expected.items():
            names = sorted(name for name in known if name.split()[0] == rule)[:count]
            ahead += [*names, *[rule] * (count - len(names))]
        return self.remaining.seconds([*elapsed, *ahead], self.together, elapsed)

    def left_in_words(self) -> str:
        """Return how long the run will still take, in words; "" while that is not known, or nothing is left."""
        seconds = self.left()
        return f"about {in_words(seconds)} left" if seconds and self.done < self.total else ""

    def first_figure(self, job: Job) -> str:
        """Return a message if this is the first figure that a run has drawn, else nothing."""
        drawn = next((path for path in job.makes if path.endswith(".png")), "")
        if not drawn or self.figure:
            return ""
        self.figure = drawn
        return f"The first figure is there, after {in_words(time.monotonic() - self.began)}: {drawn}"


class Teller(ABC):
    """Tells a run, and has it estimated beside its first jobs how long it takes."""

    def __init__(self) -> None:
        self.run = Run()
        self.foretelling: Foretelling | None = None

    @abstractmethod
    def tell(self, record: logging.LogRecord) -> None:
        """Tell what a record says, if it is worth telling."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Say something, as it is."""

    def foretell(self, record: logging.LogRecord) -> None:
        """Begin to estimate, if a record says that a run begins and of what study (`workflow/rules/common.smk`)."""
        if (config := getattr(record, "study", None)) is not None:
            self.foretelling = Foretelling(
                config, record.to_run, self.run.together, partial(self._foretold, config["study"])
            )

    def _foretold(self, study: str, text: str) -> None:
        self.run.remaining.estimates = read_estimates(study)
        self.say(text)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.foretelling:
            self.foretelling.end()


class Lines(Teller):
    """Tells a run in lines of text, for a file or a pipe.

    Args:
        stream: to write to.
    """

    def __init__(self, stream: TextIO):
        super().__init__()
        self.stream = stream

    def tell(self, record: logging.LogRecord) -> None:
        """Write what a record says, if it is worth a line."""
        job = self.run.jobs.get(getattr(record, "jobid", None))
        for line in [*self._finished(self.run.read(record)), *messages(record, job)]:
            self.say(line)
        self.foretell(record)

    def say(self, text: str) -> None:
        """Write a line."""
        print(text, file=self.stream, flush=True)

    def _finished(self, job: Job | None) -> Iterator[str]:
        if job:
            took = self.run.remaining.taken[job.name]
            parts = [f"{self.run.done} of {self.run.total}", job.name, f"{took:.1f} s", self.run.left_in_words()]
            yield "  ".join(filter(None, parts))
            yield from filter(None, [self.run.first_figure(job)])


def messages(record: logging.LogRecord, job: Job | None = None) -> Iterator[str]:
    """Yield what is to be said of a record whether or not people look on: warnings, errors, why nothing runs.

    Args:
        record: of Snakemake's log.
        job: that it is about, if it is about one.
    """
    event, text = str(getattr(record, "event", None) or ""), record.getMessage().strip()
    if event == "job_error":
        yield from failure(record, job)
    elif event in ("error", "group_error") or record.levelno >= logging.WARNING or (not event and is_news(record)):
        yield text


def is_news(record: logging.LogRecord) -> bool:
    """Return whether a message is none of those that come at every run."""
    return record.levelno >= logging.INFO and not CHATTER.match(record.getMessage().strip() or "None")


def failure(record: logging.LogRecord, job: Job | None) -> Iterator[str]:
    """Yield what failed, where its log is, and how that ends."""
    yield f"Failed: {job.name if job else record.rule_name}"
    aux = {key: value for key, value in dict(getattr(record, "aux", None) or {}).items() if value}
    yield from (f"    {key}: {value}" for key, value in aux.items())
    for log in map(str, getattr(record, "log", [])):
        yield f"    log: {log}"
        try:
            lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            yield f"    it cannot be read: {error.strerror}"
            continue
        yield from (f"    | {line}" for line in lines[-LAST_LINES:] or ["it is empty"])


class Bars(Teller):
    """Tells a run on a terminal: a bar per rule, the jobs that run with the last line of their logs, the time left.

    The bars are those of snakemake-logger-plugin-rich.

    Args:
        settings: Snakemake's, of its output.
    """

    def __init__(self, settings):
        from rich.console import Group
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
        from snakemake_logger_plugin_rich.handler import RichLogHandler

        super().__init__()
        self.read: dict[str, tuple[float, str]] = {}
        self.handler = RichLogHandler(settings)
        self.console = self.handler.console
        # Its own columns count one job too many as running, and say how long the run has taken on every bar.
        name = TextColumn("[bold blue]{task.description}")
        self.handler.progress.columns = (SpinnerColumn(), name, BarColumn(bar_width=None), MofNCompleteColumn())
        panel = self.handler.live_display.renderable
        self.handler.live_display.update(Group(_Now(self), panel))

    def tell(self, record: logging.LogRecord) -> None:
        """Move the bars, and write above them what is worth a line."""
        job, finished = self.run.jobs.get(getattr(record, "jobid", None)), self.run.read(record)
        if finished and (said := self.run.first_figure(finished)):
            self.say(said)
        event = str(getattr(record, "event", None) or "")
        if event == "job_error":
            for line in failure(record, job):
                self.console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        elif event == "run_info":
            jobs = {rule: count for rule, count in record.stats.items() if rule not in ("all", "total")}
            self.console.quiet = True  # without the table of jobs, which says less than the bars
            self.handler.emit(logging.makeLogRecord(vars(record) | {"stats": jobs | {"total": self.run.total}}))
            self.console.quiet = False
            self.console.show_cursor(False)
        elif event != "workflow_started" and (event or is_news(record)):
            self.handler.emit(record)
        if finished:
            self._hide_finished()
        self.foretell(record)

    def say(self, text: str) -> None:
        """Write something above the bars."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _hide_finished(self) -> None:
        """Leave the bars of rules that are still at work: a study has more rules than a terminal has lines."""
        bars = self.handler.progress
        for task in bars.tasks[:]:
            if task.finished and self.run.done < self.run.total:
                bars.update(task.id, visible=False)

    def close(self) -> None:
        """Take the bars away."""
        super().close()
        self.handler.close()

    def now(self) -> list[str]:
        """Return a line per job that runs, and one with the time left."""
        lines = []
        for job in list(self.run.jobs.values()):
            seconds = time.monotonic() - job.since
            at, said = self.read.get(job.name, (0.0, ""))
            if time.monotonic() - at > 1:  # the bars are drawn more often than a log has to be read
                said = last_line(job.log) if job.log else ""
                self.read[job.name] = (time.monotonic(), said)
            lines.append("  ".join(filter(None, [job.name, in_words(seconds), said])))
        return [*lines, *filter(None, [self.run.left_in_words()])]


class _Now:
    """What runs now, written anew whenever the bars are drawn."""

    def __init__(self, bars: Bars):
        self.bars = bars

    def __rich__(self):
        from rich.text import Text

        return Text("\n".join(self.bars.now()), overflow="ellipsis", no_wrap=True)
