"""Measure how far networks of one point of the grid descend in random hyperplanes through their initialisations."""

import torch

from wedgescape.measurements import hyperplanes
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.attributes import training_of
from wedgescape.stores.zarr_stores import as_json, open_store, write_store
from wedgescape.training.train import trained_landscape

with job(snakemake) as log:
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = trained_landscape(data, snakemake.input.weights, snakemake.config["device"])
    settings = dict(snakemake.params.job["hyperplanes"])
    count, asked = settings.pop("seeds"), settings.pop("dimensions")
    weights, optima = weights.isel(seed=slice(count)), optima[:count]
    starts = torch.from_numpy(weights["theta_init"].values).to(optima)
    store = hyperplanes.measure(
        landscape,
        starts,
        optima,
        weights["seed"].values.tolist(),
        hyperplanes.capped(asked, landscape.dim),
        **settings,
        tell=log.info,
    )
    width = training_of(weights.attrs)["model"]["width"]
    store = store.assign(diverged=weights["diverged"].load())
    store = store.assign_attrs(width=width, dimensions_asked=as_json(asked))
    write_store(store, snakemake.output[0], origin(snakemake))
