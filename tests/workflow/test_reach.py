"""What a job calls is what the fingerprint of its rule covers: else an edit would go unnoticed."""

import ast
import json

from projects import REPOSITORY
from wedgescape.provenance.fingerprints import IMPORTED, WHOLE, _defined, reached

SCRIPTS = REPOSITORY / "scripts"


def definition_at(file, line):
    """The names that the statement of a line defines."""
    for statement in ast.parse(file.read_text()).body:
        decorators = getattr(statement, "decorator_list", [])
        if min(node.lineno for node in [statement, *decorators]) <= line <= statement.end_lineno:
            return _defined(statement) or [IMPORTED]
    raise AssertionError(f"{file}, line {line}: not in a statement")


def test_every_function_that_a_job_calls_is_covered_by_its_fingerprint(calls):
    notes = [json.loads(path.read_text()) for path in calls.iterdir()]
    scripts = {note["script"] for note in notes}
    of_rules = {path.name for path in SCRIPTS.glob("*.py") if "with job(snakemake)" in path.read_text()}
    assert scripts == of_rules - {"archive.py"}  # which is not part of a study, but made of it
    missed = {}
    for note in notes:
        covered = {(file.name, name) for file, name in reached(SCRIPTS / note["script"])}
        for name, line in note["called"]:
            pieces = {(name, definition) for definition in definition_at(SCRIPTS / "wedgescape" / name, line)}
            if not (pieces | {(name, WHOLE)}) & covered:
                missed.setdefault(note["script"], set()).update(pieces)
        assert len(note["called"]) > 10, note["script"]  # the frame alone has more
    assert missed == {}
