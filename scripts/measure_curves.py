"""Train curves between pairs of the base point's optima, and measure them beside the straight lines."""

from wedgescape.measurements import curves
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.train import trained_landscape

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = trained_landscape(data, snakemake.input.weights, snakemake.config["device"])
    by_seed = dict(zip(weights["seed"].values.tolist(), optima, strict=True))
    store = curves.measure(landscape, by_seed, **snakemake.params.job["curves"])
    write_store(store, snakemake.output[0], origin(snakemake))
