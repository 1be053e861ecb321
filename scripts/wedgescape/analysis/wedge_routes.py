"""What single measurements say about s, the number of short directions of a wedge, without its slope.

The share |u_S|^2 of a random unit vector u of R^n that lies in s short directions follows Beta(s/2, (n - s)/2), so the
spread of log |u_S| gives s. The module `fitted_wedges` says how each measurement shows it (our definitions).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import beta, chi2

from wedgescape.measurements.hyperplanes import first_reaching
from wedgescape.numerics.intervals import Interval

FAR = 0.5  # the line is fitted to cuts before the first on which the loss is below this part of the first one's
LEVELS = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0)  # nats, at which s is estimated again
LEAST_RISE = 0.1  # of log L with log r: where the loss rises less, its spread is not that of a distance
FEWEST = 1e-6  # short directions, the lower end of the search


# The short directions behind a spread.


def spread(short, dim: float):
    """Variance of log |u_S| over random unit vectors u of R^n with s short directions: about 1 / (2 s) for s << n."""
    return (polygamma(1, np.asarray(short) / 2) - polygamma(1, dim / 2)) / 4


def short_of(variance: float, dim: float) -> float:
    """Return the s whose `spread` is a variance: n where that is zero or less, nan where it is nan."""
    if not np.isfinite(variance):
        return np.nan
    if variance <= 0:
        return float(dim)
    return float(brentq(lambda short: spread(short, dim) - variance, FEWEST, dim))


def short_interval(variance: Interval, dim: float) -> Interval:
    """Return the s behind a variance; the ends change places, and an unbounded interval stays so."""
    low, high = short_of(variance.high, dim), short_of(variance.low, dim)
    bounded = np.isfinite(variance.low) and np.isfinite(variance.high)
    return Interval(short_of(variance.estimate, dim), low if bounded else -np.inf, high if bounded else np.inf)


def share_cdf(deviation, short: float, dim: float) -> np.ndarray:
    """Return the distribution function of log |u_S| less its mean."""
    a, b = short / 2, (dim - short) / 2
    return beta.cdf(np.exp(2 * np.asarray(deviation) + digamma(a) - digamma(a + b)), a, b)


def means_without(values) -> np.ndarray:
    """Return the means (n,) of values (n,) without each of them in turn; nan for what is nan, which is in no mean."""
    values = np.asarray(values, dtype=float)
    count = int(np.isfinite(values).sum())
    return (np.nansum(values) - values) / (count - 1) if count > 1 else np.full(len(values), np.nan)


# One function a route.


def cut_line(dimensions, losses) -> tuple[np.ndarray, np.ndarray]:
    """Fit L^2 = L_0^2 (1 - d / s) by least squares to the cuts before the first whose L is under half of the first's.

    Args:
        dimensions: (D,), rising.
        losses: (D, K), the lowest on each cut.

    Returns:
        s (K,) and L_0 (K,); nan where fewer than two cuts are left or the loss does not fall.
    """
    dimensions, losses = np.asarray(dimensions, dtype=float), np.asarray(losses, dtype=float)
    short, start = np.full(losses.shape[1], np.nan), np.full(losses.shape[1], np.nan)
    for k, column in enumerate(losses.T):
        far = np.cumprod(column >= FAR * column[0]).astype(bool)
        if far.sum() < 2:
            continue
        fall, squared = np.polyfit(dimensions[far], column[far] ** 2, 1)
        if fall < 0:
            short[k], start[k] = -squared / fall, np.sqrt(squared)
    return short, start


def ray_deviations(angles) -> np.ndarray:
    """Return log |u_S| (K, U), less its mean over the U rays of an optimum, from the angles at which rays leave.

    A seed with a ray that never leaves, or that begins outside, says nothing about the spread: nan.
    """
    angles = np.asarray(angles, dtype=float)
    sound = ((angles > 0) & (angles < np.pi / 2)).all(1, keepdims=True)
    logs = -np.log(np.sin(np.where(sound, angles, np.nan)))
    return logs - logs.mean(1, keepdims=True)


def ray_variances(angles, error: float) -> np.ndarray:
    """Return the variance of log |u_S| over the rays of each optimum (K,), unbiased.

    Args:
        angles: (K, U), radians, at which rays leave.
        error: half of the bracket that each angle is the middle of; its own variance error^2 / 3 is taken off.
    """
    angles = np.asarray(angles, dtype=float)
    if angles.shape[1] < 2:
        return np.full(len(angles), np.nan)
    noise = error**2 / 3 * (1 / np.tan(np.where(angles > 0, angles, np.nan)) ** 2).mean(1)
    return ray_deviations(angles).var(1, ddof=1) - noise


def hinge(x, y) -> tuple[float, float]:
    """Fit y = max(0, a x - b) with a > 0, b >= 0 by least squares to points (n,) with rising x: a, b.

    The minimum is a line through the points beyond the kink alone, or through the origin: each is tried.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    tried = [(float(x @ y / (x @ x)), 0.0)]
    for first in range(len(x) - 1):
        a, b = np.polyfit(x[first:], y[first:], 1) * (1, -1)
        tried += [(float(a), float(b))] if a > 0 and b > 0 else []
    return min(tried, key=lambda fit: float(((np.maximum(0, fit[0] * x - fit[1]) - y) ** 2).sum()))


def point_deviations(radii, losses) -> np.ndarray:
    """Return log |u_S| (radius, point) of random points less their mean: log L over d log L / d log r.

    Nan where the loss hardly rises with the distance, d log L / d log r < 0.1: near the origin every network says the
    same of every example, and the loss is not a distance.

    Args:
        radii: (R,), rising, weights.
        losses: (R, N).
    """
    logs = np.log(np.asarray(losses, dtype=float))
    rise = np.gradient(logs.mean(1), np.log(radii)) if len(logs) > 1 else np.ones(1)  # a wedge's without thickness: 1
    return (logs - logs.mean(1, keepdims=True)) / np.where(rise >= LEAST_RISE, rise, np.nan)[:, None]


def point_squares(radii, losses) -> np.ndarray:
    """Return what averages over points to the variance of log |u_S|, unbiased, at each radius: (radius, point)."""
    deviations = point_deviations(radii, losses)
    count = deviations.shape[1]
    return deviations**2 * count / (count - 1) if count > 1 else np.full(deviations.shape, np.nan)


def variance_interval(squares, confidence: float) -> Interval:
    """Return the variance that squares (N,) average to, with its interval if what is squared is normal.

    Exact in few points, where a bootstrap of squares is too narrow; log |u_S| is nearly normal unless s is very small.
    """
    squares = np.asarray(squares, dtype=float)
    variance, freedom = float(squares.mean()), len(squares) - 1
    if freedom < 1 or not np.isfinite(variance):
        return Interval(variance, -np.inf, np.inf)
    high, low = freedom * variance / chi2.ppf([(1 - confidence) / 2, (1 + confidence) / 2], freedom)
    return Interval(variance, float(low), float(high))


def at_radius(radii, values, radius: float) -> np.ndarray:
    """Return values (R, …) at one radius, linear in log r between the nearest two, the end one beyond the ends."""
    values = np.asarray(values)
    place = float(np.interp(np.log(radius), np.log(radii), np.arange(len(values))))
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (place - below) * (values[above] - values[below])


# The same estimates at other losses: on a wedge they would all be one number.


def cut_levels(dimensions, losses) -> np.ndarray:
    """Return s (level, K) from the d at which cuts reach each level tau, s = d / (1 - (tau / L_0)^2); L_0: the first's.

    Nan where a cut never reaches a level or starts below it.
    """
    losses = np.asarray(losses, dtype=float)
    found = np.full((len(LEVELS), losses.shape[1]), np.nan)
    for row, level in enumerate(LEVELS):
        with np.errstate(divide="ignore"):
            left = 1 - (level / losses[0]) ** 2
        reached, _censored = first_reaching(dimensions, -losses, -level)
        found[row] = reached / np.where(left > 0, left, np.nan)
    return found


def ray_levels(angles, losses) -> np.ndarray:
    """Return the variance of log |u_S| (level, K) from where rays first reach each level, linear between angles.

    Args:
        angles: (A,), radians, rising.
        losses: (K, U, A) along rays.

    Returns:
        Variances; nan for an optimum of which a ray never reaches the level, or begins above it.
    """
    highest = np.maximum.accumulate(np.asarray(losses, dtype=float), axis=2)
    crossings = np.full((len(LEVELS), *highest.shape[:2]), np.nan)
    for place in np.ndindex(highest.shape[:2]):
        if np.isfinite(highest[place]).all():
            crossings[(slice(None), *place)] = np.interp(LEVELS, highest[place], angles, left=np.nan, right=np.nan)
    return np.stack([ray_variances(rows, 0.0) for rows in crossings])
