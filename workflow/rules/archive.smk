# All that a reader needs to see where every figure came from, in one file. Not part of `all`, so its inputs, which are all
# results, are known when this file is included.
rule archive:
    input:
        sorted(
            RESULT_FILES - WEIGHTS
            | EXPLORER
            | (WEIGHTS if study.config["archive"]["weights"] else set())
        ),
    output:
        archive=f"{RESULTS}/archive.zip",
        checksum=f"{RESULTS}/archive.zip.sha256",
        config=f"{RESULTS}/provenance/config.yaml",
        graph=f"{RESULTS}/provenance/rule_graph.mmd",
    log:
        f"{RESULTS}/logs/archive.log",
    benchmark:
        f"{RESULTS}/benchmarks/archive.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        job=determinants.archive(
            internals.config_files(workflow), sorted(RESULT_FILES | EXPLORER | WEIGHTS)
        ),
    message:
        "Archiving the study"
    script:
        "../../scripts/archive.py"
