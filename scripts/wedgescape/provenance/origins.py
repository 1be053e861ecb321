"""Where stores come from: what each says of itself, and whether the present config would make the same.

Snakemake takes any file that is there if it does not know how it was made, such as results copied from elsewhere. So a
store carries what determined it, and a job looks at its inputs before it reads them. Snakemake imports this module with
every job, so that it reads stores as the zip files that they are, without zarr.
"""

from __future__ import annotations

import errno
import json
import shlex
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from wedgescape.errors import InputError
from wedgescape.stores.attributes import SCHEMA_VERSION, SUFFIX, Origin, read_attributes

SHOWN = 4  # differences of one store that a message lists

# What zipfile raises for a file that was cut short or changed; OSError where that sends it to before the file's start.
DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
ABSENT = object()


def origin(snakemake) -> Origin:
    """Return the origin of the stores that a job writes: its own part of the config, and its inputs' origins.

    What rests on trained networks also rests on how many seeds there are, and which.
    """
    job = snakemake.params.job
    made = [json.loads(read_attributes(path)["config"]) for path in _stores(snakemake.input)]
    sections = {key: value for inherited in made for key, value in inherited["sections"].items()} | job["sections"]
    if "trains" in job:
        return Origin(job["rule"], job["code"], sections, job["trains"])
    settings = {name: training for inherited in made for name, training in inherited["settings"].items()}
    if settings:
        sections |= {key: snakemake.config[key] for key in ("seeds", "first_seed")}
    return Origin(job["rule"], job["code"], sections, settings)


def check_inputs(paths: Iterable[str | Path], config: dict) -> None:
    """Make sure that stores are whole, of this version, and what the present config asks for.

    Args:
        paths: of a job's inputs; those that are no stores are passed over.
        config: the complete config, with `settings`: name -> what determines the training there.

    Raises:
        InputError: if some are not; it names each of them, what was found in it, what is allowed, and what to do.
    """
    present = _stores(paths)
    found = {path: problems for path in present if (problems := _problems(path, config))}
    found = found or _trained_on_other_data(present)
    if not found:
        return
    lines = [f"{path}: {problem}" for path, problems in found.items() for problem in problems]
    cure = (
        "Delete them and run the workflow again to rebuild them, or use the config that made them: "
        f"rm {shlex.join(map(str, found))}"
    )
    raise InputError("\n  ".join(["stores that cannot be used for this study:", *lines, cure]))


def _stores(paths: Iterable[str | Path]) -> list[Path]:
    return [Path(path) for path in paths if str(path).endswith(SUFFIX)]


def _problems(path: Path, config: dict) -> list[str]:
    if not path.is_file():
        return ["there is no such store"]
    try:
        with zipfile.ZipFile(path) as packed:
            wrong = packed.testzip()
        attributes = {} if wrong else read_attributes(path)
    except KeyError:
        return ["not a zarr store: it has no zarr.json with attributes"]
    except DAMAGES as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise  # the disk's or the file system's fault, for which no store shall be deleted
        return [f"damaged or cut short, so that it cannot be read ({type(error).__name__}: {error})"]
    if wrong:
        return [f"damaged: {wrong} in it does not have the checksum that was stored with it"]
    version = attributes.get("schema_version")
    if version != SCHEMA_VERSION:
        return [f"schema_version is {version}; it must be {SCHEMA_VERSION}"]
    try:
        made = json.loads(attributes["config"])
        sections, settings = made["sections"], made["settings"]
        differences = [*_differing_sections(sections, config), *_differing_settings(settings, path, config["settings"])]
    except (KeyError, TypeError, ValueError, AttributeError):
        return ["it does not say what determined it: its attribute config is absent or not as this workflow writes it"]
    rest = len(differences) - SHOWN
    return differences[:SHOWN] + ([f"and {rest} more differences"] if rest > 0 else [])


def _trained_on_other_data(paths: list[Path]) -> dict[Path, list[str]]:
    """Equal configs may read other data: a user's own change with the file that the config names."""
    attributes = {path: read_attributes(path) for path in paths}
    data = {made["sha256"]: path for path, made in attributes.items() if "sha256" in made}
    return {
        path: [f"dataset_sha256 is not the sha256 of {', '.join(map(str, data.values()))}: trained on other data"]
        for path, made in attributes.items()
        if data and made.get("dataset_sha256", next(iter(data))) not in data
    }


def _differing_sections(sections: dict, config: dict) -> list[str]:
    return [text for key, value in sections.items() for text in _differences(value, _entry(config, key), key)]


def _differing_settings(settings: dict, path: Path, present: dict) -> list[str]:
    lines = []
    for name, training in settings.items():
        if name in present:
            lines += [f"at {name}, {text}" for text in _differences(training, present[name])]
        else:
            lines.append(f"made at the setting {name}, which the present config does not have")
    # Also of the right config, but by its name another setting's.
    named = {part.removesuffix(SUFFIX) for part in path.parts} & present.keys()
    trained = ", ".join(settings) or "no setting"
    lines += [f"made at {trained}; its path says {name}" for name in named - settings.keys()]
    return lines


def _differences(found, present, key: str = "") -> list[str]:
    """Tell where two values of plain JSON types differ, by dotted keys."""
    found, present = _leaves(found, key), _leaves(_plain(present), key)
    return [
        f"{place}: found {_told(found, place)}; the present config has {_told(present, place)}"
        for place in dict.fromkeys([*found, *present])
        if found.get(place, ABSENT) != present.get(place, ABSENT)
    ]


def _leaves(value, key: str) -> dict:
    if value is ABSENT:
        return {}
    if not isinstance(value, dict) or not value:
        return {key: value}
    leaves = {}
    for name, part in value.items():
        leaves |= _leaves(part, f"{key}.{name}".removeprefix("."))
    return leaves


def _plain(value):
    return value if value is ABSENT else json.loads(json.dumps(value))


def _told(leaves: dict, place: str) -> str:
    return json.dumps(leaves[place]) if place in leaves else "nothing"


def _entry(config: dict, key: str):
    """Return a section of a config, or one entry of a section by its dotted key."""
    value = config
    for name in key.split("."):
        value = value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
    return value
