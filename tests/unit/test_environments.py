"""The files of envs/ hold the same versions, and what is installed here is what the lock says."""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import wedgescape.cluster.environments
from wedgescape.cluster.environments import (
    CONDA_NAMES,
    PYTHON,
    Pin,
    canonical,
    conda_environment,
    image,
    lock,
    read_pins,
    resolved_pins,
)
from wedgescape.errors import InputError

REPOSITORY = Path(__file__).parents[2]
ENVS = REPOSITORY / "envs"
HASH = "0123456789abcdef" * 4


def pins(file):
    return read_pins((ENVS / file).read_text(), file)


def versions(file):
    return {canonical(pin.name): pin.version for pin in pins(file)}


def test_the_lock_holds_every_direct_pin():
    direct, locked = versions("requirements.txt"), versions("requirements.lock")
    assert direct.items() <= locked.items()
    assert len(locked) > len(direct)


def test_the_lock_is_as_make_lock_writes_it():
    """So that every line is read by pip as by us, and nothing was added by hand."""
    found = pins("requirements.lock")
    assert (ENVS / "requirements.lock").read_text() == lock(sorted(found, key=lambda pin: pin.name.lower()))


def test_packages_without_compiled_code_have_hashes_and_others_have_none():
    hashed = {canonical(pin.name) for pin in pins("requirements.lock") if pin.sha256}
    assert {"snakemake", "xarray", "zarr", "torchmetrics", "rocrate"} <= hashed
    assert not {"torch", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib"} & hashed


@pytest.mark.parametrize(("file", "make"), [("environment.yaml", conda_environment), ("apptainer.def", image)])
def test_the_committed_files_are_what_the_pins_make(file, make):
    assert (ENVS / file).read_text() == make(pins("requirements.txt")), f"{file} is out of date: run make lock"


def test_the_conda_environment_holds_every_direct_pin_by_its_name_there():
    environment = yaml.safe_load((ENVS / "environment.yaml").read_text())
    *conda, last = environment["dependencies"]
    found = dict(line.split("=") for line in conda if line != "pip")
    assert found.pop("python") == PYTHON
    assert "pip" in conda
    found |= dict(line.split("==") for line in last["pip"])
    assert found == {CONDA_NAMES.get(pin.name) or pin.name.lower(): pin.version for pin in pins("requirements.txt")}
    assert {line.split("==")[0] for line in last["pip"]} == {name for name, there in CONDA_NAMES.items() if not there}


def test_every_name_of_conda_is_of_a_pin():
    """A name that is misspelt would be passed over."""
    assert set(CONDA_NAMES) <= {pin.name for pin in pins("requirements.txt")}


def test_the_image_installs_the_lock_and_names_every_direct_pin():
    text = (ENVS / "apptainer.def").read_text()
    assert f"\nFrom: python:{PYTHON}-slim\n" in text
    copied = re.search(r"^ +envs/requirements\.lock (\S+)$", text, re.MULTILINE)[1]
    assert text.count(f" {copied} | ") == 2  # with hashes, and without
    labels = dict(line.split() for line in text.partition("%labels\n")[2].splitlines())
    assert labels == {pin.name: pin.version for pin in pins("requirements.txt")}


def test_the_makefile_and_the_image_install_in_the_same_two_calls():
    """Since pip takes hashes of all packages or of none."""
    for file in (REPOSITORY / "Makefile", ENVS / "apptainer.def"):
        calls = re.findall(r"grep (-v )?-e --hash= \S+ \| (.*) -r /dev/stdin", file.read_text())
        assert [bool(others) for others, _ in calls] == [False, True], file
        assert [call.endswith("--require-hashes --no-deps") for _, call in calls] == [True, False], file


def test_the_python_of_environment_and_image_serves():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={PYTHON}"


def test_what_is_installed_here_is_what_the_lock_says():
    """Of a version such as 2.13.0+cpu, the build is aside."""
    found, other = {}, {}
    for pin in pins("requirements.lock"):
        try:
            found[pin.name] = metadata.version(pin.name).partition("+")[0]
        except metadata.PackageNotFoundError:
            other[pin.name] = "not installed"
            continue
        if found[pin.name] != pin.version:
            other[pin.name] = found[pin.name]
    if sys.version_info[:2] > tuple(map(int, PYTHON.split("."))):
        other = {name: version for name, version in other.items() if version != "not installed"}
    assert other == {}, "not the lock's: rebuild .venv (make clean, make)"


def package(name, version, file, **archive):
    return {
        "metadata": {"name": name, "version": version},
        "download_info": {"url": f"https://index.example/{file}", "archive_info": archive},
    }


def test_a_hash_is_locked_where_one_wheel_serves_all():
    other = HASH[::-1]
    report = {
        "install": [
            package("Zebra", "1.0", "zebra-1.0-py3-none-any.whl", hashes={"sha256": HASH}),
            package("old-pip", "2", "old_pip-2-py2.py3-none-any.whl", hash=f"sha256={other}"),
            package("torch", "2.0+cpu", "torch-2.0%2Bcpu-cp311-cp311-linux_x86_64.whl", hashes={"sha256": HASH}),
            package("one_python", "3.0", "one_python-3.0-py311-none-any.whl", hashes={"sha256": HASH}),
            package("one-platform", "4", "one_platform-4-py3-none-manylinux1_x86_64.whl", hashes={"sha256": HASH}),
            package("built-here", "5.0.post1", "built-here-5.0.post1.tar.gz", hashes={"sha256": HASH}),
        ]
    }
    assert resolved_pins(report) == [
        Pin("built-here", "5.0.post1"),
        Pin("old-pip", "2", other),
        Pin("one-platform", "4"),
        Pin("one_python", "3.0"),
        Pin("torch", "2.0"),
        Pin("Zebra", "1.0", HASH),
    ]


def test_what_a_build_of_pytorch_for_gpus_brings_is_not_locked():
    names = ["nvidia-cublas", "nvidia_nccl_cu13", "cuda-toolkit", "triton", "pytorch-triton-rocm", "torch"]
    report = {"install": [package(name, "1", f"{name}-1-py3-none-any.whl", hashes={"sha256": HASH}) for name in names]}
    assert [pin.name for pin in resolved_pins(report)] == ["torch"]


def test_a_lock_is_read_as_it_is_written():
    written = [Pin("a", "1.0"), Pin("b-c", "2026.10.19.post1", HASH)]
    assert read_pins(lock(written), "lock") == written


@pytest.mark.parametrize("rest", [">=2", "", "==2 ; python_version < '4'", "==2 --hash=sha256:12", "==2 --hash=md5:00"])
def test_a_line_that_is_no_pin_is_named(rest):
    found = re.escape(repr(f"numpy{rest}"))
    with pytest.raises(InputError, match=f"^some.txt, line 2: found {found}, allowed is name==version"):
        read_pins(f"# remark\nnumpy{rest}\n", "some.txt")


def test_a_package_that_is_pinned_twice_is_named():
    with pytest.raises(InputError, match="line 3: Some_Thing is pinned a second time"):
        read_pins("some-thing==1\n\nSome_Thing==1\n", "some.txt")


def test_no_module_beside_the_errors_is_needed():
    """`make lock` runs before anything is installed."""
    text = Path(wedgescape.cluster.environments.__file__).read_text()
    imports = re.findall(r"^(?:from|import) ([\w.]+)", text, re.MULTILINE)
    assert all(name == "wedgescape.errors" or name in sys.stdlib_module_names for name in imports)
    assert "wedgescape.errors" in imports
