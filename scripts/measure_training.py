"""Keep how the networks of one point of the grid were trained, apart from their weights."""

from wedgescape.origins import origin
from wedgescape.provenance import job
from wedgescape.stores import open_weights, write_store
from wedgescape.training import curves

with job(snakemake):
    store = curves(open_weights(list(snakemake.input)))
    write_store(store, snakemake.output[0], origin(snakemake))
