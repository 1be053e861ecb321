"""Judge what the measurements say by the rules of config/rules.yaml."""

import pandas as pd

from wedgescape.analysis.verdicts import as_page, as_specifications, as_table
from wedgescape.measurements import training
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import judge
from wedgescape.provenance.arguments import arguments, imported
from wedgescape.provenance.frame import job
from wedgescape.provenance.registration import registration
from wedgescape.stores.zarr_stores import write_table, write_text
from wedgescape.study.catalogue import file_of
from wedgescape.study.losses import said
from wedgescape.study.rules import RuleBook

with job(snakemake):
    files = [file_of(name, room) for room, name in snakemake.params.job["files"]]
    found = [claim for file in files for claim in imported(file).claims(**arguments(file, "claims", snakemake))]
    rules, section = RuleBook.read(snakemake.params.job["rules"]), snakemake.params.job["sections"]["claims"]
    rows, specifications = judge(found, rules, Intervals(section["confidence"], section["resamples"]))
    words = snakemake.params.job["words"]
    rows = [row | {name: said(row[name], words) for name in ("sentence", "quantity", "control")} for row in rows]
    confirmation = pd.read_csv(snakemake.input.confirmation[0]) if snakemake.input.get("confirmation") else None
    table = as_table(rows, confirmation)
    write_table(table, snakemake.output.table)
    write_table(as_specifications(specifications), snakemake.output.specifications)
    registered = registration(snakemake.config["results"], snakemake.config["commit"])
    unfit = training.warning(**arguments(file_of("training", "measurements"), "claims", snakemake))
    left_out = snakemake.params.job["left_out"]
    page = as_page(table, rules, snakemake.config["study"], section["confidence"], unfit, f"{registered}", left_out)
    write_text(page, snakemake.output.page)
