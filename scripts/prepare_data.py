"""Read the study's dataset, check it and write it as one store."""

from wedgescape.data.datasets import load_dataset
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import write_store

with job(snakemake):
    settings, place = snakemake.params.job["sections"], snakemake.config["data"]
    examples = (settings["data.train_examples"], settings["data.test_examples"])
    data = load_dataset(settings["dataset"], place["folder"], place["download"], *examples)
    write_store(data, snakemake.output[0], origin(snakemake))
