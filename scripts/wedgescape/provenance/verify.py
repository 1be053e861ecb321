"""Whether an archive is what its metadata and its jobs' records say, and where each of its figures came from."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from wedgescape.errors import InputError
from wedgescape.provenance.file_sums import sha256
from wedgescape.provenance.origins import DAMAGES
from wedgescape.provenance.records import FOLDER

METADATA = "ro-crate-metadata.json"
RESULTS = (".zarr.zip", ".csv", ".png", ".pdf")  # of jobs


@dataclass(frozen=True)
class Figure:
    """Where a figure came from.

    Attributes:
        name: such as `tunnels`.
        stores: results that it rests on, directly or not -> their SHA-256.
        jobs: that made it and them, each a rule, its wildcards and the fingerprint of its code.
        seeds: of the networks that it rests on.
    """

    name: str
    stores: dict[str, str]
    jobs: list[tuple[str, str, str]]
    seeds: list[int]


def sidecar(path: str | Path) -> Path:
    """Return the path of the file with an archive's own checksum."""
    return Path(f"{path}.sha256")


def problems(path: str | Path) -> list[str]:
    """Return what is wrong with an archive, each by the name of the member that is concerned.

    Members may be damaged, changed, missing, unknown or twice there; a result may not be what its job made, or no
    job's; a job may have read another version of a result. One byte that differs anywhere is found: in a member by
    its SHA-256, elsewhere by the archive's own SHA-256 in the file beside it, where that is there.

    Raises:
        InputError: if there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such archive")
    found = []
    try:
        with zipfile.ZipFile(path) as packed:
            digests, found = _check_members(packed)
            found += _check_records(packed, digests)
    except DAMAGES as error:
        found.append(f"{path.name}: not a readable zip file ({error})")
    noted = sidecar(path).read_text(encoding="utf-8").split() if not found and sidecar(path).is_file() else None
    if noted is not None and noted != [sha256(path), path.name]:
        found.append(f"{path.name}: changed outside of what its members hold; {sidecar(path).name} tells its SHA-256")
    return found


def _check_members(packed: zipfile.ZipFile) -> tuple[dict[str, str], list[str]]:
    """Return the SHA-256 of sound members by their names, and what is wrong with the others."""
    names = packed.namelist()
    found = [f"{name}: {names.count(name)} times there" for name in sorted(set(names)) if names.count(name) > 1]
    try:
        told = {
            unquote(entity["@id"]).removeprefix("./"): entity
            for entity in json.loads(packed.read(METADATA))["@graph"]
            if "File" in ([entity["@type"]] if isinstance(entity["@type"], str) else entity["@type"])
        }
    except (*DAMAGES, KeyError, TypeError) as error:
        return {}, [*found, f"{METADATA}: damaged or not there ({type(error).__name__}: {error})"]
    digests = {}
    for name in sorted((told.keys() | set(names)) - {METADATA}):
        if name not in names:
            found.append(f"{name}: missing")
        elif name not in told:
            found.append(f"{name}: {METADATA} does not know it")
        else:
            try:
                with packed.open(name) as member:
                    digest = hashlib.file_digest(member, "sha256").hexdigest()
            except DAMAGES as error:
                found.append(f"{name}: damaged ({error})")
                continue
            if digest == told[name].get("sha256"):
                digests[name] = digest
            else:
                found.append(f"{name}: changed; its SHA-256 is {digest}, not {told[name].get('sha256')}")
    return digests, found


def _check_records(packed: zipfile.ZipFile, digests: dict[str, str]) -> list[str]:
    """Return which results are not what their jobs made, and which jobs read something else than was made."""
    made: dict[str, str] = {}
    found = []
    records = list(_records(packed, digests))
    for record in records:
        for name, facts in record["output"].items():
            made[name] = facts["sha256"]
            if digests.get(name, facts["sha256"]) != facts["sha256"]:
                found.append(f"{name}: not what the job of {record['rule']} made, by its record")
    studies = {PurePosixPath(name).parts[:2] for name in made}
    for name in digests.keys() - made.keys():
        folder = PurePosixPath(name).parts[:2]  # another study's results may be this one's input, as a user's own file
        if name.startswith("results/") and name.endswith(RESULTS) and (folder in studies or not studies):
            found.append(f"{name}: no job's record tells what made it")
    for record in records:
        for name, facts in record["input"].items():
            if made.get(name, facts["sha256"]) != facts["sha256"]:
                found.append(f"{name}: the job of {record['rule']} read another version of it, by its record")
    return found


def _records(packed: zipfile.ZipFile, names: Iterable[str]) -> Iterator[dict]:
    """Yield the records of jobs.

    Args:
        packed: the archive.
        names: of members that can be read.
    """
    for name in names:
        parts = name.split("/")
        if len(parts) == 5 and parts[0] == "results" and parts[2] == FOLDER and name.endswith(".json"):
            yield json.loads(packed.read(name))


def figures(path: str | Path) -> list[Figure]:
    """Return where each figure of an archive came from, by its jobs' records."""
    with zipfile.ZipFile(path) as packed:
        records = list(_records(packed, packed.namelist()))
    makers = {name: record for record in records for name in record["output"]}
    found = [_trace(record, makers) for record in records if record["rule"].startswith("plot_")]
    return sorted(found, key=lambda figure: figure.name)


def _trace(drawing: dict, makers: dict[str, dict]) -> Figure:
    stores: dict[str, str] = {}
    jobs: dict[tuple[str, str, str], None] = {}
    seeds: set[int] = set()
    waiting = [drawing]
    while waiting:
        record = waiting.pop(0)
        settings = record["params"]["job"]
        job = (record["rule"], " ".join(record["wildcards"].values()), settings["code"])
        if job not in jobs:
            jobs[job] = None
            seeds |= set(settings.get("seeds", []))
            stores |= {name: facts["sha256"] for name, facts in record["input"].items()}
            waiting += [makers[name] for name in record["input"] if name in makers]
    return Figure(drawing["rule"].removeprefix("plot_"), stores, list(jobs), sorted(seeds))


def as_text(figure: Figure) -> str:
    """Return where a figure came from, in words; jobs of one rule and code stand together."""
    together: dict[tuple[str, str], list[str]] = {}
    for rule, wildcards, code in figure.jobs:
        together.setdefault((rule, code), []).append(wildcards)
    lines = [figure.name, "  jobs"]
    for (rule, code), each in together.items():
        lines += [f"    {rule}, code {code}", *(f"      {wildcards}" for wildcards in each if wildcards)]
    lines += ["  stores", *(f"    {digest[:16]}  {name}" for name, digest in figure.stores.items())]
    if not figure.stores:
        lines[-1] += ": none"
    return "\n".join([*lines, f"  seeds {', '.join(map(str, figure.seeds)) or 'none'}"])
