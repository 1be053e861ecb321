"""What a job calls is what the fingerprint of its rule covers: else an edit would go unnoticed."""

import ast
import json
from collections import defaultdict
from functools import cache

import pytest

from projects import REPOSITORY, TRACING, smoke_layout
from wedgescape.provenance.determinants import Determinants
from wedgescape.provenance.fingerprints import IMPORTED, LIBRARY, WHOLE, Fingerprints, _defined
from wedgescape.study.catalogue import catalogue
from wedgescape.study.layout import Layout
from wedgescape.study.study import load_study

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
        determinants.first_page({}),
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
    by_name, of_given = {"archive.py", "explorer.py"}, {"read_networks.py"}  # which a study does not run by itself
    assert scripts == of_rules - by_name - of_given
    called = defaultdict(set)
    for note in notes:
        assert len(note["called"]) > 10, note["script"]  # the frame alone has more
        (rule,) = note["rules"]
        called[rule] |= {tuple(place) for place in note["called"]}
    assert called.keys() == roots().keys()
    code = Fingerprints(None)
    found = {rule: missed(code.reached(*begin), called[rule]) for rule, begin in roots().items()}
    assert {rule: pieces for rule, pieces in found.items() if pieces} == {}


@pytest.mark.slow
def test_so_is_what_reads_given_networks(finished, tmp_path, monkeypatch):
    finished.python("scripts/export.py", "results/smoke")
    networks = {"table": "results/smoke/export/networks.csv", "model": {"name": "mlp"}}
    config = {"study": "given", "dataset": "digits", "defaults": "smoke", "networks": networks}
    (finished.folder / "given.json").write_text(json.dumps(config))
    monkeypatch.chdir(finished.folder)
    layout = Layout(load_study(config, catalogue()), catalogue())
    determinants = Determinants(layout, Roots(), lambda name: SCRIPTS / name)
    base = layout.study.base
    begin = determinants.reading(base, layout.study.seed_chunks[0])["code"]
    wanted = [*layout.first_weights(base), "results/given/tables/models.csv"]
    calls = tmp_path / "calls"
    calls.mkdir()
    traced = {"CALLS_FOLDER": str(calls), "PYTHONPATH": str(TRACING)}
    finished.snakemake("--cores", "2", "--configfile", "given.json", "--", *wanted, **traced)
    notes = {note["script"]: note["called"] for note in (json.loads(one.read_text()) for one in calls.iterdir())}
    code = Fingerprints(None)
    for script, roots_of_it in (("read_networks.py", begin), ("check_models.py", determinants.models()["code"])):
        assert len(notes[script]) > 10
        assert missed(code.reached(*roots_of_it), {tuple(place) for place in notes[script]}) == set()
