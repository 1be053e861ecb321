"""About how long a run will take: found out while its first jobs run.

Operations are timed with the study's networks. That takes seconds, so a process of its own does it.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import threading
import warnings
from collections.abc import Callable, Collection, Sequence
from multiprocessing.connection import Connection

from wedgescape.cluster import warm_starts
from wedgescape.cluster.progress import Remaining, in_words, read_estimates, took, write_estimates
from wedgescape.study.catalogue import catalogue
from wedgescape.study.jobs import StudyJob, figures_first, jobs_of
from wedgescape.study.layout import Layout
from wedgescape.study.study import Study, load_study


class Foretelling:
    """Estimates that are under way.

    Args:
        config: of the study, complete.
        to_run: the jobs of the run, as text.
        cores: how many run at a time.
        say: is called with what was found, in another thread, unless the run ends before.
    """

    def __init__(self, config: dict, to_run: Collection[str], cores: int, say: Callable[[str], None]):
        self.say, self.ended, self.process = say, False, None
        # In a thread: the process begins when the server knows the libraries, and a run goes on meanwhile.
        self.thread = threading.Thread(target=self._wait, args=(config, frozenset(to_run), cores), daemon=True)
        self.thread.start()

    def _wait(self, *asked) -> None:
        receiving, sending = multiprocessing.Pipe(duplex=False)
        try:
            self.process = _begun((*asked, sending))
        except EOFError:  # the server was killed; whoever did that stopped the run
            return
        sending.close()
        if self.ended:
            self.process.kill()
        try:
            found = receiving.recv()
        except EOFError:
            found = "How long this takes cannot be estimated: the process that did so was killed."
        if not self.ended:
            self.say(found)

    def end(self) -> None:
        """Stop, if that has not ended."""
        self.ended = True
        if self.process:
            self.process.kill()
            self.thread.join()


def _begun(arguments: tuple) -> multiprocessing.process.BaseProcess:
    with contextlib.suppress(OSError):  # among others a temporary folder whose name is too long for a socket
        if warm_starts.possible():
            return warm_starts.forked(_estimate, arguments, "estimates", daemon=True)
    return warm_starts.spawned(_estimate, arguments, "estimates", daemon=True)


def _estimate(config: dict, to_run: frozenset[str], cores: int, sending: Connection) -> None:
    """Send how long jobs take, in words, or why that is not known."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever stops the run stops this
    logging.disable()  # the jobs themselves tell what their networks lack
    warnings.simplefilter("ignore")
    try:
        said = how_long(load_study(config, catalogue()), to_run, cores)
    except Exception as error:  # a study's own networks raise many kinds; the run goes on
        said = f"How long this takes cannot be estimated: {type(error).__name__}: {error}"
    with contextlib.suppress(OSError):  # nobody listens any more, where the run was killed
        sending.send(said)


def how_long(study: Study, to_run: Collection[str], cores: int) -> str:
    """Return how long jobs take, in words, and keep their estimates for later.

    Args:
        study: they belong to.
        to_run: the jobs, as text.
        cores: how many run at a time.
    """
    layout = Layout(study, catalogue())
    jobs = jobs_of(layout)
    known = read_estimates(study.name)
    missing = [job for job in jobs if str(job) in to_run and str(job) not in known]
    if missing:
        from wedgescape.cluster.planning import quick_estimates  # which imports torch, and what a job's script does
        from wedgescape.cluster.preloaded import SECONDS

        known |= quick_estimates(study, missing, SECONDS)
        write_estimates(study.name, known)
    remaining = Remaining(known)
    for job, seconds in took(layout, [job for job in jobs if str(job) not in to_run]).items():
        remaining.finished(job, seconds)
    seconds = remaining.seconds(to_run, cores)
    if seconds is None:
        return "How long this takes is not known."
    return "\n".join(
        [
            f"This takes about {in_words(seconds)} with {cores} jobs at a time, perhaps half or twice that."
            f"{_first_figure(jobs, to_run, remaining, cores)}",
            "To see how far it is, in another terminal: make status. A run that is stopped goes on where it was.",
        ]
    )


def _first_figure(jobs: Sequence[StudyJob], to_run: Collection[str], remaining: Remaining, cores: int) -> str:
    """Say when the first figure comes: the jobs that are at least as urgent come before it."""
    urgency = figures_first(jobs)
    ahead = [job for job in jobs if str(job) in to_run]
    figures = [job for job in ahead if job.rule.startswith("plot_")]
    if not figures:
        return ""
    first = max(figures, key=lambda job: urgency[job.makes[-1]])
    before = [str(job) for job in ahead if urgency.get(job.makes[-1], 0) >= urgency[first.makes[-1]]]
    return f" The first figure comes after about {in_words(remaining.seconds(before, cores))}."
