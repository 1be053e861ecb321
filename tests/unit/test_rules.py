"""The rules of the verdicts are read whole, or one message lists everything that is wrong."""

from pathlib import Path

import pytest
import yaml

from wedgescape.errors import InputError
from wedgescape.study.catalogue import catalogue
from wedgescape.study.rules import Rule, RuleBook, load_rules

REPOSITORY = Path(__file__).resolve().parents[2]
RULE = {"sentence": "It rises with {width}", "kind": "ours", "family": "tunnels", "wanted": "above", "threshold": 1.0}


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a file of rules and reads it."""

    def read(claims, declared=None, families=("tunnels",), **more):
        path = tmp_path / "rules.yaml"
        path.write_text(yaml.safe_dump({"families": dict.fromkeys(families, "A chapter"), "claims": claims, **more}))
        return load_rules(path, claims if declared is None else declared)

    return read


def test_the_shipped_rules_are_those_of_the_measurements():
    book = load_rules(REPOSITORY / "config/rules.yaml", catalogue().claims)
    assert set(book.claims) == set(catalogue().claims)
    assert {rule.family for rule in book.claims.values()} == set(book.families)


def test_sentences_are_filled_in_words(written):
    book = written({"a": RULE | {"sentence": "{method} rise"}}, words={"swa": "weight averages"})
    assert book.sentence("a", {"method": "swa"}) == "Weight averages rise"
    assert book.sentence("a", {"method": "others"}) == "Others rise"
    with pytest.raises(InputError, match=r"claims\.a\.sentence: .* allowed: \{width\}"):
        book.sentence("a", {"width": 3})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": None}, "claims.a: a rule has either a smallest_effect or a threshold"),
        ({"smallest_effect": 1.0}, "claims.a: a rule has either a smallest_effect or a threshold"),
        ({"wanted": "within"}, "claims.a: wanted: within needs a smallest_effect"),
        ({"kind": "paper"}, "claims.a: kind paper needs a quote, and no other kind has one"),
        ({"quote": "so it is"}, "claims.a: kind paper needs a quote, and no other kind has one"),
        ({"kind": "theirs"}, 'claims.a.kind: found "theirs"; allowed: one of paper, ours, check'),
        ({"threshold": "much"}, 'claims.a.threshold: found "much"; allowed: number'),
        ({"treshold": 2.0}, "claims.a.treshold: unknown key (did you mean threshold?)"),
        ({"family": "tunels"}, "claims.a.family: found tunels; allowed: one of tunnels"),
        ({"smallest_effect": -1.0, "threshold": None}, "claims.a.smallest_effect: found -1.0; allowed: number > 0"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(written, change, said):
    with pytest.raises(InputError) as error:
        written({"a": RULE | change})
    assert said in str(error.value)
    assert "rules.yaml: the rules of the verdicts have problems:" in str(error.value)


def test_claims_without_a_rule_and_rules_without_a_claim_are_listed_together(written):
    with pytest.raises(InputError) as error:
        written({"a": RULE, "b": RULE | {"kind": "none"}}, declared=["a", "c"])
    lines = str(error.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        'claims.b.kind: found "none"; allowed: one of paper, ours, check',
        "claims.b: no measurement makes this claim",
        "claims.c: missing; a measurement makes this claim",
    ]


@pytest.mark.parametrize("text", ["- a list", "claims: [", "", "families: 3\nclaims: 4\n"])
def test_a_file_that_holds_no_rules_is_refused(tmp_path, text):
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(InputError, match=r"rules\.yaml"):
        load_rules(tmp_path / "rules.yaml", [])
    with pytest.raises(InputError, match="cannot be read"):
        load_rules(tmp_path / "none.yaml", [])


def test_a_book_comes_back_from_what_a_job_is_given():
    book = load_rules(REPOSITORY / "config/rules.yaml", catalogue().claims)
    assert RuleBook.read(book.model_dump()) == book


def test_rules_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Rule(**RULE).threshold = 2.0
