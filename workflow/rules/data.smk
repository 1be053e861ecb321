# A local rule, since a cluster's nodes often have no network to download from.
rule prepare_data:
    output:
        f"{RESULTS}/data/{study.dataset}.zarr.zip",
    log:
        f"{RESULTS}/logs/prepare_data.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare_data.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        job=settings(
            "prepare_data.py",
            "dataset",
            "data.train_examples",
            "data.test_examples",
            own=OWN_DATA,
        ),
    message:
        f"Preparing the dataset {study.dataset}"
    script:
        "../../scripts/prepare_data.py"


# Builds every network of the study once, before others where there is a choice, so that a model that cannot be used is told
# at once. Not an input of training: with `ancient`, Snakemake would overlook what else has changed of a training while this
# rule is to run (9.27.1 skips all that lies behind a job that runs).
rule check_models:
    input:
        data=rules.prepare_data.output,
    output:
        f"{RESULTS}/tables/models.csv",
    log:
        f"{RESULTS}/logs/check_models.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_models.tsv"
    priority: 100
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=settings("check_models.py", "device", own=OWN_MODEL)
        | {"models": study.models()},
    message:
        "Checking the study's networks"
    script:
        "../../scripts/check_models.py"
