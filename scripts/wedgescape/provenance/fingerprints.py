"""Fingerprints of code: a name for all the logic that a job reaches, and for nothing else.

The code of a job begins at its roots: scripts, and functions of a measurement or a figure. From there, each name is
followed to its definition in this library. So after an edit, Snakemake reruns what uses the edited function. It does
not rerun what uses only other functions of the same file. What a module does when it is imported, beside defining
names, counts wherever it is imported. Where a name cannot be resolved, the whole file counts. Files outside of the
library, such as a user's own model, are also followed into the modules that they import from their own folder.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from wedgescape.stores.whole_files import whole_file

LIBRARY = Path(__file__).resolve().parents[1]
WHOLE = "*"  # in place of a definition's name: all of a file
IMPORTED = ""  # in place of a definition's name: what the file does when it is imported, beside defining names
SECTION = ("study", "sections", "Section")  # base of the classes that declare keys of the config

Root = str | Path | tuple[Path, Sequence[str]]  # a whole file, or some definitions of one
Names = tuple[str, ...]  # a dotted name, without `wedgescape`; of a module in a user's folder, after that folder's path
Piece = tuple["_Source", str]  # a file, and the name of a definition in it
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda)
BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case)
NAMING = (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
DOCUMENTED = (*FUNCTIONS, ast.ClassDef, ast.Module)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Fingerprints:
    """Fingerprints of the code as it is now, each file read once.

    Args:
        cache: JSON file that keeps them between runs until a byte of the code changes; None keeps none. It only saves
            time: a damaged file is rebuilt, and a failure to write it is ignored.
    """

    def __init__(self, cache: Path | None):
        self.file = cache
        self.library = _Library()
        self.content = self.library.content(self.library.modules.values())
        self.kept = self._read() if cache else {}

    def of(self, *roots: Root) -> str:
        """Return a name (16 hex digits) for the logic of code and of all of this library that it reaches.

        A comment, a docstring, an annotation of a function, a touch or a reformat leaves it as it is. So does an edit
        of a key in a section of the config: its value is in the job's parameters. Any other edit of what is reached
        changes it. A root that does not parse counts by its bytes, so that the error is reported where it is used; so
        does a module in a user's folder.

        Args:
            roots: files, or pairs of a file and names of definitions in it. Names that the file does not define are
                passed over.

        Raises:
            SyntaxError: if another file of the library does not parse.
        """
        parts = _parted(roots)
        # Relative paths, so that a project that is copied or moved keeps its fingerprints.
        key = "; ".join(f"{os.path.relpath(file, LIBRARY)}: {', '.join(names)}" for file, names in parts)
        beside = {other for file, _names in parts for other in self.library.beside(file)}
        content = self.library.content([*(file for file, _names in parts), *sorted(beside)])
        if self.kept.get(key, ("",))[0] != content:
            self.kept[key] = (content, self.library.fingerprint(parts))
            self._write()
        return self.kept[key][1]

    def reached(self, *roots: Root) -> set[tuple[Path, str]]:
        """Return the definitions that code reaches, as pairs of a file and a name; roots are as for `of`.

        Raises:
            SyntaxError: if a file does not parse.
            FileNotFoundError: if it is not there.
        """
        found = set().union(*(self.library.reached(file, names) for file, names in _parted(roots)))
        return {(source.file, name) for source, name in _once(found)}

    def beside(self, *files: str | Path) -> set[Path]:
        """Return the modules of a user's folder that the user's files import, also by way of one another.

        Args:
            files: of the user; these are not among them.
        """
        return {other for file in files for other in self.library.beside(Path(file).resolve())}

    def _read(self) -> dict[str, tuple[str, str]]:
        with contextlib.suppress(Exception):
            found = json.loads(self.file.read_bytes())
            if found["content"] == self.content:
                return {key: (str(content), str(value)) for key, (content, value) in found["fingerprints"].items()}
        return {}

    def _write(self) -> None:
        if self.file:
            with contextlib.suppress(Exception), whole_file(self.file) as beside:
                beside.write_text(json.dumps({"content": self.content, "fingerprints": self.kept}), encoding="utf-8")


def fingerprint(*roots: Root) -> str:
    """Return the fingerprint of some roots, as `Fingerprints.of` does, and keep nothing."""
    return Fingerprints(None).of(*roots)


class _Library:
    """The library's files, and how their definitions depend on each other.

    Attributes:
        modules: dotted name of a module or a package -> its file.
    """

    def __init__(self):
        self.modules: dict[Names, Path] = {}
        for file in sorted(LIBRARY.rglob("*.py")):
            names = file.relative_to(LIBRARY).with_suffix("").parts
            self.modules[names[:-1] if names[-1] == "__init__" else names] = file
        # The bytes that are hashed are those that are parsed, also if a file is edited in between.
        self.bytes, self.source, self.unread = cache(_bytes), cache(self._source), cache(self._unread)
        self.used, self.run, self.reached = cache(self._used), cache(self._run), cache(self._reached)
        self.beside = cache(self._beside)

    def content(self, files: Iterable[Path]) -> str:
        """Return a name for what files are called and for their bytes."""
        read = ((_place(file), self.bytes(file)) for file in files)
        return _digest(*(f"{place} {data is not None and hashlib.sha256(data).hexdigest()}" for place, data in read))

    def fingerprint(self, roots: Iterable[tuple[Path, Names]]) -> str:
        """Return the name of all logic that some definitions of files reach."""
        pieces, parts = set(), set()
        for file, names in roots:
            try:
                self.source(file)
            except (SyntaxError, OSError, ValueError):  # ValueError: a null byte, before Python 3.11.4
                parts.add(self.content([file]))
            else:
                pieces |= self.reached(file, names)
        parts |= {source.texts[name] for source, name in _once(pieces)}
        return _digest(*sorted(parts - {""}))[:16]

    def _beside(self, file: Path) -> frozenset[Path]:
        """Return the modules of a file's own folder that it imports, also by way of one another."""
        if file.is_relative_to(LIBRARY):
            return frozenset()  # what these import is the library's
        try:
            waiting, found = [self.source(file)], set()
        except (SyntaxError, OSError, ValueError):
            return frozenset()
        while waiting:
            loads = [names for names in waiting.pop().loads if _is_own(names)]
            for around in {names[:length] for names in loads for length in range(2, len(names) + 1)}:
                if (own := _own_file(around)) and own not in found:
                    found.add(own)
                    waiting.append(self.at(around))
        return frozenset(found - {file})

    def at(self, module: Names) -> _Source | None:
        """Return the file of a module or a package, read; None where there is none, as for a folder without one."""
        if not _is_own(module):
            return self.source(self.modules[module]) if module in self.modules else None
        file = _own_file(module)
        if not file:
            return None
        try:
            return self.source(file, module[0])
        except (SyntaxError, OSError, ValueError):
            return self.unread(file, module[0])

    def _unread(self, file: Path, folder: str) -> _Source:
        """Return a module that does not parse, as if it were one definition that imports nothing."""
        source = _Source(file, b"", folder)
        source.texts = dict.fromkeys((WHOLE, IMPORTED), self.content([file]))
        return source

    def _source(self, file: Path, folder: str | None = None) -> _Source:
        """Return a file, read.

        Args:
            file: to read.
            folder: from which it imports beside the library; by default its own, if it is not of the library.
        """
        if folder is None and not file.is_relative_to(LIBRARY):
            return self.source(file, str(file.parent))
        data = self.bytes(file)
        if data is None:
            raise FileNotFoundError(file)
        collects = gc.isenabled()
        gc.disable()  # it finds nothing in a syntax tree, and takes as long as the parser
        try:
            return _Source(file, data, folder)
        finally:
            if collects:
                gc.enable()

    def _reached(self, file: Path, names: Names) -> frozenset[Piece]:
        """Return the definitions that some definitions of a file reach, these included."""
        source = self.source(file)
        waiting = [(source, name) for name in names if name in source.texts]
        # A job makes the arguments of its functions from their annotations (`provenance.arguments`).
        waiting += self._named(source, {used for name in names for used in source.signatures.get(name, ())})
        found, sources = set(), set()
        while waiting:
            piece = waiting.pop()
            if piece in found or (piece[0], WHOLE) in found:
                continue
            found.add(piece)
            waiting += self.used(*piece)
            if piece[0] not in sources:
                sources.add(piece[0])
                waiting += self.run(piece[0])
        return frozenset(found)

    def _used(self, source: _Source, name: str) -> set[Piece]:
        """Return the definitions that a definition uses."""
        return self._named(source, source.uses[name])

    def _named(self, source: _Source, uses: Iterable[Names]) -> set[Piece]:
        """Return the definitions that dotted names in a file stand for."""
        pieces = set()
        for first, *attributes in uses:
            if first in source.texts:
                pieces.add((source, first))
            for imported in source.imports.get(first, ()):
                pieces |= self._found(*_looked_up((*imported, *attributes)))
        return pieces

    def _found(self, module: Names, names: Names, before: tuple = ()) -> set[Piece]:
        """Return what a dotted name in a module stands for, also where the module imports it from another one.

        Args:
            module: in which the name is looked up.
            names: the parts of the dotted name.
            before: the look-ups that led here; a package may import its own modules.
        """
        source, before = self.at(module), (*before, (module, names))
        whole = {(source, WHOLE)} if source else set()
        if not names:
            return whole
        first, rest = names[0], names[1:]
        found = {(source, first)} if source and first in source.texts else set()
        inner = (*module, first)
        further = [(inner, rest)] if (_is_own_module(inner) if _is_own(inner) else inner in self.modules) else []
        further += [_looked_up((*imported, *rest)) for imported in (source.imports.get(first, ()) if source else ())]
        for step in further:
            if step not in before:
                found |= self._found(*step, before)
        return found or whole

    def _run(self, source: _Source) -> set[Piece]:
        """Return what runs when a file is imported: of itself, of what it imports, and of the packages around them."""
        loads = source.loads | {names for names, file in self.modules.items() if file == source.file}
        around = {names[:length] for names in loads for length in range(2 * _is_own(names), len(names) + 1)}
        return {(source, IMPORTED), *((found, IMPORTED) for found in map(self.at, around) if found)}


class _Source:
    """A Python file: its definitions, and what they name. It keeps no syntax tree, because these take much memory.

    Attributes:
        texts: definition -> a name for its text; empty for what a file does on import, if it does nothing. The texts of
            all definitions that are reached, imports among them, say what each name stands for.
        uses: definition -> the names outside of functions that it uses, each with the attributes taken of it.
        signatures: function -> the names in the annotations of its arguments.
        imports: name -> the dotted names in this library, or in the folder, that it stands for.
        loads: dotted names in this library, or in the folder, that the file imports.
        globals: names that are declared `global` somewhere; they are taken to be local nowhere.
    """

    def __init__(self, file: Path, data: bytes, folder: str | None = None):
        self.file, self.place = file, _place(file)
        tree = ast.parse(data, str(file))
        body = list(_executed(tree.body[_is_documented(tree) :]))
        self.imports: dict[str, list[Names]] = {}
        self.loads: set[Names] = set()
        self.globals: set[str] = set()
        for node in _statements(body):
            for name, module, names in _imported(node, file, folder):
                self.imports.setdefault(name, []).append(names)
                self.loads.add(module)
            if isinstance(node, ast.Global):
                self.globals |= set(node.names)
        sections = {(name,) for name, found in self.imports.items() if SECTION in found}
        self.uses: dict[str, set[Names]] = {WHOLE: set(), IMPORTED: set()}
        self.signatures: dict[str, set[Names]] = {}
        texts: dict[str, list[str]] = {WHOLE: [], IMPORTED: []}
        for statement in body:
            if isinstance(statement, ast.ClassDef) and sections & set(map(_dotted, statement.bases)):
                statement.bases = [base for base in statement.bases if _dotted(base) not in sections]
                sections.add((statement.name,))
                statement.body = [part for part in statement.body if not _is_key(part)]
            if isinstance(statement, FUNCTIONS):
                arguments = [part for part in ast.walk(statement.args) if isinstance(part, ast.arg) and part.annotation]
                self.signatures[statement.name] = self._used(argument.annotation for argument in arguments)
            text, used = _written(statement), self._used([statement])
            for name in (WHOLE, *(_defined(statement) or [IMPORTED])):
                texts.setdefault(name, []).append(text)
                self.uses.setdefault(name, set()).update(used)
        self.texts = {name: _digest(self.place, name, *parts) if parts else "" for name, parts in texts.items()}

    def _used(self, nodes: Iterable[ast.AST]) -> set[Names]:
        found: set[Names] = set()
        for node in nodes:
            self._use(node, frozenset(), found)
        return found

    def _use(self, node: ast.AST, local: frozenset[str], found: set[Names]) -> None:
        """Add the names outside of functions that code uses. Annotations are passed over: they decide no result.

        Args:
            node: of a syntax tree.
            local: names that stand for something else here.
            found: receives the names.
        """
        kind = type(node)
        if kind is ast.Name or kind is ast.Attribute:
            names = _dotted(node)
            if names:
                if names[0] not in local:
                    found.add(names)
                return
        if kind is ast.ImportFrom and node.names[0].name == WHOLE:
            found.add((WHOLE,))  # `import *`: any name of the file may come from there
        parts = _parts(node)
        if kind in SCOPES:
            arguments = node.args
            parts, around = ([node.body], []) if kind is ast.Lambda else (node.body, node.decorator_list)
            for part in (*around, *arguments.defaults, *filter(None, arguments.kw_defaults)):
                self._use(part, local, found)
            local = local | (_bound(arguments, parts) - self.globals)
        elif kind in COMPREHENSIONS:
            self._use(node.generators[0].iter, local, found)  # evaluated outside
            stored: set[str] = set()
            for part in node.generators:
                _store(part.target, stored)
            local = local | stored
        elif kind is ast.AnnAssign:
            parts = filter(None, (node.target, node.value))
        for part in parts:
            self._use(part, local, found)


def _parted(roots: Iterable[Root]) -> list[tuple[Path, Names]]:
    parts = [root if isinstance(root, tuple) else (root, (WHOLE,)) for root in roots]
    return [(Path(file).resolve(), tuple(names)) for file, names in parts]


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def _place(file: Path) -> str:
    """Return what a file is called: in this library by its path, elsewhere by its name."""
    return file.relative_to(LIBRARY).as_posix() if file.is_relative_to(LIBRARY) else file.name


def _once(pieces: Iterable[Piece]) -> set[Piece]:
    """Return definitions without those of files that count as a whole. So the order of the search decides nothing."""
    whole = {source for source, name in pieces if name == WHOLE}
    return {(source, name) for source, name in pieces if name == WHOLE or source not in whole}


# Statements


def _executed(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield statements without those for type checkers alone. Each import is split into one per name."""
    for node in statements:
        if isinstance(node, ast.If) and _dotted(node.test)[-1:] == ("TYPE_CHECKING",):
            yield from _executed(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (ast.Import([alias]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (ast.ImportFrom(node.module, [alias], node.level) for alias in node.names)
        else:
            yield node


def _statements(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield all statements that are executed, at any depth."""
    for node in _executed(nodes):
        yield node
        yield from _statements(part for part in _parts(node) if isinstance(part, BLOCKS))


def _imported(node: ast.AST, file: Path, folder: str | None) -> Iterator[tuple[str, Names, Names]]:
    """Yield what an import of this library, or from a folder, binds: the name, what is loaded, and what it stands for.

    Args:
        node: the statement.
        file: in which it stands.
        folder: from which the file imports beside the library; None for none.
    """
    if isinstance(node, ast.Import):
        names = tuple(node.names[0].name.split("."))
        bound = node.names[0].asname
        name, stands_for = bound or names[0], names if bound else names[:1]
    elif isinstance(node, ast.ImportFrom):
        names = tuple(node.module.split(".")) if node.module else ()
        if node.level and folder:
            package = file.parents[node.level - 1]
            names = (*package.relative_to(folder).parts, *names) if package.is_relative_to(folder) else ()
        elif node.level:
            return
        names += (node.names[0].name,) if node.names[0].name != WHOLE else ()
        name, stands_for = node.names[0].asname or node.names[0].name, names
    else:
        return
    if names[:1] == (LIBRARY.name,):
        yield name, names[1:], stands_for[1:]
    elif folder and names and _is_own_module((folder, names[0])):
        yield name, (folder, *names), (folder, *stands_for)


def _is_own(names: Names) -> bool:
    """Return whether a dotted name is one in a user's folder, whose path it begins with."""
    return bool(names) and os.sep in names[0]


def _own_file(names: Names) -> Path | None:
    """Return the file of a module or a package in a user's folder; None where there is none."""
    path = Path(*names)
    files = (path / "__init__.py", path.with_name(f"{path.name}.py")) if len(names) > 1 else ()
    return next((file for file in files if file.is_file()), None)


def _is_own_module(names: Names) -> bool:
    return bool(_own_file(names)) or Path(*names).is_dir()


def _looked_up(names: Names) -> tuple[Names, Names]:
    """Return where a dotted name is looked up, and as what: in this library, or in a user's folder."""
    start = int(_is_own(names))
    return names[:start], names[start:]


def _defined(statement: ast.stmt) -> list[str]:
    """Return the names that a statement defines and no more; none where it does something else, too."""
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        (alias,) = statement.names
        return [alias.asname or alias.name.partition(".")[0]] if alias.name != WHOLE else []
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        parts = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
        if all(isinstance(part, ast.Name) for part in parts):
            return [part.id for part in parts]
    return []


def _is_key(node: ast.stmt) -> bool:
    """Return whether a statement of a section declares a key of the config, not a constant."""
    return isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation)


# Names


def _dotted(node: ast.AST) -> Names:
    """Return all parts of a dotted name; none if the first is no name."""
    attributes = []
    while type(node) is ast.Attribute:
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if type(node) is ast.Name else ()


def _parts(node: ast.AST) -> list[ast.AST]:
    """Return the nodes directly below a node: `ast.iter_child_nodes` is much slower."""
    parts = []
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            parts += [part for part in value if isinstance(part, ast.AST)]
        elif isinstance(value, ast.AST) and field != "ctx":
            parts.append(value)
    return parts


def _bound(arguments: ast.arguments, body: list[ast.AST]) -> set[str]:
    """Return the names that are local to a function: its arguments, and what it assigns to."""
    each = (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg)
    names = {argument.arg for argument in each if argument}
    for part in body:
        _store(part, names)
    return names


def _store(node: ast.AST, names: set[str]) -> None:
    """Add the names that code assigns to in its own scope. Imports are no such: what they bind is followed."""
    kind = type(node)
    if kind is ast.Name:
        if type(node.ctx) is ast.Store:
            names.add(node.id)
        return
    if kind in NAMING and node.name:
        names.add(node.name)
    elif kind is ast.MatchMapping and node.rest:
        names.add(node.rest)
    if kind in COMPREHENSIONS:  # has a scope of its own, but for `:=`
        names |= {part.target.id for part in ast.walk(node) if isinstance(part, ast.NamedExpr)}
    elif kind not in SCOPES and kind is not ast.ClassDef:
        for part in _parts(node):
            _store(part, names)


# Text


def _written(node) -> str:
    """Return a syntax tree as text, without docstrings and annotations.

    It is the same in all versions of Python: what newer ones add to a tree is empty here. The annotations of a class's
    attributes count, because a dataclass follows from them.
    """
    if isinstance(node, ast.Name):  # the most frequent node, so without a detour
        return f"Name(id={node.id!a}, ctx={type(node.ctx).__name__}())"
    if isinstance(node, list):
        return f"[{', '.join(map(_written, node))}]"
    if not isinstance(node, ast.AST):
        return ascii(node)  # not repr, which depends on the version's Unicode tables
    if isinstance(node, ast.AnnAssign) and node.value:
        node = ast.Assign([node.target], node.value)
    parts = []
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name in ("annotation", "returns"):
            continue
        if name == "body" and isinstance(node, DOCUMENTED):
            if isinstance(node, ast.ClassDef):
                fields = [[part.target, part.annotation] for part in value if isinstance(part, ast.AnnAssign)]
                parts += [f"fields={_written(fields)}"] if fields else []
            value = value[_is_documented(node) :]
            if not value:
                continue
        parts.append(f"{name}={_written(value)}")
    return f"{type(node).__name__}({', '.join(parts)})"


def _is_documented(node: ast.AST) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
