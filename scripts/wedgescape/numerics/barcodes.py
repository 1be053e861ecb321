"""Barcodes of minima: at which loss each set of minima merges with another (docs/science.md, Barcodes).

The minima and the paths between them are a graph. Its part below a loss h has components: a minimum's is born at the
minimum's own loss; where two meet, at the highest point of the lowest path between them, the younger dies (the elder
rule: the younger is the one whose lowest minimum lies higher). This is persistent homology of degree 0 of the sublevel
sets (Barannikov et al. 2020), and the deaths are the merges of single linkage.
"""

from __future__ import annotations

import numpy as np


def merges(births, heights) -> np.ndarray:
    """Return the merges of minima, the lowest first: (K - 1, 4) as `scipy.cluster.hierarchy.linkage` has them.

    Args:
        births: (K,), losses of the minima.
        heights: (K, K), symmetric: the highest loss on a path between two, inf where there is none. No path lies below
            its ends.
    """
    from scipy.cluster.hierarchy import linkage  # a third of a second, which few jobs need
    from scipy.spatial.distance import squareform

    births = np.asarray(births, dtype=float)
    if len(births) < 2:
        return np.zeros((0, 4))
    heights = np.maximum(heights, np.maximum(births[:, None], births))
    heights = np.minimum(heights, np.finfo(float).max)  # `linkage` refuses inf
    np.fill_diagonal(heights, 0.0)
    return linkage(squareform(heights, checks=False), "single")


def bars(births, heights) -> np.ndarray:
    """Return birth and death (K - 1, 2) of the components that die, in the order of deaths; the oldest never does.

    Args:
        births: (K,), losses of the minima.
        heights: (K, K), as `merges` takes them.
    """
    born, found = list(np.asarray(births, dtype=float)), []
    for first, second, height, _size in merges(births, heights):
        older, younger = sorted((born[int(first)], born[int(second)]))
        found.append((younger, height))
        born.append(older)
    return np.array(found).reshape(-1, 2)


def merge_heights(births, heights) -> np.ndarray:
    """Return the loss (K, K) at which each two minima merge, also by way of others; on the diagonal, the births.

    Args:
        births: (K,), losses of the minima.
        heights: (K, K), as `merges` takes them.
    """
    from scipy.cluster.hierarchy import cophenet
    from scipy.spatial.distance import squareform

    found = squareform(cophenet(merges(births, heights)))
    np.fill_diagonal(found, births)
    return found
