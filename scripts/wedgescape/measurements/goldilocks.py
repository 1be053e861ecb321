"""Random points at a distance from the origin: where is the loss low and curvature positive (science, section 8)?

Between points too small to compute anything and points too large to, Fort & Scherlis (2019) found a shell of unusually
convex loss, the Goldilocks zone, in which the usual initialisations lie.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from wedgescape.landscapes.base import Landscape
from wedgescape.landscapes.spans import gaussian, random_directions
from wedgescape.measurements.spectrum import quadratic_forms
from wedgescape.numerics.intervals import standard_error
from wedgescape.stores.zarr_stores import described


def measure(landscape: Landscape, norm: float, radii: Sequence[float], points: int, probes: int) -> xr.Dataset:
    """Measure loss and curvature at random points against their distance from the origin (our definition).

    A point is an isotropic Gaussian vector rescaled to a radius: the same directions at every radius. Its Hessian is
    that of the training loss without weight decay. From Gaussian probes z: the trace, mean z^T H z; the Frobenius norm,
    the root of mean |H z|^2; and the share of probes along which the loss curves upwards, z^T H z > 0.

    Args:
        landscape: that also evaluates accuracy.
        norm: of the initialisation, in weights, the unit of radii.
        radii: in units of that norm.
        points: random points at each radius.
        probes: random directions at each point.

    Returns:
        A dataset over (radius_factor, point); `radius` is the radius in weights. Where the Hessian is zero, as it is in
        float32 where every example is certain, the ratio of trace and norm is nan.
    """
    directions = random_directions(points, landscape.dim, "random points").to(landscape.device, landscape.dtype)
    shape = (len(radii), points)
    names = ("loss", "accuracy", "test_loss", "test_accuracy", "trace", "trace_error", "frobenius", "positive")
    values = {name: np.full(shape, np.nan, np.float32) for name in names}
    for row, factor in enumerate(radii):
        where = factor * norm * directions
        for prefix, split in (("", "train"), ("test_", "test")):
            for name, found in landscape.evaluate(where, split).items():
                values[prefix + name][row] = found.cpu()
        for column, point in enumerate(where):
            drawn = gaussian(probes, landscape.dim, "random point probes", column).to(point)
            forms, squares = quadratic_forms(landscape.hessian_at(point), drawn)
            finite = bool(forms.isfinite().all())
            values["trace"][row, column] = forms.mean()
            values["trace_error"][row, column] = standard_error(forms)
            values["frobenius"][row, column] = squares.mean().sqrt()
            values["positive"][row, column] = (forms > 0).double().mean() if finite else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = values["trace"] / values["frobenius"]
    dims = ("radius", "point")
    variables = {name: described(dims, values[name], *TEXTS[name]) for name in names}
    variables["trace_over_norm"] = described(dims, ratio, "trace over Frobenius norm of the Hessian", "1")
    coordinates = {
        "radius": described(("radius",), norm * np.asarray(radii, float), "distance from the origin", "weights"),
        "radius_factor": described(
            ("radius",), np.asarray(radii, float), "radius over the norm of the initialisation", "1"
        ),
        "point": range(points),
    }
    return xr.Dataset(variables, coordinates, {"initial_norm": float(norm), "probes": probes})


TEXTS = {
    "loss": ("mean cross-entropy on the training split at random points", "nat"),
    "accuracy": ("accuracy on the training split", "1"),
    "test_loss": ("mean cross-entropy on the test split", "nat"),
    "test_accuracy": ("accuracy on the test split", "1"),
    "trace": ("trace of the Hessian of the training loss", "nat/weight^2"),
    "trace_error": ("standard error of the trace", "nat/weight^2"),
    "frobenius": ("Frobenius norm of the Hessian of the training loss", "nat/weight^2"),
    "positive": ("share of random directions along which the loss curves upwards", "1"),
}
