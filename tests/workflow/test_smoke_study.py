"""The smoke study, end to end. That a second one has the same bytes is in test_module.py."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from projects import figures, smoke_layout
from wedgescape.numerics.judging import FEWEST_UNITS, VERDICTS
from wedgescape.provenance.arguments import arguments, imported
from wedgescape.stores.zarr_stores import open_store, open_weights
from wedgescape.study.catalogue import NETWORKS, catalogue


@pytest.fixture
def results(smoke_project):
    return smoke_project.folder / "results" / "smoke"


def test_every_figure_is_there_as_pdf_and_png(results):
    assert len(figures()) >= 10
    for figure in figures():
        assert (results / f"figures/{figure}.pdf").read_bytes().startswith(b"%PDF")
        assert (results / f"figures/{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_every_claim_has_an_interval_and_a_verdict(results):
    claims = pd.read_csv(results / "claims.csv")
    assert claims["id"].is_unique
    assert set(claims["id"]) >= {
        *("wedge_random_loss", "wedge_cut_loss", "wedge_width", "wedge_shared_dim", "wedge_connector"),
        *("tunnel_learning_rate", "tunnel_width", "long_radial_outwards", "long_radial_inwards", "linear_barrier"),
        *("monotonic_interpolation", "hyperplane_8", "hyperplane_16", "curve_bezier", "curve_chain"),
        *("connector_2", "connector_3", "connector_null_3", "simplex_3"),
        *("curvature_learning_rate", "roughness_learning_rate", "curvature_width", "roughness_width"),
        *("flat_large_scale", "flat_large_scale_error", "flat_top_eigenvalue", "flat_trace"),
        *("similar_learning_rate_width", "aligned_barrier_8", "aligned_barrier_16", "aligned_width"),
        *("aligned_centroid_3", "short_hessian", "short_agreement", "gain_disagreement"),
        *(f"diversity_{method}" for method in ("snapshots", "fge", "tunnel", "connector")),
        *(f"{text}_{method}" for text in ("one_tunnel", "average") for method in ("swa", "snapshots", "fge")),
        *(f"{method}_{name}" for method in ("swa", "sam")
          for name in ("angular_width", "large_scale", "top_eigenvalue", "test_error")),
    }  # fmt: skip
    known = claims.dropna(subset="estimate")
    assert (known["low"] <= known["estimate"]).all()
    assert (known["estimate"] <= known["high"]).all()
    assert claims["verdict"].isin(VERDICTS).all()
    few = claims["units"] < FEWEST_UNITS
    assert few.any()
    assert (claims.loc[few, "verdict"] == "undecided").all()
    assert claims["reason"].str.len().all()


def test_every_file_that_claims_something_has_claims_in_the_table(smoke_project, results):
    """What each file yields, of the stores that its own signature names, is in the table; and nothing else is."""
    record = json.loads((results / "provenance/judge_claims/judge_claims.json").read_text())
    stores = {
        name: [str(smoke_project.folder / path) for path in paths]
        for name, paths in smoke_layout().judged_from().items()
    }
    given = SimpleNamespace(params=SimpleNamespace(job=record["params"]["job"]), input=stores)
    yielded = {
        file.name: [claim.id for claim in imported(file).claims(**arguments(file, "claims", given))]
        for file in catalogue().claiming
    }
    claimed = [id for ids in yielded.values() for id in ids]
    assert sorted(claimed) == sorted(pd.read_csv(results / "claims.csv")["id"])
    # `training` is read for the sentence that comes first where the base setting does not fit.
    silent = [file.name for file in catalogue().claiming if file.reads("claims") and not yielded[file.name]]
    assert silent == ["training"]


def test_every_setting_and_every_method_is_trained(results):
    settings = sorted((results / "weights").iterdir())
    kinds = ["method" if "method" in one.name else one.name.rpartition("_")[2] == "matched" for one in settings]
    assert kinds.count(False) == 5  # all of the two by two values, and a wider network
    assert kinds.count("method") == 5
    assert kinds.count(True) == 2  # the learning rates, to one training loss
    for setting in settings:
        weights = open_weights(sorted(setting.glob("*.zarr.zip")))
        assert weights["seed"].values.tolist() == [0, 1, 2, 3]


def parts_of(path):
    """The datasets of a store: one, or one per part."""
    content = open_store(path)
    return content if isinstance(content, dict) else {"": content}


def measured(results, name):
    """Store and part -> dataset, of a measurement in the finished study."""
    paths = sorted((results / name).glob("*.zarr.zip"))
    assert paths, name
    return {f"{path.name} {part}": dataset for path in paths for part, dataset in parts_of(path).items()}


@pytest.mark.parametrize("name", catalogue().measurements)
def test_every_variable_says_what_it_is_and_in_which_unit(results, name):
    """Numbers without a unit say `1`."""
    for place, dataset in measured(results, name).items():
        assert dataset.data_vars, place
        silent = [key for key, variable in dataset.data_vars.items() if not variable.attrs.get("description")]
        assert silent == [], place
        numbers = {key: variable for key, variable in dataset.data_vars.items() if variable.dtype.kind == "f"}
        assert [key for key, variable in numbers.items() if not variable.attrs.get("units")] == [], place


@pytest.mark.parametrize(
    "name", [name for name, file in catalogue().measurements.items() if file.kinds("measure") & set(NETWORKS)]
)
def test_every_store_of_networks_says_which_runs_diverged(results, name):
    for place, dataset in measured(results, name).items():
        assert dataset["diverged"].dims == ("seed",), place
        assert dataset["diverged"].dtype == bool, place
        assert not dataset["diverged"].any(), place


@pytest.mark.slow
def test_chunks_of_seeds_are_one_dataset_and_measured_alike(finished):
    """Seeds that two jobs trained, also from the optima of two jobs, give what one job's give."""
    (finished.folder / "chunks.yaml").write_text("study: chunks\nseeds_per_job: 2\n")
    setting = smoke_layout().study.methods["swa"]
    measured = f"results/chunks/tunnels/{setting}.zarr.zip"
    finished.snakemake(
        *("--cores", "2", "--configfile", "config/smoke.yaml", "chunks.yaml", "--", measured, "plot_training")
    )
    chunks = sorted((finished.folder / f"results/chunks/weights/{setting}").iterdir())
    assert [chunk.name for chunk in chunks] == ["seeds~0-1.zarr.zip", "seeds~2-3.zarr.zip"]
    whole = open_weights(finished.folder / f"results/smoke/weights/{setting}/seeds~0-3.zarr.zip")
    np.testing.assert_array_equal(open_weights(chunks)["theta"], whole["theta"])
    one = finished.folder / f"results/smoke/tunnels/{setting}.zarr.zip"
    assert (finished.folder / measured).read_bytes() == one.read_bytes()


def test_stores_hold_every_seed(results):
    stores = sorted((results / "tunnels").iterdir())
    assert {store.name.removesuffix(".zarr.zip") for store in stores} >= {
        "lr~0.05_wd~0_width~16_dropout~0_batch~64",
        "lr~0.1_wd~0_width~16_dropout~0_batch~64",
        "lr~0.05_wd~0_width~8_dropout~0_batch~64",
    }
    for store in map(open_store, stores):
        assert store["width_score"].dims == ("seed", "direction")
        assert store["seed"].values.tolist() == [0, 1, 2, 3]
        assert np.isfinite(store["width_score"].values).all()


def test_every_job_left_a_record_and_a_log(results):
    record = json.loads((results / "provenance/train/lr~0.1_wd~0_width~16_dropout~0_batch~64_0-3.json").read_text())
    assert record["rule"] == "train"
    assert record["ended"] >= record["started"]
    assert "torch" in record["versions"]
    assert (results / f"logs/measure_planes/{smoke_layout().study.base}.log").exists()
    for name in ("curvature", "spectrum"):
        record = json.loads(next((results / f"provenance/measure_{name}").iterdir()).read_text())
        job = record["params"]["job"]
        assert {"rule", "code", "sections", "name", "context"} <= set(job)
        assert job["rule"] == f"measure_{name}"
        assert "seeds" in job["sections"][name]


def test_a_second_run_has_nothing_to_do(smoke_project):
    assert "Nothing to be done" in smoke_project.smoke().stdout


def test_no_checkpoint_and_no_half_written_file_is_left(results):
    leftovers = [
        path for path in results.rglob("*") if path.name.endswith((".pt", ".part")) or path.name.startswith(".")
    ]
    assert leftovers == []


def test_one_figure_can_be_redrawn_alone(finished):
    png = finished.folder / "results/smoke/figures/tunnels.png"
    content = png.read_bytes()
    png.unlink()
    output = finished.smoke("--", "plot_tunnels").stdout
    assert png.read_bytes() == content
    assert "1 of 1 steps" in output


def test_the_report_opens_offline(smoke_project, tmp_path):
    report = tmp_path / "report.html"
    smoke_project.smoke("--report", str(report))
    text = report.read_text()
    for figure in figures():
        assert f"plot_{figure}" in text
    assert "claims.html" in text
    # Everything is embedded: no script or style is fetched.
    assert '<script src="http' not in text
    assert '<link rel="stylesheet" href="http' not in text


@pytest.mark.slow
def test_shipped_studies_can_be_planned(smoke_project):
    """The paper's scale is a dry run away: every rule's inputs can be made."""
    for name in ("config", "extended", "fashion", "fashion_mlp", "paper"):
        settings = yaml.safe_load((smoke_project.folder / f"config/{name}.yaml").read_text())
        output = smoke_project.snakemake("--dry-run", "--cores", "2", "--configfile", f"config/{name}.yaml").stdout
        assert f"results/{settings['study']}/claims.csv" in output
        if name == "paper":
            header = (smoke_project.folder / "config/paper.yaml").read_text()
            jobs, training = re.search(r"# Jobs: (\d+), of which (\d+) train", header).groups()
            assert re.search(rf"total +{int(jobs) + 1}\n", output)  # and `all`, which only asks for the others
            assert output.count("Training seeds") == int(training)


def test_cores_need_not_be_given_and_do_not_cap_a_cluster(smoke_project, tmp_path):
    """`snakemake plot_tunnels` works as it stands; with a profile, the default one is silent about cores."""
    said = smoke_project.snakemake("--configfile", "config/smoke.yaml", "--", "plot_tunnels").stdout
    assert "Nothing to be done" in said
    (smoke_project.folder / "elsewhere").mkdir(exist_ok=True)
    (smoke_project.folder / "elsewhere/config.yaml").write_text("keep-going: true\n")
    arguments = ("--profile", "elsewhere", "--configfile", "config/smoke.yaml", "--", "plot_tunnels")
    done = smoke_project.snakemake(*arguments, check=False)
    assert done.returncode != 0
    assert "cores have to be specified" in done.stdout


@pytest.mark.slow
def test_jobs_that_start_on_their_own_make_the_same_bytes(finished):
    """The smoke study's jobs were forked from a process that had imported the libraries (`cluster.warm_starts`)."""
    results = finished.folder / "results/smoke"
    made = [*results.glob("spectrum/*"), *results.glob("figures/spectrum.*"), results / "tables/spectrum.csv"]
    before = {path: path.read_bytes() for path in made}
    for path in made:
        path.unlink()
    finished.smoke("--", "plot_spectrum", WEDGESCAPE_COLD="1")
    assert len(made) == 4
    assert {path: path.read_bytes() for path in made} == before
