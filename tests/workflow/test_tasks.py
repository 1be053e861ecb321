"""Studies of other tasks than images in classes: regression, a loss of one's own, a text."""

import re

import pandas as pd
import pytest
import xarray as xr
import yaml

from projects import REPOSITORY
from wedgescape.stores.zarr_stores import open_store

SMALL = {
    "defaults": "smoke",
    "data": {"train_examples": 200, "test_examples": 60},
    "fit": {"maximum_loss": 0.99},
    "leave_out": ["alignment", "curves", "dimension", "ensembles", "profiles", "simplexes", "spectrum"],
}


def files_of_the_page() -> dict[str, str]:
    """Return the files that docs/tasks.md shows, by their names."""
    page = (REPOSITORY / "docs/tasks.md").read_text()
    return dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", page, re.DOTALL))


def run(project, name: str, *targets: str, **more) -> str:
    """Run a config with the values of the smoke study, and return what Snakemake says."""
    config = yaml.safe_load((project.folder / name).read_text()) | SMALL | more
    (project.folder / "small.yaml").write_text(yaml.safe_dump(config))
    return project.snakemake("--cores", "2", "--configfile", "small.yaml", "--", *targets).stdout


@pytest.mark.slow
def test_regression_goes_through_all_that_makes_sense(project):
    results = project.folder / "results/diabetes"
    drawn = [f"results/diabetes/figures/{name}.png" for name in ("hyperplanes", "planes", "connectors", "training")]
    said = run(project, "config/diabetes.yaml", "results/diabetes/claims.csv", *drawn, sweeps={"width": [8, 16]})
    (left,) = re.findall(r"[\w, ]+ \(the labels are no classes\)", said)
    assert {"input_paths", "similarity", "stiffness", "taxonomy", "flatness"} <= set(re.findall(r"\w+", left))
    assert left.strip() in (results / "claims.html").read_text()
    training = open_store(next((results / "training").glob("*width~32*.zarr.zip")))
    assert training["train_loss"].attrs["units"] == "variance"
    assert not {"correct", "log_probability"} & set(training)
    assert float(training["train_score"].max()) < 1
    xr.testing.assert_allclose(training["train_score"], 1 - training["train_loss"], atol=1e-4)
    claims = pd.read_csv(results / "claims.csv")
    assert claims["quantity"].str.contains("R²").any()
    assert not claims["quantity"].str.contains("accuracy|nats").any()
    assert all((project.folder / one).exists() for one in drawn)


@pytest.mark.slow
def test_a_text_and_its_transformer_are_measured(project):
    for name, text in files_of_the_page().items():
        (project.folder / name).write_text(text)
    targets = [f"results/text/figures/{name}.png" for name in ("planes", "connectors")]
    run(project, "my_text.yaml", *targets)
    assert all((project.folder / target).exists() for target in targets)
    store = open_store(project.folder / "results/text/data/sentences.zarr.zip")
    assert (store["inputs"].dims, store["inputs"].dtype.kind) == (("example", "position"), "i")
    # An own loss counts for reruns, and for nothing that was there before.
    target = "results/regression/figures/training.png"
    run(project, "my_regression.yaml", target)
    asked = ("--cores", "2", "--configfile", "small.yaml", "--dry-run", "--", target)
    assert "Nothing to be done" in project.snakemake(*asked).stdout
    loss = project.folder / "my_loss.py"
    loss.write_text(loss.read_text().replace("beta=0.1", "beta=0.2"))
    assert "Training seeds" in project.snakemake(*asked).stdout
