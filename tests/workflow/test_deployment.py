"""With `--sdm conda` and `--sdm apptainer`, jobs run in the environment of envs/: shown by stand-ins for both programs.

The stand-ins write down how they are called. The environment that conda's makes, and the image that Apptainer's runs,
lead to the Python of the tests.
"""

import os
import sys
from pathlib import Path

import pytest

from projects import Project, figures
from wedgescape.study.catalogue import catalogue

pytestmark = pytest.mark.slow

CONDA = """\
#!/bin/bash
echo "conda $*" >> CALLS
case "$1 $2" in
"info --json") echo '{"conda_prefix": "FOLDER", "platform": "linux-64"}' ;;
"--version ") echo "conda 26.9.0" ;;
"config --get") echo '{"get": {"channel_priority": "strict"}}' ;;
"env create")
    while [ "$1" != --prefix ]; do shift; done
    mkdir -p "$2/bin"
    printf '#!/bin/bash\\necho "python of $0 $*" >> CALLS\\nexec PYTHON "$@"\\n' > "$2/bin/python"
    chmod +x "$2/bin/python" ;;
esac
"""
ACTIVATE = 'PATH="$1/bin:$PATH"\n'
APPTAINER = """\
#!/bin/bash
echo "apptainer $*" >> CALLS
[ "$1" = --version ] && { echo "apptainer version 1.4.0"; exit; }
while [ "$1" != -c ]; do shift; done
exec bash -c "$2"
"""
ASKED = """
for one in workflow.rules:
    environment = one.expand_conda_env({})
    asked = environment and environment.file.get_path_or_uri(secret_free=True)
    print("asks", one.name, bool(one.script), asked, one.expand_container_img({}))
"""


@pytest.fixture
def calls(project, monkeypatch) -> Path:
    """A file in which the stand-ins, which are the first on the PATH, note their calls."""
    folder = project.folder.parent / "programs"
    (folder / "bin").mkdir(parents=True)
    noted = folder / "calls"
    for name, text in {"conda": CONDA, "activate": ACTIVATE, "apptainer": APPTAINER}.items():
        program = folder / "bin" / name
        program.write_text(
            text.replace("CALLS", str(noted)).replace("FOLDER", str(folder)).replace("PYTHON", sys.executable)
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    noted.touch()
    return noted


def asked(folder: Path, snakefile: str, *arguments: str) -> dict[str, tuple[str, str]]:
    """The environment's file and the image that each rule with a script asks for, as seen from a folder."""
    (folder / "asking.smk").write_text(snakefile + ASKED)
    said = Project(folder).snakemake("--snakefile", "asking.smk", "--dry-run", "--quiet", "all", *arguments).stdout
    lines = [line.split() for line in said.splitlines() if line.startswith("asks ")]
    assert lines, said
    return {name: (os.path.realpath(file), image) for _, name, script, file, image in lines if script == "True"}


def test_every_rule_with_a_script_asks_for_the_environment_and_the_image(project):
    found = asked(project.folder, 'include: "workflow/Snakefile"\n', "--configfile", "config/smoke.yaml")
    assert set(found) == {
        *("prepare_data", "check_models", "train", "judge_claims", "summarise", "explorer", "archive"),
        *(f"measure_{name}" for name in catalogue().measurements),
        *(f"plot_{name}" for name in figures()),
    }
    environment = os.path.realpath(project.folder / "envs/environment.yaml")
    assert set(found.values()) == {(environment, "envs/wedgescape.sif")}


def test_a_workflow_that_uses_this_as_a_module_finds_both_where_they_are_and_keeps_its_own(project, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "own.yaml").write_text("dependencies: [python]\n")
    (elsewhere / "own.py").touch()
    using = """
import copy
again = copy.deepcopy(config)

rule own:
    script:
        "own.py"

module wedgescape:
    snakefile: "../project/workflow/Snakefile"
    config: config

use rule * from wedgescape as w_*

module changed:
    snakefile: "../project/workflow/Snakefile"
    config: again

use rule measure_wedges from changed as c_measure_wedges with:
    conda: f"{workflow.basedir}/own.yaml"
"""
    found = asked(elsewhere, using, "--configfile", "../project/config/smoke.yaml", "--", "own")
    theirs = os.path.realpath(project.folder / "envs/environment.yaml")
    assert found["w_measure_wedges"] == (theirs, "../project/envs/wedgescape.sif")
    assert found["c_measure_wedges"] == (os.path.realpath(elsewhere / "own.yaml"), "../project/envs/wedgescape.sif")
    assert found["own"] == (os.path.realpath("None"), "None")


def test_conda_makes_one_environment_and_jobs_run_in_it(project, calls):
    project.smoke("--sdm", "conda", "--", "check_models")
    noted = calls.read_text().splitlines()
    made = [line for line in noted if line.startswith("conda env create")]
    assert len(made) == 1
    prefix = made[0].rpartition("--prefix ")[2]
    given = made[0].partition("--file ")[2].split()[0]
    assert Path(given).read_text() == (project.folder / "envs/environment.yaml").read_text()
    ran = [line for line in noted if line.startswith(f"python of {prefix}/bin/python ")]
    assert {name for name in ("prepare_data", "check_models") for line in ran if f"{name}.py" in line} == {
        "prepare_data",
        "check_models",
    }


def test_jobs_run_in_the_image(project, calls):
    (project.folder / "envs/wedgescape.sif").touch()
    project.smoke("--sdm", "apptainer", "--", "check_models")
    ran = [line for line in calls.read_text().splitlines() if " exec " in line]
    assert all(" envs/wedgescape.sif " in line for line in ran)
    assert all(any(f"{name}.py" in line for line in ran) for name in ("prepare_data", "check_models"))


def test_an_image_that_was_not_built_is_told_before_anything_runs(project, calls):
    said = project.smoke("--sdm", "apptainer", "--", "check_models", check=False)
    assert said.returncode != 0
    assert "there is no image envs/wedgescape.sif" in said.stdout
    assert "apptainer build envs/wedgescape.sif envs/apptainer.def" in said.stdout
    assert "Traceback" not in said.stdout
    assert not (project.folder / "results/smoke/data").exists()


def test_without_sdm_neither_is_called_and_what_was_made_stays(project, calls):
    project.smoke("--", "check_models")
    environment = project.folder / "envs/environment.yaml"
    environment.write_text(environment.read_text() + "# changed\n")
    assert "Nothing to be done" in project.smoke("--", "check_models").stdout
    assert calls.read_text() == ""
    assert "check_models" in project.pending("--sdm", "conda", "--", "check_models")
