"""Measure connectors between sets of the base point's optima as subspaces: their loss between vertices."""

from wedgescape.measurements import subspaces as surfaces
from wedgescape.measurements.connectors import centre_recipe
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.train import sound_optima

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = sound_optima(
        data,
        snakemake.input.weights,
        snakemake.config["device"],
        max(snakemake.params.job["subspaces"]["sizes"]),
    )
    by_seed = dict(zip(weights["seed"].values.tolist(), optima, strict=True))
    search = snakemake.params.job["connectors"]
    recipe = centre_recipe(search["learning_rate"], search["batch_size"])
    store = surfaces.measure(landscape, by_seed, recipe, search["steps"], **snakemake.params.job["subspaces"])
    write_store(store, snakemake.output[0], origin(snakemake))
