"""Where a study's results are, and what each job reads: the Snakefile asks here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wedgescape.errors import InputError
from wedgescape.study.catalogue import NETWORKS, Catalogue, File
from wedgescape.study.losses import PLAIN, has_classes
from wedgescape.study.places import COMPARED, OF_TRAINING, PLACES, TOY, measurement_of, settings_at
from wedgescape.study.study import Study

# Part of a study -> what reads its settings, and what a figure of them is left out for where there are none.
NEEDED = {"sweeps": ("AlongSweeps", "the study has no sweeps"), "grids": ("InGrids", "the study has no grids")}
COMPUTED = (
    "Optima",
    "TrainedOptima",
    "AllOptima",
    "OptimaOfMethods",
)  # networks with their landscape, which needs the data


@dataclass(frozen=True)
class Layout:
    """The paths of one study.

    Args:
        study: whose results they are.
        known: all measurements and figures.
    """

    study: Study
    known: Catalogue

    @cached_property
    def catalogue(self) -> Catalogue:
        """The measurements, figures and claims of this study: all but those that it leaves out."""
        lacking = {kind: text for key, (kind, text) in NEEDED.items() if not getattr(self.study, key)}
        lacking |= OF_TRAINING if self.study.networks else {}
        named = self._of_training() | dict.fromkeys(self.study.config["leave_out"], "the config leaves it out")
        files = [*self.known.measurements.values(), *self.known.claiming]
        if self.study.loss != PLAIN:
            text = "the loss is not the plain cross-entropy"
            named |= {file.name: text for file in files if file.constant("OF_CROSS_ENTROPY", False)}
        if not has_classes(self.study.config["loss"]):
            named |= {file.name: "the labels are no classes" for file in files if file.constant("OF_CLASSES", False)}
        undrawn = {
            name: text
            for name, file in self.known.figures.items()
            for kind, text in lacking.items()
            if kind in file.kinds("tabulate", "draw")
        }
        return self.known.without(named, undrawn)

    def _of_training(self) -> dict[str, str]:
        """Measurements, and files of claims, that given networks are not enough for -> why."""
        if not self.study.networks:
            return {}
        taking = [(file, "measure") for file in self.known.measurements.values()]
        taking += [(file, "claims") for file in self.known.claiming]
        return {
            file.name: text
            for file, function in taking
            for kind, text in OF_TRAINING.items()
            if kind in file.kinds(function)
        }

    @property
    def results(self) -> str:
        """The folder of the study's results."""
        return f"results/{self.study.name}"

    @property
    def data(self) -> str:
        """The store of the data set."""
        return f"{self.results}/data/{self.study.dataset}.zarr.zip"

    @property
    def verdicts(self) -> str:
        """The table of the verdicts."""
        return f"{self.results}/claims.csv"

    @property
    def specifications(self) -> str:
        """The table of the other ways to measure what claims are about."""
        return f"{self.results}/tables/specifications.csv"

    @property
    def confirmation(self) -> str:
        """The table of the verdicts on fresh seeds (`make confirm`)."""
        return f"{self.results}_confirmation/claims.csv"

    @property
    def first_page(self) -> str:
        """The page on which the report opens."""
        return f"{self.results}/summary.html"

    def pictures(self) -> dict[str, str]:
        """The figure that stands for each family of claims on the report's first page: family -> its path."""
        return {
            family: f"{self.results}/figures/{figure.name}.png"
            for figure in self.figures
            for family in figure.constant("STANDS_FOR", {})
        }

    def weights(self, setting: str) -> list[str]:
        """The stores of all networks of a setting, one per chunk of seeds."""
        return [self.weights_of(setting, seeds) for seeds in self.study.chunks(setting)]

    def weights_of(self, setting: str, seeds: str) -> str:
        """The store of the networks of a chunk of seeds, such as `0-11`, at a setting."""
        return f"{self.results}/weights/{setting}/seeds~{seeds}.zarr.zip"

    def first_weights(self, setting: str) -> list[str]:
        """The stores of a setting's networks of the first `seeds` seeds, which every setting has."""
        return self.weights(setting)[: len(self.study.seed_chunks)]

    def kept_weights(self, folder: str | Path) -> set[str]:
        """The weights that the study must have: those of settings that have a weights folder at all.

        Without one (for example after unpacking an archive without weights), rules that need weights trigger training.

        Args:
            folder: of the study's results.
        """
        kept = [setting for setting in self.study.trainings() if Path(folder, "weights", setting).exists()]
        return {path for setting in kept for path in self.weights(setting)}

    def store(self, measurement: str, setting: str) -> str:
        """The store of a measurement at a setting."""
        return f"{self.results}/{measurement}/{setting}.zarr.zip"

    def settings(self, measurement: str, place: str, setting: str | None = None) -> list[str]:
        """The settings at which a function reads a measurement (`places`); the toy model has none."""
        toy = is_toy(self.catalogue.measurements[measurement])
        return [TOY] if toy else settings_at(place, self.study, setting)

    def read(self, file: File, *functions: str, setting: str | None = None) -> dict[str, list[str]]:
        """What functions of a file read beside networks: name of the input -> paths."""
        found = {
            name: [self.store(measurement, one) for one in self.settings(measurement, place, setting)]
            for name, place in file.reads(*functions).items()
            for measurement in [measurement_of(name, place)]
        }
        tables = {"Verdicts": self.verdicts, "Specifications": self.specifications}
        kinds = file.kinds(*functions)
        return found | {kind.lower(): [path] for kind, path in tables.items() if kind in kinds}

    def measured_from(self, file: File, setting: str) -> dict[str, str | list[str]]:
        """The inputs of a measurement at a setting: name -> path or paths.

        Raises:
            InputError: if the study has no such setting.
        """
        if is_toy(file):
            if setting != TOY:
                raise InputError(f"{file.name} is measured on the toy model alone: {self.store(file.name, TOY)}")
        else:
            self.study.check_setting(setting)
        kinds = file.kinds("measure")
        found = self.read(file, "measure", setting=setting)
        if kinds & set(COMPUTED):
            found["data"] = self.data
        if kinds & {"Optima", "TrainedOptima", "Weights"}:
            found["weights"] = self.first_weights(setting)
        if "AllOptima" in kinds:
            found["all_weights"] = self.weights(setting)
        if "OptimaOfMethods" in kinds:
            found |= {method: self.first_weights(place) for method, place in self.study.methods.items()}
        return found

    def judged_from(self) -> dict[str, list[str]]:
        """The stores that claims are about: name of the measurement -> paths."""
        found: dict[str, list[str]] = {}
        for file in self.catalogue.claiming:
            for name, paths in self.read(file, "claims").items():
                found[name] = list(dict.fromkeys([*found.get(name, []), *paths]))
        return found

    def context(self, *kinds: str) -> dict:
        """Where the stores lie that functions read, by the kinds (annotations) of their parameters."""
        study = self.study
        found = {}
        if {"AtBase", "TrainedAtBase"} & set(kinds):
            found["base_setting"] = study.base
        if "BaseSetting" in kinds:
            found["base"] = study.settings[study.base]
        if "AlongSweeps" in kinds:
            found["sweeps"] = {
                sweep: {setting: study.settings[setting][sweep] for setting in settings}
                for sweep, settings in study.sweeps.items()
            }
        if "AlongMatchedSweeps" in kinds:
            found["matched_sweeps"] = {
                sweep: {
                    matched: study.settings[setting][sweep]
                    for matched, setting in zip(settings, study.sweeps[sweep], strict=True)
                }
                for sweep, settings in study.matched.items()
            }
        if "Grids" in kinds:
            found["grids"] = {
                grid: {"keys": list(values), "settings": {name: study.settings[name] for name in study.grids[grid]}}
                for grid, values in zip(study.grids, study.config["grids"], strict=True)
            }
        if "Widths" in kinds:
            found["widths"] = [study.settings[setting]["width"] for setting in study.sweeps.get("width", [])]
        if "OfMethods" in kinds:
            found["methods"] = {"base": study.base} | {method: study.methods[method] for method in COMPARED}
        several = (set(PLACES) - {"AtSetting", "AtBase", "TrainedAtBase"}) & set(kinds)
        found["settings"] = {place: settings_at(place, study) for place in sorted(several)}
        return found

    @property
    def figures(self) -> list[File]:
        """The figures of this study."""
        return list(self.catalogue.figures.values())

    def unread(self) -> list[str]:
        """The stores of measurements that neither a claim nor a figure nor another measurement reads, at the base."""
        read = {name for file in self.known.figures.values() for name in file.measurements_read("tabulate", "draw")}
        read |= {name for file in self.known.claiming for name in file.measurements_read("claims")}
        read |= {name for file in self.known.measurements.values() for name in file.measurements_read("measure")}
        return [self.store(name, self.study.base) for name in self.catalogue.measurements if name not in read]


def is_toy(file: File) -> bool:
    """Return whether a measurement is of the toy model: it takes no networks and no other measurement."""
    return not file.kinds("measure") & set(NETWORKS) and not file.reads("measure")


def needs_networks(file: File) -> bool:
    """Return whether a measurement computes networks, so that it asks a cluster for a GPU."""
    return bool(file.kinds("measure") & set(COMPUTED))


def tables_of(file: File) -> list[str]:
    """Return the names of the tables behind a figure: those of its `TABLES`, else one named like the figure."""
    return list(file.constant("TABLES", (file.name,) if "tabulate" in file.definitions else ()))


def left_out_in_words(left_out: Mapping[str, str]) -> str:
    """Return which measurements and figures a study leaves out, and why, one reason after the other."""
    reasons: dict[str, list[str]] = {}
    for name, why in left_out.items():
        reasons.setdefault(why, []).append(name)
    return "Left out: " + "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items()) + "."
