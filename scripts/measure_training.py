"""Keep how the networks of one point of the grid were trained, apart from their weights."""

from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_weights, write_store
from wedgescape.training.train import curves

with job(snakemake):
    store = curves(open_weights(list(snakemake.input)))
    write_store(store, snakemake.output[0], origin(snakemake))
