"""Measure the Hessian's spectrum at the base point's optima, and loss and curvature at random points."""

import numpy as np

from wedgescape.measurements import goldilocks
from wedgescape.measurements import spectrum as spectra
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.training.train import sound_optima

with job(snakemake) as log:
    data = open_store(snakemake.input.data[0])
    landscape, optima, weights = sound_optima(data, snakemake.input.weights, snakemake.config["device"], 1)
    settings = dict(snakemake.params.job["spectrum"])
    norm = float(np.linalg.norm(weights["theta_init"].values, axis=1).mean())
    around = {key: settings.pop(key) for key in ("radii", "points", "probes")}
    write_store(goldilocks.measure(landscape, norm, **around), snakemake.output.radii, origin(snakemake))
    log.info("measured random points")
    count = settings.pop("seeds")
    density = spectra.measure(landscape, optima[:count], weights["seed"].values[:count], **settings)
    write_store(density, snakemake.output.density, origin(snakemake))
