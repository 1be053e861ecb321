"""The toy model beside its closed forms, at a small size."""

import numpy as np
import pytest
from scipy import stats

from wedgescape.landscapes import wedges
from wedgescape.measurements import wedges as simulation
from wedgescape.numerics.intervals import Intervals
from wedgescape.stores.attributes import Origin
from wedgescape.stores.zarr_stores import write_store

DIM, SHORT, RADII, TRIALS = 80, [8, 16], [1.0, 3.0], 24


@pytest.fixture(scope="module")
def store():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "STEPS", 250)
        patch.setattr(simulation, "CONNECTOR_TRIALS", 2)
        settings = simulation.Settings(
            dimension=DIM, short=SHORT, wedges=[1, 4], radii=RADII, trials=TRIALS, connected=6
        )
        return simulation.measure(settings)


@pytest.fixture(scope="module")
def table(store):
    return simulation.tidy(store)


def rows(table, quantity, **where):
    chosen = table[table["quantity"] == quantity]
    for key, value in where.items():
        chosen = chosen[chosen[key] == value]
    return chosen


def test_every_case_has_a_row(table):
    assert list(table.columns) == [
        *("quantity", "short", "wedges", "radius", "ratio", "size"),
        *("simulated", "std", "predicted", "relative_error"),
    ]
    counts = table["quantity"].value_counts().to_dict()
    sizes = len(simulation.meeting_sizes(6))
    assert counts == {"random_loss": 2 * 2 * 2, "cut_loss": 2 * 7, "width": 2 * 2, "shared_dim": 2 * sizes}
    keys = {
        "random_loss": ["short", "wedges", "radius"],
        "cut_loss": ["short", "ratio"],
        "width": ["short", "radius"],
        "shared_dim": ["short", "size"],
    }
    for quantity, names in keys.items():
        part = rows(table, quantity)
        assert not part.duplicated(names).any()
        assert part[names].notna().all(axis=None)
        assert part[["simulated", "std", "predicted"]].notna().all(axis=None)


def test_relative_errors_are_those_of_the_columns(table):
    known = table[table["predicted"] > 0]
    np.testing.assert_allclose(known["relative_error"], known["simulated"] / known["predicted"] - 1)
    assert table[table["predicted"] == 0]["relative_error"].isna().all()


def test_predictions_are_the_closed_forms(store, table):
    row = rows(table, "random_loss", short=16, wedges=1, radius=3.0)
    assert row["predicted"].item() == pytest.approx(3 * np.sqrt(16 / 80))
    row = rows(table, "cut_loss", short=8, ratio=0.6)
    assert row["predicted"].item() == pytest.approx(3 * np.sqrt((8 - 5) / 80))  # round(0.6 * 8) = 5
    threshold = 0.5 * np.sqrt(8 / 80)
    assert store.attrs["threshold"] == pytest.approx(threshold)
    row = rows(table, "width", short=16, radius=1.0)
    assert row["predicted"].item() == pytest.approx(np.arcsin(threshold / np.sqrt(16 / 80)))
    row = rows(table, "shared_dim", short=8, size=6)
    assert row["predicted"].item() == pytest.approx(80 * 0.9**6)


def test_simulations_of_one_wedge_agree_with_the_closed_forms(table):
    assert rows(table, "random_loss", wedges=1)["relative_error"].abs().max() < 0.12
    assert (rows(table, "random_loss", wedges=4)["relative_error"] < 0).all()
    assert rows(table, "shared_dim")["relative_error"].abs().max() < 0.2  # two trials each
    cuts = rows(table, "cut_loss")
    assert cuts[cuts["ratio"] < 0.7]["relative_error"].abs().max() < 0.07
    assert (cuts[cuts["ratio"] > 1.5]["simulated"] < 0.02 * 3 * np.sqrt(8 / 80)).all()


def test_widths_scatter_around_their_exact_mean(store, table):
    """A ray's short part is Beta-distributed; the closed form takes its mean for all, good for large s."""
    for short in SHORT:
        part = stats.beta(short / 2, (DIM - 1 - short) / 2)
        for radius in RADII:
            threshold = store.attrs["threshold"] / radius
            exact = part.expect(lambda square, limit=threshold: np.arcsin(np.minimum(1, limit / np.sqrt(square))))
            row = rows(table, "width", short=short, radius=radius)
            assert abs(row["simulated"].item() - exact) < 3 * row["std"].item() / np.sqrt(TRIALS)
            assert 0.9 < exact / row["predicted"].item() < 1.25


def test_root_mean_squares_of_losses_and_means_of_angles(store, table):
    values = store["random_loss"].sel(short=8, wedges=4, radius=3.0).values
    row = rows(table, "random_loss", short=8, wedges=4, radius=3.0)
    assert row["simulated"].item() == pytest.approx(np.sqrt((values**2).mean()))
    assert row["std"].item() == pytest.approx(values.std())
    row = rows(table, "width", short=8, radius=3.0)
    assert row["simulated"].item() == pytest.approx(float(store["width"].sel(short=8, radius=3.0).mean()))


def test_connectors_exist_below_the_largest_predicted(store):
    assert store["largest_connector"].values.tolist() == [wedges.largest_connector(s, DIM) for s in SHORT]
    few = store["connector_residual"].where(store["size"] <= 0.7 * store["largest_connector"])
    assert few.notnull().any()
    assert float(few.max()) < 0.02
    np.testing.assert_array_equal(simulation.connected([[0.0, 0.019], [0.021, 0.0], [1, 1]]), [1, 0.5, 0])


@pytest.mark.parametrize("largest", [2, 3, 6, 64])
def test_sizes_of_sets_rise_from_two_to_the_largest(largest):
    sizes = simulation.meeting_sizes(largest)
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (2, largest)
    assert len(sizes) <= 9


def test_simulation_is_a_store_with_units(store, tmp_path):
    write_store(store, tmp_path / "wedges.zarr.zip", Origin("measure_wedges"))
    assert store["width"].attrs["units"] == "radian"
    assert store["random_loss"].dims == ("short", "wedges", "radius", "trial")
    assert store["cut_dim"].sel(short=16).values.tolist() == [3, 6, 10, 13, 16, 19, 26]


# The claims


def test_wedges_follow_their_closed_forms_and_a_wrong_simulation_does_not():
    settings = simulation.Settings(
        dimension=60, short=[6, 12], wedges=[1, 2], radii=[1.0, 2.0], trials=64, connected=12
    )
    store, intervals = simulation.measure(settings), Intervals(0.95, 200)
    found = {claim.id: claim.estimate for claim in simulation.claims(store, intervals)}
    assert set(found) == {f"wedge_{name}" for name in ("random_loss", "cut_loss", "width", "shared_dim", "connector")}
    assert found["wedge_random_loss"].high < 0.1
    assert (found["wedge_random_loss"].unit, found["wedge_random_loss"].units) == ("case", 4)  # one wedge: two s, two r
    assert found["wedge_shared_dim"].high < 0.1
    right = found["wedge_connector"].estimate
    assert right > 0.8
    wrong = store.assign(random_loss=1.5 * store["random_loss"], connector_residual=1 - store["connector_residual"])
    found = {claim.id: claim.estimate for claim in simulation.claims(wrong, intervals)}
    assert found["wedge_random_loss"].low > 0.1
    assert found["wedge_connector"].estimate < right
