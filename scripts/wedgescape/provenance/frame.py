"""The frame around each job, and where results may be written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from wedgescape.errors import InputError, Stopped
from wedgescape.provenance.origins import check_inputs
from wedgescape.provenance.records import record_path, write_record

log = logging.getLogger("wedgescape")


@contextlib.contextmanager
def job(snakemake) -> Iterator[logging.Logger]:
    """Run the body of a rule's script: set threads, keep a log, record what varies from run to run.

    No body runs on an input store that is damaged or that another config made (`origins.check_inputs`).

    An `InputError` ends the job with its message alone; SIGTERM (a time limit, a preemption) ends it at once, unless it
    keeps a checkpoint, and leaves nothing half-written. The record goes to
    `{results}/provenance/{rule}/{job}.json`, and only when the job succeeded.
    """
    signal.signal(signal.SIGTERM, _stop)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(snakemake.threads)
    if "torch" in sys.modules:  # imported before the script came here
        sys.modules["torch"].set_num_threads(snakemake.threads)
    handlers = [logging.StreamHandler(sys.stderr)]
    if snakemake.log:
        handlers[0].setLevel(logging.WARNING)  # progress is in the log, where a run and `make status` read it
        handlers.append(logging.FileHandler(snakemake.log[0], mode="w", encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)
    logging.captureWarnings(True)
    log.setLevel(logging.INFO)
    started = time.time()
    record_path(snakemake).unlink(missing_ok=True)  # from here on it would tell of results that are about to change
    try:
        check_inputs(snakemake.input, snakemake.config)
        yield log
        write_record(snakemake, started)
    except (InputError, Stopped) as error:
        log.error("%s: %s", snakemake.params.job["rule"], error)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("%s: stopped by Ctrl-C", snakemake.params.job["rule"])
        sys.exit(1)
    except Exception:
        handlers[0].setLevel(logging.CRITICAL)  # Python itself prints the error, and the log is to have it too
        log.exception("%s failed", snakemake.params.job["rule"])
        raise


def _stop(_signal, _frame):
    raise Stopped("stopped by SIGTERM")


def digest(value) -> str:
    """Return a name (16 hex digits) for a value of plain JSON types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def check_writable(folder: str | Path) -> None:
    """Make sure that results can be written, before any work starts.

    Raises:
        InputError: if the folder, or the nearest one above it that exists, is no folder or not writable.
    """
    path = Path(folder)
    while not (path.exists() or path.is_symlink()) and path != path.parent:
        path = path.parent
    if not path.is_dir():
        raise InputError(f"cannot write results to {folder}: {path} exists and is not a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"cannot write results to {folder}: {path} is not writable")
