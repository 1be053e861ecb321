"""What catalogues read: the usage for the Snakemake workflow catalogue, and the version to cite."""

import re
import tomllib
from pathlib import Path

import yaml
from snakemake.cli import get_argument_parser

from wedgescape import VERSION

REPOSITORY = Path(__file__).parents[2]
USAGE = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
RULES = sorted((REPOSITORY / "workflow/rules").glob("*.smk"))
SNAKEFILES = "".join(file.read_text() for file in [REPOSITORY / "workflow/Snakefile", *RULES])


def test_files_are_where_the_catalogue_looks_for_them():
    for name in ("README.md", "LICENSE", "workflow/Snakefile", "config/README.md", "config/config.yaml"):
        assert (REPOSITORY / name).is_file()
    assert RULES
    assert {"snakemake", "workflow"} <= set(re.findall(r"\w+", (REPOSITORY / "README.md").read_text().lower()))


def test_usage_has_the_keys_that_the_catalogue_reads():
    assert USAGE.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    assert USAGE["mandatory-flags"].keys() == {"desc", "flags"}
    assert USAGE["software-stack-deployment"].keys() == {"conda", "apptainer", "apptainer+conda"}


def test_flags_are_snakemakes():
    named = [USAGE["mandatory-flags"]["desc"], *USAGE["mandatory-flags"]["flags"]]
    flags = {flag for text in named for flag in re.findall(r"--[\w-]+", text)}
    known = {option for action in get_argument_parser()._actions for option in action.option_strings}
    assert flags
    assert flags <= known


def test_what_deploys_the_software_is_what_rules_declare():
    """A container counts where anyone can fetch it; a path is an image that the user builds."""
    conda = bool(re.search(r"^ *conda:|give_environment\(", SNAKEFILES, re.MULTILINE))
    container = bool(re.search(r'^ *container(ized)?:\s*f?"\w+://', SNAKEFILES, re.MULTILINE))
    wanted = {"conda": conda, "apptainer": container, "apptainer+conda": conda and container}
    assert USAGE["software-stack-deployment"] == wanted
    assert USAGE["report"] == bool(re.search(r"^report:", SNAKEFILES, re.MULTILINE))


def test_the_version_to_cite_is_the_librarys():
    """pyproject.toml takes it from the library, so a release changes VERSION and CITATION.cff."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "wedgescape.VERSION"}
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["version"] == VERSION
