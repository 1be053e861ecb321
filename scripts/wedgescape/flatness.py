"""Flat minima: what weight averaging and sharpness-aware minimisation do to the landscape around a solution.

Kaddour et al. 2022 asked when flat-minima optimisers work; here they are compared at an equal budget of gradients
(`methods.at_equal_budget`), seed by seed, with one solution trained for the whole of it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from wedgescape.phase_diagram import STATISTICS
from wedgescape.statistics import bootstrap_mean, standardised_difference

REFERENCE = "longer"


def paired_differences(data: xr.Dataset, confidence: float, resamples: int) -> pd.DataFrame:
    """Return by how much each method's statistics differ from one solution's of the same budget (our definition).

    The differences are taken seed by seed, since a seed's solutions share their initialisation, and averaged; the
    interval is bootstrapped over seeds. `effect` is the difference of the means in units of the pooled standard
    deviation over seeds.

    Args:
        data: of `phase_diagram.gather`, over (point, seed), the points named by their method, `REFERENCE` among them.
        confidence: of the interval.
        resamples: of the bootstrap.

    Returns:
        One row a (statistic, method): `estimate`, `low`, `high` in the units of the statistic, `effect`, `seeds`.
    """
    rows = []
    for name in STATISTICS:
        reference = data[name].sel(point=REFERENCE).values
        for method in [method for method in data["point"].values.tolist() if method != REFERENCE]:
            values = data[name].sel(point=method).values
            difference = values - reference
            interval = bootstrap_mean(difference, confidence, resamples)
            seeds = int(np.isfinite(difference).sum())
            effect = standardised_difference(reference, values)
            rows.append({"statistic": name, "method": method, **vars(interval), "effect": effect, "seeds": seeds})
    return pd.DataFrame(rows)
