"""The workflow as a module of another one: the README's, run as it stands there."""

import hashlib
import json
from pathlib import Path

import pytest

from projects import Project, copy_to, example

WHAT_VARIES = ("provenance", "logs", "benchmarks")  # from run to run


@pytest.fixture(scope="module")
def importing(tmp_path_factory) -> Project:
    """Another repository, with its own Snakefile and config, in which everything has run."""
    made = imports(tmp_path_factory.mktemp("importing"), example("workflow/Snakefile"))
    made.snakemake("--cores", "2")
    assert not (made.folder / "wedges/results/smoke/figures").exists()  # what it asked for, and no more
    made.snakemake("--cores", "2", "wedgescape_all")
    return made


def imports(folder: Path, snakefile: str) -> Project:
    project = copy_to(folder / "wedgescape").folder
    for name in ("workflow", "config"):
        (folder / name).mkdir()
    (folder / "workflow/Snakefile").write_text(snakefile)
    (project / "workflow/profiles").rename(folder / "workflow/profiles")
    (folder / "config/study.yaml").write_text((project / "config/smoke.yaml").read_text())
    return Project(folder)


def digests(study: Path) -> dict[str, str]:
    files = [file for file in study.rglob("*") if file.is_file()]
    names = {file: file.relative_to(study) for file in files}
    return {
        str(name): hashlib.sha256(file.read_bytes()).hexdigest()
        for file, name in names.items()
        if name.parts[0] not in WHAT_VARIES
    }


def records(study: Path) -> dict[str, dict]:
    files = (study / "provenance").glob("*/*.json")
    return {str(file.relative_to(study)): json.loads(file.read_text()) for file in files}


def test_a_rule_of_the_other_workflow_reads_what_this_one_made(importing):
    claims = (importing.folder / "wedges/results/smoke/claims.csv").read_bytes()
    assert (importing.folder / "verdicts.csv").read_bytes() == claims


def test_results_are_those_of_the_study_alone_in_every_byte(importing, smoke_project):
    alone = digests(smoke_project.folder / "results/smoke")
    assert len(alone) > 80
    assert digests(importing.folder / "wedges/results/smoke") == alone


def test_all_that_is_written_lies_below_the_prefix(importing, smoke_project):
    own = {"workflow", "config", "wedgescape", "wedges", "verdicts.csv", ".snakemake"}
    assert {path.name for path in importing.folder.iterdir()} == own
    assert not (importing.folder / "wedgescape/results").exists()
    for kind in ("logs", "benchmarks"):
        alone = smoke_project.folder / "results/smoke" / kind
        there = importing.folder / "wedges/results/smoke" / kind
        wanted = {path.relative_to(alone) for path in alone.rglob("*")}
        assert {path.relative_to(there) for path in there.rglob("*")} == wanted


def test_records_tell_the_same_of_what_was_read_and_made(importing, smoke_project):
    alone, there = (
        records(project.folder / place)
        for project, place in ((smoke_project, "results/smoke"), (importing, "wedges/results/smoke"))
    )
    assert len(alone) > 40
    assert there.keys() == alone.keys()
    for name, record in alone.items():
        for key in ("rule", "wildcards", "input", "output", "params"):
            assert there[name][key] == record[key]


def test_a_second_run_has_nothing_to_do(importing):
    assert "Nothing to be done" in importing.snakemake("--cores", "2", "wedgescape_all", "keep_verdicts").stdout


def test_one_figure_can_be_redrawn_alone(importing):
    png = importing.folder / "wedges/results/smoke/figures/tunnels.png"
    content = png.read_bytes()
    png.unlink()
    assert "1 of 1 steps" in importing.snakemake("--cores", "2", "wedgescape_plot_tunnels").stdout
    assert png.read_bytes() == content


def test_a_result_that_was_changed_is_set_aside_and_made_again(importing):
    table = importing.folder / "wedges/results/smoke/tables/tunnels.csv"
    content = table.read_bytes()
    table.write_bytes(content + b"1\n")
    said = importing.snakemake("--cores", "2", "wedgescape_plot_tunnels").stdout
    aside = table.with_name("tunnels.csv.changed")
    assert str(aside.relative_to(importing.folder)) in said
    assert table.read_bytes() == content
    aside.unlink()


TWO_STUDIES = """
configfile: "config/study.yaml"


module first:
    snakefile: "../wedgescape/workflow/Snakefile"
    config: config
    prefix: "a/b"


use rule * from first as first_*


use rule train from first as first_train with:
    threads: 2


module second:
    snakefile: "../wedgescape/workflow/Snakefile"
    config: config | {"study": "second", "training": {"epochs": 2}}
    prefix: "c"


use rule * from second exclude all as second_*
"""


def test_two_studies_stand_side_by_side(tmp_path):
    """Also with the same config used twice, and a rule that the other workflow changes."""
    project = imports(tmp_path, TWO_STUDIES)
    targets = ("a/b/results/smoke/figures/tunnels.pdf", "c/results/second/figures/training.pdf")
    said = project.snakemake("--cores", "2", "--dry-run", "--", *targets).stdout
    rows = [line.split() for line in said.partition("Job stats:")[2].splitlines()]
    counts = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
    assert counts == {
        "first_prepare_data": 1, "first_train": 3, "first_measure_tunnels": 3, "first_plot_tunnels": 1,
        "second_prepare_data": 1, "second_train": 1, "second_plot_training": 1, "total": 11,
    }  # fmt: skip
