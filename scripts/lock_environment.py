"""Write envs/requirements.lock, envs/environment.yaml and envs/apptainer.def from envs/requirements.txt.

``make lock`` runs this; it needs nothing but Python and pip. Packages that requirements.txt does not name stay at the versions
that the lock has; with ``--fresh`` they are resolved anew.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from wedgescape.environments import PYTHON, canonical, conda_environment, image, lock, read_pins, resolved_pins
from wedgescape.errors import InputError

ENVS = Path(__file__).resolve().parent.parent / "envs"


def main() -> str | None:
    """Resolve and write.

    Returns:
        What is wrong; None if nothing is.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="also the packages that requirements.txt does not name")
    parser.add_argument("--extra-index-url", help="a further package index")
    options = parser.parse_args()

    # A newer Python can do without packages that an older one needs.
    running = ".".join(map(str, sys.version_info[:2]))
    if running != PYTHON:
        return f"This is Python {running}; a lock is made with {PYTHON}: make lock PYTHON=python{PYTHON}"
    requirements, locked = ENVS / "requirements.txt", ENVS / "requirements.lock"
    try:
        asked = read_pins(requirements.read_text(), requirements.name)
        known = [] if options.fresh else read_pins(locked.read_text(), locked.name)
    except InputError as error:
        return str(error)

    with tempfile.TemporaryDirectory() as folder:
        report, constraints = Path(folder, "report.json"), Path(folder, "constraints.txt")
        direct = {canonical(pin.name) for pin in asked}
        kept = [pin for pin in known if canonical(pin.name) not in direct]
        constraints.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in kept))
        index = ["--extra-index-url", options.extra_index_url] if options.extra_index_url else []
        resolve = [
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            str(report),
            "-c",
            str(constraints),
        ]
        if subprocess.run([sys.executable, "-m", "pip", *resolve, "-r", str(requirements), *index]).returncode:
            return "Nothing was written. A package that may move: delete its line in requirements.lock; all: make lock FRESH=1"
        pins = resolved_pins(json.loads(report.read_text()))

    locked.write_text(lock(pins))
    (ENVS / "environment.yaml").write_text(conda_environment(asked))
    (ENVS / "apptainer.def").write_text(image(asked))
    return None


if __name__ == "__main__":
    sys.exit(main())
