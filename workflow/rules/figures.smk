# One rule, one figure, drawn from stores alone: `snakemake plot_tunnels` redraws just that one. It takes seconds, so on a
# cluster, too, it runs where Snakemake runs.

# How intervals are computed; a claim's threshold is no figure's concern.
INTERVALS = ("claims.confidence", "claims.resamples")


rule plot_claims:
    input:
        rules.judge_claims.output.table,
    output:
        pdf=f"{RESULTS}/figures/claims.pdf",
        png=report(
            f"{RESULTS}/figures/claims.png",
            caption="../report/plot_claims.rst",
            category="1 Verdicts",
            labels={"verdicts": "figure"},
        ),
    log:
        f"{RESULTS}/logs/plot_claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_claims.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_claims.py", "figures", "claims.confidence"),
    message:
        "Drawing all verdicts on one page"
    script:
        "../../scripts/plot_claims.py"


rule plot_wedges:
    output:
        pdf=f"{RESULTS}/figures/wedges.pdf",
        png=report(
            f"{RESULTS}/figures/wedges.png",
            caption="../report/plot_wedges.rst",
            category="2 Toy wedges",
            labels={"figure": "two wedges in three dimensions"},
        ),
    log:
        f"{RESULTS}/logs/plot_wedges.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_wedges.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_wedges.py", "figures"),
    message:
        "Drawing the toy wedges in three dimensions"
    script:
        "../../scripts/plot_wedges.py"


rule plot_predictions:
    input:
        rules.simulate_wedges.output,
    output:
        pdf=f"{RESULTS}/figures/predictions.pdf",
        png=report(
            f"{RESULTS}/figures/predictions.png",
            caption="../report/plot_predictions.rst",
            category="2 Toy wedges",
            labels={"figure": "predictions against simulation"},
        ),
        table=f"{RESULTS}/tables/predictions.csv",
    log:
        f"{RESULTS}/logs/plot_predictions.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_predictions.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_predictions.py", "figures"),
    message:
        "Drawing the predictions about wedges against simulation"
    script:
        "../../scripts/plot_predictions.py"


rule plot_training:
    input:
        f"{RESULTS}/training/{study.base}.zarr.zip",
    output:
        pdf=f"{RESULTS}/figures/training.pdf",
        png=report(
            f"{RESULTS}/figures/training.png",
            caption="../report/plot_training.rst",
            category="3 Training",
            labels={"figure": "training at the base point"},
        ),
        table=f"{RESULTS}/tables/training.csv",
    log:
        f"{RESULTS}/logs/plot_training.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_training.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_training.py", "figures", *INTERVALS),
    message:
        "Drawing the training of the base point"
    script:
        "../../scripts/plot_training.py"


rule plot_hyperplanes:
    input:
        HYPERPLANES,
    output:
        pdf=f"{RESULTS}/figures/hyperplanes.pdf",
        png=report(
            f"{RESULTS}/figures/hyperplanes.png",
            caption="../report/plot_hyperplanes.rst",
            category="4 Geometry",
            labels={"figure": "descents in random hyperplanes"},
        ),
        table=f"{RESULTS}/tables/hyperplanes.csv",
    log:
        f"{RESULTS}/logs/plot_hyperplanes.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_hyperplanes.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings(
            "plot_hyperplanes.py",
            "figures",
            *INTERVALS,
            "claims.maximum_threshold_fraction",
        ),
    message:
        "Drawing descents in random hyperplanes"
    script:
        "../../scripts/plot_hyperplanes.py"


rule plot_planes:
    input:
        optima=rules.measure_planes.output.optima,
    output:
        pdf=f"{RESULTS}/figures/planes.pdf",
        png=report(
            f"{RESULTS}/figures/planes.png",
            caption="../report/plot_planes.rst",
            category="4 Geometry",
            labels={"figure": "the plane through three optima"},
        ),
        table=f"{RESULTS}/tables/planes.csv",
    log:
        f"{RESULTS}/logs/plot_planes.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_planes.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_planes.py", "figures"),
    message:
        "Drawing the plane through three optima"
    script:
        "../../scripts/plot_planes.py"


rule plot_surroundings:
    input:
        **{
            plane: f"{RESULTS}/planes/{plane}.zarr.zip"
            for plane in PLANES
            if plane != "optima"
        },
    output:
        pdf=f"{RESULTS}/figures/surroundings.pdf",
        png=report(
            f"{RESULTS}/figures/surroundings.png",
            caption="../report/plot_surroundings.rst",
            category="4 Geometry",
            labels={"figure": "planes around an optimum and along its trajectory"},
        ),
        table=f"{RESULTS}/tables/surroundings.csv",
    log:
        f"{RESULTS}/logs/plot_surroundings.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_surroundings.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_surroundings.py", "figures"),
    message:
        "Drawing planes around an optimum and along its trajectory"
    script:
        "../../scripts/plot_surroundings.py"


rule plot_curves:
    input:
        rules.measure_curves.output,
    output:
        pdf=f"{RESULTS}/figures/curves.pdf",
        png=report(
            f"{RESULTS}/figures/curves.png",
            caption="../report/plot_curves.rst",
            category="4 Geometry",
            labels={"figure": "curves between pairs of optima"},
        ),
        table=f"{RESULTS}/tables/curves.csv",
    log:
        f"{RESULTS}/logs/plot_curves.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_curves.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_curves.py", "figures", *INTERVALS),
    message:
        "Drawing curves between pairs of optima"
    script:
        "../../scripts/plot_curves.py"


rule plot_profiles:
    input:
        rules.measure_profiles.output,
    output:
        pdf=f"{RESULTS}/figures/profiles.pdf",
        png=report(
            f"{RESULTS}/figures/profiles.png",
            caption="../report/plot_profiles.rst",
            category="4 Geometry",
            labels={"figure": "long and short directions"},
        ),
        table=f"{RESULTS}/tables/profiles.csv",
    log:
        f"{RESULTS}/logs/plot_profiles.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_profiles.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_profiles.py", "figures", *INTERVALS, "profiles"),
    message:
        "Drawing long and short directions"
    script:
        "../../scripts/plot_profiles.py"


rule plot_connectors:
    input:
        rules.measure_connectors.output,
    output:
        pdf=f"{RESULTS}/figures/connectors.pdf",
        png=report(
            f"{RESULTS}/figures/connectors.png",
            caption="../report/plot_connectors.rst",
            category="4 Geometry",
            labels={"figure": "connectors between m optima"},
        ),
        table=f"{RESULTS}/tables/connectors.csv",
    log:
        f"{RESULTS}/logs/plot_connectors.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_connectors.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_connectors.py", "figures", *INTERVALS),
    message:
        "Drawing connectors between sets of optima"
    script:
        "../../scripts/plot_connectors.py"


rule plot_subspaces:
    input:
        rules.measure_subspaces.output,
    output:
        pdf=f"{RESULTS}/figures/subspaces.pdf",
        png=report(
            f"{RESULTS}/figures/subspaces.png",
            caption="../report/plot_subspaces.rst",
            category="4 Geometry",
            labels={"figure": "connectors as subspaces"},
        ),
        table=f"{RESULTS}/tables/subspaces.csv",
    log:
        f"{RESULTS}/logs/plot_subspaces.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_subspaces.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_subspaces.py", "figures", *INTERVALS, "subspaces"),
    message:
        "Drawing connectors as subspaces"
    script:
        "../../scripts/plot_subspaces.py"


rule plot_alignment:
    input:
        base=f"{RESULTS}/alignment/{study.base}.zarr.zip",
        lines=ALIGNMENT,
        before=rules.measure_connectors.output[0],
        after=rules.measure_aligned_connectors.output[0],
    output:
        pdf=f"{RESULTS}/figures/alignment.pdf",
        png=report(
            f"{RESULTS}/figures/alignment.png",
            caption="../report/plot_alignment.rst",
            category="4 Geometry",
            labels={"figure": "optima before and after alignment"},
        ),
        table=f"{RESULTS}/tables/alignment.csv",
        connectors=f"{RESULTS}/tables/aligned_connectors.csv",
    log:
        f"{RESULTS}/logs/plot_alignment.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_alignment.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_alignment.py", "figures", *INTERVALS),
    message:
        "Drawing optima before and after alignment"
    script:
        "../../scripts/plot_alignment.py"


rule plot_flatness:
    input:
        tunnels=measured("tunnels", FLAT.values()),
        curvature=measured("curvature", FLAT.values()),
    output:
        pdf=f"{RESULTS}/figures/flatness.pdf",
        png=report(
            f"{RESULTS}/figures/flatness.png",
            caption="../report/plot_flatness.rst",
            category="6 Curvature",
            labels={"figure": "weight averaging and sharpness-aware minimisation"},
        ),
        table=f"{RESULTS}/tables/flatness.csv",
    log:
        f"{RESULTS}/logs/plot_flatness.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_flatness.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job={**settings("plot_flatness.py", "figures", *INTERVALS), "methods": FLAT},
    message:
        "Drawing how flat the solutions of different methods are"
    script:
        "../../scripts/plot_flatness.py"


rule plot_fitted_wedges:
    input:
        rules.fit_wedges.output,
    output:
        pdf=f"{RESULTS}/figures/fitted_wedges.pdf",
        png=report(
            f"{RESULTS}/figures/fitted_wedges.png",
            caption="../report/plot_fitted_wedges.rst",
            category="4 Geometry",
            labels={"figure": "one wedge model fitted by several routes"},
        ),
        table=f"{RESULTS}/tables/fitted_wedges.csv",
    log:
        f"{RESULTS}/logs/plot_fitted_wedges.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_fitted_wedges.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_fitted_wedges.py", "figures", *INTERVALS),
    message:
        "Drawing toy wedges fitted by several routes"
    script:
        "../../scripts/plot_fitted_wedges.py"


rule plot_spectrum:
    input:
        density=rules.measure_spectrum.output.density,
        radii=rules.measure_spectrum.output.radii,
    output:
        pdf=f"{RESULTS}/figures/spectrum.pdf",
        png=report(
            f"{RESULTS}/figures/spectrum.png",
            caption="../report/plot_spectrum.rst",
            category="6 Curvature",
            labels={"figure": "the Hessian's spectrum, and random points"},
        ),
        table=f"{RESULTS}/tables/spectrum.csv",
    log:
        f"{RESULTS}/logs/plot_spectrum.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_spectrum.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_spectrum.py", "figures", *INTERVALS, "spectrum"),
    message:
        "Drawing the Hessian's spectrum and random points"
    script:
        "../../scripts/plot_spectrum.py"


rule plot_ensembles:
    input:
        rules.measure_ensembles.output.methods,
    output:
        pdf=f"{RESULTS}/figures/ensembles.pdf",
        png=report(
            f"{RESULTS}/figures/ensembles.png",
            caption="../report/plot_ensembles.rst",
            category="8 Ensembles",
            labels={"figure": "ensembles of solutions at one budget"},
        ),
        table=f"{RESULTS}/tables/ensembles.csv",
    log:
        f"{RESULTS}/logs/plot_ensembles.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_ensembles.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_ensembles.py", "figures", *INTERVALS),
    message:
        "Drawing ensembles against their size"
    script:
        "../../scripts/plot_ensembles.py"


rule plot_similarity:
    input:
        methods=rules.measure_ensembles.output.methods,
        paths=rules.measure_ensembles.output.paths,
    output:
        pdf=f"{RESULTS}/figures/similarity.pdf",
        png=report(
            f"{RESULTS}/figures/similarity.png",
            caption="../report/plot_similarity.rst",
            category="8 Ensembles",
            labels={"figure": "how alike solutions are, and networks along paths"},
        ),
        table=f"{RESULTS}/tables/similarity.csv",
    log:
        f"{RESULTS}/logs/plot_similarity.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_similarity.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_similarity.py", "figures", *INTERVALS),
    message:
        "Drawing how alike solutions are"
    script:
        "../../scripts/plot_similarity.py"


rule plot_averages:
    input:
        rules.measure_ensembles.output.methods,
    output:
        pdf=f"{RESULTS}/figures/averages.pdf",
        png=report(
            f"{RESULTS}/figures/averages.png",
            caption="../report/plot_averages.rst",
            category="8 Ensembles",
            labels={"figure": "weight averages, barriers and gains"},
        ),
        table=f"{RESULTS}/tables/averages.csv",
    log:
        f"{RESULTS}/logs/plot_averages.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_averages.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("plot_averages.py", "figures", *INTERVALS),
    message:
        "Drawing weight averages beside ensembles"
    script:
        "../../scripts/plot_averages.py"


if study.sweeps:

    rule plot_curvature:
        input:
            curvature=measured("curvature", SWEPT),
            tunnels=measured("tunnels", SWEPT),
        output:
            pdf=f"{RESULTS}/figures/curvature.pdf",
            png=report(
                f"{RESULTS}/figures/curvature.png",
                caption="../report/plot_curvature.rst",
                category="6 Curvature",
                labels={"figure": "curvature against hyperparameters and tunnels"},
            ),
            table=f"{RESULTS}/tables/curvature.csv",
            correlations=f"{RESULTS}/tables/curvature_correlations.csv",
        log:
            f"{RESULTS}/logs/plot_curvature.log",
        benchmark:
            f"{RESULTS}/benchmarks/plot_curvature.tsv"
        localrule: True
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            job={
                **settings("plot_curvature.py", "figures", *INTERVALS, "curvature"),
                "sweeps": SWEEPS,
                "points": SWEPT,
                "base": {
                    sweep: study.points[study.base][sweep] for sweep in study.sweeps
                },
            },
        message:
            "Drawing curvature, and how it correlates with the width of tunnels"
        script:
            "../../scripts/plot_curvature.py"

    rule plot_tunnels:
        input:
            measured("tunnels", SWEPT),
        output:
            pdf=f"{RESULTS}/figures/tunnels.pdf",
            png=report(
                f"{RESULTS}/figures/tunnels.png",
                caption="../report/plot_tunnels.rst",
                category="5 Tunnels",
                labels={"figure": "angular width against hyperparameters"},
            ),
            table=f"{RESULTS}/tables/tunnels.csv",
        log:
            f"{RESULTS}/logs/plot_tunnels.log",
        benchmark:
            f"{RESULTS}/benchmarks/plot_tunnels.tsv"
        localrule: True
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            job={
                **settings("plot_tunnels.py", "figures", *INTERVALS),
                "sweeps": SWEEPS,
                "base": {
                    sweep: study.points[study.base][sweep] for sweep in study.sweeps
                },
            },
        message:
            "Drawing the angular width of tunnels"
        script:
            "../../scripts/plot_tunnels.py"


if study.grids:

    rule plot_phase_diagram:
        input:
            tunnels=measured("tunnels", GRIDDED),
            curvature=measured("curvature", GRIDDED),
            similarity=measured("similarity", GRIDDED),
        output:
            pdf=f"{RESULTS}/figures/phase_diagram.pdf",
            png=report(
                f"{RESULTS}/figures/phase_diagram.png",
                caption="../report/plot_phase_diagram.rst",
                category="7 Hyperparameters",
                labels={"figure": "grids of hyperparameters"},
            ),
            table=f"{RESULTS}/tables/phase_diagram.csv",
            numbers=f"{RESULTS}/tables/phase_diagram_numbers.csv",
        log:
            f"{RESULTS}/logs/plot_phase_diagram.log",
        benchmark:
            f"{RESULTS}/benchmarks/plot_phase_diagram.tsv"
        localrule: True
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            job={
                **settings("plot_phase_diagram.py", "figures", *INTERVALS),
                "grids": GRIDS,
                "base": study.points[study.base],
            },
        message:
            "Drawing phase diagrams of the grids"
        script:
            "../../scripts/plot_phase_diagram.py"
