# What all rules share: the study, where its results are, and what jobs ask a cluster for.

import os
from urllib.parse import quote

from snakemake.logging import logger

from wedgescape.cluster import slurm, warm_starts
from wedgescape.cluster.progress import what_will_run
from wedgescape.errors import InputError
from wedgescape.provenance.determinants import Determinants
from wedgescape.provenance.file_sums import FileSums
from wedgescape.provenance.fingerprints import Fingerprints
from wedgescape.provenance.frame import check_writable
from wedgescape.provenance.records import result_name, set_aside_changed
from wedgescape.provenance.registration import check_confirmation
from wedgescape.study.catalogue import catalogue
from wedgescape.study.config_files import check_keys
from wedgescape.study.jobs import figures_first, jobs_of
from wedgescape.study.layout import (
    Layout,
    is_toy,
    left_out_in_words,
    needs_networks,
    tables_of,
)
from wedgescape.study.rules import load_rules
from wedgescape.study.study import load_study, warnings

NOTES = Path(".snakemake/wedgescape")  # they only save time

try:
    if internals.is_main(workflow):
        check_keys([*internals.config_files(workflow), on_disk("config/rules.yaml")])
    study = load_study(config, catalogue(), internals.command_line_config(workflow))
    layout = Layout(study, catalogue())
    rule_book = load_rules(on_disk("config/rules.yaml"), catalogue().claims)
    RESULTS = layout.results
    FOLDER = internals.with_prefix(workflow, RESULTS)
    if study.config["confirms"]:
        check_confirmation(
            internals.with_prefix(workflow, f"results/{study.config['confirms']}"),
            rule_book.model_dump(),
            study.seeds,
        )
    determinants = Determinants(
        layout,
        Fingerprints(NOTES / "fingerprints.json"),
        lambda name: on_disk(f"scripts/{name}"),
        FileSums(NOTES / "file_sums.json"),
    )
    determinants.check_own_files()
    check_writable(FOLDER)
    changed = (
        set_aside_changed(FOLDER, NOTES / f"{quote(FOLDER, safe='')}.json")
        if internals.is_main(workflow)
        else []
    )
except InputError as error:
    raise WorkflowError(str(error)) from None
for path in changed:
    logger.warning(
        f"{path.with_suffix('')} was changed after a job had made it. Snakemake rebuilds it; what was there is now {path}"
    )

if internals.is_main(workflow):
    for text in warnings(study, layout.catalogue):
        logger.warning(text)
    if layout.catalogue.left_out:
        logger.info(left_out_in_words(layout.catalogue.left_out))

# From here on `config` is complete: scripts read from it what determines no result (device, checkpoints, where results
# are), and compare their inputs with all of it, trainings included. It is a copy, so that an importing workflow's config
# is not modified.
config = study.config | {
    "settings": study.trainings(),
    "results": FOLDER,
    "commit": COMMIT,
    "all_seeds": study.seeds,
    "networks_of": study.networks,
}


# The image for `--sdm apptainer`, by its path from where Snakemake runs (another folder where this is a module). Snakemake
# reruns everything when that path changes, so it is not absolute: results stay valid when the whole folder is moved.
IMAGE = "envs/wedgescape.sif"
if HERE.is_local:
    IMAGE = os.path.relpath(on_disk(IMAGE))
if internals.wants_apptainer(workflow) and not Path(IMAGE).exists():
    raise WorkflowError(
        f"--sdm apptainer: there is no image {IMAGE}. Build it in a clone of Wedgescape: "
        "`apptainer build envs/wedgescape.sif envs/apptainer.def`"
    )


container: IMAGE


if " " in sys.executable:
    internals.quote_interpreter()
if warm_starts.possible():
    internals.start_scripts_with(workflow, warm_starts.start)


wildcard_constraints:
    setting="[^/]+",
    seeds=r"\d+-\d+",


# Figures come one after another, the cheapest first: a job is as urgent as the most urgent figure that needs it.
URGENCY = figures_first(jobs_of(layout)) if internals.is_main(workflow) else {}


def urgency_of_training(wildcards):
    """The priority of a chunk of seeds at a setting."""
    return URGENCY.get(layout.weights_of(wildcards.setting, wildcards.seeds), 0)


def urgency_of(measurement):
    """A function of the wildcards: the priority of a measurement at a setting."""
    return lambda wildcards: URGENCY.get(
        layout.store(measurement.name, wildcards.setting), 0
    )


# What a job that computes networks asks a cluster for. On one machine it limits nothing, unless `--resources gpu=1` does.
GPU = {} if study.config["device"] == "cpu" else {"gpu": 1}
if GPU and study.config["gpu_model"]:
    GPU["gpu_model"] = study.config["gpu_model"]


def growing(amount):
    """A resource that grows with every attempt: a job that ran out of it gets more when it is tried again."""
    return lambda wildcards, attempt: amount * attempt


# Say what will run; the project's logger goes on from that. And ask the cluster before anything is submitted whether it takes
# the jobs. Otherwise they would fail one by one, or wait for ever.
onstart:
    to_run, jobs = internals.jobs_to_run(workflow)
    if to_run and internals.on_this_machine(workflow):
        logger.info(
            what_will_run(study.name, to_run, jobs),
            extra={"study": study.config, "to_run": to_run},
        )
    if internals.on_slurm(workflow):
        try:
            for warning in slurm.preflight(workflow, study.name):
                logger.warning(warning)
        except InputError as error:
            raise WorkflowError(str(error)) from None
