"""The toy model against its closed forms, by the code that measures networks (science, section 1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from wedgescape.landscapes import wedges as theory
from wedgescape.landscapes.spans import random_directions
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements.connectors import find_centres
from wedgescape.measurements.hyperplanes import descend_in_hyperplanes
from wedgescape.measurements.tunnels import angular_width, keeps_loss, tangents
from wedgescape.stores.zarr_stores import as_rows, described
from wedgescape.study.sections import Count, Counts, PositiveNumbers, Section, key
from wedgescape.training.descent import Recipe


class Settings(Section):
    """The toy model, a union of wedges."""

    dimension: int = key(200, "Dimension D of the space.", ge=2, smoke=40)
    short: Counts = key(
        [5, 10, 20, 40],
        "Numbers s of short directions of a wedge, each below `dimension`.",
        smoke=[4],
        below="wedges.dimension",
    )
    wedges: Counts = key([1, 2, 4, 8], "Numbers W of wedges.", smoke=[1, 2])
    radii: PositiveNumbers = key([1, 2, 4, 8], "Distances r of the points tried from the origin.", smoke=[1, 4])
    trials: Count = key(64, "Random trials per setting.", smoke=8)
    connected: Count = key(64, "Largest number m of wedges on which one common point is sought.", smoke=2)


CUT_RATIOS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.6)  # dimensions of a cut over short dimensions
CONNECTOR_TRIALS = 4
STEPS = 400
FOUND_BELOW = 0.02  # of the centroid's distance: a connector was found


def _recipe(radius: float) -> Recipe:
    """Adam with a rate in proportion to the distances of the problem, falling to zero so that residuals do too."""
    return Recipe(optimizer="adam", learning_rate=0.03 * radius, schedule="cosine")


def random_losses(
    dim: int, short: Sequence[int], wedges: Sequence[int], radii: Sequence[float], trials: int
) -> np.ndarray:
    """Return losses (short, wedges, radius, trial) at random points."""
    points = random_directions(trials, dim, "random points")
    rows = [WedgeLandscape(dim, s, w).losses(r * points).numpy() for s in short for w in wedges for r in radii]
    return np.reshape(rows, (len(short), len(wedges), len(radii), trials))


def cut_losses(dim: int, short: Sequence[int], radius: float, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Return dimensions (short, ratio) of random cuts and the lowest losses (short, ratio, trial) found on them."""
    dims = np.array([[max(1, round(ratio * s)) for ratio in CUT_RATIOS] for s in short])
    losses = np.zeros((*dims.shape, trials))
    for i, s in enumerate(short):
        landscape = WedgeLandscape(dim, s)
        starts = radius * random_directions(trials, dim, "cut starts", s)
        for j, d in enumerate(dims[i]):
            descent = descend_in_hyperplanes(landscape, starts, int(d), _recipe(radius), STEPS, range(trials))
            losses[i, j] = landscape.losses(descent.points).numpy()
    return dims, losses


def tunnel_widths(dim: int, short: Sequence[int], radii: Sequence[float], trials: int, threshold: float) -> np.ndarray:
    """Return angular widths (short, radius, trial), one random way off one wedge a trial, radians."""
    widths = np.zeros((len(short), len(radii), trials))
    for i, s in enumerate(short):
        landscape = WedgeLandscape(dim, s)
        for j, radius in enumerate(radii):
            optima = landscape.optima(trials, radius, seed=s)
            rays = tangents(optima, 1, range(trials))
            widths[i, j] = angular_width(landscape, optima, rays, keeps_loss(threshold), 1e-4).angle[:, 0].numpy()
    return widths


def meeting_sizes(largest: int) -> list[int]:
    """Return how many wedges meet in each simulation: 2 … largest, evenly on a logarithmic axis."""
    return sorted({round(float(m)) for m in np.geomspace(2, largest, 9)})


def connectors(dim: int, short: Sequence[int], sizes: Sequence[int], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what m wedges share: dimensions and, over the centroid's distance, the centre's; (short, size, trial).

    The connector's centre between m optima, one on each of m wedges, is sought on all of them at once.
    """
    shape = (len(short), len(sizes), CONNECTOR_TRIALS)
    shared, residual = np.zeros(shape), np.zeros(shape)
    for i, s in enumerate(short):
        for j, m in enumerate(sizes):
            for trial in range(CONNECTOR_TRIALS):
                landscape = WedgeLandscape(dim, s, m, seed=trial, meet=True)
                optima = landscape.optima(m, radius, seed=trial)
                centre = find_centres(landscape, optima[None], _recipe(radius), STEPS, [trial]).points
                start = landscape.losses(optima.mean(0)[None])
                shared[i, j, trial] = landscape.intersection_dim()
                residual[i, j, trial] = float(landscape.losses(centre) / start)
    return shared, residual


def simulate(
    dimension: int, short: Sequence[int], wedges: Sequence[int], radii: Sequence[float], trials: int, connected: int
) -> xr.Dataset:
    """Simulate all four predictions about wedges and store them beside their closed forms.

    Args:
        dimension: D.
        short: the s's.
        wedges: the W's.
        radii: distances from the origin.
        trials: random draws of each.
        connected: largest m of the connectors.

    Returns:
        A dataset; `tidy` makes its table.
    """
    radius = float(max(radii))
    threshold = 0.5 * float(theory.random_loss(min(radii), min(short), dimension))
    sizes = meeting_sizes(min(connected, dimension // 2))
    dims, cuts = cut_losses(dimension, short, radius, trials)
    shared, residual = connectors(dimension, short, sizes, radius)
    s, r, m = np.array(short)[:, None], np.array(radii), np.array(sizes)
    variables = {
        "random_loss": described(
            ("short", "wedges", "radius", "trial"),
            random_losses(dimension, short, wedges, radii, trials),
            "loss of a random point",
        ),
        "random_loss_predicted": described(("short", "radius"), theory.random_loss(r, s, dimension), "r sqrt(s/D)"),
        "cut_dim": described(("short", "ratio"), dims, "dimensions d of a random affine cut"),
        "cut_loss": described(("short", "ratio", "trial"), cuts, "lowest loss found on the cut"),
        "cut_loss_predicted": described(
            ("short", "ratio"), theory.cut_loss(radius, s, dims, dimension), "r sqrt((s-d)/D), 0 from d = s"
        ),
        "width": described(
            ("short", "radius", "trial"),
            tunnel_widths(dimension, short, radii, trials, threshold),
            "angular width of a wedge",
            "radian",
        ),
        "width_predicted": described(
            ("short", "radius"), theory.half_width(threshold, r, s, dimension), "asin(tau / (r sqrt(s/D)))", "radian"
        ),
        "shared_dim": described(
            ("short", "size", "connector_trial"), shared, "dimension of the intersection of m wedges"
        ),
        "shared_dim_predicted": described(("short", "size"), theory.intersection(s, m, dimension), "D (1 - s/D)^m"),
        "connector_residual": described(
            ("short", "size", "connector_trial"),
            residual,
            "distance of the connector's centre from all m wedges over the centroid's",
        ),
        "largest_connector": described(
            ("short",),
            [theory.largest_connector(n, dimension) for n in short],
            "largest m with a connector: m - 1 <= D (1 - s/D)^m",
        ),
    }
    coordinates = {"short": list(short), "wedges": list(wedges), "radius": r, "ratio": list(CUT_RATIOS), "size": sizes}
    attributes = {"dimension": dimension, "threshold": threshold, "cut_radius": radius}
    return xr.Dataset(variables, coordinates, attributes)


PAIRS = {
    "random_loss": "random_loss_predicted",
    "cut_loss": "cut_loss_predicted",
    "width": "width_predicted",
    "shared_dim": "shared_dim_predicted",
}


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row a simulated case: quantity, its keys, simulated value, spread over trials, closed form, error.

    Simulated losses are root mean squares over trials, the average for which the closed forms of distances are exact;
    angles and dimensions are means. `relative_error` is nan where the closed form is zero.
    """
    parts = []
    for quantity, predicted in PAIRS.items():
        trials = "connector_trial" if quantity == "shared_dim" else "trial"
        values = store[quantity]
        simulated = (values**2).mean(trials) ** 0.5 if quantity.endswith("loss") else values.mean(trials)
        simulated, closed_form = xr.broadcast(simulated, store[predicted])
        table = xr.Dataset({"simulated": simulated, "std": values.std(trials), "predicted": closed_form})
        parts.append(as_rows(table, simulated.dims, table.data_vars).assign(quantity=quantity))
    keys = ["quantity", "short", "wedges", "radius", "ratio", "size"]
    rows = pd.concat(parts)[[*keys, "simulated", "std", "predicted"]].sort_values(keys, ignore_index=True)
    error = rows["simulated"] / rows["predicted"].where(rows["predicted"] > 0) - 1
    return rows.assign(relative_error=error).drop(columns=["connector_trial"], errors="ignore")


def connected(residual: np.ndarray, below: float = FOUND_BELOW) -> np.ndarray:
    """Return the fraction (…) of trials (…, n) in which a connector was found: a residual under 2 %."""
    return (np.asarray(residual) < below).mean(-1)
