"""Measure how alike the networks of one point of the grid are, as functions and in weight space."""

from wedgescape.measurements import similarity
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.train import trained_landscape

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = trained_landscape(data, snakemake.input.weights, snakemake.config["device"])
    seeds, diverged = weights["seed"].values, weights["diverged"].values
    store = similarity.measure(landscape, optima, seeds, diverged, **snakemake.params.job["similarity"])
    write_store(store, snakemake.output[0], origin(snakemake))
