"""Copies of the project to run in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FIGURES = sorted(script.stem.removeprefix("plot_") for script in (REPOSITORY / "scripts").glob("plot_*.py"))
TRACING = Path(__file__).parent / "tracing"
PARTS = ("workflow", "scripts", "config", "envs", "slurm", "Makefile", "README.md")


class Project:
    """A copy of the project in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def snakemake(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        """Run Snakemake in the copy; its output and errors come back as one text in `stdout`."""
        kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MPLBACKEND")}
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder, env=kept | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1200,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, done.stdout
        return done

    def smoke(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        given = ("--cores", "2", "--configfile", "config/smoke.yaml")
        return self.snakemake(*given, *arguments, check=check, **environment)

    def planned(self, *arguments: str) -> dict[str, int]:
        """The rules that a dry run of the smoke study wants to run, with their numbers of jobs."""
        table = self.smoke("--dry-run", *arguments).stdout.partition("Job stats:")[2].partition("total")[0]
        rows = [line.split() for line in table.splitlines()]
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit() and row[0] != "all"}

    def pending(self, *arguments: str) -> set[str]:
        """The rules that a dry run of the smoke study wants to run."""
        return set(self.planned(*arguments))

    def copied_to(self, folder: Path) -> "Project":
        """A copy of all that is in it, results among them."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
        path.write_text(text.replace(old, new))


def example(name: str) -> str:
    """The code block of the README that begins with `# name`."""
    blocks = re.findall(r"```(?:python|yaml)\n(# (\S+)\n.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    found = [text for text, title in blocks if title == name]
    assert len(found) == 1, f"the README has {len(found)} blocks that begin with '# {name}'"
    return found[0]


def copy_to(folder: Path) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        elif source.exists():
            shutil.copy(source, folder / part, follow_symlinks=False)
    return Project(folder)
