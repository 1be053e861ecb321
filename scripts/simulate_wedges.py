"""Simulate the toy wedges beside their closed forms."""

from wedgescape.origins import origin
from wedgescape.provenance import job
from wedgescape.simulation import simulate
from wedgescape.stores import write_store

with job(snakemake):
    write_store(simulate(**snakemake.params.job["wedges"]), snakemake.output[0], origin(snakemake))
