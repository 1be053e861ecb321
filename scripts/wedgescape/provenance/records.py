"""The record that each job leaves: what varies from run to run, and by which bytes its results are known again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from wedgescape.errors import InputError
from wedgescape.provenance.file_sums import FileSums, sha256
from wedgescape.stores.whole_files import whole_file

FOLDER = "provenance"  # in a study's folder
PACKAGES = (
    *("torch", "numpy", "scipy", "xarray", "zarr", "pandas", "scikit-learn", "torchmetrics", "seaborn", "matplotlib"),
    "snakemake",
)
SOURCES = Path(__file__).resolve().parents[3]


def record_path(snakemake) -> Path:
    """Return the path of a job's record, `{results}/provenance/{rule}/{job}.json`."""
    rule = snakemake.params.job["rule"]
    name = "_".join(dict(snakemake.wildcards.items()).values()) or rule
    return Path(snakemake.config["results"]) / FOLDER / rule / f"{name}.json"


def result_name(path: str | Path, config: dict) -> str:
    """Return what a result is called wherever it lies: its path from `results/{study}/` on.

    The prefix of a workflow that imports this one is no part of it, and neither is the folder in which Snakemake keeps
    local copies of what lies in object storage.

    Args:
        path: of any file; one that is no result is called by its path.
        config: the complete config, with `results`: the study's folder as it lies below the one Snakemake runs in.
    """
    folder = config["results"].strip("/")
    _, found, rest = f"/{path}".rpartition(f"/{folder}/")
    return f"results/{config['study']}/{rest}" if found else str(path)


def write_record(snakemake, started: float) -> None:
    """Write the record of a job that has just succeeded.

    Args:
        snakemake: what Snakemake puts into a script.
        started: seconds since 1970.
    """
    path = record_path(snakemake)
    record = {
        "rule": snakemake.params.job["rule"],
        "wildcards": dict(snakemake.wildcards.items()),
        "input": described(snakemake.input, snakemake.config),
        "output": described(snakemake.output, snakemake.config),
        "params": dict(snakemake.params.items()),
        "seeds": snakemake.config["all_seeds"],
        "threads": snakemake.threads,
        "started": started,
        "ended": time.time(),
        "host": _host(),
        "versions": _versions(),
        "source": _source(path.parents[1], snakemake.config["commit"]),
        "peak_memory_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    with whole_file(path) as beside:
        beside.write_text(json.dumps(record, indent=1, default=str), encoding="utf-8")


def described(paths: Iterable[str | Path], config: dict) -> dict[str, dict]:
    """Return the size (bytes) and the SHA-256 of files, by their names (`result_name`)."""
    return {
        result_name(path, config): {"bytes": Path(path).stat().st_size, "sha256": sha256(path)}
        for path in sorted(set(map(str, paths)))
    }


def _host() -> dict:
    host = {
        "name": socket.gethostname(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "cpu": _processor(),
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "gpu": None,
        "driver": None,
    }
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        host["gpu"] = torch.cuda.get_device_name()
        with contextlib.suppress(OSError):
            asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
            said = subprocess.run(asked, capture_output=True, encoding="utf-8", check=False).stdout
            host["driver"] = said.split("\n")[0]
    return host


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def git(*arguments: str) -> str | None:
    """Return what git says of the sources; None where there is no git or no repository."""
    with contextlib.suppress(OSError):
        asked = ["git", "-C", SOURCES, *arguments]
        done = subprocess.run(asked, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if done.returncode == 0:
            return done.stdout
    return None


def _source(folder: Path, hosted: str | None = None) -> dict:
    """Return the commit of the sources and how they differ from it; the difference goes into a file of its own.

    Args:
        folder: of the study's records.
        hosted: the commit of a hosted repository, of which no more than files is here.
    """
    if hosted:
        return {"commit": hosted, "dirty": False, "difference": None}
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None, "difference": None}
    # Also files that git does not know; `--intent-to-add` would show them, but change the user's index.
    changes = git("status", "--porcelain", "--untracked-files=all") or ""
    if not changes:
        return {"commit": commit.strip(), "dirty": False, "difference": None}
    text = changes + "\n" + (git("diff", "HEAD") or "")
    path = folder / "differences" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.diff"
    if not path.exists():
        with whole_file(path) as beside:
            beside.write_text(text, encoding="utf-8")
    return {"commit": commit.strip(), "dirty": True, "difference": str(path)}


def read_records(study: str | Path) -> Iterator[dict]:
    """Yield the records of all jobs of a study, in the order of their names.

    Args:
        study: its folder.

    Raises:
        InputError: if one is damaged, or of a version that did not tell results by their bytes.
    """
    for path in sorted((Path(study) / FOLDER).glob("*/*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            known = all(made.keys() >= {"bytes", "sha256"} for made in record["output"].values())
        except (ValueError, KeyError, AttributeError, TypeError):
            known = False
        if not known:
            raise InputError(
                f"{path}: this job record was written by another version and cannot be read. It holds no results, so "
                "you can delete it"
            )
        yield record


# Results that were changed since


def set_aside_changed(study: str | Path, known: str | Path) -> list[Path]:
    """Set aside the results that are not, in every byte, what a job has made; so Snakemake makes them again.

    Snakemake itself would take a changed store for a new one and go on with it.

    Args:
        study: its folder.
        known: a file in which to keep what was looked at, so that only what is new or touched is read again.

    Returns:
        Where they are now: the result's path, with `.changed` added.
    """
    made = {_result_path(name, study): one for record in read_records(study) for name, one in record["output"].items()}
    there = [path for path in made if path.is_file()]
    sums, aside = FileSums(Path(known)).of(there), []
    for path in there:
        if sums[str(path)] != made[path]["sha256"]:
            aside.append(Path(f"{path}.changed"))
            os.replace(path, aside[-1])
    return aside


def _result_path(name: str, study: str | Path) -> Path:
    """Return where the result of a name (`result_name`) lies, by its study's folder."""
    parts = Path(name).parts
    return Path(study, *parts[2:]) if parts[0] == "results" else Path(name)
