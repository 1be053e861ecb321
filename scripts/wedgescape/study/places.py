"""At which settings of a study a function reads a measurement's stores: the annotations of its parameters.

`def draw(tunnels: AlongSweeps, training: AtBase)` reads tunnels over each sweep, and training at the base setting. The
catalogue goes by the names of these types; here they say what the function receives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    import xarray as xr

    from wedgescape.study.study import Study

AtSetting: TypeAlias = "xr.Dataset"  # at the setting that the job itself is about
AtBase: TypeAlias = "xr.Dataset"  # at the base setting
TrainedAtBase: TypeAlias = "xr.Dataset"  # the same, where it must be known how training went
AlongSweeps: TypeAlias = "dict[str, xr.Dataset]"  # sweep -> over `value`, in the order of the values
AtWidths: TypeAlias = "dict[str, xr.Dataset]"  # setting -> store, at every width swept and at the base setting
OfMethods: TypeAlias = "dict[str, xr.Dataset]"  # method -> store: one solution, a longer training, SWA, SAM
AlongMatchedSweeps: TypeAlias = "dict[str, xr.Dataset]"  # as AlongSweeps, of networks stopped at one training loss
InGrids: TypeAlias = "dict[str, xr.Dataset]"  # setting -> store, at all settings of all grids
AtAllSettings: TypeAlias = "dict[str, xr.Dataset]"  # setting -> store, at all settings of sweeps, grids and methods

BaseSetting: TypeAlias = dict  # the base setting's hyperparameters, by their keys in `sweeps`
Grids: TypeAlias = dict  # grid -> `keys` that it varies, and `settings`: name -> hyperparameters
Widths: TypeAlias = "list[int]"  # the values of the sweep over width; none without one
SettingName: TypeAlias = str  # of the setting that the job is about
Tell: TypeAlias = "Callable[[str], None]"  # receives a line of progress
Tables: TypeAlias = dict  # what `tabulate` returned: name -> table
Verdicts: TypeAlias = "pd.DataFrame"  # the table of all verdicts
Specifications: TypeAlias = "pd.DataFrame"  # the table of the other ways to measure what claims are about
Families: TypeAlias = dict  # name of each family of claims -> its heading
Origins: TypeAlias = dict  # which file makes which claim, and its figures, tables and stores
Weights: TypeAlias = "xr.Dataset"  # the weights store of the job's setting, without its landscape

PLACES = (
    "AtSetting",
    "AtBase",
    "TrainedAtBase",
    "AlongSweeps",
    "AlongMatchedSweeps",
    "AtWidths",
    "OfMethods",
    "InGrids",
    "AtAllSettings",
)
# A function that reads a measurement at several places may name the further ones `matched_tunnels`, `all_tunnels`.
PREFIXES = {"AlongMatchedSweeps": "matched_", "AtAllSettings": "all_"}
COMPARED = ("longer", "swa", "sam")  # methods whose single solutions are compared with the base setting's

# What needs to know how networks were trained, and why nothing else can be taken. The rest runs on any networks.
OF_TRAINING = {
    "TrainedOptima": "it needs the networks as they were before training",
    "TrainedAtBase": "it shows how training went",
    "OfMethods": "it compares ways of training",
    "OptimaOfMethods": "it compares ways of training",
}

TOY = "toy"  # in place of a setting: the toy model has no networks


def measurement_of(parameter: str, place: str) -> str:
    """Return the measurement that a parameter names.

    Args:
        parameter: its name.
        place: its annotation, one of `PLACES`.
    """
    return parameter.removeprefix(PREFIXES.get(place, ""))


def settings_at(place: str, study: Study, setting: str | None = None) -> list[str]:
    """Return the settings at which a function reads a measurement of networks, each once.

    Args:
        place: one of `PLACES`.
        study: whose settings.
        setting: that the job is about, if it is about one.
    """
    swept = [name for names in study.sweeps.values() for name in names]
    in_grids = [name for names in study.grids.values() for name in names]
    compared = [study.base, *(study.methods[method] for method in COMPARED if method in study.methods)]
    found = {
        "AtSetting": [setting or study.base],
        "AtBase": [study.base],
        "TrainedAtBase": [study.base],
        "AlongSweeps": swept,
        "AlongMatchedSweeps": [name for names in study.matched.values() for name in names],
        "AtWidths": [*study.sweeps.get("width", []), study.base],
        "OfMethods": compared,
        "InGrids": in_grids,
        "AtAllSettings": [*swept, *in_grids, *compared],
    }
    return list(dict.fromkeys(found[place]))
