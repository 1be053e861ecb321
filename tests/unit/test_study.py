"""Studies: points, names, chunks, defaults, and what is said about a config that cannot be used."""

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import jsonschema
import pytest
import yaml
from snakemake.utils import update_config

import document
from wedgescape.errors import InputError
from wedgescape.study.catalogue import catalogue
from wedgescape.study.layout import Layout
from wedgescape.study.problems import schema_of, table_of_keys
from wedgescape.study.study import load_study, seeds_in, warnings

REPOSITORY = Path(__file__).parents[2]
BASE = "lr~0.05_wd~0_width~64_dropout~0_batch~128"
NO_STUDIES = {"rules", "fashion_short"}  # the latter lies over another
SHIPPED = sorted({path.stem for path in (REPOSITORY / "config").glob("*.yaml")} - NO_STUDIES)


def study_of(text="", **keys):
    """The study of a YAML config, with the two required keys given."""
    config = {"study": "s", "dataset": "digits"} | (yaml.safe_load(text) or {}) | keys
    return load_study(config, catalogue())


def problems_of(text="", **keys):
    """The lines of a config's error message."""
    with pytest.raises(InputError) as caught:
        study_of(text, **keys)
    first, *lines = str(caught.value).splitlines()
    assert first == "The config cannot be used:"
    return [line.removeprefix("  ") for line in lines]


def shipped(name):
    return yaml.safe_load((REPOSITORY / f"config/{name}.yaml").read_text())


# Settings, sweeps, grids


def test_base_setting_comes_first_and_is_named_by_its_values():
    study = study_of("sweeps: {learning_rate: [0.2, 0.1]}")
    assert study.base == BASE
    assert next(iter(study.settings)) == BASE
    assert study.settings[BASE] == {
        "model": "mlp",
        "width": 64,
        "depth": 2,
        "learning_rate": 0.05,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "batch_size": 128,
        "momentum": 0.9,
        "optimizer": "sgd",
        "sharpness_radius": 0.0,
    }


def test_sweep_keeps_the_order_of_its_values_and_adds_no_base_setting():
    study = study_of("sweeps: {learning_rate: [0.2, 0.05, 0.1], width: [16, 32]}")
    assert study.sweeps["learning_rate"] == [BASE.replace("0.05", "0.2"), BASE, BASE.replace("0.05", "0.1")]
    assert study.sweeps["width"] == [BASE.replace("~64", "~16"), BASE.replace("~64", "~32")]
    assert list(study.settings) == [BASE, *study.sweeps["learning_rate"][::2], *study.sweeps["width"]]


@pytest.mark.parametrize(
    ("sweep", "ending"),
    [
        ("momentum: [0.5]", "_momentum~0.5"),
        ("depth: [3]", "_depth~3"),
        ("optimizer: [adam]", "_optimizer~adam"),
        ("model: [simple_cnn]", "_model~simple_cnn"),
        ("sharpness_radius: [0.1]", "_sam~0.1"),
    ],
)
def test_further_parameters_are_named_only_where_they_differ_from_the_base(sweep, ending):
    key = sweep.split(":")[0]
    assert study_of(f"sweeps: {{{sweep}}}").sweeps[key] == [BASE + ending]
    training = {"momentum": 0.5, "optimizer": "sgd" if key == "momentum" else "adam", "sharpness_radius": 0.1}
    study = study_of(f"sweeps: {{{sweep}}}", training=training, model={"depth": 3})
    assert study.base == BASE
    assert study.sweeps[key] == [BASE if key != "model" else BASE + ending]


@pytest.mark.parametrize(
    ("value", "shown"), [("0", "0"), ("5.0e-4", "0.0005"), ("-0.0", "0"), ("1.0e-6", "1e-06"), ("1.0", "1")]
)
def test_values_are_named_by_their_shortest_form(value, shown):
    study = study_of(f"training: {{weight_decay: {value}}}")
    assert study.base == f"lr~0.05_wd~{shown}_width~64_dropout~0_batch~128"


def test_close_values_do_not_share_a_name():
    names = study_of("sweeps: {learning_rate: [0.12345678, 0.12345679, 0.1234568]}").sweeps["learning_rate"]
    assert len(set(names)) == 3


def test_settings_and_names_are_one_to_one():
    values = "{learning_rate: [0.1, 0.01], momentum: [0.0, 0.9], depth: [1, 2], optimizer: [sgd, adam], width: [1, 11]}"
    study = study_of(f"grids: [{values}]")
    assert len({json.dumps(point, sort_keys=True) for point in study.settings.values()}) == len(study.settings) == 33


def test_grid_is_a_full_product_and_shares_settings_with_sweeps():
    study = study_of("""
        sweeps: {width: [64, 128]}
        grids: [{width: [64, 128], learning_rate: [0.05, 0.1]}]
    """)
    assert list(study.grids) == ["learning_rate_x_width"]
    values = [
        (study.settings[p]["learning_rate"], study.settings[p]["width"]) for p in study.grids["learning_rate_x_width"]
    ]
    assert values == [(0.05, 64), (0.05, 128), (0.1, 64), (0.1, 128)]
    assert len(study.settings) == 4


def test_grids_over_the_same_keys_have_names_of_their_own():
    grid = "{width: [%s], depth: [1, 3]}"
    study = study_of(f"grids: [{grid % 8}, {grid % 16}, {grid % 8}, {{momentum: [0.1], depth: [1]}}]")
    assert list(study.grids) == ["width_x_depth", "width_x_depth_2", "width_x_depth_3", "depth_x_momentum"]
    assert study.grids["width_x_depth"] == study.grids["width_x_depth_3"]
    assert len(study.settings) == 1 + 2 + 2 + 1


# Defaults


def test_default_members_are_those_that_the_seeds_allow():
    assert study_of("", seeds=3).config["ensembles"]["members"] == 3
    assert study_of("", seeds=12).config["ensembles"]["members"] == 5


# Seeds


@pytest.mark.parametrize(
    ("seeds", "together", "chunks"),
    [(12, 5, ["0-4", "5-9", "10-11"]), (5, 2, ["0-1", "2-3", "4-4"]), (12, 12, ["0-11"]), (5, 99, ["0-4"])],
)
def test_chunks_cover_every_seed_once(seeds, together, chunks):
    study = study_of(seeds=seeds, seeds_per_job=together)
    assert study.seed_chunks == chunks
    assert [seed for chunk in chunks for seed in seeds_in(chunk)] == study.seeds == list(range(seeds))
    assert study.chunks(study.base) == chunks


def test_the_base_setting_has_further_seeds_beside_the_chunks_of_all_settings():
    study = study_of("sweeps: {width: [8]}", seeds=12, base_seeds=44, seeds_per_job=12)
    assert study.seed_chunks == ["0-11"]
    assert study.chunks(study.base) == ["0-11", "12-23", "24-35", "36-43"]
    assert study.chunks(study.sweeps["width"][0]) == study.chunks(study.methods["swa"]) == ["0-11"]
    # They are chunked apart, so that the first are the same jobs whatever base_seeds is.
    assert study_of(seeds=5, base_seeds=8, seeds_per_job=4).chunks(BASE) == ["0-3", "4-4", "5-7"]
    assert study_of(seeds=5).config["base_seeds"] == 5
    assert study_of("connectors: {sizes: [8]}", seeds=5, base_seeds=8).config["connectors"]["sizes"] == [8]


def test_a_study_may_begin_at_another_seed():
    study = study_of(seeds=5, base_seeds=7, seeds_per_job=3, first_seed=100)
    assert study.chunks(BASE) == ["100-102", "103-104", "105-106"]
    assert study.seeds == list(range(100, 107))
    assert study.training(BASE) == study_of(seeds=5).training(BASE)


def test_too_few_seeds_are_told_with_the_keys_to_raise():
    catalogued = catalogue()
    some = "ensembles: {members: 3}\nsimplexes: {sizes: [3]}\n"
    assert warnings(study_of(f"{some}connectors: {{sizes: [2, 3]}}", seeds=12), catalogued) == []
    (text,) = warnings(study_of(f"{some}connectors: {{sizes: [2, 11]}}\ncurvature: {{seeds: 3}}", seeds=12), catalogued)
    assert text == (
        "Some claims will stay undecided, because a verdict needs 4 independent seeds or sets. To decide them, raise\n"
        "  curvature.seeds from 3 to 4\n"
        "  base_seeds from 12 to 44, 4 times the number of optima in the largest set (11 in connectors.sizes)"
    )
    assert "raise\n  seeds from 3 to 4\n  base_seeds from 3 to 12" in warnings(study_of(seeds=3), catalogued)[0]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_have_four_seeds_and_four_sets_of_the_largest_size(name):
    study = load_study(shipped(name), catalogue())
    assert len(warnings(study, Layout(study, catalogue()).catalogue)) == (name == "smoke")


# Matched sweeps


def test_matched_sweeps_are_the_sweeps_trained_again_to_one_loss():
    study = study_of(
        "sweeps: {learning_rate: [0.01, 0.05], momentum: [0.5], width: [8]}\nmatched: {loss: 0.2, epochs_factor: 2}",
        training={"epochs": 30, "snapshot_epochs": 3, "average_epochs": 5},
    )
    assert study.matched == {
        "learning_rate": [BASE.replace("0.05", "0.01") + "_matched", BASE + "_matched"],
        "width": [BASE.replace("~64", "~8") + "_matched"],
    }
    for names in study.matched.values():
        for name in names:
            before, after = study.training(name.removesuffix("_matched")), study.training(name)
            assert after["training"].pop("stop_loss") == 0.2
            changed = {"epochs": 60, "schedule": "constant", "snapshot_epochs": None, "average_epochs": None}
            assert after == before | {"training": before["training"] | changed}


def test_matched_sweeps_can_be_left_out():
    assert study_of("sweeps: {width: [8]}\nmatched: {sweeps: []}").matched == {}
    assert study_of().matched == {}


# What a training depends on


def test_training_holds_the_values_of_its_setting():
    study = study_of("grids: [{width: [16], weight_decay: [0.01], model: [resnet20], optimizer: [adam]}]")
    (point,) = study.grids["weight_decay_x_width_x_model_x_optimizer"]
    training = study.training(point)
    assert training["model"] == {"name": "resnet20", "width": 16, "depth": 2, "norm": "batch", "file": None}
    assert (training["training"]["weight_decay"], training["training"]["optimizer"]) == (0.01, "adam")
    assert study.training(study.base)["model"]["name"] == "mlp"
    assert list(training) == ["data", "dataset", "loss", "model", "training"]
    assert list(training["training"]) == sorted(training["training"])


def test_training_leaves_out_what_does_not_determine_it():
    data, others = "data: {download: false, folder: elsewhere}", "device: cpu\nseeds: 7\ncheckpoint_minutes: 1"
    a = study_of(f"{data}\n{others}\ntunnels: {{directions: 3}}")
    b = study_of("sweeps: {width: [1]}")
    assert a.training(BASE) == b.training(BASE)
    assert a.training(BASE) != study_of("training: {schedule: step}").training(BASE)
    assert a.training(BASE) != study_of("data: {train_examples: 100}").training(BASE)


def test_equal_numbers_give_equal_trainings_to_the_byte():
    a = study_of("model: {width: 64.0}\ntraining: {weight_decay: 0, epochs: 8.0, warmup_epochs: 2, dropout: -0.0}")
    b = study_of("training: {dropout: 0.0, warmup_epochs: 2.0, epochs: 8, weight_decay: 0.0}")
    assert json.dumps(a.training(BASE)) == json.dumps(b.training(BASE))


def test_trainings_are_those_of_all_settings_and_methods():
    study = study_of("sweeps: {width: [1]}")
    trainings = study.trainings()
    assert set(trainings) == {*study.settings, *study.methods.values(), *study.matched["width"]}
    assert all(trainings[point] == study.training(point) for point in trainings)
    assert len(trainings) == 2 + len(study.methods) + 1


def test_a_section_or_an_entry_of_it_is_named_by_its_key():
    study = study_of("tunnels: {directions: 3}")
    assert study.section("tunnels")["directions"] == study.section("tunnels.directions") == 3
    assert study.section("dataset") == "digits"


def test_own_model_gets_its_further_keys_and_the_settings_width():
    study = study_of("""
        model: {file: nets.py, name: Net, heads: 4, dropout: 0.7}
        sweeps: {model: [Net, Other], width: [8], dropout: [0.1]}
    """)
    assert study.training(study.sweeps["model"][1])["model"]["name"] == "Other"
    model = study.training(study.sweeps["width"][0])["model"]
    assert model == {
        "name": "Net",
        "file": "nets.py",
        "width": 8,
        "depth": 2,
        "norm": "batch",
        "heads": 4,
        "dropout": 0.7,
    }


# Defaults


def test_defaults_fill_absent_empty_and_partial_sections():
    study = study_of("connectors:\ntraining: {epochs: 10}")
    assert study.section("connectors")["sizes"] == [2, 3, 5, 7, 9, 11]
    assert study.section("training") | {"epochs": 80} == study_of().section("training")
    assert study.section("wedges")["short"] == [5, 10, 20, 40]
    assert (study.config["seeds"], study.config["device"]) == (12, "auto")


def test_defaults_are_valid_and_complete():
    config = study_of().config
    jsonschema.validate(config, catalogue().config_class().model_json_schema())
    assert config.keys() == schema_of(catalogue().config_class())["properties"].keys()
    assert load_study(config, catalogue()).config == config


def test_neither_the_config_given_nor_the_study_is_changed_through_a_copy():
    config = {"study": "s", "dataset": "digits", "sweeps": {"width": [8]}, "data": None}
    before = deepcopy(config)
    study = load_study(config, catalogue())
    study.section("connectors")["sizes"].append(99)
    study.training(study.base)["training"]["epochs"] = 0
    assert config == before
    assert study.config == load_study(config, catalogue()).config


def test_every_key_has_a_meaning_and_is_required_or_has_a_default():
    def check(node, prefix):
        for key, child in node.get("properties", {}).items():
            assert child.get("description"), prefix + key
            assert "default" in child or key in node.get("required", ()), prefix + key
            if "properties" in child:
                assert child.get("additionalProperties") is False or prefix + key == "model", prefix + key
            check(child, f"{prefix}{key}.")

    jsonschema.Draft202012Validator.check_schema(catalogue().config_class().model_json_schema())
    check(schema_of(catalogue().config_class()), "")


# Problems


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("training: {learning_rat: 1}", "training.learning_rat: unknown key (did you mean learning_rate?); allowed: "),
        ("learning_rate: 0.1", "learning_rate: unknown key (did you mean training.learning_rate?); allowed: study, "),
        ("foo: 1", "foo: unknown key; allowed: study, dataset, "),
        ("on: 1", "True: unknown key; allowed: study, dataset, "),
        ("model: {heads: 2}", "model.heads: unknown key; allowed: name, width, depth, norm, file"),
        ("model: {heads: 2, file: null}", "model.heads: unknown key; allowed: name, width, depth, norm, file"),
        ("model: {file: a.py}", "model.name: missing; allowed: Python name"),
        ("model: {file: a.py, name: N, day: 2020-01-01}", 'model.day: found "2020-01-01"; allowed: true or false or '),
        (
            "model: {name: resnet}",
            'model.name: found "resnet"; allowed: one of mlp, simple_cnn, resnet20 (did you mean ',
        ),
        ("model: {norm: null}", "model.norm: found null; allowed: one of batch, group"),
        ("model: {width: 2.5}", "model.width: found 2.5; allowed: integer >= 1"),
        ("model: {width: true}", "model.width: found true; allowed: integer >= 1"),
        ("training: 5", "training: found 5; allowed: section with the keys optimizer, learning_rate, "),
        ("training: {learning_rate: 0}", "training.learning_rate: found 0; allowed: number > 0"),
        ("training: {momentum: 1}", "training.momentum: found 1; allowed: number >= 0 and < 1"),
        ("training: {weight_decay: .nan}", "training.weight_decay: found NaN; allowed: number >= 0"),
        ("training: {weight_decay: .inf}", "training.weight_decay: found Infinity; allowed: number >= 0"),
        ("training: {nesterov: 1}", "training.nesterov: found 1; allowed: true or false"),
        ("training: {clip_norm: 0}", "training.clip_norm: found 0; allowed: number > 0 or null"),
        ("data: {train_examples: 9}", "data.train_examples: found 9; allowed: integer >= 10 or null"),
        ("planes: {resolution: 10}", "planes.resolution: found 10; allowed: odd integer >= 5"),
        ("gpu_model: a b", 'gpu_model: found "a b"; allowed: text of letters, digits, . and _ or null'),
        ("sweeps: {model: [a-b]}", 'sweeps.model[0]: found "a-b"; allowed: Python name'),
        ("device: gpu", 'device: found "gpu"; allowed: one of auto, cpu, cuda, mps'),
        (
            "dataset: fashon_mnist",
            'dataset: found "fashon_mnist"; allowed: one of digits, diabetes, mnist, ',
        ),
        ("dataset: {file: a.py}", "dataset.name: missing; allowed: Python name"),
        (
            "dataset: 3",
            "dataset: found 3; allowed: one of digits, diabetes, mnist, fashion_mnist, cifar10, cifar100 or ",
        ),
        (
            "study: a/b",
            'study: found "a/b"; allowed: text of letters, digits, - and _ that begins with a letter or digit',
        ),
        ("study: 'a\n\n'", 'study: found "a\\n"; allowed: text of letters'),
        ("study: null", "study: found null; allowed: text of letters"),
        (
            "sweeps: {width: []}",
            "sweeps.width: found []; allowed: null or list (at least one, none twice) of integer >= 1",
        ),
        (
            "sweeps: {dropout: [0, 0.0]}",
            "sweeps.dropout: found [0, 0.0]; allowed: null or list (at least one, none twice)",
        ),
        ("sweeps: {dropout: [0, 1]}", "sweeps.dropout[1]: found 1; allowed: number >= 0 and < 1"),
        (
            "sweeps: {optimizer: [sgdm]}",
            'sweeps.optimizer[0]: found "sgdm"; allowed: one of sgd, adam, adamw (did you ',
        ),
        ("grids: [5]", "grids[0]: found 5; allowed: section with the keys learning_rate, "),
        ("grids: {width: [1]}", 'grids: found {"width": [1]}; allowed: list of sections'),
        ("grids: [{widht: [1], depth: [1]}]", "grids[0].widht: unknown key (did you mean width?)"),
    ],
)
def test_problem_names_the_key_what_was_found_and_what_is_allowed(text, line):
    problems = problems_of(text)
    assert len(problems) == 1
    assert problems[0].startswith(line)


def test_hint_is_given_only_where_it_helps():
    assert problems_of("device: gpu") == ['device: found "gpu"; allowed: one of auto, cpu, cuda, mps']
    assert problems_of("study: 2019")[0].endswith('(write "2019", with quotes)')


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("5e-4", "5.0e-4"),
        ("1e3", "1.0e+3"),
        ("1.5e3", "1.5e+3"),
        ("2E-3", "2.0e-3"),
        ("'0.5'", "0.5"),
    ],
)
def test_number_that_yaml_reads_as_text_gets_a_hint_that_works(written, hint):
    (problem,) = problems_of(f"sweeps: {{learning_rate: [{written}]}}")
    assert problem.endswith(f"(to YAML this is text: write {hint}, without quotes)")
    assert study_of(f"sweeps: {{learning_rate: [{hint}]}}").settings


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("seeds: 4\nconnectors: {sizes: [2, 5]}", ["connectors.sizes: found 5; allowed: at most base_seeds, 4"]),
        (
            "dataset: {file: a.py, name: f, nam: g}",
            ["dataset.nam: unknown key (did you mean name?); allowed: file, name, files"],
        ),
        ("seeds: 4\nsimplexes: {sizes: [5]}", ["simplexes.sizes: found 5; allowed: at most base_seeds, 4"]),
        (
            "seeds: 2\nsimplexes: {sizes: [2]}",
            ["seeds: found 2; allowed: at least 3, the optima that a plane goes through"],
        ),
        ("wedges: {dimension: 40}", ["wedges.short: found 40; allowed: less than wedges.dimension, 40"]),
        (
            "training: {epochs: 5, warmup_epochs: 5}",
            ["training.warmup_epochs: found 5; allowed: less than training.epochs, 5"],
        ),
        (
            "training: {epochs: 5, snapshot_epochs: 6}",
            ["training.snapshot_epochs: found 6; allowed: at most training.epochs, 5"],
        ),
        (
            "training: {epochs: 5, average_epochs: 6}",
            ["training.average_epochs: found 6; allowed: at most training.epochs, 5"],
        ),
        ("seeds: 4\nbase_seeds: 3", ["base_seeds: found 3; allowed: at least seeds, 4"]),
        ("seeds: 4\nensembles: {members: 5}", ["ensembles.members: found 5; allowed: at most base_seeds, 4"]),
        (
            "training: {nesterov: true, momentum: 0}\nsweeps: {width: [1]}",
            ["training.momentum: found 0 with training.nesterov: true; Nesterov momentum needs momentum > 0"],
        ),
        (
            "training: {nesterov: true}\nsweeps: {momentum: [0, 0.9]}",
            ["sweeps.momentum: found 0 with training.nesterov: true; Nesterov momentum needs momentum > 0"],
        ),
        (
            "training: {optimizer: adam}\nsweeps: {momentum: [0.5, 0.9]}",
            ["sweeps.momentum: found with adam, which has no momentum; allowed: with sgd only"],
        ),
        (
            "model: {name: simple_cnn}\nsweeps: {depth: [1, 2]}",
            ["sweeps.depth: found with simple_cnn; allowed: with mlp only"],
        ),
        (
            "grids: [{depth: [1], model: [mlp, resnet20]}]",
            ["grids[0].depth: found with resnet20; allowed: with mlp only"],
        ),
        (
            "sweeps: {model: [mlp, vgg]}",
            ["sweeps.model: found vgg; allowed: one of mlp, simple_cnn, resnet20, unless model.file is given"],
        ),
        (
            "grids: [{width: [1, 2], depth: null}]",
            ["grids[0]: found 1 keys with values; allowed: two or more (one alone is a sweep)"],
        ),
    ],
)
def test_contradiction_between_keys_is_a_problem(text, problems):
    assert problems_of(text) == problems


@pytest.mark.parametrize(
    "text",
    [
        "seeds: 5",
        "training: {epochs: 5, warmup_epochs: 4, snapshot_epochs: 5}",
        "training: {nesterov: true, momentum: 0, optimizer: adam}",
        "model: {file: a.py, name: Net}\nsweeps: {depth: [1]}",
        "dataset: {file: a.py, name: mine}",
        "wedges: {dimension: 41}",
    ],
)
def test_what_is_just_allowed_is_no_problem(text):
    assert study_of(text).settings


def test_all_problems_are_told_at_once():
    problems = problems_of("""
        study: 1
        trainin: {}
        training: {learning_rate: -1, epochs: 3, warmup_epochs: 4}
        seeds: 4
        connectors: {sizes: [5]}
        sweeps: {model: [vgg], width: [0]}
    """)
    keys = {problem.split(":")[0] for problem in problems}
    expected = {"study", "trainin", "training.learning_rate", "training.warmup_epochs", "connectors.sizes"}
    assert keys == expected | {"sweeps.model", "sweeps.width[0]"}
    assert len(problems) == len(keys)


def test_faulty_key_causes_no_second_problem():
    assert len(problems_of("seeds: many\nconnectors: {sizes: [2, 20]}")) == 1
    assert len(problems_of("connectors: 7\nseeds: 3")) == 1
    assert len(problems_of("model: {name: 5}\nsweeps: {depth: [1]}")) == 1


def test_required_keys_are_missed_by_name():
    with pytest.raises(InputError) as caught:
        load_study({}, catalogue())
    assert "\n  study: missing; allowed: text of" in str(caught.value)
    assert "\n  dataset: missing; allowed: one of digits," in str(caught.value)


# Overlays


def overlaid(*configs):
    merged = {}
    for config in configs:
        update_config(merged, deepcopy(config))
    return merged


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_config_is_a_study(name):
    assert load_study(shipped(name), catalogue()).sweeps


def test_default_sizes_of_connectors_are_those_that_the_seeds_allow():
    study = study_of("seeds: 6")
    assert study.section("connectors")["sizes"] == [2, 3, 5]
    assert study.section("simplexes")["sizes"] == [2, 3, 5]


def test_smoke_config_is_tiny():
    study = load_study(shipped("smoke"), catalogue())
    assert len(study.settings) <= 5
    assert study.grids


def test_overlay_merges_sections_replaces_lists_and_takes_back_with_null():
    below = yaml.safe_load("{study: s, dataset: digits, training: {epochs: 9}, sweeps: {width: [1, 2], depth: [1]}}")
    above = yaml.safe_load(
        "{dataset: {file: a.py, name: mine}, training: {dropout: 0.5}, sweeps: {width: [3], depth: null}}"
    )
    study = load_study(overlaid(below, above), catalogue())
    assert (study.section("training")["epochs"], study.section("training")["dropout"]) == (9, 0.5)
    assert [study.settings[point]["width"] for point in study.sweeps["width"]] == [3]
    assert list(study.sweeps) == ["width"]
    assert study.config["dataset"] == {"file": "a.py", "name": "mine", "files": []}
    assert load_study(overlaid(below, {"sweeps": None, "grids": None}), catalogue()).sweeps == {}


# Documentation


def test_table_has_a_row_for_every_key():
    table = table_of_keys(catalogue().config_class())
    assert "| `training.learning_rate` | number > 0 | `0.05` | Learning rate; " in table
    assert "| `study` | text of letters, digits, - and _ that begins with a letter or digit | required | " in table
    assert "| `sweeps.width` | null or list (at least one, none twice) of integer >= 1 | `null` | Widths. |" in table
    assert all(row.count("|") == 5 for row in table.splitlines())


def test_documentation_shows_the_code_as_it_is():
    assert document.main(["--check"]) == 0


@pytest.fixture
def pages(tmp_path):
    """A folder with the pages of the documentation, outdated."""
    for page in document.WITH_TABLES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text("before\n<!-- keys -->outdated<!-- /keys -->\nafter\n")
    return tmp_path


def test_outdated_documentation_is_found_and_rewritten(pages, capsys):
    page = pages / "config/README.md"
    arguments = ["--root", str(pages)]
    assert document.main([*arguments, "--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert "outdated" in page.read_text()
    assert document.main(arguments) == 0
    assert document.main([*arguments, "--check"]) == 0
    text = page.read_text()
    assert table_of_keys(catalogue().config_class()) in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "outdated" not in text
    assert json.loads((pages / document.SCHEMA).read_text()) == catalogue().config_class().model_json_schema()


def test_page_with_half_a_pair_of_markers_is_refused(pages, capsys):
    (pages / "config/README.md").write_text("<!-- /keys --> <!-- keys -->")
    with pytest.raises(SystemExit):
        document.main(["--root", str(pages)])
    assert "needs the markers" in capsys.readouterr().err


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'numpy', 'xarray', 'pandas'}"
    program = f"import sys, wedgescape.study.layout; sys.exit(len({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY / "scripts")


# The command line


def problems_on_the_command_line(said, **given):
    with pytest.raises(InputError) as caught:
        load_study({"study": "s", "dataset": "digits", **given, **said}, catalogue(), said)
    return str(caught.value).splitlines()[1:]


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ({"training": {"epochs": "5"}}, "training.epochs"),
        ({"training": {"nesterov": "true"}}, "training.nesterov"),
        ({"sweeps": {"learning_rate": ["0.1"]}}, "sweeps.learning_rate"),
        ({"training": {"snapshot_epochs": "null"}}, "training.snapshot_epochs"),
    ],
)
def test_what_the_command_line_gives_below_a_key_is_sent_to_a_file(said, key):
    (line,) = problems_on_the_command_line(said)
    assert line.strip().startswith(key)
    assert line.endswith("(--config reads what is below a key as text: write this section into a config file)")


def test_other_text_keeps_its_own_hint():
    line, other = problems_on_the_command_line({"training": {"schedule": "cosin"}}, matched={"loss": "0.1"})
    assert line.endswith("(did you mean cosine?)")
    assert other.endswith("(to YAML this is text: write 0.1, without quotes)")
    (line,) = problems_on_the_command_line({"seeds": "5e0"})
    assert line.endswith("(to YAML this is text: write 5.0e+0, without quotes)")


# Further files


def test_declared_files_belong_to_the_data_set_and_are_no_argument_of_a_model():
    own = {"file": "a.py", "name": "A", "files": ["x.npz"]}
    study = study_of(dataset={**own, "name": "load"}, model=own)
    assert study.config["dataset"]["files"] == study.config["model"]["files"] == ["x.npz"]
    assert "files" not in study.training(study.base)["model"]
    assert study_of(dataset={"file": "a.py", "name": "load"}).config["dataset"]["files"] == []
    (line,) = problems_of(dataset={**own, "files": ["a", "a"]})
    assert line.endswith("allowed: list (none twice) of text")


# Settings that are asked for by name


def test_an_unknown_setting_is_answered_with_those_that_there_are_the_most_similar_first():
    study = study_of("sweeps: {learning_rate: [0.1, 0.2]}", matched={"sweeps": ["learning_rate"]})
    with pytest.raises(InputError) as caught:
        study.training(BASE.replace("0.05", "0.15"))
    first, *known = str(caught.value).split("\n  ")
    assert first == f"the study s has no setting {BASE.replace('0.05', '0.15')}. It has:"
    assert sorted(known) == sorted(study.trainings())
    assert known[0] == BASE.replace("0.05", "0.1")
