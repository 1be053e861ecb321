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
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        job=lambda wildcards: settings("train.py", own=OWN_MODEL)
        | {
            "points": {wildcards.point: study.training(wildcards.point)},
            "seeds": seeds_in(wildcards.seeds),
        },
    message:
        "Training seeds {wildcards.seeds} at {wildcards.point}"
    script:
        "../../scripts/train.py"
