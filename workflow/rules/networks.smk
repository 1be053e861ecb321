# In place of training: the weights are read from the files that the section `networks` names.
rule read_networks:
    input:
        data=rules.prepare_data.output,
    output:
        f"{RESULTS}/weights/{{setting}}/seeds~{{seeds}}.zarr.zip",
    log:
        f"{RESULTS}/logs/read_networks/{{setting}}/seeds~{{seeds}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/read_networks/{{setting}}/seeds~{{seeds}}.tsv"
    priority: urgency_of_training
    threads: 1
    resources:
        **GPU,
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        job=lambda wildcards: determinants.reading(wildcards.setting, wildcards.seeds),
    message:
        "Reading seeds {wildcards.seeds} at {wildcards.setting}"
    script:
        "../../scripts/read_networks.py"
