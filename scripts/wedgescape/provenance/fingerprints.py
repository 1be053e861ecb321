"""Fingerprints of code: a name for all the logic that a job reaches, and for nothing else.

From a script, or from some functions of a measurement, names are followed to what they stand for: the functions,
classes and values of this library, one by one. So an edit reruns what uses the edited function, and neither its
neighbours in the file nor their users. Where a name cannot be resolved, the whole file counts. What a module does when
it is imported, beside defining things, counts wherever it is imported.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from wedgescape.stores.whole_files import whole_file

LIBRARY = Path(__file__).resolve().parents[1]
WHOLE = "*"  # in place of a definition's name: all of a file
IMPORTED = ""  # in place of a definition's name: what the file does when it is imported, beside defining things

SECTION = "Section"  # base of the classes that declare keys of the config, whose values are in a job's parameters

Piece = tuple[Path, str]  # a file, and the name of a definition in it
Root = str | Path | tuple[Path, list[str]]  # a whole file, or some definitions of one
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda)
NAMING = (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
DOCUMENTED = (*FUNCTIONS, ast.ClassDef, ast.Module)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@cache  # one per file and process: many rules reach the same files
class _Source:
    """A Python file: its definitions, what they are written as, and what they name.

    Attributes:
        statements: definition -> the statements that make it.
        imports: name -> what it stands for in this library, as pieces.
        globals: names that are declared `global` somewhere; they are taken to be local nowhere.
    """

    def __init__(self, file: Path):
        self.file = file
        tree = ast.parse(file.read_text(), str(file))
        body = tree.body[ast.get_docstring(tree) is not None :]
        body = [statement for statement in body if not _for_type_checkers(statement)]
        self.statements: dict[str, list[ast.stmt]] = {WHOLE: body, IMPORTED: []}
        for statement in body:
            for name in _defined(statement) or [IMPORTED]:
                self.statements.setdefault(name, []).append(statement)
        self.imports: dict[str, list[Piece]] = {}
        self.globals: set[str] = set()
        for node in _statements(tree):
            for name, piece in _imported(node):
                self.imports.setdefault(name, []).append(piece)
            if isinstance(node, ast.Global):
                self.globals |= set(node.names)
        self.texts = cache(self._text)
        self.needs = cache(self._needs)

    def _text(self, name: str) -> str:
        return "\n".join(_written(statement) for statement in self.statements[name])

    def _needs(self, name: str) -> tuple[frozenset[Piece], frozenset[str]]:
        """Return the pieces that a definition names, and what it calls them."""
        pieces, called = set(), set()
        for used, attribute in {use for statement in self.statements[name] for use in self._uses(statement)}:
            if used in self.statements:
                pieces.add((self.file, used))
            for file, definition in self.imports.get(used, []):
                piece = (file, attribute or WHOLE) if definition == WHOLE else (file, definition)
                pieces |= set(_found(piece))
                called.add(f"{used} {_place(piece[0])} {piece[1]}")
        return frozenset(pieces), frozenset(called)

    def _uses(self, node: ast.AST, local: frozenset[str] = frozenset()) -> Iterator[tuple[str, str | None]]:
        """Yield the names outside of functions that code uses, each with the attribute that is taken of it, if one is.

        Annotations are passed over: they decide no result.

        Args:
            node: of a syntax tree.
            local: names that stand for something else here.
        """
        if isinstance(node, ast.Name):
            if node.id not in local:
                yield node.id, None
            return
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id not in local:
                yield node.value.id, node.attr
            return
        parts, inside = ast.iter_child_nodes(node), local
        if isinstance(node, ast.ClassDef) and _is_section(node):
            parts = [part for part in node.body if isinstance(part, FUNCTIONS)]
        if isinstance(node, SCOPES):
            arguments = node.args
            body, around = ([node.body], []) if isinstance(node, ast.Lambda) else (node.body, node.decorator_list)
            for part in (*around, *arguments.defaults, *filter(None, arguments.kw_defaults)):
                yield from self._uses(part, local)
            parts, inside = body, local | _bound(arguments, body) - self.globals
        elif isinstance(node, COMPREHENSIONS):
            yield from self._uses(node.generators[0].iter, local)  # evaluated outside
            inside = local | {name for part in node.generators for name in _stored(part.target)}
        elif isinstance(node, ast.AnnAssign):
            parts = filter(None, (node.target, node.value))
        for part in parts:
            yield from self._uses(part, inside)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements in a tree, at any depth, but for those that only type checkers read."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.stmt | ast.excepthandler | ast.match_case) and not _for_type_checkers(part):
            yield part
            yield from _statements(part)


def _for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _found(piece: Piece) -> Iterator[Piece]:
    """Yield where a definition stands: also behind a file that has it from another one; else the whole file."""
    file, name = piece
    source = _Source(file)
    if name in source.statements:
        yield piece
    for further, definition in source.imports.get(name, []):
        yield from _found((further, definition))
    if name not in source.statements and name not in source.imports:
        yield file, WHOLE


def _imported(node: ast.AST) -> Iterator[tuple[str, Piece]]:
    """Yield what an import statement binds of this library: name, piece."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            file = _module(alias.name)
            if file:  # without `as`, the name is the library's own, and what is used of it cannot be seen
                yield alias.asname or alias.name.partition(".")[0], (file, WHOLE)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        for alias in node.names:
            name = alias.asname or alias.name
            if file := _module(f"{node.module}.{alias.name}"):
                yield name, (file, WHOLE)
            elif file := _module(node.module):
                yield name, (file, alias.name)


@cache
def _module(name: str) -> Path | None:
    """Return the file of a module or a package of this library."""
    first, *rest = name.split(".")
    if first != LIBRARY.name:
        return None
    place = LIBRARY.joinpath(*rest)
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


def _is_section(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == SECTION for base in node.bases)


@cache
def _place(file: Path) -> str:
    """Return how a file is called: by its path in this library, a user's own by its name."""
    return str(file.relative_to(LIBRARY)) if file.is_relative_to(LIBRARY) else file.name


def _defined(statement: ast.stmt) -> list[str]:
    """Return the names that a statement defines and no more; none where it does something else, too."""
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        parts = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
        if all(isinstance(part, ast.Name) for part in parts):
            return [part.id for part in parts]
    return []


# Names


def _bound(arguments: ast.arguments, body: list[ast.AST]) -> set[str]:
    """Return the names that are local to a function: its arguments, and what it assigns to."""
    each = (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg)
    return {argument.arg for argument in each if argument} | {name for part in body for name in _stored(part)}


def _stored(node: ast.AST) -> Iterator[str]:
    """Yield the names that code assigns to in its own scope. Imports are no such: what they bind is followed."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, NAMING) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    if isinstance(node, COMPREHENSIONS):  # has a scope of its own, but for `:=`
        yield from (part.target.id for part in ast.walk(node) if isinstance(part, ast.NamedExpr))
    elif not isinstance(node, (*SCOPES, ast.ClassDef)):
        for part in ast.iter_child_nodes(node):
            yield from _stored(part)


# Text


def _written(node) -> str:
    """Return a syntax tree as text, without docstrings.

    It is the same in all versions of Python: what newer ones add to a tree is empty here. Of a section of the config,
    only the functions count.
    """
    if isinstance(node, ast.ClassDef) and _is_section(node):
        return f"Section({node.name}, {_written([part for part in node.body if isinstance(part, FUNCTIONS)])})"
    if isinstance(node, ast.AST):
        documented = isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None
        parts = []
        for name in node._fields:
            value = getattr(node, name, None)
            if name == "body" and documented:
                value = value[1:]
            if value is not None and value != []:
                parts.append(f"{name}={_written(value)}")
        return f"{type(node).__name__}({', '.join(parts)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_written, node))}]"
    return repr(node)


# What is reached


def reached(*roots: Root) -> set[Piece]:
    """Return the definitions that code reaches, as pairs of a file and a name.

    Args:
        roots: whole files, or (file, names of definitions in it); names that the file does not define are passed over.

    Raises:
        SyntaxError: if a file does not parse.
        OSError: if it is not there.
    """
    found: set[Piece] = set()
    waiting: list[Piece] = []
    for root in roots:
        file, names = root if isinstance(root, tuple) else (root, [WHOLE])
        file = Path(file).resolve()
        waiting += [(file, name) for name in names if name in _Source(file).statements]
    while waiting:
        piece = waiting.pop()
        if piece in found or (piece[0], WHOLE) in found:
            continue
        found.add(piece)
        file, name = piece
        source = _Source(file)
        waiting += source.needs(name)[0]
        waiting += [(target, IMPORTED) for target in _loaded(file)]
    return found


@cache
def _loaded(file: Path) -> set[Path]:
    """Return the files of this library that run when a file is imported: its own, what it imports, their packages."""
    targets = {target for pieces in _Source(file).imports.values() for target, _name in pieces}
    files = {file} | targets
    packages = {
        package / "__init__.py"
        for one in files
        if one.is_relative_to(LIBRARY)
        for package in one.parents
        if package.is_relative_to(LIBRARY) and (package / "__init__.py").is_file()
    }
    return files | packages


@cache
def fingerprint(*roots: Root) -> str:
    """Return a name (16 hex digits) for the logic of Python code and of all of this library that it reaches.

    A comment, a docstring, a touch or a reformat leaves it as it is, and so does an edit of what a key of the config
    means; any other edit of what is reached changes it. A user's file that does not parse counts by its bytes, so that
    the error is reported where the file is used.

    Args:
        roots: where the code begins, as for `reached`; names as tuples.
    """
    pieces, texts = set(), set()
    for root in roots:
        file = Path(root[0] if isinstance(root, tuple) else root)
        try:
            pieces |= reached(root)
        except SyntaxError:
            texts.add((file.name, "", file.read_bytes().hex()))
        except OSError:
            texts.add((file.name, "", "absent"))
    for file, name in pieces:
        source = _Source(file)
        called = source.needs(name)[1]
        texts.add((_place(file), name, "\n".join([source.texts(name), *sorted(called)])))
    return hashlib.sha256(repr(sorted(texts)).encode()).hexdigest()[:16]


class Fingerprints:
    """Fingerprints that are kept between runs, by the content of all code that they can depend on.

    Args:
        cache: file in which to keep them; None keeps none. It only saves time, so a damaged one is made anew.
    """

    def __init__(self, cache: Path | None):
        self.file = cache
        self.library = _content(sorted(LIBRARY.rglob("*.py")))
        self.kept = self._read()
        self.used: dict[str, str] = {}

    def of(self, *roots: Root) -> str:
        """Return `fingerprint` of some roots."""
        roots = tuple((root[0], tuple(root[1])) if isinstance(root, tuple) else Path(root) for root in roots)
        outside = [root for root in roots if not isinstance(root, tuple)]
        key = hashlib.sha256(repr((self.library, roots, _content(outside))).encode()).hexdigest()[:32]
        if key not in self.used:
            known = self.kept.get(key)
            self.used[key] = known or fingerprint(*roots)
            if known is None:
                self._write()
        return self.used[key]

    def _read(self) -> dict[str, str]:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            kept = json.loads(self.file.read_text())
            if isinstance(kept, dict) and kept.get("library") == self.library:
                return kept["fingerprints"]
        return {}

    def _write(self) -> None:
        if self.file:
            with contextlib.suppress(Exception), whole_file(self.file) as beside:
                content = {"library": self.library, "fingerprints": self.kept | self.used}
                beside.write_text(json.dumps(content, sort_keys=True))


def _content(files: list[Path]) -> str:
    """Return a name for the content of files, and for what they are called."""
    total = hashlib.sha256()
    for file in files:
        with contextlib.suppress(OSError):
            total.update(f"{_place(file.resolve())}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()
