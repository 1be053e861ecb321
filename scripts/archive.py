"""Write the study's archive, and what only an archive needs: the complete config and the graph of the rules."""

from importlib.metadata import version
from pathlib import Path

import yaml

from wedgescape import VERSION
from wedgescape.provenance.archive import members, records_of, rule_graph, write_archive
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import write_text

with job(snakemake) as log:
    settings, study = snakemake.params.job, Path(snakemake.output.archive).parent
    write_text(yaml.safe_dump(settings["config"], sort_keys=False, allow_unicode=True), snakemake.output.config)
    records, left = records_of(study, settings["results"])
    write_text(rule_graph(records), snakemake.output.graph)
    if not (study / "report.html").exists():
        log.warning("There is no report.html to put into the archive; `make archive` makes one first")
    files = members(study, left, settings["own"], settings["sections"]["archive"]["weights"])
    versions = {"snakemake": version("snakemake"), "wedgescape": VERSION}
    write_archive(study, records, files, snakemake.output.archive, versions)
    log.info(
        "%s: %d files, %.1f MB",
        snakemake.output.archive,
        len(files),
        Path(snakemake.output.archive).stat().st_size / 1e6,
    )
