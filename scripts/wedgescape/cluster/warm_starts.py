"""Jobs on one machine begin in a process that has imported the libraries already.

A script of the workflow imports for two to six seconds before it does anything. So Snakemake's process keeps a server
(Python's own `forkserver`) that imports once and then forks a process for each job. A job shares nothing with another:
what it imports, sets or breaks ends with its process. Its environment, threads, standard streams and exit code are
those of a process of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess, SpawnProcess
from pathlib import Path

PRELOADED = ("wedgescape.cluster.preloaded",)  # what the server imports

_reading = threading.Lock()


def possible() -> bool:
    """Return whether jobs can be forked here. Elsewhere, and where WEDGESCAPE_COLD is set, each starts on its own."""
    return sys.platform == "linux" and not os.environ.get("WEDGESCAPE_COLD")


def start(script: str, threads: int, environment: Mapping[str, str]) -> ForkServerProcess:
    """Start a script in a process of its own, which knows the libraries.

    Args:
        script: path of a Python file.
        threads: for the libraries that had started before the process knew its number.
        environment: variables to set beside those of this process.

    Returns:
        The process: `join()` waits for it, `exitcode` is the script's, or minus the number of the signal that ended it.

    Raises:
        OSError: if the server cannot be started.
    """
    return forked(_run, (script, threads, dict(os.environ) | dict(environment)), script)


def forked(target: Callable, arguments: tuple, name: str, daemon: bool = False) -> ForkServerProcess:
    """Call a function in a process of its own, which knows the libraries.

    Args:
        target: of a module.
        arguments: that can be pickled.
        name: of the process.
        daemon: whether it ends with this process.

    Raises:
        OSError: if the server cannot be started.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload([*PRELOADED])
    with _reading:
        process = _Job(target=target, args=arguments, name=name, daemon=daemon)
        with _main_unseen(), _library_known():
            process.start()
    return process


def spawned(target: Callable, arguments: tuple, name: str, daemon: bool = False) -> SpawnProcess:
    """Do the same as `forked`, in a process that imports the libraries itself."""
    process = SpawnProcess(target=target, args=arguments, name=name, daemon=daemon)
    with _main_unseen():
        process.start()
    return process


class _Job(ForkServerProcess):
    """A process whose exit code is read once.

    Starting a process looks whether others have ended, and reads their exit codes. Were one of them waited for in
    another thread just then, that thread would find nothing left to read, and take the job for killed.
    """

    def join(self, timeout: float | None = None) -> None:
        if connection.wait([self.sentinel], timeout):
            with _reading:
                super().join()


@contextlib.contextmanager
def _main_unseen() -> Iterator[None]:
    """Hide the file that this process was started from: a job would import it again, and with it all of Snakemake."""
    main = sys.modules["__main__"]
    file = vars(main).pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main.__file__ = file


@contextlib.contextmanager
def _library_known() -> Iterator[None]:
    """Tell a server that is about to start where this library is: Python 3.11 does not give it `sys.path`."""
    folder, before = str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, before]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _run(script: str, threads: int, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)  # of BLAS; `frame.job` tells torch
    tempfile.tempdir = None  # what was imported may have asked for it before TMPDIR was known
    sys.argv = [script]
    runpy.run_path(script, run_name="__main__")
