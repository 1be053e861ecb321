"""Quadratic losses: how many random directions a plane needs to meet a level set (our derivation; Larsen et al. 2022).

The loss is L* + sum_i lambda_i x_i^2 / 2, with x the coordinates in the eigenbasis of the Hessian.
"""

from __future__ import annotations

import numpy as np

LARGEST = 1e12  # of a coupling times an eigenvalue, where a plane is the whole space in all but rounding


def dimensions_needed(eigenvalues, start, excess: float) -> float:
    """Return the dimension d at which random planes through a start come to meet a level set of a quadratic.

    The lowest loss on a random d-plane is that of a residual of least squares, y - B (B^T B)^-1 B^T y with
    y_i = sqrt(lambda_i) x_i and B the plane's directions in the same scaling. In large spaces its projector acts like
    diag(1 / (1 + mu lambda_i)) with sum_i mu lambda_i / (1 + mu lambda_i) = d. So the threshold is this sum where
    sum_i lambda_i x_i^2 / (1 + mu lambda_i) / 2 = excess. For s equal eigenvalues, the others zero, it is
    s (1 - excess / (L(start) - L*)); for a wedge, whose level set is a cone, s itself.

    Args:
        eigenvalues: (D,), none negative.
        start: (D,), coordinates of the start in the eigenbasis, from the minimum.
        excess: of the level set over the lowest loss, positive.

    Returns:
        d, not whole; 0 where the start lies in the level set.
    """
    eigenvalues, squares = np.asarray(eigenvalues, dtype=float), np.asarray(start, dtype=float) ** 2
    largest = eigenvalues.max(initial=0.0)

    def above(coupling: float) -> bool:
        return float((eigenvalues * squares / (1 + coupling * eigenvalues)).sum()) / 2 > excess

    if not above(0.0):
        return 0.0
    low, high = np.log(1 / LARGEST / largest), np.log(LARGEST / largest)
    for _halving in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if above(float(np.exp(middle))) else (low, middle)
    return float((1 / (1 + 1 / (np.exp(low) * eigenvalues[eigenvalues > 0]))).sum())


def gaussian_width_bound(eigenvalues, distance: float, excess: float) -> float:
    """Return the estimate of the same dimension from a Gaussian width, D - sum_i r_i^2 / (R^2 + r_i^2).

    With r_i = sqrt(2 excess / lambda_i), the half axes of the level set (Larsen, Fort, Becker & Ganguli 2022). It is an
    upper bound: for random starts at a distance R, `dimensions_needed` is the same formula with R^2 d / D in place of
    R^2. So the estimate holds where d is near D, and is far too large where few directions are enough.

    Args:
        eigenvalues: (D,), none negative.
        distance: R, of the start from the minimum.
        excess: of the level set over the lowest loss, positive.
    """
    eigenvalues = np.asarray(eigenvalues, dtype=float)
    return float((distance**2 * eigenvalues / (distance**2 * eigenvalues + 2 * excess)).sum())
