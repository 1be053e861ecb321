"""Read networks that were trained elsewhere from their files, and store their weights as a training does."""

from wedgescape.errors import InputError
from wedgescape.landscapes.networks import network_landscape
from wedgescape.provenance.file_sums import sha256
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.study.losses import loss_of
from wedgescape.training.given_weights import read_networks

with job(snakemake):
    ((setting, settings),) = snakemake.params.job["trains"].items()
    sums = snakemake.params.job["networks"]
    files = {seed: snakemake.config["networks_of"][setting][seed] for seed in snakemake.params.job["seeds"]}
    if changed := [file for seed, file in files.items() if sha256(file) != sums[str(seed)]]:
        raise InputError(f"networks.files: {', '.join(changed)} changed after the workflow began; run it again")
    data = open_store(snakemake.input.data[0])
    way = (snakemake.config["device"], snakemake.config["strategy"])
    landscape = network_landscape(data, settings["model"], *way, loss_of(settings))
    write_store(read_networks(landscape, data, files), snakemake.output[0], origin(snakemake))
