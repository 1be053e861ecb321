"""Measure the loss over the plane through the first three optima of the base point, and the lines between them."""

from wedgescape.planes import plane_through
from wedgescape.provenance import job
from wedgescape.stores import open_store, write_store
from wedgescape.training import trained_landscape

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = trained_landscape(
        data, snakemake.input.weights, snakemake.config.get("device", "auto")
    )
    seeds = weights["seed"].values[:3]
    write_store(
        plane_through(landscape, optima[:3], seeds, **snakemake.params.job["planes"]),
        snakemake.output[0],
        "measure_planes",
    )
