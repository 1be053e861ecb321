"""Simulate the toy wedges beside their closed forms."""

from wedgescape.measurements.wedges import simulate
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import write_store

with job(snakemake):
    write_store(simulate(**snakemake.params.job["wedges"]), snakemake.output[0], origin(snakemake))
