"""Counts of operations against landscapes that count what they are asked for."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import torch

from wedgescape.cluster import planning, workloads
from wedgescape.cluster.planning import Job, Plan
from wedgescape.cluster.workloads import Case
from wedgescape.errors import InputError
from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.landscapes.operations import Bench, Comparison, Data, Evaluation, Product, Start, Step, WedgeStep, Work
from wedgescape.measurements import connectors, curves, hyperplanes, planes, profiles, similarity, tunnels
from wedgescape.measurements import curvature as sharpness
from wedgescape.measurements import subspaces as surfaces
from wedgescape.measurements.connectors import centre_recipe, find_centres
from wedgescape.stores.attributes import training_of
from wedgescape.study.study import load_study
from wedgescape.training import train as training

SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "config.schema.yaml"
CONFIG = {
    "study": "counted",
    "dataset": {"file": "patterns.py", "name": "patterns"},
    "seeds": 4,
    "seeds_per_job": 2,
    "sweeps": {"width": [8, 12]},
    "tunnels": {"directions": 2, "angle_error": 4.0},
    "hyperplanes": {"dimensions": [1, 2, 4], "seeds": 3, "epochs": 1, "batch_size": 16, "accuracy_fraction": 0.99},
    "planes": {"resolution": 5, "profile_points": 6},
    "profiles": {"seeds": 3, "random": 1, "hessian_top": 1, "hessian_bottom": 1, "points": 6, "line_points": 7,
                 "length_error": 0.1},
    "curves": {"pairs": 2, "steps": 3, "points": 7, "batch_size": 16},
    "connectors": {"sizes": [2, 3], "sets": 2, "steps": 4, "batch_size": 16},
    "subspaces": {"sizes": [3, 4], "sets": 2, "steps": 2, "subdivisions": 3, "parts": 2, "spokes": 2, "edges": 2,
                  "refinements": 1, "tolerance": 1e-9, "batch_size": 16},
    "curvature": {"seeds": 3, "top": 2, "trace_samples": 4, "directions": 2, "gradients": 3},
    "similarity": {"points": 5},
}  # fmt: skip


class Counted(NetworkLandscape):
    """A network that counts points evaluated, by split, gradients and Hessian-vector products."""

    def evaluate(self, points, split="train"):
        self.seen[split] += len(points)
        return super().evaluate(points, split)

    def predictions(self, points, split="test"):
        self.seen[split] += len(points)
        return super().predictions(points, split)

    def gradients(self, points, batch=None):
        self.seen["gradients"] += len(points)
        return super().gradients(points, batch)

    def hessian_at(self, point):
        products = super().hessian_at(point)

        def counted(vectors):
            self.seen["products"] += len(vectors)
            return products(vectors)

        return counted


@pytest.fixture
def case(weights):
    """The study whose base point's networks the weights are."""
    trained = training_of(weights.attrs)
    return Case(load_study(CONFIG | trained, SCHEMA), Data((1, 4, 4), 3, {"train": 61, "test": 31}))


@pytest.fixture
def landscape(mlp):
    mlp.__class__, mlp.seen = Counted, Counter()
    return mlp


@pytest.fixture
def optima(weights):
    return torch.from_numpy(weights["theta"].values)


def operations_in(work: Work) -> Counter:
    """Work in the words of `Counted`."""
    found = Counter()
    for operation, count in work.items():
        if isinstance(operation, Evaluation):
            found[operation.split] += count
        elif isinstance(operation, Step):
            found["gradients"] += count * operation.points * (2 if operation.sharpness_aware else 1)
        elif isinstance(operation, Product):
            found["products"] += count
    return found


def planned(case, rule, **wildcards) -> Counter:
    return operations_in(workloads.work_of(case, rule, {"point": case.study.base, **wildcards}))


def settings_of(case, section, *without):
    return {key: value for key, value in case.study.config[section].items() if key not in without}


def by_seed(optima):
    return dict(enumerate(optima))


@pytest.mark.parametrize("radius", [0.0, 0.05])
def test_a_training_counts_its_steps_and_looks(case, landscape, data, radius):
    case.study.config["training"]["sharpness_radius"] = case.study.points[case.study.base]["sharpness_radius"] = radius
    settings = case.study.training(case.study.base)
    training.train(landscape, data, settings, [2, 3])
    assert planned(case, "train", seeds="2-3") == landscape.seen
    assert planned(case, "train", seeds="2-2")["gradients"] == landscape.seen["gradients"] / 2


def test_tunnels_count_all_rays_that_end(case, landscape, optima):
    settings = settings_of(case, "tunnels")
    store = tunnels.measure(landscape, optima, range(4), **settings)
    staying = int(store["open_accuracy"].sum() + store["open_loss"].sum())
    halve = tunnels.halvings(90 / 8, settings["angle_error"])
    assert planned(case, "measure_tunnels") == landscape.seen + Counter(train=halve * staying)
    assert staying < store["open_loss"].size


def test_hyperplanes_count_all_dimensions_below_the_threshold(case, landscape, optima, weights):
    settings = settings_of(case, "hyperplanes", "seeds", "dimensions")
    starts = torch.from_numpy(weights["theta_init"].values)
    store = hyperplanes.measure(landscape, starts[:3], optima[:3], range(3), [1, 2, 4], **settings)
    assert len(hyperplanes.measured(store)) == 3
    assert planned(case, "measure_hyperplanes") == landscape.seen


def test_hyperplanes_beyond_the_expected_threshold_are_not_counted(case):
    case.study.config["hyperplanes"]["dimensions"] = [1, 128, 200]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(workloads.EXPECTED, "hyperplane", 100)
        few = planned(case, "measure_hyperplanes")
        patch.setitem(workloads.EXPECTED, "hyperplane", 200)
        assert planned(case, "measure_hyperplanes")["gradients"] == few["gradients"] * 3 / 2


def test_planes_count_grids_lines_and_the_search_for_a_centre(case, landscape, optima, weights):
    settings, search = case.study.config["planes"], case.study.config["connectors"]
    grid = {"resolution": settings["resolution"], "margin": settings["margin"]}
    through = planes.plane_through(landscape, optima[:3], range(3), **grid, profile_points=settings["profile_points"])
    recipe = centre_recipe(search["learning_rate"], search["batch_size"])
    centre = find_centres(landscape, optima[None, :3], recipe, search["steps"], [0]).points[0]
    planes.with_connector(through, landscape, centre)
    layout = json.loads(weights.attrs["layout"])
    planes.plane_around(landscape, optima[0], layout, 0, settings["resolution"], settings["reach"])
    way = torch.from_numpy(weights["trajectory"].isel(seed=0).values)
    planes.plane_along(landscape, way, weights["step"].values.tolist(), **grid)
    assert planned(case, "measure_planes") == landscape.seen


def test_profiles_count_all_rays_that_end(case, landscape, optima, weights):
    search, optima = case.study.config["connectors"], optima[:3]
    recipe = centre_recipe(search["learning_rate"], search["batch_size"])
    store = profiles.measure(
        landscape, optima, range(3), **settings_of(case, "profiles", "seeds"),
        layout=json.loads(weights.attrs["layout"]),
        starts=torch.from_numpy(weights["theta_init"].values)[:3],
        trajectories=torch.from_numpy(weights["trajectory"].values)[:3],
        centres=profiles.connector_centres(landscape, optima, recipe, search["steps"], range(3)),
    )  # fmt: skip
    count, seen = planned(case, "measure_profiles"), landscape.seen
    grid = profiles.relative_lengths(4.0, 6)
    halve = profiles.halvings(float(grid[2] / grid[1]) - 1, 0.1)
    staying = int(store["open_accuracy"].sum() + store["open_loss"].sum())
    assert count["train"] == seen["train"] + halve * staying
    assert (count["test"], count["gradients"]) == (seen["test"], seen["gradients"])
    assert 0.5 < count["products"] / seen["products"] < 2


def test_curves_count_places_of_every_step_and_profiles(case, landscape, optima):
    curves.measure(landscape, by_seed(optima), **case.study.config["curves"])
    assert planned(case, "measure_curves") == landscape.seen


def test_connectors_count_all_sizes(case, landscape, optima):
    connectors.measure(landscape, by_seed(optima), **case.study.config["connectors"])
    assert planned(case, "measure_connectors") == landscape.seen
    assert planned(case, "measure_aligned_connectors") == landscape.seen


def test_subspaces_count_vertices_of_every_level(case, landscape, optima, monkeypatch):
    monkeypatch.setitem(workloads.EXPECTED, "refined", 1.0)  # such is the tolerance
    search = case.study.config["connectors"]
    recipe = centre_recipe(search["learning_rate"], search["batch_size"])
    surfaces.measure(landscape, by_seed(optima), recipe, search["steps"], **case.study.config["subspaces"])
    assert planned(case, "measure_subspaces") == landscape.seen


def test_similarity_counts_predictions_and_lines(case, landscape, optima):
    similarity.measure(landscape, optima, range(4), [False] * 4, **case.study.config["similarity"])
    count, seen = planned(case, "measure_similarity"), landscape.seen
    assert {name: pytest.approx(seen[name], rel=0.1) for name in count} == count  # the ends are looked at twice


def test_curvature_counts_products_about_and_the_rest_exactly(case, landscape, optima):
    sharpness.measure(
        landscape,
        optima[:3],
        range(3),
        [False] * 3,
        case.study.config["training"]["batch_size"],
        **settings_of(case, "curvature", "seeds"),
    )
    count, seen = planned(case, "measure_curvature"), landscape.seen
    assert 0.5 < count.pop("products") / seen.pop("products") < 2
    assert count == seen


def test_every_rule_has_a_count_and_every_count_a_rule():
    texts = [file.read_text() for file in (SCHEMA.parents[1] / "rules").glob("*.smk")]
    rules = {name for text in texts for name in re.findall(r"^ *rule (\w+):", text, re.MULTILINE)}
    assert {"train", "measure_tunnels", "plot_phase_diagram"} <= rules
    drawn = {rule for rule in rules if rule.startswith("plot_")}
    assert set(workloads.COUNTS) == rules - drawn | {"plot"}


def test_a_rule_without_a_count_is_refused(case):
    with pytest.raises(InputError, match="measure_volumes"):
        workloads.work_of(case, "measure_volumes", {})


def test_a_network_that_is_no_chain_has_no_work_to_be_aligned():
    config = {"study": "residual", "dataset": "cifar10", "model": {"name": "resnet20", "width": 2}, "seeds": 3}
    study = load_study(config, SCHEMA)
    case = Case(study, planning.data_of(study))
    assert workloads.work_of(case, "measure_alignment", {"point": study.base}) == Work({Start(): 1})
    assert len(workloads.work_of(case, "measure_connectors", {"point": study.base})) > 1


def test_shapes_of_published_data_are_capped_by_the_config():
    study = load_study({"study": "a", "dataset": "mnist", "data": {"train_examples": 500}, "seeds": 3}, SCHEMA)
    assert planning.data_of(study) == Data((1, 28, 28), 10, {"train": 500, "test": 10000})


def test_the_shape_of_the_digits_is_theirs():
    from wedgescape.data.datasets import load_dataset

    store = load_dataset("digits")
    shape, classes, train, test = planning.SHAPES["digits"]
    assert tuple(store["images"].shape[1:]) == shape
    assert store.attrs["classes"] == classes
    assert store["split"].values.tolist().count("train") == train
    assert store["split"].values.tolist().count("test") == test


# Times


def test_a_larger_operation_takes_longer(case):
    """Examples are counted by the hundred: fewer are timed than there are, and the rest is their multiple."""
    few, model = Bench(case.data, torch.device("cpu")), case.model(case.study.base)
    many = Bench(Data((1, 4, 4), 3, {"train": 61_000, "test": 31}), torch.device("cpu"))
    for operation in (Evaluation(model, "train"), Product(model), Step(model, 2, None)):
        assert 0 < 5 * few.seconds(operation) < many.seconds(operation)
    assert few.seconds(Step(model, 1, 16)) < few.seconds(Step(model, 640, 61))
    for operation in (Comparison(model), WedgeStep(10, 1, wedges=2), WedgeStep(10, 4, cut=2)):
        assert 0 < few.seconds(operation) < 1


def test_floating_point_operations_of_a_network_are_twice_its_multiplications():
    study = load_study({"study": "a", "dataset": "digits", "model": {"width": 16, "depth": 1}, "seeds": 3}, SCHEMA)
    case = Case(study, planning.data_of(study))
    model, bench = case.model(study.base), Bench(case.data, torch.device("cpu"), 1e9)
    forward = 2 * (64 * 16 + 16 * 10)
    assert bench.seconds(Evaluation(model, "test")) == pytest.approx(360 * forward / 1e9)
    # Backwards twice as many, save that the images have no gradient.
    gradient = 3 * forward - 2 * 64 * 16
    assert bench.seconds(Step(model, 5, 128)) == pytest.approx(5 * 128 * gradient / 1e9)
    assert bench.seconds(Step(model, 5, None)) == pytest.approx(5 * 1437 * gradient / 1e9)
    sharp = Step(model, 5, 128, sharpness_aware=True)
    assert bench.seconds(sharp) == pytest.approx(2 * 5 * 128 * gradient / 1e9)
    assert bench.seconds(Product(model)) > 1437 * gradient / 1e9


# What is printed


def a_plan(jobs, seconds, **changes) -> Plan:
    return Plan(**{"study": "a", "jobs": jobs, "seconds": seconds, "done": 2, "source": "Measured.", "on_gpu": False,
                   "chunks": 1, **changes})  # fmt: skip


def test_a_job_longer_than_its_runtime_is_told_with_its_point():
    jobs = [Job("measure_curvature", {"point": f"lr~{n}"}, 3000, 2, True) for n in range(2)]
    texts = list(planning.warnings_of(a_plan(jobs, [119, 150])))
    assert len(texts) == 1
    assert "measure_curvature lr~1" in texts[0]
    assert "2.5 minutes" in texts[0]


@pytest.mark.parametrize(("chunks", "advice"), [(3, "raise seeds_per_job"), (1, "hold all seeds")])
def test_short_trainings_are_told(chunks, advice):
    jobs = [Job("train", {"point": "lr~1", "seeds": f"{n}-{n}"}, 3000, 120, True) for n in range(3)]
    text = planning.as_text(a_plan(jobs, [20, 59, 61], chunks=chunks), 1)
    assert "2 jobs of under a minute" in text
    assert "train lr~1 0-0" in text
    assert advice in text


def test_totals_add_up():
    jobs = [Job("train", {}, 3000, 120, True), Job("plot_claims", {}, 2000, 10, False)]
    text = planning.as_text(a_plan(jobs, [7200, 3600]), 2)
    assert "3.00 core hours; about 120 minutes with 2 jobs" in text  # the longest job is no shorter on two cores
    text = planning.as_text(a_plan(jobs, [7200, 3600], on_gpu=True), 1)
    assert "2.00 GPU hours" in text
    assert "about 180 minutes" in text


def test_a_finished_study_has_nothing_left():
    assert "nothing is left to do; 2 jobs are done already" in planning.as_text(a_plan([], []), 2)


def test_the_shape_of_the_users_own_data_is_read_from_their_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import numpy as np\n"
        "def stripes():\n"
        "    images = np.zeros((50, 3, 5, 4), np.uint8)\n"
        "    images[:, :, ::2] = 200\n"
        "    labels = np.arange(50) % 2\n"
        "    return images[:30], labels[:30], images[30:], labels[30:]\n"
    )
    config = {"study": "own", "dataset": {"file": "mine.py", "name": "stripes"}, "data": {"test_examples": 12}}
    study = load_study({**config, "seeds": 3}, SCHEMA)
    assert planning.data_of(study) == Data((3, 5, 4), 2, {"train": 30, "test": 12})
