"""Balanced networks: tunnels where all layers have the same norm, of the same functions (docs/science.md, Tunnels)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from wedgescape.errors import InputError
from wedgescape.landscapes.controls import balanced
from wedgescape.landscapes.operations import Case, Work, evaluations
from wedgescape.measurements.tunnels import ALONG, ANGLE, all_ends, angles_of_ray, coarse_angles, ray_profile, tangents
from wedgescape.measurements.tunnels import Settings as TunnelSettings
from wedgescape.numerics.judging import Claim
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.sections import Count, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """Tunnels of networks whose layers have weights of equal norm, with the same function as the trained ones."""

    directions: Count = key(4, "Random directions per optimum.", smoke=2)


VARIABLES = {
    **ALONG,
    "radius": Variable(("seed",), "Euclidean norm of the balanced optimum", "weights"),
    "parameters": Variable((), "number of weights", "1"),
}


def measure(optima: Optima, tunnels: TunnelSettings = TunnelSettings(), settings: Settings = Settings()) -> xr.Dataset:
    """Measure rays from balanced optima (`controls.balanced`), as `tunnels` does from those that were trained.

    Args:
        optima: of one setting.
        tunnels: at which angles rays are kept.
        settings: of the measurement.

    Returns:
        Loss and score along rays over `angle`; all of them nan where the network cannot be balanced, with the
        attribute `no_balanced` that says why.
    """
    return optima.flagged(_measure(optima.sound(0), tunnels, settings))


def _measure(optima: Optima, tunnels: TunnelSettings, settings: Settings) -> xr.Dataset:
    angles = coarse_angles(tunnels.steps)
    shape = (len(optima), settings.directions, len(angles))
    values = {name: np.full(shape, np.nan, np.float32) for name in ("loss", "score")}
    values["radius"], why = np.full(len(optima), np.nan, np.float32), {}
    try:
        points = balanced(optima.landscape.module, optima.points)
        if len(points):
            ends = all_ends(tunnels, optima.chance_loss)
            rays = tangents(points, settings.directions, optima.seeds)
            values |= ray_profile(optima.landscape, points, rays, tunnels.steps, ends).values
            values["radius"] = points.norm(dim=1).cpu()
    except InputError as error:
        why["no_balanced"] = str(error)
    coordinates = {
        "seed": optima.seeds,
        "direction": range(settings.directions),
        "angle": described(("angle",), angles, *ANGLE),
    }
    values["parameters"] = optima.landscape.dim
    return labelled(
        VARIABLES,
        values,
        coordinates,
        {"chance_loss": optima.chance_loss, "score_fraction": tunnels.score_fraction, **why},
    )


def work(case: Case, settings: Settings) -> Work:
    """Count the losses along rays."""
    points = case.seeds * settings.directions * angles_of_ray(TunnelSettings(**case.study.config["tunnels"]))
    return evaluations(case.model, points + case.seeds, ["train"])


CLAIMS = ()


def claims() -> Iterator[Claim]:
    """Claim nothing: these are other ways to measure what is judged with tunnels and with curvature."""
    return iter(())
