"""Networks that were trained elsewhere: the files of a study's section `networks`, and what a table says of each.

The Snakefile loads this module whenever it is parsed, so it reads no weights.
"""

from __future__ import annotations

import csv
import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from wedgescape.errors import InputError
from wedgescape.study.problems import allowed, schema_of
from wedgescape.study.settings import Varied, swept

SUFFIXES = (".safetensors", ".pt", ".pth", ".npz")  # of files with weights
FILE, SEED = ("file", "path"), "seed"  # columns of the table beside hyperparameters
NAMED = 8  # files that a message lists at most

# Keys of a config that say how networks are made, and what a config with `networks` has instead.
REPLACED = {
    "model": "give networks.model",
    "training": "nothing is trained, so leave it out; networks.base and networks.table have hyperparameters",
    "matched": "nothing is trained, so leave it out",
    "seeds": "the number of networks follows from networks.files, so leave it out",
    "base_seeds": "the number of networks follows from networks.files, so leave it out",
    "first_seed": "the seeds are those of networks.table, or 0, 1, … in the order of the files, so leave it out",
    "seeds_per_job": "nothing is trained, so leave it out",
    "confirms": "a confirmation needs networks from fresh seeds: make a study of its own of them, so leave it out",
}

# What a message calls the numbers of networks, which a config with `networks` does not give.
COUNTS = {"seeds": "the networks of each setting", "base_seeds": "the networks of the base setting"}


@dataclass(frozen=True)
class Network:
    """One file with weights.

    Args:
        file: its path, relative to the folder that Snakemake runs in.
        setting: what is known of its hyperparameters, by the keys of `sweeps`.
        seed: its seed, where the table says it.
    """

    file: str
    setting: dict
    seed: int | None = None


def beside(config: dict) -> Iterator[str]:
    """Yield what a config with `networks` must not have."""
    for name, cure in REPLACED.items():
        if config.get(name) is not None:
            yield f"{name}: found beside networks; {cure}"


def read(section: dict, known: dict) -> list[Network]:
    """Find the files of a section `networks`, in the order of the table, or of their names.

    Args:
        section: complete.
        known: hyperparameters of all networks, where neither the table nor `base` says others.

    Raises:
        InputError: if there is no file, or if the table and the files do not fit together; it lists what is wrong.
    """
    if section["files"] is None and section["table"] is None:
        raise InputError("networks.files: missing; give a pattern such as runs/*/model.safetensors, or networks.table")
    files = _files(section["files"]) if section["files"] is not None else None
    known = known | chosen(section)
    if section["table"] is None:
        return [Network(file, known) for file in files]
    return _rows(section["table"], files, known)


def files_of(config: dict) -> list[str]:
    """Return the files that an archive holds of a study's networks: the table, and where it holds weights, theirs."""
    if not config["networks"]:
        return []
    section, table = config["networks"], config["networks"]["table"]
    known = read(section, {}) if config["archive"]["weights"] else []
    return [*([table] if table else []), *(one.file for one in known)]


def chosen(section: dict) -> dict:
    """Return what `networks.base` says of the base setting, by the keys of `sweeps`.

    Raises:
        InputError: if a key is unknown or has a value that it cannot have.
    """
    found = _values("networks.base", {key: [value] for key, value in section["base"].items()})
    return {key: value for key, (value,) in found.items()}


def _files(patterns: str | Sequence[str]) -> list[str]:
    found: dict[Path, str] = {}  # a file that several patterns match counts once
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        files = [file for file in sorted(glob.glob(pattern, recursive=True)) if Path(file).is_file()]
        if not files:
            raise InputError(f"networks.files: no file matches {pattern} in {Path.cwd()}")
        found |= {Path(file).absolute(): file for file in files}
    return _of_weights(list(found.values()), "networks.files")


def _of_weights(files: list[str], place: str) -> list[str]:
    if wrong := [file for file in files if Path(file).suffix not in SUFFIXES]:
        raise InputError(f"{place}: found {listed(wrong)}; weights are read from {', '.join(SUFFIXES)} files")
    return files


def _rows(table: str, files: list[str] | None, known: dict) -> list[Network]:
    place = f"networks.table: {table}"
    names, rows = _read_table(table, place)
    column = next(name for name in names if name in FILE)
    keys = [name for name in names if name not in (*FILE, SEED)]
    paths = [str(Path(table).parent / row[column]) for row in rows]
    told = [Path(path).resolve() for path in paths]
    named = _of_weights([path for path in paths if Path(path).is_file()], place) if files is None else files
    there = {Path(file).resolve(): file for file in named}
    absent = [row[column] for row, one in zip(rows, told, strict=True) if one not in there]
    lines = []
    if absent:
        reason = "is no file" if files is None else "networks.files does not match"
        text = f"column {column} has {listed(absent)}, which {reason}"
        lines.append(f"{text}; paths are relative to {Path(table).parent}")
    if left := [there[one] for one in there if one not in told]:
        lines.append(f"it has no row for {listed(left)}, which networks.files matches")
    if twice := [there[one] for one in there if told.count(one) > 1]:
        lines.append(f"it has several rows for {listed(twice)}; there must be one for each file")
    if lines:
        raise InputError("\n  ".join(f"{place}: {line}" for line in lines))
    values = _values(place, {key: [_number(row[key]) for row in rows] for key in keys})
    seeds = [_seed(row, place) for row in rows] if SEED in names else [None] * len(rows)
    return [
        Network(there[one], known | {key: values[key][number] for key in keys}, seed)
        for number, (one, seed) in enumerate(zip(told, seeds, strict=True))
    ]


def _read_table(table: str, place: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return a table's columns and its rows."""
    if not Path(table).is_file():
        raise InputError(f"{place}: there is no such file in {Path.cwd()}")
    try:
        with open(table, encoding="utf-8-sig", newline="") as opened:  # spreadsheets put a mark before the first column
            reader = csv.DictReader(opened, strict=True)
            names, rows = [name.strip() for name in reader.fieldnames or ()], []
            reader.fieldnames = names
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(
                        f"{place}, line {reader.line_num}: it has not the {len(names)} cells of the first line"
                    )
                rows.append({name: cell.strip() for name, cell in row.items()})
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{place}: it is not a CSV file in UTF-8: {error}") from error
    may_be = f"allowed: {' or '.join(FILE)}, {SEED}, {', '.join(swept())}"
    if unknown := [name for name in names if name not in (*FILE, SEED, *swept())]:
        raise InputError(f"{place}: found the columns {', '.join(unknown)}; {may_be}")
    if len([name for name in names if name in FILE]) != 1 or len(set(names)) != len(names):
        text = f"{place}: found the columns {', '.join(names) or 'none'}"
        raise InputError(f"{text}; each must be there once, one of them {FILE[0]}")
    return names, rows


def _number(cell: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _seed(row: dict[str, str], place: str) -> int:
    if not row[SEED].isdecimal():
        raise InputError(f"{place}: column {SEED} has {row[SEED] or 'an empty cell'}; allowed: integer >= 0")
    return int(row[SEED])


def _values(place: str, values: dict[str, list]) -> dict[str, list]:
    """Return values of hyperparameters as a config has them: 64.0 units are 64.

    Raises:
        InputError: if one is unknown or has another value than its key in `sweeps` allows.
    """
    if unknown := [key for key in values if key not in swept()]:
        raise InputError(f"{place}: found {', '.join(map(str, unknown))}; allowed: {', '.join(swept())}")
    whole: dict[str, list] = {}
    for key, column in values.items():
        properties = schema_of(Varied)["properties"][key]
        item = next(option["items"] for option in properties["anyOf"] if "items" in option)
        for value in column:
            try:
                (one,) = getattr(Varied.model_validate({key: [value]}), key)
            except ValidationError:
                raise InputError(
                    f"{place}: {key} is {value if value != '' else 'empty'}; allowed: {allowed(item)}"
                ) from None
            whole.setdefault(key, []).append(one)
    return whole


def base_of(networks: Sequence[Network], wanted: dict, needed: Callable[[dict], Iterable[dict]]) -> dict:
    """Return the base setting: of the combinations that agree with what is wanted, that of most networks.

    Of several, it is the first around which all sweeps and grids have networks.

    Args:
        networks: of the study.
        wanted: some hyperparameters, by the keys of `sweeps`.
        needed: base setting -> all settings of the study that has it.

    Raises:
        InputError: if no network agrees.
    """
    agreeing = [one.setting for one in networks if wanted.items() <= one.setting.items()]
    if not agreeing:
        said = ", ".join(f"{key} {value}" for key, value in wanted.items())
        raise InputError(f"networks.table: no row has the {said} of networks.base and networks.model")
    most = max(map(agreeing.count, agreeing))
    candidates, there = [one for one in agreeing if agreeing.count(one) == most], [one.setting for one in networks]
    return next((one for one in candidates if all(other in there for other in needed(one))), candidates[0])


def by_seed(networks: Sequence[Network], settings: dict[str, dict], base: str) -> dict[str, dict[int, str]]:
    """Return the networks of each setting: seed -> file, first those of seeds that all settings have.

    Only the base setting keeps its others. Without seeds in the table, the networks of a setting are counted from 0.

    Args:
        networks: of the study.
        settings: of the study, by their names.
        base: name of the base setting.

    Raises:
        InputError: if a setting has no network, a seed twice, or no seed that all have.
    """
    found: dict[str, dict[int, str]] = {}
    for name, setting in settings.items():
        there = [one for one in networks if one.setting == setting]
        if not there:
            known = {
                key: value for key, value in setting.items() if any(one.setting.get(key) != value for one in networks)
            }
            said = ", ".join(f"{key} {value}" for key, value in known.items())
            text = f"sweeps and grids: no network in networks.table has {said}"
            raise InputError(
                f"{text}. Each combination of their values with those of the base setting must have networks"
            )
        seeds = [number if one.seed is None else one.seed for number, one in enumerate(there)]
        if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
            files = [one.file for one, seed in zip(there, seeds, strict=True) if seed == twice[0]]
            raise InputError(
                f"networks.table: seed {twice[0]} is that of {listed(files)}, which have equal hyperparameters"
            )
        found[name] = dict(sorted(zip(seeds, (one.file for one in there), strict=True)))
    shared = [seed for seed in found[base] if all(seed in one for one in found.values())]
    if not shared:
        text = "; ".join(f"{name} has {listed(list(map(str, one)))}" for name, one in found.items())
        raise InputError(f"networks.table: no seed is there at all settings: {text}")
    return {
        name: {seed: one[seed] for seed in (shared if name != base else dict.fromkeys([*shared, *one]))}
        for name, one in found.items()
    }


def unused(files: Sequence[str]) -> list[str]:
    """Return the sentence that names files which no setting of a study needs."""
    reason = "their settings are in no sweep or grid, or their seeds are not there at all settings"
    return [f"networks.files: {len(files)} files are not used, because {reason}: {listed(files)}"]


def listed(names: Sequence[str]) -> str:
    """Return names in a row, the first few of many."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
