"""Write the page on which the report opens, from the verdicts and figures as they are."""

import pandas as pd

from wedgescape.analysis.first_page import first_page
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import write_text

with job(snakemake):
    known = snakemake.params.job
    files = {path.rpartition("/")[2]: path for path in snakemake.input.pictures}
    pictures = {
        family: {**shown, "path": files[shown["path"].rpartition("/")[2]]}
        for family, shown in known["pictures"].items()
    }
    dataset, confidence = known["sections"]["dataset"], known["sections"]["claims.confidence"]
    dataset = dataset if isinstance(dataset, str) else dataset["name"]
    table = pd.read_csv(snakemake.input.verdicts, keep_default_na=False, na_values=[""])
    page = first_page(table, known["families"], pictures, snakemake.config["study"], dataset, confidence)
    write_text(page, snakemake.output[0])
