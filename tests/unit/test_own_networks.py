"""A study of networks that were trained elsewhere: which files it takes, and what their table makes of them."""

import shutil

import pytest

from wedgescape.errors import InputError
from wedgescape.provenance.determinants import Determinants
from wedgescape.provenance.fingerprints import Fingerprints
from wedgescape.study.catalogue import catalogue
from wedgescape.study.layout import Layout
from wedgescape.study.places import OF_TRAINING
from wedgescape.study.study import load_study, warnings

MODEL = {"name": "mlp", "width": 8}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A function: files, and the text of a table -> the folder with them, from which the study is read."""
    monkeypatch.chdir(tmp_path)

    def made(*files, table=None):
        for number, file in enumerate(files):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(f"weights {number}")  # a study is laid out before they are read
        if table is not None:
            (tmp_path / "runs/table.csv").write_text(table)
        return tmp_path

    return made


def study_of(config=None, **networks):
    networks = {"files": "runs/*.pt", "model": MODEL} | networks
    given = {"study": "s", "dataset": "digits", "networks": networks} | (config or {})
    return load_study(given, catalogue())


def refused(config=None, **networks) -> str:
    with pytest.raises(InputError) as caught:
        study_of(config, **networks)
    return str(caught.value)


def table(*rows, columns="file,seed,learning_rate,width"):
    return "\n".join([columns, *rows, ""])


def rows(rates=(0.1, 0.2), widths=(8,), seeds=range(4)):
    """Files and rows of all combinations."""
    cases = [(f"{rate}-{width}-{seed}.pt", seed, rate, width) for rate in rates for width in widths for seed in seeds]
    return [f"runs/{case[0]}" for case in cases], [",".join(map(str, case)) for case in cases]


# Which networks are where


def test_without_a_table_all_files_are_one_setting_in_the_order_of_their_names(runs):
    runs("runs/b.pt", "runs/a.pt", "runs/c.pt", "runs/d.txt")
    study = study_of()
    assert study.base == "width~8_batch~128"  # no learning rate is known, so that none is claimed
    assert study.networks == {study.base: {0: "runs/a.pt", 1: "runs/b.pt", 2: "runs/c.pt"}}
    assert (study.config["seeds"], study.config["base_seeds"], study.seeds) == (3, 3, [0, 1, 2])
    assert study.training(study.base)["training"] == {"batch_size": 128}
    assert (study.methods, study.matched) == ({}, {})


def test_the_setting_of_most_networks_is_the_base_setting(runs):
    files, told = rows(rates=(0.1,))
    more, also = rows(rates=(0.2,), seeds=range(6))
    runs(*files, *more, table=table(*told, *also))
    study = study_of({"sweeps": {"learning_rate": [0.1, 0.2]}}, table="runs/table.csv")
    known = {"learning_rate": 0.2, "width": 8, "batch_size": 128, "depth": 2, "model": "mlp"}
    assert study.settings[study.base] == known
    low, high = study.sweeps["learning_rate"]
    assert high == study.base
    assert study.networks[low] == {seed: f"runs/0.1-8-{seed}.pt" for seed in range(4)}
    assert (study.config["seeds"], study.config["base_seeds"]) == (4, 6)
    assert study.chunks(low) == ["0-3"]
    assert study.chunks(high) == ["0-3", "4-5"]
    assert study.seeds_in(high, "4-5") == [4, 5]


@pytest.mark.parametrize(
    ("networks", "wanted"),
    [
        ({"base": {}}, (0.1, 8)),  # the first of the table, since all have as many networks
        ({"base": {"learning_rate": 0.2}}, (0.2, 8)),
        ({"model": {"name": "mlp", "width": 16}}, (0.1, 16)),
        ({"model": {"name": "mlp", "width": 16}, "base": {"learning_rate": 0.2}}, (0.2, 16)),
    ],
)
def test_the_config_chooses_the_base_setting(runs, networks, wanted):
    files, told = rows(widths=(8, 16))
    runs(*files, table=table(*told))
    networks = {"model": {"name": "mlp"}} | networks
    study = study_of(table="runs/table.csv", **networks)
    base = study.settings[study.base]
    assert (base["learning_rate"], base["width"]) == wanted
    assert study.training(study.base)["model"]["width"] == wanted[1]
    assert study.config["model"]["width"] == wanted[1]


def test_of_several_settings_the_base_is_the_one_around_which_the_sweeps_have_networks(runs):
    files, told = rows(rates=(0.2,))
    more, also = rows(rates=(0.1,), widths=(8, 16))
    runs(*files, *more, table=table(*told, *also))
    sweeps = {"learning_rate": [0.1, 0.2], "width": [8, 16]}
    study = study_of({"sweeps": sweeps}, table="runs/table.csv", model={"name": "mlp"})
    assert study.settings[study.base]["learning_rate"] == 0.1  # at 0.2, there is no width of 16


def test_what_the_table_lacks_and_the_base_says_holds_for_all_networks(runs):
    files, told = rows()
    runs(*files, table=table(*told))
    study = study_of({"sweeps": {"learning_rate": [0.1, 0.2]}}, table="runs/table.csv", base={"batch_size": 512})
    assert {setting["batch_size"] for setting in study.settings.values()} == {512}
    assert all(study.training(name)["training"]["batch_size"] == 512 for name in study.settings)


def test_only_seeds_that_all_settings_have_are_compared_and_the_rest_is_told(runs):
    files, told = rows(rates=(0.1,), seeds=(7, 42, 1337, 2000))
    more, also = rows(rates=(0.2,), seeds=(1, 7, 42, 1337))
    runs(*files, *more, table=table(*told, *also))
    study = study_of({"sweeps": {"learning_rate": [0.1, 0.2]}}, table="runs/table.csv")
    other = study.sweeps["learning_rate"][1]
    assert list(study.networks[study.base]) == [7, 42, 1337, 2000]
    assert list(study.networks[other]) == [7, 42, 1337]
    assert study.chunks(study.base) == ["7-1337", "2000-2000"]
    assert study.seeds == [7, 42, 1337, 2000]
    assert study.unused == ["runs/0.2-8-1.pt"]
    assert any("networks.files: 1 files are not used" in text for text in warnings(study, catalogue()))


def test_a_warning_speaks_of_networks_where_seeds_are_no_key(runs):
    runs("runs/a.pt", "runs/b.pt", "runs/c.pt")
    (said,) = warnings(study_of(), catalogue())
    assert "raise\n  the networks of each setting from 3 to 4\n" in said
    assert "\n  the networks of the base setting from 3 to " in said


def test_a_table_alone_names_the_files_relative_to_itself(runs):
    files, told = rows(rates=(0.1,))
    runs(*files, "runs/other.pt", table=table(*told))
    study = study_of(files=None, table="runs/table.csv")
    assert list(study.networks[study.base].values()) == files


def test_a_table_may_come_from_a_spreadsheet(runs):
    runs("runs/a.pt", "runs/b.pt", "runs/c.pt")
    text = '\ufeff"path", width\r\n"a.pt", 8.0\r\n"b.pt", 8\r\n"c.pt", 8\r\n'
    (runs() / "runs/table.csv").write_bytes(text.encode())
    assert len(study_of(table="runs/table.csv").networks["width~8_batch~128"]) == 3


def test_patterns_may_be_several_and_deep(runs):
    runs("runs/a/b/one.pt", "runs/two.safetensors", "more/three.npz")
    study = study_of(files=["runs/**/*.*", "more/*.npz", "runs/two.*"])
    assert len(study.networks[study.base]) == 3


def test_the_config_as_an_archive_has_it_gives_the_same_study(runs):
    files, told = rows()
    runs(*files, table=table(*told))
    study = study_of({"sweeps": {"learning_rate": [0.1, 0.2]}}, table="runs/table.csv")
    again = load_study(study.as_written, catalogue())
    assert again == study


# What is left out


def test_what_needs_the_training_is_left_out_and_says_so(runs):
    runs("runs/a.pt", "runs/b.pt", "runs/c.pt")
    found = Layout(study_of(), catalogue()).catalogue
    taken = {kind for file in found.measurements.values() for kind in file.kinds("measure")}
    taken |= {kind for file in found.figures.values() for kind in file.kinds("tabulate", "draw")}
    taken |= {kind for file in found.claiming for kind in file.kinds("claims")}
    assert not taken & set(OF_TRAINING)
    assert {"tunnels", "planes", "curvature", "connectors", "simplexes", "curves"} <= set(found.measurements)
    assert found.left_out["spectrum"] == OF_TRAINING["TrainedOptima"]
    assert found.left_out["ensembles"] == OF_TRAINING["OptimaOfMethods"]
    assert found.left_out["fitted_wedges"].startswith("it reads")
    assert "training" in found.measurements  # it says which networks fit
    assert "training" not in found.figures
    assert "swa_angular_width" not in found.claims


def test_a_study_that_trains_leaves_none_of_it_out():
    found = Layout(load_study({"study": "s", "dataset": "digits"}, catalogue()), catalogue()).catalogue
    along_sweeps_and_grids = {"tunnels", "curvature", "interpolation", "phase_diagram", "taxonomy"}
    assert set(found.left_out) == along_sweeps_and_grids


# What decides reruns


def test_the_content_of_files_decides_reruns_and_their_place_does_not(runs):
    folder = runs("runs/a.pt", "runs/b.pt", "runs/c.pt")

    def determined(files="runs/*.pt"):
        layout = Layout(study_of(files=files), catalogue())
        scripts = folder / "none.py"
        scripts.write_text("")
        found = Determinants(layout, Fingerprints(None), lambda _name: scripts)
        return found.reading(layout.study.base, "0-2")

    before = determined()
    shutil.copytree("runs", "moved")
    assert determined("moved/*.pt") == before
    (folder / "runs/b.pt").write_text("other weights")
    after = determined()
    assert {seed for seed in "012" if before["networks"][seed] != after["networks"][seed]} == {"1"}


# What cannot be used


@pytest.mark.parametrize("key", ["training", "model", "matched", "seeds", "base_seeds", "first_seed", "confirms"])
def test_what_is_said_of_training_beside_networks_is_refused(runs, key):
    runs("runs/a.pt", "runs/b.pt", "runs/c.pt")
    values = {"training": {"epochs": 3}, "model": MODEL, "matched": {}, "confirms": "other"}
    said = refused({key: values.get(key, 3)})
    assert f"\n  {key}: found beside networks; " in said
    assert study_of({key: None}).networks  # as one that an earlier config gave is taken back


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ({"files": "gone/*.pt"}, ["networks.files: no file matches gone/*.pt in "]),
        ({"files": "runs/*"}, ["networks.files: found runs/d.onnx", ".safetensors, .pt, .pth, .npz"]),
        ({"files": None}, ["networks.files: missing"]),
        ({"files": "runs/a.pt"}, ["networks.files: found 1 for the setting width~8_batch~128; allowed: at least 3"]),
        ({"model": None}, ["networks.model: found null"]),
        ({"model": {"name": "mlp", "width": 0}}, ["networks.model.width: found 0; allowed: integer >= 1"]),
        ({"model": {"name": "net"}}, ['networks.model.name: found "net"; allowed: one of mlp']),
        ({"file": "runs/*.pt"}, ["networks.file: unknown key (did you mean files?)"]),
        ({"base": {"lr": 0.1}}, ["networks.base: found lr; allowed: learning_rate, "]),
        ({"base": {"learning_rate": -1}}, ["networks.base: learning_rate is -1; allowed: number > 0"]),
        ({"table": "gone.csv"}, ["networks.table: gone.csv: there is no such file in "]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_section_that_cannot_be_used_is_told_by_its_key(runs, networks, words):
    runs("runs/a.pt", "runs/b.pt", "runs/c.pt", "runs/d.onnx")
    said = refused(**networks)
    for word in words:
        assert word in said
    assert len(said.splitlines()) <= 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            table("a.pt,0,0.1", columns="file,seed,lr"),
            ["found the columns lr; allowed: file or path, seed, "],
        ),
        (
            table("0,0.1", columns="seed,learning_rate"),
            ["found the columns seed, learning_rate; each must"],
        ),
        (table("a.pt,a.pt", columns="file,path"), ["one of them file"]),
        ("", ["found the columns none"]),
        (table("a.pt", "b.pt", columns="file"), ["it has no row for runs/c.pt, which networks.files matches"]),
        (
            table("a.pt", "b.pt", "c.pt", "z.pt", columns="file"),
            ["column file has z.pt, which networks.files does not match; paths are relative to runs"],
        ),
        (table("a.pt", "b.pt", "c.pt", "./a.pt", columns="file"), ["it has several rows for runs/a.pt"]),
        (table("a.pt,0", "b.pt,0", "c.pt,1", columns="file,seed"), ["seed 0 is that of runs/a.pt, runs/b.pt"]),
        (table("a.pt,x", "b.pt,0", "c.pt,1", columns="file,seed"), ["column seed has x; allowed: integer >= 0"]),
        (
            table("a.pt,high", "b.pt,0.1", "c.pt,0.1", columns="file,learning_rate"),
            ["learning_rate is high; allowed: number > 0"],
        ),
        (table("a.pt,", "b.pt,8", "c.pt,8", columns="file,width"), ["width is empty; allowed: integer >= 1"]),
        (table("a.pt,8,8", "b.pt,8", "c.pt,8", columns="file,width"), ["line 2: it has not the 2 cells"]),
        (table("a.pt,16", "b.pt,16", "c.pt,16", columns="file,width"), ["no row has the", "width 8"]),
    ],
)
def test_a_table_that_cannot_be_used_is_told_by_its_name(runs, text, words):
    runs("runs/a.pt", "runs/b.pt", "runs/c.pt", table=text)
    said = refused(table="runs/table.csv")
    assert "networks.table" in said
    for word in words:
        assert word in said


def test_a_sweep_needs_networks_at_all_its_values(runs):
    files, told = rows()
    runs(*files, table=table(*told))
    said = refused({"sweeps": {"learning_rate": [0.1, 0.4]}}, table="runs/table.csv")
    assert "no network in networks.table has learning_rate 0.4" in said
    assert "momentum 0.5" in refused({"sweeps": {"momentum": [0.5]}}, table="runs/table.csv")


def test_settings_without_a_common_seed_are_refused(runs):
    files, told = rows(rates=(0.1,))
    more, also = rows(rates=(0.2,), seeds=range(4, 8))
    runs(*files, *more, table=table(*told, *also))
    said = refused({"sweeps": {"learning_rate": [0.1, 0.2]}}, table="runs/table.csv")
    assert "no seed is there at all settings" in said
