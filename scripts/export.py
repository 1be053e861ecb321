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
            try:
                files = export(Optima.from_store(setting, device="cpu"), results / "export" / setting.name)
            except InputError as error:
                raise SystemExit(str(error)) from error
            print(f"{len(files):>3} networks  {results / 'export' / setting.name}")


if __name__ == "__main__":
    main()
