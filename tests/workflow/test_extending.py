"""docs/extending.md, followed to the letter in a copy: its measurement with its figure, in six files and no more."""

import json
import re
import subprocess
from types import SimpleNamespace

import pandas as pd
import pytest

from projects import REPOSITORY, Project, code_blocks, copy_to, smoke_layout
from wedgescape.stores.zarr_stores import open_store

PAGE = "docs/extending.md"
NAME = "sharp_turns"
MEASUREMENT, FIGURE = (text for language, text in code_blocks(PAGE) if language == "python")
(RULE,) = (text for language, text in code_blocks(PAGE) if language == "yaml")
CAPTION = """\
How much the training loss rises after a step in random directions, at the base setting's optima. Dots are seeds and
directions, the bar is the {{ "%g" | format(100 * snakemake.params.job["sections"]["claims.confidence"]) }} %
interval of the mean over seeds. All optima take the same directions.
"""
TEST = '''\
"""Sharp turns of a quadratic, whose rise is known."""

import numpy as np
import torch

from wedgescape.measurements.sharp_turns import Settings, claims, measure
from wedgescape.numerics.intervals import Intervals
from wedgescape.training.optima import Optima


def test_the_rise_is_half_the_squared_length_where_all_curvatures_are_one(quadratic):
    optima = Optima.of(quadratic([1.0] * 20), torch.zeros(3, 20, dtype=torch.float64), diverged=[False, False, True])
    store = measure(optima, Settings(directions=4, length=2.0))
    np.testing.assert_allclose(store["rise"][:2], 2.0, rtol=1e-6)
    assert store["rise"][2].isnull().all()
    (claim,) = claims(store, Intervals())
    assert (claim.rule, claim.estimate.units, claim.left_out) == ("sharp_turn", 2, 1)
'''
CHANGE = "- Sharp turns: how far the loss rises after a step in a random direction.\n"
ALSO = ("tests", ".gitignore", "LICENSE", "CITATION.cff", ".snakemake-workflow-catalog.yml")
NEW = {f"measure_{NAME}", f"plot_{NAME}"}
VERDICTS = {"judge_claims", "plot_claims", "plot_specifications", "summarise"}


def files() -> list[str]:
    """The files that the page's first table says are touched, in its order."""
    text = (REPOSITORY / PAGE).read_text()
    return re.findall(r"^\| `([\w/.]+)` \|", text.partition("\n## ")[0], re.MULTILINE)


def add(project: Project) -> None:
    """Do what the page says."""
    measurement, figure, caption, test, rules, changelog = (project.folder / file for file in files())
    for path, text in {measurement: MEASUREMENT, figure: FIGURE, caption: CAPTION, test: TEST}.items():
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    rules.write_text(rules.read_text() + RULE)
    changelog.write_text(changelog.read_text() + CHANGE)


def git(project: Project, *arguments: str) -> str:
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    done = subprocess.run(
        ["git", "-C", project.folder, *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


def touched(project: Project) -> set[str]:
    """The files that differ from the commit, and those that are new."""
    git(project, "add", "--all")
    names = git(project, "diff", "--cached", "--name-only").split()
    assert git(project, "diff", "--cached", "--stat").count("|") == len(names)
    return set(names)


@pytest.fixture(scope="module")
def extended(smoke_project, tmp_path_factory):
    """A copy of the finished smoke study as a repository, extended as the page says; and what was said on the way."""
    project = smoke_project.copied_to(tmp_path_factory.mktemp("extended") / "project")
    copy_to(project.folder, ALSO)
    git(project, "init", "-q")
    git(project, "add", "--all")
    git(project, "commit", "-qm", "before")
    add(project)
    return project


@pytest.fixture(scope="module")
def ran(extended):
    """What was planned before and after the new figure was drawn."""
    before = extended.planned()
    plan = extended.python("scripts/plan_study.py", "--configfile", "config/smoke.yaml").stdout
    said = extended.smoke("--", f"plot_{NAME}").stdout
    return SimpleNamespace(before=before, plan=plan, said=said, after=extended.pending())


def test_six_files_are_touched(extended):
    assert len(files()) == 6
    assert touched(extended) == set(files())


@pytest.mark.parametrize("part", ["VARIABLES", "measure", "work", "claims"])
def test_a_measurement_that_lacks_a_part_is_named_before_any_job_runs(project, part):
    add(project)
    project.remove_definition(f"measurements/{NAME}.py", part)
    said = project.smoke(check=False)
    assert said.returncode != 0
    assert f"measurements/{NAME}.py: it has no {part}; docs/extending.md says what that is" in said.stdout
    assert "Traceback" not in said.stdout
    assert not (project.folder / "results").exists()


def test_a_figure_without_its_caption_is_named_before_any_job_runs(project):
    add(project)
    (project.folder / f"workflow/report/plot_{NAME}.rst").unlink()
    said = project.smoke(check=False)
    assert said.returncode != 0
    assert f"figures/{NAME}.py: it has no caption, workflow/report/plot_{NAME}.rst" in said.stdout
    assert not (project.folder / "results").exists()


def test_it_is_a_section_of_the_config_that_is_checked(project):
    add(project)
    (project.folder / "wrong.yaml").write_text(f"{NAME}: {{directions: 0, lengths: 1.0}}\n")
    files = ("--configfile", "config/smoke.yaml", "wrong.yaml")
    said = project.snakemake("--dry-run", "--cores", "1", *files, check=False)
    assert said.returncode != 0
    assert f"{NAME}.lengths: unknown key (did you mean length?)" in said.stdout
    assert f"{NAME}.directions: found 0; allowed: integer >= 1" in said.stdout


@pytest.mark.slow
def test_it_is_made_and_nothing_else_reruns_but_the_verdicts(ran):
    assert ran.before == dict.fromkeys(NEW | VERDICTS, 1)
    assert "2 of 2 steps" in ran.said
    assert ran.after == VERDICTS


@pytest.mark.slow
def test_the_plan_counts_it(ran):
    assert re.search(rf"^measure_{NAME} +1 ", ran.plan, re.MULTILINE)


@pytest.mark.slow
def test_its_store_says_what_is_in_it(ran, extended):
    base = smoke_layout().study.base
    store = open_store(extended.folder / f"results/smoke/{NAME}/{base}.zarr.zip")
    assert store["rise"].dims == ("seed", "direction")
    assert store["rise"].attrs == {"description": "rise of the training loss after the step", "units": "nat"}
    assert store["diverged"].dims == ("seed",)
    assert store.sizes == {"seed": 4, "direction": 2}  # as `smoke=` says
    assert json.loads(store.attrs["config"])["sections"][NAME] == {"directions": 2, "length": 1.0}
    assert len(pd.read_csv(extended.folder / f"results/smoke/tables/{NAME}.csv")) == 4 * 2


@pytest.mark.slow
def test_it_is_claimed_and_in_the_report(ran, extended, tmp_path):
    extended.smoke()
    assert "sharp_turn" in pd.read_csv(extended.folder / "results/smoke/claims.csv")["id"].tolist()
    assert extended.pending() == set()
    extended.smoke("--report", str(tmp_path / "report.html"))
    assert f"plot_{NAME}" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_the_project_writes_the_rest_of_the_documentation_and_all_tests_pass(extended):
    """`make docs` writes it; all that it changes follows from the six files."""
    tests = [f"tests/unit/test_{name}.py" for name in (NAME, "house", "study")]
    before = touched(extended)
    extended.python("scripts/document.py")
    try:
        written = touched(extended) - before
        assert "config/README.md" in written
        assert f"`{NAME}.directions`" in (extended.folder / "config/README.md").read_text()
        assert f"`plot_{NAME}`" in (extended.folder / "docs/measurements.md").read_text()
        extended.python("scripts/document.py", "--check")
        extended.python("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    finally:
        git(extended, "reset", "-q")
        git(extended, "checkout", "-q", "--", *sorted(written))
