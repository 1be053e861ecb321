"""Build every network of the study and pass two blank images through it; write what each of them is."""

import pandas as pd

from wedgescape.landscapes import models
from wedgescape.landscapes.networks import choose_device
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import open_store, write_table

with job(snakemake):
    choose_device(snakemake.params.job["sections"]["device"])
    data = open_store(snakemake.input.data[0])
    shape, classes = tuple(data["images"].shape[1:]), int(data.attrs["classes"])
    rows = [
        {"model": model["name"], "width": model["width"], "depth": model["depth"], "parameters": len(weights)}
        for model in snakemake.params.job["models"]
        for weights in [models.flat(models.build(model, shape, classes))]
    ]
    write_table(pd.DataFrame(rows), snakemake.output[0])
