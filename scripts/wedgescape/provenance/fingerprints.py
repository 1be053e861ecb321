"""Fingerprints of code: a name for all the logic that a rule's script reaches, and for nothing else.

From the script on, names are followed to what they stand for: the functions, classes and values of this library, one by
one. So an edit reruns what uses the edited function, and neither its neighbours in the file nor their users. Where it
cannot be seen what a name stands for, the whole file counts. What a module does when it is imported, beside defining
things, counts wherever it is imported.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent
WHOLE = "*"  # in place of a definition's name: all of a file
IMPORTED = ""  # in place of a definition's name: what the file does when it is imported, beside defining things

Piece = tuple[Path, str]  # a file, and the name of a definition in it
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
                called.add(f"{used} {piece[0].name} {piece[1]}")
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
    """Yield all statements in a tree, at any depth."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.stmt | ast.excepthandler | ast.match_case):
            yield part
            yield from _statements(part)


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


def _module(name: str) -> Path | None:
    first, *rest = name.split(".")
    if first != LIBRARY.name:
        return None
    file = LIBRARY.joinpath(*rest).with_suffix(".py") if rest else LIBRARY / "__init__.py"
    return file.resolve() if file.is_file() else None


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

    It is the same in all versions of Python: what newer ones add to a tree is empty here.
    """
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


def reached(*files: str | Path) -> set[Piece]:
    """Return the definitions that Python files reach, as pairs of a file and a name; of the files themselves, all.

    Raises:
        SyntaxError: if a file does not parse.
        OSError: if it is not there.
    """
    found: set[Piece] = set()
    waiting: list[Piece] = [(Path(file).resolve(), WHOLE) for file in files]
    while waiting:
        piece = waiting.pop()
        if piece in found or (piece[0], WHOLE) in found:
            continue
        found.add(piece)
        file, name = piece
        source = _Source(file)
        waiting += source.needs(name)[0]
        imported = {target for targets in source.imports.values() for target, _name in targets}
        package = {LIBRARY / "__init__.py"} if imported else set()
        waiting += [(target.resolve(), IMPORTED) for target in {file} | imported | package]
    return found


@cache
def fingerprint(*files: str | Path) -> str:
    """Return a name (16 hex digits) for the logic of Python files and of all of this library that they reach.

    A comment, a docstring, a touch or a reformat leaves it as it is; any other edit of what is reached changes it. A
    user's file that does not parse counts by its bytes, so that the error is told where the file is used.
    """
    pieces, texts = set(), set()
    for file in map(Path, files):
        try:
            pieces |= reached(file)
        except SyntaxError:
            texts.add((file.name, "", file.read_bytes().hex()))
        except OSError:
            texts.add((file.name, "", "absent"))
    for file, name in pieces:
        source = _Source(file)
        called = source.needs(name)[1]
        texts.add((file.name, name, "\n".join([source.texts(name), *sorted(called)])))
    return hashlib.sha256(repr(sorted(texts)).encode()).hexdigest()[:16]
