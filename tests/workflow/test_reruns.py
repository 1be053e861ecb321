"""What an edit reruns: exactly what its logic reaches."""

import os

from projects import FIGURES

MEASURED_FROM_WEIGHTS = {
    *("measure_tunnels", "measure_curvature", "measure_similarity", "measure_spectrum", "measure_ensembles"),
    *("measure_planes", "measure_curves", "measure_connectors", "measure_alignment", "measure_aligned_connectors"),
}


def test_a_touch_a_comment_and_a_docstring_rerun_nothing(finished):
    for source in (finished.folder / "scripts").rglob("*.py"):
        os.utime(source)
    finished.edit(
        "scripts/wedgescape/descent.py", "ADAM_DECAYS, ADAM_EPSILON =", "# A remark.\nADAM_DECAYS, ADAM_EPSILON ="
    )
    finished.edit("scripts/wedgescape/tunnels.py", '"""Radial tunnels: ', '"""Tunnels, radial ones: ')
    assert finished.pending() == set()


def test_the_logic_of_training_reruns_training_and_what_follows(finished):
    finished.edit(
        "scripts/wedgescape/descent.py", "ADAM_EPSILON = (0.9, 0.999), 1e-8", "ADAM_EPSILON = (0.9, 0.999), 1e-7"
    )
    pending = finished.pending()
    assert {"train", "judge_claims", "simulate_wedges"} | MEASURED_FROM_WEIGHTS <= pending
    assert "prepare_data" not in pending


def test_the_logic_of_a_measurement_reruns_it_its_figures_and_the_verdicts(finished):
    finished.edit(
        "scripts/wedgescape/planes.py",
        "(away - coordinates @ axes).norm(dim=1)",
        "0 + (away - coordinates @ axes).norm(dim=1)",
    )
    pending = finished.pending()
    assert "measure_planes" in pending
    assert "plot_planes" in pending
    assert not {"train", "measure_tunnels", "plot_tunnels"} & pending


def test_the_logic_of_the_look_reruns_the_figures_alone(finished):
    style = finished.folder / "scripts/wedgescape/style.py"
    style.write_text(style.read_text() + "\nUNUSED = 1\n")
    pending = finished.pending()
    assert pending == {f"plot_{name}" for name in FIGURES}


def test_one_more_value_trains_that_point_alone(finished):
    finished.edit("config/smoke.yaml", "  learning_rate: [0.05, 0.1]\n", "  learning_rate: [0.05, 0.1, 0.2]\n")
    output = finished.smoke("--dry-run").stdout
    assert output.count("Training seeds") == 1
    assert "lr~0.2" in output
    pending = finished.pending()
    assert "measure_planes" not in pending
    assert {"measure_tunnels", "plot_tunnels", "judge_claims"} <= pending


def test_a_threshold_of_a_claim_reruns_the_verdicts_alone(finished):
    finished.edit("config/smoke.yaml", "claims: {", "claims: {maximum_loss_ratio: 0.4, ")
    pending = finished.pending()
    assert "judge_claims" in pending
    assert all(rule == "judge_claims" or rule.startswith("plot_") for rule in pending)


def test_where_source_files_are_found_reruns_nothing(finished):
    finished.edit("config/smoke.yaml", "data: {", "data: {folder: elsewhere, download: false, ")
    assert finished.pending() == set()


def test_an_edit_that_concerns_several_stages_misses_none(finished):
    """A rule that reruns hides nothing behind it: every stage that the edit reaches is planned at once."""
    finished.edit("scripts/wedgescape/subspaces.py", "for _ in range(2):", "for _ in range(3):")
    assert {"train", "simulate_wedges", "judge_claims"} | MEASURED_FROM_WEIGHTS <= finished.pending()
    finished.edit("scripts/wedgescape/models.py", "y = self.norm2(", "y = 1 * self.norm2(")
    assert {"check_models", "train", "simulate_wedges", "judge_claims"} | MEASURED_FROM_WEIGHTS <= finished.pending()
