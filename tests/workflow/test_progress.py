"""What a run says of itself, and what `make status` sees of it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

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
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", SMOKE, *WEDGESCAPE]
    quiet = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    known = os.environ | {"PYTHONPATH": "scripts"}
    with subprocess.Popen(command, cwd=project.folder, env=known, start_new_session=True, **quiet) as run:
        deadline = time.monotonic() + 300
        said = ""
        while not (" running," in said and "left with" in said) and time.monotonic() < deadline:
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


def test_a_run_says_what_it_will_do_and_how_long_that_takes(said, smoke_project):
    first = re.search(
        r"^Study smoke: (\d+) jobs to run, 0 done already: 12 trainings, \d+ measurements", said, re.MULTILINE
    )
    assert int(first[1]) == len(jobs_of(smoke_layout()))
    assert re.search(r"^This takes about \d+ (s|min) with 2 jobs at a time", said, re.MULTILINE)
    assert "The first figure comes after about" in said
    kept = json.loads((smoke_project.folder / ".snakemake/wedgescape/estimates/smoke.json").read_text())
    assert kept.keys() == {str(job) for job in jobs_of(smoke_layout())}


def test_where_jobs_cannot_be_estimated_a_run_says_why_and_goes_on(project):
    project.source("cluster/planning.py").put_inside("quick_estimates", "raise OSError('no clock')")
    said = project.smoke(*WEDGESCAPE, "--", "plot_planes", PYTHONPATH="scripts").stdout
    assert "How long this takes cannot be estimated: OSError: no clock\n" in said
    assert (project.folder / "results/smoke/figures/planes.png").exists()
