"""Which trained networks count as optima (docs/science.md, Verdicts)."""

from __future__ import annotations

import numpy as np


def is_unfit(loss: np.ndarray, norm: np.ndarray, chance: float, maximum: float) -> np.ndarray:
    """Return which networks stayed finite and yet are no optima.

    A network is one if its training loss is finite and at most a share of that of chance, and its norm is finite.

    Args:
        loss: (K,), final training losses, nats; nan where a run diverged, which is flagged apart.
        norm: (K,), Euclidean norms of the weights.
        chance: loss of a network that gives every class the same probability, ln(classes).
        maximum: the share.
    """
    fits = np.isfinite(loss) & np.isfinite(norm) & (loss <= maximum * chance)
    return ~fits & ~np.isnan(loss)
