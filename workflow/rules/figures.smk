# One rule, one figure, drawn from stores alone: `snakemake plot_tunnels` redraws only that one. A figure takes seconds, so
# on a cluster, too, it is drawn where Snakemake runs.
for figure in layout.figures:

    rule:
        name:
            f"plot_{figure.name}"
        input:
            **layout.read(figure, "tabulate", "draw"),
        output:
            **{table: f"{RESULTS}/tables/{table}.csv" for table in tables_of(figure)},
            pdf=f"{RESULTS}/figures/{figure.name}.pdf",
            png=report(
                f"{RESULTS}/figures/{figure.name}.png",
                caption=f"../report/plot_{figure.name}.rst",
                category=figure.constant("CATEGORY"),
                labels={"figure": figure.constant("TITLE")},
            ),
        log:
            f"{RESULTS}/logs/plot_{figure.name}.log",
        benchmark:
            f"{RESULTS}/benchmarks/plot_{figure.name}.tsv"
        priority: URGENCY.get(f"{RESULTS}/figures/{figure.name}.png", 0)
        localrule: True
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            job=determinants.figure(figure),
        message:
            f"Drawing {figure.constant('TITLE')}"
        script:
            "../../scripts/plot.py"


# The page on which the report opens: the verdicts chapter by chapter, a picture each. It shows files as they are.
rule summarise:
    input:
        verdicts=layout.verdicts,
        pictures=list(dict.fromkeys(layout.pictures().values())),
    output:
        # Named in the report, so that `report/workflow.rst` finds it wherever results lie.
        report(
            layout.first_page, category="1 Verdicts", labels={"verdicts": "first page"}
        ),
    log:
        f"{RESULTS}/logs/summarise.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        job=determinants.first_page(rule_book.families),
    message:
        "Writing the first page of the report"
    script:
        "../../scripts/summarise.py"
