"""The library as a house: what the catalogue reads from files, and what no room may do. Layers are import-linter's."""

import ast
import re
import shutil
import subprocess
import symtable
import sys
from pathlib import Path

import pytest
import yaml
from torch import nn

from wedgescape.errors import InputError
from wedgescape.study import catalogue as catalogues
from wedgescape.study.catalogue import File, catalogue
from wedgescape.study.layout import Layout, is_toy, left_out_in_words, needs_networks, tables_of
from wedgescape.study.study import load_study

REPOSITORY = Path(__file__).parents[2]
LIBRARY = REPOSITORY / "scripts/wedgescape"
MODULES = sorted(LIBRARY.rglob("*.py"))
SOURCES = [*MODULES, *(REPOSITORY / "scripts").glob("*.py"), *(REPOSITORY / "workflow").rglob("*.smk")]


def name_of(path):
    return str(path.relative_to(REPOSITORY))


def tree(path):
    return ast.parse(path.read_text())


# What the catalogue reads


@pytest.fixture(scope="module")
def study():
    return load_study(yaml.safe_load((REPOSITORY / "config/smoke.yaml").read_text()), catalogue())


@pytest.fixture
def layout(study):
    return Layout(study, catalogue())


def test_each_measurement_is_a_section_of_the_config_if_it_has_settings(study):
    with_settings = {name: file.settings for name, file in catalogue().measurements.items() if file.settings}
    assert len(with_settings) > 10
    for name, settings in with_settings.items():
        assert set(study.config[name]) == set(settings.model_fields)


@pytest.mark.parametrize("name", catalogue().measurements)
def test_settings_read_as_text_are_those_of_the_module(name):
    file = catalogue().measurements[name]
    if file.settings:
        module = __import__(file.module, fromlist=["Settings"])
        assert module.Settings().model_dump() == file.settings().model_dump()
        assert module.Settings.section() == name
        assert module.Settings.model_json_schema() == file.settings.model_json_schema()


def test_what_a_function_takes_says_what_its_job_reads(layout, study):
    figure = catalogue().figures["curves"]
    assert figure.reads("tabulate", "draw") == {"curves": "AtBase"}
    assert layout.read(figure, "tabulate", "draw") == {"curves": [f"results/smoke/curves/{study.base}.zarr.zip"]}
    assert tables_of(figure) == ["curves"]
    assert figure.sections("tabulate", "draw") == ["claims.confidence", "claims.resamples"]
    figure = catalogue().figures["tunnels"]
    assert figure.reads("tabulate", "draw") == {
        "tunnels": "AlongSweeps", "balanced": "AlongSweeps", "dimension": "AtBase"
    }  # fmt: skip
    points = [setting for settings in study.sweeps.values() for setting in settings]
    stores = [f"results/smoke/tunnels/{setting}.zarr.zip" for setting in dict.fromkeys(points)]
    assert layout.read(figure, "tabulate", "draw")["tunnels"] == stores

    measurement = catalogue().measurements["tunnels"]
    made = layout.measured_from(measurement, study.base)
    assert made == {"data": "results/smoke/data/digits.zarr.zip", "weights": layout.weights(study.base)}
    assert measurement.sections("measure") == ["tunnels"]
    assert needs_networks(measurement)
    assert not is_toy(measurement)


def test_the_toy_model_has_no_setting(layout):
    assert is_toy(catalogue().measurements["wedges"])
    assert layout.settings("wedges", "AtBase") == ["toy"]


def test_context_says_where_the_stores_lie_and_no_more(layout, study):
    assert layout.context("AtBase") == {"base_setting": study.base, "settings": {}}
    found = layout.context("AlongSweeps", "OfMethods", "Grids", "BaseSetting")
    assert found["sweeps"]["width"] == dict(zip(study.sweeps["width"], [8, 16, 32], strict=True))
    assert found["methods"]["base"] == study.base
    assert list(found["methods"]) == ["base", "longer", "swa", "sam"]
    assert found["grids"]["learning_rate_x_width"]["keys"] == ["learning_rate", "width"]
    assert len(found["grids"]["learning_rate_x_width"]["settings"]) == 4
    assert found["base"] == study.settings[study.base]


def test_all_optima_of_the_base_setting_are_more_than_every_setting_has():
    config = {"study": "s", "dataset": "digits", "seeds": 4, "base_seeds": 9, "seeds_per_job": 4}
    layout = Layout(load_study(config | {"sweeps": {"width": [8]}}, catalogue()), catalogue())
    base, other = layout.study.base, layout.study.sweeps["width"][0]
    folder = f"results/s/weights/{base}"
    assert layout.first_weights(base) == [f"{folder}/seeds~0-3.zarr.zip"]
    assert layout.weights(base) == [f"{folder}/seeds~{seeds}.zarr.zip" for seeds in ("0-3", "4-7", "8-8")]
    assert layout.weights(other) == layout.first_weights(other)
    made = layout.measured_from(catalogue().measurements["connectors"], base)
    assert (made["weights"], made["all_weights"]) == (layout.first_weights(base), layout.weights(base))
    made = layout.measured_from(catalogue().measurements["aligned_connectors"], base)
    assert made == {"data": layout.data, "all_weights": layout.weights(base)}
    made = layout.measured_from(catalogue().measurements["ensembles"], base)
    assert made["swa"] == layout.weights(layout.study.methods["swa"])


def test_a_function_may_read_a_measurement_along_sweeps_and_along_matched_ones(tmp_path):
    path = tmp_path / "both.py"
    path.write_text("def claims(tunnels: AlongSweeps, matched_tunnels: AlongMatchedSweeps): ...\n")
    file = File(path)
    assert file.reads("claims") == {"tunnels": "AlongSweeps", "matched_tunnels": "AlongMatchedSweeps"}
    assert file.measurements_read("claims") == ["tunnels"]
    config = {"study": "s", "dataset": "digits", "sweeps": {"width": [8, 64], "momentum": [0.5]}}
    layout = Layout(load_study(config, catalogue()), catalogue())
    found = layout.read(file, "claims")
    widths = layout.study.sweeps["width"]
    assert found["matched_tunnels"] == [layout.store("tunnels", f"{setting}_matched") for setting in widths]
    assert len(found["tunnels"]) == 3
    matched = {f"{setting}_matched": value for setting, value in zip(widths, [8, 64], strict=True)}
    context = layout.context("AlongMatchedSweeps")
    assert context == {"matched_sweeps": {"width": matched}, "settings": {"AlongMatchedSweeps": list(matched)}}


def test_a_function_reads_a_measurement_along_sweeps_and_everywhere(tmp_path):
    path = tmp_path / "both.py"
    path.write_text("def draw(tunnels: AlongSweeps, all_tunnels: AtAllSettings): ...\n")
    file = File(path)
    assert file.measurements_read("draw") == ["tunnels"]
    config = {
        "study": "s",
        "dataset": "digits",
        "sweeps": {"width": [8, 64]},
        "grids": [{"width": [16], "momentum": [0.5]}],
    }
    layout = Layout(load_study(config, catalogue()), catalogue())
    found = layout.read(file, "draw")
    assert set(found["tunnels"]) < set(found["all_tunnels"])
    assert len(found["all_tunnels"]) == len(layout.context("AtAllSettings")["settings"]["AtAllSettings"])


def test_figures_along_sweeps_and_grids_need_some():
    study = load_study({"study": "s", "dataset": "digits"}, catalogue())
    all_figures = {file.name for file in Layout(study, catalogue()).figures}
    along = {"tunnels", "curvature", "phase_diagram", "interpolation", "taxonomy"}
    assert set(catalogue().figures) - all_figures == along


def left_out(**config):
    """Return the catalogue of a study with sweeps and grids that leaves something out."""
    varied = {"sweeps": {"width": [8, 16]}, "grids": [{"width": [8], "learning_rate": [0.1]}]}
    return Layout(
        load_study({"study": "s", "dataset": "digits", **varied, **config}, catalogue()), catalogue()
    ).catalogue


def test_what_reads_a_measurement_is_left_out_with_it():
    everything, found = left_out(), left_out(leave_out=["connectors"])
    assert not everything.left_out
    gone = {"connectors", "planes", "profiles", "fitted_wedges"}
    assert set(everything.measurements) - set(found.measurements) == gone
    assert set(everything.figures) - set(found.figures) == gone | {"alignment", "surroundings"}
    claims = set(everything.claims) - set(found.claims)
    assert claims == {name for file in everything.claiming if file.name in gone | {"alignment"} for name in file.claims}
    assert found.left_out["connectors"] == "the config leaves it out"
    assert found.left_out["surroundings"] == "it reads planes, which is left out"  # which reads connectors


def test_a_figure_that_is_left_out_takes_its_own_claims_alone():
    everything, found = left_out(), left_out(leave_out=["flatness"])
    assert set(found.measurements) == set(everything.measurements)
    assert set(everything.figures) - set(found.figures) == {"flatness"}
    assert [file.name for file in everything.claiming if file not in found.claiming] == ["flatness"]


def test_only_what_there_is_can_be_left_out():
    with pytest.raises(InputError, match=r"leave_out: found tunnel, training; allowed: any of aligned_.*, wedges$"):
        left_out(leave_out=["tunnel", "planes", "training"])


def test_what_is_left_out_is_said_once_a_reason():
    reasons = {"a": "the study has no grids", "b": "the config leaves it out", "c": "the study has no grids"}
    assert left_out_in_words(reasons) == "Left out: a, c (the study has no grids); b (the config leaves it out)."


def test_weights_are_kept_only_of_settings_that_have_a_folder(layout, study, tmp_path):
    assert layout.kept_weights(tmp_path) == set()
    (tmp_path / "weights" / study.base).mkdir(parents=True)
    assert layout.kept_weights(tmp_path) == set(layout.weights(study.base))


# A file that lacks a part


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the library, with a measurement and a figure of its own, whose catalogue can be read anew."""
    shutil.copytree(LIBRARY, tmp_path / "scripts/wedgescape", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPOSITORY / "workflow/report", tmp_path / "workflow/report")
    library = tmp_path / "scripts/wedgescape"
    monkeypatch.setattr(catalogues, "LIBRARY", library)
    monkeypatch.setattr(catalogues, "REPORT", tmp_path / "workflow/report")

    def read():
        catalogue.cache_clear()
        try:
            return catalogue(library)
        finally:
            catalogue.cache_clear()

    return library, read


MEASUREMENT = '''"""Norms of optima."""
class Settings(Section):
    """Norms."""
    power: Count = key(2, "Power of the norm.")
VARIABLES = {}
def measure(optima: Optima, settings: Settings = Settings()): ...
def work(case): ...
def claims(norms: AtBase): ...
'''
FIGURE = '"""Draw norms."""\nCATEGORY = "4 Geometry"\nTITLE = "norms"\ndef draw(norms: AtBase): ...\n'


def add(library, measurement=MEASUREMENT, figure=FIGURE, caption="Norms."):
    (library / "measurements/norms.py").write_text(measurement)
    (library / "figures/norms.py").write_text(figure)
    if caption:
        (library.parents[1] / "workflow/report/plot_norms.rst").write_text(caption)


def test_a_new_file_is_in_the_catalogue(copied):
    library, read = copied
    add(library)
    found = read()
    assert {"norms"} <= set(found.measurements) & set(found.figures)
    assert found.config_class()(study="s", dataset="digits").norms.power == 2
    assert "norms" in [file.name for file in found.claiming]


@pytest.mark.parametrize("part", ["VARIABLES = {}\n", "def work(case): ...\n", "def claims(norms: AtBase): ...\n"])
def test_a_measurement_that_lacks_a_part_is_named_with_the_part(copied, part):
    library, read = copied
    add(library, MEASUREMENT.replace(part, ""))
    name = part.split()[1 if part.startswith("def") else 0].partition("(")[0]
    with pytest.raises(InputError, match=rf"measurements/norms\.py: it has no {name}; docs/extending\.md"):
        read()


@pytest.mark.parametrize(
    ("replaced", "by", "said"),
    [
        ('"""Norms of optima."""', "", "it has no docstring"),
        ("optima: Optima", "optima: Optimum", "measure takes optima: Optimum, which no job can give"),
        ("norms: AtBase", "norm: AtBase", "claims takes norm: AtBase, and there is no measurement norm; there are: "),
        ("key(2", "key(two", "its class Settings cannot be read: name 'two' is not defined"),
        ("class Settings(Section):", "class Settings(Section:", "line 2: not Python"),
    ],
)
def test_a_measurement_that_cannot_be_used_is_named_with_what_is_wrong(copied, replaced, by, said):
    library, read = copied
    add(library, MEASUREMENT.replace(replaced, by))
    with pytest.raises(InputError) as caught:
        read().config_class()
    assert "norms.py" in str(caught.value)
    assert said in str(caught.value)


def test_a_figure_without_a_caption_or_title_is_named(copied):
    library, read = copied
    add(library, figure=FIGURE.replace('TITLE = "norms"\n', ""), caption=None)
    with pytest.raises(InputError) as caught:
        read()
    assert "figures/norms.py: it has no TITLE" in str(caught.value)
    assert "figures/norms.py: it has no caption, workflow/report/plot_norms.rst" in str(caught.value)


# What no room may do


def test_what_the_snakefile_loads_imports_nothing_heavy():
    heavy = {"torch", "numpy", "xarray", "zarr", "scipy", "sklearn", "pandas", "matplotlib"}
    program = (
        "import sys\n"
        "from wedgescape.study import catalogue, layout, study\n"
        "from wedgescape.cluster import internals, slurm\n"
        "from wedgescape.provenance import determinants, fingerprints, frame, records\n"
        "catalogue.catalogue().config_class()\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=LIBRARY.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_imports_are_absolute():
    """Fingerprints do not follow relative ones."""
    relative = [
        name_of(path)
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def scopes(table):
    yield table
    for child in table.get_children():
        yield from scopes(child)


def reads_global(path, name):
    table = symtable.symtable(path.read_text(), path.name, "exec")
    found = [scope.lookup(name) for scope in scopes(table) if name in scope.get_identifiers()]
    return any(symbol.is_global() or symbol.is_imported() for symbol in found)


def test_no_module_reads_what_snakemake_puts_into_scripts():
    assert [name_of(path) for path in MODULES if reads_global(path, "snakemake") and path.stem != "internals"] == []
    assert reads_global(LIBRARY.parent / "train.py", "snakemake")  # else the test would pass for nothing


KNOWN_LAYERS = {name for name, thing in vars(nn).items() if isinstance(thing, type) and issubclass(thing, nn.Module)}


def layers_named(path):
    """The names of PyTorch's layers that a module uses, as nn.Linear or imported from torch.nn."""
    nodes = list(ast.walk(tree(path)))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports if (node.module or "").startswith("torch") for alias in node.names}
    return ((attributes | names) & KNOWN_LAYERS) - {"Module"}


def test_layers_are_named_where_networks_are_built_aligned_and_rescaled_alone():
    naming = {name_of(path).removeprefix("scripts/wedgescape/") for path in MODULES if layers_named(path)}
    assert naming == {"landscapes/models.py", "landscapes/units.py", "landscapes/controls.py"}


PRIVATE = ("needrun_jobs", "toposorted", "expand_resources", "path_modifier", "_prepare_dag", "_build_dag", "globals[")
PRIVATE += ("conda_env", ".executor_plugin.", "deployment_settings", "is_main_process", "execution_settings")


def test_what_snakemake_does_not_promise_is_used_in_one_module():
    using = {name_of(path) for path in SOURCES if any(word in path.read_text() for word in PRIVATE)}
    assert using == {"scripts/wedgescape/cluster/internals.py"}


def test_no_module_is_called_after_nothing():
    assert not {path.stem for path in MODULES} & {"utils", "helpers", "misc", "core", "common", "manager"}


def test_no_file_of_the_library_is_both_measurement_and_helper():
    assert all(File(path).definitions for path in (LIBRARY / "measurements").glob("[!_]*.py"))


# What differs from machine to machine


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_text_is_read_and_written_in_utf_8_whatever_the_locale(path):
    """Snakefiles are no Python, but their calls look the same."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".smk":
        assert not re.search(r"(read_text|write_text|[^.]open)\(", text)
        return
    for call in [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]:
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        binary = "b" in "".join(part.value for part in call.args if isinstance(getattr(part, "value", 0), str))
        method = isinstance(call.func, ast.Attribute) and name in ("read_text", "write_text", "FileHandler")
        if method or (isinstance(call.func, ast.Name) and name == "open" and not binary):
            assert "encoding" in given, f"{name_of(path)}, line {call.lineno}: {name} without an encoding"
        assert "text" not in given or name != "run", f"{name_of(path)}, line {call.lineno}: give an encoding"
