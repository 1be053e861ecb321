"""Zarr stores that are complete or absent, and equal in every byte where their content is equal.

One store is one file: a zarr v3 hierarchy, zipped without a second compression and with fixed dates. Plain xarray
opens it:

    xr.open_zarr(zarr.storage.ZipStore(path, mode="r"), consolidated=False)

Numbers have types of the zarr v3 specification, so any reader of zarr 3 knows them. Text that is data, such as the
split of each example, is stored as codes with their meanings, as the CF conventions have it (`flag_values` and
`flag_meanings`: https://cfconventions.org, section 3.5); `open_store` gives back the words. Labels of coordinates are
text, because xarray selects by them. Their type is zarr's extension `string`, the only one for text of any length.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from wedgescape.errors import InputError
from wedgescape.stores.attributes import SCHEMA_VERSION, SUFFIX, Origin
from wedgescape.stores.whole_files import whole_file

CODES = 256  # of a uint8
SMALL = 2**20  # bytes of a variable that is not compressed
# Bytes of a store whose many small files are put together in memory, in an eighth of the time. Those of a larger one go
# to the job's temporary folder, not to the file system of the results.
IN_MEMORY = 2**28
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold


def _encoding(dataset: xr.Dataset) -> dict[str, dict]:
    """One chunk and one shard a variable, except that each seed of a weight matrix is a chunk of its own.

    A small variable is one plain chunk: unpacking it would take longer than reading it.
    """
    encoding = {}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "fiub" and variable.nbytes <= SMALL:
            encoding[name] = {"compressors": None} | (
                {"chunks": variable.shape} if variable.size and variable.ndim else {}
            )
        elif variable.ndim and variable.size and variable.dtype.kind in "fiub":
            chunks = (1, *variable.shape[1:]) if variable.dims[0] == "seed" and variable.ndim > 1 else variable.shape
            encoding[name] = {"chunks": chunks, "shards": variable.shape}
    return encoding


def write_store(content: xr.Dataset | dict[str, xr.Dataset], path: str | Path, origin: Origin) -> None:
    """Write a store as one file, moved into place when it is complete.

    Args:
        content: a dataset with a `description` on each variable, whose attributes are numbers or text; or several, by
            the names of the store's parts, each a group of its own.
        path: ends in `.zarr.zip`.
        origin: what made it; the attributes `created_by`, `code` and `config` (JSON {sections, settings}) say so.

    Raises:
        ValueError: if a variable says nothing about itself.
    """
    parts = {None: content} if isinstance(content, xr.Dataset) else {None: xr.Dataset(), **content}
    own = {
        "schema_version": SCHEMA_VERSION,
        "created_by": origin.rule,
        "code": origin.code,
        "config": as_json({"sections": origin.sections, "settings": origin.settings}),
    }
    if not isinstance(content, xr.Dataset):
        own["parts"] = as_json(list(content))
    in_memory = sum(part.nbytes for part in parts.values()) <= IN_MEMORY
    with whole_file(path) as beside, tempfile.TemporaryDirectory(prefix="wedgescape-") as folder:
        files: dict[str, zarr.core.buffer.Buffer] = {}
        place = zarr.storage.MemoryStore(files) if in_memory else folder
        for part, dataset in parts.items():
            dataset = _storable(dataset, own if part is None else {})
            mode = "w" if part is None else "a"
            dataset.to_zarr(
                place, group=part, mode=mode, consolidated=False, zarr_format=3, encoding=_encoding(dataset)
            )
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as packed:
            for name in sorted(files):
                packed.writestr(zipfile.ZipInfo(name, _DATE), files[name].to_bytes())
            for file in sorted(file for file in Path(folder).rglob("*") if file.is_file()):
                packed.writestr(zipfile.ZipInfo(file.relative_to(folder).as_posix(), _DATE), file.read_bytes())


def _storable(dataset: xr.Dataset, attributes: dict) -> xr.Dataset:
    """Return a dataset as it is written: attributes in a fixed order, text of any length."""
    silent = [str(name) for name, variable in dataset.data_vars.items() if "description" not in variable.attrs]
    if silent:
        raise ValueError(f"every variable needs a description; without one: {', '.join(silent)}")
    dataset = dataset.copy()
    # `assign_attrs` would keep the order of those that are there.
    dataset.attrs = dict(sorted((dataset.attrs | attributes).items()))
    dataset = dataset.assign({name: _as_codes(variable) for name, variable in dataset.data_vars.items()})
    # Text of a fixed length has no stable zarr v3 type; text of any length has.
    texts = {
        name: variable.astype(np.dtypes.StringDType())
        for name, variable in dataset.variables.items()
        if variable.dtype.kind == "U"
    }
    dataset = dataset.assign_coords({name: text for name, text in texts.items() if name in dataset.coords})
    return dataset.assign({name: text for name, text in texts.items() if name in dataset.data_vars})


def _as_codes(variable: xr.DataArray) -> xr.DataArray:
    """Return text as codes (uint8) that say what they mean, in order of appearance; other variables as they are.

    Text stays text where it is no word, since blanks separate the meanings, and where there are more words than codes.
    """
    if variable.dtype.kind not in "UT":
        return variable
    words = list(dict.fromkeys(map(str, variable.values.ravel())))
    if len(words) > CODES or any(word.split() != [word] for word in words):
        return variable
    codes = np.array([words.index(str(word)) for word in variable.values.ravel()], np.uint8)
    meant = {"flag_values": list(range(len(words))), "flag_meanings": " ".join(words)}
    return xr.DataArray(codes.reshape(variable.shape), variable.coords, variable.dims, attrs=variable.attrs | meant)


def _as_words(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset as it was before `_as_codes`."""
    found = {name: variable for name, variable in dataset.data_vars.items() if "flag_meanings" in variable.attrs}
    for name, variable in found.items():
        attributes = {key: value for key, value in variable.attrs.items() if not key.startswith("flag_")}
        words = np.array(variable.attrs["flag_meanings"].split())[variable.values]
        dataset = dataset.assign({name: (variable.dims, words, attributes)})
    return dataset


def open_store(path: str | Path) -> xr.Dataset | dict[str, xr.Dataset]:
    """Open a store, lazily: a dataset, or one per part where the store has parts, by their names.

    Raises:
        InputError: if it is missing, damaged or of another schema version; the message says how to rebuild it.
    """
    path = Path(path)
    again = f"delete {path} and run the workflow again to rebuild it"
    if not path.is_file():
        raise InputError(f"{path}: there is no such store")
    try:
        store = zarr.storage.ZipStore(path, mode="r")
        dataset = xr.open_zarr(store, chunks=None, consolidated=False)
        parts = json.loads(dataset.attrs.get("parts", "[]"))
        content = {part: _as_words(xr.open_zarr(store, group=part, chunks=None, consolidated=False)) for part in parts}
        content = content or _as_words(dataset)
    except Exception as error:  # zip, zarr and xarray raise many kinds
        raise InputError(f"{path}: not a readable zarr store ({type(error).__name__}: {error}); {again}") from error
    found = dataset.attrs.get("schema_version")
    if found != SCHEMA_VERSION:
        raise InputError(f"{path}: schema_version is {found}; it must be {SCHEMA_VERSION}; {again}")
    return content


def open_weights(paths: str | Path | Sequence[str | Path], without: Sequence[str] = ()) -> xr.Dataset:
    """Open the weights of one setting, however many chunks of seeds they lie in, as one dataset.

    Args:
        paths: one store or several, e.g. `sorted(Path("results/digits/weights/lr~0.05_…").glob("*.zarr.zip"))`.
        without: variables that are not read, such as `trajectory`, which is as large as many networks.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    chunks = [open_store(path).drop_vars(list(without), errors="ignore") for path in paths]
    if len(chunks) == 1:
        return chunks[0]
    return xr.concat(
        chunks, "seed", data_vars="minimal", coords="minimal", compat="override", join="exact", combine_attrs="override"
    ).sortby("seed")


@dataclass(frozen=True)
class Variable:
    """What a variable of a store is.

    Args:
        dims: its dimensions.
        description: what it is, in words.
        units: `1` for a number without one; None for what is no number.
    """

    dims: tuple[str, ...]
    description: str
    units: str | None = None


def in_unit(store: xr.Dataset, unit: str) -> xr.Dataset:
    """Return a store whose losses are in another unit than nats, which `Variable` declares for the cross-entropy."""
    if unit == "nat":
        return store
    for one in store.data_vars.values():
        if "nat" in str(one.attrs.get("units", "")).split():
            one.attrs["units"] = " ".join(unit if word == "nat" else word for word in one.attrs["units"].split())
    return store


def labelled(variables: dict[str, Variable], values: dict, coordinates: dict, attributes: dict | None = None):
    """Return a dataset of the values of some variables.

    Args:
        variables: name -> what it is; more than there are values for may be declared.
        values: name -> array.
        coordinates: name of a dimension -> its values.
        attributes: of the dataset.

    Raises:
        KeyError: if a value has no declared variable.
    """
    made = {name: described(variables[name].dims, value, variables[name].description, variables[name].units)
            for name, value in values.items()}  # fmt: skip
    return xr.Dataset(made, coordinates, attributes)


def described(dims: Sequence[str], values, description: str, units: str | None = None) -> tuple:
    """Return an xarray variable that says what it is."""
    attributes = {"description": description} | ({"units": units} if units else {})
    return tuple(dims), np.asarray(values), attributes


def as_json(value) -> str:
    """Return JSON text that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def as_rows(dataset: xr.Dataset, dims: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Return a dataset as a table, one row per point of `dims`, in this order of rows and columns.

    Left to itself, xarray orders both by how the variables came out of a store, which differs from run to run.
    """
    return dataset.to_dataframe(dim_order=list(dims)).reset_index()[[*dims, *columns]]


def write_table(table, path: str | Path) -> None:
    """Write a tidy table (one row an observation) as CSV, moved into place when it is complete."""
    write_text(table.to_csv(index=False, float_format="%.9g", lineterminator="\n"), path)


def write_text(text: str, path: str | Path) -> None:
    """Write a text file, moved into place when it is complete."""
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def load_store(path: str | Path) -> xr.Dataset | dict[str, xr.Dataset]:
    """Open a store, as `open_store` does, and read all of it into memory."""
    content = open_store(path)
    return content.load() if isinstance(content, xr.Dataset) else {part: one.load() for part, one in content.items()}


def setting_of(path: str | Path) -> str:
    """Return the setting that a measurement's store belongs to: the name of its file."""
    return Path(path).name.removesuffix(SUFFIX)


def along(stores: dict[str, xr.Dataset], values: dict[str, float | str]) -> xr.Dataset:
    """Return the stores of some settings as one dataset over `value`: {setting: value}, in this order."""
    places = xr.Variable("value", list(values.values()))
    return xr.concat([stores[setting] for setting in values], places, combine_attrs="override")
