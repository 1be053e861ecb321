"""The benchmark: at tiny sizes, the project and the peers that need no further package do equal work."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import angular_width, curves, eigenpairs, grids, report, spectral_density, trace, training
from benchmarks.clock import Peak, Timed, Timing, measure, measure_peak
from benchmarks.frame import OURS, Agreement, Contestant, Floor, Work
from benchmarks.problems import on_digits, on_images
from wedgescape.landscapes import models

PACKAGES = ("loss-landscapes", "nngeom", "loss-landscape-3d", "hessian-eigenthings", "curvlinops")
MLP = training.Size(seeds=3, width=8, examples=200, batch=64, epochs=2)
CNN = training.Size(seeds=2, width=4, examples=64, batch=32, epochs=1)
MLP_GRID = grids.Size(width=16, examples=100, peers=3, ours=5, batches=(50,))
CNN_GRID = grids.Size(width=4, examples=40, peers=2, ours=3, batches=(20,), epochs=0)
PAIRS = eigenpairs.Size(count=3, tolerances=(1e-2,), digits=(8, 200), images=(4, 100), cnn=(2, 20), epochs=3)
WORKS = [
    *training.mlps(MLP),
    *training.cnns(CNN),
    *grids.mlps(MLP_GRID),
    *grids.cnns(CNN_GRID),
    *eigenpairs.works(PAIRS),
    *trace.works(trace.Size(width=8, examples=200, error=0.1, samples=50)),
    *spectral_density.works(spectral_density.Size(width=8, examples=200, probes=40, steps=15)),
    *angular_width.works(angular_width.Size(width=16, examples=300, optima=2, rays=3, error=1.0)),
    *curves.works(curves.Size(width=8, examples=200, pairs=2, steps=20, batch=64)),
]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_contestants_do_equal_work(work):
    outcomes = {}
    for contestant in work.contestants:
        if not contestant.name.startswith(PACKAGES):
            outcomes[contestant.name] = contestant.prepare()()
    assert len(outcomes) > 1
    assert next(iter(outcomes)) == OURS
    agreements = work.check(outcomes)
    assert {name: one.shown for name, one in agreements.items() if not one.holds} == {}
    assert agreements.keys() == outcomes.keys()


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_other_work_is_seen(work):
    """Else the check could not fail."""
    contestant = next(one for one in work.contestants[1:] if not one.name.startswith(PACKAGES))
    right = contestant.prepare()()

    def spoiled(outcome):
        if isinstance(outcome, spectral_density.Moments):
            return dataclasses.replace(outcome, square=4 * outcome.square)
        return tuple(1.5 * part for part in outcome) if isinstance(outcome, tuple) else 1.5 * outcome

    outcomes = {OURS: work.contestants[0].prepare()(), contestant.name: spoiled(right)}
    agreements = work.check(outcomes)
    assert agreements[OURS].holds
    assert not agreements[contestant.name].holds


@pytest.mark.parametrize("trains", ["mlps", "cnns"])
def test_weights_that_were_not_trained_are_seen(trains):
    """After a few steps their losses are nearly the same."""
    size = {"mlps": MLP, "cnns": CNN}[trains]
    for work in getattr(training, trains)(size):
        trained = work.contestants[0].prepare()()
        shape, model = (
            ((1, 8, 8), {"name": "mlp", "depth": 2}) if trains == "mlps" else ((1, 28, 28), {"name": "simple_cnn"})
        )
        starts = [
            models.flat(models.build({**model, "width": size.width}, shape, 10, seed)) for seed in range(size.seeds)
        ]
        assert not work.check({OURS: trained, "none": torch.stack(starts)})["none"].holds


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_lines_to_reach_have_contestants(work):
    assert set(work.reach) <= {contestant.against for contestant in work.contestants}
    assert work.contestants[0].against == ""
    assert len({contestant.name for contestant in work.contestants}) == len(work.contestants)
    assert work.floor.operations > 0


def test_works_have_names_of_their_own():
    assert len({work.name for work in WORKS}) == len(WORKS)


@pytest.mark.parametrize(("model", "shape"), [("mlp", None), ("simple_cnn", None)])
def test_the_plain_network_is_the_project_s(model, shape):
    problem = on_images({"name": model, "width": 4, "depth": 2}, 20)
    point = problem.starts([3])[0]
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(problem.network(point)(problem.images), problem.labels)
    torch.testing.assert_close(problem.landscape.losses(point[None])[0], loss)


def test_operations_are_those_of_the_products():
    problem = on_digits({"name": "mlp", "width": 8, "depth": 2}, 50)
    first, rest = 64 * 8, 8 * 8 + 8 * 10
    assert problem.evaluation(7) == 2 * 50 * 7 * (first + rest)
    assert problem.evaluation(7, firsts=3) == 2 * 50 * (3 * first + 7 * rest)
    assert problem.gradient(20) == 2 * 20 * (2 * first + 3 * rest)
    assert problem.product() == 2 * 50 * (2 * first + 6 * rest)
    convolutions = on_images({"name": "simple_cnn", "width": 4}, 10).evaluation(1)
    assert convolutions == 2 * 10 * (28**2 * 4 * 9 + 14**2 * 8 * 36 + 7**2 * 8 * 72 + 80)


# Clock


def counting(calls, name, share=1.0):
    def prepare():
        return lambda: calls.append((name, torch.get_num_threads()))

    return Contestant(name, prepare, "" if name == OURS else "peers", share)


def missing():
    raise ImportError("No module named 'gone'")


def agree(outcomes):
    return {name: Agreement(True, "") for name in outcomes}


def test_contestants_take_turns_and_keep_their_best_number_of_threads():
    calls = []
    work = Work("w", "title", [counting(calls, OURS, 0.5), counting(calls, "peer")], agree, Floor(1, 1))
    timed = measure(work, 3, (1, 2), lambda text: None)
    ours, peer = [(OURS, 1), (OURS, 2)], [("peer", 1), ("peer", 2)]
    assert calls[:8] == [*ours, *peer, *ours, *peer]
    assert [name for name, _ in calls[8:]] == [OURS, "peer"] * 2
    for name in (OURS, "peer"):
        timings = [timing for timing in timed.timings if timing.contestant == name]
        assert [timing.repetition for timing in timings] == [1, 2, 3]
        assert {timing.threads for timing in timings} == {threads for one, threads in calls[8:] if one == name}
    assert timed.absent == {}


def test_a_peer_that_cannot_be_imported_is_named():
    told = []
    work = Work("w", "title", [counting([], OURS), Contestant("gone", missing, "peers")], agree, Floor(1, 1))
    timed = measure(work, 1, (1,), told.append)
    assert timed.absent == {"gone": "cannot be imported: No module named 'gone'"}
    assert any("NOT MEASURED: gone" in line for line in told)
    rows = report.rows_of(timed, {1: Peak(1e9, 1e9)})
    assert rows[rows["contestant"] == "gone"]["shown"].item() == "cannot be imported: No module named 'gone'"
    assert "gone did not do equal work (cannot be imported" in report.table_of(rows)


def test_the_peak_is_measured_with_a_number_of_threads():
    before = torch.get_num_threads()
    peak = measure_peak(1, size=64, copied=2**16)
    assert peak.operations > 1e6
    assert peak.bytes > 1e6
    assert torch.get_num_threads() == before


# Report


@pytest.fixture
def rows():
    """Two peers, one of which did other work; the project takes 1, 2 and 3 seconds, the peer four times as long."""
    contestants = [
        Contestant(name, missing, against) for name, against in ((OURS, ""), ("slow", "kind"), ("bad", "kind"))
    ]
    work = Work("work", "a work", contestants, agree, Floor(1e9, 1.0), {"kind": 3.0})
    times = {OURS: 1.0, "slow": 4.0, "bad": 0.1}
    timings = [Timing(name, 1, turn, one * turn, one * turn) for turn in (1, 2, 3) for name, one in times.items()]
    agreements = {OURS: Agreement(True, "x"), "slow": Agreement(True, "x"), "bad": Agreement(False, "0.5 apart")}
    return report.rows_of(Timed(work, timings, agreements, {}), {1: Peak(1e9, 1e9), 2: Peak(2e9, 1e9)})


def test_ratios_are_medians_over_rounds_and_floors_those_of_the_fastest_machine(rows):
    found = report.summary(rows).set_index("contestant")
    assert found.loc["slow", "ratio"] == pytest.approx(4.0)
    assert found.loc["slow", "seconds"] == pytest.approx(8.0)
    assert found.loc[OURS, "floor"] == pytest.approx(0.5)
    assert found.loc[OURS, "own_floor"] == pytest.approx(0.25)


def test_the_table_ranks_only_equal_work_and_names_the_rest(rows):
    table = report.table_of(rows)
    assert "| a work | kind: slow | 8 | 2 | 0.5 | 4.00 (4.00 … 4.00) | 3 |" in table
    assert "bad did not do equal work (0.5 apart)" in table
    assert table.startswith("Machine: ")


def test_rows_survive_the_file_and_the_figure_draws_them(rows, tmp_path):
    report.write(rows, tmp_path / "one.csv")
    found = report.read(tmp_path, ["none", "one"])
    pd.testing.assert_frame_equal(report.summary(found), report.summary(rows), check_dtype=False)
    axes = report.figure_of(found).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["work   slow"]
    assert axes.get_xscale() == "log"
    assert np.isfinite(axes.get_xlim()).all()
    assert not math.isclose(*axes.get_ylim())
