"""A study that is killed goes on, and ends with the same bytes as one that never was."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

KILLS = 10
TARGETS = ["results/smoke/figures/tunnels.pdf", "results/smoke/figures/hyperplanes.pdf"]


def digests(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for kind in ("weights/**/*.zarr.zip", "tunnels/*.zarr.zip", "hyperplanes/*.zarr.zip", "tables/*.csv")
        for file in folder.glob(kind)
    }


def assert_same_bytes(project, smoke_project):
    made, expected = (digests(one.folder / "results/smoke") for one in (project, smoke_project))
    assert len(made) > 12
    assert made == {name: expected[name] for name in made}


def jobs_begun(folder):
    """When jobs last began: each opens its log first."""
    return max((file.stat().st_mtime for file in folder.glob("results/smoke/logs/**/*.log")), default=0.0)


def run_and_kill(folder, said, seconds):
    """Exit code of a run that is killed so many seconds after its first job began, if it has not ended by then."""
    # Without the lock that a killed run leaves, there is no need of `--unlock` each time; tests/slurm has one with it.
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/smoke.yaml", "--nolock"]
    begun = jobs_begun(folder)
    with said.open("w") as output:
        process = subprocess.Popen(
            [*command, "--", *TARGETS],
            cwd=folder, start_new_session=True, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    while jobs_begun(folder) == begun and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


@pytest.mark.slow
def test_kill_9_at_random_moments_loses_nothing(project, smoke_project, tmp_path):
    draw = random.Random(0)
    said = tmp_path / "said.txt"
    kills = 0
    while kills < KILLS:
        code = run_and_kill(project.folder, said, draw.uniform(0, 2))
        assert code in (0, -signal.SIGKILL), said.read_text()
        if code:
            kills += 1
        else:  # It was done before it could be killed; the rest of the kills are of another beginning.
            assert_same_bytes(project, smoke_project)
            shutil.rmtree(project.folder / "results/smoke")
    project.smoke("--", *TARGETS)
    assert_same_bytes(project, smoke_project)
