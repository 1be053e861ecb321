"""Compare ensembles and other methods of finding solutions at one budget, and how alike networks are along paths."""

from wedgescape.analysis import ensembles
from wedgescape.provenance.frame import job
from wedgescape.provenance.origins import origin
from wedgescape.stores.zarr_stores import open_store, open_weights, write_store
from wedgescape.study.methods import at_equal_budget
from wedgescape.training.train import sound_optima

with job(snakemake):
    settings = snakemake.params.job
    data = open_store(snakemake.input.data[0])
    landscape, _optima, weights = sound_optima(
        data, snakemake.input.base, snakemake.config["device"], settings["ensembles"]["members"]
    )
    methods = at_equal_budget(snakemake.config["training"], snakemake.config["ensembles"])
    stores = {method: open_weights(getattr(snakemake.input, method)) for method in methods}
    sections = {name: settings[name] for name in ("ensembles", "tunnels", "curves")}
    found = ensembles.measure(landscape, weights, stores, **sections, points=settings["similarity"]["points"])
    for store, path in zip(found, (snakemake.output.methods, snakemake.output.paths), strict=True):
        write_store(store, path, origin(snakemake))
