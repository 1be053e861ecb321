"""What made a result: fingerprints of the code that a rule reaches, and the frame around each job."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from wedgescape.errors import InputError, Stopped
from wedgescape.origins import check_inputs
from wedgescape.records import record_path, write_record

LIBRARY = Path(__file__).parent
log = logging.getLogger("wedgescape")


@cache
def sources(file: Path) -> tuple[Path, ...]:
    """Return a Python file and the modules of this library that it imports, directly or not, sorted.

    Imports are followed wherever they stand, also inside functions.
    """
    found, waiting = set(), [Path(file).resolve()]
    while waiting:
        source = waiting.pop()
        if source not in found:
            found.add(source)
            waiting += _imports(source)
    return tuple(sorted(found))


@cache
def _imports(source: Path) -> list[Path]:
    names = set()
    for node in ast.walk(ast.parse(source.read_text(), str(source))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    parts = [name.split(".") for name in names if name.split(".")[0] == LIBRARY.name]
    files = [LIBRARY.joinpath(*part[1:]).with_suffix(".py") if part[1:] else LIBRARY / "__init__.py" for part in parts]
    return [file.resolve() for file in files if file.is_file()]


def _logic(source: Path) -> str:
    """Return a file's syntax tree as text: without comments, docstrings, blank lines and line breaks."""
    tree = ast.parse(source.read_text(), str(source))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = body[0] if body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:]
    return _written(tree)


def _written(node) -> str:
    """Return a syntax tree as text, the same in all versions of Python: what newer ones add to it is empty here."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return f"{type(node).__name__}({', '.join(f'{name}={_written(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_written, node))}]"
    return repr(node)


@cache
def fingerprint(*files: str | Path) -> str:
    """Return a name (16 hex digits) for the logic of Python files and of all of this library that they reach.

    A comment, a docstring, a touch or a reformat leaves it as it is; any other edit changes it. A user's file that
    does not parse counts by its bytes, so that the error is told where the file is used.
    """
    digest = hashlib.sha256()
    for source in sorted({source for file in files for source in _reached(Path(file))}):
        digest.update(source.name.encode() + b"\0" + _content(source).encode() + b"\0")
    return digest.hexdigest()[:16]


def _reached(file: Path) -> tuple[Path, ...]:
    try:
        return sources(file)
    except (SyntaxError, OSError):
        return (file,)


@cache  # many rules reach the same modules
def _content(source: Path) -> str:
    try:
        return _logic(source)
    except SyntaxError:
        return source.read_bytes().hex()
    except OSError:
        return "absent"


@contextlib.contextmanager
def job(snakemake) -> Iterator[logging.Logger]:
    """Run the body of a rule's script: set threads, keep a log, record what varies from run to run.

    No body runs on an input store that is damaged or that another config made (`origins.check_inputs`).

    An `InputError` ends the job with its message alone; SIGTERM (a time limit, a preemption) ends it at once, unless it
    keeps a checkpoint, and leaves nothing half-written. The record goes to
    `{results}/{study}/provenance/{rule}/{job}.json`, and only when the job succeeded.
    """
    signal.signal(signal.SIGTERM, _stop)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(snakemake.threads)
    if "torch" in sys.modules:  # imported before the script came here
        sys.modules["torch"].set_num_threads(snakemake.threads)
    handlers = [logging.StreamHandler(sys.stderr)]
    if snakemake.log:
        handlers.append(logging.FileHandler(snakemake.log[0], mode="w"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)
    logging.captureWarnings(True)
    log.setLevel(logging.INFO)
    started = time.time()
    record_path(snakemake).unlink(missing_ok=True)  # from here on it would tell of results that are about to change
    try:
        check_inputs(snakemake.input, snakemake.config)
        yield log
    except (InputError, Stopped) as error:
        log.error("%s: %s", snakemake.rule, error)
        sys.exit(1)
    write_record(snakemake, started)


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
        raise InputError(f"{folder}: results cannot be written there, for {path} is not a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: results cannot be written there, for {path} is not writable")
