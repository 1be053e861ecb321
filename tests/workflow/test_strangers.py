"""Stores that were copied here are named, with what is wrong, before a figure is drawn from them."""

import shutil
import zipfile
from pathlib import Path

import pytest

PREDICTIONS = "results/smoke/wedges/predictions.zarr.zip"
WEIGHTS = "weights/lr~0.05_wd~0_width~16_dropout~0_batch~64/seeds~0-3.zarr.zip"


def refuse_then_rebuild(project, store: str, figure: str, words: list[str]) -> None:
    """A figure is not drawn from a store of which Snakemake knows nothing; it is once that store is deleted."""
    shutil.rmtree(project.folder / ".snakemake/metadata")  # as after copying results
    drawn = [project.folder / f"results/smoke/figures/{figure}.{kind}" for kind in ("pdf", "png")]
    before = [file.read_bytes() for file in drawn]
    for file in drawn:
        file.unlink()
    refused = project.smoke("--", f"plot_{figure}", check=False)
    assert refused.returncode != 0
    assert "Traceback" not in refused.stdout
    for word in [store, *words, "Delete them and run the workflow again", f"rm {store}"]:
        assert word in refused.stdout.replace("'", "")
    assert not any(file.exists() for file in drawn)
    (project.folder / store).unlink()
    project.smoke("--", f"plot_{figure}")
    assert [file.read_bytes() for file in drawn] == before


def flip(file: Path) -> None:
    """Change one byte of an array."""
    with zipfile.ZipFile(file) as packed:
        entry = max(packed.infolist(), key=lambda entry: entry.file_size)
    whole = bytearray(file.read_bytes())
    whole[entry.header_offset + 30 + len(entry.filename) + entry.file_size // 2] ^= 1
    file.write_bytes(whole)


def of_another_version(file: Path) -> None:
    with zipfile.ZipFile(file) as packed:
        entries = {name: packed.read(name) for name in packed.namelist()}
    assert entries["zarr.json"].count(b'"schema_version": 2') == 1
    entries["zarr.json"] = entries["zarr.json"].replace(b'"schema_version": 2', b'"schema_version": 99')
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in entries.items():
            packed.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1000]), ["damaged or cut short"]),
        (flip, ["damaged", "does not have the checksum"]),
        (of_another_version, ["schema_version is 99, allowed is 2"]),
    ],
    ids=["truncated", "one byte flipped", "another version"],
)
def test_a_damaged_store(finished, change, words):
    change(finished.folder / PREDICTIONS)
    refuse_then_rebuild(finished, PREDICTIONS, "predictions", words)


def test_weights_that_another_config_made(finished):
    (finished.folder / "other.yaml").write_text("study: other\ntraining: {epochs: 2, momentum: 0.5}\n")
    made, place = f"results/other/{WEIGHTS}", f"results/smoke/{WEIGHTS}"
    finished.snakemake("--cores", "2", "--configfile", "config/smoke.yaml", "other.yaml", "--", made)
    shutil.copy(finished.folder / made, finished.folder / place)
    words = ["training.epochs: found 2, allowed is 3", "training.momentum: found 0.5, allowed is 0.9"]
    refuse_then_rebuild(finished, place, "training", words)
