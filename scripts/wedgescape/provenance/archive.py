"""An archive of a study that proves where every figure came from: a Provenance Run Crate (RO-Crate 1.1), zipped.

Unpacked over a clone of the project, Snakemake finds nothing to be done. The metadata tell of each file the size and
the SHA-256, and of each job what it read and made; the job's record, which is in the archive, tells the rest.

Source: the profiles of Leo et al. 2024, doi:10.1371/journal.pone.0309210.
"""

from __future__ import annotations

import base64
import contextlib
import mimetypes
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path, PurePosixPath

from wedgescape.errors import InputError
from wedgescape.provenance.file_sums import sha256
from wedgescape.provenance.records import FOLDER, SOURCES, read_records
from wedgescape.provenance.verify import sidecar
from wedgescape.stores.whole_files import whole_file
from wedgescape.study.catalogue import LIBRARY, file_of

PROJECT = ("workflow", "scripts", "config", "envs", "Makefile", "README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE")
PROJECT += ("pyproject.toml",)
LEFT_OUT = ("__pycache__", ".part", ".changed", ".sif", "checkpoints")  # ends of names
# In a study's folder: what comes with an archive and after it.
EXPORT = "export"  # the folder of `make export`: the weights once more, which no job made
ITSELF = ("archive.zip", "archive.zip.sha256", f"{FOLDER}/archive/archive.json")
ITSELF += ("logs/archive.log", "benchmarks/archive.tsv")
SNAKEMAKE_METADATA = Path(".snakemake/metadata")

TERMS = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
LICENCE = "https://spdx.org/licenses/MIT"
SNAKEFILE = "workflow/Snakefile"
COMPLETED = "http://schema.org/CompletedActionStatus"
MEDIA_TYPES = {".zarr.zip": "application/zip", ".smk": "text/x-snakemake", "/Snakefile": "text/x-snakemake"}
MEDIA_TYPES |= {".yaml": "text/yaml", ".log": "text/plain", ".mmd": "text/vnd.mermaid"}


# What belongs to it


def records_of(study: str | Path, results: Collection[str]) -> tuple[list[dict], list[dict]]:
    """Return the records of the jobs that made a study's results, and those that an earlier config left behind.

    Args:
        study: its folder, `…/results/{study}`.
        results: names of all that the present config asks for, weights among them.
    """
    present, left = [], []
    for record in read_records(study):
        if record["rule"] != "archive":
            (present if record["output"].keys() & set(results) else left).append(record)
    return present, left


def members(
    study: str | Path, left: Iterable[dict] = (), own: Iterable[str | Path] = (), with_weights: bool = False
) -> dict[str, Path]:
    """Return the files that an archive of a study holds: name in the archive -> where the file is, in order of names.

    Args:
        study: its folder, `…/results/{study}`.
        left: records of jobs that are not to be in it, and neither what they made (`records_of`).
        own: the user's files: configs, a model, data. Those outside of the working folder are left out; the complete
            config among the records tells what they said.
        with_weights: whether the networks' weights are among them.
    """
    study = Path(study)
    found = {path.relative_to(SOURCES).as_posix(): path for part in PROJECT for path in _files(SOURCES / part)}
    found |= {path.as_posix(): path for path in map(Path, own) if path.is_file() and not path.is_absolute()}
    results = {path.relative_to(study): path for path in _files(study)}
    apart = {EXPORT} if with_weights else {EXPORT, "weights"}
    for name, path in results.items():
        if name.as_posix() not in ITSELF and name.parts[0] not in apart:
            found[f"results/{study.name}/{name.as_posix()}"] = path
    without = {name for record in left for name in (*record["output"], _record_name(study, record))}
    kept = {name: path for name, path in found.items() if name not in without and _belongs(PurePosixPath(name))}
    return dict(sorted((kept | _snakemake_metadata(f"results/{study.name}/")).items()))


def _files(path: Path) -> Iterator[Path]:
    return iter([path]) if path.is_file() else (file for file in path.rglob("*") if file.is_file())


def _belongs(name: PurePosixPath) -> bool:
    return not any(part.endswith(LEFT_OUT) or part.startswith(".") for part in name.parts)


def _snakemake_metadata(results: str) -> dict[str, Path]:
    """Return what Snakemake keeps of results, by which it knows what an edit reruns; also of weights left out."""
    found = {}
    for path in _files(SNAKEMAKE_METADATA):
        with contextlib.suppress(ValueError):  # another version of Snakemake may name them otherwise
            name = "".join(part.removeprefix("@") for part in path.relative_to(SNAKEMAKE_METADATA).parts)
            if base64.urlsafe_b64decode(name).decode().startswith(results):
                found[path.as_posix()] = path
    return found


def rule_graph(records: Iterable[dict]) -> str:
    """Return which rule's results which rule read, as a Mermaid flowchart."""
    records = list(records)
    makers = {path: record["rule"] for record in records for path in record["output"]}
    arrows = {(makers[path], record["rule"]) for record in records for path in record["input"] if path in makers}
    return "\n".join(["flowchart TD", *(f"    {made} --> {read}" for made, read in sorted(arrows)), ""])


# Writing


def write_archive(
    study: str | Path, records: list[dict], files: Mapping[str, Path], path: str | Path, versions: dict[str, str]
) -> None:
    """Write an archive, and beside it its SHA-256 as `sha256sum --check` reads it.

    Memory does not grow with the size of the files.

    Args:
        study: its folder.
        records: of its jobs (`records_of`).
        files: `members`.
        path: of the archive.
        versions: of Snakemake and of this project: `{"snakemake": …, "wedgescape": …}`.

    Raises:
        InputError: if no job has left a record.
    """
    if not records:
        raise InputError(f"{study}/{FOLDER}: found no job's record; run the workflow first")
    crate = _Crate(Path(study), records, files, versions).crate
    with whole_file(path) as beside:
        crate.write_zip(beside)
        digest = sha256(beside)
    with whole_file(sidecar(path)) as beside:
        beside.write_text(f"{digest}  {Path(path).name}\n", encoding="utf-8")


def _file_of_rule(rule: str) -> str:
    """Return the name of the file that says what a rule does: of its measurement or figure, or of its own script."""
    kind, _, name = rule.partition("_")
    rooms = {"measure": ("measurements", "analysis"), "plot": ("figures",)}.get(kind)
    if not rooms:
        return f"scripts/{rule}.py"
    return f"scripts/wedgescape/{file_of(name, *rooms).path.relative_to(LIBRARY).as_posix()}"


class _Crate:
    """The metadata of an archive, grown part by part."""

    def __init__(self, study: Path, records: list[dict], files: Mapping[str, Path], versions: dict[str, str]):
        from rocrate.rocrate import ROCrate

        self.study, self.records = study, records
        self.rules = _in_order(self.records)
        self.start = _time(min(record["started"] for record in self.records))
        self.end = _time(max(record["ended"] for record in self.records))
        self.crate = ROCrate(version="1.1")
        self.crate.metadata.extra_contexts.append(TERMS)
        self.things: dict[str, object] = {}
        self._describe_root()
        self._add_files(files)
        workflow, tools, steps = self._add_workflow(versions["wedgescape"])
        jobs = [self._add_job(record, tools) for record in self.records]
        self._add_run(workflow, steps, jobs, versions["snakemake"])

    def _describe_root(self) -> None:
        self.crate.name = f"Wedgescape: the study {self.study.name}"
        self.crate.description = (
            "Loss landscapes of trained networks: stores, tables, figures and verdicts, "
            "with the workflow and the jobs that made them."
        )
        self.crate.license = self._add(LICENCE, "CreativeWork", name="MIT License", description="Use with attribution.")
        makers = self._add("#developers", "Organization", name="The Wedgescape developers")
        self.crate.root_dataset["author"] = self.crate.root_dataset["publisher"] = makers
        self.crate.datePublished = self.end
        self.crate.root_dataset["conformsTo"] = [
            self._add(profile, "CreativeWork", name=name, version=profile.rsplit("/", 1)[1])
            for profile, name in PROFILES.items()
        ]

    def _add(self, identifier: str, kind: str, **properties):
        """Add something that is no file of the archive."""
        from rocrate.model.contextentity import ContextEntity

        return self.crate.add(ContextEntity(self.crate, identifier, properties={"@type": kind, **properties}))

    def _add_files(self, files: Mapping[str, Path]) -> None:
        tools = {_file_of_rule(rule): rule for rule in self.rules}
        for name, path in files.items():
            told = {"contentSize": str(path.stat().st_size), "sha256": sha256(path), "encodingFormat": _media(name)}
            if name == SNAKEFILE:
                told["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
                added = self.crate.add_workflow(path, name, main=True, lang="snakemake", properties=told)
            else:
                if name in tools:
                    told |= {"@type": ["File", "SoftwareSourceCode"], "name": tools[name]}
                added = self.crate.add_file(path, dest_path=name, properties=told)
            self.things[name] = added
        if "README.md" in self.things:
            self.things["README.md"]["about"] = self.crate.root_dataset

    def _thing(self, path: str, facts: dict):
        """Return a file by its path; one that is not in the archive, such as weights, is only described."""
        if path not in self.things:
            told = {"name": path, "contentSize": str(facts["bytes"]), "sha256": facts["sha256"]}
            self.things[path] = self._add(f"#{path}", "CreativeWork", **told)
        return self.things[path]

    def _add_workflow(self, version: str) -> tuple:
        workflow = self.things[SNAKEFILE]
        workflow["name"], workflow["version"] = "Wedgescape", version
        tools = {rule: self.things[_file_of_rule(rule)] for rule in self.rules}
        for record in self.records:
            tools[record["rule"]]["version"] = record["params"]["job"]["code"]
        steps = {
            rule: self._add(f"#step/{rule}", "HowToStep", name=rule, position=str(place), workExample=tools[rule])
            for place, rule in enumerate(self.rules)
        }
        workflow["hasPart"], workflow["step"] = list(tools.values()), list(steps.values())
        return workflow, tools, steps

    def _add_job(self, record: dict, tools: dict):
        name = _job_name(record)
        return self._add(
            f"#job/{name}",
            "CreateAction",
            name=name,
            description=" ".join([f"Rule {record['rule']}", *record["wildcards"].values()]),
            instrument=tools[record["rule"]],
            object=_one_or_all(self._thing(path, facts) for path, facts in record["input"].items()),
            result=_one_or_all(self._thing(path, facts) for path, facts in record["output"].items()),
            startTime=_time(record["started"]),
            endTime=_time(record["ended"]),
            actionStatus=COMPLETED,
            subjectOf=self.things[_record_name(self.study, record)],
        )

    def _add_run(self, workflow, steps: dict, jobs: list, snakemake_version: str) -> None:
        made = {path for record in self.records for path in record["output"]}
        run = self._add(
            "#run",
            "CreateAction",
            name=f"the study {self.study.name}",
            description=f"Every job of the study {self.study.name} that left a record.",
            instrument=workflow,
            object=_one_or_all(thing for path, thing in self.things.items() if path.startswith("config/")),
            result=[thing for path, thing in self.things.items() if path in made],
            startTime=self.start,
            endTime=self.end,
            actionStatus=COMPLETED,
        )
        controls = [
            self._add(
                f"#control/{_job_name(record)}",
                "ControlAction",
                name=f"control of {_job_name(record)}",
                instrument=steps[record["rule"]],
                object=job,
            )
            for record, job in zip(self.records, jobs, strict=True)
        ]
        engine = self._add(
            "#snakemake",
            "SoftwareApplication",
            name="Snakemake",
            url="https://snakemake.readthedocs.io",
            softwareVersion=snakemake_version,
        )
        organised = self._add(
            "#organisation",
            "OrganizeAction",
            name=f"Snakemake's run of the study {self.study.name}",
            instrument=engine,
            object=controls,
            result=run,
            startTime=self.start,
            endTime=self.end,
        )
        self.crate.root_dataset["mentions"] = [run, organised, *jobs]


def _one_or_all(things: Iterable) -> object:
    """Return the only one of some things, or a list of them, as RO-Crate wants it."""
    things = list(things)
    return things[0] if len(things) == 1 else things


def _record_name(study: Path, record: dict) -> str:
    return f"results/{study.name}/{FOLDER}/{_job_name(record)}.json"


def _job_name(record: dict) -> str:
    """Return the path of a job's record among the records, without its suffix."""
    return f"{record['rule']}/{'_'.join(record['wildcards'].values()) or record['rule']}"


def _media(name: str) -> str:
    named = next((kind for ending, kind in MEDIA_TYPES.items() if name.endswith(ending)), None)
    return named or mimetypes.guess_type(name)[0] or "application/octet-stream"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _in_order(records: list[dict]) -> list[str]:
    """Return the rules, each after those whose results it reads."""
    makers = {path: record["rule"] for record in records for path in record["output"]}
    needs: dict[str, set[str]] = {record["rule"]: set() for record in records}
    for record in records:
        needs[record["rule"]] |= {makers[path] for path in record["input"] if path in makers} - {record["rule"]}
    return list(TopologicalSorter({rule: sorted(needs[rule]) for rule in sorted(needs)}).static_order())
