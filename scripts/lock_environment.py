"""Write envs/requirements.lock, envs/environment.yaml and envs/apptainer.def from envs/requirements.txt.

``make lock`` runs this; it needs nothing but Python and pip. Packages that requirements.txt does not name keep the
versions that the lock has: delete a line there, or all of it, to have them resolved anew.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from wedgescape.cluster.environments import PYTHON, canonical, conda_environment, image, lock, read_pins, resolved_pins
from wedgescape.errors import InputError

ENVS = Path(__file__).resolve().parent.parent / "envs"


def main() -> str | None:
    """Resolve and write.

    Returns:
        What is wrong; None if nothing is.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extra-index-url", help="a further package index")
    options = parser.parse_args()

    running = ".".join(map(str, sys.version_info[:2]))
    if running != PYTHON:
        return f"This is Python {running}, allowed is {PYTHON}: make lock PYTHON=python{PYTHON}"
    requirements, locked = ENVS / "requirements.txt", ENVS / "requirements.lock"
    try:
        asked = read_pins(requirements.read_text(), requirements.name)
        known = read_pins(locked.read_text(), locked.name) if locked.exists() else []
    except InputError as error:
        return str(error)

    direct = {canonical(pin.name) for pin in asked}
    kept = [f"{pin.name}=={pin.version}\n" for pin in known if canonical(pin.name) not in direct]
    with tempfile.TemporaryDirectory() as folder:
        report, constraints = Path(folder, "report.json"), Path(folder, "constraints.txt")
        constraints.write_text("".join(kept))
        resolve = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        files = ["--report", report, "--constraint", constraints, "--requirement", requirements]
        index = ["--extra-index-url", options.extra_index_url] if options.extra_index_url else []
        if subprocess.run([*resolve, *files, *index], check=False).returncode:
            return "Nothing was written. If a version that was kept is in the way, delete its line in requirements.lock"
        pins = resolved_pins(json.loads(report.read_text()))

    made = {
        "requirements.lock": lock(pins),
        "environment.yaml": conda_environment(asked),
        "apptainer.def": image(asked),
    }
    for name, text in made.items():
        file = ENVS / name
        if not file.exists() or file.read_text() != text:  # else make would build the environment again for nothing
            file.write_text(text)
    return None


if __name__ == "__main__":
    sys.exit(main())
