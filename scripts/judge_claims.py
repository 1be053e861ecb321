"""Judge what the measurements say by the rules of the config."""

from wedgescape.analysis.verdicts import as_page, as_table
from wedgescape.provenance.arguments import arguments, imported
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import write_table, write_text
from wedgescape.study.catalogue import catalogue

with job(snakemake):
    claims = [
        claim
        for file in catalogue().claiming
        for claim in imported(file).claims(**arguments(file, "claims", snakemake))
    ]
    table = as_table(claims)
    write_table(table, snakemake.output.table)
    confidence = snakemake.params.job["sections"]["claims"]["confidence"]
    write_text(as_page(table, snakemake.config["study"], confidence), snakemake.output.page)
