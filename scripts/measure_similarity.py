"""Measure how alike the networks of one point of the grid are, as functions and in weight space."""

from wedgescape import similarity
from wedgescape.origins import origin
from wedgescape.provenance import job
from wedgescape.stores import open_store, write_store
from wedgescape.training import trained_landscape

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = trained_landscape(data, snakemake.input.weights, snakemake.config["device"])
    seeds, diverged = weights["seed"].values, weights["diverged"].values
    store = similarity.measure(landscape, optima, seeds, diverged, **snakemake.params.job["similarity"])
    write_store(store, snakemake.output[0], origin(snakemake))
