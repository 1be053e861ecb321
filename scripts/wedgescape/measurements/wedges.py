"""The toy model against its closed forms, by the code that measures networks (docs/science.md, Wedges)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from wedgescape.landscapes import wedges as theory
from wedgescape.landscapes.operations import Case, WedgeStep, Work
from wedgescape.landscapes.spans import random_directions
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements.connectors import find_centres
from wedgescape.measurements.hyperplanes import descend_in_hyperplanes
from wedgescape.measurements.tunnels import angular_width, keeps_loss, tangents
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim
from wedgescape.stores.zarr_stores import Variable, as_rows, labelled
from wedgescape.study.places import AtBase
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
    """Return angular widths (short, radius, trial), one random way off one wedge per trial, radians."""
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


VARIABLES = {
    "random_loss": Variable(("short", "wedges", "radius", "trial"), "loss of a random point", "1"),
    "random_loss_predicted": Variable(("short", "radius"), "r sqrt(s/D)", "1"),
    "cut_dim": Variable(("short", "ratio"), "dimensions d of a random affine cut"),
    "cut_loss": Variable(("short", "ratio", "trial"), "lowest loss found on the cut", "1"),
    "cut_loss_predicted": Variable(("short", "ratio"), "r sqrt((s-d)/D), 0 from d = s", "1"),
    "width": Variable(("short", "radius", "trial"), "angular width of a wedge", "radian"),
    "width_predicted": Variable(("short", "radius"), "asin(tau / (r sqrt(s/D)))", "radian"),
    "shared_dim": Variable(("short", "size", "connector_trial"), "dimension of the intersection of m wedges", "1"),
    "shared_dim_predicted": Variable(("short", "size"), "D (1 - s/D)^m", "1"),
    "connector_residual": Variable(
        ("short", "size", "connector_trial"),
        "distance of the connector's centre from all m wedges over the centroid's",
        "1",
    ),
    "largest_connector": Variable(("short",), "largest m with a connector: m - 1 <= D (1 - s/D)^m", "1"),
}
MEMORY = 2000  # MB
MINUTES = 30


def measure(settings: Settings = Settings()) -> xr.Dataset:
    """Simulate all four predictions about wedges, beside their closed forms.

    Args:
        settings: of the toy model.

    Returns:
        A dataset; `tidy` makes its table.
    """
    dimension, short, radii = settings.dimension, settings.short, np.array(settings.radii)
    radius = float(max(radii))
    threshold = 0.5 * float(theory.random_loss(min(radii), min(short), dimension))
    sizes = meeting_sizes(min(settings.connected, dimension // 2))
    dims, cuts = cut_losses(dimension, short, radius, settings.trials)
    shared, residual = connectors(dimension, short, sizes, radius)
    s, m = np.array(short)[:, None], np.array(sizes)
    values = {
        "random_loss": random_losses(dimension, short, settings.wedges, settings.radii, settings.trials),
        "random_loss_predicted": theory.random_loss(radii, s, dimension),
        "cut_dim": dims,
        "cut_loss": cuts,
        "cut_loss_predicted": theory.cut_loss(radius, s, dims, dimension),
        "width": tunnel_widths(dimension, short, settings.radii, settings.trials, threshold),
        "width_predicted": theory.half_width(threshold, radii, s, dimension),
        "shared_dim": shared,
        "shared_dim_predicted": theory.intersection(s, m, dimension),
        "connector_residual": residual,
        "largest_connector": [theory.largest_connector(n, dimension) for n in short],
    }
    coordinates = {"short": short, "wedges": settings.wedges, "radius": radii, "ratio": list(CUT_RATIOS), "size": sizes}
    attributes = {"dimension": dimension, "threshold": threshold, "cut_radius": radius}
    return labelled(VARIABLES, values, coordinates, attributes)


def work(case: Case, settings: Settings) -> Work:
    """Count the descents of the toy model, in cuts and to connectors' centres."""
    total, dimension = Work(), settings.dimension
    for short in settings.short:
        for ratio in CUT_RATIOS:
            total[WedgeStep(dimension, settings.trials, cut=max(1, round(ratio * short)))] += STEPS
        for size in meeting_sizes(min(settings.connected, dimension // 2)):
            total[WedgeStep(dimension, 1, wedges=size)] += CONNECTOR_TRIALS * STEPS
    return total


CLAIMS = (
    "wedge_random_loss",
    "wedge_cut_loss",
    "wedge_width",
    "wedge_shared_dim",
    "wedge_connector",
)


def claims(wedges: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Check whether the toy model follows its closed forms, and has connectors up to the predicted m and not beyond.

    The mean over cases of the absolute relative error (one wedge; where the closed form is at least one dimension, or
    above zero), and the share of connectors whose being found or not was predicted.
    """
    table = tidy(wedges)
    one_wedge = table["wedges"].isna() | (table["wedges"] == 1)
    for quantity in PAIRS:
        smallest = 1.0 if quantity == "shared_dim" else 1e-12
        chosen = one_wedge & (table["quantity"] == quantity) & (table["predicted"] >= smallest)
        found = intervals.mean(table.loc[chosen, "relative_error"].abs(), "case")
        yield Claim(f"wedge_{quantity}", "mean absolute relative error", found)
    expected = wedges["size"] <= wedges["largest_connector"]  # (size, short)
    found = ((wedges["connector_residual"] < FOUND_BELOW) == expected).values
    yield Claim("wedge_connector", "share predicted", intervals.share(int(found.sum()), found.size, "connector"))


PAIRS = {
    "random_loss": "random_loss_predicted",
    "cut_loss": "cut_loss_predicted",
    "width": "width_predicted",
    "shared_dim": "shared_dim_predicted",
}


def tidy(store: xr.Dataset) -> pd.DataFrame:
    """Return one row per simulated case: quantity, its keys, simulated value, spread over trials, closed form, error.

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
