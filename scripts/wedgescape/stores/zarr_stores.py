"""Zarr stores that are complete or absent, and equal in every byte where their content is equal.

One store is one file: a zarr v3 hierarchy, zipped without a second compression and with fixed dates. Plain xarray
opens it:

    xr.open_zarr(zarr.storage.ZipStore(path, mode="r"), consolidated=False)
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from wedgescape.errors import InputError
from wedgescape.stores.attributes import SCHEMA_VERSION, Origin
from wedgescape.stores.whole_files import whole_file

_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold


def _encoding(dataset: xr.Dataset) -> dict[str, dict]:
    """One chunk and one shard a variable, except that each seed of a weight matrix is a chunk of its own."""
    encoding = {}
    for name, variable in dataset.variables.items():
        if variable.ndim and variable.size and variable.dtype.kind in "fiub":
            chunks = (1, *variable.shape[1:]) if variable.dims[0] == "seed" and variable.ndim > 1 else variable.shape
            encoding[name] = {"chunks": chunks, "shards": variable.shape}
    return encoding


def write_store(dataset: xr.Dataset, path: str | Path, origin: Origin) -> None:
    """Write a dataset as one file, moved into place when it is complete.

    Args:
        dataset: with a `description` on each variable; attributes are numbers or text.
        path: ends in `.zarr.zip`.
        origin: what made it; the attributes `created_by`, `code` and `config` (JSON {sections, points}) say so.

    Raises:
        ValueError: if a variable says nothing about itself.
    """
    silent = [str(name) for name, variable in dataset.data_vars.items() if "description" not in variable.attrs]
    if silent:
        raise ValueError(f"every variable needs a description; without one: {', '.join(silent)}")
    attributes = {
        **dataset.attrs,
        "schema_version": SCHEMA_VERSION,
        "created_by": origin.rule,
        "code": origin.code,
        "config": as_json({"sections": origin.sections, "points": origin.points}),
    }
    dataset = dataset.copy()
    dataset.attrs = dict(sorted(attributes.items()))  # `assign_attrs` would keep the order of those that are there
    # Text of a fixed length has no stable zarr v3 type; text of any length has.
    texts = {
        name: variable.astype(np.dtypes.StringDType())
        for name, variable in dataset.variables.items()
        if variable.dtype.kind == "U"
    }
    dataset = dataset.assign_coords({name: text for name, text in texts.items() if name in dataset.coords})
    dataset = dataset.assign({name: text for name, text in texts.items() if name in dataset.data_vars})
    # The many small files of a store go to the job's temporary folder, not to the file system of the results.
    with whole_file(path) as beside, tempfile.TemporaryDirectory(prefix="wedgescape-") as folder:
        dataset.to_zarr(folder, mode="w", consolidated=False, zarr_format=3, encoding=_encoding(dataset))
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as packed:
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _DATE)
                    packed.writestr(entry, file.read_bytes())


def open_store(path: str | Path) -> xr.Dataset:
    """Open a store, lazily.

    Raises:
        InputError: if it is missing, damaged or of another schema version; the message says how to rebuild it.
    """
    path = Path(path)
    again = f"delete {path} and run the workflow again to rebuild it"
    if not path.is_file():
        raise InputError(f"{path}: there is no such store")
    try:
        dataset = xr.open_zarr(zarr.storage.ZipStore(path, mode="r"), consolidated=False)
    except Exception as error:  # zip, zarr and xarray raise many kinds
        raise InputError(f"{path}: not a readable zarr store ({type(error).__name__}: {error}); {again}") from error
    found = dataset.attrs.get("schema_version")
    if found != SCHEMA_VERSION:
        raise InputError(f"{path}: schema_version is {found}, allowed is {SCHEMA_VERSION}; {again}")
    return dataset


def open_weights(paths: str | Path | Sequence[str | Path]) -> xr.Dataset:
    """Open the weights of one point of the grid, however many chunks of seeds they lie in, as one dataset.

    Args:
        paths: one store or several, e.g. `sorted(Path("results/digits/weights/lr~0.05_…").glob("*.zarr.zip"))`.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    chunks = [open_store(path) for path in paths]
    if len(chunks) == 1:
        return chunks[0]
    return xr.concat(
        chunks, "seed", data_vars="minimal", coords="minimal", compat="override", join="exact", combine_attrs="override"
    ).sortby("seed")


def described(dims: Sequence[str], values, description: str, units: str | None = None) -> tuple:
    """Return an xarray variable that says what it is."""
    attributes = {"description": description} | ({"units": units} if units else {})
    return tuple(dims), np.asarray(values), attributes


def as_json(value) -> str:
    """Return JSON text that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def as_rows(dataset: xr.Dataset, dims: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Return a dataset as a table, one row a point of `dims`, in this order of rows and columns.

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


def point_of(path: str | Path) -> str:
    """Return the point of the grid that a measurement's store belongs to: the name of its file."""
    return Path(path).name.removesuffix(".zarr.zip")


def along_sweeps(paths: Iterable[str], sweeps: dict[str, dict[str, float | str]]) -> dict[str, xr.Dataset]:
    """Return measurements of single points as one dataset a sweep, over `value`.

    Args:
        paths: of one measurement's stores, each named by its point.
        sweeps: name of a sweep -> {point: value}, in the order of the values.
    """
    stores = open_points(paths)
    return {sweep: along(stores, values) for sweep, values in sweeps.items()}


def open_points(paths: Iterable[str]) -> dict[str, xr.Dataset]:
    """Return the stores of a measurement by the names of their points, in memory."""
    return {point_of(path): open_store(path).load() for path in paths}


def along(stores: dict[str, xr.Dataset], values: dict[str, float | str]) -> xr.Dataset:
    """Return the stores of some points as one dataset over `value`: {point: value}, in this order."""
    places = xr.Variable("value", list(values.values()))
    return xr.concat([stores[point] for point in values], places, combine_attrs="override")
