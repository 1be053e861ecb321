"""Rules are registered by the commit that last changed them; a confirmation takes the same rules and fresh seeds."""

import json
from datetime import UTC, datetime

import pandas as pd
import pytest

from wedgescape.analysis.comparison import compared
from wedgescape.errors import InputError
from wedgescape.figures import comparison
from wedgescape.provenance import registration as module
from wedgescape.provenance.registration import JUDGED, Registration, check_confirmation, registration

NOON, LATER = (datetime(2026, 5, 1, hour, tzinfo=UTC) for hour in (12, 15))
RULES = {"families": {"a": "A"}, "words": {}, "claims": {"x": {"threshold": 1.0}, "y": {"threshold": 2.0}}}


@pytest.mark.parametrize(
    ("commit", "changed", "clean", "trained", "before", "said"),
    [
        ("c" * 40, NOON, True, LATER, True, "before the first network was trained"),
        ("c" * 40, LATER, True, NOON, False, "chosen after exploring this data"),
        ("c" * 40, NOON, False, LATER, False, "changed since, without a commit"),
        ("c" * 40, NOON, True, None, None, "when the networks were trained is not known"),
        (None, None, True, LATER, None, "when they were last changed is not known"),
    ],
)
def test_rules_are_registered_before_training_or_not(commit, changed, clean, trained, before, said):
    found = Registration(commit, changed, clean, trained)
    assert found.before is before
    assert said in str(found)


def test_registration_asks_git_and_the_records(monkeypatch):
    answers = {"log": f"{'d' * 40} {int(NOON.timestamp())}\n", "status": ""}
    monkeypatch.setattr(module, "git", lambda command, *_: answers[command])
    records = [{"rule": "prepare_data", "started": 1.0}, {"rule": "train", "started": LATER.timestamp()}]
    monkeypatch.setattr(module, "read_records", lambda study: iter(records))
    assert registration("results/s") == Registration("d" * 40, NOON, True, LATER)
    answers["status"] = " M config/rules.yaml\n"
    assert not registration("results/s").clean
    assert registration("results/s", hosted="e" * 40).commit is None
    monkeypatch.setattr(module, "git", lambda *_: None)
    assert registration("results/s") == Registration(None, None, True, LATER)


@pytest.fixture
def explored(tmp_path):
    """The folder of a study that was judged."""
    path = tmp_path / "results/digits" / JUDGED
    path.parent.mkdir(parents=True)
    record = {"params": {"job": {"rules": RULES}}, "seeds": [0, 1, 2, 3], "source": {"commit": "f" * 40}}
    path.write_text(json.dumps(record))
    return tmp_path / "results/digits"


def test_fresh_seeds_and_the_same_rules_may_confirm(explored):
    check_confirmation(explored, RULES, [4, 5, 6])


def test_seeds_that_were_used_are_refused(explored):
    with pytest.raises(InputError, match=r"seeds 2 to 3 were used in .*Allowed: from 4 on"):
        check_confirmation(explored, RULES, [2, 3, 4, 5])


def test_rules_that_changed_since_are_refused_with_the_commits(explored, monkeypatch):
    monkeypatch.setattr(module, "registration", lambda study: Registration("a" * 40, NOON, True, NOON))
    changed = RULES | {"claims": RULES["claims"] | {"y": {"threshold": 3.0}, "z": {"threshold": 1.0}}}
    with pytest.raises(InputError) as error:
        check_confirmation(explored, changed, [4, 5])
    assert "claims.y, claims.z" in str(error.value)
    assert "f" * 12 in str(error.value)
    assert "a" * 12 in str(error.value)


def test_a_study_without_verdicts_cannot_be_confirmed(tmp_path):
    with pytest.raises(InputError, match="has no verdicts that could be confirmed"):
        check_confirmation(tmp_path / "none", RULES, [4])


# Several studies


def verdicts(**found):
    rows = [
        {"id": name, "family": name[0], "kind": "ours", "sentence": name.upper(), "verdict": verdict, "estimate": 1.0}
        for name, verdict in found.items()
    ]
    return pd.DataFrame(rows)


def test_studies_are_compared_claim_by_claim():
    first = verdicts(a1="supported", a2="supported", b1="undecided", b2="no effect")
    second = verdicts(a1="supported", a2="contradicted", b1="undecided", a3="supported")
    table = compared({"first": first, "second": second})
    assert table["id"].tolist() == ["a1", "a2", "a3", "b1", "b2"]
    assert table.set_index("id")["everywhere"].to_dict() == {"a1": "supported", "a2": "", "a3": "", "b1": "", "b2": ""}
    assert table.set_index("id").loc["a3", ["first", "second"]].tolist() == ["", "supported"]
    figure = comparison.draw(table, ["first", "second"])
    assert {text.get_text() for text in figure.axes[0].texts} == {"A1", "A2", "B1"}
    assert figure.legends[0].texts[-1].get_text() == "not drawn: 2 claims of one study alone"


def test_studies_that_share_no_claim_are_compared_too():
    table = compared({"first": verdicts(a1="supported"), "second": verdicts(b1="supported")})
    assert not comparison.draw(table, ["first", "second"]).axes[0].texts


def test_no_sentence_of_a_comparison_is_cut_off():
    table = compared({"first": verdicts(a1="supported"), "second": verdicts(a1="supported")})
    table["sentence"] = "A sentence with many words. " * 8
    figure = comparison.draw(table, ["first", "second"])
    assert figure.axes[0].texts[0].get_window_extent().x0 > 0
