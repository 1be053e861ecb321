"""What determines each result beside its inputs: the code that its job reaches, and parts of the config.

A rule's one `job` parameter holds it. So Snakemake reruns a job when it changes, and not for a touch, a comment or
another rule's setting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wedgescape.errors import InputError
from wedgescape.provenance.file_sums import FileSums
from wedgescape.provenance.fingerprints import Fingerprints
from wedgescape.study import own_networks
from wedgescape.study.catalogue import File
from wedgescape.study.layout import Layout, needs_networks
from wedgescape.study.settings import swept


@dataclass(frozen=True)
class Determinants:
    """What determines the results of one study.

    Args:
        layout: of the study.
        fingerprints: of the code.
        script: name of a script of the workflow -> where it is.
        sums: of the user's files.
    """

    layout: Layout
    fingerprints: Fingerprints
    script: Callable[[str], Path]
    sums: FileSums = field(default_factory=lambda: FileSums(None))

    @property
    def own_model(self) -> list[str]:
        """The user's own file with a model, if the study has one."""
        file = self.layout.study.config["model"]["file"]
        return [file] if file else []

    @property
    def own_data(self) -> list[str]:
        """The user's own file with a data set, if the study has one."""
        dataset = self.layout.study.config["dataset"]
        return [dataset["file"]] if isinstance(dataset, dict) else []

    @property
    def own_loss(self) -> list[str]:
        """The user's own file with a loss, if the study has one."""
        loss = self.layout.study.config["loss"]
        return [loss["file"]] if isinstance(loss, dict) else []

    @property
    def declared(self) -> dict[str, list[str]]:
        """The further files that the user's own data set and model read: `dataset` or `model` -> `files` there."""
        config = self.layout.study.config
        sections = {key: config[key] for key in ("dataset", "model") if isinstance(config[key], dict)}
        return {key: section["files"] for key, section in sections.items() if section.get("files")}

    def check_own_files(self) -> None:
        """Make sure that the user's own files are there: those with a data set and a model, and declared ones.

        Raises:
            InputError: if some are not; it lists them.
        """
        own, folder = {"dataset": self.own_data, "model": self.own_model, "loss": self.own_loss}, Path.cwd()
        lines = [
            f"{key}.file: {file}: there is no such file in {folder}"
            for key, files in own.items()
            for file in files
            if not Path(file).is_file()
        ]
        lines += [
            f"{key}.files: found no file {file} in {folder}"
            for key, files in self.declared.items()
            for file in files
            if not Path(file).is_file()
        ]
        if lines:
            raise InputError("\n  ".join(["The config cannot be used:", *lines]))

    def _declared(self, key: str) -> dict:
        """Return the content of declared files as a part of what determines a job, if there are any."""
        return {"files": self.sums.of(self.declared[key])} if key in self.declared else {}

    def of(self, rule: str, roots: Sequence, sections: Sequence[str] = (), **more) -> dict:
        """Return what determines a rule's results.

        Args:
            rule: its name here, whatever an importing workflow calls it.
            roots: where the code begins: paths, or (path, names of definitions in it).
            sections: of the config, or entries such as `data.train_examples`.
            more: that the job is to know.
        """
        parts = {key: self.layout.study.section(key) for key in sections}
        return {"rule": rule, "code": self.fingerprints.of(*roots), "sections": parts, **more}

    def data(self) -> dict:
        """Return what determines the data store."""
        sections = ["dataset", "data.train_examples", "data.test_examples"]
        return self.of(
            "prepare_data", [self.script("prepare_data.py"), *self.own_data], sections, **self._declared("dataset")
        )

    def models(self) -> dict:
        """Return what determines the check of the networks."""
        roots = [self.script("check_models.py"), *self.own_model, *self.own_loss]
        trained = self.layout.study.trainings().values()
        dropout = sorted({training["training"].get("dropout", 0) for training in trained})
        loss = self.layout.study.loss
        more = {"models": self.layout.study.models(), "dropout": dropout, "loss": loss, **self._declared("model")}
        if networks := self.layout.study.networks:
            more["networks"] = {
                setting: sorted(self.sums.of(files.values()).values()) for setting, files in networks.items()
            }
        return self.of("check_models", roots, ["device"], **more)

    def training(self, setting: str, seeds: str) -> dict:
        """Return what determines the weights of a chunk of seeds at a setting."""
        trains = {setting: self.layout.study.training(setting)}
        roots = [self.script("train.py"), *self.own_model, *self.own_loss]
        return self.of(
            "train", roots, trains=trains, seeds=self.layout.study.seeds_in(setting, seeds), **self._declared("model")
        )

    def reading(self, setting: str, seeds: str) -> dict:
        """Return what determines the weights of a chunk of given networks: the content of their files, by seed."""
        study = self.layout.study
        chunk = study.seeds_in(setting, seeds)
        sums = self.sums.of(study.networks[setting][seed] for seed in chunk)
        roots = [self.script("read_networks.py"), *self.own_model, *self.own_loss]
        networks = {str(seed): sums[study.networks[setting][seed]] for seed in chunk}
        trains = {setting: study.training(setting)}
        return self.of("read_networks", roots, trains=trains, seeds=chunk, networks=networks, **self._declared("model"))

    def measurement(self, file: File) -> dict:
        """Return what determines a measurement."""
        roots = [self.script("measure.py"), (file.path, ["VARIABLES", "measure"])]
        roots += [*self.own_model, *self.own_loss] if needs_networks(file) else []
        kinds = file.kinds("measure")
        methods = list(self.layout.study.methods) if "OptimaOfMethods" in kinds else []
        sections = file.sections("measure")
        sections += ["fit"] if needs_networks(file) and "fit" not in sections else []
        sections += ["base_seeds"] if "AllOptima" in kinds else []
        context = self.layout.context(*kinds)
        more = self._declared("model") if needs_networks(file) else {}
        return self.of(
            f"measure_{file.name}", roots, sections, name=file.name, methods=methods, context=context, **more
        )

    def figure(self, file: File) -> dict:
        """Return what determines a figure and the tables behind it."""
        functions = ("tabulate", "draw")
        roots = [self.script("plot.py"), (file.path, list(functions))]
        sections = ["figures", *file.sections(*functions)]
        context = self.layout.context(*file.kinds(*functions))
        # Fingerprints pass over what a key of the config declares; figures show these parts of it.
        labels = {key: [sweep.label, sweep.colour] for key, (_section, _field, sweep) in swept().items()}
        return self.of(
            f"plot_{file.name}",
            roots,
            sections,
            name=file.name,
            context=context,
            labels=labels,
            words=self.layout.study.words,
        )

    def claims(self, rules: dict) -> dict:
        """Return what determines the verdicts.

        Args:
            rules: all of config/rules.yaml.
        """
        files = self.layout.catalogue.claiming
        roots = [self.script("judge_claims.py"), *((file.path, ["claims"]) for file in files)]
        sections = ["claims", *(key for file in files for key in file.sections("claims"))]
        kinds = {kind for file in files for kind in file.kinds("claims")}
        context = self.layout.context(*kinds)
        more = {
            "files": [[file.path.parent.name, file.name] for file in files],
            "left_out": self.layout.catalogue.left_out,
            "words": self.layout.study.words,
        }
        return self.of("judge_claims", roots, sections, context=context, rules=rules, **more)

    def first_page(self, families: dict[str, str]) -> dict:
        """Return what determines the first page of the report.

        Args:
            families: of claims, each with its heading.
        """
        shown = {
            family: {"title": figure.constant("TITLE"), "text": text, "path": self.layout.pictures()[family]}
            for figure in self.layout.figures
            for family, text in figure.constant("STANDS_FOR", {}).items()
        }
        sections = ["dataset", "claims.confidence"]
        return self.of("summarise", [self.script("summarise.py")], sections, families=families, pictures=shown)

    def archive(self, configs: Sequence[str], results: Sequence[str]) -> dict:
        """Return what determines the archive.

        Args:
            configs: the config files that Snakemake read.
            results: every file that the study makes.
        """
        files = [*self.own_model, *self.own_data, *self.own_loss]
        beside = [file for file in sorted(self.fingerprints.beside(*files)) if file.is_relative_to(Path.cwd())]
        own = [*configs, *files, *(str(file.relative_to(Path.cwd())) for file in beside)]
        own += [file for declared in self.declared.values() for file in declared]
        config = self.layout.study.as_written
        own += own_networks.files_of(config)
        return self.of("archive", [self.script("archive.py")], ["archive"], config=config, results=results, own=own)
