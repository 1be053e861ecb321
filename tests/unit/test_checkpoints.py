"""A run that was ended, however, goes on where it was and ends in the same bytes."""

import errno
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wedgescape.errors import Stopped
from wedgescape.training.checkpoints import Checkpoint
from wedgescape.training.descent import Recipe, descend

EIGENVALUES = [0.1, 0.5, 1.0, 2.0, 5.0]
DOUBLE = torch.float64
REPOSITORY = Path(__file__).parents[2]


def run(landscape, points, checkpoint=None, steps=20):
    recipe = Recipe(optimizer="adam", learning_rate=0.01, batch_size=16, dropout=0.2, schedule="cosine")
    return descend(
        landscape,
        points(2, landscape.dim),
        recipe,
        steps,
        seeds=[5, 6],
        checkpoint=checkpoint,
        observe=lambda step, where: {"norm": where.norm(dim=1)},
        observe_at=range(0, 21, 4),
        keep_at=[0, 3, 20],
        average_at=[2, 8, 20],
    )


def same(first, second):
    return all(
        torch.equal(a, b)
        for a, b in (
            (first.points, second.points),
            (first.snapshots, second.snapshots),
            (first.history["norm"], second.history["norm"]),
            (first.diverged, second.diverged),
            (first.average, second.average),
        )
    )


class Stopping(Checkpoint):
    """A checkpoint whose run dies right after so many writes."""

    def __init__(self, path, writes):
        super().__init__(path, minutes=0)
        self.writes = writes

    def save(self, state):
        super().save(state)
        self.writes -= 1
        if not self.writes:
            raise KeyboardInterrupt


@pytest.mark.parametrize("writes", [1, 3, 4, 19, 20])
def test_an_interrupted_run_goes_on_where_it_was(mlp, points, tmp_path, writes):
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        run(mlp, points, Stopping(path, writes))
    assert torch.load(path)["step"] == writes
    assert same(run(mlp, points, Checkpoint(path, minutes=0)), run(mlp, points))


def test_a_continued_run_does_not_start_again(quadratic, points, tmp_path):
    bowl = quadratic(EIGENVALUES, examples=61)
    with pytest.raises(KeyboardInterrupt):
        run(bowl, lambda *shape: points(*shape, dtype=DOUBLE), Stopping(tmp_path / "run.pt", 15))
    bowl.asked.clear()
    run(bowl, lambda *shape: points(*shape, dtype=DOUBLE), Checkpoint(tmp_path / "run.pt"))
    assert len([what for what, *_ in bowl.asked if what == "gradients"]) == 5


def test_checkpoints_are_written_when_it_is_time(mlp, points, tmp_path):
    run(mlp, points, Checkpoint(tmp_path / "seldom.pt", minutes=60))
    assert not list(tmp_path.iterdir())
    checkpoint = Checkpoint(tmp_path / "folder" / "often.pt", minutes=0)
    run(mlp, points, checkpoint)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["often.pt"]
    assert checkpoint.load()["step"] == 20
    checkpoint.remove()
    assert not list((tmp_path / "folder").iterdir())
    checkpoint.remove()  # once more is no error


@pytest.mark.parametrize("content", [b"", b"garbage", "truncated"])
def test_an_unreadable_checkpoint_is_set_aside_and_named(mlp, points, tmp_path, caplog, content):
    path = tmp_path / "run.pt"
    if content == "truncated":
        run(mlp, points, Checkpoint(path, minutes=0), steps=7)
        content = path.read_bytes()[:-100]
    path.write_bytes(content)
    descent = run(mlp, points, Checkpoint(path, minutes=60))
    assert same(descent, run(mlp, points))
    aside = tmp_path / "run.pt.unreadable"
    assert aside.read_bytes() == content
    assert not path.exists()
    told = caplog.text
    assert f"The checkpoint {path} cannot be read" in told
    assert str(aside) in told


def test_a_part_of_a_checkpoint_is_never_read(mlp, points, tmp_path):
    part = tmp_path / "run.pt.12345.part"
    run(mlp, points, Checkpoint(tmp_path / "other.pt", minutes=0), steps=7)
    part.write_bytes((tmp_path / "other.pt").read_bytes()[:-100])
    assert same(run(mlp, points, Checkpoint(tmp_path / "run.pt", minutes=60)), run(mlp, points))
    assert part.exists()


def test_a_failed_write_leaves_the_last_checkpoint_and_the_run_goes_on(tmp_path, monkeypatch, caplog):
    checkpoint = Checkpoint(tmp_path / "run.pt", minutes=0)
    checkpoint.save({"step": 1})

    def half(path, content):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", half)
        checkpoint.save({"step": 2})
    assert f"{tmp_path / 'run.pt'}: it could not be written (No space left on device: " in caplog.text
    assert checkpoint.load() == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]
    checkpoint.save({"step": 3})
    assert checkpoint.load() == {"step": 3}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_end_keeps_its_last_step(mlp, points, tmp_path, number):
    """The step under way is finished, the state after it is written, and the handlers are those of before."""
    before = signal.getsignal(number)
    path, steps = tmp_path / "run.pt", []

    class Asked(Checkpoint):
        def save(self, state):
            steps.append(state["step"])
            if state["step"] == 7:
                os.kill(os.getpid(), number)
            super().save(state)

    with pytest.raises(Stopped, match=f"stopped by {number.name}: step . is kept"):
        run(mlp, points, Asked(path, minutes=60))
    assert steps[-1] in (7, 8)  # Python hears a signal between two instructions
    assert torch.load(path)["step"] == steps[-1]
    assert signal.getsignal(number) == before
    assert same(run(mlp, points, Checkpoint(path, minutes=60)), run(mlp, points))


def test_a_run_that_is_asked_to_end_says_when_nothing_could_be_kept(tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("not a folder")
    with Checkpoint(blocked / "run.pt", minutes=60) as checkpoint:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match=r"stopped by SIGTERM: the checkpoint could not be written .*blocked"):
            checkpoint.save({"step": 1})


# One process imports the library and forks the runs, since an import takes longer than all of them.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from wedgescape.landscapes import models
from wedgescape.training.checkpoints import Checkpoint
from wedgescape.training.descent import Recipe, descend
from wedgescape.landscapes.networks import NetworkLandscape

torch.set_num_threads(1)
draw, folder, steps = random.Random(0), Path(sys.argv[1]), 400
generator = torch.Generator().manual_seed(0)
images = torch.randn(50, 1, 4, 4, generator=generator)
labels = torch.randint(3, (50,), generator=generator)
module = models.build({"name": "mlp", "width": 8, "depth": 2}, (1, 4, 4), 3)
landscape = NetworkLandscape(module, {"train": (images, labels)})
recipe = Recipe(learning_rate=0.1, batch_size=16, dropout=0.2, schedule="cosine")
starts = torch.randn(3, landscape.dim, generator=generator)
at = range(0, steps + 1, 50)

def run(checkpoint, result):
    descent = descend(landscape, starts, recipe, steps, [3, 4, 5], checkpoint=checkpoint, observe_at=at, keep_at=at,
                      observe=lambda step, points: landscape.evaluate(points))
    parts = [descent.points, descent.snapshots, *descent.history.values()]
    result.write_bytes(b"".join(part.numpy().tobytes() for part in parts))

def forked(path, result):
    child = os.fork()
    if not child:
        try:
            run(path and Checkpoint(path, minutes=0), result)
            os._exit(0)
        finally:
            os._exit(1)
    return child

def reached():
    return torch.load(path)["step"] if path.exists() else 0

path = folder / "run.pt"
first, moments = 0, []
while len(moments) < 6:
    child = forked(path, folder / "continued")
    while reached() < first + 20:
        time.sleep(0.001)
    time.sleep(draw.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "too late: it was done"
    first = reached()
    moments.append(first)
for checkpoint, result in ((path, "continued"), (None, "uninterrupted")):
    assert os.waitpid(forked(checkpoint, folder / result), 0)[1] == 0
print(*moments)
"""


def test_killed_again_and_again_a_run_ends_in_the_same_bytes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(REPOSITORY / "scripts"), "PATH": ""},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    moments = [int(step) for step in done.stdout.split()]
    assert all(later > earlier for earlier, later in itertools.pairwise([0, *moments]))
    assert moments[-1] < 400
    continued, uninterrupted = ((tmp_path / name).read_bytes() for name in ("continued", "uninterrupted"))
    assert len(uninterrupted) > 10_000
    assert continued == uninterrupted
    assert "cannot be read" not in done.stderr + done.stdout
