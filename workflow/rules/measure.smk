rule simulate_wedges:
    output:
        f"{RESULTS}/wedges/predictions.zarr.zip",
    log:
        f"{RESULTS}/logs/simulate_wedges.log",
    benchmark:
        f"{RESULTS}/benchmarks/simulate_wedges.tsv"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        job=settings("simulate_wedges.py", "wedges"),
    message:
        "Simulating the toy wedges"
    script:
        "../../scripts/simulate_wedges.py"


# Loads no network and takes a second. What follows from training needs no weights then.
rule measure_training:
    input:
        lambda wildcards: weights(wildcards.point),
    output:
        f"{RESULTS}/training/{{point}}.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_training/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_training/{{point}}.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("measure_training.py"),
    message:
        "Keeping the curves of training at {wildcards.point}"
    script:
        "../../scripts/measure_training.py"


rule measure_tunnels:
    input:
        data=rules.prepare_data.output,
        weights=lambda wildcards: weights(wildcards.point),
    output:
        f"{RESULTS}/tunnels/{{point}}.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_tunnels/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_tunnels/{{point}}.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        job=settings("measure_tunnels.py", "tunnels", own=OWN_MODEL),
    message:
        "Measuring tunnels at {wildcards.point}"
    script:
        "../../scripts/measure_tunnels.py"


# At every width of the study: how the threshold depends on the number of parameters.
HYPERPLANES = expand(
    f"{RESULTS}/hyperplanes/{{point}}.zarr.zip",
    point=study.sweeps.get("width", [study.base]),
)


rule measure_hyperplanes:
    input:
        data=rules.prepare_data.output,
        weights=lambda wildcards: weights(wildcards.point),
    output:
        f"{RESULTS}/hyperplanes/{{point}}.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_hyperplanes/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_hyperplanes/{{point}}.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        job=settings("measure_hyperplanes.py", "hyperplanes", own=OWN_MODEL),
    message:
        "Measuring descents in random hyperplanes at {wildcards.point}"
    script:
        "../../scripts/measure_hyperplanes.py"


# A trajectory can be seen where snapshots of it are kept.
PLANES = [
    "optima",
    "around",
    *(["trajectory"] if study.config["training"]["snapshot_epochs"] else []),
]


rule measure_planes:
    input:
        data=rules.prepare_data.output,
        weights=weights(study.base),
    output:
        **{plane: f"{RESULTS}/planes/{plane}.zarr.zip" for plane in PLANES},
    log:
        f"{RESULTS}/logs/measure_planes.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_planes.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        job=settings("measure_planes.py", "planes", "connectors", own=OWN_MODEL),
    message:
        "Measuring planes: through three optima, around one, along a trajectory"
    script:
        "../../scripts/measure_planes.py"


rule measure_profiles:
    input:
        data=rules.prepare_data.output,
        weights=weights(study.base),
    output:
        f"{RESULTS}/profiles/directions.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_profiles.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_profiles.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        job=settings("measure_profiles.py", "profiles", "connectors", own=OWN_MODEL),
    message:
        "Measuring how long the directions from optima are"
    script:
        "../../scripts/measure_profiles.py"


rule measure_curves:
    input:
        data=rules.prepare_data.output,
        weights=weights(study.base),
    output:
        f"{RESULTS}/curves/pairs.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_curves.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_curves.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        job=settings("measure_curves.py", "curves", own=OWN_MODEL),
    message:
        "Measuring curves between pairs of optima"
    script:
        "../../scripts/measure_curves.py"


rule measure_connectors:
    input:
        data=rules.prepare_data.output,
        weights=weights(study.base),
    output:
        f"{RESULTS}/connectors/centres.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_connectors.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_connectors.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        job=settings("measure_connectors.py", "connectors", own=OWN_MODEL),
    message:
        "Measuring connectors between sets of optima"
    script:
        "../../scripts/measure_connectors.py"


rule measure_subspaces:
    input:
        data=rules.prepare_data.output,
        weights=weights(study.base),
    output:
        f"{RESULTS}/connectors/subspaces.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_subspaces.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_subspaces.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        job=settings("measure_subspaces.py", "connectors", "subspaces", own=OWN_MODEL),
    message:
        "Measuring connectors as subspaces"
    script:
        "../../scripts/measure_subspaces.py"


# At every width of the study and at the base point: how much of a barrier is a matter of the units' order.
ALIGNMENT = measured("alignment", [study.base, *study.sweeps.get("width", [])])


rule measure_alignment:
    input:
        data=rules.prepare_data.output,
        weights=lambda wildcards: weights(wildcards.point),
    output:
        f"{RESULTS}/alignment/{{point}}.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_alignment/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_alignment/{{point}}.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        job=settings("measure_alignment.py", "alignment", own=OWN_MODEL),
    message:
        "Measuring lines between aligned optima at {wildcards.point}"
    script:
        "../../scripts/measure_alignment.py"


rule measure_aligned_connectors:
    input:
        data=rules.prepare_data.output,
        weights=weights(study.base),
    output:
        f"{RESULTS}/connectors/aligned.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_aligned_connectors.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_aligned_connectors.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        job=settings(
            "measure_aligned_connectors.py", "alignment", "connectors", own=OWN_MODEL
        ),
    message:
        "Measuring connectors between sets of aligned optima"
    script:
        "../../scripts/measure_aligned_connectors.py"


rule measure_similarity:
    input:
        data=rules.prepare_data.output,
        weights=lambda wildcards: weights(wildcards.point),
    output:
        f"{RESULTS}/similarity/{{point}}.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_similarity/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_similarity/{{point}}.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        job=settings("measure_similarity.py", "similarity", own=OWN_MODEL),
    message:
        "Measuring how alike the networks are at {wildcards.point}"
    script:
        "../../scripts/measure_similarity.py"


rule measure_curvature:
    input:
        data=rules.prepare_data.output,
        weights=lambda wildcards: weights(wildcards.point),
    output:
        f"{RESULTS}/curvature/{{point}}.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_curvature/{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_curvature/{{point}}.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        job=settings("measure_curvature.py", "curvature", own=OWN_MODEL),
    message:
        "Measuring curvature at {wildcards.point}"
    script:
        "../../scripts/measure_curvature.py"


rule measure_spectrum:
    input:
        data=rules.prepare_data.output,
        weights=weights(study.base),
    output:
        density=f"{RESULTS}/spectrum/density.zarr.zip",
        radii=f"{RESULTS}/spectrum/radii.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_spectrum.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_spectrum.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        job=settings("measure_spectrum.py", "spectrum", own=OWN_MODEL),
    message:
        "Measuring the Hessian's spectrum, and random points"
    script:
        "../../scripts/measure_spectrum.py"


rule fit_wedges:
    input:
        tunnels=f"{RESULTS}/tunnels/{study.base}.zarr.zip",
        hyperplanes=f"{RESULTS}/hyperplanes/{study.base}.zarr.zip",
        radii=rules.measure_spectrum.output.radii,
        profiles=rules.measure_profiles.output[0],
        connectors=rules.measure_connectors.output[0],
        training=f"{RESULTS}/training/{study.base}.zarr.zip",
    output:
        f"{RESULTS}/wedges/fitted.zarr.zip",
    log:
        f"{RESULTS}/logs/fit_wedges.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_wedges.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("fit_wedges.py", "claims.confidence", "claims.resamples"),
    message:
        "Fitting toy wedges to the base point by several routes"
    script:
        "../../scripts/fit_wedges.py"


rule measure_ensembles:
    input:
        **{method: method_weights(method) for method in study.methods},
        data=rules.prepare_data.output,
        base=weights(study.base),
    output:
        methods=f"{RESULTS}/ensembles/methods.zarr.zip",
        paths=f"{RESULTS}/ensembles/paths.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_ensembles.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_ensembles.tsv"
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        job=settings(
            "measure_ensembles.py",
            "ensembles",
            "tunnels",
            "curves",
            "similarity",
            own=OWN_MODEL,
        ),
    message:
        "Measuring ensembles at one budget"
    script:
        "../../scripts/measure_ensembles.py"


rule judge_claims:
    input:
        wedges=rules.simulate_wedges.output,
        tunnels=measured("tunnels", [*SWEPT, *GRIDDED, *FLAT.values()]),
        curvature=measured("curvature", [*SWEPT, *GRIDDED, *FLAT.values()]),
        similarity=measured("similarity", GRIDDED),
        profiles=rules.measure_profiles.output,
        hyperplanes=HYPERPLANES,
        curves=rules.measure_curves.output,
        connectors=rules.measure_connectors.output,
        subspaces=rules.measure_subspaces.output,
        alignment=ALIGNMENT,
        aligned=rules.measure_aligned_connectors.output,
        density=rules.measure_spectrum.output.density,
        fitted=rules.fit_wedges.output,
        ensembles=rules.measure_ensembles.output.methods,
    output:
        table=f"{RESULTS}/claims.csv",
        page=report(
            f"{RESULTS}/claims.html",
            caption="../report/judge_claims.rst",
            category="1 Verdicts",
            labels={"verdicts": "table"},
        ),
    log:
        f"{RESULTS}/logs/judge_claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_claims.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("judge_claims.py", "claims")
        | {"sweeps": SWEEPS, "grids": GRIDS, "methods": FLAT},
    message:
        "Judging the claims"
    script:
        "../../scripts/judge_claims.py"
