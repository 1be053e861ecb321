"""Write the networks of finished studies as files that their plain PyTorch models load: `make export` runs this.

    python scripts/export.py results/digits

writes results/digits/export/{setting}/seed~{seed}.safetensors. `module.load_state_dict(load_file(file))` reads one.
results/digits/export/networks.csv says from which seed and with which hyperparameters each was trained, as another
study's `networks.table` has it; networks of methods and those stopped at one loss are not in it.
"""

import argparse
from pathlib import Path

import pandas as pd

from wedgescape.errors import InputError
from wedgescape.stores.zarr_stores import write_text
from wedgescape.study.study import MATCHED, METHOD
from wedgescape.training.export import TABLE, export, rows_of
from wedgescape.training.given import Optima


def main() -> None:
    """Read the folders of the studies' results from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, help="folders of results, such as results/digits")
    for results in parser.parse_args().results:
        settings = sorted(folder for folder in (results / "weights").glob("*") if folder.is_dir())
        if not settings:
            raise SystemExit(f"{results}: there are no weights; run the study first")
        rows = []
        for setting in settings:
            folder = results / "export" / setting.name
            try:
                optima = Optima.from_store(setting, device="cpu")
                files = export(optima, folder)
                rows += [] if METHOD in setting.name or setting.name.endswith(MATCHED) else rows_of(optima, files)
                print(f"{len(files):>3} networks  {folder}")
            except InputError as error:  # such as a setting at which all of them diverged
                print(f"  0 networks  {folder}: {error}")
        if rows:
            write_text(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"), results / "export" / TABLE)


if __name__ == "__main__":
    main()
