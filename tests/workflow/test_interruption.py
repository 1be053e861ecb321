"""A study that is killed goes on, and ends with the same bytes as one that never was."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

KILLS = 20


def digests(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for kind in ("weights/**/*.zarr.zip", "tunnels/*.zarr.zip", "claims.csv")
        for file in folder.glob(kind)
    }


@pytest.mark.slow
def test_kill_9_at_random_moments_loses_nothing(project, smoke_project):
    # Without the lock that a killed run leaves, there is no need of `--unlock` each time; tests/slurm has one with it.
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/smoke.yaml", "--nolock"]
    draw = random.Random(0)
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, cwd=project.folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(3, 10))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    project.smoke()
    expected = digests(smoke_project.folder / "results/smoke")
    assert len(expected) > 8
    assert digests(project.folder / "results/smoke") == expected
