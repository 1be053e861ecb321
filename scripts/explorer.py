"""Write the explorer, a page of a study with plots to turn and sliders to move, in one file that needs no network."""

import pandas as pd

from wedgescape.analysis.verdicts import counted
from wedgescape.errors import InputError
from wedgescape.explorer.page import MEGABYTES, assemble
from wedgescape.provenance.arguments import arguments, imported
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import write_text
from wedgescape.study.catalogue import file_of

with job(snakemake) as log:
    told = snakemake.params.job["told"]
    given = {"Families": told["families"], "Origins": told["origins"]}
    views = {}
    for name in told["views"]:
        file = file_of(name, "explorer")
        views[name] = (file.constant("TITLE"), imported(file).embed(**arguments(file, "embed", snakemake, **given)))
    left_out = {name: (file_of(name, "explorer").constant("TITLE"), why) for name, why in told["left_out"].items()}
    verdicts = pd.read_csv(snakemake.input.verdicts[0])
    head = {"study": told["study"], "base": told["base"], "words": told["words"], "counts": counted(verdicts)}
    page = assemble(head, views, left_out)
    megabytes = len(page.encode()) / 1e6
    if megabytes > MEGABYTES:
        raise InputError(
            f"{snakemake.output.page}: found {megabytes:.1f} MB; the explorer must be below {MEGABYTES} MB"
        )
    write_text(page, snakemake.output.page)
    log.info("%s: %d views, %.1f MB", snakemake.output.page, len(views), megabytes)
