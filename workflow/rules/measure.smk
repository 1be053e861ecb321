rule simulate_wedges:
    output:
        f"{RESULTS}/wedges/predictions.zarr.zip",
    log:
        f"{RESULTS}/logs/simulate_wedges.log",
    benchmark:
        f"{RESULTS}/benchmarks/simulate_wedges.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        job=settings("simulate_wedges.py", "wedges"),
    message:
        "Simulating the toy wedges"
    script:
        "../../scripts/simulate_wedges.py"


rule measure_tunnels:
    input:
        data=rules.prepare_data.output,
        weights=lambda wildcards: sweep_weights(wildcards.sweep),
    output:
        f"{RESULTS}/tunnels/{{sweep}}.zarr.zip",
    log:
        f"{RESULTS}/logs/measure_tunnels/{{sweep}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_tunnels/{{sweep}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        job=lambda wildcards: settings("measure_tunnels.py", "tunnels", own=OWN_MODEL)
        | {"values": sweep_values(wildcards.sweep)},
    message:
        "Measuring tunnels over {wildcards.sweep}"
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
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
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
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
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
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
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
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
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
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
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
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        job=settings("measure_subspaces.py", "connectors", "subspaces", own=OWN_MODEL),
    message:
        "Measuring connectors as subspaces"
    script:
        "../../scripts/measure_subspaces.py"


rule judge_claims:
    input:
        wedges=rules.simulate_wedges.output,
        tunnels=expand(f"{RESULTS}/tunnels/{{sweep}}.zarr.zip", sweep=study.sweeps),
        profiles=rules.measure_profiles.output,
        hyperplanes=HYPERPLANES,
        curves=rules.measure_curves.output,
        connectors=rules.measure_connectors.output,
        subspaces=rules.measure_subspaces.output,
    output:
        report(
            f"{RESULTS}/claims.csv",
            caption="../report/judge_claims.rst",
            category="1 Verdicts",
            labels={"table": "claims"},
        ),
    log:
        f"{RESULTS}/logs/judge_claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_claims.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        job=settings("judge_claims.py", "claims"),
    message:
        "Judging the claims"
    script:
        "../../scripts/judge_claims.py"
