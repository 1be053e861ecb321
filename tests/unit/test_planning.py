"""Counts of operations against landscapes that count what they are asked for."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from wedgescape.analysis import ensembles
from wedgescape.cluster import planning
from wedgescape.cluster.planning import Job, Plan
from wedgescape.cluster.timing import Bench
from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.landscapes.operations import (
    Comparison,
    Data,
    Evaluation,
    PlainPython,
    Product,
    Start,
    Step,
    Trace,
    WedgeStep,
    Work,
)
from wedgescape.measurements import (
    aligned_connectors,
    connectors,
    curvature,
    curves,
    hyperplanes,
    planes,
    profiles,
    similarity,
    simplexes,
    taxonomy,
    tunnels,
)
from wedgescape.stores.attributes import training_of
from wedgescape.study.catalogue import catalogue
from wedgescape.study.study import load_study
from wedgescape.training import train
from wedgescape.training.optima import Optima

CONFIG = {
    "study": "counted",
    "dataset": {"file": "patterns.py", "name": "patterns"},
    "seeds": 4,
    "seeds_per_job": 2,
    "sweeps": {"width": [8, 12]},
    "tunnels": {"directions": 2, "angle_error": 4.0},
    "hyperplanes": {"dimensions": [1, 2, 4], "seeds": 3, "epochs": 1, "batch_size": 16, "score_fraction": 0.99},
    "planes": {"resolution": 5, "profile_points": 6},
    "profiles": {"seeds": 3, "random": 1, "hessian_top": 1, "hessian_bottom": 1, "points": 6, "line_points": 7,
                 "length_error": 0.1},
    "curves": {"pairs": 2, "steps": 3, "points": 7, "batch_size": 16},
    "connectors": {"sizes": [2, 3], "sets": 2, "steps": 4, "batch_size": 16},
    "simplexes": {"sizes": [2, 3], "sets": 2, "bounds": [0.3, 1.2], "steps": 2, "points": 3, "batch_size": 16},
    "curvature": {"seeds": 3, "top": 2, "trace_samples": 4, "directions": 2, "gradients": 3},
    "similarity": {"points": 5},
    "taxonomy": {"points": 5, "curves": 2, "steps": 3, "trace_samples": 4},
}  # fmt: skip


class Counted(NetworkLandscape):
    """A network that counts points evaluated, by split, gradients, Hessian-vector products and traces."""

    def evaluate(self, points, split="train"):
        self.seen[split] += len(points)
        return super().evaluate(points, split)

    def evaluate_combinations(self, vectors, shares, split="train"):
        before = self.seen[split]
        found = super().evaluate_combinations(vectors, shares, split)
        self.seen[split] = before + len(shares)
        return found

    def predictions(self, points, split="test"):
        self.seen[split] += len(points)
        return super().predictions(points, split)

    def logits(self, points, split="test"):
        self.seen[split] += len(points)
        return super().logits(points, split)

    def on_examples(self, points, split="test"):
        self.seen[split] += len(points)
        return super().on_examples(points, split)

    def gradients(self, points, batch=None):
        self.seen["gradients"] += len(points)
        return super().gradients(points, batch)

    def hessian_trace(self, point):
        self.seen["traces"] += 1
        return super().hessian_trace(point)

    def hessian_at(self, point):
        products = super().hessian_at(point)

        def counted(vectors):
            self.seen["products"] += len(vectors)
            return products(vectors)

        return counted


@pytest.fixture
def study(weights):
    """The study whose base setting's networks the weights are."""
    return load_study(CONFIG | training_of(weights.attrs), catalogue())


@pytest.fixture
def landscape(mlp):
    mlp.__class__, mlp.seen = Counted, Counter()
    return mlp


@pytest.fixture
def optima(landscape, weights):
    return Optima(landscape, weights)


DATA = Data((1, 4, 4), 3, {"train": 61, "test": 31})


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
        elif isinstance(operation, Trace):
            found["traces"] += count
    return found


def work(study, rule, data=DATA, **wildcards) -> Work:
    return planning.work_of(study, data, Job(rule, {"setting": study.base, **wildcards}, 0, 0, False))


def planned(study, rule, **wildcards) -> Counter:
    return operations_in(work(study, rule, **wildcards))


def settings(study, module):
    return module.Settings(**study.config[module.Settings.section()])


def centres(optima, study):
    """The store of connectors, whose search is not counted."""
    store = connectors.measure(optima, settings(study, connectors))
    optima.landscape.seen.clear()
    return store


@pytest.mark.parametrize("radius", [0.0, 0.05])
def test_a_training_counts_its_steps_and_looks(study, landscape, data, radius):
    study.settings[study.base]["sharpness_radius"] = radius
    train.train(landscape, data, study.training(study.base), [2, 3])
    assert planned(study, "train", seeds="2-3") == landscape.seen
    assert planned(study, "train", seeds="2-2")["gradients"] == landscape.seen["gradients"] / 2


def test_tunnels_count_about_as_many_angles_as_are_looked_at(study, optima):
    store = tunnels.measure(optima, settings(study, tunnels))
    halve = tunnels.halvings(90 / 9 / store.attrs["steps"], study.config["tunnels"]["angle_error"])
    staying = int(store["open_score"].sum() + store["open_loss"].sum())
    seen = optima.landscape.seen["train"] + halve * staying
    assert planned(study, "measure_tunnels").keys() == {"train"}
    assert 2 / 3 < planned(study, "measure_tunnels")["train"] / seen < 3 / 2


def test_hyperplanes_count_all_dimensions_below_the_threshold(study, optima):
    store = hyperplanes.measure(optima, settings(study, hyperplanes))
    assert len(hyperplanes.measured(store)) == 3
    assert planned(study, "measure_hyperplanes") == optima.landscape.seen


def test_hyperplanes_beyond_the_expected_threshold_are_not_counted(study, monkeypatch):
    study.config["hyperplanes"]["dimensions"] = [1, 128, 200]
    monkeypatch.setattr(hyperplanes, "EXPECTED_THRESHOLD", 100)
    few = planned(study, "measure_hyperplanes")
    monkeypatch.setattr(hyperplanes, "EXPECTED_THRESHOLD", 200)
    assert planned(study, "measure_hyperplanes")["gradients"] == few["gradients"] * 3 / 2


def test_planes_count_grids_and_lines(study, optima):
    found = centres(optima, study)
    study.config["training"]["snapshot_epochs"] = 4
    planes.measure(optima, found, settings(study, planes))
    assert planned(study, "measure_planes") == optima.landscape.seen


def test_profiles_count_all_rays_that_end(study, optima):
    found = centres(optima, study)
    store = profiles.measure(optima, found, settings(study, profiles))
    count, seen = planned(study, "measure_profiles"), optima.landscape.seen
    grid = profiles.relative_lengths(4.0, 6)
    halve = profiles.halvings(float(grid[2] / grid[1]) - 1, 0.1)
    staying = int(store["open_score"].sum() + store["open_loss"].sum())
    assert count["train"] == seen["train"] + halve * staying
    assert (count["test"], count["gradients"]) == (seen["test"], seen["gradients"])
    # At an optimum (`test_eigenpairs`) the lower end is crowded; at these random points it stands apart.
    assert 1 < count["products"] / seen["products"] < 4


def test_curves_count_positions_of_every_step_and_profiles(study, optima):
    curves.measure(optima, settings(study, curves))
    assert planned(study, "measure_curves") == optima.landscape.seen


def test_connectors_count_all_sizes_and_neighbours(study, optima):
    connectors.measure(optima, settings(study, connectors))
    assert planned(study, "measure_connectors") == optima.landscape.seen


def test_aligned_connectors_count_all_sizes(study, optima):
    search = settings(study, connectors)
    aligned_connectors.measure(optima, connectors=search)
    assert planned(study, "measure_aligned_connectors") == optima.landscape.seen


def test_simplexes_count_bounds_nulls_and_hubs(study, optima, monkeypatch):
    monkeypatch.setattr(Optima, "chance_loss", property(lambda _optima: 1.1), raising=False)
    simplexes.measure(optima, settings(study, simplexes))
    assert planned(study, "measure_simplexes") == optima.landscape.seen


def test_simplexes_that_do_not_fit_together_are_counted_alike(study, monkeypatch):
    together = planned(study, "measure_simplexes")
    monkeypatch.setattr(simplexes, "BYTES", 1)
    assert planned(study, "measure_simplexes") == together


def test_similarity_counts_predictions_and_lines(study, optima):
    similarity.measure(optima, settings(study, similarity))
    count, seen = planned(study, "measure_similarity"), optima.landscape.seen
    assert {name: pytest.approx(seen[name], rel=0.1) for name in count} == count  # the ends are looked at twice


def test_taxonomy_counts_lines_curves_and_products(study, optima):
    taxonomy.measure(optima, settings(study, taxonomy), settings(study, curves))
    assert planned(study, "measure_taxonomy") == optima.landscape.seen


def test_curvature_counts_products_about_and_the_rest_exactly(study, optima):
    curvature.measure(optima, settings(study, curvature))
    count, seen = planned(study, "measure_curvature"), optima.landscape.seen
    assert 0.5 < count.pop("products") / seen.pop("products") < 2
    assert count == seen


@pytest.mark.parametrize("name", catalogue().measurements)
def test_a_measurement_asks_for_the_memory_and_minutes_that_its_file_says(name):
    file = catalogue().measurements[name]
    module = importlib.import_module(file.module)
    for constant in ("MEMORY", "MINUTES"):
        assert file.constant(constant) == getattr(module, constant, None)


@pytest.mark.parametrize("name", catalogue().measurements)
def test_every_measurement_has_a_count(study, name):
    assert work(study, f"measure_{name}")[Start()] >= 1


def test_other_rules_take_a_start_and_figures_a_little_more(study):
    assert work(study, "prepare_data") == work(study, "archive") == Work({Start(): 1})
    drawn = Work({Start(): 1, PlainPython(): planning.FIGURE})
    assert work(study, "plot_tunnels") == work(study, "judge_claims") == drawn


def test_ensembles_count_more_with_more_members(study):
    study.config["base_seeds"] = 60  # enough for as many groups
    few = sum(work(study, "measure_ensembles").values())
    study.config["ensembles"]["members"] = 5
    assert sum(work(study, "measure_ensembles").values()) > few
    assert ensembles.PLACES > 0


def test_a_network_that_cannot_be_aligned_has_no_work_to_be():
    model = {"name": "resnet20", "width": 2}
    by_norm = {}
    for norm in ("batch", "group"):
        config = {"study": "residual", "dataset": "cifar10", "model": model | {"norm": norm}, "seeds": 3}
        study = load_study(config, catalogue())
        by_norm[norm] = work(study, "measure_alignment", planning.data_of(study))
    assert by_norm["group"] == Work({Start(): 1})
    assert len(by_norm["batch"]) > 1


def test_shapes_of_published_data_are_capped_by_the_config():
    study = load_study({"study": "a", "dataset": "mnist", "data": {"train_examples": 500}, "seeds": 3}, catalogue())
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


def model_of(study):
    return json.dumps(study.training(study.base)["model"], sort_keys=True)


def test_a_larger_operation_takes_longer(study):
    """Examples are counted by the hundred: fewer are timed than there are, and the rest is their multiple."""
    few, model = Bench(DATA, torch.device("cpu")), model_of(study)
    many = Bench(Data((1, 4, 4), 3, {"train": 61_000, "test": 31}), torch.device("cpu"))
    for operation in (Evaluation(model, "train"), Product(model), Step(model, 2, None)):
        assert 0 < 5 * few.seconds(operation) < many.seconds(operation)
    assert few.seconds(Step(model, 1, 16)) < few.seconds(Step(model, 640, 61))
    for operation in (Comparison(model), WedgeStep(10, 1, wedges=2), WedgeStep(10, 4, cut=2)):
        assert 0 < few.seconds(operation) < 1


def test_floating_point_operations_of_a_network_are_twice_its_multiplications():
    study = load_study({"study": "a", "dataset": "digits", "model": {"width": 16, "depth": 1}, "seeds": 3}, catalogue())
    model, bench = model_of(study), Bench(planning.data_of(study), torch.device("cpu"), 1e9)
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


def test_a_job_longer_than_its_runtime_is_told_with_its_setting():
    jobs = [Job("measure_curvature", {"setting": f"lr~{n}"}, 3000, 2, True) for n in range(2)]
    texts = list(planning.warnings_of(a_plan(jobs, [119, 150])))
    assert len(texts) == 1
    assert "measure_curvature lr~1" in texts[0]
    assert "2.5 minutes" in texts[0]


@pytest.mark.parametrize(("chunks", "advice"), [(3, "raise seeds_per_job"), (1, "hold all seeds")])
def test_short_trainings_are_told(chunks, advice):
    jobs = [Job("train", {"setting": "lr~1", "seeds": f"{n}-{n}"}, 3000, 120, True) for n in range(3)]
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
    study = load_study({**config, "seeds": 3}, catalogue())
    assert planning.data_of(study) == Data((3, 5, 4), 2, {"train": 30, "test": 12})
