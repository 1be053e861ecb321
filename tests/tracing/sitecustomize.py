"""Python imports this when it starts: notes which functions of the library a job calls, where CALLS_FOLDER says so."""

import atexit
import importlib.util
import inspect
import json
import os
import sys
import threading
from pathlib import Path

FOLDER = os.environ.get("CALLS_FOLDER")
PART = f"{os.sep}scripts{os.sep}wedgescape{os.sep}"
FRAME = "wedgescape.provenance"
called = {}  # by identity: to hash a code object takes long


class Start:
    """Has the notes begin with the frame around the job: to trace imports as well takes long."""

    def find_spec(self, name, _path=None, _target=None):
        if name != FRAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_wrap(module):
            execute(module)
            frame = module.job

            def job(snakemake):
                threading.settrace(note)
                sys.settrace(note)
                return frame(snakemake)

            module.job = job

        spec.loader.exec_module = execute_and_wrap
        return spec


def note(frame, _event, _argument):
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a function; not the body of a file or a class, which runs once
        called[id(frame.f_code)] = frame.f_code


def write():
    sys.settrace(None)
    script = sys.argv[0].rpartition(".snakemake/scripts/")[2].split(".", 1)[-1]  # tmp….plot_tunnels.py
    functions = {(code.co_filename, code.co_firstlineno) for code in called.values() if PART in code.co_filename}
    named = [[Path(file).name, line] for file, line in sorted(functions)]
    Path(FOLDER, f"{script}.{os.getpid()}.json").write_text(json.dumps({"script": script, "called": named}))


if FOLDER and ".snakemake/scripts/" in " ".join(sys.orig_argv):
    atexit.register(write)
    sys.meta_path.insert(0, Start())
