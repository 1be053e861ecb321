"""What every figure's script shares: its intervals, files that say where they come from, and the table behind them."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from wedgescape.figures import style
from wedgescape.provenance.records import result_name, sha256
from wedgescape.stores.zarr_stores import write_table


def interval_settings(snakemake) -> dict:
    """Return how a figure's intervals are computed: `confidence` and `resamples`."""
    return {key: snakemake.params.job[f"claims.{key}"] for key in ("confidence", "resamples")}


def publish(snakemake, figure: Figure, table: pd.DataFrame | None = None) -> None:
    """Write a figure to `output.pdf` and `output.png`, and the table behind it to `output.table`.

    The files carry the study, the fingerprint of the code and the SHA-256 of every input, by its name.
    """
    settings, config = snakemake.params.job, snakemake.config
    metadata = {
        "study": config["study"],
        "code": settings["code"],
        "inputs": {result_name(path, config): sha256(path) for path in snakemake.input},
    }
    outputs = [snakemake.output.pdf, snakemake.output.png]
    style.save(figure, outputs, settings["figures"]["dpi"], settings["rule"].removeprefix("plot_"), metadata)
    if table is not None:
        write_table(table, snakemake.output.table)
