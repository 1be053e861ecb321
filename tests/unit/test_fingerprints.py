"""Fingerprints of code: all that a script reaches, and nothing else."""

import ast
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from wedgescape.provenance import fingerprints
from wedgescape.provenance.fingerprints import Fingerprints, fingerprint

SCRIPTS = Path(fingerprints.__file__).parents[2]

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


def reached(*roots):
    return Fingerprints(None).reached(*roots)


def fingerprint_of(library, *more):
    return fingerprint(library.parent / "measure.py", *more)


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
        ("deep.py", "def double(x):", "def double(x: int) -> int:"),
        ("aliased.py", "VALUE = 1", "VALUE: int = 1"),
        ("../measure.py", "import wedgescape.aliased", "# why\n\nimport wedgescape.aliased"),
        ("unreached.py", "0", "1"),
        # beside what is reached, in the same file
        ("deep.py", "5 * x", "6 * x"),
        ("direct.py", "neighbour(x)", "neighbour(x + 1)"),
        ("direct.py", "import json", "import json\nimport math"),
        ("direct.py", "import json", "from wedgescape import unreached"),  # which does nothing when it is imported
        ("direct.py", "import beside as neighbour", "import OTHER, beside as neighbour"),
        ("shadowed.py", "def value", "from wedgescape.deep import beside, double\n\n\ndef value"),
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
        ("classes.py", "width: int = 1", "width: ClassVar[int] = 1"),  # then it is no field of the dataclass
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
        "opaque": {"*"},
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
    source = fingerprints._Source(file, file.read_bytes())
    assert {name for name, *_attributes in source.uses["*"]} == used


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
        "Module(body=[FunctionDef(name='double', args=arguments(args=[arg(arg='x')]), body=["
        "Return(value=JoinedStr(values=[FormattedValue(value=BinOp(left=Constant(value=2), "
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


def test_fingerprint_reads_a_users_file_in_its_own_encoding(library, tmp_path):
    own = tmp_path / "own.py"
    own.write_text("NAME = 'größe'\n", encoding="utf-8")
    before = fingerprint(own)
    own.write_text("# coding: latin-1\nNAME = 'größe'\n", encoding="latin-1")
    assert fingerprint(own) == before


# Rooms, and measurements in them

ROOMS = {
    "shapes/__init__.py": "from wedgescape.shapes import round\n\nREADY = 1\nprint('shapes')\n",
    "shapes/round.py": "def area(x):\n    return 3 * x\n\n\ndef rim(x):\n    return 6 * x\n",
    "looks/__init__.py": "",
    "looks/round.py": "def area(x):\n    return 'round'\n",
    "looks/loud.py": "print('loud')\n",
    "study/__init__.py": "",
    "study/sections.py": "class Section:\n    pass\n\n\ndef key(default, help):\n    return default\n",
    "shapes/measured.py": """
        from typing import TYPE_CHECKING

        from wedgescape.shapes import round
        from wedgescape.study.sections import Section, key

        if TYPE_CHECKING:
            from wedgescape.looks import loud
            from wedgescape.looks import round as look
        else:
            print("runs")

        class Halved:
            def half(self):
                return self.turns / 2

        class Settings(Section, Halved):
            turns: int = key(8, "Turns.")
            MOST: ClassVar[int] = 9

            @property
            def twice(self):
                return 2 * self.turns

        class Special(Settings):
            angle: int = key(1, "Angle.")

        VARIABLES = {"area": 1}

        def measure(optima: look.Optima, settings: Settings, special=Special()):
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
    return fingerprint((library / "shapes/measured.py", names or ("VARIABLES", "measure")))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("shapes/measured.py", '{"area": 1}', '{"area": 2}'),
        ("shapes/measured.py", "round.area(settings.twice)", "round.area(settings.turns)"),
        # what the settings have beside keys; a job finds their class by the annotation
        ("shapes/measured.py", "2 * self.turns", "3 * self.turns"),
        ("shapes/measured.py", "self.turns / 2", "self.turns // 2"),
        ("shapes/measured.py", "MOST: ClassVar[int] = 9", "MOST: ClassVar[int] = 8"),
        ("shapes/measured.py", "runs", "executes"),
        ("shapes/round.py", "3 * x", "4 * x"),
        ("shapes/__init__.py", "print('shapes')", "print('forms')"),
    ],
)
def test_a_measurement_s_fingerprint_changes_with_what_measures(rooms, file, old, new):
    before = measured(rooms)
    edit(rooms / file, old, new)
    assert measured(rooms) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("shapes/measured.py", "round.rim(measured)", "round.rim(2 * measured)"),  # only the claims use it
        ("shapes/measured.py", 'key(8, "Turns.")', 'key(9, "Turns of it.")'),  # the value is in the job's parameters
        ("shapes/measured.py", 'key(1, "Angle.")', 'key(2, "Angles.")'),
        ("shapes/measured.py", "looks import round", "looks import square"),  # only type checkers read it
        ("looks/loud.py", "loud", "louder"),
        ("shapes/round.py", "6 * x", "7 * x"),
        ("looks/round.py", "'round'", "'square'"),  # another module of the same name
        ("study/sections.py", "return default", "return help"),
    ],
)
def test_a_measurement_s_fingerprint_stays_after_edits_beside_it(rooms, file, old, new):
    before = measured(rooms)
    edit(rooms / file, old, new)
    assert measured(rooms) == before


@pytest.mark.parametrize(
    "script",
    [
        "from wedgescape.shapes import round\nround.area(1)\n",
        "from wedgescape.shapes.round import area\narea(1)\n",
        "from wedgescape import shapes\nshapes.round.area(1)\n",
        "import wedgescape.shapes.round\nwedgescape.shapes.round.area(1)\n",
        "import wedgescape.shapes.round as one\none.area(1)\n",
        "import wedgescape\nwedgescape.surface(1)\n",
        "from wedgescape import surface\nsurface(1)\n",
        "def late():\n    from wedgescape import surface\n    return surface(1)\n",
    ],
)
def test_a_function_is_found_in_its_room_however_it_is_imported(rooms, script):
    own = rooms.parent / "own.py"
    own.write_text(script)
    (rooms / "__init__.py").write_text("from wedgescape.shapes.round import area as surface\n")
    assert (rooms / "shapes/round.py", "area") in reached(own)
    assert not {(rooms / "shapes/round.py", name) for name in ("rim", "*")} & reached(own)


def test_all_of_a_module_counts_where_all_its_names_are_imported(rooms):
    own = rooms.parent / "own.py"
    own.write_text("from math import *\nfrom wedgescape.shapes.round import *\n\narea(pi)\n")
    assert (rooms / "shapes/round.py", "*") in reached(own)


def test_a_users_class_that_is_named_like_a_section_counts_with_its_attributes(rooms):
    own = rooms.parent / "own.py"
    own.write_text("class Section: ...\n\n\nclass Net(Section):\n    width: int = 1\n")
    before = fingerprint(own)
    edit(own, "width: int = 1", "width: int = 2")
    assert fingerprint(own) != before


def test_the_order_in_which_definitions_are_found_decides_nothing(rooms):
    """Python goes through a set in another order in every process."""
    own = rooms.parent / "own.py"
    own.write_text(
        "from wedgescape import deep, opaque\nfrom wedgescape.direct import unused\n"
        "from wedgescape.opaque import second\n\nprint(second, deep, opaque, unused)\n"
    )
    program = (
        "from pathlib import Path; from wedgescape.provenance import fingerprints as found; "
        f"found.LIBRARY = Path({str(rooms)!r}); print(found.fingerprint({str(own)!r}))"
    )
    values = {
        subprocess.check_output([sys.executable, "-c", program], cwd=SCRIPTS, env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in "12345"
    }
    assert len(values) == 1


def test_a_module_of_the_library_that_does_not_parse_is_an_error(rooms):
    """Its bytes would not do: the fingerprint of what uses it would not tell what follows from there."""
    (rooms / "shapes/round.py").write_text("def area(:\n")
    with pytest.raises(SyntaxError, match=r"round\.py"):
        measured(rooms)


def test_parts_that_a_file_does_not_have_are_passed_over(rooms):
    assert measured(rooms, "measure", "tabulate") == measured(rooms, "measure")
    assert measured(rooms, "claims") != measured(rooms, "measure")


def test_modules_of_one_name_in_two_rooms_are_not_mixed_up(rooms):
    shapes, looks = ((rooms / room / "round.py", ("area",)) for room in ("shapes", "looks"))
    assert reached(shapes) & reached(looks) == {(rooms / "__init__.py", "")}
    before = fingerprint(shapes, looks)
    texts = [(rooms / room / "round.py").read_text() for room in ("shapes", "looks")]
    for room, text in zip(("looks", "shapes"), texts, strict=True):
        (rooms / room / "round.py").write_text(text)
    assert fingerprint(shapes, looks) != before


# Kept fingerprints


def test_fingerprints_are_kept_until_the_code_changes(rooms, tmp_path, monkeypatch):
    kept, root = tmp_path / "kept/fingerprints.json", (rooms / "shapes/measured.py", ["measure"])
    first = Fingerprints(kept).of(root)
    assert first == measured(rooms, "measure")
    with monkeypatch.context() as patched:
        patched.setattr(fingerprints._Library, "fingerprint", lambda *_roots: pytest.fail("it was computed again"))
        assert Fingerprints(kept).of(root) == first
    (rooms / "shapes/round.py").write_text("def area(x):\n    return 5 * x\n")
    assert Fingerprints(kept).of(root) == measured(rooms, "measure") != first
    assert len(json.loads(kept.read_text())["fingerprints"]) == 1  # the one before the edit is dropped


def test_a_copy_of_the_project_keeps_its_fingerprints(rooms, tmp_path, monkeypatch):
    kept = tmp_path / "kept.json"
    first = Fingerprints(kept).of((rooms / "shapes/measured.py", ["measure"]))
    moved = shutil.copytree(rooms, tmp_path / "elsewhere" / rooms.name)
    monkeypatch.setattr(fingerprints, "LIBRARY", moved)
    monkeypatch.setattr(fingerprints._Library, "fingerprint", lambda *_roots: pytest.fail("it was computed again"))
    assert Fingerprints(kept).of((moved / "shapes/measured.py", ["measure"])) == first


def test_a_users_file_that_changes_is_no_other_one_s_fingerprint(rooms, tmp_path):
    own, kept = tmp_path / "own.py", tmp_path / "kept.json"
    own.write_text("def net(): return 1\n")
    before = Fingerprints(kept).of(own)
    own.write_text("def net(): return 2\n")
    assert Fingerprints(kept).of(own) != before
    assert len(json.loads(kept.read_text())["fingerprints"]) == 1
    own.unlink()
    assert Fingerprints(kept).of(own) == fingerprint(own) != before


def test_an_edit_between_two_fingerprints_of_a_start_counts_from_the_next_start_on(rooms, tmp_path):
    """What is kept for some content of the code never comes from another content."""
    kept, root = tmp_path / "kept.json", (rooms / "shapes/round.py", ["area"])
    before, start = fingerprint(root), Fingerprints(kept)
    edit(rooms / "shapes/round.py", "3 * x", "4 * x")
    assert start.of(root) == before
    assert Fingerprints(kept).of(root) == fingerprint(root) != before


DAMAGED = ("", "{", "[]", "\0", '{"content": 1}', '{"fingerprints": {}}', '{"content": CONTENT}')
DAMAGED += tuple(f'{{"content": CONTENT, "fingerprints": {kept}}}' for kept in ("3", "[1]", '{"a": 1}', '{"a": [1]}'))


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_of_kept_fingerprints_is_made_anew(rooms, tmp_path, content):
    kept, root = tmp_path / "kept.json", (rooms / "shapes/measured.py", ["measure"])
    kept.write_text(content.replace("CONTENT", json.dumps(Fingerprints(None).content)))
    assert Fingerprints(kept).of(root) == measured(rooms, "measure")
    assert json.loads(kept.read_text())["fingerprints"]


def test_fingerprints_that_cannot_be_kept_are_computed(rooms):
    root = (rooms / "shapes/measured.py", ["measure"])
    assert Fingerprints(Path("/proc/kept.json")).of(root) == Fingerprints(None).of(root)


# The library


TUNNELS = (SCRIPTS / "wedgescape/measurements/tunnels.py", ["VARIABLES", "measure"])


def test_a_measurement_reaches_the_functions_that_it_needs():
    found = {(file.stem, name) for file, name in reached(SCRIPTS / "measure.py", TUNNELS)}
    assert {("tunnels", "measure"), ("crossings", "first_crossing"), ("networks", "NetworkLandscape")} <= found
    assert {("models", "resnet20"), ("zarr_stores", "write_store"), ("frame", "job")} <= found
    assert not {("tunnels", "summarise"), ("tunnels", "claims"), ("train", "train"), ("descent", "descend")} & found


# The catalogue reads settings from a file; a job imports the file whose functions are its roots; a plan is no result.
# Public names are imported at their first use; the library itself names modules in full. What is preloaded is not used.
LOOKS_UP = {"catalogue.py": {"exec"}}
LOOKS_UP |= {file: {"import_module"} for file in ("arguments.py", "planning.py", "__init__.py", "preloaded.py")}


def test_every_room_is_a_package():
    """In a folder without an `__init__.py`, no name would be found."""
    folders = {path.parent for path in (SCRIPTS / "wedgescape").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_nothing_else_of_the_library_is_looked_up_by_text():
    """What is not named cannot be followed."""
    for file in SCRIPTS.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr == "import_module"}
        found = {"__import__", "globals", "eval", "exec", "import_module"} & names
        assert found <= LOOKS_UP.get(file.name, set()), file


# Modules in a user's folder


HELPED = {
    "net.py": """
        import json
        import parts
        from layers import Wide
        from deep.inner import constant as number
        import spaces.far as far

        class Net(Wide):
            def forward(self, x):
                return parts.first(x) + number + far.value
        """,
    "layers.py": """
        from deep import outer

        class Wide:
            size = outer()

        def unused():
            return 1
        """,
    "parts.py": "def first(x):\n    return x\n\n\ndef other(x):\n    return x\n",
    "json.py": "TAKEN = 1\n",
    "deep/__init__.py": """
        from .inner import found

        def outer():
            return found

        def apart():
            return 1
        """,
    "deep/inner.py": "constant = 1\nfound = 2\nnever = 3\n",
    "spaces/far.py": "from spaces.near import value\n",
    "spaces/near.py": "value = 1\nother = 2\n",
    "elsewhere.py": "value = 1\n",
}


@pytest.fixture
def helped(tmp_path):
    """A folder with a user's model in several files."""
    return written(tmp_path / "mine", HELPED)


def written(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("layers.py", "size = outer()", "size = 2 * outer()"),
        ("parts.py", "return x\n\n", "return 2 * x\n\n"),
        ("parts.py", "def first", "print()\n\n\ndef first"),  # what a module does on import
        ("deep/__init__.py", "return found", "return -found"),
        ("deep/inner.py", "constant = 1", "constant = 5"),
        ("deep/inner.py", "found = 2", "found = 5"),
        ("spaces/near.py", "value = 1", "value = 5"),
    ],
)
def test_what_a_user_s_file_reaches_beside_it_counts(helped, file, old, new):
    before = fingerprint(helped / "net.py")
    edit(helped / file, old, new)
    assert fingerprint(helped / "net.py") != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("layers.py", "return 1", "return 2"),
        ("layers.py", "from deep", "# a remark\nfrom deep"),
        ("parts.py", "def other(x):\n    return x", "def other(x):\n    return 2 * x"),
        ("deep/__init__.py", "return 1", "return 2"),
        ("deep/inner.py", "never = 3", "never = 4"),
        ("spaces/near.py", "other = 2", "other = 3"),
        ("elsewhere.py", "value = 1", "value = 2"),
    ],
)
def test_what_it_does_not_reach_does_not_count(helped, file, old, new):
    before = fingerprint(helped / "net.py")
    edit(helped / file, old, new)
    assert fingerprint(helped / "net.py") == before


def test_a_user_s_folder_may_be_moved(helped, tmp_path):
    before = fingerprint(helped / "net.py")
    shutil.move(helped, tmp_path / "moved")
    assert fingerprint(tmp_path / "moved/net.py") == before


def test_a_helper_that_does_not_parse_counts_by_its_bytes(helped):
    found = set()
    for text in ("def first(:", "def first(::", "def first(x):\n    return x\n"):
        (helped / "parts.py").write_text(text)
        found.add(fingerprint(helped / "net.py"))
    assert len(found) == 3


def test_the_modules_beside_a_user_s_file_are_named(helped):
    found = Fingerprints(None).beside(helped / "net.py")
    names = {"json.py", "layers.py", "parts.py", "deep/__init__.py", "deep/inner.py", "spaces/far.py", "spaces/near.py"}
    assert found == {helped / name for name in names}
    assert Fingerprints(None).beside(SCRIPTS / "train.py", helped / "elsewhere.py", helped / "nothing.py") == set()


def test_kept_fingerprints_know_of_modules_beside_a_user_s_file(helped, tmp_path):
    kept = tmp_path / "kept.json"
    (helped / "parts.py").rename(helped / "parts.txt")
    seen = [Fingerprints(kept).of(helped / "net.py")]
    (helped / "parts.txt").rename(helped / "parts.py")
    seen.append(Fingerprints(kept).of(helped / "net.py"))
    edit(helped / "parts.py", "return x\n\n", "return 2 * x\n\n")
    seen.append(Fingerprints(kept).of(helped / "net.py"))
    assert len(set(seen)) == 3
    assert seen[2] == Fingerprints(kept).of(helped / "net.py") == fingerprint(helped / "net.py")
