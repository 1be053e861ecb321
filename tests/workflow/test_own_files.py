"""The README's own model and own dataset, run as they stand there."""

import pandas as pd
import pytest

from projects import example

TARGETS = ("results/mine/claims.csv", "results/mine/figures/tunnels.pdf", "results/mine/figures/planes.pdf")


@pytest.fixture
def own(project):
    for name in ("my_model.py", "my_data.py", "my_study.yaml"):
        (project.folder / name).write_text(example(name))
    return project


@pytest.mark.slow
def test_own_model_and_data_go_through_all_measurements(own):
    asked = ("--cores", "2", "--configfile", "my_study.yaml", "--", *TARGETS)
    own.snakemake(*asked)
    claims = pd.read_csv(own.folder / TARGETS[0])
    assert len(claims) > 0
    assert (own.folder / TARGETS[1]).exists()
    # An edit of the user's model retrains; a comment in it does not.
    model = own.folder / "my_model.py"
    own.add_comment(model, "Net.__init__")
    assert "Nothing to be done" in own.snakemake(*asked).stdout
    own.edit_function(model, "Net.__init__")
    assert "Training seeds" in own.snakemake("--dry-run", *asked).stdout
