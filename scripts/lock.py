"""Write the locks and the conda environment in envs/ from requirements.txt and docs.txt there. `make lock` calls this.

Arguments go to `uv pip compile`, for example `--upgrade-package rich`. Versions in the lock stay as they are otherwise.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS, LOCK = ROOT / "envs/requirements.txt", ROOT / "envs/requirements.lock"
DOCS, DOCS_LOCK = ROOT / "envs/docs.txt", ROOT / "envs/docs.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHON = PROJECT["requires-python"].removeprefix(">=")
HEADER = "# Written by `make lock` from {}. Do not edit.\n"


def resolve(listed: Path, lock: Path, *options: str | Path) -> None:
    """Write the lock of a list of packages; end this script if that fails."""
    uv = [Path(sys.executable).with_name("uv"), "pip", "compile", "--universal", "--python-version", PYTHON]
    form = ["--generate-hashes", "--no-annotate", "--no-header", "--quiet"]
    if code := subprocess.run([*uv, *form, listed, "--output-file", lock, *options], check=False).returncode:
        sys.exit(code)


resolve(REQUIREMENTS, LOCK, *sys.argv[1:])

# PyTorch's wheels differ from index to index: it is locked without hashes, and what its CUDA build alone needs is left
# out. The metadata of that build pin those packages.
lock = re.sub(r"^(torch==\S+) .*\n(?: .*\n)*", r"\1\n", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
lock = re.sub(r"^(?:cuda-|nvidia-|triton).*\n(?: .*\n)*", "", lock, flags=re.MULTILINE)
LOCK.write_text(HEADER.format(REQUIREMENTS.name) + lock, encoding="utf-8")

# What builds the documentation is installed beside the above, so it takes the versions that are there.
resolve(DOCS, DOCS_LOCK, "--constraints", LOCK)
DOCS_LOCK.write_text(HEADER.format(DOCS.name) + DOCS_LOCK.read_text(encoding="utf-8"), encoding="utf-8")

pins = re.findall(r"^([\w.-]+)==(\S+)(?: +# conda: (\S+))?$", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
conda = "\n".join(f"  - {other or name.lower()}={version}" for name, version, other in pins if other != "none")
pip = "\n".join(f"      - {name}=={version}" for name, version, other in pins if other == "none")
(ROOT / "envs/environment.yaml").write_text(
    f"""\
{HEADER.format(REQUIREMENTS.name)}\
# `snakemake --sdm conda` builds this environment and runs the rules in it. By hand, from the repository's root:
#     conda env create -f envs/environment.yaml
name: wedgescape
channels: [conda-forge, bioconda, nodefaults]
dependencies:
  - python={PYTHON}
{conda}
  # These channels do not have the following packages.
  - pip
  - pip:
{pip}
""",
    encoding="utf-8",
)
