"""Judge what the paper claims by the rules that stand in the config."""

from wedgescape.analysis import claims, claims_of_statistics
from wedgescape.analysis.phase_diagram import MEASUREMENTS
from wedgescape.analysis.verdicts import Rules, as_page, as_table
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import along, open_points, open_store, write_table, write_text

with job(snakemake):
    given, settings = snakemake.input, snakemake.params.job
    rules = Rules(**settings["claims"])
    points = {measurement: open_points(given[measurement]) for measurement in MEASUREMENTS}
    sweeps = {
        measurement: {name: along(points[measurement], values) for name, values in settings["sweeps"].items()}
        for measurement in ("tunnels", "curvature")
    }
    connectors = {"before": open_store(given.connectors[0]), "after": open_store(given.aligned[0])}
    rows = [
        *claims.wedge_claims(open_store(given.wedges[0]), rules),
        *claims.tunnel_claims(sweeps["tunnels"], rules),
        *claims_of_statistics.curvature_claims(sweeps["curvature"], rules),
        *claims_of_statistics.width_claims(points, rules),
        *claims_of_statistics.likeness_claims(points, settings["grids"], rules),
        *claims.profile_claims(open_store(given.profiles[0]), rules),
        *claims.hyperplane_claims([open_store(path) for path in given.hyperplanes], rules),
        *claims.curve_claims(open_store(given.curves[0]), rules),
        *claims.connector_claims(connectors["before"], rules),
        *claims.subspace_claims(open_store(given.subspaces[0]), rules),
        *claims.alignment_claims([open_store(path) for path in given.alignment], connectors, rules),
        *claims.short_direction_claims(open_store(given.density), open_store(given.fitted[0]), rules),
        *claims_of_statistics.ensemble_claims(open_store(given.ensembles), rules),
        *claims_of_statistics.flatness_claims(points, settings["methods"], rules),
    ]
    table = as_table(rows)
    write_table(table, snakemake.output.table)
    write_text(as_page(table, snakemake.config["study"], rules.confidence), snakemake.output.page)
