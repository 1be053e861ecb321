"""A study that is killed goes on, and ends with the same bytes as one that never was."""

import hashlib
import os
import random
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


def jobs_begun(folder):
    """When jobs last began: each opens its log first."""
    return max((file.stat().st_mtime for file in folder.glob("results/smoke/logs/**/*.log")), default=0.0)


@pytest.mark.slow
def test_kill_9_at_random_moments_loses_nothing(project, smoke_project):
    # Without the lock that a killed run leaves, there is no need of `--unlock` each time; tests/slurm has one with it.
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/smoke.yaml", "--nolock"]
    draw = random.Random(0)
    for _ in range(KILLS):
        begun = jobs_begun(project.folder)
        process = subprocess.Popen(
            [*command, "--", *TARGETS],
            cwd=project.folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while jobs_begun(project.folder) == begun and process.poll() is None:
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 3))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    project.smoke("--", *TARGETS)
    made, expected = (digests(one.folder / "results/smoke") for one in (project, smoke_project))
    assert len(made) > 12
    assert made == {name: expected[name] for name in made}
