"""Fingerprints of code: all that a script reaches, and nothing else."""

import ast
import json
import os
import shutil
import textwrap
from pathlib import Path

import pytest

from wedgescape.provenance import fingerprints
from wedgescape.provenance.fingerprints import Fingerprints, fingerprint, reached

MODULES = {
    "deep.py": '''
        """At the bottom."""

        LIMIT, OTHER = 3, 4


        def double(x):
            """Twice."""
            return LIMIT and 2 * x  # a comment


        def beside(x):
            return 5 * x
        ''',
    "direct.py": """
        import json

        from wedgescape import deep
        from wedgescape.deep import beside as neighbour

        def four_times(x):
            return deep.double(deep.double(x))

        def unused(x):
            return neighbour(x)
        """,
    "classes.py": """
        from dataclasses import dataclass

        def kept(function):
            return function

        class Base:
            def size(self):
                return 1

        @dataclass
        class Part(Base):
            width: int = 1

            @kept
            def area(self):
                return self.width * factor(self)

        def factor(part):
            return 3

        def make():
            return Part()
        """,
    "passed.py": "from wedgescape.classes import make as build\n",
    "opaque.py": "FIRST = 1\n\n\ndef second():\n    return 2\n",
    "lazy.py": "DEPTH = 1\nNOTHING = 0\n",
    "imported.py": "import os\n\nos.environ.setdefault('A', '1')\nREACHED = 0\n",
    "aliased.py": "VALUE = 1\nREST = 1\n",
    "shadowed.py": "def value():\n    return 1\n\n\ndef item():\n    return 1\n\n\ndef outer():\n    return 1\n",
    "unreached.py": "NOTHING = 0\n",
    "__init__.py": '"""The library."""\n\nSETTING = 1\nprint("first")\n',
}
SCRIPT = """
    import wedgescape.aliased as other
    import wedgescape.imported
    from wedgescape import opaque
    from wedgescape.direct import four_times
    from wedgescape.passed import build
    from wedgescape.shadowed import item, outer, value

    def late():
        if four_times(1):
            from wedgescape.lazy import DEPTH
        return DEPTH, other.VALUE, build(), list(vars(opaque))

    def local(value):
        items = [item for item in value]
        return items, outer, lambda outer: outer + 1
    """


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small library with a script above it; its folder."""
    folder = tmp_path / "scripts" / "wedgescape"
    folder.mkdir(parents=True)
    for name, text in MODULES.items():
        (folder / name).write_text(textwrap.dedent(text))
    (tmp_path / "scripts" / "measure.py").write_text(textwrap.dedent(SCRIPT))
    monkeypatch.setattr(fingerprints, "LIBRARY", folder)
    return folder


def forget():
    """Empty what the module keeps of files: in one process, a workflow's sources do not change; here they do."""
    for kept in (fingerprint, fingerprints._Source, fingerprints._module, fingerprints._place, fingerprints._loaded):
        kept.cache_clear()


def fingerprint_of(library, *more):
    forget()
    return fingerprint(library.parent / "measure.py", *more)


@pytest.fixture(autouse=True)
def _forget():
    yield
    forget()


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("deep.py", "a comment", "another comment"),
        ("deep.py", '"""Twice."""', '"""Two times."""'),
        ("deep.py", '"""At the bottom."""', '"""Of the sea."""'),
        ("deep.py", '    """Twice."""\n', ""),
        ("deep.py", "return LIMIT and 2 * x", "return (\n        LIMIT and\n        2\n        * x\n    )"),
        ("deep.py", "\n\n\n", "\n"),
        ("../measure.py", "import wedgescape.aliased", "# why\n\nimport wedgescape.aliased"),
        ("unreached.py", "0", "1"),
        # beside what is reached, in the same file
        ("deep.py", "5 * x", "6 * x"),
        ("direct.py", "neighbour(x)", "neighbour(x + 1)"),
        ("direct.py", "import json", "import json\nimport math"),
        ("lazy.py", "NOTHING = 0", "NOTHING = 1"),
        ("aliased.py", "REST = 1", "REST = 2"),
        ("imported.py", "REACHED = 0", "REACHED = 0\nMORE = 1"),
    ],
)
def test_fingerprint_stays_where_the_logic_does(library, file, old, new):
    before = fingerprint_of(library)
    edit(library / file, old, new)
    assert fingerprint_of(library) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("../measure.py", "four_times(1)", "four_times(2)"),
        ("../measure.py", "item, outer, value", "item, item as outer, value"),
        ("direct.py", "deep.double(x)", "deep.double(x + 1)"),
        ("direct.py", "four_times", "three_times"),
        ("deep.py", "2 * x", "3 * x"),
        ("deep.py", "LIMIT, OTHER = 3, 4", "LIMIT, OTHER = 4, 4"),
        ("lazy.py", "DEPTH = 1", "DEPTH = 2"),
        ("aliased.py", "VALUE = 1", "VALUE = 2"),
        # through a class: its base, its decorators, what its methods use; through a file that hands it on
        ("classes.py", "return 1", "return 2"),
        ("classes.py", "return function", "return lambda *all: function(*all)"),
        ("classes.py", "return 3", "return 4"),
        ("classes.py", "width: int = 1", "width: int = 2"),
        ("classes.py", "@dataclass", "@dataclass()"),
        ("passed.py", "make as build", "Part as build"),
        # of a module that is used as a whole: all
        ("opaque.py", "FIRST = 1", "FIRST = 2"),
        ("opaque.py", "return 2", "return 3"),
        # what runs when it is imported
        ("imported.py", "'1'", "'2'"),
        ("__init__.py", "first", "second"),
    ],
)
def test_fingerprint_changes_with_the_logic_of_what_is_reached(library, file, old, new):
    before = fingerprint_of(library)
    edit(library / file, old, new)
    assert fingerprint_of(library) != before


def test_what_is_reached_is_followed_by_names(library):
    names = {}
    for file, name in reached(library.parent / "measure.py"):
        names.setdefault(file.stem, set()).add(name)
    assert names == {
        "measure": {"*"},
        "direct": {"", "deep", "four_times"},
        "deep": {"", "double", "LIMIT", "OTHER"},
        "passed": {"", "build"},
        "classes": {"", "make", "Part", "Base", "dataclass", "kept", "factor"},
        "opaque": {"", "*"},
        "lazy": {"", "DEPTH"},
        "imported": {"", "os"},
        "aliased": {"", "VALUE"},
        "shadowed": {"", "outer"},  # `value` and `item` stand for something else where they are used
        "__init__": {""},
    }


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("def f(a, *b, c=d, **e): return a, b, c, e, g", {"d", "g"}),
        ("def f():\n    global a\n    a = 1", {"a"}),
        ("def f():\n    a = 1\n    def g(): return a, b", {"b"}),
        ("def f():\n    def g(a): return a\n    return a", {"a"}),
        ("def f():\n    [a for a in b if (c := a)]\n    return a, c", {"a", "b"}),
        ("[a for a in a]", {"a"}),
        ("{a: b for a in c for b in a}", {"c"}),
        ("lambda a, b=c: a + b + d", {"c", "d"}),
        ("class A(B):\n    a = 1\n    def f(self): return a", {"B", "a"}),
        ("@a\ndef f(b: c = d) -> e: ...", {"a", "d"}),
        ("def f():\n    for a, (b, *c) in d: pass\n    with e as g: return a, b, c, g", {"d", "e"}),
        ("def f():\n    try: a\n    except b as c: c", {"a", "b"}),
        ("def f(x):\n    match x:\n        case {'k': a, **b}: return a, b, c\n        case [*d, A()]: d", {"c", "A"}),
        ("def f():\n    import a\n    return a.b", {"a"}),
        ("def f():\n    a: b = c\n    a[d].e += g", {"c", "d", "g"}),
    ],
)
def test_names_are_those_of_the_file_and_not_of_a_function(tmp_path, text, used):
    file = tmp_path / "code.py"
    file.write_text(text)
    source = fingerprints._Source(file)
    found = {name for statement in source.statements["*"] for name, _attribute in source._uses(statement)}
    assert found == used


def test_fingerprint_stays_after_a_touch_and_in_another_folder(library, tmp_path, monkeypatch):
    before = fingerprint_of(library)
    assert len(before) == 16
    assert int(before, 16) >= 0
    os.utime(library / "deep.py", (0, 0))
    assert fingerprint_of(library) == before
    shutil.copytree(tmp_path / "scripts", tmp_path / "clone")
    monkeypatch.setattr(fingerprints, "LIBRARY", tmp_path / "clone" / "wedgescape")
    assert fingerprint_of(tmp_path / "clone" / "wedgescape") == before


def test_a_fingerprint_is_the_same_in_all_versions_of_python():
    """What a version of the syntax tree has in addition, such as the type parameters of 3.12, does not show."""
    tree = ast.parse("def double(x: int):\n    return f'{2 * x}'")
    tree.body[0].type_params = []
    tree.body[0]._fields = (*ast.FunctionDef._fields, "type_params")
    assert fingerprints._written(tree) == (
        "Module(body=[FunctionDef(name='double', args=arguments(args=[arg(arg='x', annotation=Name(id='int', "
        "ctx=Load()))]), body=[Return(value=JoinedStr(values=[FormattedValue(value=BinOp(left=Constant(value=2), "
        "op=Mult(), right=Name(id='x', ctx=Load())), conversion=-1)]))])])"
    )


def test_fingerprint_counts_a_users_file(library, tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def net(): return 1\n")
    without, before = fingerprint_of(library), fingerprint_of(library, own)
    assert before != without
    own.write_text("# mine\ndef net():\n    return 1\n")
    assert fingerprint_of(library, own) == before
    own.write_text("def net(): return 2\n")
    assert fingerprint_of(library, own) != before


def test_fingerprint_of_a_users_file_that_does_not_parse_or_is_not_there_raises_nothing(library, tmp_path):
    own = tmp_path / "own.py"
    absent = fingerprint_of(library, own)
    own.write_text("def net(:\n")
    broken = fingerprint_of(library, own)
    own.write_text("def net(: # edited\n")
    assert len({absent, broken, fingerprint_of(library, own)}) == 3


# Rooms, and measurements in them

ROOMS = {
    "shapes/__init__.py": "READY = 1\nprint('shapes')\n",
    "shapes/round.py": "def area(x):\n    return 3 * x\n\n\ndef rim(x):\n    return 6 * x\n",
    "looks/__init__.py": "",
    "looks/round.py": "def area(x):\n    return 'round'\n",
    "study/sections.py": "class Section:\n    pass\n\n\ndef key(default, help):\n    return default\n",
    "shapes/measured.py": """
        from typing import TYPE_CHECKING

        from wedgescape.shapes import round
        from wedgescape.study.sections import Section, key

        if TYPE_CHECKING:
            from wedgescape.looks import round as look

        class Settings(Section):
            turns: int = key(8, "Turns.")

            @property
            def twice(self):
                return 2 * self.turns

        VARIABLES = {"area": 1}

        def measure(optima: look.Optima, settings=Settings()):
            return round.area(settings.twice)

        def claims(measured):
            return round.rim(measured)
        """,
}


@pytest.fixture
def rooms(library):
    for name, text in ROOMS.items():
        (library / name).parent.mkdir(exist_ok=True)
        (library / name).write_text(textwrap.dedent(text))
    return library


def measured(library, *names):
    forget()
    return fingerprint((library / "shapes/measured.py", names or ("VARIABLES", "measure")))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("shapes/measured.py", '{"area": 1}', '{"area": 2}'),
        ("shapes/measured.py", "round.area(settings.twice)", "round.area(settings.turns)"),
        ("shapes/measured.py", "2 * self.turns", "3 * self.turns"),  # a property of the settings decides a result
        ("shapes/round.py", "3 * x", "4 * x"),
        ("shapes/__init__.py", "print('shapes')", "print('forms')"),
    ],
)
def test_a_measurement_s_fingerprint_changes_with_what_measures(rooms, file, old, new):
    before, path = measured(rooms), rooms / file
    path.write_text(path.read_text().replace(old, new))
    assert measured(rooms) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("shapes/measured.py", "round.rim(measured)", "round.rim(2 * measured)"),  # only the claims use it
        ("shapes/measured.py", 'key(8, "Turns.")', 'key(9, "Turns of it.")'),  # the value is in the job's parameters
        ("shapes/measured.py", "looks import round", "looks import square"),  # only type checkers read it
        ("shapes/round.py", "6 * x", "7 * x"),
        ("looks/round.py", "'round'", "'square'"),  # another module of the same name
        ("study/sections.py", "return default", "return help"),
    ],
)
def test_a_measurement_s_fingerprint_stays_after_edits_beside_it(rooms, file, old, new):
    before, path = measured(rooms), rooms / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert measured(rooms) == before


def test_parts_that_a_file_does_not_have_are_passed_over(rooms):
    assert measured(rooms, "measure", "tabulate") == measured(rooms, "measure")
    assert measured(rooms, "claims") != measured(rooms, "measure")


def test_modules_of_one_name_in_two_rooms_are_not_mixed_up(rooms):
    forget()
    shapes, looks = ((rooms / room / "round.py", ("area",)) for room in ("shapes", "looks"))
    assert reached(shapes) & reached(looks) == {(rooms / "__init__.py", "")}
    (rooms / "looks/round.py").write_text((rooms / "shapes/round.py").read_text())
    forget()
    assert fingerprint(shapes) != fingerprint(looks)


# Kept fingerprints


def test_fingerprints_are_kept_until_the_code_changes(rooms, tmp_path, monkeypatch):
    kept, root = tmp_path / "kept/fingerprints.json", (rooms / "shapes/measured.py", ["measure"])
    first = Fingerprints(kept).of(root)
    assert first == measured(rooms, "measure")
    with monkeypatch.context() as patched:
        patched.setattr(fingerprints, "fingerprint", lambda *_roots: pytest.fail("it was computed again"))
        assert Fingerprints(kept).of(root) == first
    (rooms / "shapes/round.py").write_text("def area(x):\n    return 5 * x\n")
    forget()
    assert Fingerprints(kept).of(root) == measured(rooms, "measure") != first


def test_a_users_file_that_changes_is_no_other_one_s_fingerprint(rooms, tmp_path):
    own, kept = tmp_path / "own.py", tmp_path / "kept.json"
    own.write_text("def net(): return 1\n")
    before = Fingerprints(kept).of(own)
    own.write_text("def net(): return 2\n")
    forget()
    assert Fingerprints(kept).of(own) != before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"library": 1}', '{"fingerprints": {}}'])
def test_a_damaged_file_of_kept_fingerprints_is_made_anew(rooms, tmp_path, content):
    kept, root = tmp_path / "kept.json", (rooms / "shapes/measured.py", ["measure"])
    kept.write_text(content)
    forget()
    assert Fingerprints(kept).of(root) == measured(rooms, "measure")
    assert json.loads(kept.read_text())["fingerprints"]


def test_fingerprints_that_cannot_be_kept_are_computed(rooms):
    root = (rooms / "shapes/measured.py", ["measure"])
    assert Fingerprints(Path("/proc/kept.json")).of(root) == Fingerprints(None).of(root)


# The library


SCRIPTS = Path(fingerprints.__file__).parents[2]
TUNNELS = (SCRIPTS / "wedgescape/measurements/tunnels.py", ["VARIABLES", "measure"])


def test_a_measurement_reaches_the_functions_that_it_needs():
    forget()
    found = {(file.stem, name) for file, name in reached(SCRIPTS / "measure.py", TUNNELS)}
    assert {("tunnels", "measure"), ("crossings", "first_crossing"), ("networks", "NetworkLandscape")} <= found
    assert {("models", "resnet20"), ("zarr_stores", "write_store"), ("frame", "job")} <= found
    assert not {("tunnels", "summarise"), ("tunnels", "claims"), ("train", "train"), ("descent", "descend")} & found


# The catalogue reads settings from a file, a job imports the file whose functions are its roots, and plans are no results.
LOOKS_UP = {"catalogue.py": {"exec"}, "arguments.py": {"import_module"}, "planning.py": {"import_module"}}


def test_nothing_else_of_the_library_is_looked_up_by_text():
    """What is not named cannot be followed."""
    for file in SCRIPTS.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr == "import_module"}
        found = {"__import__", "globals", "eval", "exec", "import_module"} & names
        assert found <= LOOKS_UP.get(file.name, set()), file
