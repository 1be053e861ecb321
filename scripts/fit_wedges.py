"""Fit wedges to the base point's measurements by several routes, and let each fit predict all of them."""

from wedgescape.analysis.fitted_wedges import fit
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store

with job(snakemake):
    names = ("tunnels", "hyperplanes", "radii", "profiles", "connectors")
    stores = {name: open_store(snakemake.input[name]).load() for name in names}
    training = open_store(snakemake.input.training)
    starts = training["norm"].isel(epoch=0).sel(seed=stores["hyperplanes"]["seed"]).values
    confidence, resamples = (snakemake.params.job[f"claims.{key}"] for key in ("confidence", "resamples"))
    store = fit(**stores, start_radii=starts, confidence=confidence, resamples=resamples)
    write_store(store, snakemake.output[0], origin(snakemake))
