"""Train a chunk of seeds at one setting of hyperparameters, all together, and store their weights and curves."""

from pathlib import Path

from wedgescape.landscapes.networks import network_landscape
from wedgescape.provenance.frame import digest, job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, write_store
from wedgescape.study.losses import loss_of
from wedgescape.training.checkpoints import Checkpoint
from wedgescape.training.train import train

with job(snakemake) as log:
    seeds, code = snakemake.params.job["seeds"], snakemake.params.job["code"]
    (settings,) = snakemake.params.job["trains"].values()
    data = open_store(snakemake.input.data[0])
    way = (snakemake.config["device"], snakemake.config["strategy"])
    landscape = network_landscape(data, settings["model"], *way, loss_of(settings))
    # Named by all that determines the run, so that only this very run is ever continued.
    determining = {"settings": settings, "seeds": seeds, "code": code, "data": data.attrs["sha256"]}
    name = digest(determining | {"files": snakemake.params.job.get("files", {})})
    folder = Path(snakemake.config["results"]) / "checkpoints"
    checkpoint = Checkpoint(folder / f"{name}.pt", snakemake.config["checkpoint_minutes"])
    store = train(landscape, data, settings, seeds, checkpoint, log.info)
    write_store(store, snakemake.output[0], origin(snakemake))
    checkpoint.remove()
