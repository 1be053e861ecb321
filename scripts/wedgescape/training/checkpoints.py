"""Where a long descent keeps its state, so that nothing is lost when it is ended early."""

from __future__ import annotations

import io
import logging
import os
import signal
import threading
import time
from pathlib import Path

import torch

from wedgescape.errors import InputError, Stopped
from wedgescape.stores.whole_files import whole_file

log = logging.getLogger("wedgescape")


class Checkpoint:
    """The state of a descent on disk, so that a run that ended early goes on where it was, bit for bit.

    Whole or absent. It needs no random states, since each step's randomness is a function of the seed and the step. One
    that cannot be read is set aside as `….unreadable`; where one cannot be written, the run goes on without.

    As a context it also waits for SIGTERM (a cluster's time limit or preemption) and SIGINT (Ctrl-C): the state after
    the step that is under way is written then, and `Stopped` ends the run.

    Args:
        path: of the file; name it by all that determines the run.
        minutes: between two writes.
    """

    def __init__(self, path: str | Path, minutes: float = 5.0):
        self.path, self.minutes, self._last = Path(path), minutes, time.monotonic()
        self._asked: str | None = None
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Checkpoint:
        if threading.current_thread() is threading.main_thread():  # the only one that hears signals
            self._handlers = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_exception) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _frame) -> None:
        self._asked = signal.Signals(number).name

    def load(self) -> dict | None:
        """Return the last state, or None where there is none."""
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, weights_only=True)
            log.info("Going on from step %d, kept in %s", state["step"], self.path)
            return state
        except Exception as error:  # torch raises many kinds for a damaged file
            aside = self.path.with_name(self.path.name + ".unreadable")
            os.replace(self.path, aside)
            reason = type(error).__name__
            log.warning("The checkpoint %s cannot be read (%s): starting again; kept as %s", self.path, reason, aside)
            return None

    def save(self, state: dict) -> None:
        """Write a state, if it is time or the run was asked to end.

        Raises:
            Stopped: if it was asked to end.
        """
        if not self._asked and time.monotonic() - self._last < 60 * self.minutes:
            return
        self._last = time.monotonic()
        kept = f"step {state['step']} is kept, and the next run goes on from there"
        try:
            self._write(state)
        except (InputError, OSError) as error:
            kept = f"the checkpoint could not be written ({error})"
            log.warning("%s", kept)
        if self._asked:
            raise Stopped(f"stopped by {self._asked}: {kept}")

    def _write(self, state: dict) -> None:
        content = io.BytesIO()  # torch tells of a full disk by an error of its own
        torch.save(state, content)
        with whole_file(self.path) as beside:
            beside.write_bytes(content.getbuffer())

    def remove(self) -> None:
        """Forget the run: its result is safe."""
        self.path.unlink(missing_ok=True)
