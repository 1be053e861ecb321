"""Measure the angular width of the tunnels around the optima of one point of the grid."""

from wedgescape.measurements import tunnels
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.train import trained_landscape

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = trained_landscape(data, snakemake.input.weights, snakemake.config["device"])
    store = tunnels.measure(landscape, optima, weights["seed"].values, **snakemake.params.job["tunnels"])
    write_store(store.assign(diverged=weights["diverged"].load()), snakemake.output[0], origin(snakemake))
