"""The plan of a study against what the study takes."""

import csv
import re

import pytest

from projects import SMOKE, Project, copy_to


def planned(project: Project, *arguments: str, check: bool = True) -> str:
    """What the script prints in a copy of the project."""
    return project.python("scripts/plan_study.py", "--configfile", SMOKE, *arguments, check=check).stdout


def jobs_of(text: str) -> dict[str, int]:
    """Rule -> its jobs, from the table."""
    table = text.partition("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: int(line.split()[1]) for line in table}


def core_seconds(text: str) -> float:
    return 3600 * float(re.search(r"([\d.]+) core hours", text)[1])


def benchmarks(project: Project) -> list:
    files = sorted(project.folder.glob("results/smoke/benchmarks/**/*.tsv"))
    assert len(files) > 50
    return files


def taken(project: Project) -> float:
    """Processor seconds of all jobs of the smoke study, which are the same on a busy machine."""
    return sum(float(next(csv.DictReader(file.open(), delimiter="\t"))["cpu_time"]) for file in benchmarks(project))


@pytest.fixture(scope="module")
def smoke_plan(tmp_path_factory):
    """The plan of the smoke study before it runs."""
    return planned(copy_to(tmp_path_factory.mktemp("plan") / "project"))


pytestmark = pytest.mark.slow


def test_the_total_is_within_a_factor_of_two_of_what_the_study_takes(smoke_plan, smoke_project):
    assert 0.5 < core_seconds(smoke_plan) / taken(smoke_project) < 2


def test_all_jobs_are_in_the_plan(smoke_plan, smoke_project):
    folder = smoke_project.folder / "results/smoke/benchmarks"
    found = {file.relative_to(folder).parts[0].removesuffix(".tsv") for file in benchmarks(smoke_project)}
    assert set(jobs_of(smoke_plan)) == found
    assert jobs_of(smoke_plan)["train"] == 12


def test_nothing_is_left_of_a_finished_study(smoke_project):
    assert re.search(r"nothing is left to do; \d+ jobs are done already", planned(smoke_project))


def test_what_is_done_is_not_counted(finished):
    (finished.folder / "results/smoke/figures/claims.png").unlink()
    assert jobs_of(planned(finished)) == {"plot_claims": 1}


def test_a_runtime_that_is_too_short_is_told(project):
    project.configure(training={"epochs": 3000000})
    text = planned(project, "--gpu-tflops", "1.0e-4")
    assert re.search(r"Warning: train lr~0.05_\S+ 0-3: \d+\.\d minutes, but the rule's runtime is 120 ", text)


def test_a_gpu_that_is_not_there_is_assumed_and_told(project):
    text = planned(project, "--gpu-tflops", "2")
    assert "2e12 a second" in text
    assert re.search(r"\d GPU hours", text)


def test_a_config_that_cannot_be_used_is_told(project):
    project.configure(seeds="none")
    text = planned(project, check=False)
    assert "seeds: found" in text
    assert "Traceback" not in text
