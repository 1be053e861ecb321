"""Writes a figure's files, which say where they come from, and the tables behind it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from wedgescape.figures import style
from wedgescape.provenance.file_sums import sha256
from wedgescape.provenance.records import result_name
from wedgescape.stores.zarr_stores import write_table
from wedgescape.study.losses import said


def publish(snakemake, figure: Figure, tables: dict[str, pd.DataFrame]) -> None:
    """Write a figure to `output.pdf` and `output.png`, and each table to the output of its name.

    The files carry the study, the fingerprint of the code and the SHA-256 of every input, by its name.
    """
    job, config = snakemake.params.job, snakemake.config
    metadata = {
        "study": config["study"],
        "code": job["code"],
        "inputs": {result_name(path, config): sha256(path) for path in snakemake.input},
    }
    for text in figure.findobj(Text):
        text.set_text(said(text.get_text(), job["words"]))
    outputs = [snakemake.output.pdf, snakemake.output.png]
    style.save(figure, outputs, job["sections"]["figures"]["dpi"], job["name"], metadata)
    for path in snakemake.output:
        name = Path(path).stem
        if path not in outputs:
            write_table(tables[name], path)
