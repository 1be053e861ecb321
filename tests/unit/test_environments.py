"""The files of envs/ agree with each other, with pyproject.toml and with what is installed here."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
ENVS = REPOSITORY / "envs"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
PYTHON = PROJECT["requires-python"].removeprefix(">=")


def version(requirement):
    """The one version that a requirement allows."""
    pin = re.fullmatch(r"==([\w.]+)", str(requirement.specifier))
    assert pin, f"{requirement} must be name==version"
    return pin[1]


def direct(listed="requirements.txt"):
    """The versions in requirements.txt, or another list."""
    lines = (line.partition("#")[0].strip() for line in (ENVS / listed).read_text().splitlines())
    return {canonicalize_name(one.name): version(one) for one in map(Requirement, filter(None, lines))}


def locked(lock="requirements.lock"):
    """For each package in requirements.lock, or another lock, its requirement and the hashes of its files."""
    found = {}
    for block in re.split(r"\n(?! )", (ENVS / lock).read_text().replace("\\\n", "\n").strip()):
        if not block.startswith("#"):
            first, *hashes = (line.strip() for line in block.splitlines())
            requirement = Requirement(first)
            assert requirement.name not in found or requirement.marker  # another version for another Python
            assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", one) for one in hashes), block
            found[requirement.name] = requirement, hashes
    return found


def test_the_lock_holds_every_direct_pin():
    lock = {name: version(requirement) for name, (requirement, _) in locked().items()}
    assert direct().items() <= lock.items()
    assert len(lock) > len(direct())


def test_every_package_but_pytorch_has_the_hashes_of_its_files_for_all_platforms():
    hashes = {name: len(found) for name, (_, found) in locked().items()}
    assert {name for name, number in hashes.items() if not number} == {"torch"}
    assert all(hashes[name] > 10 for name in ("numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "uv"))


def test_the_lock_names_no_index_and_nothing_that_one_build_of_pytorch_alone_needs():
    assert not re.search("://|index-url|find-links", (ENVS / "requirements.lock").read_text())
    assert not [name for name in locked() if re.match("nvidia|cuda|triton", name)]


def help_of_uv():
    command = [Path(sys.executable).with_name("uv"), "pip", "install", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def options_of_installing(*arguments, **chosen):
    """How `make` calls uv where pip and uv are configured by these variables alone."""
    makefile = "include Makefile\nshow:\n\t@echo $(INSTALL)\n"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "MAKE", "MFLAGS"))}
    answer = subprocess.run(
        ["make", "-f", "-", "show", *arguments], cwd=REPOSITORY, input=makefile, text=True, capture_output=True,
        check=True, env=kept | {"PIP_CONFIG_FILE": os.devnull} | chosen,
    )  # fmt: skip
    return answer.stdout.split()


def test_a_machine_without_a_gpu_gets_no_build_of_pytorch_for_gpus_unless_somebody_chose():
    automatic, own = "--torch-backend=auto", "https://example.org/simple"
    assert automatic in options_of_installing()
    with_own = options_of_installing(PIP_EXTRA_INDEX_URL=own)
    assert automatic not in with_own
    assert f"--extra-index-url={own}" in with_own
    for chosen in ({"UV_TORCH_BACKEND": "cu128"}, {"UV_INDEX": own}, {"UV_DEFAULT_INDEX": own}):
        assert automatic not in options_of_installing(**chosen)
    assert options_of_installing(f"TORCH_INDEX={own}")[-2:] == ["--extra-index-url", own]
    assert "--torch-backend" in help_of_uv()


def test_what_builds_the_documentation_changes_no_version_of_the_environment():
    environment, added = locked(), locked("docs.lock")
    assert direct("docs.txt").items() <= {name: version(one) for name, (one, _) in added.items()}.items()
    shared = environment.keys() & added.keys()
    assert {"docutils", "jinja2", "pyyaml"} <= shared
    assert {name: version(added[name][0]) for name in shared} == {
        name: version(environment[name][0]) for name in shared
    }
    assert all(hashes for _, hashes in added.values())


def test_the_conda_environment_holds_every_direct_pin():
    names = dict(re.findall(r"^([\w.-]+)==\S+ +# conda: (\S+)$", (ENVS / "requirements.txt").read_text(), re.MULTILINE))
    *conda, last = yaml.safe_load((ENVS / "environment.yaml").read_text())["dependencies"]
    found = dict(line.split("=") for line in conda if line != "pip")
    assert found.pop("python") == PYTHON
    assert "pip" in conda
    from_pip = dict(line.split("==") for line in last["pip"])
    assert set(from_pip) == {name for name, there in names.items() if there == "none"}
    assert found | from_pip == {
        name if (there := names.get(name, name)) == "none" else there: pinned for name, pinned in direct().items()
    }


def test_the_image_installs_the_lock():
    text = (ENVS / "apptainer.def").read_text()
    assert f"\nFrom: python:{PYTHON}-slim\n" in text
    copied = re.search(r"^ +envs/requirements\.lock (\S+)$", text, re.MULTILINE)[1]
    assert f" -r {copied}\n" in text
    assert "--no-deps" in re.search(r"pip install .*", text)[0]


@pytest.mark.parametrize("file", ["Makefile", "envs/apptainer.def"])
def test_pip_installs_uv_alone_with_the_hashes_in_the_lock(file):
    found = re.findall(r"(sed -n \S+) \S*requirements\.lock", (REPOSITORY / file).read_text())
    assert len(found) == 1
    command = found[0].replace("$$", "$") + " envs/requirements.lock"
    said = subprocess.run(command, shell=True, cwd=REPOSITORY, text=True, capture_output=True, check=True).stdout
    first, *hashes = said.replace("\\\n", "\n").split()
    assert first == f"uv=={direct()['uv']}"
    assert hashes == locked()["uv"][1]


def test_an_installed_library_requires_what_it_imports():
    """pyproject.toml must not list what only the scripts, the workflow or the tests import."""
    owners, imported = metadata.packages_distributions(), set()
    for path in (REPOSITORY / "scripts/wedgescape").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"wedgescape"}
    wanted = {canonicalize_name(owners[name][0]) for name in imported}
    assert {canonicalize_name(name) for name in PROJECT["dependencies"]} == wanted
    assert wanted <= direct().keys()


def test_what_is_installed_here_is_what_the_lock_says():
    """The build, such as cpu in 2.13.0+cpu, does not matter."""
    other = {}
    for name, (requirement, _) in locked().items():
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            found = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            found = "not installed"
        if found != version(requirement):
            other[name] = found
    assert other == {}, "run `make`, which installs what envs/requirements.lock says"
