"""What an edit reruns: exactly what its logic reaches, and what follows from that."""

import os
import re
import shutil

import pytest

from projects import FIGURES

# Rule -> the rules that read its results.
READERS = {
    "prepare_data": ["check_models", "train"],
    "train": [
        *("measure_training", "measure_tunnels", "measure_curvature", "measure_similarity", "measure_hyperplanes"),
        *("measure_planes", "measure_profiles", "measure_curves", "measure_connectors", "measure_subspaces"),
        *("measure_alignment", "measure_aligned_connectors", "measure_spectrum", "measure_ensembles"),
    ],
    "simulate_wedges": ["plot_predictions", "judge_claims"],
    "measure_training": ["plot_training", "fit_wedges"],
    "measure_tunnels": [
        *("plot_tunnels", "plot_curvature", "plot_flatness", "plot_phase_diagram", "fit_wedges", "judge_claims")
    ],
    "measure_curvature": ["plot_curvature", "plot_flatness", "plot_phase_diagram", "judge_claims"],
    "measure_similarity": ["plot_phase_diagram", "judge_claims"],
    "measure_hyperplanes": ["plot_hyperplanes", "fit_wedges", "judge_claims"],
    "measure_planes": ["plot_planes", "plot_surroundings"],
    "measure_profiles": ["plot_profiles", "fit_wedges", "judge_claims"],
    "measure_curves": ["plot_curves", "judge_claims"],
    "measure_connectors": ["plot_connectors", "plot_alignment", "fit_wedges", "judge_claims"],
    "measure_subspaces": ["plot_subspaces", "judge_claims"],
    "measure_alignment": ["plot_alignment", "judge_claims"],
    "measure_aligned_connectors": ["plot_alignment", "judge_claims"],
    "measure_spectrum": ["plot_spectrum", "fit_wedges", "judge_claims"],
    "measure_ensembles": ["plot_ensembles", "plot_similarity", "plot_averages", "judge_claims"],
    "fit_wedges": ["plot_fitted_wedges", "judge_claims"],
    "judge_claims": ["plot_claims"],
}
ALL_FIGURES = {f"plot_{name}" for name in FIGURES}
ONE_STORE = "results/smoke/planes/optima.zarr.zip"
BASE = "lr~0.05_wd~0_width~16_dropout~0_batch~64"


def and_what_follows(*rules):
    """Rules, and all that read their results, directly or not."""
    found, waiting = set(), [*rules]
    while waiting:
        rule = waiting.pop()
        found.add(rule)
        waiting += READERS.get(rule, [])
    return found


LIBRARY, CONFIG = "scripts/wedgescape", "config/smoke.yaml"
DESCENT = (f"{LIBRARY}/descent.py", "ADAM_EPSILON = (0.9, 0.999), 1e-8", "ADAM_EPSILON = (0.9, 0.999), 1e-7")
CURVES_STEPS = (CONFIG, "curves: {pairs: 2, steps: 20", "curves: {pairs: 2, steps: 21")
USE_DESCENT = (
    *("train", "simulate_wedges", "plot_wedges", "measure_hyperplanes", "measure_planes", "measure_profiles"),
    *("measure_curves", "measure_connectors", "measure_subspaces", "measure_aligned_connectors", "measure_ensembles"),
)
EDITS = {
    "nothing": ([], set()),
    "an edit that is taken back": ([DESCENT, (DESCENT[0], DESCENT[2], DESCENT[1])], set()),
    "a comment": ([(f"{LIBRARY}/descent.py", "ADAM_DECAYS, ADAM", "# A remark.\nADAM_DECAYS, ADAM")], set()),
    "a docstring": ([(f"{LIBRARY}/tunnels.py", '"""Radial tunnels: ', '"""Tunnels, radial ones: ')], set()),
    "a function that no rule reaches": (
        [(f"{LIBRARY}/tunnels.py", "def measure(", "def unused():\n    return 1\n\n\ndef measure(")],
        set(),
    ),
    "a figure's script": ([("scripts/plot_tunnels.py", "PANEL_HEIGHT = 2.0", "PANEL_HEIGHT = 2.1")], {"plot_tunnels"}),
    "how figures are saved": ([(f"{LIBRARY}/style.py", "PDF_DPI = ", "PDF_DPI = 1 + ")], ALL_FIGURES),
    "how tunnels are measured": (
        [(f"{LIBRARY}/tunnels.py", "normal = (rays * unit(optima)", "normal = (1 * rays * unit(optima)")],
        and_what_follows("measure_tunnels"),
    ),
    "how planes are measured": (
        [(f"{LIBRARY}/planes.py", "(away - coordinates @ axes).norm(", "1 * (away - coordinates @ axes).norm(")],
        and_what_follows("measure_planes"),
    ),
    "how descents move": ([DESCENT], and_what_follows(*USE_DESCENT)),
    # A rule that reruns hides nothing behind it: every stage that an edit reaches is planned at once.
    "two stages at once": (
        [
            (f"{LIBRARY}/subspaces.py", "for _ in range(2):", "for _ in range(3):"),
            (f"{LIBRARY}/models.py", "y = self.norm2(", "y = 1 * self.norm2("),
        ],
        and_what_follows("train", "check_models", "simulate_wedges", "plot_wedges"),
    ),
    "a plotting key": ([(CONFIG, "figures: {dpi: 72}", "figures: {dpi: 73}")], ALL_FIGURES),
    "a measurement's key": ([CURVES_STEPS], and_what_follows("measure_curves", "measure_ensembles")),
    "a claim's threshold": (
        [(CONFIG, "claims: {", "claims: {maximum_loss_ratio: 0.4, ")],
        {"judge_claims", "plot_claims"},
    ),
    "where source files are found": ([(CONFIG, "data: {", "data: {folder: elsewhere, download: false, ")], set()),
    # Networks are tried on it before they are trained; results do not depend on it.
    "which device computes": ([(CONFIG, "study: smoke\n", "study: smoke\ndevice: cpu\n")], {"check_models"}),
}


@pytest.mark.parametrize(("edits", "rerun"), EDITS.values(), ids=EDITS.keys())
def test_an_edit_reruns_exactly(finished, edits, rerun):
    for edit in edits:
        finished.edit(*edit)
    assert finished.pending() == rerun


def test_a_touch_reruns_nothing(finished):
    for folder in ("scripts", "workflow", "config"):
        for source in (finished.folder / folder).rglob("*.*"):
            os.utime(source)
    assert finished.pending() == set()


def test_one_more_value_trains_that_point_alone(finished):
    finished.edit(CONFIG, "  learning_rate: [0.05, 0.1]\n", "  learning_rate: [0.05, 0.1, 0.2]\n")
    measured = {"train": 1, "measure_tunnels": 1, "measure_curvature": 1}
    drawn = ("plot_tunnels", "plot_curvature", "judge_claims", "plot_claims")
    assert finished.planned() == measured | dict.fromkeys(drawn, 1)
    assert "at lr~0.2_" in finished.smoke("--dry-run").stdout


def test_more_seeds_train_the_new_ones_alone(finished):
    points = len(list((finished.folder / "results/smoke/weights").iterdir()))
    finished.edit(CONFIG, "seeds: 4\n", "seeds: 6\n")
    output = finished.smoke("--dry-run").stdout
    assert re.findall(r"Training seeds (\S+) at", output) == ["4-5"] * points
    assert finished.pending() == and_what_follows("train")


def test_two_values_that_change_places_rerun_what_reads_them(finished):
    target = ("--", ONE_STORE)
    finished.edit(CONFIG, "resolution: 7, profile_points: 7", "resolution: 7, profile_points: 9")
    finished.smoke(*target)
    assert finished.pending(*target) == set()
    finished.edit(CONFIG, "resolution: 7, profile_points: 9", "resolution: 9, profile_points: 7")
    assert finished.pending(*target) == {"measure_planes"}


def test_a_result_that_was_changed_is_set_aside_and_made_again_and_what_follows(finished):
    store = finished.folder / ONE_STORE
    content = bytearray(store.read_bytes())
    content[len(content) // 2] ^= 1
    store.write_bytes(content)
    output = finished.smoke("--dry-run").stdout
    assert f"{ONE_STORE} was changed since it was made" in output
    assert (finished.folder / f"{ONE_STORE}.changed").read_bytes() == content
    assert finished.pending() == {"measure_planes", "plot_planes", "plot_surroundings"}


def test_weights_that_were_changed_are_trained_again_and_what_follows(finished):
    (weights,) = (finished.folder / f"results/smoke/weights/{BASE}").iterdir()
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert "was changed since it was made" in finished.smoke("--dry-run").stdout
    assert finished.planned()["train"] == 4  # and the three methods that go on from it
    assert finished.pending() == and_what_follows("train")


def test_a_result_that_is_missing_is_made_again_and_what_follows(finished):
    (finished.folder / ONE_STORE).unlink()
    assert finished.pending() == {"measure_planes", "plot_planes", "plot_surroundings"}


def test_weights_that_are_missing_are_trained_again(finished):
    (weights,) = (finished.folder / f"results/smoke/weights/{BASE.replace('0.05', '0.1')}").iterdir()
    weights.unlink()
    assert finished.planned()["train"] == 1


def test_figures_are_drawn_again_without_weights(finished):
    """As from an archive without them: `snakemake plot_<figure>` for each figure, and no other job."""
    shutil.rmtree(finished.folder / "results/smoke/weights")
    assert finished.pending() == set()
    finished.edit(CONFIG, "figures: {dpi: 72}", "figures: {dpi: 60}")  # another look, so that none is up to date
    pictures = {figure: finished.folder / f"results/smoke/figures/{figure}.png" for figure in FIGURES}
    before = {figure: png.read_bytes() for figure, png in pictures.items()}
    target = ("--", *sorted(ALL_FIGURES))
    assert finished.planned(*target) == dict.fromkeys(ALL_FIGURES, 1)
    finished.smoke(*target)
    assert [figure for figure, png in pictures.items() if png.read_bytes() == before[figure]] == []


def test_without_weights_what_needs_them_trains_again(finished):
    shutil.rmtree(finished.folder / "results/smoke/weights")
    finished.edit(*CURVES_STEPS)
    planned = finished.planned()
    assert planned["train"] == 6  # the base point and the methods
    finished.edit(*DESCENT)
    assert finished.pending() == and_what_follows(*USE_DESCENT)
