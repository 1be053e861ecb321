"""Measure the loss over planes: through the base point's first three optima, around the first, along its trajectory."""

import json

import torch

from wedgescape.measurements import planes
from wedgescape.measurements.connectors import centre_recipe, find_centres
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.train import sound_optima

with job(snakemake):
    data = open_store(snakemake.input.data[0])
    device = snakemake.config["device"]
    landscape, optima, weights = sound_optima(data, snakemake.input.weights, device, at_least=3)
    settings, search = snakemake.params.job["planes"], snakemake.params.job["connectors"]
    grid = {"resolution": settings["resolution"], "margin": settings["margin"]}
    seeds, first = weights["seed"].values[:3].tolist(), weights.isel(seed=0)

    through = planes.plane_through(landscape, optima[:3], seeds, **grid, profile_points=settings["profile_points"])
    recipe = centre_recipe(search["learning_rate"], search["batch_size"])
    centre = find_centres(landscape, optima[None, :3], recipe, search["steps"], [0]).points[0]
    write_store(planes.with_connector(through, landscape, centre), snakemake.output.optima, origin(snakemake))

    layout = json.loads(weights.attrs["layout"])
    around = planes.plane_around(landscape, optima[0], layout, seeds[0], settings["resolution"], settings["reach"])
    write_store(around, snakemake.output.around, origin(snakemake))

    if "trajectory" in dict(snakemake.output.items()):
        path = torch.from_numpy(first["trajectory"].values).to(optima)
        along = planes.plane_along(landscape, path, first["step"].values.tolist(), **grid)
        write_store(along, snakemake.output.trajectory, origin(snakemake))
