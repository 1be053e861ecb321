# One page with all views of the study, for `snakemake explorer`. It is not part of `all`; an archive holds it.
from wedgescape.explorer import views

EXPLORER = {f"{RESULTS}/explorer.html"}


rule explorer:
    input:
        **views.read(layout),
    output:
        page=report(
            f"{RESULTS}/explorer.html",
            caption="../report/explorer.rst",
            category="1 Verdicts",
            labels={"verdicts": "explorer"},
        ),
    log:
        f"{RESULTS}/logs/explorer.log",
    benchmark:
        f"{RESULTS}/benchmarks/explorer.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=views.determined_by(determinants, rule_book.families),
    message:
        "Writing the explorer"
    script:
        "../../scripts/explorer.py"
