"""The environment in its three forms: a lock for pip, a conda environment and an Apptainer image.

``envs/requirements.txt`` decides the versions, this module all else. A lock is one line a package. Where one wheel
serves all platforms and Pythons, the line holds that wheel's hash. Wheels of compiled packages differ from platform to
platform, and PyTorch's also from index to index: these are pinned by their versions alone. Since pip wants the hashes
of all packages or of none, lines with a hash are installed first, without what they depend on, and then the others.
"""

import re
from typing import NamedTuple

from wedgescape.errors import InputError

# The Python of the conda environment and of the image, and the one that a lock is made with: the oldest that serves,
# since a newer one can do without packages that this one needs.
PYTHON = "3.11"

# Where conda's channels call a package otherwise than in small letters. None: they lack it, and pip installs it.
CONDA_NAMES = {
    "snakemake": "snakemake-minimal",
    "snakemake-logger-plugin-rich": None,
    "torch": "pytorch",
    "seaborn": "seaborn-base",
    "matplotlib": "matplotlib-base",
    "roc-validator": None,
}

PIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.!-]+)(?: --hash=sha256:(?P<sha256>[0-9a-f]{64}))?")
# PyTorch's builds for GPUs pull these, other builds do without: no lock names them.
OF_A_BUILD = re.compile(r"nvidia-|cuda-|triton|pytorch-triton")

MADE = "# Made by 'make lock' from requirements.txt; do not edit."


class Pin(NamedTuple):
    """A package, its version and, where one wheel serves all platforms and Pythons, the wheel's SHA-256."""

    name: str
    version: str
    sha256: str | None = None

    def __str__(self) -> str:
        """The pin as pip reads it."""
        return f"{self.name}=={self.version}" + (f" --hash=sha256:{self.sha256}" if self.sha256 else "")


def read_pins(text: str, source: str) -> list[Pin]:
    """The pins of requirements or of a lock.

    Args:
        text: One pin a line; empty lines and those that begin with ``#`` do not count.
        source: Where the text is from, for errors.

    Raises:
        InputError: If a line is no pin, or a package is pinned twice.
    """
    pins: dict[str, Pin] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = PIN.fullmatch(line.rstrip())
        if not match:
            allowed = "name==version, or name==version --hash=sha256:<64 hex digits>"
            raise InputError(f"{source}, line {number}: found {line!r}, allowed is {allowed}")
        pin = Pin(**match.groupdict())
        if canonical(pin.name) in pins:
            raise InputError(f"{source}, line {number}: {pin.name} is pinned a second time; allowed is once")
        pins[canonical(pin.name)] = pin
    return list(pins.values())


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolved_pins(report: dict) -> list[Pin]:
    """What pip would install, in the order of names.

    Args:
        report: What ``pip install --dry-run --ignore-installed --report`` writes.
    """
    pins = []
    for package in report["install"]:
        name, version = package["metadata"]["name"], package["metadata"]["version"].partition("+")[0]
        if not OF_A_BUILD.match(canonical(name)):
            pins.append(Pin(name, version, _portable_hash(package["download_info"])))
    return sorted(pins, key=lambda pin: pin.name.lower())


def _portable_hash(download: dict) -> str | None:
    """The SHA-256 of a wheel for all platforms and Pythons; None for other wheels and for sources, which pip builds."""
    if not re.search(r"-(py2\.)?py3-none-any\.whl$", download["url"]):
        return None
    archive = download["archive_info"]  # pip older than 23.1 knows `hash` alone
    return archive["hashes"]["sha256"] if "hashes" in archive else archive["hash"].removeprefix("sha256=")


def lock(pins: list[Pin]) -> str:
    """requirements.lock."""
    return f"{MADE}\n" + "".join(f"{pin}\n" for pin in pins)


def conda_environment(pins: list[Pin]) -> str:
    """environment.yaml: the pins by their names in conda's channels."""
    named = [(CONDA_NAMES.get(pin.name, pin.name.lower()), pin) for pin in pins]
    lines = [
        MADE,
        "# `snakemake --sdm conda` makes this environment and runs the rules in it. By hand, from the root:",
        "#     conda env create -f envs/environment.yaml",
        "name: wedgescape",
        "channels: [conda-forge, bioconda, nodefaults]",
        "dependencies:",
        f"  - python={PYTHON}",
        *(f"  - {name}={pin.version}" for name, pin in named if name),
        "  # what these channels lack",
        "  - pip",
        "  - pip:",
        *(f"      - {pin.name}=={pin.version}" for name, pin in named if not name),
    ]
    return "".join(f"{line}\n" for line in lines)


def image(pins: list[Pin]) -> str:
    """apptainer.def: an image in which the lock is installed, with the pins as labels."""
    labels = "\n".join(f"    {pin.name} {pin.version}" for pin in pins)
    return f"""\
{MADE}
# `snakemake --sdm apptainer` runs the rules in this image. It is built from the repository's root:
#     apptainer build envs/wedgescape.sif envs/apptainer.def
# On Linux the package index has PyTorch's CUDA build, which NVIDIA's GPUs want. Another one, such as the much smaller
# CPU build, comes from the index that is named by `--build-arg TORCH_INDEX=<address>`.
Bootstrap: docker
From: python:{PYTHON}-slim

%arguments
    TORCH_INDEX=

%files
    envs/requirements.lock /opt/requirements.lock

%post
    set -e
    export PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
    grep -e --hash= /opt/requirements.lock | pip install --require-hashes --no-deps -r /dev/stdin
    grep -v -e --hash= /opt/requirements.lock | PIP_EXTRA_INDEX_URL="{{{{ TORCH_INDEX }}}}" pip install -r /dev/stdin
    pip check

%labels
{labels}
"""
