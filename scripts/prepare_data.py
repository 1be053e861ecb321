"""Read the study's dataset, check it and write it as one store."""

from wedgescape.datasets import load_dataset
from wedgescape.origins import origin
from wedgescape.provenance import job
from wedgescape.stores import write_store

with job(snakemake):
    settings, place = snakemake.params.job, snakemake.config["data"]
    examples = (settings["data.train_examples"], settings["data.test_examples"])
    data = load_dataset(settings["dataset"], place["folder"], place["download"], *examples)
    write_store(data, snakemake.output[0], origin(snakemake))
