"""Measure how long the directions from the base point's optima are, and the straight lines between weight vectors."""

import json

import torch

from wedgescape.errors import InputError
from wedgescape.measurements import profiles
from wedgescape.measurements.connectors import centre_recipe
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.train import trained_landscape

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = trained_landscape(data, snakemake.input.weights, snakemake.config["device"])
    settings, search = snakemake.params.job["profiles"], snakemake.params.job["connectors"]
    diverged = weights["diverged"].values[: settings["seeds"]]
    kept = (~diverged).nonzero()[0]
    if not len(kept):
        raise InputError(f"all {len(diverged)} runs of the base point diverged: there is no optimum to start from")
    weights, optima = weights.isel(seed=kept), optima[kept]
    seeds = weights["seed"].values.tolist()
    recipe = centre_recipe(search["learning_rate"], search["batch_size"])
    store = profiles.measure(
        landscape,
        optima,
        seeds,
        **{key: value for key, value in settings.items() if key != "seeds"},
        layout=json.loads(weights.attrs["layout"]),
        starts=torch.from_numpy(weights["theta_init"].values).to(optima),
        trajectories=torch.from_numpy(weights["trajectory"].values).to(optima) if "trajectory" in weights else None,
        centres=profiles.connector_centres(landscape, optima, recipe, search["steps"], seeds),
    )
    write_store(store.assign_attrs(diverged=int(diverged.sum())), snakemake.output[0], origin(snakemake))
