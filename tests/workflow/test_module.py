"""The workflow as a module of another one: the README's, run as it stands there."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from projects import REPOSITORY, Project, copy_to, example, jobs_in
from wedgescape.provenance import verify
from wedgescape.study.catalogue import catalogue
from wedgescape.study.layout import Layout
from wedgescape.study.study import load_study

WHAT_VARIES = ("provenance", "logs", "benchmarks")  # from run to run
pytestmark = pytest.mark.slow


def config() -> dict:
    """The smoke study without what is slow to measure."""
    smoke, first = (yaml.safe_load((REPOSITORY / f"config/{name}.yaml").read_text()) for name in ("smoke", "first"))
    return smoke | {"leave_out": first["leave_out"]}


def figures() -> list[str]:
    """The names of its figures."""
    return sorted(file.name for file in Layout(load_study(config(), catalogue()), catalogue()).figures)


@pytest.fixture(scope="module")
def alone(smoke_project, tmp_path_factory) -> Project:
    """The same study without another workflow around it; what is left out is there from the whole smoke study."""
    made = smoke_project.copied_to(tmp_path_factory.mktemp("alone") / "project")
    made.configure(**config())
    made.smoke()
    return made


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
    (folder / "config/study.yaml").write_text(yaml.safe_dump(config(), sort_keys=False))
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


def test_results_are_those_of_the_study_alone_in_every_byte(importing, alone):
    there = digests(importing.folder / "wedges/results/smoke")
    assert {"claims.csv", "summary.html", *(f"figures/{name}.pdf" for name in figures())} <= there.keys()
    assert there.items() <= digests(alone.folder / "results/smoke").items()


def test_all_that_is_written_lies_below_the_prefix(importing, alone):
    own = {"workflow", "config", "wedgescape", "wedges", "verdicts.csv", ".snakemake"}
    assert {path.name for path in importing.folder.iterdir()} == own
    assert not (importing.folder / "wedgescape/results").exists()
    for kind in ("logs", "benchmarks"):
        wanted, there = (
            {path.relative_to(folder) for path in folder.rglob("*")}
            for folder in (
                project / kind
                for project in (alone.folder / "results/smoke", importing.folder / "wedges/results/smoke")
            )
        )
        assert {path.name for path in there} >= {
            f"plot_{name}.{'log' if kind == 'logs' else 'tsv'}" for name in figures()
        }
        assert there <= wanted


def test_records_tell_the_same_of_what_was_read_and_made(importing, alone):
    wanted, there = (
        records(project.folder / place)
        for project, place in ((alone, "results/smoke"), (importing, "wedges/results/smoke"))
    )
    assert len(there) > 30
    assert there.keys() <= wanted.keys()
    for name, record in there.items():
        for key in ("rule", "wildcards", "input", "output", "params"):
            assert record[key] == wanted[name][key]


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


def test_weights_that_are_missing_are_trained_again(importing):
    (weights,) = importing.folder.glob("wedges/results/smoke/weights/lr~0.1_wd~0_width~8_*/*.zarr.zip")
    weights.rename(weights.with_suffix(".kept"))
    said = importing.snakemake("--cores", "2", "--dry-run", "wedgescape_all").stdout
    weights.with_suffix(".kept").rename(weights)
    assert "wedgescape_train" in said
    assert "Nothing to be done" in importing.snakemake("--cores", "2", "wedgescape_all").stdout


def test_the_report_holds_every_figure(importing, tmp_path):
    importing.snakemake("--report", str(tmp_path / "report.html"), "wedgescape_all")
    text = (tmp_path / "report.html").read_text()
    for figure in figures():
        assert f"wedgescape_plot_{figure}" in text


def test_the_archive_is_sound_and_names_results_without_the_prefix(importing):
    importing.snakemake("--cores", "2", "wedgescape_archive")
    archive = importing.folder / "wedges/results/smoke/archive.zip"
    assert verify.problems(archive) == []
    found = verify.figures(archive)
    assert [figure.name for figure in found] == figures()
    assert all(name.startswith("results/smoke/") for figure in found for name in figure.stores)


# Several studies


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
    assert jobs_in(said) == {
        "first_prepare_data": 1, "first_train": 4, "first_measure_tunnels": 4, "first_plot_tunnels": 1,
        "first_measure_balanced": 4, "first_measure_dimension": 1,
        "second_prepare_data": 1, "second_train": 1, "second_measure_training": 1, "second_plot_training": 1,
    }  # fmt: skip


# From where it is hosted


DEPLOYED = """
configfile: "config/config.yaml"


module wedgescape:
    snakefile: github("owner/wedgescape", path="workflow/Snakefile", {ref})
    config: config


use rule * from wedgescape
"""


@pytest.fixture
def hosted(tmp_path, monkeypatch) -> Path:
    """A repository that git finds when told to ask github.com, and a cache of sources that knows nothing of it."""
    folder = copy_to(tmp_path / "host/owner/wedgescape").folder
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    for arguments in (("init", "-q", "-b", "main"), ("add", "."), (*identity, "commit", "-qm", "first"), ("tag", "v1")):
        subprocess.run(["git", "-C", folder, *arguments], check=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path}/host/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    return folder


def deployed(folder: Path, snakefile: str) -> Project:
    """What `snakedeploy deploy-workflow` makes: a Snakefile that imports the workflow, and its configs."""
    project = copy_to(folder)
    for part in ("workflow/rules", "workflow/report", "scripts"):
        shutil.rmtree(folder / part)
    (folder / "workflow/Snakefile").write_text(snakefile)
    return project


@pytest.mark.parametrize("ref", ['tag="v1"', 'branch="main"'])
def test_it_runs_from_where_it_is_hosted_to_the_same_bytes(hosted, smoke_project, tmp_path, ref):
    project = deployed(tmp_path / "mine", DEPLOYED.format(ref=ref))
    project.smoke("--", "plot_predictions")
    alone, there = (made.folder / "results/smoke" for made in (smoke_project, project))
    made = digests(there)
    assert "figures/predictions.pdf" in made
    assert made.items() <= digests(alone).items()
    head = subprocess.run(["git", "-C", hosted, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    for record in records(there).values():
        assert record["source"] == {"commit": head.stdout.strip(), "dirty": False, "difference": None}
    assert "Nothing to be done" in project.smoke("--", "plot_predictions").stdout


def test_where_its_files_cannot_be_listed_it_says_what_to_do(hosted, tmp_path):
    place = 'github("owner/wedgescape", path="workflow/Snakefile", {ref})'
    project = deployed(tmp_path / "mine", DEPLOYED.replace(place, f'"git+file://{hosted}/workflow/Snakefile@v1"'))
    said = project.smoke("--dry-run", check=False)
    assert said.returncode != 0
    assert "Import it from a clone or a git submodule" in said.stdout
