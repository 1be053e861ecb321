rule judge_claims:
    input:
        **layout.judged_from(),
        # Verdicts on fresh seeds, once `make confirm` has made them. They are results of another study.
        confirmation=[path for path in [layout.confirmation] if Path(path).exists()],
    output:
        table=layout.verdicts,
        specifications=layout.specifications,
        page=report(
            f"{RESULTS}/claims.html",
            caption="../report/judge_claims.rst",
            category="1 Verdicts",
            labels={"verdicts": "table"},
        ),
    log:
        f"{RESULTS}/logs/judge_claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_claims.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=determinants.claims(rule_book.model_dump()),
    message:
        "Judging the claims"
    script:
        "../../scripts/judge_claims.py"
