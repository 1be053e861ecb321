"""Registration: which rules a study was judged by, when they were last changed, and whether a confirmation may stand.

Rules that were written before the networks were trained cannot have been chosen to fit them. *Exploration* is the
study on which rules were chosen. *Confirmation* judges the same claims, by the same rules, on seeds never used before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wedgescape.errors import InputError
from wedgescape.provenance.records import FOLDER, git, read_records

RULES = "config/rules.yaml"
JUDGED = Path(FOLDER) / "judge_claims/judge_claims.json"  # in a study's folder


@dataclass(frozen=True)
class Registration:
    """When the rules were fixed, beside when the networks were trained.

    Args:
        commit: that last changed the rules; None where git knows nothing of them.
        changed: when that was.
        clean: whether the rules are as that commit left them.
        trained: when the first training began; None where there is no record of one.
    """

    commit: str | None
    changed: datetime | None
    clean: bool
    trained: datetime | None

    @property
    def before(self) -> bool | None:
        """Whether the rules were fixed before any network was trained; None where that is not known."""
        if not self.changed or not self.trained:
            return None
        return self.clean and self.changed <= self.trained

    def __str__(self) -> str:
        if self.commit is None:
            return "when they were last changed is not known."
        said = f"commit {self.commit[:12]} of {self.changed:%Y-%m-%d %H:%M} UTC last changed them"
        if not self.clean:
            return f"{said}, and they have been changed since, without a commit."
        if self.before is None:
            return f"{said}; when the networks were trained is not known."
        if self.before:
            return f"{said}, before the first network was trained ({self.trained:%Y-%m-%d %H:%M} UTC)."
        return (
            f"{said}, after the first network was trained ({self.trained:%Y-%m-%d %H:%M} UTC): they may have been "
            "chosen after exploring this data."
        )


def registration(study: str | Path, hosted: str | None = None) -> Registration:
    """Return when the rules were fixed, and when the networks of a study were trained.

    Args:
        study: its folder.
        hosted: the commit of a hosted repository, of which no more than files is here.
    """
    begun = [record["started"] for record in read_records(study) if record["rule"] == "train"]
    trained = datetime.fromtimestamp(min(begun), UTC) if begun else None
    said = None if hosted else git("log", "-1", "--format=%H %ct", "--", RULES)
    if not said or not said.strip():
        return Registration(None, None, True, trained)
    commit, seconds = said.split()
    clean = not (git("status", "--porcelain", "--", RULES) or "").strip()
    return Registration(commit, datetime.fromtimestamp(int(seconds), UTC), clean, trained)


def check_confirmation(explored: str | Path, rules: Mapping, seeds: list[int]) -> None:
    """Make sure that a study can confirm another: the same rules, and seeds that were not used before.

    Args:
        explored: folder of the study to be confirmed.
        rules: all of config/rules.yaml.
        seeds: of the confirmation.

    Raises:
        InputError: if the study was not judged yet, or judged by other rules, or has some of the seeds.
    """
    path = Path(explored) / JUDGED
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        before, used = record["params"]["job"]["rules"], set(record["seeds"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"confirms: {explored} has no verdicts that could be confirmed ({path} cannot be read). Run it first"
        ) from error
    if shared := sorted(used & set(seeds)):
        raise InputError(
            f"first_seed: seeds {shared[0]} to {shared[-1]} were used in {explored}; a confirmation needs seeds that "
            f"were never used. Allowed: from {max(used) + 1} on"
        )
    if changed := _changes(before, dict(rules)):
        then = (record.get("source") or {}).get("commit") or "unknown"
        now = registration(explored).commit or "unknown"
        raise InputError(
            f"{RULES}: changed since {explored} was judged (then at commit {then[:12]}, last changed by commit "
            f"{now[:12]}): {', '.join(changed)}. A confirmation needs the same rules: judge {explored} again by the "
            "new ones first, and take fresh seeds for them"
        )


def _changes(before: dict, now: dict) -> list[str]:
    """Return what differs between two books of rules."""
    found = [part for part in ("families", "words") if before.get(part) != now.get(part)]
    claims, others = before.get("claims", {}), now.get("claims", {})
    return found + [f"claims.{name}" for name in {**claims, **others} if claims.get(name) != others.get(name)]
