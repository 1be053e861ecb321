"""A study of networks that were trained elsewhere finds what the study that trained them found."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from projects import SMOKE, example
from wedgescape.stores.zarr_stores import load_store

CONFIG = "my_networks.yaml"
MODEL = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, input_shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))
"""


TABLES = ("tunnels", "planes", "curvature", "curves", "alignment", "phase_diagram")
TARGETS = ("--", "results/my_networks/claims.csv", *(f"results/my_networks/tables/{table}.csv" for table in TABLES))


def asked(project, *arguments, **how):
    return project.snakemake("--cores", "2", "--configfile", CONFIG, *arguments, **how)


def kept_elsewhere(project) -> list[Path]:
    """Export the smoke study's networks, and keep them as somebody would who never heard of it."""
    project.python("scripts/export.py", "results/smoke")
    exported, files = project.folder / "results/smoke/export", []
    with (exported / "networks.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    for number, row in enumerate(rows):
        files.append(project.folder / f"runs/{number:03d}/model.safetensors")
        files[-1].parent.mkdir(parents=True)
        shutil.copy(exported / row["file"], files[-1])
        row["file"] = f"{number:03d}/model.safetensors"
    with (project.folder / "runs/networks.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0])
        writer.writeheader()
        writer.writerows(rows[::-1])  # an order that says nothing
    return files


def values_of(store: Path) -> dict:
    found = load_store(store)
    parts = found if isinstance(found, dict) else {"": found}
    return {(part, name): one for part, dataset in parts.items() for name, one in dataset.variables.items()}


@pytest.mark.slow
def test_the_same_networks_give_the_same_results_to_the_last_bit(finished):
    files = kept_elsewhere(finished)
    smoke = yaml.safe_load((finished.folder / SMOKE).read_text())
    config = yaml.safe_load(example(CONFIG)) | {key: smoke[key] for key in ("defaults", "sweeps", "grids")}
    config["networks"]["model"]["width"] = 16
    (finished.folder / CONFIG).write_text(yaml.safe_dump(config))
    said = asked(finished, *TARGETS).stdout
    untrained = re.search(r"([\w, ]+) \(it needs the networks as they were before training\)", said)[1]
    assert {"hyperplanes", "profiles", "spectrum"} <= set(untrained.strip().split(", "))
    assert not [rule for rule in ("train", "measure_profiles", "plot_training") if f"\nrule {rule}:" in said]

    ours, theirs = finished.folder / "results/my_networks", finished.folder / "results/smoke"
    for table in TABLES:
        assert (ours / f"tables/{table}.csv").read_bytes() == (theirs / f"tables/{table}.csv").read_bytes()
    compared = 0
    for measurement in ("tunnels", "curvature", "balanced", "similarity", "alignment", "curves", "planes", "dimension"):
        for store in sorted((ours / measurement).glob("*.zarr.zip")):
            found, wanted = values_of(store), values_of(theirs / measurement / store.name)
            lost = {part for part, _name in wanted.keys() - found.keys()}
            assert lost == ({"trajectory"} if measurement == "planes" else set())  # which files do not hold
            for name, one in found.items():
                assert np.array_equal(one, wanted[name], equal_nan=one.dtype.kind == "f"), (store, name)
            compared += 1
    assert compared > 15
    assert "Left out: " in (ours / "claims.html").read_text()

    # Only the content of a file decides what reruns.
    for file in files:
        file.touch()
    assert "Nothing to be done" in asked(finished, "--dry-run", *TARGETS).stdout
    files[0].write_bytes(files[1].read_bytes())
    again = asked(finished, "--dry-run").stdout
    assert "read_networks" in again
    refused = asked(finished, "--", "results/my_networks/tables/models.csv", check=False)
    assert refused.returncode != 0
    assert "hold the same weights" in refused.stdout
    assert "Traceback" not in refused.stdout


@pytest.mark.slow
def test_an_own_model_with_batch_norm_goes_from_its_checkpoints_to_figures(project):
    space = {}
    exec(MODEL, space)
    (project.folder / "my_model.py").write_text(MODEL)
    for seed in range(3):
        torch.manual_seed(seed)
        (project.folder / f"runs/{seed}").mkdir(parents=True)
        state = space["Net"]((1, 8, 8), 10).state_dict()
        torch.save({"model_state_dict": state}, project.folder / f"runs/{seed}/last.pth")
    config = {
        "study": "mine",
        "dataset": "digits",
        "defaults": "smoke",
        "networks": {"files": "runs/*/last.pth", "model": {"file": "my_model.py", "name": "Net"}},
        "connectors": {"sizes": [2], "steps": 2},
    }
    (project.folder / CONFIG).write_text(yaml.safe_dump(config))
    asked(
        project, "--", "results/mine/figures/planes.png", "results/mine/claims.html", "results/mine/tables/models.csv"
    )
    assert (project.folder / "results/mine/figures/planes.png").is_file()
    (log,) = (project.folder / "results/mine/logs/read_networks").rglob("*.log")
    assert "Running statistics of batch norm are not read" in log.read_text()

    renamed = {name.replace("4.", "head."): one for name, one in state.items()}
    torch.save(renamed, project.folder / "runs/2/last.pth")
    refused = asked(project, check=False).stdout
    assert "runs/2/last.pth does not fit Net. missing: 4.weight, 4.bias. unexpected: head.weight, head.bias" in refused
    assert "Traceback" not in refused


def test_no_job_starts_where_no_file_matches(project):
    text = example(CONFIG).replace("runs/*", "nowhere/*")
    (project.folder / CONFIG).write_text(text)
    refused = asked(project, check=False)
    assert refused.returncode != 0
    assert "networks.files: no file matches nowhere/*/model.safetensors" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert not (project.folder / "results").exists()
