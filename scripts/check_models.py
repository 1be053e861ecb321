"""Build every network of the study, try those of the user's own and files with weights; write what each of them is."""

import pandas as pd

from wedgescape.landscapes import models, trials
from wedgescape.landscapes.networks import network_landscape
from wedgescape.landscapes.strategies import choose_device
from wedgescape.landscapes.tasks import outputs_of, shape_of
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import open_store, write_table
from wedgescape.training.given_weights import check_different, check_files

with job(snakemake):
    about = snakemake.params.job
    choose_device(about["sections"]["device"])
    data = open_store(snakemake.input.data[0])
    shape, classes = shape_of(data), outputs_of(data, about["loss"]["loss"])
    own = [model for model in about["models"] if model["file"]]
    few = data.isel(
        example=[n for split in ("train", "test") for n in (data["split"].values == split).nonzero()[0][:32]]
    )
    given = snakemake.config["networks_of"]  # {} where the study trains its networks
    for model in own:
        if not given:
            trials.check_seeds(model, shape, classes)
        landscape = network_landscape(few, model, about["sections"]["device"], about=about["loss"])
        trials.check_second_derivatives(landscape, model)
        if not given:
            trials.check_dropout(landscape.module, model, about["dropout"])
    if not own:  # whatever the network, its loss must fit the data
        network_landscape(few, about["models"][0], about["sections"]["device"], about=about["loss"])
    trials.check_keys(own, shape, classes)
    digests = {}
    for setting, files in given.items():
        model = snakemake.config["settings"][setting]["model"]
        landscape = network_landscape(few, model, about["sections"]["device"], about=about["loss"])
        digests |= check_files(landscape, list(files.values()))
    check_different(digests)
    rows = [
        {"model": model["name"], "width": model["width"], "depth": model["depth"], "parameters": len(weights)}
        for model in about["models"]
        for weights in [models.flat(models.build(model, shape, classes))]
    ]
    write_table(pd.DataFrame(rows), snakemake.output[0])
