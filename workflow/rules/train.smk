rule train:
    input:
        data=rules.prepare_data.output,
        # Waits for the check, and does not retrain when another network joins the study.
        models=ancient(rules.check_models.output),
    output:
        f"{RESULTS}/weights/{{point}}/seeds~{{seeds}}.zarr.zip",
    params:
        job=lambda wildcards: {"code": code("train.py"), **study.training(wildcards.point)},
    log:
        f"{RESULTS}/logs/train/{{point}}/seeds~{{seeds}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{point}}/seeds~{{seeds}}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    retries: 2
    threads: 1
    message:
        "Training seeds {wildcards.seeds} at {wildcards.point}"
    script:
        "../../scripts/train.py"
