"""What a job calls is what the fingerprint of its rule covers: else an edit would go unnoticed."""

import ast
import json
from collections import defaultdict
from functools import cache

from projects import REPOSITORY, smoke_layout
from wedgescape.provenance.determinants import Determinants
from wedgescape.provenance.fingerprints import IMPORTED, LIBRARY, WHOLE, Fingerprints, _defined

SCRIPTS = REPOSITORY / "scripts"


class Roots:
    """Gives the roots of the code in place of their fingerprint."""

    def of(self, *roots):
        return roots


def roots():
    """Rule -> where its code begins."""
    layout = smoke_layout()
    determinants = Determinants(layout, Roots(), lambda name: SCRIPTS / name)
    jobs = [
        determinants.data(),
        determinants.models(),
        determinants.training(layout.study.base, "0-1"),
        determinants.claims({}),
        *map(determinants.measurement, layout.catalogue.measurements.values()),
        *map(determinants.figure, layout.figures),
    ]
    return {job["rule"]: job["code"] for job in jobs}


@cache
def statements(file):
    return ast.parse(file.read_text()).body


def definition_at(file, line):
    """The names that the statement of a line defines."""
    for statement in statements(file):
        decorators = getattr(statement, "decorator_list", [])
        if min(node.lineno for node in [statement, *decorators]) <= line <= statement.end_lineno:
            return _defined(statement) or [IMPORTED]
    raise AssertionError(f"{file}, line {line}: not in a statement")


def missed(reached, called):
    """The definitions that a job calls, as pairs of a file and a line, although its code does not reach them."""
    covered = {(file.relative_to(LIBRARY).as_posix(), name) for file, name in reached if file.is_relative_to(LIBRARY)}
    pieces = {(file, name) for file, line in called for name in definition_at(LIBRARY / file, line)}
    return {(file, name) for file, name in pieces if not {(file, name), (file, WHOLE)} & covered}


def test_every_function_that_a_job_calls_is_covered_by_its_fingerprint(calls):
    notes = [json.loads(path.read_text()) for path in calls.iterdir()]
    scripts = {note["script"] for note in notes}
    of_rules = {path.name for path in SCRIPTS.glob("*.py") if "with job(snakemake)" in path.read_text()}
    assert scripts == of_rules - {"archive.py"}  # which is not part of a study, but made of it
    called = defaultdict(set)
    for note in notes:
        assert len(note["called"]) > 10, note["script"]  # the frame alone has more
        (rule,) = note["rules"]
        called[rule] |= {tuple(place) for place in note["called"]}
    assert called.keys() == roots().keys()
    code = Fingerprints(None)
    found = {rule: missed(code.reached(*begin), called[rule]) for rule, begin in roots().items()}
    assert {rule: pieces for rule, pieces in found.items() if pieces} == {}
