"""Importing this module imports all of the library that jobs run, so that forked jobs need not (`warm_starts`)."""

import contextlib
import importlib
import pkgutil
import time

import wedgescape

for found in pkgutil.walk_packages(wedgescape.__path__, "wedgescape."):
    if not found.name.startswith("wedgescape.cluster"):
        with contextlib.suppress(Exception):  # the job that needs the module tells what is wrong with it
            importlib.import_module(found.name)

SECONDS = time.process_time()  # that this process had taken when it knew what a job's script imports
