"""A real Slurm of one node, with accounting, two CPUs and two GPUs that are none; `slurm-up` makes it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from projects import Project, copy_to

HERE = Path(__file__).parent
SETTING = "lr~0.05_wd~0_width~64_dropout~0_batch~128"
TRAININGS = [f"results/fault/weights/{SETTING}/seeds~{seeds}.zarr.zip" for seeds in ("0-1", "2-3")]
BEGIN = time.strftime("%Y-%m-%dT%H:%M:%S")
TARGET = f"results/fault/tunnels/{SETTING}.zarr.zip"

# Two trainings, each some seconds long, that write checkpoints all the time, and a measurement that needs both.
STUDY = """
study: fault
dataset: digits
model: {width: 64}
training: {epochs: 300}
seeds: 4
seeds_per_job: 2
checkpoint_minutes: 0.005
tunnels: {directions: 1, angle_error: 4.0}
"""


def unfit() -> str:
    """Why no Slurm can be brought up here; empty if one can."""
    if os.geteuid():
        return "bringing up a Slurm of its own needs root"
    if not shutil.which("slurmctld"):
        return "Slurm is not installed; tests/slurm/slurm-up installs it"
    settings = Path("/etc/slurm/slurm.conf")
    if settings.exists() and "slurm-up" not in settings.read_text().partition("\n")[0]:
        return f"this machine belongs to a cluster: {settings} is there"
    return ""


def go_without(reason: str) -> None:
    """Skip what is not possible here; where WEDGESCAPE_SLURM=required, as in continuous integration, it has to be."""
    (pytest.fail if os.environ.get("WEDGESCAPE_SLURM") == "required" else pytest.skip)(reason)


def bring_up() -> None:
    """Start what does not run. It ends when a job of its own has run, for which others may have to make room."""
    subprocess.run([HERE / "slurm-up", "--db"], env=os.environ | {"SLURM_LAB_WAIT": "240"}, check=True)


@pytest.fixture(scope="session", autouse=True)
def cluster():
    """The cluster."""
    if reason := unfit():
        go_without(reason)
    was_up = subprocess.run(["sinfo"], capture_output=True, check=False).returncode == 0
    bring_up()
    yield
    if not was_up:
        subprocess.run([HERE / "slurm-down"], check=True)


@pytest.fixture(autouse=True)
def _empty_queue(cluster):
    """No job of a test that failed disturbs the next one."""
    yield
    subprocess.run(["scancel", "--me"], check=True)
    wait_for(lambda: not queue())


def queue() -> list[dict[str, str]]:
    """The jobs that Slurm holds, with their number, state and what they are."""
    answer = subprocess.run(["squeue", "--noheader", "--format=%i|%T|%k"], check=True, capture_output=True, text=True)
    return [dict(zip(("number", "state", "what"), line.split("|"), strict=True)) for line in answer.stdout.splitlines()]


def wait_for(condition: Callable, seconds: float = 60.0):
    """Return what a condition says once it says something."""
    deadline = time.monotonic() + seconds
    while not (said := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return said


def accounted(project: Project) -> list[dict[str, str]]:
    """What Slurm's accounting says of the jobs that were submitted from a copy of the project."""
    fields = ("WorkDir", "Comment", "State", "AllocTRES", "Partition", "SubmitLine")
    # Folders have the names of earlier ones, whose jobs are still in the accounting, where all of them were deleted.
    options = ("--allocations", "--noheader", "--parsable2", f"--starttime={BEGIN}", f"--format={','.join(fields)}")
    answer = subprocess.run(["sacct", *options], check=True, capture_output=True, text=True).stdout
    rows = [dict(zip(fields, line.split("|"), strict=True)) for line in answer.splitlines()]
    for row in rows:
        row["rule"] = row["Comment"].split("_wildcards_")[0].removeprefix("rule_")
    return [row for row in rows if row["WorkDir"] == str(project.folder)]


class Run:
    """Snakemake with the profile slurm, under way in a copy of the project."""

    def __init__(self, project: Project, *arguments: str):
        self.project, self.said = project, project.folder / "said.txt"
        command = [sys.executable, "-m", "snakemake", "--profile", "slurm", *arguments]
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                command, cwd=project.folder, start_new_session=True, stdout=said, stderr=subprocess.STDOUT
            )

    def until_training(self) -> str:
        """Wait until both trainings have written a checkpoint; return the number of one's job."""
        checkpoints = self.project.folder / "results/fault/checkpoints"
        wait_for(lambda: self.process.poll() is None and len(list(checkpoints.glob("*.pt"))) == len(TRAININGS))
        return next(job["number"] for job in queue() if job["state"] == "RUNNING" and "rule_train" in job["what"])

    def ends(self, seconds: float = 600.0) -> int:
        return self.process.wait(seconds)

    def kill(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


class Cluster:
    """The study above, on the cluster."""

    def __init__(self, project: Project):
        self.project = project
        (project.folder / "fault.yaml").write_text(STUDY)

    def start(self, *arguments: str, target: str = TARGET) -> Run:
        quick = ("--slurm-init-seconds-before-status-checks", "4")
        return Run(self.project, *quick, "--configfile", "fault.yaml", *arguments, "--", target)

    def jobs(self) -> Counter:
        """How many jobs of each rule Slurm was given; those without a name have not ended."""
        return Counter(job["rule"] for job in accounted(self.project))

    def log(self, seeds: str) -> str:
        return (self.project.folder / f"results/fault/logs/train/{SETTING}/seeds~{seeds}.log").read_text()

    def bytes(self) -> dict[str, bytes]:
        return {name: (self.project.folder / name).read_bytes() for name in [*TRAININGS, TARGET]}


@pytest.fixture
def study(project) -> Cluster:
    """The study in a fresh copy."""
    return Cluster(project)


@pytest.fixture(scope="session")
def expected(tmp_path_factory) -> dict[str, bytes]:
    """What a run on this machine alone makes, that nothing disturbs."""
    local = Cluster(copy_to(tmp_path_factory.mktemp("undisturbed") / "project"))
    local.project.snakemake("--cores", "2", "--configfile", "fault.yaml", "--", TARGET)
    return local.bytes()


@pytest.fixture
def complete(expected):
    """Assert that a study came to what it had to, and left nothing behind."""

    def check(study: Cluster) -> None:
        assert study.bytes() == expected
        assert not list((study.project.folder / "results/fault/checkpoints").iterdir())
        left = [path for path in study.project.folder.glob("results/**/.*") if path.name != ".snakemake_timestamp"]
        assert not left
        dry = study.project.snakemake("--dry-run", "--cores", "1", "--configfile", "fault.yaml", "--", TARGET)
        assert "Nothing to be done" in dry.stdout

    return check
