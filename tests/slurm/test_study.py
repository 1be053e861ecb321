"""The smoke study through Slurm, as a user starts it."""

import hashlib
import json
from collections import Counter

from wedgescape.study.catalogue import catalogue
from wedgescape.study.layout import is_toy, needs_networks

from .conftest import SETTING, Cluster, Run, accounted

MODELS = "results/fault/tables/models.csv"  # by one job, which asks for what a training asks for
SMOKE = ("--configfile", "config/smoke.yaml", "--slurm-init-seconds-before-status-checks", "2")
# Trainings and measurements of every kind: of networks, of the toy model, of other stores alone.
FIGURES = ("fitted_wedges", "hyperplanes", "planes", "simplexes", "wedges")
TARGETS = ("--", "results/smoke/wedges/toy.zarr.zip", *(f"results/smoke/figures/{name}.pdf" for name in FIGURES))


def digests(folder) -> dict[str, str]:
    kinds = ("*.zarr.zip", "*.csv", "*.html", "*.png", "*.pdf")
    files = [file for kind in kinds for file in folder.rglob(kind)]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_study_gives_the_same_bytes_as_on_one_machine(project, smoke_project):
    planned = project.planned(*TARGETS)
    run = Run(project, *SMOKE, *TARGETS)
    assert run.ends() == 0, run.said.read_text()
    made, wanted = (digests(folder.folder / "results/smoke") for folder in (project, smoke_project))
    assert len(made) > 25
    assert made == {name: wanted[name] for name in made}
    assert "Nothing to be done" in project.smoke(*TARGETS).stdout

    jobs = accounted(project)
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    seen = Counter(job["rule"] for job in jobs)
    of_stores = {name for name, file in catalogue().measurements.items() if not (needs_networks(file) or is_toy(file))}
    assert of_stores >= {"training", "fitted_wedges"}
    local = {"prepare_data", *(f"measure_{name}" for name in of_stores)}
    wanted = {rule: count for rule, count in planned.items() if rule not in local and not rule.startswith("plot_")}
    assert seen == wanted
    without = {job["rule"] for job in jobs if "gres/gpu=1" not in job["AllocTRES"]}
    assert without == {"measure_wedges"}  # all others compute networks


def test_two_trainings_have_a_gpu_each_at_the_same_time(study):
    """And what only a later attempt would ask for, and not get, is a warning."""
    run = study.start("--set-resources", "train:mem_mb=attempt * 8000")
    assert run.ends() == 0
    assert "Slurm would refuse these jobs at attempt 3:\n  train: -t 360 --mem 24000" in run.said.read_text()
    records = study.project.folder / "results/fault/provenance/train"
    first, second = (json.loads((records / f"{SETTING}_{seeds}.json").read_text()) for seeds in ("0-1", "2-3"))
    assert {record["host"]["visible_gpus"] for record in (first, second)} == {"0", "1"}
    assert max(first["started"], second["started"]) < min(first["ended"], second["ended"])


def test_a_study_on_the_cpu_asks_for_no_gpu(study):
    assert study.start("--config", "device=cpu", target=MODELS).ends() == 0
    (job,) = accounted(study.project)
    assert "gpu" not in job["AllocTRES"]


def test_a_model_of_gpu_and_partitions_are_what_slurm_is_asked_for(project):
    """The cluster's partitions, written down for the executor, and a model by the name it has there."""
    (project.folder / "partitions.yaml").write_text(
        "partitions:\n  cpu: {max_runtime: 720, max_gpu: 0}\n"
        "  gpu: {max_runtime: 720, max_gpu: 2, available_gpu_models: [fake]}\n"
    )
    study = Cluster(project)
    run = study.start("--config", "gpu_model=fake", "--slurm-partition-config", "partitions.yaml", target=MODELS)
    assert run.ends() == 0, run.said.read_text()
    (job,) = accounted(project)
    assert job["Partition"] == "gpu"
    assert "--gpus=fake:1" in job["SubmitLine"]
