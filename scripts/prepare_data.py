"""Read the study's dataset, check it and write it as one store."""

from wedgescape.datasets import load_dataset
from wedgescape.provenance import job
from wedgescape.stores import write_store

with job(snakemake):
    settings = {key: value for key, value in snakemake.params.job.items() if key != "code"}
    write_store(load_dataset(**settings), snakemake.output[0], "prepare_data")
