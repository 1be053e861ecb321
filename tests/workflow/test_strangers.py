"""Stores that were copied here are named, with what is wrong, before a figure is drawn from them."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from projects import smoke_layout
from wedgescape.stores.attributes import SCHEMA_VERSION
from wedgescape.study import places

pytestmark = pytest.mark.slow

TOY = smoke_layout().store("wedges", places.TOY)
(BASE,) = smoke_layout().weights(smoke_layout().study.base)


def refuse(project, store: str, figure: str, words: list[str]) -> None:
    """A figure is not drawn from a store of which Snakemake knows nothing, and words say why and what to do."""
    for known in (".snakemake/metadata", "results/smoke/provenance"):  # as after copying results
        shutil.rmtree(project.folder / known, ignore_errors=True)
    for file in drawn(project, figure):
        file.unlink(missing_ok=True)
    said = project.smoke("--", f"plot_{figure}", check=False)
    assert said.returncode != 0
    assert "Traceback" not in said.stdout
    for word in [store, *words, "Delete them and run the workflow again", f"rm {store}"]:
        assert word in said.stdout.replace("'", "")
    assert not any(file.exists() for file in drawn(project, figure))


def drawn(project, figure: str) -> list[Path]:
    return [project.folder / f"results/smoke/figures/{figure}.{kind}" for kind in ("pdf", "png")]


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
    group = json.loads(entries["zarr.json"])
    assert group["attributes"]["schema_version"] == SCHEMA_VERSION
    group["attributes"]["schema_version"] = 99
    entries["zarr.json"] = json.dumps(group).encode()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in entries.items():
            packed.writestr(name, content)


DAMAGES = {
    "damaged or cut short": lambda file: file.write_bytes(file.read_bytes()[:-1000]),
    "does not have the checksum that was stored with it": flip,
    f"schema_version is 99; it must be {SCHEMA_VERSION}": of_another_version,
}


def test_damaged_stores_are_refused_and_made_again_once_deleted(finished):
    store, before = finished.folder / TOY, [file.read_bytes() for file in drawn(finished, "predictions")]
    whole = store.read_bytes()
    for words, damage in DAMAGES.items():
        store.write_bytes(whole)
        damage(store)
        refuse(finished, TOY, "predictions", [words])
    store.unlink()
    finished.smoke("--", "plot_predictions")
    assert [file.read_bytes() for file in drawn(finished, "predictions")] == before


def test_weights_that_another_config_made_are_refused_and_made_again_once_deleted(finished):
    before = [file.read_bytes() for file in drawn(finished, "training")]
    (finished.folder / "other.yaml").write_text("study: other\ntraining: {epochs: 2, momentum: 0.5}\n")
    made, place = BASE.replace("/smoke/", "/other/"), BASE
    finished.snakemake("--cores", "2", "--configfile", "config/smoke.yaml", "other.yaml", "--", made)
    shutil.copy(finished.folder / made, finished.folder / place)
    words = [
        "training.epochs: found 2; the present config has 3",
        "training.momentum: found 0.5; the present config has 0.9",
    ]
    refuse(finished, place, "training", words)
    (finished.folder / place).unlink()
    finished.smoke("--", "plot_training")
    assert [file.read_bytes() for file in drawn(finished, "training")] == before
