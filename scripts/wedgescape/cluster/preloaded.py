"""Importing this module imports all that jobs run, so that forked jobs need not (`warm_starts`)."""

import contextlib
import gc
import importlib
import pkgutil
import signal
import time

import wedgescape

# What takes long. None of it starts a thread or looks for a GPU when it is imported.
LIBRARIES = ("torch", "torchmetrics", "xarray", "xarray.computation.nanops", "zarr", "scipy.stats", "scipy.optimize")
LIBRARIES += ("sklearn.linear_model", "seaborn", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf")
LIBRARIES += ("fontTools.subset", "snakemake.io", "snakemake.iocontainers", "snakemake.logging", "threadpoolctl")

interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends the server
gc.disable()  # what is imported stays
own = (found.name for found in pkgutil.walk_packages(wedgescape.__path__, "wedgescape."))
for name in (*LIBRARIES, *(module for module in own if not module.startswith("wedgescape.cluster"))):
    with contextlib.suppress(Exception):  # the job that needs the module tells what is wrong with it
        importlib.import_module(name)

# A collector that looked through all of this would copy it into each forked job: a quarter of the time of a figure.
gc.freeze()
gc.enable()
signal.signal(signal.SIGINT, interrupted)
SECONDS = time.process_time()  # that this process had taken when it knew what a job's script imports
