"""Measure the centres of connectors between sets of the base point's optima whose units are aligned to the first's."""

from wedgescape.measurements import alignment
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.train import sound_optima

with job(snakemake):
    settings = snakemake.params.job["connectors"]
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = sound_optima(
        data, snakemake.input.weights, snakemake.config["device"], max(settings["sizes"])
    )
    by_seed = dict(zip(weights["seed"].values.tolist(), optima, strict=True))
    passes = snakemake.params.job["alignment"]["passes"]
    store = alignment.measure_connectors(landscape, by_seed, passes, **settings)
    write_store(store, snakemake.output[0], origin(snakemake))
