"""The rules of the verdicts: sentences, families, smallest effects and thresholds, all from config/rules.yaml.

What is estimated, and from what, the measurements say (`claims`); what it must be for a sentence to be supported stands
in that file alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import ValidationError, model_validator

from wedgescape.errors import InputError
from wedgescape.study.problems import dotted, problems
from wedgescape.study.sections import Section, key

LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # the first reads in a seventh of the time, and needs a C library


class Rule(Section):
    """What an estimate must be for a sentence to be supported, contradicted, or said to have no effect.

    With a `smallest_effect` e, an interval beyond e on the wanted side supports, one beyond e on the other side
    contradicts, one between -e and e says that there is no effect. With a `threshold`, its two sides support and
    contradict. Wanted `within`, an interval between -e and e supports, and one beyond e on either side contradicts.
    """

    sentence: str = key(help="The claim. {names} in braces are filled in by the measurement.", min_length=1)
    kind: Literal["paper", "ours", "check"] = key(
        help="paper: stated by the paper, with its words in `quote`; ours: an extension; check: the implementation or "
        "the toy model is right, which is no evidence about networks."
    )
    family: str = key(help="The family within which p-values are corrected; one of `families`.", min_length=1)
    wanted: Literal["above", "below", "within"] = key(help="On which side of the rule the sentence is true.")
    smallest_effect: float | None = key(
        None, "The smallest effect of interest, in the units of the quantity; or give a threshold.", gt=0
    )
    threshold: float | None = key(None, "The value at which the sentence begins to hold.")
    quote: str | None = key(None, "The paper's words, for kind paper.", min_length=1)

    @model_validator(mode="after")
    def _whole(self):
        if (self.smallest_effect is None) == (self.threshold is None):
            raise ValueError("a rule has either a smallest_effect or a threshold")
        if self.wanted == "within" and self.smallest_effect is None:
            raise ValueError("wanted: within needs a smallest_effect")
        if (self.quote is None) == (self.kind == "paper"):
            raise ValueError("kind paper needs a quote, and no other kind has one")
        return self


class RuleBook(Section):
    """All rules: the families of claims, which are chapters of the results, and a rule for each claim."""

    families: dict[str, str] = key(help="Name of each family -> its heading.")
    words: dict[str, str] = key({}, "What measurements fill into sentences -> how that is said.")
    claims: dict[str, Rule] = key(help="Name of each claim -> its rule.")

    @classmethod
    def read(cls, given: Mapping) -> RuleBook:
        """Return the book that `model_dump` has written."""
        return cls(**{**given, "claims": {name: Rule(**rule) for name, rule in given["claims"].items()}})

    def sentence(self, name: str, names: Mapping[str, object]) -> str:
        """Return the sentence of a claim.

        Args:
            name: of its rule.
            names: what its braces stand for.

        Raises:
            InputError: if the sentence has other braces.
        """
        try:
            said = self.claims[name].sentence.format(
                **{brace: self.words.get(str(value), value) for brace, value in names.items()}
            )
        except (KeyError, IndexError, ValueError) as error:
            allowed = ", ".join(f"{{{brace}}}" for brace in names) or "no braces"
            raise InputError(f"claims.{name}.sentence: its braces cannot be filled in; allowed: {allowed}") from error
        return said[0].upper() + said[1:]


def load_rules(path: Path, declared: Iterable[str]) -> RuleBook:
    """Read the rules and make sure that they are those of the claims that measurements make.

    Args:
        path: of rules.yaml.
        declared: the claims of all measurements.

    Raises:
        InputError: if the file cannot be read, has problems, lacks a claim or has one that nothing makes; it lists all.
    """
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: the rules of the verdicts cannot be read: {error}") from error
    if not isinstance(given, dict):
        raise InputError(f"{path}: found {type(given).__name__}; it must have the keys families and claims")
    claims, families = (given.get(name) if isinstance(given.get(name), dict) else {} for name in ("claims", "families"))
    declared = set(declared)
    # Rule by rule, then what is around them: the schema of a book does not say what is wrong inside a rule.
    lines = [line for name, rule in claims.items() for line in _faults(Rule, rule, f"claims.{name}")]
    lines += _faults(RuleBook, given | {"claims": {}}, "") if claims else _faults(RuleBook, given, "")
    lines += [f"claims.{name}: no measurement makes this claim" for name in claims if name not in declared]
    lines += [f"claims.{name}: missing; a measurement makes this claim" for name in sorted(declared - set(claims))]
    for name, rule in claims.items():
        family = rule.get("family") if isinstance(rule, dict) else None
        if isinstance(family, str) and family not in families:
            lines.append(f"claims.{name}.family: found {family}; allowed: one of {', '.join(map(str, families))}")
    if lines:
        raise InputError("\n  ".join([f"{path}: the rules of the verdicts have problems:", *lines]))
    return RuleBook.model_validate(given)


def _faults(kind: type[Section], given: object, where: str) -> list[str]:
    """Return what is wrong with a section, a line each."""
    if not isinstance(given, dict):
        return [f"{where}: found {json.dumps(given, default=str)}; allowed: section"]
    try:
        kind.model_validate(given)
    except ValidationError as error:
        whole = [one["msg"].removeprefix("Value error, ") for one in error.errors() if one["type"] == "value_error"]
        if whole:
            return [f"{where}: {text}" for text in whole]
        found = problems(error, given, kind).items()
        return [f"{f'{where}.' if where else ''}{dotted(path)}: {text}" for path, text in found]
    return []
