"""Measure the centres of connectors between sets of the base point's optima."""

from wedgescape.measurements import connectors
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
        max(snakemake.params.job["connectors"]["sizes"]),
    )
    by_seed = dict(zip(weights["seed"].values.tolist(), optima, strict=True))
    store = connectors.measure(landscape, by_seed, **snakemake.params.job["connectors"])
    write_store(store, snakemake.output[0], origin(snakemake))
