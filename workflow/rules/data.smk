# A local rule, because a cluster's nodes often have no network to download from.
rule prepare_data:
    output:
        layout.data,
    log:
        f"{RESULTS}/logs/prepare_data.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare_data.tsv"
    priority: URGENCY.get(layout.data, 0)
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        job=determinants.data(),
    message:
        f"Preparing the dataset {study.dataset}"
    script:
        "../../scripts/prepare_data.py"


# Builds every network of the study once, with priority, so that a model that cannot be used is reported at once. It is not an
# input of training: with `ancient`, Snakemake 9.27.1 would overlook other changes of a training while this rule is to run,
# because it skips everything behind a job that runs.
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
        job=determinants.models(),
    message:
        "Checking the study's networks"
    script:
        "../../scripts/check_models.py"
