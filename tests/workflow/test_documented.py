"""Every command and every snippet of the documentation is run: here, or by the test that this file names.

A command that needs another machine than this one stands in a table with the reason. What is new on a page and in no
table fails.
"""

import os
import re
import shlex
import subprocess
from functools import cache

import pytest
import yaml

from projects import REPOSITORY, Project, code_blocks, copy_to, example, smoke_layout
from wedgescape.study.catalogue import catalogue
from wedgescape.study.study import load_study

GENERATED = ("docs/gallery.md", "docs/reference.md", "docs/reference-files.md")
PAGES = ["README.md", "CONTRIBUTING.md", "config/README.md"]
PAGES += sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md"))
PAGES = [page for page in PAGES if page not in GENERATED]
FIRST = "config/first.yaml"

# What stands for the … of a command
PLACEHOLDERS = {"CONFIG=…": "CONFIG=config/smoke.yaml", "TORCH_INDEX=…": "TORCH_INDEX=https://example.org/whl"}
PLACEHOLDERS |= {"ARCHIVE=…": "ARCHIVE=results/smoke/archive.zip", "CONFIRM_FROM=…": "CONFIRM_FROM=2000"}
PLACEHOLDERS |= {"<path>": f"results/smoke/tunnels/{smoke_layout().study.base}.zarr.zip", "A B": f"{FIRST} wider.yaml"}

# Beginning of a command -> the test that runs it, and a word by which it is found there
ELSEWHERE = {
    "snakemake --profile slurm": ("tests/slurm/conftest.py", "--profile"),
    "snakemake --logger wedgescape --profile slurm": ("tests/slurm/conftest.py", "--profile"),
    "snakemake --sdm": ("tests/workflow/test_deployment.py", "--sdm"),
    "snakemake --cores 2 plot_sharp_turns": ("tests/workflow/test_extending.py", "plot_{NAME}"),
    "snakemake wedgescape_": ("tests/workflow/test_module.py", "wedgescape_"),
    "cp -r wedgescape/workflow/profiles": ("tests/workflow/test_module.py", "profiles"),
    "python my_data.py": ("tests/workflow/test_own_files.py", "my_data.py"),
    "pip install": ("tests/unit/test_environments.py", "dependencies"),
    "python scripts/document_results.py": ("tests/unit/test_verdicts.py", "document_results"),
    "WEDGESCAPE_COLD=1 make": ("tests/unit/test_warm_starts.py", "WEDGESCAPE_COLD"),
    ".ci/run": (".ci/run", "make test-all"),
}
# Beginning of a command -> why no test runs it
NOT_HERE = {
    "apptainer": "needs Apptainer and the public registry of images",
    "git clone": "needs the place where the project is hosted",
    "pre-commit": "is a tool of the contributor's own",
    "cp -rL slurm mysite": "makes a profile of the site's own",
    "snakemake --profile mysite": "is for a site's own scheduler",
    "pip install snakemake-storage-plugin-s3": "needs a bucket",
    "export SNAKEMAKE_STORAGE": "needs a bucket",
    "snakemake --cores 2 --configfile config/smoke.yaml --default-storage-provider": "needs a bucket",
    "squeue": "is Slurm's",
    "sbatch": "is Slurm's",
    "scontrol": "is Slurm's",
}
COMMAND = re.compile(
    r"(?:make|snakemake|python|pip|apptainer|git|cp|pre-commit|squeue|sbatch|scontrol|\.ci/run)(?= |$)"
)
OWN = re.compile(r"(?:\w+=\S+ )?(?:\.venv/bin/)?")  # before a command: a variable, and where it lies


def without_place(command: str) -> str:
    return command.replace(".venv/bin/", "").removeprefix("PYTHONPATH=scripts ")


@cache
def commands() -> dict[str, str]:
    """Each command of the documentation, without its comment -> a page that has it."""
    found = {}
    for page in PAGES:
        text = (REPOSITORY / page).read_text()
        blocks = re.findall(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        plain = [block for language, block in blocks if not language]
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        lines = [line for block in plain for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", prose)
        for line in lines + re.findall(r"^    (\S.*)$", prose, re.MULTILINE):
            for part in re.split(r" && ", re.sub(r"\s+#.*", "", line.strip())):
                if COMMAND.match(part, OWN.match(part).end()) or part.startswith("export SNAKEMAKE"):
                    found.setdefault(without_place(part), page)
    return found


def of_table(command: str, table: dict) -> str | None:
    """The longest beginning of a command in a table, if it is there."""
    return max((one for one in table if command.startswith(one)), key=len, default=None)


def kind(command: str) -> str | None:
    """Where a command is run: `elsewhere`, `not here`, `make` or `snakemake`; None where nobody knows."""
    elsewhere, not_here = of_table(command, ELSEWHERE), of_table(command, NOT_HERE)
    if elsewhere or not_here:
        return "elsewhere" if len(elsewhere or "") > len(not_here or "") else "not here"
    return command.split()[0] if command.split()[0] in ("make", "snakemake") else None


def of_kind(wanted: str) -> list[str]:
    return sorted(command for command in commands() if kind(command) == wanted and command not in ("python", "pip"))


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Project:
    """A copy in which a user has written the files of the documentation's examples."""
    project = copy_to(tmp_path_factory.mktemp("documented") / "project")
    (project.folder / ".venv").symlink_to(REPOSITORY / ".venv")
    for name in ("my_model.py", "my_data.py", "my_study.yaml", "wider.yaml"):
        (project.folder / name).write_text(example(name))
    return project


def test_every_command_is_known():
    assert len(commands()) > 50
    unknown = {command: page for command, page in commands().items() if kind(command) is None}
    assert {command: page for command, page in unknown.items() if command not in ("python", "pip")} == {}


def test_the_tables_name_tests_that_are_there_and_commands_that_are_documented():
    for file, word in ELSEWHERE.values():
        assert word in (REPOSITORY / file).read_text(), f"{file} has no {word}"
    for table in (ELSEWHERE, NOT_HERE):
        assert [one for one in table if not any(command.startswith(one) for command in commands())] == []


@pytest.mark.parametrize("command", of_kind("make"))
def test_make_knows_each_target_and_file(command, copied):
    for placeholder, meant in PLACEHOLDERS.items():
        command = command.replace(placeholder, meant)
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(command)[1:]],
        cwd=copied.folder, text=True, capture_output=True, check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()


@pytest.mark.slow
@pytest.mark.parametrize("command", of_kind("snakemake"))
def test_snakemake_knows_each_target_and_file(command, copied):
    for placeholder, meant in PLACEHOLDERS.items():
        command = command.replace(placeholder, meant)
    given = shlex.split(command)[1:]
    smoke = ["--configfile", "config/smoke.yaml"] if any("results/smoke" in one for one in given) else []
    # A target behind --configfile would be taken for another config file, so --cores stands between them.
    copied.snakemake("--dry-run", *smoke, *([] if "--cores" in given else ["--cores", "1"]), *given)


# Snippets


def test_every_snippet_of_python_is_run():
    """Those of pages that tests go through as a whole, and those that are a file, which a test writes."""
    tests = "".join(path.read_text() for path in (REPOSITORY / "tests").rglob("*.py"))
    for page in PAGES:
        for language, text in code_blocks(page):
            name = re.match(r"# (\S+)$", text.partition("\n")[0])
            if language == "python" and not (name and name[1] in tests):
                assert page in tests, f"{page}: no test runs the snippet {text[:60]!r}"


@pytest.mark.parametrize("page", ["README.md", "config/README.md", "docs/tasks.md", "docs/tutorial.md"])
def test_every_config_is_one(page):
    """Over the default study, where a config is no whole one."""
    default = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    configs = [yaml.safe_load(text) for language, text in code_blocks(page) if language == "yaml"]
    configs = [config for config in configs if config]  # one is a comment for editors
    assert configs
    for config in configs:
        load_study({**(default if "study" not in config or "dataset" not in config else {}), **config}, catalogue())


def test_the_tutorial_shows_its_config():
    shown = yaml.safe_load(example(FIRST))
    config = yaml.safe_load((REPOSITORY / FIRST).read_text())
    assert {key: value for key, value in config.items() if key != "leave_out"} == shown


# The tutorial, and what opens its stores


@pytest.fixture(scope="module")
def followed(smoke_project, tmp_path_factory) -> Project:
    """A copy in which the smoke study and the tutorial's have run."""
    project = smoke_project.copied_to(tmp_path_factory.mktemp("followed") / "project")
    project.snakemake("--cores", "2", "--configfile", FIRST)
    (project.folder / "wider.yaml").write_text(example("wider.yaml"))
    return project


@pytest.mark.slow
def test_the_tutorial_makes_what_it_says(followed):
    named = re.findall(r"`(results/first/[\w./]+)`", (REPOSITORY / "docs/tutorial.md").read_text())
    named = [name for name in named if not name.endswith("report.html")]  # which make adds
    assert len(named) >= 3
    assert [name for name in named if not (followed.folder / name).is_file()] == []


@pytest.mark.slow
def test_the_tutorial_says_what_reruns(followed):
    asked = ("--cores", "2", "--configfile", FIRST)
    assert "Nothing to be done" in followed.snakemake(*asked, "--", "plot_tunnels").stdout
    wider = followed.snakemake("--dry-run", *asked, "wider.yaml").stdout
    assert "width~32" in wider
    assert "width~128" in wider
    assert not re.search(r"Training seeds .* lr~0\.01_wd~0_width~64", wider)
    drawn = followed.folder / "results/first/figures/tunnels.pdf"
    drawn.unlink()
    said = followed.snakemake(*asked, "--", "plot_tunnels").stdout
    assert "1 of 1 steps" in said
    assert drawn.is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/tutorial.md", "docs/howto.md", "docs/stores.md"])
def test_snippets_open_stores(page, followed):
    """One after the other, as a reader would type them."""
    snippets = [text for language, text in code_blocks(page) if language == "python"]
    assert snippets
    followed.python("-c", "\n".join(snippets), PYTHONPATH=str(followed.folder / "scripts"))


@pytest.mark.slow
def test_netcdf_holds_the_numbers_of_the_store(followed):
    """docs/stores.md, where the numbers are read back."""
    snippets = [text for language, text in code_blocks("docs/stores.md") if language == "python"]
    check = (
        "\nback = xr.open_dataset('tunnels.nc', engine='scipy')\nassert set(back.variables) == set(numbers.variables)"
    )
    check += "\nfor name in numbers: np.testing.assert_array_equal(back[name], numbers[name])"
    followed.python("-c", "\n".join([*snippets, check]))


@pytest.mark.slow
def test_the_page_of_results_opens_a_store(finished):
    """docs/provenance.md opens one of the default study; here it is the smoke study's, under that name."""
    (snippet,) = (text for _, text in code_blocks("docs/provenance.md") if text.startswith("import xarray"))
    named = finished.folder / re.search(r'"(results/\S+)"', snippet)[1]
    named.parent.mkdir(parents=True)
    (finished.folder / f"results/smoke/spectrum/{smoke_layout().study.base}.zarr.zip").rename(named)
    assert "Dimensions:" in finished.python("-c", snippet).stdout
