"""Python imports this when it starts: notes which functions of the library a job calls, where CALLS_FOLDER says so."""

import atexit
import inspect
import json
import os
import sys
import threading
from pathlib import Path

FOLDER = os.environ.get("CALLS_FOLDER")
PART = f"{os.sep}scripts{os.sep}wedgescape{os.sep}"
called = {}  # by identity: to hash a code object takes long


def note(frame, _event, _argument):
    """Keep a function; not the body of a file or a class, nor what a file of the library calls when it is imported."""
    caller = frame.f_back.f_code if frame.f_back else None
    importing = caller and caller.co_name == "<module>" and PART in caller.co_filename
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED and not importing:
        called[id(frame.f_code)] = frame.f_code


def write():
    sys.settrace(None)
    script = sys.argv[0].rpartition(".snakemake/scripts/")[2].split(".", 1)[-1]  # tmp….plot_tunnels.py
    functions = {(code.co_filename, code.co_firstlineno) for code in called.values() if PART in code.co_filename}
    named = [[Path(file).name, line] for file, line in sorted(functions)]
    Path(FOLDER, f"{script}.{os.getpid()}.json").write_text(json.dumps({"script": script, "called": named}))


if FOLDER and ".snakemake/scripts/" in " ".join(sys.orig_argv):
    atexit.register(write)
    threading.settrace(note)
    sys.settrace(note)
