"""Judging claims: what a measurement estimates, against the rule of the sentence (docs/science.md, Verdicts)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from wedgescape.numerics.intervals import Estimate, Intervals
from wedgescape.study.rules import Rule, RuleBook
from wedgescape.study.study import FEWEST_UNITS

VERDICTS = ("supported", "contradicted", "no effect", "undecided")


@dataclass(frozen=True)
class Claim:
    """What a measurement says about one sentence.

    Args:
        rule: the sentence's name in config/rules.yaml.
        quantity: what was estimated, with its unit.
        estimate: of it.
        names: what the sentence's braces stand for, such as {"size": 5}; they distinguish claims of one rule.
        left_out: number of runs that are in no statistic: diverged, or unfit.
        specifications: other ways to measure the same -> their estimate, in the same unit.
        control: what would have been seen if the sentence were false, and what was seen there.
        specification: the choices behind the estimate itself, named as among `specifications`.
    """

    rule: str
    quantity: str
    estimate: Estimate
    names: Mapping[str, object] = field(default_factory=dict)
    left_out: int = 0
    specifications: Mapping[str, Estimate] = field(default_factory=dict)
    control: str = ""
    specification: str = "registered"

    @property
    def id(self) -> str:
        """The claim's name in the table: that of its rule and what fills its braces."""
        return "_".join([self.rule, *map(str, self.names.values())])


def tests(estimate: Estimate, rule: Rule) -> dict[str, float]:
    """Return the one-sided p-value of each verdict that a rule allows: small, if the estimate speaks for it.

    They are the tests that the interval inverts: at half of (1 - confidence), a verdict's p-value is small where the
    whole interval lies where the verdict says.
    """
    if rule.threshold is not None:
        sides = {"above": estimate.p_at_most(rule.threshold), "below": estimate.p_at_least(rule.threshold)}
        other = {"above": "below", "below": "above"}[rule.wanted]
        return {"supported": sides[rule.wanted], "contradicted": sides[other]}
    effect = rule.smallest_effect
    above, below = estimate.p_at_most(effect), estimate.p_at_least(-effect)
    within = max(estimate.p_at_most(-effect), estimate.p_at_least(effect))  # two one-sided tests
    if rule.wanted == "within":
        return {"supported": within, "contradicted": min(above, below)}
    wanted, other = (above, below) if rule.wanted == "above" else (below, above)
    return {"supported": wanted, "contradicted": other, "no effect": within}


def p_value(estimate: Estimate, rule: Rule) -> float:
    """Return the two-sided p-value of the verdict that speaks loudest."""
    return min(1.0, 2 * min(tests(estimate, rule).values()))


def holm(p_values: Iterable[float]) -> np.ndarray:
    """Return p-values corrected for their number (Holm 1979), in their order."""
    p_values = np.asarray(list(p_values), dtype=float)
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return corrected


def verdict(estimate: Estimate, rule: Rule, corrected: float, confidence: float = 0.95) -> tuple[str, str]:
    """Return the verdict on a sentence, and the reason for it.

    Args:
        estimate: of the quantity.
        rule: of the sentence.
        corrected: the p-value within the sentence's family (`holm`).
        confidence: of the interval.
    """
    if not np.isfinite(estimate.estimate):
        return "undecided", "nothing to estimate from"
    if estimate.units < FEWEST_UNITS:
        units = "unit" if estimate.units == 1 else "units"
        return "undecided", f"{estimate.units} independent {units} ({estimate.unit}); a verdict needs {FEWEST_UNITS}"
    found = tests(estimate, rule)
    best = min(found, key=found.__getitem__)
    alpha = 1 - confidence
    if corrected <= alpha:
        return best, f"the interval lies {_where(best, rule)}"
    if 2 * found[best] <= alpha:
        return "undecided", f"alone it would be {best}; corrected within its family p = {corrected:.2g}"
    return "undecided", "the interval reaches across the rule"


def _where(found: str, rule: Rule) -> str:
    if rule.threshold is not None:
        side = rule.wanted if found == "supported" else {"above": "below", "below": "above"}[rule.wanted]
        return f"{side} {rule.threshold:g}"
    effect = rule.smallest_effect
    if found == "no effect" or (found == "supported" and rule.wanted == "within"):
        return f"between {-effect:g} and {effect:g}"
    if rule.wanted == "within":
        return f"beyond {effect:g} on one side"
    is_above = (found == "supported") == (rule.wanted == "above")
    return f"above {effect:g}" if is_above else f"below {-effect:g}"


def judge(claims: Iterable[Claim], rules: RuleBook, intervals: Intervals) -> tuple[list[dict], list[dict]]:
    """Judge claims by their rules, with p-values corrected within families.

    Checks are a family of their own in every family: they are no evidence, and do not make it harder to find any.

    Args:
        claims: of all measurements.
        rules: of config/rules.yaml.
        intervals: how intervals were computed.

    Returns:
        Rows of the table of verdicts, in the order of the families; rows of the table of specifications, the
        registered one of each claim first.

    Raises:
        ValueError: if two claims have one name.
    """
    families = list(rules.families)
    claims = sorted(claims, key=lambda claim: families.index(rules.claims[claim.rule].family))
    names = [claim.id for claim in claims]
    if len(set(names)) < len(names):
        raise ValueError(f"claims that have one name: {sorted({name for name in names if names.count(name) > 1})}")
    judged_by = [rules.claims[claim.rule] for claim in claims]
    alone = np.array([p_value(claim.estimate, rule) for claim, rule in zip(claims, judged_by, strict=True)])
    corrected, groups = np.ones(len(claims)), [(rule.family, rule.kind == "check") for rule in judged_by]
    # What has too few units is judged in no case, so it does not count among its family's tests.
    enough = [claim.estimate.units >= FEWEST_UNITS and np.isfinite(claim.estimate.estimate) for claim in claims]
    for group in set(groups):
        members = [place for place, one in enumerate(groups) if one == group and enough[place]]
        corrected[members] = holm(alone[members])
    rows, specifications = [], []
    for claim, rule, p_alone, p_family in zip(claims, judged_by, alone, corrected, strict=True):
        found, reason = verdict(claim.estimate, rule, float(p_family), intervals.confidence)
        ways = _specifications(claim, rule, intervals)
        registered = ways[0]["verdict"]
        agreeing = np.mean([way["verdict"] == registered for way in ways]) if len(ways) > 1 else np.nan
        specifications += ways if len(ways) > 1 else []
        rows.append(
            {
                "id": claim.id,
                "family": rule.family,
                "kind": rule.kind,
                "sentence": rules.sentence(claim.rule, claim.names),
                "quantity": claim.quantity,
                **{name: getattr(claim.estimate, name) for name in ("estimate", "low", "high")},
                "wanted": rule.wanted,
                "threshold": np.nan if rule.threshold is None else rule.threshold,
                "smallest_effect": np.nan if rule.smallest_effect is None else rule.smallest_effect,
                "unit": claim.estimate.unit,
                "units": claim.estimate.units,
                "left_out": claim.left_out,
                "p": float(p_alone),
                "p_family": float(p_family),
                "verdict": found,
                "reason": reason,
                "robust": float(agreeing),
                "control": claim.control,
                "quote": rule.quote or "",
            }
        )
    return rows, specifications


def _specifications(claim: Claim, rule: Rule, intervals: Intervals) -> list[dict]:
    """Judge every way to measure a claim's quantity, each as if it stood alone; the registered one first."""
    return [
        {
            "id": claim.id,
            "specification": name,
            **{part: getattr(one, part) for part in ("estimate", "low", "high", "units")},
            "verdict": verdict(one, rule, p_value(one, rule), intervals.confidence)[0],
        }
        for name, one in {claim.specification: claim.estimate, **claim.specifications}.items()
    ]


def fit(store: xr.Dataset) -> xr.DataArray:
    """Return which runs of a store are optima: those that neither diverged nor are unfit."""
    lost = store["diverged"].astype(bool)
    return ~(lost | store["unfit"].astype(bool)) if "unfit" in store else ~lost


def only_fit(store: xr.Dataset, members: np.ndarray) -> np.ndarray:
    """Return which sets or pairs of a store have only members that are optima.

    Args:
        store: of a measurement, flagged over `seed`.
        members: (set, m), the seeds of each; -1 where there is none.
    """
    lost = store["seed"].values[~fit(store).values]
    return ~np.isin(members, lost).any(1) & (np.asarray(members) >= 0).any(1)


def change_over(sweep: xr.Dataset, values: xr.DataArray, intervals: Intervals) -> Estimate:
    """Return by how much a measurement changes from the lowest to the highest value of a sweep, seed by seed.

    The same seed at two values has the same initialisation, so the difference is taken per seed.

    Args:
        sweep: a measurement's stores over `value`, numbers.
        values: (value, seed) of it, one number per network.
        intervals: how they are computed.
    """
    kept = values.where(fit(sweep)).transpose("value", "seed").values
    levels = sweep["value"].values.astype(float)
    return intervals.mean(kept[int(levels.argmax())] - kept[int(levels.argmin())])


def left_out(store: xr.Dataset) -> int:
    """Return how many runs of a store are in no statistic."""
    return int((~fit(store)).sum())


def in_order(sweeps: dict[str, xr.Dataset], order: Iterable[str]) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the sweeps that can have a trend (those of at least two values), in a given order of their names."""
    yield from ((name, sweeps[name]) for name in order if name in sweeps and sweeps[name].sizes["value"] > 1)
