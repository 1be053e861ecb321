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
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection

from wedgescape.cluster import warm_starts


class Foretelling:
    """Estimates that are under way.

    Args:
        config: of the study, complete.
        to_run: the jobs of the run, as text.
        cores: how many run at a time.
        say: is called with what was found, in another thread, unless the run ends before.
    """

    def __init__(self, config: dict, to_run: Collection[str], cores: int, say: Callable[[str], None]):
        self.say, self.ended = say, False
        self.receiving, sending = multiprocessing.Pipe(duplex=False)
        self.process = _begun((config, frozenset(to_run), cores, sending))
        sending.close()
        self.thread = threading.Thread(target=self._wait, daemon=True)
        self.thread.start()

    def _wait(self) -> None:
        try:
            found = self.receiving.recv()
        except EOFError:  # it was killed
            found = "How long this takes cannot be estimated: the process that did so was killed."
        if not self.ended:
            self.say(found)

    def end(self) -> None:
        """Stop, if that has not ended."""
        self.ended = True
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
        from wedgescape.cluster.status import outlook
        from wedgescape.study.catalogue import catalogue
        from wedgescape.study.study import load_study

        sending.send(outlook(load_study(config, catalogue()), to_run, cores))
    except Exception as error:  # a study's own networks raise many kinds; the run goes on
        sending.send(f"How long this takes cannot be estimated: {type(error).__name__}: {error}")
