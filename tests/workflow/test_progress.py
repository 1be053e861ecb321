"""What a run says of itself, and what `make status` sees of it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from projects import SMOKE, jobs_in, smoke_layout
from wedgescape.study.jobs import jobs_of

WEDGESCAPE = ("--logger", "wedgescape")


def status(project, *arguments):
    """What the script says, and the seconds that it took."""
    begun = time.monotonic()
    said = project.python("scripts/status.py", "--configfile", SMOKE, *arguments).stdout
    return said, time.monotonic() - begun


def files(project):
    return {
        path: path.stat().st_mtime_ns for path in project.folder.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }


def test_the_jobs_of_a_study_are_those_that_snakemake_runs(project):
    counts = jobs_in(project.smoke("--dry-run").stdout)
    made = [job.rule for job in jobs_of(smoke_layout())]
    assert {rule: made.count(rule) for rule in made} == counts


def test_status_of_a_study_that_has_not_begun_changes_nothing(project):
    before = files(project)
    said, seconds = status(project)
    assert re.match(r"smoke: \d+ jobs: 0 done, \d+ left\n", said)
    assert "No run is under way" in said
    assert files(project) == before
    assert seconds < 15  # three on an idle machine


def test_status_of_a_finished_study_and_of_one_whose_results_are_out_of_date(finished):
    said, _ = status(finished)
    assert re.match(r"smoke: (\d+) jobs: \1 done, 0 left\n", said)
    finished.configure(tunnels={"directions": 3})
    counts = jobs_in(finished.smoke("--dry-run").stdout)
    said, _ = status(finished)
    assert f" {sum(counts.values())} left" in said


def test_status_knows_weights_that_were_put_away(finished):
    shutil.rmtree(finished.folder / "results/smoke/weights")
    assert " 0 left" in status(finished)[0]
    next(finished.folder.glob("results/smoke/similarity/*")).unlink()
    counts = jobs_in(finished.smoke("--dry-run").stdout)
    assert f" {sum(counts.values())} left" in status(finished)[0]


def test_a_run_says_a_line_per_job_and_where_the_first_figure_is(finished):
    (finished.folder / "results/smoke/figures/planes.png").unlink()
    (finished.folder / "results/smoke/figures/tunnels.png").unlink()
    said = finished.smoke(*WEDGESCAPE, PYTHONPATH="scripts").stdout
    assert re.search(r"^1 of \d+  plot_\w+  [\d.]+ s  about .* left$", said, re.MULTILINE)
    assert len(re.findall("The first figure is there", said)) == 1
    assert "Reason" not in said
    assert max(map(len, said.splitlines())) < 400


def test_a_failure_is_told_with_the_log_and_status_sees_it(project):
    project.source("measurements/planes.py").put_inside("measure", "raise OSError('no plane')")
    target = f"results/smoke/planes/{smoke_layout().study.base}.zarr.zip"
    said = project.smoke(*WEDGESCAPE, "--", target, check=False, PYTHONPATH="scripts").stdout
    log = f"results/smoke/logs/measure_planes/{smoke_layout().study.base}.log"
    assert f"Failed: measure_planes {smoke_layout().study.base}\n    log: {log}\n" in said
    assert "    | OSError: no plane" in said
    told = status(project)[0]
    assert " 1 failed" in told
    assert f"(log: {log}): OSError: no plane" in told


@pytest.mark.slow
def test_status_while_a_study_runs_and_after_it_was_killed(project):
    project.python("scripts/first_words.py", "--configfile", SMOKE)  # writes the estimates down, as `make` does
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", SMOKE]
    with subprocess.Popen(
        command, cwd=project.folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        deadline = time.monotonic() + 300
        said = ""
        while " running," not in said and time.monotonic() < deadline:
            said = status(project)[0]
        os.killpg(run.pid, signal.SIGKILL)
    assert re.search(r"  running: \w+", said)
    assert "left with" in said
    said = status(project)[0]
    assert "under way" not in said
    assert "holds the lock" in said


def test_the_last_words_name_the_report_and_three_verdicts(finished):
    said = finished.python("scripts/last_words.py", "results/smoke").stdout
    assert "results/smoke/report.html" in said
    verdicts = re.findall("^  (supported|contradicted|undecided|no effect) +(.+)$", said, re.MULTILINE)
    assert len(verdicts) == 3


def test_the_first_words_say_what_will_run_and_keep_the_estimates(project):
    said = project.python("scripts/first_words.py", "--configfile", SMOKE, "--cores", "2").stdout
    assert re.match(r"Study smoke: \d+ jobs to run, 0 done already: 12 trainings, \d+ measurements", said)
    assert re.search(r"about \d+ (s|min) with 2 jobs at a time", said)
    assert "The first figure comes after about" in said
    assert (project.folder / ".snakemake/wedgescape/estimates/smoke.json").exists()


def test_the_first_words_leave_a_bad_config_to_snakemake(project):
    (project.folder / SMOKE).write_text(yaml.safe_dump({"study": "smoke", "dataset": "digits", "seeds": "none"}))
    assert project.python("scripts/first_words.py", "--configfile", SMOKE).stdout == ""
