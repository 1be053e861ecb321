"""The library as a house: a module imports only from floors below it, and each keeps to what is its own."""

import ast
import symtable
from itertools import chain
from pathlib import Path

import pytest
from torch import nn

LIBRARY = Path(__file__).parents[2] / "scripts" / "wedgescape"

# On one floor, a module may import those that stand before it. Names without a file are reserved.
FLOORS = (
    (
        "errors",
        "whole_files",
        "fingerprints",
        "schema",
        "methods",
        "study",
        "origins",
        "stores",
        "records",
        "provenance",
        "verification",
        "archives",
        "slurm",
        "environments",
        "style",
        "randomness",
        "statistics",
    ),
    (
        *("subspaces", "landscape", "models", "downloads", "image_files", "own_datasets", "datasets"),
        *("crossings", "complexes", "lines", "calibration"),
    ),
    ("wedges", "networks"),
    ("checkpoints", "descent"),
    (
        *("curvature", "spectra", "goldilocks", "hyperplanes", "planes", "connectors", "surfaces", "tunnels"),
        *("sharpness", "curves", "profiles"),
        *("similarity", "members", "ensembles", "alignment", "training"),
    ),
    (
        *("simulation", "wedge_routes", "fitted_wedges", "phase_diagram", "flatness"),
        *("verdicts", "claims", "claims_of_statistics"),
    ),
    ("figures", "scenes", "operations", "workloads", "planning"),
)
ORDER = {name: (floor, place) for floor, names in enumerate(FLOORS) for place, name in enumerate(names)}
MODULES = sorted(path.stem for path in LIBRARY.glob("*.py") if path.stem != "__init__")

KNOWN_LAYERS = {name for name, thing in vars(nn).items() if isinstance(thing, type) and issubclass(thing, nn.Module)}
NO_LAYERS = {"Module"}
MAY_NAME_LAYERS = {"models", "alignment"}


def tree(module):
    return ast.parse((LIBRARY / f"{module}.py").read_text())


def imported(module):
    """The modules of the library that a module imports, wherever the import stands."""
    names = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import, which fingerprints do not follow"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    parts = [name.split(".") for name in names if name.startswith("wedgescape.")]
    return {part[1] for part in parts if (LIBRARY / f"{part[1]}.py").is_file()}


def layers_named(module):
    """The names of PyTorch's layers that a module uses, as nn.Linear or imported from torch.nn."""
    nodes = list(ast.walk(tree(module)))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports if node.module.startswith("torch") for alias in node.names}
    return ((attributes | names) & KNOWN_LAYERS) - NO_LAYERS


def scopes(table):
    yield table
    for child in table.get_children():
        yield from scopes(child)


def reads_global(module, name):
    table = symtable.symtable((LIBRARY / f"{module}.py").read_text(), module, "exec")
    found = [scope.lookup(name) for scope in scopes(table) if name in scope.get_identifiers()]
    return any(symbol.is_global() or symbol.is_imported() for symbol in found)


def test_every_module_stands_on_one_floor():
    names = list(chain(*FLOORS))
    assert len(names) == len(set(names))
    assert sorted(set(MODULES) - set(names)) == [], "give these a floor"


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards(module):
    upwards = [other for other in sorted(imported(module)) if ORDER[other] >= ORDER[module]]
    assert not upwards, f"{module} on floor {ORDER[module][0]} imports {upwards}"


def test_imports_are_seen_wherever_they_stand():
    """Else the test above would pass for nothing."""
    assert {"subspaces"} == imported("landscape")  # for type checkers alone
    assert {"models", "errors", "landscape", "randomness"} <= imported("networks")
    assert {"image_files", "downloads", "own_datasets", "errors"} <= imported("datasets")
    assert sum(len(imported(module)) for module in MODULES) > 50


@pytest.mark.parametrize("module", MODULES)
def test_no_module_reads_what_snakemake_puts_into_scripts(module):
    assert not reads_global(module, "snakemake")


def test_a_script_does():
    """Else the test above would pass for nothing."""
    table = symtable.symtable((LIBRARY.parent / "train.py").read_text(), "train", "exec")
    assert table.lookup("snakemake").is_global()


@pytest.mark.parametrize("module", MODULES)
def test_layers_are_named_where_models_are_alone(module):
    if module not in MAY_NAME_LAYERS:
        assert not layers_named(module)


def test_models_name_layers():
    """Else the test above would pass for nothing."""
    assert {"Linear", "Conv2d", "BatchNorm2d", "GroupNorm", "Dropout"} <= layers_named("models")


LIGHT = ("errors", "study", "schema", "methods", "origins", "records", "provenance", "slurm")


@pytest.mark.parametrize("module", LIGHT)
def test_what_the_snakefile_loads_imports_nothing_heavy(module):
    heavy = {"torch", "numpy", "xarray", "zarr", "scipy", "sklearn", "pandas", "matplotlib"}
    reached, waiting = set(), [module]
    while waiting:
        reached.add(waiting.pop())
        waiting += [other for name in list(reached) for other in imported(name) if other not in reached]
    found = set()
    for name in reached:
        for node in ast.walk(tree(name)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            found |= {part.split(".")[0] for part in names}
    assert not heavy & found
