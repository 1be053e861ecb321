"""What an edit reruns: exactly what its logic reaches, and what follows from that."""

import os
import re
import shutil
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from projects import REPOSITORY, figures, smoke_layout
from wedgescape.provenance import fingerprints
from wedgescape.provenance.determinants import Determinants
from wedgescape.provenance.fingerprints import Fingerprints
from wedgescape.study.catalogue import NETWORKS, catalogue
from wedgescape.study.layout import needs_networks
from wedgescape.study.places import measurement_of

BASE = smoke_layout().study.base
PLANES = smoke_layout().store("planes", BASE)
IN_SWEEPS = ("AlongSweeps", "AtAllSettings")
VERDICTS = {"judge_claims", "plot_claims", "plot_specifications", "summarise"}
ALL_FIGURES = {f"plot_{name}" for name in figures()}


@cache
def readers() -> dict[str, set[str]]:
    """Rule -> the rules that read its results, by what the functions of measurements, figures and claims take."""
    found = defaultdict(set, {"prepare_data": {"check_models", "train"}})
    for file in catalogue().measurements.values():
        rule = f"measure_{file.name}"
        if needs_networks(file):
            found["prepare_data"].add(rule)
        if file.kinds("measure") & set(NETWORKS):
            found["train"].add(rule)
        for name in file.measurements_read("measure"):
            found[f"measure_{name}"].add(rule)
    for file in smoke_layout().figures:
        for name in file.measurements_read("tabulate", "draw"):
            found[f"measure_{name}"].add(f"plot_{file.name}")
        if {"Verdicts", "Specifications"} & file.kinds("tabulate", "draw"):
            found["judge_claims"].add(f"plot_{file.name}")
    found["judge_claims"].add("summarise")
    for path in smoke_layout().pictures().values():
        found[f"plot_{Path(path).stem}"].add("summarise")
    for file in catalogue().claiming:
        for name in file.measurements_read("claims"):
            found[f"measure_{name}"].add("judge_claims")
    return found


def and_what_follows(*rules):
    """Rules, and all that read their results, directly or not."""
    found, waiting = set(), [*rules]
    while waiting:
        rule = waiting.pop()
        if rule not in found:
            found.add(rule)
            waiting += readers().get(rule, [])
    return found


def of_section(name):
    """The measurements that a section of the config determines."""
    return [f"measure_{file.name}" for file in catalogue().measurements.values() if name in file.sections("measure")]


def read_along_sweeps():
    """The measurements that figures or claims read at all settings of sweeps, and these figures."""
    measured, drawn = set(), set()
    for file in (*smoke_layout().figures, *smoke_layout().catalogue.claiming):
        functions = ("tabulate", "draw") if "draw" in file.definitions else ("claims",)
        along = {
            f"measure_{measurement_of(name, kind)}"
            for name, kind in file.reads(*functions).items()
            if kind in IN_SWEEPS
        }
        measured |= along
        drawn |= {f"plot_{file.name}"} if along and "draw" in functions else set()
    return measured, drawn


def read_along_matched_sweeps():
    """The measurements that claims read along sweeps of networks trained to one loss too."""
    return {
        f"measure_{measurement_of(name, kind)}"
        for file in smoke_layout().catalogue.claiming
        for name, kind in file.reads("claims").items()
        if kind == "AlongMatchedSweeps"
    }


def test_the_files_say_who_reads_what():
    """What the others of these tests go by; else it could say nothing, and they would pass for nothing."""
    assert readers()["measure_tunnels"] >= {
        *("plot_tunnels", "plot_curvature", "plot_flatness", "plot_phase_diagram"),
        *("measure_fitted_wedges", "judge_claims"),
    }
    assert readers()["measure_planes"] == {"plot_planes", "plot_surroundings"}
    assert readers()["measure_fitted_wedges"] == {"plot_fitted_wedges", "judge_claims"}
    assert readers()["judge_claims"] == VERDICTS - {"judge_claims"}
    assert {"measure_training", "measure_ensembles", "measure_aligned_connectors"} <= readers()["train"]
    assert "measure_wedges" not in and_what_follows("prepare_data")
    assert set(of_section("planes")) == {"measure_planes"}
    assert set(of_section("curves")) >= {"measure_curves", "measure_ensembles"}


# What a function of the library is used for, besides what follows from it.
USE_DESCENT = (
    *("train", "measure_wedges", "plot_wedges", "measure_hyperplanes", "measure_curves", "measure_connectors"),
    *("measure_simplexes", "measure_aligned_connectors", "measure_ensembles"),
)
USE_SPANS = ("measure_wedges", "plot_wedges")  # and what needs networks


def nothing(_project):
    """No edit."""


def taken_back(project):
    """An edit of a function, and its undoing."""
    path = project.source("training/descent.py").path
    before = path.read_text()
    project.edit_function("training/descent.py", "descend")
    assert path.read_text() != before
    path.write_text(before)


def two_stages(project):
    """An edit of what builds networks, and one of what builds linear spans."""
    project.edit_function("landscapes/models.py", "build")
    project.edit_function("landscapes/spans.py", "orthonormal")


EDITS = {
    "nothing": (nothing, set()),
    "an edit that is taken back": (taken_back, set()),
    "a comment": (lambda project: project.add_comment("training/descent.py", "descend"), set()),
    "a docstring": (lambda project: project.edit_docstring("measurements/tunnels.py"), set()),
    "a function's docstring": (lambda project: project.edit_docstring("measurements/tunnels.py", "measure"), set()),
    "a function that no rule reaches": (lambda project: project.add_function("measurements/tunnels.py"), set()),
    "how work is counted": (lambda project: project.edit_function("measurements/tunnels.py", "work"), set()),
    "a figure": (lambda project: project.edit_function("figures/tunnels.py", "draw"), and_what_follows("plot_tunnels")),
    "the table behind a figure": (
        lambda project: project.edit_function("figures/tunnels.py", "tabulate"),
        and_what_follows("plot_tunnels"),
    ),
    "what is claimed": (
        lambda project: project.edit_function("measurements/tunnels.py", "claims"),
        VERDICTS,
    ),
    "what a store says of itself": (
        lambda project: project.edit_constant("measurements/tunnels.py", "VARIABLES"),
        and_what_follows("measure_tunnels"),
    ),
    "how figures are saved": (
        lambda project: project.edit_constant("figures/style.py", "PDF_DPI"),
        and_what_follows(*ALL_FIGURES),
    ),
    "how descents move": (
        lambda project: project.edit_function("training/descent.py", "descend"),
        and_what_follows(*USE_DESCENT),
    ),
    # A rule that reruns hides nothing behind it: every stage that an edit reaches is planned at once.
    "two stages at once": (two_stages, and_what_follows("train", "check_models", *USE_SPANS)),
    "a plotting key": (lambda project: project.configure(figures={"dpi": 73}), and_what_follows(*ALL_FIGURES)),
    "a measurement's key": (
        lambda project: project.configure(curves={"steps": 21}),
        and_what_follows(*of_section("curves")),
    ),
    "a claim's threshold": (
        lambda project: project.edit_rule("linear_barrier", threshold=0.4),
        VERDICTS,
    ),
    "where source files are found": (
        lambda project: project.configure(data={"folder": "elsewhere", "download": False}),
        set(),
    ),
    # Networks are tried on it before they are trained; results do not depend on it.
    "which device computes": (lambda project: project.configure(device="cpu"), {"check_models"}),
}
QUICK = ("a comment", "a figure", "how descents move", "a measurement's key")
slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("edit", "rerun"),
    [pytest.param(*case, id=name, marks=() if name in QUICK else slow) for name, case in EDITS.items()],
)
def test_an_edit_reruns_exactly(finished, edit, rerun):
    edit(finished)
    assert finished.pending() == rerun


def codes(folder):
    """Rule of a measurement -> the fingerprint of its code, in a copy of the project."""
    determinants = Determinants(smoke_layout(), Fingerprints(None), lambda script: folder / "scripts" / script)
    files = {name: folder / file.path.relative_to(REPOSITORY) for name, file in catalogue().measurements.items()}
    return {
        f"measure_{name}": determinants.measurement(replace(catalogue().measurements[name], path=path))["code"]
        for name, path in files.items()
    }


@cache
def codes_here():
    """The fingerprints of the repository as it is."""
    return codes(REPOSITORY)


@pytest.mark.parametrize("name", catalogue().measurements)
def test_an_edit_of_a_measurement_changes_its_own_code_alone(project, monkeypatch, name):
    """Of all of them; Snakemake plans what follows for a few below, since a dry run takes seconds."""
    before = codes_here()
    file = catalogue().measurements[name]
    project.edit_function(f"{file.path.parent.name}/{file.path.name}", "measure")
    monkeypatch.setattr(fingerprints, "LIBRARY", project.folder / "scripts/wedgescape")
    after = codes(project.folder)
    assert {rule for rule, code in after.items() if code != before[rule]} == {f"measure_{name}"}


@pytest.mark.parametrize("name", ["planes", "tunnels", "fitted_wedges", "training"])
def test_an_edit_of_a_measurement_reruns_it_and_what_follows(finished, name):
    file = catalogue().measurements[name]
    finished.edit_function(f"{file.path.parent.name}/{file.path.name}", "measure")
    assert finished.pending() == and_what_follows(f"measure_{name}")


def test_a_touch_reruns_nothing(finished):
    for folder in ("scripts", "workflow", "config"):
        for source in (finished.folder / folder).rglob("*.*"):
            os.utime(source)
    assert finished.pending() == set()


@slow
def test_one_more_value_trains_that_setting_alone(finished):
    finished.configure(sweeps={"learning_rate": [0.05, 0.1, 0.2]})
    measured, drawn = read_along_sweeps()
    assert measured >= {"measure_tunnels", "measure_curvature"}
    assert drawn >= {"plot_tunnels", "plot_curvature"}
    once = dict.fromkeys([*measured, *drawn, "train", *VERDICTS], 1)
    matched = dict.fromkeys(["train", *read_along_matched_sweeps()], 2)  # trained again to one training loss
    assert finished.planned() == once | matched
    assert "at lr~0.2_" in finished.smoke("--dry-run").stdout


@slow
def test_more_seeds_train_the_new_ones_alone(finished):
    settings = len(list((finished.folder / "results/smoke/weights").iterdir()))
    finished.configure(seeds=6)
    output = finished.smoke("--dry-run").stdout
    assert re.findall(r"Training seeds (\S+) at", output) == ["4-5"] * settings
    assert finished.pending() == and_what_follows("train")


@slow
def test_two_values_that_change_places_rerun_what_reads_them(finished):
    target = ("--", PLANES)
    finished.configure(planes={"resolution": 7, "profile_points": 9})
    finished.smoke(*target)
    assert finished.pending(*target) == set()
    finished.configure(planes={"resolution": 9, "profile_points": 7})
    assert finished.pending(*target) == {"measure_planes"}


def test_a_result_that_was_changed_is_set_aside_and_made_again_and_what_follows(finished):
    store = finished.folder / PLANES
    content = bytearray(store.read_bytes())
    content[len(content) // 2] ^= 1
    store.write_bytes(content)
    output = finished.smoke("--dry-run").stdout
    assert f"{PLANES} was changed after a job had made it" in output
    assert (finished.folder / f"{PLANES}.changed").read_bytes() == content
    assert finished.pending() == {"measure_planes", "plot_planes", "plot_surroundings"}


@slow
def test_weights_that_were_changed_are_trained_again_and_what_follows(finished):
    (weights,) = (finished.folder / f"results/smoke/weights/{BASE}").iterdir()
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert "was changed after a job had made it" in finished.smoke("--dry-run").stdout
    assert finished.planned()["train"] == 1
    assert finished.pending() == and_what_follows("train")


@slow
def test_a_result_that_is_missing_is_made_again_and_what_follows(finished):
    (finished.folder / PLANES).unlink()
    assert finished.pending() == {"measure_planes", "plot_planes", "plot_surroundings"}


@slow
def test_weights_that_are_missing_are_trained_again(finished):
    (weights,) = (finished.folder / f"results/smoke/weights/{BASE.replace('0.05', '0.1')}").iterdir()
    weights.unlink()
    assert finished.planned()["train"] == 1


@slow
def test_figures_are_drawn_again_without_weights(finished):
    """As from an archive without them: `snakemake plot_<figure>` for each figure, and no other job."""
    shutil.rmtree(finished.folder / "results/smoke/weights")
    assert finished.pending() == set()
    finished.configure(figures={"dpi": 60})  # another look, so that none is up to date
    assert finished.planned("--", *sorted(ALL_FIGURES)) == dict.fromkeys(ALL_FIGURES, 1)
    some = figures()[::5]  # all of them take minutes
    pictures = {figure: finished.folder / f"results/smoke/figures/{figure}.png" for figure in some}
    before = {figure: png.read_bytes() for figure, png in pictures.items()}
    finished.smoke("--", *(f"plot_{figure}" for figure in some))
    assert [figure for figure, png in pictures.items() if png.read_bytes() == before[figure]] == []


@slow
def test_without_weights_what_needs_them_trains_again(finished):
    weights = finished.folder / "results/smoke/weights"
    # What reads the base setting's weights follows, and with it the methods that are compared with it.
    needed = len([*weights.glob(f"{BASE}/*"), *weights.glob(f"{BASE}_method~*/*")])
    assert 1 < needed < len(list(weights.glob("*/*")))
    shutil.rmtree(weights)
    finished.configure(planes={"resolution": 9})
    planned = finished.planned()
    assert planned["train"] == needed
    finished.edit_function("training/descent.py", "descend")
    assert finished.pending() == and_what_follows(*USE_DESCENT)
