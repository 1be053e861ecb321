# What all rules share: the study, where things are, and what determines a result.
#
# A rule's one `job` parameter holds the part of the config that it uses and a fingerprint of the code that it reaches. So
# Snakemake reruns it when one of them changes, and not for a touch, a comment or another rule's setting.

import os
import sys
from pathlib import Path
from urllib.parse import quote

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.sourcecache import HostingProviderFile, LocalSourceFile
from snakemake_interface_executor_plugins.settings import DeploymentMethod

HERE = workflow.current_basedir


def on_disk(path):
    """Where a file of this repository lies, by its path in there.

    Of a hosted repository, Snakemake's cache keeps those that were asked for, each in its place.
    """
    file = HERE.join(f"../../{path}")
    return Path(
        file.path if HERE.is_local else workflow.sourcecache.get_path(file)
    ).resolve()


COMMIT = None  # of a hosted repository; of one that is here, git is asked
if isinstance(HERE, HostingProviderFile):
    commit = HERE.hosted_repo.repo.commit(HERE.ref)
    COMMIT = commit.hexsha
    for module in commit.tree["scripts/wedgescape"]:
        on_disk(module.path)
elif not isinstance(HERE, LocalSourceFile):
    raise WorkflowError(
        f"Wedgescape cannot be read from {HERE}. Import it from a clone or a git submodule, by the path of its "
        'workflow/Snakefile, or from where it is hosted: github("owner/name", path="workflow/Snakefile", tag="…")'
    )
sys.path.insert(0, str(on_disk("scripts/wedgescape/__init__.py").parents[1]))

from wedgescape.cluster import slurm
from wedgescape.errors import InputError
from wedgescape.provenance.fingerprints import fingerprint
from wedgescape.provenance.frame import check_writable
from wedgescape.provenance.records import result_name, set_aside_changed
from wedgescape.study.study import load_study, seeds_in

try:
    study = load_study(config, on_disk("workflow/schemas/config.schema.yaml"))
    RESULTS = f"results/{study.name}"
    # Where that lies: a workflow that imports this one may put a prefix before it.
    FOLDER = workflow.modifier.path_modifier.replace_prefix(RESULTS)
    check_writable(FOLDER)
    changed = (
        set_aside_changed(
            FOLDER, f".snakemake/wedgescape/{quote(FOLDER, safe='')}.json"
        )
        if workflow.is_main_process
        else []
    )
except InputError as error:
    raise WorkflowError(str(error)) from None

# From here on the config is complete: scripts read what determines no result (device, checkpoints, where results lie) from
# it, and compare their inputs with all of it, trainings included. One of its own, since an importing workflow's may be used
# again.
config = study.config | {
    "points": study.trainings(),
    "results": FOLDER,
    "commit": COMMIT,
}

for path in changed:
    logger.warning(
        f"{path.with_suffix('')} was changed since it was made; it is made again, and what was there is now {path}"
    )


# The image for `--sdm apptainer`, by its path from where Snakemake runs: another folder where this is a module. The path is
# what the `software-env` trigger goes by, so it is not absolute: results stay when all is moved.
IMAGE = "envs/wedgescape.sif"
if HERE.is_local:
    IMAGE = os.path.relpath(on_disk(IMAGE))
if (
    DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
    and not Path(IMAGE).exists()
):
    raise WorkflowError(
        f"--sdm apptainer: found no image {IMAGE}. It is built in a clone of Wedgescape by "
        "`apptainer build envs/wedgescape.sif envs/apptainer.def`"
    )


container: IMAGE


wildcard_constraints:
    point="[^/]+",
    seeds=r"\d+-\d+",
    sweep="[a-z_]+",


OWN_MODEL = [study.config["model"]["file"]] if study.config["model"]["file"] else []
OWN_DATA = (
    [study.config["dataset"]["file"]]
    if isinstance(study.config["dataset"], dict)
    else []
)


# What a job that computes networks asks a cluster for; on one machine it limits nothing, unless `--resources gpu=1` does.
GPU = {} if study.config["device"] == "cpu" else {"gpu": 1}
if GPU and study.config["gpu_model"]:
    GPU["gpu_model"] = study.config["gpu_model"]


def growing(amount):
    """A resource that grows with every attempt: what a job lacked at first, it gets when it is tried again."""
    return lambda wildcards, attempt: amount * attempt


def settings(script, *keys, own=()):
    """What determines a result beside the inputs: code, the user's own files, and parts of the config by their keys.

    Also what the rule is called here, as its script is, whatever an importing workflow calls it.
    """
    return {
        "rule": Path(script).stem,
        "code": fingerprint(on_disk(f"scripts/{script}"), *own),
        **{key: study.section(key) for key in keys},
    }


def weights(point):
    """The stores of a point's seeds."""
    return [
        f"{RESULTS}/weights/{point}/seeds~{seeds}.zarr.zip"
        for seeds in study.seed_chunks
    ]


def starts(point, seeds):
    """The store that a training goes on from: none, or the base point's for the methods that continue it."""
    continues = point in study.continued
    return (
        [f"{RESULTS}/weights/{study.base}/seeds~{seeds}.zarr.zip"] if continues else []
    )


def method_weights(method):
    """The stores of a method's seeds."""
    return weights(study.methods[method])


# Each sweep's values by the names of its points, and all points that any sweep goes through.
SWEEPS = {
    sweep: {point: study.points[point][sweep] for point in points}
    for sweep, points in study.sweeps.items()
}
SWEPT = list(dict.fromkeys(point for points in SWEEPS.values() for point in points))

# Of each grid: the hyperparameters that it varies, and its points.
GRIDS = {
    grid: {
        "keys": list(values),
        "points": {point: study.points[point] for point in study.grids[grid]},
    }
    for grid, values in zip(study.grids, study.config["grids"])
}
GRIDDED = list(
    dict.fromkeys(point for points in study.grids.values() for point in points)
)

# What is compared with one solution of the same budget: name -> point.
FLAT = {"base": study.base} | {
    method: study.methods[method] for method in ("longer", "swa", "sam")
}


def measured(measurement, points):
    """The stores of a measurement at points, each once."""
    return [
        f"{RESULTS}/{measurement}/{point}.zarr.zip" for point in dict.fromkeys(points)
    ]


# A cluster is asked before anything is submitted whether it takes the jobs, which else would fail one by one or wait for ever.
onstart:
    if workflow.executor_plugin.name == "slurm":
        needed = set(workflow.dag.needrun_jobs())
        submitted = [
            job
            for layer in workflow.dag.toposorted(
                needed
            )  # in an order in which they can run
            for job in sorted(layer, key=str)
            if not job.is_local
        ]
        try:
            slurm.check_requests(submitted, workflow.executor_settings)
            slurm.check_none_left(study.name, Path.cwd(), workflow.configfiles)
        except InputError as error:
            raise WorkflowError(str(error)) from None
        try:
            attempts = workflow.execution_settings.retries + 1
            slurm.check_requests(submitted, workflow.executor_settings, attempts)
        except InputError as error:
            logger.warning(f"A job's last attempt would be in vain. {error}")
