"""Copies of the project to run in, edited through the syntax tree: no test depends on how code is written."""

import ast
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import yaml

from wedgescape.study.catalogue import catalogue
from wedgescape.study.layout import Layout
from wedgescape.study.study import load_study

REPOSITORY = Path(__file__).parents[1]
TRACING = Path(__file__).parent / "tracing"
PARTS = ("workflow", "scripts", "config", "envs", "docs", "slurm", "Makefile", "README.md", "CHANGELOG.md")
PARTS += ("pyproject.toml",)
SMOKE = "config/smoke.yaml"


@cache
def smoke_layout() -> Layout:
    """Where the smoke study's results are, and what each of its jobs reads."""
    return Layout(load_study(yaml.safe_load((REPOSITORY / SMOKE).read_text()), catalogue()), catalogue())


@cache
def figures() -> list[str]:
    """The names of the smoke study's figures."""
    return sorted(file.name for file in smoke_layout().figures)


class Project:
    """A copy of the project in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def python(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        """Run Python in the copy; its output and errors come back as one text in `stdout`."""
        kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MPLBACKEND")}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder, env=kept | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1200,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, done.stdout
        return done

    def snakemake(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        """Run Snakemake in the copy."""
        return self.python("-m", "snakemake", *arguments, check=check, **environment)

    def smoke(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        """Run the smoke study in the copy."""
        return self.snakemake("--cores", "2", "--configfile", SMOKE, *arguments, check=check, **environment)

    def planned(self, *arguments: str) -> dict[str, int]:
        """The rules that a dry run of the smoke study wants to run, with their numbers of jobs."""
        return jobs_in(self.smoke("--dry-run", *arguments).stdout)

    def pending(self, *arguments: str) -> set[str]:
        """The rules that a dry run of the smoke study wants to run."""
        return set(self.planned(*arguments))

    def copied_to(self, folder: Path) -> "Project":
        """A copy of all that is in it, results among them."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def configure(self, **entries) -> None:
        """Lay entries over the smoke study's config; sections are merged key by key, as Snakemake does."""
        path = self.folder / SMOKE
        config = yaml.safe_load(path.read_text())
        for name, value in entries.items():
            merged = isinstance(value, dict) and isinstance(config.get(name), dict)
            config[name] = config[name] | value if merged else value
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    def edit_rule(self, claim: str, **changes) -> None:
        """Change the rule of a claim."""
        path = self.folder / "config/rules.yaml"
        rules = yaml.safe_load(path.read_text())
        rules["claims"][claim] |= changes
        path.write_text(yaml.safe_dump(rules, sort_keys=False))

    def source(self, file: str | Path) -> "Source":
        """A Python file of the library, by its path in there; or any other, by its whole path."""
        return Source(self.folder / "scripts/wedgescape" / file)

    def edit_function(self, file: str | Path, name: str) -> None:
        """Change a function, or a method `Class.method`, by a statement that does nothing."""
        self.source(file).put_inside(name, "assert True")

    def edit_constant(self, file: str | Path, name: str) -> None:
        """Change how a constant is defined, and not its value."""
        self.source(file).put_after(name, f"{name} = {name}")

    def add_function(self, file: str | Path) -> None:
        """Add a function that nothing uses."""
        path = self.source(file).path
        path.write_text(f"{path.read_text()}\n\ndef of_no_use():\n    return 1\n")

    def add_comment(self, file: str | Path, name: str) -> None:
        """Put a comment above a definition and one at the start of its body."""
        source = self.source(file)
        source.put_inside(name, "# A remark.")
        source.put_before(name, "# Another remark.")

    def edit_docstring(self, file: str | Path, name: str = "") -> None:
        """Change the docstring of a file, or of a definition in it."""
        self.source(file).replace_docstring(name, '"""Other words."""')

    def remove_definition(self, file: str | Path, name: str) -> None:
        """Remove a definition."""
        self.source(file).remove(name)


class Source:
    """A Python file whose lines are edited at the places that its syntax tree says."""

    def __init__(self, path: Path):
        self.path = path
        self.lines = path.read_text().splitlines()
        self.tree = ast.parse(path.read_text())

    def definition(self, name: str) -> ast.stmt:
        """The statement that defines a name, such as `CONSTANT`, `function` or `Class.method`."""
        node: ast.AST = self.tree
        for part in name.split("."):
            found = [one for one in node.body if part in defined(one)]
            assert len(found) == 1, f"{self.path} defines {name} {len(found)} times"
            (node,) = found
        return node

    def put_inside(self, name: str, text: str) -> None:
        """Put a line at the start of a function's body."""
        node = self.definition(name)
        first = node.body[0]
        if documented(node):
            self._replace(first.end_lineno, first.end_lineno, first.col_offset, text)
        else:
            assert first.lineno > node.lineno, f"{self.path}: the body of {name} must have a line of its own"
            self._replace(begin(first) - 1, begin(first) - 1, first.col_offset, text)

    def put_before(self, name: str, text: str) -> None:
        """Put a line before a definition."""
        node = self.definition(name)
        self._replace(begin(node) - 1, begin(node) - 1, node.col_offset, text)

    def put_after(self, name: str, text: str) -> None:
        """Put a line after a definition."""
        node = self.definition(name)
        self._replace(node.end_lineno, node.end_lineno, node.col_offset, text)

    def replace_docstring(self, name: str, text: str) -> None:
        """Replace the docstring of a definition; of the file, where no name is given."""
        node = self.definition(name) if name else self.tree
        assert documented(node), f"{self.path}: {name or 'it'} has no docstring"
        first = node.body[0]
        self._replace(first.lineno - 1, first.end_lineno, first.col_offset, text)

    def remove(self, name: str) -> None:
        """Remove a definition."""
        node = self.definition(name)
        self._replace(begin(node) - 1, node.end_lineno, 0, "")

    def _replace(self, start: int, end: int, indent: int, text: str) -> None:
        """Put a line in place of those from `start` to `end`, counted from 0, and read the file again."""
        self.lines[start:end] = [" " * indent + text]
        self.path.write_text("\n".join(self.lines) + "\n")
        self.__init__(self.path)


def defined(statement: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    names = [node for target in targets if target for node in ast.walk(target)]
    return {node.id for node in names if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def documented(node: ast.AST) -> bool:
    """Whether a function, a class or a file has a docstring."""
    return ast.get_docstring(node) is not None


def begin(node: ast.stmt) -> int:
    """The first line of a statement, decorators included."""
    return min(one.lineno for one in [node, *getattr(node, "decorator_list", [])])


def jobs_in(said: str) -> dict[str, int]:
    """Rule -> its number of jobs, from Snakemake's table of them."""
    table = said.partition("Job stats:")[2].partition("total")[0]
    rows = [line.split() for line in table.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit() and row[0] != "all"}


def code_blocks(page: str) -> list[tuple[str, str]]:
    """The code blocks of a page of the documentation, each with the language that it names."""
    text = (REPOSITORY / page).read_text()
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def example(name: str) -> str:
    """The code block of the documentation that begins with `# name`."""
    pages = ["README.md", "config/README.md", *(f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md"))]
    found = [text for page in pages for _, text in code_blocks(page) if text.partition("\n")[0] == f"# {name}"]
    assert len(found) == 1, f"the documentation has {len(found)} blocks that begin with '# {name}'"
    return found[0]


def copy_to(folder: Path, parts: tuple[str, ...] = PARTS) -> Project:
    """Copy parts of the project: by default all that a study needs."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        source = REPOSITORY / part
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, folder / part, ignore=not_copied, symlinks=True)
        elif source.exists():
            shutil.copy(source, folder / part, follow_symlinks=False)
    kept = Path(".snakemake/wedgescape/fingerprints.json")  # each is kept beside the content of the code that it is of
    if "scripts" in parts and (REPOSITORY / kept).is_file():
        (folder / kept).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / kept, folder / kept)
    return Project(folder)


def not_copied(folder: str, names: list[str]) -> set[str]:
    """What is left out of copies: what Python and Apptainer made, and the pictures of the documentation."""
    made = shutil.ignore_patterns("__pycache__", "*.sif")(folder, names)
    return made | ({"figures"} & set(names) if Path(folder).name == "docs" else set())
