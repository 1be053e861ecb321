rule prepare_data:
    output:
        f"{RESULTS}/data/{study.dataset}.zarr.zip",
    params:
        job={"code": code("prepare_data.py"), **study.data()},
    log:
        f"{RESULTS}/logs/prepare_data.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare_data.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
    threads: 1
    message:
        f"Preparing the dataset {study.dataset}"
    script:
        "../../scripts/prepare_data.py"


# Builds every network of the study once, so that a model that cannot be used is told before any training starts.
rule check_models:
    input:
        data=rules.prepare_data.output,
    output:
        f"{RESULTS}/tables/models.csv",
    params:
        job={"code": code("check_models.py"), "models": study.models(), "device": study.config["device"]},
    log:
        f"{RESULTS}/logs/check_models.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_models.tsv"
    resources:
        mem_mb=2000,
        runtime=10,
    threads: 1
    message:
        "Checking the study's networks"
    script:
        "../../scripts/check_models.py"
