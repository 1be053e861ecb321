"""Judge what the paper claims by the rules that stand in the config."""

from wedgescape import claims
from wedgescape.provenance import job
from wedgescape.stores import along_sweeps, open_store, write_table, write_text
from wedgescape.verdicts import Rules, as_page, as_table

with job(snakemake):
    rules = Rules(**snakemake.params.job["claims"])
    tunnels = along_sweeps(snakemake.input.tunnels, snakemake.params.job["sweeps"])
    rows = [
        *claims.wedge_claims(open_store(snakemake.input.wedges[0]), rules),
        *claims.tunnel_claims(tunnels, rules),
        *claims.profile_claims(open_store(snakemake.input.profiles[0]), rules),
        *claims.hyperplane_claims([open_store(path) for path in snakemake.input.hyperplanes], rules),
        *claims.curve_claims(open_store(snakemake.input.curves[0]), rules),
        *claims.connector_claims(open_store(snakemake.input.connectors[0]), rules),
        *claims.subspace_claims(open_store(snakemake.input.subspaces[0]), rules),
    ]
    table = as_table(rows)
    write_table(table, snakemake.output.table)
    write_text(as_page(table, snakemake.config["study"], rules.confidence), snakemake.output.page)
