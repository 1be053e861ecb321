"""Results on a shared file system that is slow, and shows files late to other nodes."""

import contextlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import HERE, go_without, wait_for

SECONDS = 20  # longer than a busy machine takes to look, shorter than the profile's latency-wait


@pytest.fixture
def late_results(study, tmp_path):
    """The study's results lie on such a file system; yields what the file system says when it is done with."""
    if not shutil.which("fusermount3"):
        go_without("FUSE is not installed: apt-get install fuse3 libfuse3-3")
    results, real, said = study.project.folder / "results", tmp_path / "real", tmp_path / "late.txt"
    results.mkdir()
    real.mkdir()
    with said.open("w") as output:
        command = [sys.executable, HERE / "late_files.py", real, results, str(SECONDS)]
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    wait_for(lambda: server.poll() is not None or results.is_mount())
    assert results.is_mount(), said.read_text()
    yield lambda: said.read_text()
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(["umount", results], check=True, stderr=subprocess.DEVNULL)
    server.wait(10)


def test_results_that_come_late_are_waited_for(study, complete, late_results):
    run = study.start()
    assert run.ends() == 0, run.said.read_text()
    results = study.project.folder / "results"
    assert study.jobs() == {"train": 2, "measure_tunnels": 1}  # none was tried again
    wait_for(lambda: Path(results / "fault").exists())
    complete(study)
    subprocess.run(["umount", results], check=True)
    wait_for(lambda: "times" in late_results())
    assert int(re.search(r"(\d+) times something was not there yet", late_results())[1]) > 3
