"""What a function of a measurement or a figure takes, opened from a job's inputs.

The function's own signature says what it reads (`study.catalogue`): networks, stores by the name of their measurement,
sections of the config.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache

import pandas as pd

from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.zarr_stores import along, load_store, open_store, open_weights, setting_of
from wedgescape.study.catalogue import File
from wedgescape.study.places import Tell
from wedgescape.study.settings import Fit

INPUTS = {
    "Optima": "weights",
    "TrainedOptima": "weights",
    "AllOptima": "all_weights",
}  # annotation -> a job's input with these networks


def imported(file: File):
    """Import the module of a file of the catalogue."""
    return importlib.import_module(file.module)


def arguments(file: File, function: str, snakemake, tell: Tell = print, **given) -> dict:
    """Return what a function of a file takes, by the names of its parameters.

    Args:
        file: of a measurement or a figure.
        function: its name.
        snakemake: what Snakemake puts into a script; `params.job` has the sections of the config, and where sweeps,
            grids and methods lie.
        tell: receives lines of progress.
        given: further arguments, by the annotation of their parameter.
    """
    job, module = snakemake.params.job, imported(file)
    found = {}
    for name, annotation in file.parameters(function).items():
        if annotation in given:
            found[name] = given[annotation]
        elif annotation == "Tell":
            found[name] = tell
        elif annotation in INPUTS:
            without = ["trajectory", "step"] if annotation == "AllOptima" else []  # nothing reads so many of them
            found[name] = _optima(INPUTS[annotation], snakemake, without)
        elif annotation == "OptimaOfMethods":
            found[name] = {method: _optima(method, snakemake) for method in job["methods"]}
        elif annotation == "Weights":
            found[name] = open_weights(snakemake.input.weights)
        elif annotation == "Intervals":
            found[name] = Intervals(job["sections"]["claims.confidence"], job["sections"]["claims.resamples"])
        elif annotation == "Verdicts":
            found[name] = pd.read_csv(snakemake.input.verdicts[0])
        elif annotation == "Specifications":
            found[name] = pd.read_csv(snakemake.input.specifications[0])
        elif annotation == "BaseSetting":
            found[name] = job["context"]["base"]
        elif annotation == "Grids":
            found[name] = job["context"]["grids"]
        elif annotation == "Widths":
            found[name] = job["context"]["widths"]
        elif annotation == "SettingName":
            found[name] = snakemake.wildcards.setting
        elif section := file.section(annotation):
            found[name] = getattr(module, annotation)(**job["sections"][section])
        elif annotation in file.reads(function).values():
            found[name] = _stores(snakemake.input[name], annotation, job["context"])
    return found


def _optima(weights: str, snakemake, without: Sequence[str] = ()):
    """Open the networks of one input of a job, as they are computed there, and say up to which loss they are optima."""
    from wedgescape.training.optima import Optima  # imports torch, which most figures and the explorer do not need

    fit = Fit(**snakemake.params.job["sections"]["fit"])
    way = (snakemake.config["device"], snakemake.config["strategy"], fit.maximum_loss)
    return Optima.open(open_store(snakemake.input.data), snakemake.input[weights], *way, without)


SWEPT = {"AlongSweeps": "sweeps", "AlongMatchedSweeps": "matched_sweeps"}  # place -> its sweeps in a job's context


def _stores(paths, place: str, context: dict):
    """Open a measurement's stores as their reader wants them (`study.places`)."""
    by_setting = {setting_of(path): path for path in ([paths] if isinstance(paths, str) else paths)}
    if place in ("AtSetting", "AtBase", "TrainedAtBase"):
        return _loaded(by_setting.get(context.get("base_setting"), next(iter(by_setting.values()))))
    stores = {setting: _loaded(by_setting[setting]) for setting in context["settings"][place]}
    if place in SWEPT:
        return {sweep: along(stores, values) for sweep, values in context[SWEPT[place]].items()}
    if place == "OfMethods":
        return {method: stores[setting] for method, setting in context["methods"].items()}
    return stores


@cache
def _loaded(path: str):
    """Return what is in a store. The claims of several files are made in one job, which reads each store once."""
    return load_store(path)
