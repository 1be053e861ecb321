"""What each rule's job does, counted before it runs: the operations of a landscape.

A job's work is a number of steps of a descent, of losses at points, of Hessian-vector products. `COUNTS` holds the
count of every rule. Some counts depend on what is found. They are counted as `EXPECTED` says, a crossing as one that
is found.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wedgescape.analysis import ensembles
from wedgescape.errors import InputError
from wedgescape.landscapes import operations
from wedgescape.landscapes.base import SPLITS
from wedgescape.landscapes.operations import (
    Comparison,
    Data,
    Evaluation,
    MultiplyAdd,
    Product,
    Projection,
    Scoring,
    Start,
    Step,
    WedgeStep,
    Work,
)
from wedgescape.landscapes.spans import HELD_BYTES
from wedgescape.measurements import hyperplanes, tunnels
from wedgescape.measurements import wedges as simulation
from wedgescape.numerics import eigenpairs as curvature
from wedgescape.numerics.crossings import halvings
from wedgescape.study.study import Study, seeds_in
from wedgescape.training.descent import Recipe
from wedgescape.training.train import recipe_of

# What counts depend on and nobody knows before: as found on digits and on Fashion-MNIST.
EXPECTED = {
    "hyperplane": 512,  # dimensions at which every seed has reached its fraction of the accuracy
}
FIGURE = 0.6  # starts of a job that a figure takes beside its own: measured on the figures of the smoke study


@dataclass(frozen=True)
class Case:
    """A study and the shape of its data: what jobs are counted from."""

    study: Study
    data: Data

    @property
    def seeds(self) -> int:
        """How many networks there are at a point."""
        return self.study.config["seeds"]

    def model(self, point: str) -> str:
        """Return the network of a point, as operations name it."""
        return json.dumps(self.study.training(point)["model"], sort_keys=True)

    def parameters(self, model: str) -> int:
        """Return P of a network."""
        return operations.parameters(model, self.data.shape, self.data.classes)


def training(case: Case, wildcards: dict) -> Work:
    """Count a training: a chunk of seeds at a point."""
    model, settings = case.model(wildcards["point"]), case.study.training(wildcards["point"])["training"]
    count, recipe = len(seeds_in(wildcards["seeds"])), recipe_of(settings, case.data.examples["train"])
    step = Step(
        model, count, recipe.batch_size, recipe.optimizer, recipe.dropout > 0, recipe.sharpness_radius > 0
    )  # fmt: skip
    looks = settings["epochs"] + 1 + bool(settings["average_epochs"])
    steps = settings["epochs"] * recipe.steps_per_epoch(case.data.examples["train"])
    return Work({step: steps}) + evaluations(model, looks * count)


def evaluations(model: str, points: float, splits: Sequence[str] = SPLITS) -> Work:
    """Count losses at points, on each of some splits."""
    return Work({Evaluation(model, split): points for split in splits})


def tunnel_widths(case: Case, wildcards: dict) -> Work:
    """Count both widths of all rays at a point."""
    settings = case.study.config["tunnels"]
    rays, grid = case.seeds * settings["directions"], tunnels.coarse_angles()
    halve = halvings(float(grid[1]), math.radians(settings["angle_error"]))
    return evaluations(case.model(wildcards["point"]), rays * (len(grid) + 2 * halve) + 2 * case.seeds, ["train"])


def hyperplane_descents(case: Case, wildcards: dict) -> Work:
    """Count descents in hyperplanes up to the expected threshold."""
    settings, model = case.study.config["hyperplanes"], case.model(wildcards["point"])
    dim, count = case.parameters(model), min(settings["seeds"], case.seeds)
    tried = hyperplanes.capped(settings["dimensions"], dim)
    enough = [d for d in tried if d >= EXPECTED["hyperplane"]][:1]
    recipe = Recipe(batch_size=settings["batch_size"])
    steps = settings["epochs"] * recipe.steps_per_epoch(case.data.examples["train"])
    work = evaluations(model, count)
    for d in [d for d in tried if d < EXPECTED["hyperplane"]] + enough:
        # A step lifts and projects; rows are drawn once where they can be held, which takes five products.
        passes = 2 * steps + 5 if d * dim <= HELD_BYTES else 10 * steps
        work += Work({Step(model, count, settings["batch_size"]): steps, Projection(model): count * d * dim * passes})
        work += evaluations(model, count)
    return work


def eigenpairs(dim: int, top: int, bottom: int) -> tuple[int, int]:
    """Return how many products both ends of a Hessian's spectrum take, and how long their basis is."""
    if dim <= max(curvature.KRYLOV, 2 * (top + bottom)):
        return dim, 0
    if bottom:
        return round(1.25 * curvature.KRYLOV) + top + bottom, curvature.KRYLOV
    return max(curvature.LEAST_KRYLOV, 4 * top) + top, max(2 * top + 1, curvature.LEAST_KRYLOV)


def _hessian(case: Case, model: str, top: int, bottom: int) -> Work:
    """Both ends of the spectrum at one point; ARPACK makes each vector orthogonal to a basis, half full on average."""
    dim = case.parameters(model)
    products, basis = eigenpairs(dim, min(top, dim), bottom)
    return Work({Product(model): products + 1, MultiplyAdd(): products * basis * dim * 2})


def _times(count: float, work: Work) -> Work:
    return Work({operation: count * number for operation, number in work.items()})


def trained_curves(case: Case, _wildcards: dict) -> Work:
    """Count the training of curves between pairs and their profiles, straight lines among them."""
    settings, model = case.study.config["curves"], case.model(case.study.base)
    pairs = min(settings["pairs"], math.comb(case.seeds, 2))
    step = Step(model, pairs * settings["samples"], settings["batch_size"])
    kinds = len(settings["kinds"])
    return Work({step: kinds * settings["steps"]}) + evaluations(model, (1 + kinds) * pairs * settings["points"])


def likeness(case: Case, wildcards: dict) -> Work:
    """Count predictions, comparisons of all pairs, and lines from each optimum to the next."""
    model = case.model(wildcards["point"])
    work = evaluations(model, case.seeds * (1 + case.study.config["similarity"]["points"]))
    return work + Work({Comparison(model): math.comb(case.seeds, 2), Evaluation(model, "test"): case.seeds})


def optima_curvature(case: Case, wildcards: dict) -> Work:
    """Count the top of the spectrum, probes, gradients and turned points at each optimum."""
    settings, model = case.study.config["curvature"], case.model(wildcards["point"])
    batch = case.study.training(wildcards["point"])["training"]["batch_size"]
    one = _hessian(case, model, settings["top"], 0) + Work({Product(model): settings["trace_samples"] + 3})
    one += evaluations(model, 2 * settings["directions"] + 2, ["train"]) + evaluations(model, 1, ["test"])
    one += Work({Step(model, 1, None): 1, Step(model, settings["gradients"], batch): 1})
    return _times(min(settings["seeds"], case.seeds), one)


def whole_spectra(case: Case, _wildcards: dict) -> Work:
    """Count the spectra at optima, and random points at all distances."""
    settings, model = case.study.config["spectrum"], case.model(case.study.base)
    dim, steps = case.parameters(model), settings["steps"]
    basis = min(settings["top"], dim) + steps / 2  # on average
    one = _hessian(case, model, settings["top"], 0) + Work(
        {Product(model): settings["samples"] * steps, MultiplyAdd(): settings["samples"] * steps * basis * dim * 2}
    )
    points = len(settings["radii"]) * settings["points"]
    around = evaluations(model, points) + Work({Product(model): points * (settings["probes"] + 1)})
    return _times(min(settings["seeds"], case.seeds), one) + around


def method_ensembles(case: Case, _wildcards: dict) -> Work:
    """Count all methods' predictions, scores, likeness and averages, and networks along paths."""
    config, model = case.study.config, case.model(case.study.base)
    settings, members = config["ensembles"], config["ensembles"]["members"]
    groups = min(settings["seeds"], case.seeds)
    epochs = config["training"]["epochs"] * (2 if config["training"]["sharpness_radius"] else 1)
    single, several = 3, 5  # longer, sam, swa; snapshots, fge, tunnel, connector, independent
    averaged = several + 1  # and the iterates of swa
    networks = single + several * members
    scores = single + several * sum(len(ensembles.draw_subsets(members, size)) for size in range(1, members + 1))
    snapshots = 0
    if config["training"]["snapshot_epochs"]:
        snapshots = len(range(0, config["training"]["epochs"], config["training"]["snapshot_epochs"])) + 1
    places = 2 * ensembles.PLACES + snapshots
    lines = members + 1 + (members - 1) * config["similarity"]["points"]
    grid = tunnels.coarse_angles()
    ray = len(grid) - 1 + halvings(float(grid[1]), math.radians(config["tunnels"]["angle_error"]))

    curves, examples = config["curves"], case.data.examples["train"]
    cost = curves["samples"] * (curves["batch_size"] or examples) / examples
    steps = min(curves["steps"], int((members - 2) * epochs / cost))
    one = evaluations(model, averaged * lines) + evaluations(model, members * ray + 1, ["train"])
    one += evaluations(model, networks + members + 2 * places, ["test"])
    one += Work({Scoring(): scores, Comparison(model): averaged * math.comb(members, 2) + places})
    # What scores need is imported there alone, and takes as long as a start (`calibration.score`).
    work = _times(groups, one) + Work({Comparison(model): math.comb(networks, 2), Start(): 1})
    return work + Work({Step(model, groups * curves["samples"], curves["batch_size"]): steps})


def toy_wedges(case: Case, _wildcards: dict) -> Work:
    """Count the descents of the toy model, in cuts and to connectors' centres."""
    settings, work = case.study.config["wedges"], Work()
    dimension, sizes = settings["dimension"], min(settings["connected"], settings["dimension"] // 2)
    for short in settings["short"]:
        for ratio in simulation.CUT_RATIOS:
            work[WedgeStep(dimension, settings["trials"], cut=max(1, round(ratio * short)))] += simulation.STEPS
        for size in simulation.meeting_sizes(sizes):
            work[WedgeStep(dimension, 1, wedges=size)] += simulation.CONNECTOR_TRIALS * simulation.STEPS
    return work


def nothing(_case: Case, _wildcards: dict) -> Work:
    """A job that has done all it does about when it has started."""
    return Work()


def drawing(_case: Case, _wildcards: dict) -> Work:
    """Tables, intervals and a figure."""
    return Work({Start(): FIGURE})


# Of every rule, what its job counts beside its start. Those that draw are `plot_…`, all alike.
COUNTS: dict[str, Callable[[Case, dict], Work]] = {
    "prepare_data": nothing,
    "check_models": nothing,
    "train": training,
    "simulate_wedges": toy_wedges,
    "measure_training": nothing,
    "measure_tunnels": tunnel_widths,
    "measure_hyperplanes": hyperplane_descents,
    "measure_curves": trained_curves,
    "measure_similarity": likeness,
    "measure_curvature": optima_curvature,
    "measure_spectrum": whole_spectra,
    "measure_ensembles": method_ensembles,
    "fit_wedges": drawing,
    "judge_claims": drawing,
    "plot": drawing,
    "archive": nothing,
}


def work_of(case: Case, rule: str, wildcards: dict) -> Work:
    """Return what a job does, its start among it.

    Raises:
        InputError: if the rule has no count.
    """
    key = "plot" if rule.startswith("plot_") else rule
    if key not in COUNTS:
        raise InputError(f"rule {rule}: it has no count in wedgescape.cluster.workloads.COUNTS; give it one")
    return Work({Start(): 1}) + COUNTS[key](case, wildcards)
