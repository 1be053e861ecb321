"""Python imports this when it starts. If CALLS_FOLDER is set, it notes which functions of the library a job calls."""

import atexit
import inspect
import json
import multiprocessing.util
import os
import sys
import threading
from importlib.machinery import PathFinder
from pathlib import Path

FOLDER = os.environ.get("CALLS_FOLDER")
LIBRARY = f"{os.sep}scripts{os.sep}wedgescape{os.sep}"
FRAME = "wedgescape.provenance.frame"
called = {}  # by identity: to hash a code object takes long
rules = []


class Finder:
    """Finds the library's modules. The notes begin with the frame around the job, and pause while a module is imported.

    What an import calls decides a result only through the names that it defines, and those are followed. To trace what
    a module imports from elsewhere takes long.
    """

    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target) if name.startswith("wedgescape") else None
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def execute_without_notes(module):
            traced = sys.gettrace()
            sys.settrace(None)
            try:
                execute(module)
            finally:
                sys.settrace(traced)
            if name == FRAME:
                module.job = noted(module.job)

        spec.loader.exec_module = execute_without_notes
        return spec


def noted(frame):
    def job(snakemake):
        rules.append(snakemake.params.job["rule"])
        if multiprocessing.parent_process():  # it was forked, and such a process runs nothing of atexit
            multiprocessing.util.Finalize(None, write, exitpriority=1)
        else:
            atexit.register(write)
        threading.settrace(note)
        sys.settrace(note)
        return frame(snakemake)

    return job


def note(frame, _event, _argument):
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a function; not the body of a file or a class, which runs once
        called[id(frame.f_code)] = frame.f_code


def write():
    sys.settrace(None)
    script = sys.argv[0].rpartition(".snakemake/scripts/")[2].split(".", 1)[-1]  # tmp….measure.py
    functions = {(code.co_filename.rpartition(LIBRARY), code.co_firstlineno) for code in called.values()}
    places = sorted([Path(place).as_posix(), line] for (_, library, place), line in functions if library)
    notes = {"script": script, "rules": rules, "called": places}
    Path(FOLDER, f"{script}.{os.getpid()}.json").write_text(json.dumps(notes))


started = " ".join(sys.orig_argv)
if FOLDER and (".snakemake/scripts/" in started or "multiprocessing.forkserver" in started):
    sys.meta_path.insert(0, Finder())
