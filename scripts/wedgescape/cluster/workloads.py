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
from wedgescape.landscapes import complexes, models, operations
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
from wedgescape.measurements import alignment, hyperplanes, profiles, tunnels
from wedgescape.measurements import subspaces as surfaces
from wedgescape.measurements import wedges as simulation
from wedgescape.numerics import eigenpairs as curvature
from wedgescape.numerics.crossings import halvings
from wedgescape.study.study import Study, seeds_in
from wedgescape.training.descent import Recipe
from wedgescape.training.train import recipe_of

# What counts depend on and nobody knows before: as found on digits and on Fashion-MNIST.
EXPECTED = {
    "hyperplane": 512,  # dimensions at which every seed has reached its fraction of the accuracy
    "refinements": 1,  # of surfaces, after which the tolerance is met
    "refined": 0.5,  # share of a surface that a refinement concerns
    "passes": 8,  # of matching, until one changes nothing
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


def _centres(case: Case, model: str, sets: int) -> Work:
    """The search for the centres of some connectors together."""
    settings = case.study.config["connectors"]
    return Work({Step(model, sets, settings["batch_size"]): settings["steps"]})


def plane_grids(case: Case, _wildcards: dict) -> Work:
    """Count the grids of all planes and what lies in one of them."""
    settings, model = case.study.config["planes"], case.model(case.study.base)
    grids = 3 if case.study.config["training"]["snapshot_epochs"] else 2
    points = grids * settings["resolution"] ** 2 + 3 * settings["profile_points"] + 1
    return evaluations(model, points) + _centres(case, model, 1)


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


def direction_profiles(case: Case, _wildcards: dict) -> Work:
    """Count profiles along all directions, their lengths, and straight lines."""
    settings, model = case.study.config["profiles"], case.model(case.study.base)
    count = min(settings["seeds"], case.seeds)
    directions = 2 * settings["random"] + settings["hessian_top"] + settings["hessian_bottom"] + 2  # radial, init
    directions += 2 if count > 1 else 0  # another optimum, a connector
    training = case.study.config["training"]
    if training["snapshot_epochs"]:
        snapshots = len(range(0, training["epochs"], training["snapshot_epochs"])) + 1
        directions += 2 * min(settings["components"], (snapshots - 1) // 2)
    grid = profiles.relative_lengths(settings["reach"], settings["points"])
    halve = halvings(float(grid[2] / grid[1]) - 1, settings["length_error"])
    work = evaluations(model, count * directions * (2 * len(grid) - 1))
    work += evaluations(model, count * (3 + 2 * 2 * directions * halve), ["train"])
    work += evaluations(model, count * settings["line_points"] * (2 if count > 1 else 1))
    if count > 1:
        work += _centres(case, model, count)
    if settings["hessian_top"] + settings["hessian_bottom"]:
        one = _hessian(case, model, settings["hessian_top"], settings["hessian_bottom"])
        work += _times(count, one)
    return work


def _times(count: float, work: Work) -> Work:
    return Work({operation: count * number for operation, number in work.items()})


def trained_curves(case: Case, _wildcards: dict) -> Work:
    """Count the training of curves between pairs and their profiles, straight lines among them."""
    settings, model = case.study.config["curves"], case.model(case.study.base)
    pairs = min(settings["pairs"], math.comb(case.seeds, 2))
    step = Step(model, pairs * settings["samples"], settings["batch_size"])
    kinds = len(settings["kinds"])
    return Work({step: kinds * settings["steps"]}) + evaluations(model, (1 + kinds) * pairs * settings["points"])


def connector_centres(case: Case, _wildcards: dict) -> Work:
    """Count the search for connectors' centres of all sizes."""
    settings, model, work = case.study.config["connectors"], case.model(case.study.base), Work()
    for size in settings["sizes"]:
        sets = min(settings["sets"], math.comb(case.seeds, size))
        work += _centres(case, model, sets) + evaluations(model, sets * (size + 2))
    return work


def aligned_connectors(case: Case, wildcards: dict) -> Work:
    """Count the same between aligned optima, and their alignment; nothing where the network is no chain."""
    settings, model = case.study.config["connectors"], case.model(case.study.base)
    matching = _matching(case, model)
    if matching is None:
        return Work()
    matched = sum((size - 1) * min(settings["sets"], math.comb(case.seeds, size)) for size in settings["sizes"])
    return connector_centres(case, wildcards) + _times(matched, matching)


def _matching(case: Case, model: str) -> Work | None:
    """Match one network to another; None where it is no chain."""
    try:
        layers = alignment.hidden_layers(models.build(json.loads(model), case.data.shape, case.data.classes))
    except InputError:
        return None
    a_pass = sum(layer.units * math.prod(axis.shape) for layer in layers for axis in layer.axes)
    return Work({MultiplyAdd(): EXPECTED["passes"] * a_pass})


def aligned_lines(case: Case, wildcards: dict) -> Work:
    """Count the lines between optima before and after their alignment; nothing where the network is no chain."""
    settings, model = case.study.config["alignment"], case.model(wildcards["point"])
    matching = _matching(case, model)
    if matching is None:
        return Work()
    pairs = min(settings["pairs"], math.comb(case.seeds, 2))
    return _times(pairs, matching) + evaluations(model, 2 * pairs * settings["points"])


def connector_surfaces(case: Case, _wildcards: dict) -> Work:
    """Count surfaces as often refined as is expected: their vertices' descent and what lies between them."""
    settings, model, work = case.study.config["subspaces"], case.model(case.study.base), Work()
    levels = min(settings["refinements"], EXPECTED["refinements"])
    for size in settings["sizes"]:
        one, vertices, pieces = _centres(case, model, 1), size, 0
        for level in range(levels + 1):
            parts = {name: settings[name] * 2**level for name in ("subdivisions", "parts")}
            share = EXPECTED["refined"] if level else 1.0
            all_vertices, all_pieces = _complex(size, settings, **parts)
            vertices += round(share * (all_vertices - vertices))
            pieces += round(share * (all_pieces - pieces))
            step = Step(model, max(1, round(share * (all_vertices - size))), settings["batch_size"], "sgd")
            between = pieces * len(surfaces.BETWEEN[3 if size == 3 else 2])
            one += Work({step: settings["steps"]}) + evaluations(model, between, ["train"])
        one += evaluations(model, 2 * (vertices + surfaces.RANDOM_BETWEEN * pieces))
        work += _times(min(settings["sets"], math.comb(case.seeds, size)), one)
    return work


def _complex(size: int, settings: dict, subdivisions: int, parts: int) -> tuple[int, int]:
    """How many vertices and pieces there are."""
    if size == 3:
        begin = complexes.triangle(subdivisions)
    else:
        begin = complexes.skeleton(size, settings["spokes"], settings["edges"], parts)
    return len(begin[0]), len(begin[1])


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
    "measure_planes": plane_grids,
    "measure_profiles": direction_profiles,
    "measure_curves": trained_curves,
    "measure_connectors": connector_centres,
    "measure_subspaces": connector_surfaces,
    "measure_alignment": aligned_lines,
    "measure_aligned_connectors": aligned_connectors,
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
