rule train:
    input:
        data=rules.prepare_data.output,
        starts=lambda wildcards: starts(wildcards.point, wildcards.seeds),
    output:
        f"{RESULTS}/weights/{{point}}/seeds~{{seeds}}.zarr.zip",
    log:
        f"{RESULTS}/logs/train/{{point}}/seeds~{{seeds}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{point}}/seeds~{{seeds}}.tsv"
    retries: 2
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        job=lambda wildcards: settings("train.py", own=OWN_MODEL)
        | study.training(wildcards.point)
        | {"seeds": seeds_in(wildcards.seeds)},
    message:
        "Training seeds {wildcards.seeds} at {wildcards.point}"
    script:
        "../../scripts/train.py"
