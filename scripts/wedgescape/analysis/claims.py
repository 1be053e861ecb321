"""What the paper claims about the geometry of landscapes, judged chapter by chapter."""

from __future__ import annotations

import numpy as np
import xarray as xr

from wedgescape.analysis.verdicts import Rules, is_small, row
from wedgescape.measurements import wedges as simulation
from wedgescape.numerics.intervals import (
    Interval,
    bootstrap_mean,
)

WEDGE_SENTENCES = {
    "random_loss": "Random points lie as far from a wedge as r sqrt(s/D)",
    "cut_loss": "The lowest loss on random cuts is r sqrt((s-d)/D)",
    "width": "A wedge is as wide as asin(tau / (r sqrt(s/D)))",
    "shared_dim": "m wedges share D (1 - s/D)^m dimensions",
}


def wedge_claims(wedges: xr.Dataset, rules: Rules) -> list[dict]:
    """Judge whether the toy model follows its closed forms, and has connectors up to the predicted m and not beyond.

    The statistics are the mean over settings of the absolute relative error (one wedge; where the closed form is at
    least one dimension, or above zero), and the fraction of connectors whose being found or not was mispredicted. Both
    are bootstrapped over settings. Supported where the interval lies below `maximum_relative_error`.
    """
    table = simulation.tidy(wedges)
    one_wedge = table["wedges"].isna() | (table["wedges"] == 1)
    measured = {}
    for quantity, sentence in WEDGE_SENTENCES.items():
        smallest = 1.0 if quantity == "shared_dim" else 1e-12
        chosen = one_wedge & (table["quantity"] == quantity) & (table["predicted"] >= smallest)
        measured[quantity] = (sentence, "mean absolute relative error", table.loc[chosen, "relative_error"].abs())
    expected = wedges["size"] <= wedges["largest_connector"]  # (size, short)
    found = (wedges["connector_residual"] < simulation.FOUND_BELOW).mean("connector_trial")
    sentence = "A connector joins m wedges up to the predicted m and not beyond"
    measured["connector"] = (sentence, "fraction mispredicted", abs(found - expected).values.ravel())
    rows = []
    for name, (sentence, statistic, errors) in measured.items():
        interval = bootstrap_mean(errors, rules.confidence, rules.resamples)
        judged = is_small(interval, rules.maximum_relative_error)
        trials = wedges.sizes["connector_trial" if name in ("shared_dim", "connector") else "trial"]
        rows.append(row(f"wedge_{name}", sentence, statistic, judged, trials, len(errors)))
    return rows


def hyperplane_claims(hyperplanes: list[xr.Dataset], rules: Rules) -> list[dict]:
    """Judge at each width whether far fewer random directions than parameters are enough to descend.

    The statistic is the dimensions at the threshold over the parameters, averaged over seeds, bootstrapped over seeds.
    A seed that never reached the threshold counts as 1, as if it had taken the whole space; seeds that diverged in the
    full space have no threshold, are left out and counted.
    """
    rows = []
    for store in hyperplanes:
        diverged = store["diverged"].values.astype(bool)
        fraction = store["threshold"].values / store.attrs["parameters"]
        fraction = np.where(store["censored"].values == "above", 1.0, fraction)[~diverged]
        interval = bootstrap_mean(fraction, rules.confidence, rules.resamples)
        share = f"{store.attrs['accuracy_fraction']:.0%} of the accuracy"
        rows.append(
            row(
                f"hyperplane_{store.attrs['width']}",
                f"Few random directions are enough for {share} at width {store.attrs['width']}",
                "dimensions of a random hyperplane that are enough / parameters",
                is_small(interval, rules.maximum_threshold_fraction),
                store.sizes["seed"],
                len(fraction),
                int(diverged.sum()),
            )
        )
    return rows


def short_direction_claims(density: xr.Dataset, fitted: xr.Dataset, rules: Rules) -> list[dict]:
    """Judge whether few directions are short: of the Hessian, and of the wedge that each route fits; and if they agree.

    The statistics are the share of Hessian eigenvalues above the threshold, averaged over seeds and bootstrapped over
    them; s / D of each route with the route's own interval; and the largest s / D over the smallest, between the least
    and the most that the routes' intervals allow.
    """
    share = density["short_fraction"].values
    share = share[np.isfinite(share)]
    interval = bootstrap_mean(share, rules.confidence, rules.resamples)
    rows = [
        row(
            "short_hessian",
            "Few directions of the Hessian are short",
            "share of eigenvalues above the threshold",
            is_small(interval, rules.maximum_threshold_fraction),
            len(share),
            len(share),
        )
    ]
    seeds = fitted.sizes["seed"]
    known = fitted[["fraction", "fraction_low", "fraction_high"]].dropna("route", subset=["fraction"])
    for route in known["route"].values.tolist():
        part = known.sel(route=route)
        interval = Interval(*(float(part[name]) for name in ("fraction", "fraction_low", "fraction_high")))
        judged = is_small(interval, rules.maximum_threshold_fraction)
        sentence = f"Few directions of the fitted wedge are short, by {ROUTES[route]}"
        rows.append(row(f"short_{route}", sentence, "s / D", judged, seeds, seeds))
    if known.sizes["route"] > 1:
        estimate, low, high = (known[name].values for name in ("fraction", "fraction_low", "fraction_high"))
        fold = Interval(estimate.max() / estimate.min(), max(1.0, low.max() / high.min()), high.max() / low.min())
        judged = is_small(fold, rules.maximum_fold_difference)
        sentence = "One wedge describes hyperplanes, tunnels and random points alike"
        rows.append(row("short_agreement", sentence, "largest s / D over the smallest", judged, seeds, len(estimate)))
    return rows


ROUTES = {
    "cut_line": "the loss on random cuts",
    "cut_threshold": "the threshold on random cuts",
    "tunnel_spread": "the spread of tunnels' widths",
    "point_spread": "the spread of random points' losses",
}
