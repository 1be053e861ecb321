"""Measure how curved the training loss is at the optima of one point of the grid."""

from wedgescape.measurements import curvature as sharpness
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.attributes import training_of
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.train import trained_landscape

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = trained_landscape(data, snakemake.input.weights, snakemake.config["device"])
    settings = dict(snakemake.params.job["curvature"])
    count = settings.pop("seeds")
    batch_size = training_of(weights.attrs)["training"]["batch_size"]
    weights = weights[["diverged"]].isel(seed=slice(count)).load()
    store = sharpness.measure(
        landscape, optima[:count], weights["seed"].values, weights["diverged"].values, batch_size, **settings
    )
    write_store(store, snakemake.output[0], origin(snakemake))
