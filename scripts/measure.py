"""Make one measurement at one setting: the rules `measure_…` run this script, with the file of `params.job["name"]`."""

from wedgescape.provenance.arguments import arguments, imported
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import write_store
from wedgescape.study.catalogue import file_of

with job(snakemake) as log:
    file = file_of(snakemake.params.job["name"], "measurements", "analysis")
    store = imported(file).measure(**arguments(file, "measure", snakemake, log.info))
    write_store(store, snakemake.output[0], origin(snakemake))
