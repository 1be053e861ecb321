"""Aligned connectors: low-loss ways between sets of optima whose units are matched (docs/science.md, Connectors)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import xarray as xr
from torch import Tensor

from wedgescape.errors import InputError
from wedgescape.landscapes.alignment import matched
from wedgescape.landscapes.operations import Case, Work, times
from wedgescape.landscapes.units import unit_groups
from wedgescape.measurements import connectors as unaligned
from wedgescape.measurements.alignment import Settings as AlignmentSettings
from wedgescape.measurements.alignment import left_out, matching
from wedgescape.measurements.connectors import Settings as ConnectorSettings
from wedgescape.numerics.judging import Claim
from wedgescape.training.optima import AllOptima

MINUTES = 120
VARIABLES = {name: variable for name, variable in unaligned.VARIABLES.items() if not name.endswith("centre")}


def measure(
    optima: AllOptima,
    alignment: AlignmentSettings = AlignmentSettings(),
    connectors: ConnectorSettings = ConnectorSettings(),
) -> xr.Dataset:
    """Measure connectors whose optima are all matched to the first of their set, on the sets of `connectors`.

    Args:
        optima: of one setting, whose landscape is a network's.
        alignment: how units are matched.
        connectors: the sets, and the search for their centres.

    Returns:
        What `connectors.measure_sets` does, without the centres; a store that says why (`left_out`) where the network
        cannot be aligned.

    Raises:
        InputError: if fewer runs stayed finite than the largest m.
    """
    sound = optima.fit(at_least=max(connectors.sizes))
    try:
        groups = unit_groups(optima.landscape.module, optima.landscape.splits["train"][0].ndim - 1)
    except InputError as error:
        return optima.flagged(left_out(error))

    def arrange(seeds: Sequence[int], corners: Tensor) -> Tensor:
        first, limits = corners[0], (alignment.passes, alignment.attempts)
        others = zip(seeds[1:], corners[1:], strict=True)
        return torch.stack([first, *(matched(first, other, groups, *limits, (seeds[0], k))[0] for k, other in others)])

    return optima.flagged(unaligned.measure_sets(sound, connectors, arrange)[list(VARIABLES)])


def work(case: Case, connectors: ConnectorSettings) -> Work:
    """Count the connectors of random sets, and the matching of their optima; nothing where none can be aligned."""
    one = matching(case)
    count = sum((size - 1) * min(connectors.sets, case.all_seeds // size) for size in connectors.sizes)
    return times(count, one) + unaligned.work_on_sets(case, connectors) if one else Work()


def claims() -> Iterator[Claim]:
    """`alignment` makes the claims about aligned connectors."""
    return iter(())
