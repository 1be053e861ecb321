# One rule, one figure, drawn from stores alone: `snakemake plot_tunnels` redraws just that one.

FIGURES = expand(
    f"{RESULTS}/figures/{{figure}}.{{kind}}",
    figure=[
        "wedges",
        "predictions",
        "training",
        "hyperplanes",
        "planes",
        "surroundings",
        "profiles",
        "curves",
        "connectors",
        "subspaces",
        *(["tunnels"] if study.sweeps else []),
    ],
    kind=["pdf", "png"],
)


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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        job=settings("plot_predictions.py", "figures"),
    message:
        "Drawing the predictions about wedges against simulation"
    script:
        "../../scripts/plot_predictions.py"


rule plot_training:
    input:
        weights(study.base),
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        job=settings("plot_training.py", "figures", "claims"),
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        job=settings("plot_hyperplanes.py", "figures", "claims"),
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        job=settings("plot_curves.py", "figures", "claims"),
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        job=settings("plot_profiles.py", "figures", "claims", "profiles"),
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        job=settings("plot_connectors.py", "figures", "claims"),
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        job=settings("plot_subspaces.py", "figures", "claims", "subspaces"),
    message:
        "Drawing connectors as subspaces"
    script:
        "../../scripts/plot_subspaces.py"


if study.sweeps:

    rule plot_tunnels:
        input:
            expand(f"{RESULTS}/tunnels/{{sweep}}.zarr.zip", sweep=study.sweeps),
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
        threads: 1
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            job={
                **settings("plot_tunnels.py", "figures", "claims"),
                "base": {
                    sweep: study.points[study.base][sweep] for sweep in study.sweeps
                },
            },
        message:
            "Drawing the angular width of tunnels"
        script:
            "../../scripts/plot_tunnels.py"
