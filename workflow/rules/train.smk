rule train:
    input:
        data=rules.prepare_data.output,
    output:
        f"{RESULTS}/weights/{{setting}}/seeds~{{seeds}}.zarr.zip",
    log:
        f"{RESULTS}/logs/train/{{setting}}/seeds~{{seeds}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{setting}}/seeds~{{seeds}}.tsv"
    priority: urgency_of_training
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        job=lambda wildcards: determinants.training(wildcards.setting, wildcards.seeds),
    message:
        "Training seeds {wildcards.seeds} at {wildcards.setting}"
    script:
        "../../scripts/train.py"
