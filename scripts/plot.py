"""Draw one figure and write the tables behind it: the rules `plot_…` run this script, with a file of the catalogue."""

from wedgescape.figures.publish import publish
from wedgescape.provenance.arguments import arguments, imported
from wedgescape.provenance.frame import job
from wedgescape.study.catalogue import file_of

with job(snakemake):
    file = file_of(snakemake.params.job["name"], "figures")
    module, tables = imported(file), {}
    if "tabulate" in file.definitions:
        tables = module.tabulate(**arguments(file, "tabulate", snakemake))
        tables = tables if isinstance(tables, dict) else {file.name: tables}
    publish(snakemake, module.draw(**arguments(file, "draw", snakemake, Tables=tables)), tables)
