"""Dimension: how wide tunnels of the base setting would be with more weights alone (docs/science.md, Tunnels)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.controls import balanced, idle, with_duplicated_units
from wedgescape.landscapes.networks import NetworkLandscape
from wedgescape.landscapes.operations import Case, Evaluation, Work
from wedgescape.measurements.tunnels import (
    ANGLE,
    AS_TRAINED,
    BALANCED,
    GAPS,
    all_ends,
    angles_of_ray,
    coarse_angles,
    ray_profile,
    tangents,
)
from wedgescape.measurements.tunnels import Settings as TunnelSettings
from wedgescape.numerics.judging import Claim
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.places import Widths
from wedgescape.study.sections import Count, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """What more weights alone do to tunnels: the base setting's networks with as many weights as wider ones."""

    directions: Count = key(4, "Random directions per optimum.", smoke=2)


CONTROLS = ("idle", "duplicated")
SCALINGS = (AS_TRAINED, BALANCED)
OF_RAYS = ("scaling", "control", "width", "seed", "direction", "angle")
VARIABLES = {
    "loss": Variable(OF_RAYS, f"training loss along each ray; {GAPS}", "nat"),
    "score": Variable(OF_RAYS, f"training score along each ray; {GAPS}", "1"),
    "parameters": Variable(("width",), "number of weights", "1"),
}


def measure(
    optima: Optima, swept: Widths, tunnels: TunnelSettings = TunnelSettings(), settings: Settings = Settings()
) -> xr.Dataset:
    """Measure rays from the base setting's optima as if their networks were as large as wider ones (our definition).

    `idle`: the network has as many weights as a wider one, of which the further ones are zero and do nothing
    (`controls.idle`). `duplicated`: it is a wider network whose every unit is a copy (`controls.duplicated`), of the
    same function, loss and norm. Both of the optima as trained, and of the balanced ones (`controls.balanced`).

    Args:
        optima: of the base setting.
        swept: the widths of the study; those above the base setting's count.
        tunnels: at which angles rays are kept.
        settings: of the measurement.

    Returns:
        Loss and score along rays over `angle`, for each wider network; nan where a control cannot be had, with the
        attributes `no_duplicated` and `no_balanced` that say why.
    """
    return optima.flagged(_measure(optima.sound(0), swept, tunnels, settings))


def _measure(optima: Optima, swept: list[int], tunnels: TunnelSettings, settings: Settings) -> xr.Dataset:
    landscape, model, angles = optima.landscape, optima.training["model"], coarse_angles(tunnels.steps)
    ends = all_ends(tunnels, optima.chance_loss)
    wider = sorted(width for width in swept if width > model["width"])
    shape = (len(SCALINGS), len(CONTROLS), len(wider), len(optima), settings.directions, len(angles))
    values = {name: np.full(shape, np.nan, np.float32) for name in ("loss", "score")}
    sizes, why = np.zeros(len(wider), int), {}
    for place, width in enumerate(wider if len(optima) else ()):
        larger = model | {"width": width}
        sizes[place] = landscape.of_model(larger).dim
        for scaling, name in enumerate(SCALINGS):
            try:
                points = balanced(landscape.module, optima.points) if name == BALANCED else optima.points
            except InputError as error:
                why["no_balanced"] = str(error)
                continue
            rays = tangents(points, settings.directions, optima.seeds)
            seen = {"idle": (landscape, points, idle(rays, int(sizes[place]), optima.seeds))}
            try:
                seen["duplicated"] = _copies(landscape, points, larger, settings.directions, optima.seeds)
            except InputError as error:
                why["no_duplicated"] = str(error)
            for control, case in seen.items():
                for quantity, found in ray_profile(*case, tunnels.steps, ends).values.items():
                    values[quantity][scaling, CONTROLS.index(control), place] = found.numpy()
    coordinates = {
        "scaling": list(SCALINGS),
        "control": list(CONTROLS),
        "width": wider,
        "seed": optima.seeds,
        "direction": range(settings.directions),
        "angle": described(("angle",), angles, *ANGLE),
    }
    return labelled(
        VARIABLES,
        values | {"parameters": sizes},
        coordinates,
        {"chance_loss": optima.chance_loss, "score_fraction": tunnels.score_fraction, **why},
    )


def _copies(landscape: NetworkLandscape, points: Tensor, model: dict, directions: int, seeds) -> tuple:
    """Return the wider landscape, the copies there, and their rays."""
    wider, copies = with_duplicated_units(landscape, points, model)
    return wider, copies, tangents(copies, directions, seeds)


def work(case: Case, settings: Settings) -> Work:
    """Count the losses along rays, of the base setting's network and of wider ones."""
    study, found = case.study, Work()
    settings_of_width = [study.settings[name]["width"] for name in study.sweeps.get("width", [])]
    base = study.settings[study.base]["width"]
    points = len(SCALINGS) * case.seeds * settings.directions * angles_of_ray(TunnelSettings(**study.config["tunnels"]))
    for name, width in zip(study.sweeps.get("width", []), settings_of_width, strict=True):
        if width > base:
            wide = Case(study, case.data, name, case.wildcards)
            found += Work({Evaluation(case.model, "train"): points, Evaluation(wide.model, "train"): points})
    return found


CLAIMS = ()


def claims() -> Iterator[Claim]:
    """Claim nothing: what width does beyond this is judged with tunnels and with curvature."""
    return iter(())
