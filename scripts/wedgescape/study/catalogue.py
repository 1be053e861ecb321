"""The catalogue: which measurements, figures and claims there are, read from their files.

A measurement is a file in `measurements/` (or in `analysis/`, where it builds on other measurements), a figure is a
file in `figures/`. Nothing registers them: rules, the config's sections, the plan and the documentation follow from
what the files declare. What a function takes says what its job reads: the name of a parameter is a measurement, its
annotation says at which settings (`places`).

The Snakefile loads this module whenever it is parsed. So it reads the files as text, and imports none of them: they
import torch, which takes longer than all the rest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from pydantic import create_model

from wedgescape.errors import InputError
from wedgescape.study import sections, settings
from wedgescape.study.places import PLACES, measurement_of
from wedgescape.study.sections import Section, key

LIBRARY = Path(__file__).parents[1]
REPORT = LIBRARY.parents[1] / "workflow/report"  # captions

# What a function may take beside stores and sections of the config.
NETWORKS = ("Optima", "TrainedOptima", "AllOptima", "OptimaOfMethods", "Weights")
GIVEN = ("Intervals", "Tell", "BaseSetting", "Grids", "Widths", "Verdicts", "Specifications", "Tables", "SettingName")

PARTS = {"measurement": ("VARIABLES", "measure", "work", "claims"), "figure": ("CATEGORY", "TITLE", "draw")}
NO_FIGURES = ("__init__", "style", "publish", "scenes", "comparison")  # of a study


@dataclass(frozen=True)
class File:
    """A Python file of the library as the catalogue reads it, without running it.

    Args:
        path: of the file.
    """

    path: Path

    @property
    def name(self) -> str:
        """The file's name: that of the measurement or figure, of its rule, store and section."""
        return self.path.stem

    @property
    def module(self) -> str:
        """The name by which Python imports it."""
        return ".".join(["wedgescape", *self.path.relative_to(LIBRARY).with_suffix("").parts])

    @cached_property
    def tree(self) -> ast.Module:
        """The file's syntax tree.

        Raises:
            InputError: if it does not parse.
        """
        try:
            return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))
        except SyntaxError as error:
            raise InputError(f"{self.path}, line {error.lineno}: not Python: {error.msg}") from error

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """Name -> the statement at the top of the file that defines it."""
        found = {}
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        return found

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """Name -> the module it is imported from at the top of the file, and what it is called there."""
        top = [*self.tree.body, *(inner for node in self.tree.body if isinstance(node, ast.If) for inner in node.body)]
        nodes = [node for node in top if isinstance(node, ast.ImportFrom)]
        return {one.asname or one.name: (node.module or "", one.name) for node in nodes for one in node.names}

    @property
    def claims(self) -> tuple[str, ...]:
        """The names of the claims that the file makes; config/rules.yaml has a rule for each."""
        return tuple(self.constant("CLAIMS", ()))

    @property
    def summary(self) -> str:
        """The first line of the docstring, without its reference to docs/science.md and its full stop."""
        return (ast.get_docstring(self.tree) or "").partition("\n")[0].partition(" (docs/")[0].rstrip(".")

    def constant(self, name: str, default=None):
        """Return the value of a constant that is written as a literal."""
        node = self.definitions.get(name)
        return ast.literal_eval(node.value) if node is not None else default

    def parameters(self, *functions: str) -> dict[str, str]:
        """Return what functions of the file take: name of each parameter -> its annotation, without `| None`."""
        return {name: annotation for function in functions for name, annotation in self._parameters(function).items()}

    def _parameters(self, function: str) -> dict[str, str]:
        if function not in self._taken:  # a workflow asks for them once a job
            node = self.definitions.get(function)
            arguments = (
                node.args if isinstance(node, ast.FunctionDef) else ast.arguments([], [], None, [], [], None, [])
            )
            taken = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            annotations = [ast.unparse(one.annotation) if one.annotation else "" for one in taken]
            self._taken[function] = {
                one.arg: annotation.removesuffix(" | None") for one, annotation in zip(taken, annotations, strict=True)
            }
        return self._taken[function]

    @cached_property
    def _taken(self) -> dict[str, dict[str, str]]:
        return {}

    @cached_property
    def settings(self) -> type[Section] | None:
        """The file's section of the config, its class `Settings`; None where it has none.

        Only this class is run, with names from `study.sections` and the standard types.

        Raises:
            InputError: if it uses other names.
        """
        node = self.definitions.get("Settings")
        if node is None:
            return None
        future = ast.ImportFrom("__future__", [ast.alias("annotations")], 0)
        body = ast.fix_missing_locations(ast.Module([future, node], []))
        names = {name: value for name, value in vars(sections).items() if not name.startswith("_")}
        namespace = {**names, "Literal": settings.Literal, "__name__": self.module}
        try:
            exec(compile(body, str(self.path), "exec"), namespace)
            namespace["Settings"].model_rebuild(_types_namespace=namespace)
        except Exception as error:
            raise InputError(
                f"{self.path}: its class Settings cannot be read: {error}. It may use Section, key and the types of "
                "wedgescape.study.sections, Literal and literals alone"
            ) from error
        return namespace["Settings"]

    def section(self, annotation: str) -> str | None:
        """Return the section of the config that a parameter's annotation names, if it names one."""
        if annotation == "Settings":
            return self.name
        module, name = self.imported.get(annotation, ("", ""))
        if name == "Settings":
            return module.rpartition(".")[2]
        known = getattr(settings, name, None) if module == settings.__name__ else None
        return known.section() if known else None

    def sections(self, *functions: str) -> list[str]:
        """Return the sections of the config (or entries, as `claims.confidence`) that functions of the file read."""
        found = []
        for annotation in self.parameters(*functions).values():
            if annotation == "Intervals":
                found += ["claims.confidence", "claims.resamples"]
            elif section := self.section(annotation):
                found.append(section)
        return list(dict.fromkeys(found))

    def reads(self, *functions: str) -> dict[str, str]:
        """Return which stores functions of the file read: name of the parameter -> at which settings (`places`).

        The parameter has the name of its measurement, with a prefix for some places (`places.measurement_of`).
        """
        return {name: kind for name, kind in self.parameters(*functions).items() if kind in PLACES}

    def measurements_read(self, *functions: str) -> list[str]:
        """Return the measurements whose stores functions of the file read, each once."""
        return list(dict.fromkeys(measurement_of(name, kind) for name, kind in self.reads(*functions).items()))

    def kinds(self, *functions: str) -> set[str]:
        """Return the annotations of what functions of the file take."""
        return set(self.parameters(*functions).values())

    def problems(self, kind: str, measurements: set[str]) -> Iterator[str]:
        """Yield what the file lacks to be a measurement or a figure, and what its functions take that nothing gives."""
        if not ast.get_docstring(self.tree):
            yield "it has no docstring; its first line says what the file is about"
        for part in PARTS[kind]:
            if part not in self.definitions:
                yield f"it has no {part}; docs/extending.md says what that is"
        if kind == "figure" and not (REPORT / f"plot_{self.name}.rst").is_file():
            yield f"it has no caption, workflow/report/plot_{self.name}.rst"
        for function in ("measure", "claims", "tabulate", "draw"):
            node = self.definitions.get(function)
            optional = len(node.args.defaults) if isinstance(node, ast.FunctionDef) else 0
            parameters = self.parameters(function)
            needed = list(parameters.items())[: len(parameters) - optional]
            for name, annotation in needed:
                if annotation in PLACES and measurement_of(name, annotation) not in measurements:
                    yield (
                        f"{function} takes {name}: {annotation}, and there is no measurement {name}; there are: "
                        f"{', '.join(sorted(measurements))}"
                    )
                elif annotation not in (*PLACES, *NETWORKS, *GIVEN) and not self.section(annotation):
                    yield (
                        f"{function} takes {name}: {annotation or 'nothing said'}, which no job can give. It must be "
                        f"one of {', '.join([*PLACES, *NETWORKS, *GIVEN])} or a section of the config"
                    )
                elif annotation == "Settings" and "Settings" not in self.definitions:
                    yield f"{function} takes settings, and the file has no class Settings"


@dataclass(frozen=True)
class Catalogue:
    """All measurements, figures and claims of the library, by their names.

    Args:
        measurements: name -> its file.
        figures: name -> its file.
        claiming: the files that make claims, in the order of their figures' categories.
        left_out: name of each measurement and figure that a study leaves out -> why.
    """

    measurements: dict[str, File]
    figures: dict[str, File]
    claiming: list[File]
    left_out: dict[str, str] = field(default_factory=dict)

    def without(self, reasons: Mapping[str, str], undrawn: Mapping[str, str]) -> Catalogue:
        """Return this catalogue without some measurements and figures, what reads them, and their claims.

        Args:
            reasons: name of a measurement or figure -> why it is left out.
            undrawn: name of a figure -> why it alone is left out, and not a measurement of its name.
        """
        gone = dict(reasons)

        def lost(file: File, *functions: str) -> str:
            names = (name for name in file.measurements_read(*functions) if name in gone)
            return next((f"it reads {name}, which is left out" for name in names), "")

        for _ in self.measurements:  # as far as one is read by the next
            gone |= {
                name: why
                for name, file in self.measurements.items()
                if name not in gone and (why := lost(file, "measure"))
            }
        figures = {
            name: gone.get(name) or undrawn.get(name) or lost(file, "tabulate", "draw")
            for name, file in self.figures.items()
        }
        kept = [file for file in self.claiming if file.name not in gone and not lost(file, "claims")]
        return Catalogue(
            {name: file for name, file in self.measurements.items() if name not in gone},
            {name: file for name, file in self.figures.items() if not figures[name]},
            kept,
            self.left_out | gone | {name: why for name, why in figures.items() if why},
        )

    @property
    def claims(self) -> list[str]:
        """The names of all claims."""
        return [name for file in self.claiming for name in file.claims]

    def config_class(self, own_model: bool = False) -> type[settings.Config]:
        """Return the class of a whole config: the general sections, and one for each measurement that has one.

        Args:
            own_model: whether the network is a user's own, so that its section may have further keys.
        """
        fields = {
            name: (file.settings, key(file.settings(), file.settings.__doc__))
            for name, file in self.measurements.items()
            if file.settings
        }
        if own_model:
            fields["model"] = (settings.OwnModel, key(help=settings.OwnModel.__doc__))
        made = create_model("Config", __base__=settings.Config, **fields)
        made.__doc__ = settings.Config.__doc__
        return made


def _is_measurement(file: File) -> bool:
    return "measure" in file.definitions or file.path.parent.name == "measurements"


def file_of(name: str, *rooms: str) -> File:
    """Return the file of a measurement or figure that exists, without reading the others.

    Args:
        name: of the measurement or figure.
        rooms: folders of the library in which it may be.
    """
    return next(File(path) for room in rooms if (path := LIBRARY / room / f"{name}.py").exists())


@cache
def catalogue(library: Path = LIBRARY) -> Catalogue:
    """Read the catalogue.

    Raises:
        InputError: if a file lacks a part; it lists all that is missing, by file.
    """
    rooms = {
        room: [File(path) for path in sorted((library / room).glob("*.py")) if path.stem != "__init__"]
        for room in ("measurements", "analysis", "figures")
    }
    measuring = [file for file in (*rooms["measurements"], *rooms["analysis"]) if _is_measurement(file)]
    figures = [file for file in rooms["figures"] if file.name not in NO_FIGURES]
    chapters = {file.name: file.constant("CATEGORY") for file in figures if "CATEGORY" in file.definitions}
    claiming = [file for file in (*rooms["measurements"], *rooms["analysis"]) if "claims" in file.definitions]
    claiming.sort(key=lambda file: (file.name not in chapters, chapters.get(file.name, ""), file.name))
    names = {file.name for file in measuring}
    lines = [
        f"{file.path.parent.name}/{file.path.name}: {problem}"
        for kind, files in (("measurement", measuring), ("figure", figures))
        for file in files
        for problem in file.problems(kind, names)
    ]
    if lines:
        raise InputError("\n  ".join(["The library cannot be used as it is:", *lines]))
    return Catalogue({file.name: file for file in measuring}, {file.name: file for file in figures}, claiming)
