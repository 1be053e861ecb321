"""Measure the angular width of the tunnels around all optima of one sweep."""

import xarray as xr

from wedgescape import tunnels
from wedgescape.provenance import job
from wedgescape.stores import by_point, open_store, write_store
from wedgescape.training import trained_landscape

with job(snakemake) as log:
    data = open_store(snakemake.input.data[0])
    values, parts = snakemake.params.job["values"], []
    for point, stores in by_point(snakemake.input.weights).items():
        log.info("measuring tunnels at %s", point)
        landscape, optima, weights = trained_landscape(data, stores, snakemake.config["device"])
        part = tunnels.measure(landscape, optima, weights["seed"].values, **snakemake.params.job["tunnels"])
        parts.append(part.assign(diverged=weights["diverged"].load()))
    sweep = xr.concat(parts, xr.Variable("value", list(values.values())), combine_attrs="override")
    write_store(sweep, snakemake.output[0], "measure_tunnels")
