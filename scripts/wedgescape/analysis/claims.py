"""What the paper claims about the geometry of landscapes, judged chapter by chapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import xarray as xr

from wedgescape.analysis.verdicts import Rules, is_large, is_small, row
from wedgescape.measurements import subspaces as surfaces
from wedgescape.measurements import wedges as simulation
from wedgescape.measurements.profiles import KINDS, by_kind
from wedgescape.numerics.intervals import (
    Interval,
    bootstrap_mean,
    bootstrap_trend,
    exact_fraction,
    standardised_difference,
)

# Which way angular width is said to move: by the paper for the first three, by us for the others.
TUNNEL_SENTENCES = {
    "learning_rate": "Tunnels are wider at higher learning rates",
    "weight_decay": "Tunnels are wider with more L2 regularisation",
    "width": "Tunnels are wider in wider networks",
    "dropout": "Tunnels are wider with more dropout",
    "batch_size": "Tunnels are wider with larger batches",
}
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


def tunnel_claims(tunnels: dict[str, xr.Dataset], rules: Rules) -> list[dict]:
    """Judge how angular width (accuracy threshold, mean over rays) moves over each sweep of numbers (`trend_claim`)."""
    return [
        trend_claim(store, store["width_accuracy"], f"tunnel_{sweep}", TUNNEL_SENTENCES[sweep], is_large, rules)
        for sweep, store in in_order(tunnels, TUNNEL_SENTENCES)
    ]


def in_order(sweeps: dict[str, xr.Dataset], order: Iterable[str]) -> list[tuple[str, xr.Dataset]]:
    """Return the sweeps that have a trend, those of two values or more, in an order of their names."""
    return [(name, sweeps[name]) for name in order if name in sweeps and sweeps[name].sizes["value"] > 1]


def trend_claim(
    store: xr.Dataset, measured: xr.DataArray, name: str, sentence: str, is_wanted: Callable, rules: Rules
) -> dict:
    """Judge how a measurement moves over a sweep of numbers.

    The statistic is Spearman's rho over all (value, seed) pairs, bootstrapped over seeds; `effect` is the difference of
    the means at the largest and smallest value in units of the pooled standard deviation over seeds. Supported where
    the interval lies beyond `minimum_correlation` on the wanted side, contradicted where it does on the other. Runs
    that diverged are left out and counted.

    Args:
        store: a sweep, with `diverged` over (value, seed).
        measured: (value, seed, direction), of which the mean over directions counts.
        name: the claim's id.
        sentence: the claim.
        is_wanted: `is_large` where it says that the measurement rises, `is_small` where it falls.
        rules: of the verdicts.
    """
    diverged = store["diverged"].values.astype(bool)
    values = np.where(diverged, np.nan, measured.mean("direction").values)
    levels = store["value"].values.astype(float)
    edge = rules.minimum_correlation if is_wanted is is_large else -rules.minimum_correlation
    interval = bootstrap_trend(values, levels, rules.confidence, rules.resamples)
    ends = values[[int(levels.argmin()), int(levels.argmax())]]
    return row(
        name,
        sentence,
        "Spearman's rho",
        is_wanted(interval, edge, -edge),
        store.sizes["seed"],
        int((~diverged).sum()),
        int(diverged.sum()),
        standardised_difference(*ends),
    )


def connector_claims(connectors: xr.Dataset, rules: Rules) -> list[dict]:
    """Judge for each m whether a connector's centre has a far lower training loss than the linear centroid.

    The statistic is the ratio of the two losses, averaged over sets of optima, bootstrapped over sets. Sets whose
    centre or centroid left the finite numbers are left out and counted.
    """
    rows, train = [], connectors["loss"].sel(split="train")
    for size in connectors["size"].values.tolist():
        part = train.sel(size=size)
        ratio = (part.sel(place="centre") / part.sel(place="centroid")).values
        ratio = ratio[np.isfinite(ratio)]
        interval = bootstrap_mean(ratio, rules.confidence, rules.resamples)
        members = connectors["members"].sel(size=size).values
        sentence = f"A low-loss connector joins {size} optima"
        rows.append(
            row(
                f"connector_{size}",
                sentence,
                "loss at the connector's centre / at the linear centroid",
                is_small(interval, rules.maximum_loss_ratio),
                len(set(members[members >= 0].tolist())),
                len(ratio),
                int((members[:, 0] >= 0).sum()) - len(ratio),
            )
        )
    return rows


def subspace_claims(subspaces: xr.Dataset, rules: Rules) -> list[dict]:
    """Judge for each m whether a connector is a whole subspace of low loss.

    The statistic is the largest training loss at random points between its vertices, averaged over sets of optima,
    bootstrapped over sets. Sets whose surface left the finite numbers are left out and counted.
    """
    rows, table = [], surfaces.tidy(subspaces)
    for size in subspaces["size"].values.tolist():
        done = table.loc[table["size"] == size, "largest_train_loss"].to_numpy()
        finite = np.isfinite(done)
        interval = bootstrap_mean(done[finite], rules.confidence, rules.resamples)
        members = subspaces["members"].sel(size=size).values
        sentence = f"A whole low-loss subspace joins {size} optima"
        rows.append(
            row(
                f"subspace_{size}",
                sentence,
                "largest training loss between vertices, nats",
                is_small(interval, rules.maximum_connector_loss),
                len(set(members[members >= 0].tolist())),
                int(finite.sum()),
                int((~finite).sum()),
            )
        )
    return rows


def profile_claims(store: xr.Dataset, rules: Rules) -> list[dict]:
    """Judge the radial direction against random ones, barriers on straight lines, and monotonic linear interpolation.

    Radial, outwards and inwards apart: the mean over seeds of the logarithm of (length of the radial direction) /
    (geometric mean length of random ones), by the accuracy threshold; beyond the reach, the reach counts. Barriers of
    the training loss: the mean over pairs of optima, each seed with the next. Both are bootstrapped, over seeds and
    over pairs. Monotonic: the fraction of seeds whose training loss nowhere rises from the initialisation to the
    optimum, with the exact binomial interval, for a bootstrap sees no spread where all seeds agree.
    """
    diverged, rows = int(store.attrs["diverged"]), []
    logs = by_kind(store).pivot_table("log_length", "seed", "name")
    for name, side in zip(KINDS["radial"], ("outwards", "inwards"), strict=True):
        ratio = (logs[name] - logs[KINDS["random"][0]]).to_numpy()
        interval = bootstrap_mean(ratio, rules.confidence, rules.resamples)
        rows.append(
            row(
                f"long_radial_{side}",
                f"The radial direction is longer than random ones, {side}",
                "log(length of the radial direction / of random ones)",
                is_large(interval, 0.0),
                len(ratio),
                len(ratio),
                diverged,
            )
        )
    if "pair_barrier" in store:
        barriers = store["pair_barrier"].sel(split="train").values
        interval = bootstrap_mean(barriers, rules.confidence, rules.resamples)
        rows.append(
            row(
                "linear_barrier",
                "A barrier separates optima on the straight line between them",
                "barrier of the training loss, nats",
                is_large(interval, rules.minimum_barrier),
                store.sizes["seed"],
                len(barriers),
                diverged,
            )
        )
    rises = store["init_rise"].sel(split="train").values
    interval = exact_fraction(int((rises <= rules.maximum_rise).sum()), len(rises), rules.confidence)
    rows.append(
        row(
            "monotonic_interpolation",
            "The loss falls monotonically on the straight line from the initialisation to the optimum",
            "fraction of seeds",
            is_large(interval, rules.minimum_fraction),
            len(rises),
            len(rises),
            diverged,
        )
    )
    return rows


def curve_claims(curves: xr.Dataset, rules: Rules) -> list[dict]:
    """Judge for each kind of curve whether it joins pairs of optima with a far lower barrier than the straight line.

    The statistic is the ratio of the two barriers of the training loss, averaged over pairs of optima, bootstrapped
    over pairs. Pairs whose curve or line left the finite numbers are left out and counted.
    """
    rows, barriers = [], curves["barrier"].sel(split="train")
    straight = barriers.sel(kind="line").values
    for kind in curves["kind"].values.tolist()[1:]:
        barrier = barriers.sel(kind=kind).values
        finite = np.isfinite(barrier) & np.isfinite(straight)
        ratio = barrier[finite & (straight > 0)] / straight[finite & (straight > 0)]
        interval = bootstrap_mean(ratio, rules.confidence, rules.resamples)
        rows.append(
            row(
                f"curve_{kind}",
                f"Curves of low loss join pairs of optima: {CURVES[kind]}",
                "barrier of the curve / of the straight line",
                is_small(interval, rules.maximum_loss_ratio),
                len(np.unique(curves["seed"].values)),
                len(ratio),
                int((~finite).sum()),
            )
        )
    return rows


CURVES = {"bezier": "quadratic Bezier curves", "chain": "polygonal chains"}


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


def alignment_claims(lines: list[xr.Dataset], connectors: dict[str, xr.Dataset], rules: Rules) -> list[dict]:
    """Judge how much of what separates optima is a matter of the order of their units.

    The statistics are the barrier of the training loss after matching over the one before, averaged over pairs at each
    width; Spearman's rho of the barrier after matching and the width; and for the largest m the training loss at the
    centroid of matched optima over that of the unmatched, and at their connector's centre over that at their centroid.
    Bootstrapped over pairs, and over sets. Networks that no matching fits are left out.

    Args:
        lines: stores of `measure_alignment`, one a width.
        connectors: of `measure_connectors` (`before`) and `measure_aligned_connectors` (`after`).
        rules: of the verdicts.
    """
    lines = sorted(
        (store for store in lines if "not_aligned" not in store.attrs), key=lambda store: store.attrs["width"]
    )
    if not lines:
        return []
    rows = []
    for store in lines:
        barrier, width = store["barrier"].sel(split="train"), store.attrs["width"]
        interval = bootstrap_mean(barrier.sel(alignment="after") / barrier.sel(alignment="before"),
                                  rules.confidence, rules.resamples)  # fmt: skip
        rows.append(
            row(
                f"aligned_barrier_{width}",
                f"Matching the units removes most of the barrier between optima at width {width}",
                "barrier after / before matching",
                is_small(interval, rules.maximum_loss_ratio),
                len(np.unique(store["seed"])),
                store.sizes["pair"],
                int(store.attrs["diverged"]),
            )
        )
    pairs = min(store.sizes["pair"] for store in lines)
    after = np.stack([store["barrier"].sel(split="train", alignment="after").values[:pairs] for store in lines])
    if len(lines) > 1:
        widths = [store.attrs["width"] for store in lines]
        interval = bootstrap_trend(after, widths, rules.confidence, rules.resamples)
        judged = is_small(interval, -rules.minimum_correlation, rules.minimum_correlation)
        sentence = "Between matched optima, barriers are lower in wider networks"
        seeds = len(np.unique(lines[0]["seed"]))
        rows.append(row("aligned_width", sentence, "Spearman's rho", judged, seeds, after.size))
    return rows + _aligned_connector_claims(connectors, rules)


def _aligned_connector_claims(connectors: dict[str, xr.Dataset], rules: Rules) -> list[dict]:
    size = int(connectors["after"]["size"].max())
    before, after = (connectors[stage]["loss"].sel(split="train", size=size) for stage in ("before", "after"))
    members = connectors["after"]["members"].sel(size=size).values
    ratios = {
        "aligned_centroid": (
            f"Matching the units lowers the loss at the linear centroid of {size} optima",
            "loss at the centroid after / before matching",
            after.sel(place="centroid") / before.sel(place="centroid"),
        ),
        "aligned_connector": (
            f"A connector of {size} matched optima still lies below their centroid",
            "loss at the centre / at the centroid, after matching",
            after.sel(place="centre") / after.sel(place="centroid"),
        ),
    }
    rows = []
    for name, (sentence, statistic, ratio) in ratios.items():
        finite = ratio.values[np.isfinite(ratio.values)]
        judged = is_small(bootstrap_mean(finite, rules.confidence, rules.resamples), rules.maximum_loss_ratio)
        seeds = len(set(members[members >= 0].tolist()))
        rows.append(row(name, sentence, statistic, judged, seeds, len(finite)))
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
