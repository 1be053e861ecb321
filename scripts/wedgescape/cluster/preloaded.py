"""Importing this module imports all of the library that jobs run, so that forked jobs need not (`warm_starts`)."""

import contextlib
import importlib
import pkgutil

import wedgescape

for found in pkgutil.walk_packages(wedgescape.__path__, "wedgescape."):
    if not found.name.startswith("wedgescape.cluster"):
        with contextlib.suppress(Exception):  # the job that needs the module tells what is wrong with it
            importlib.import_module(found.name)
