"""Measure the straight lines between optima of one point of the grid before and after their units are aligned."""

from wedgescape.measurements import alignment
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.attributes import training_of
from wedgescape.stores.zarr_stores import open_store, open_weights, write_store
from wedgescape.training.train import sound_optima

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = sound_optima(data, snakemake.input.weights, snakemake.config["device"], 0)
    by_seed = dict(zip(weights["seed"].values.tolist(), optima, strict=True))
    store = alignment.measure(landscape, by_seed, **snakemake.params.job["alignment"])
    runs = open_weights(snakemake.input.weights).sizes["seed"]
    width = training_of(weights.attrs)["model"]["width"]
    store = store.assign_attrs(width=width, runs=runs, diverged=runs - len(by_seed))
    write_store(store, snakemake.output[0], origin(snakemake))
