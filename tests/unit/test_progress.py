"""The order of a study's jobs, what is left of a run, and what it says."""

import io
import logging
import signal
import time
from types import SimpleNamespace

import pytest
import yaml

from projects import REPOSITORY
from wedgescape.cluster.foretelling import how_long
from wedgescape.cluster.progress import Remaining, in_words, last_line, what_they_are, what_will_run
from wedgescape.cluster.telling import Bars, Lines
from wedgescape.numerics import counted
from wedgescape.study.catalogue import catalogue
from wedgescape.study.jobs import figures_first, jobs_of, needed_by
from wedgescape.study.layout import Layout
from wedgescape.study.study import load_study


@pytest.fixture(scope="module", params=["smoke", "config", "paper"])
def jobs(request):
    """All jobs of a shipped study."""
    config = yaml.safe_load((REPOSITORY / f"config/{request.param}.yaml").read_text())
    return jobs_of(Layout(load_study(config, catalogue()), catalogue()))


def of_rule(jobs, rule):
    return next(job for job in jobs if job.rule == rule)


# The order


def test_each_job_comes_after_those_whose_results_it_reads(jobs):
    there = set()
    for job in jobs:
        assert there.issuperset(job.reads), job
        there.update(job.makes)
    assert len(there) == sum(len(job.makes) for job in jobs)  # nothing is made twice


def test_a_job_is_at_least_as_urgent_as_whatever_needs_it(jobs):
    urgency, maker = figures_first(jobs), {path: job for job in jobs for path in job.makes}
    for job in jobs:
        for path in job.reads:
            assert urgency.get(path, 0) >= urgency.get(job.makes[0], 0), (job, maker[path])


def test_a_figure_that_needs_less_is_not_less_urgent(jobs):
    urgency, needed = figures_first(jobs), needed_by(jobs)
    figures = sorted((job for job in jobs if job.rule.startswith("plot_")), key=lambda job: -urgency[job.makes[0]])
    counts = [len(needed[job]) for job in figures]
    assert counts == sorted(counts)
    assert counts[0] == 1  # the toy model is drawn at once
    # What only figures of all settings need waits until those of one setting are drawn.
    assert urgency[of_rule(jobs, "plot_planes").makes[0]] > urgency[of_rule(jobs, "plot_curvature").makes[0]]
    assert max(urgency.values()) < 100  # the priority of the check of networks


# What is left


def test_without_a_number_nothing_is_known():
    assert Remaining({}).seconds(["train a"], 1) is None


def test_what_is_left_is_divided_among_those_that_run_and_never_less_than_the_longest():
    remaining = Remaining({"train a": 10, "train b": 10, "measure c": 40})
    assert remaining.seconds(["train a", "train b"], 1) == 20
    assert remaining.seconds(["train a", "train b"], 2) == 10
    assert remaining.seconds(["train a", "train b", "measure c"], 30) == 40
    assert remaining.seconds(["measure c"], 1, {"measure c": 30}) == 10


def test_estimates_are_corrected_by_how_long_jobs_took():
    remaining = Remaining({"train a": 100, "train b": 100})
    remaining.finished("train a", 300)
    assert 200 < remaining.seconds(["train b"], 1) < 300


def test_a_job_without_an_estimate_takes_as_long_as_others_of_its_rule():
    remaining = Remaining({})
    remaining.finished("train a", 8)
    remaining.finished("train b", 12)
    remaining.finished("plot_c", 100)
    assert remaining.seconds(["train d"], 1) == 10
    assert remaining.seconds(["measure d"], 1) == 40


def test_durations_in_words():
    assert [in_words(seconds) for seconds in (0.2, 59, 240, 12000)] == ["1 s", "59 s", "4 min", "3 h 20 min"]


def test_kinds_of_jobs_are_counted(jobs):
    some = [of_rule(jobs, "plot_planes"), of_rule(jobs, "train"), of_rule(jobs, "plot_wedges")]
    assert what_they_are(map(str, some)) == "1 training and 2 figures"
    assert what_they_are([]) == "nothing"


def test_what_a_run_will_do_is_said_in_a_line():
    assert what_will_run("s", ["train lr~1 0-3", "plot_a"], 5) == (
        "Study s: 2 jobs to run, 3 done already: 1 training and 1 figure."
    )
    assert what_will_run("s", ["archive"], 1) == "Study s: 1 job to run, 0 done already: 1 other job."


def test_of_jobs_that_nobody_knows_a_run_says_so(tmp_path, monkeypatch):
    study = load_study(yaml.safe_load((REPOSITORY / "config/smoke.yaml").read_text()), catalogue())
    monkeypatch.chdir(tmp_path)
    assert how_long(study, {"archive"}, 2) == "How long this takes is not known."


def test_the_last_line_of_a_log(tmp_path):
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("x" * 5000 + "\n12:00:00 epoch 3 of 80\n\n")
    assert last_line(log) == "12:00:00 epoch 3 of 80"


def test_a_long_loop_says_how_far_it_is(caplog, monkeypatch):
    monkeypatch.setattr(counted, "EVERY", -1)
    with caplog.at_level(logging.INFO, "wedgescape"):
        assert list(counted.counted("abc", "letter", first=2)) == ["a", "b", "c"]
    assert caplog.messages == ["letter 3 of 5", "letter 4 of 5", "letter 5 of 5"]
    caplog.clear()
    monkeypatch.setattr(counted, "EVERY", 60)
    assert list(counted.counted("abc", "letter")) == ["a", "b", "c"]
    assert caplog.messages == []


# What a run says


def record(event=None, text="", level=logging.INFO, **more):
    found = logging.LogRecord("snakemake", level, "", 0, text, None, None)
    vars(found).update(more, **({"event": event} if event else {}))
    return found


def begun(jobid, rule, log="", makes=(), reason="Missing output files: a, b, c", **wildcards):
    return record(
        "job_info", f"Rule: {rule}", jobid=jobid, rule_name=rule, wildcards=wildcards, log=[log] if log else [],
        output=list(makes), reason=reason,
    )  # fmt: skip


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """A teller of lines, in a folder without estimates, to which three jobs were announced."""
    monkeypatch.chdir(tmp_path)
    teller = Lines(io.StringIO())
    teller.tell(record("run_info", "Job stats: …", stats={"train": 1, "plot_a": 1, "plot_b": 1, "all": 1, "total": 4}))
    return teller


def test_a_finished_job_is_one_short_line(lines):
    lines.tell(begun(1, "train", makes=["results/s/weights/x"], setting="lr~0.1", seeds="0-3"))
    lines.tell(record("progress", "1 of 4 steps done", done=1, total=4))
    lines.tell(record("job_finished", "Finished jobid: 1 (Rule: train)", job_id=1))
    said = lines.stream.getvalue().splitlines()
    assert len(said) == 1
    assert said[0].startswith("1 of 3  train lr~0.1 0-3  0.0 s  about ")
    assert said[0].endswith(" left")
    assert "Missing" not in said[0]


def test_the_first_figure_is_announced_once(lines):
    for jobid, name in enumerate(("a", "b")):
        lines.tell(
            begun(jobid, f"plot_{name}", makes=[f"results/s/figures/{name}.pdf", f"results/s/figures/{name}.png"])
        )
        lines.tell(record("job_finished", "", job_id=jobid))
    said = [line for line in lines.stream.getvalue().splitlines() if "first figure" in line]
    assert len(said) == 1
    assert said[0].endswith(": results/s/figures/a.png")


def test_a_failed_job_says_where_its_log_is_and_how_it_ends(lines, tmp_path):
    log = tmp_path / "train.log"
    log.write_text("".join(f"line {n}\n" for n in range(100)) + "the loss is not finite\n")
    lines.tell(begun(1, "train", str(log), setting="lr~9"))
    lines.tell(
        record("job_error", "Error in rule train", logging.ERROR, jobid=1, rule_name="train", log=[str(log)],
               aux={"slurm_jobid": 17}, msg=None)
    )  # fmt: skip
    said = lines.stream.getvalue()
    assert "Failed: train lr~9\n" in said
    assert f"log: {log}\n" in said
    assert "slurm_jobid: 17\n" in said
    assert said.endswith("| the loss is not finite\n")
    assert "line 99\n" in said
    assert "line 3\n" not in said


def test_errors_warnings_and_unknown_messages_are_said_and_chatter_is_not(lines):
    for text in ("Building DAG of jobs...", "Provided cores: 2", "Select jobs to execute...", "None"):
        lines.tell(record(text=text))
    assert lines.stream.getvalue() == ""
    lines.tell(record(text="Nothing to be done"))
    lines.tell(record("error", "MissingInputException", logging.ERROR))
    lines.tell(record(text="seeds are few", level=logging.WARNING))
    assert lines.stream.getvalue().splitlines() == ["Nothing to be done", "MissingInputException", "seeds are few"]


def test_estimates_that_fail_are_told_with_the_reason(lines):
    lines.tell(record(text="Study s: 1 job to run", study={"study": "s", "seeds": "none"}, to_run=["train"]))
    lines.foretelling.thread.join(60)
    first, *others = lines.stream.getvalue().splitlines()
    assert first == "Study s: 1 job to run"
    assert others[0].startswith("How long this takes cannot be estimated: InputError: ")
    assert any("seeds: " in line for line in others)


@pytest.mark.parametrize("begun", [True, False])
def test_estimates_end_with_the_run_and_do_not_hold_it_up(lines, begun):
    since = time.monotonic()
    lines.tell(record(text="Study s: 1 job to run", study={"study": "s"}, to_run=["train"]))
    assert time.monotonic() - since < 1
    while begun and not lines.foretelling.process:
        time.sleep(0.001)
    lines.close()
    lines.foretelling.thread.join(60)
    assert lines.stream.getvalue() == "Study s: 1 job to run\n"
    assert not lines.foretelling.thread.is_alive()
    lines.foretelling.process.join(60)
    assert lines.foretelling.process.exitcode == -signal.SIGKILL


def test_estimates_whose_process_is_killed_are_told(lines):
    lines.tell(record(text="Study s: 1 job to run", study={"study": "s"}, to_run=["train"]))
    while not lines.foretelling.process:
        time.sleep(0.001)
    lines.foretelling.process.kill()
    lines.foretelling.thread.join(60)
    assert lines.stream.getvalue().splitlines()[1:] == [
        "How long this takes cannot be estimated: the process that did so was killed."
    ]


def test_bars_count_the_jobs_of_the_whole_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wanted = ("dryrun", "printshellcmds", "show_failed_logs", "verbose")
    bars = Bars(SimpleNamespace(**dict.fromkeys(wanted, False)))
    try:
        bars.tell(record("run_info", "Job stats: …", stats={"train": 4, "plot_a": 3, "all": 1, "total": 8}))
        for jobid in (1, 2):
            bars.tell(begun(jobid, "train", setting=f"lr~{jobid}"))
        bars.tell(record("job_finished", "Finished jobid: 1 (Rule: train)", job_id=1))
        seen = {task.description: (task.completed, task.total) for task in bars.handler.progress.tasks if task.visible}
        assert seen == {"Total Progress": (1, 7), "train": (1, 4)}
        assert bars.now()[0].startswith("train lr~2")
    finally:
        bars.close()
    assert "Job stats" not in capsys.readouterr().err
