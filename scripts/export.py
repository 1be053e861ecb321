"""Write the networks of finished studies as files that their plain PyTorch models load: `make export` runs this.

    python scripts/export.py results/digits

writes results/digits/export/{setting}/seed~{seed}.safetensors. `module.load_state_dict(load_file(file))` reads one.
"""

import argparse
from pathlib import Path

from wedgescape.errors import InputError
from wedgescape.training.export import export
from wedgescape.training.given import Optima


def main() -> None:
    """Read the folders of the studies' results from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, help="folders of results, such as results/digits")
    for results in parser.parse_args().results:
        settings = sorted(folder for folder in (results / "weights").glob("*") if folder.is_dir())
        if not settings:
            raise SystemExit(f"{results}: there are no weights; run the study first")
        for setting in settings:
            folder = results / "export" / setting.name
            try:
                print(f"{len(export(Optima.from_store(setting, device='cpu'), folder)):>3} networks  {folder}")
            except InputError as error:  # such as a setting at which all of them diverged
                print(f"  0 networks  {folder}: {error}")


if __name__ == "__main__":
    main()
