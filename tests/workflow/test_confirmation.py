"""A study is confirmed by the same rules on fresh seeds; both verdicts stand side by side, and misuse is refused."""

import pandas as pd
import pytest
import yaml

from projects import REPOSITORY

pytestmark = pytest.mark.slow

AGAIN = ("study=smoke_confirmation", "confirms=smoke")
VERDICTS = "results/smoke_confirmation/claims.csv"


@pytest.fixture(scope="module")
def explored(smoke_project, tmp_path_factory):
    """A copy of the finished smoke study, without what is slow to measure."""
    copied = smoke_project.copied_to(tmp_path_factory.mktemp("explored") / "project")
    copied.configure(leave_out=yaml.safe_load((REPOSITORY / "config/first.yaml").read_text())["leave_out"])
    copied.smoke("--", "results/smoke/claims.csv")
    return copied


def confirm(project, *config, check=True):
    files = ("--configfile", "config/smoke.yaml", "--config", *AGAIN, *config)
    return project.snakemake("--cores", "2", *files, "--", VERDICTS, check=check)


def test_used_seeds_are_refused(explored):
    said = confirm(explored, "first_seed=2", check=False)
    assert said.returncode != 0
    assert "first_seed: seeds 2 to 3 were used in results/smoke" in said.stdout
    assert "Traceback" not in said.stdout
    assert not (explored.folder / "results/smoke_confirmation").exists()


def test_changed_rules_are_refused(explored, tmp_path):
    changed = explored.copied_to(tmp_path / "changed")
    changed.edit_rule("linear_barrier", threshold=0.4)
    said = confirm(changed, "first_seed=100", check=False)
    assert said.returncode != 0
    assert "config/rules.yaml: changed since results/smoke was judged" in said.stdout
    assert "claims.linear_barrier" in said.stdout


def test_a_study_that_was_not_judged_cannot_be_confirmed(explored):
    said = confirm(explored, "confirms=nothing", "first_seed=100", check=False)
    assert said.returncode != 0
    assert "confirms: results/nothing has no verdicts that could be confirmed" in said.stdout


def test_both_verdicts_stand_side_by_side(explored):
    confirm(explored, "first_seed=100")
    again = pd.read_csv(explored.folder / VERDICTS).set_index("id")
    assert (explored.folder / "results/smoke_confirmation/weights").is_dir()
    assert {path.name for path in explored.folder.glob("results/smoke_confirmation/weights/*/*.zip")} == {
        "seeds~100-103.zarr.zip"
    }
    assert set(explored.planned()) == {"judge_claims", "plot_claims", "plot_specifications", "summarise"}
    explored.smoke()
    table = pd.read_csv(explored.folder / "results/smoke/claims.csv").set_index("id")
    assert table["confirmed"].to_dict() == again["verdict"].reindex(table.index).to_dict()
    assert "on fresh seeds" in (explored.folder / "results/smoke/claims.html").read_text()
