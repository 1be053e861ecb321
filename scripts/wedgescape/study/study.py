"""A study: what one config asks for, checked and complete.

The Snakefile loads this module whenever it is parsed, so it imports nothing heavy. What a key means, its range and its
default are declared with its section (`sections.key`); this module adds what concerns several keys, names the settings
at which networks are trained, and says what determines the training at each of them.
"""

from __future__ import annotations

import copy
import difflib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import ValidationError

from wedgescape.errors import InputError
from wedgescape.study import losses, methods, own_networks
from wedgescape.study.catalogue import Catalogue
from wedgescape.study.problems import dotted, problems
from wedgescape.study.sections import Section
from wedgescape.study.settings import Config, Model, OwnModel, swept

MODELS_WITH_DEPTH = ("mlp",)
SEEDS_IN_A_PLANE = 3
FEWEST_UNITS = 4  # independent seeds or sets; below, an interval rests on its assumptions alone
SEEDS = ("seeds", "base_seeds")
LOSS_OF = {"diabetes": "mse"}  # of data whose labels are no classes
METHOD = "_method~"  # begins the ends of names of settings of methods
MATCHED = "_matched"  # ends the names of settings whose networks are stopped at one training loss


@dataclass(frozen=True)
class Study:
    """One study, as the workflow sees it; made by `load_study`.

    Attributes:
        name: The study's name, and the folder of its results.
        config: The complete config, defaults included.
        base: Name of the base setting, the one that `model` and `training` describe.
        settings: Name of each setting -> its hyperparameters (model, width, learning_rate, …); the base setting first.
        sweeps: Varied key -> names of its settings, in the order of the values.
        grids: Name of each grid, such as ``learning_rate_x_width`` -> names of its settings, the last key fastest.
        methods: Each method of finding solutions (`methods.at_equal_budget`) -> name of its setting.
        matched: Sweep -> names of its settings trained to one training loss (section `matched`), in the same order.
        seed_chunks: The seeds that one job trains at every setting, such as ``["0-4", "5-9", "10-11"]``.
        further_chunks: The further seeds of the base setting, up to `base_seeds`.
        networks: Setting -> seed -> file, where the networks were trained elsewhere; {} where the study trains them.
        unused: Files with networks that the study does not use.
    """

    name: str
    config: dict
    base: str
    settings: dict[str, dict]
    sweeps: dict[str, list[str]]
    grids: dict[str, list[str]]
    methods: dict[str, str]
    matched: dict[str, list[str]]
    seed_chunks: list[str]
    further_chunks: list[str]
    networks: dict[str, dict[int, str]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def chunks(self, setting: str) -> list[str]:
        """The seeds of all networks of a setting, one entry per job that trains them; `seed_chunks` come first."""
        return [*self.seed_chunks, *(self.further_chunks if setting == self.base else [])]

    @property
    def seeds(self) -> list[int]:
        """All seeds of the study: those of the base setting, of which every setting has the first."""
        return [seed for chunk in self.chunks(self.base) for seed in self.seeds_in(self.base, chunk)]

    def seeds_in(self, setting: str, chunk: str) -> list[int]:
        """The seeds of a chunk, one of `chunks`; those of given networks may have gaps."""
        if not self.networks:
            return seeds_in(chunk)
        seeds, shared = list(self.networks[setting]), self.config["seeds"]
        return seeds[:shared] if chunk in self.seed_chunks else seeds[shared:]

    @property
    def as_written(self) -> dict:
        """The complete config as a config file may say it: without what follows from the files of given networks."""
        left_out = own_networks.REPLACED if self.networks else {}
        return {key: copy.deepcopy(value) for key, value in self.config.items() if key not in left_out}

    def training(self, setting: str) -> dict:
        """Everything in the config that determines the training at a setting.

        Args:
            setting: Name of the setting.

        Returns:
            Plain JSON types with sorted keys: equal trainings give equal values, however the config was written.

        Raises:
            InputError: if the study has no such setting; it lists those that it has.
        """
        self.check_setting(setting)
        if setting not in self._texts:
            self._texts[setting] = json.dumps(self._training(setting), sort_keys=True)
        return json.loads(self._texts[setting])

    def _training(self, setting: str) -> dict:
        if setting in self.methods.values():
            return self._method_training(next(name for name, place in self.methods.items() if place == setting))
        if setting in self._matched_settings:
            return self._matched_training(setting.removesuffix(MATCHED))
        determining = {key: copy.deepcopy(self.config[key]) for key in ("dataset", "data", "model", "training", "loss")}
        for where in ("folder", "download"):
            del determining["data"][where]
        determining["model"].pop("files", None)  # whose content counts, and which are no argument of the user's class
        for key, value in self.settings[setting].items():
            section, name, _sweep = swept()[key]
            determining[section.section()][name] = value
        # What reads trajectories reads the base setting's; all of them would fill a disk.
        if setting != self.base and not self.networks:
            determining["training"]["snapshot_epochs"] = None
        return determining

    def trainings(self) -> dict[str, dict]:
        """`training` at every setting, of every method and of matched sweeps, by the settings' names."""
        return {name: self.training(name) for name in self.trained}

    @cached_property
    def trained(self) -> dict[str, None]:
        """The names of all settings at which networks are trained: `settings`, of methods and of matched sweeps."""
        return dict.fromkeys([*self.settings, *self.methods.values(), *self._matched_settings])

    def check_setting(self, name: str) -> None:
        """Make sure that networks are trained at a setting.

        Raises:
            InputError: if none are; it lists the settings of the study, the most similar names first.
        """
        if name not in self.trained:
            known = sorted(self.trained, key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
            raise InputError("\n  ".join([f"the study {self.name} has no setting {name}. It has:", *known]))

    def _method_training(self, method: str) -> dict:
        training = self.training(self.base)
        changes = methods.at_equal_budget(self.config["training"], self.config["ensembles"])[method]
        return training | {"training": training["training"] | changes}

    @cached_property
    def _matched_settings(self) -> dict[str, None]:
        return dict.fromkeys(name for names in self.matched.values() for name in names)

    @cached_property
    def _texts(self) -> dict[str, str]:
        """The trainings that were asked for, as JSON: a workflow asks for each several times."""
        return {}

    def _matched_training(self, setting: str) -> dict:
        training, section = self.training(setting), self.config["matched"]
        changes = {
            "epochs": max(1, round(section["epochs_factor"] * training["training"]["epochs"])),
            "schedule": "constant",
            "snapshot_epochs": None,
            "average_epochs": None,
            "stop_loss": section["loss"],  # a share of chance's; other trainings have no such key
        }
        return training | {"training": training["training"] | changes}

    @property
    def dataset(self) -> str:
        """Name of the data set, as paths have it."""
        dataset = self.config["dataset"]
        return dataset if isinstance(dataset, str) else dataset["name"]

    @property
    def loss(self) -> dict:
        """What decides the loss that networks are trained for (`losses.loss_of`)."""
        return losses.loss_of(self.config)

    @property
    def words(self) -> dict[str, str]:
        """How figures and verdicts speak of the loss and the score (`losses.words`)."""
        return losses.words(self.config["loss"])

    def models(self) -> list[dict]:
        """The different networks of the study, the base setting's first."""
        models = [self.training(name)["model"] for name in self.settings]
        return [model for place, model in enumerate(models) if model not in models[:place]]

    def section(self, name: str):
        """A copy of one section of the complete config, or of one entry of a section.

        Args:
            name: Key of the section, such as ``tunnels``, or of the entry, such as ``claims.resamples``.
        """
        value = self.config
        for key in name.split("."):
            value = value[key]
        return copy.deepcopy(value)


def load_study(config: dict, catalogue: Catalogue, command_line: Mapping | None = None) -> Study:
    """Check a config, fill in its defaults and lay out the study.

    Args:
        config: The config as Snakemake merged it; it is left as it is.
        catalogue: whose measurements have sections in the config.
        command_line: the part of it that `--config` gave; only for the words of an error.

    Returns:
        The study.

    Raises:
        InputError: If the config has problems; it lists all of them, one per line.
    """
    config, given = _checked(config, catalogue, command_line or {})
    base = _base(config)
    settings, sweeps, grids = _settings(config, base)
    name = next(iter(settings))
    if given:
        return _study_of(given, config, settings, sweeps, grids)
    first, together = config["first_seed"], config["seeds_per_job"]
    shared = first + config["seeds"]
    matched = {
        key: [f"{setting}{MATCHED}" for setting in sweeps[key]] for key in config["matched"]["sweeps"] if key in sweeps
    }
    ways = methods.at_equal_budget(config["training"], config["ensembles"])
    named = {method: f"{name}{METHOD}{method}" for method in ways}
    return Study(
        config["study"],
        config,
        name,
        settings,
        sweeps,
        grids,
        named,
        matched,
        seed_chunks=_chunks(first, shared, together),
        further_chunks=_chunks(shared, first + config["base_seeds"], together),
    )


def _study_of(networks: list[own_networks.Network], config: dict, settings: dict, sweeps: dict, grids: dict) -> Study:
    """Lay out a study of given networks: nothing is trained, so there are neither methods nor matched sweeps."""
    base = next(iter(settings))
    files = own_networks.by_seed(networks, settings, base)
    seeds, shared = list(files[base]), config["seeds"]
    used = {file for one in files.values() for file in one.values()}
    return Study(
        config["study"],
        config,
        base,
        settings,
        sweeps,
        grids,
        methods={},
        matched={},
        seed_chunks=[f"{seeds[0]}-{seeds[shared - 1]}"],
        further_chunks=[f"{seeds[shared]}-{seeds[-1]}"] if len(seeds) > shared else [],
        networks=files,
        unused=[one.file for one in networks if one.file not in used],
    )


def _settings(config: dict, base: dict) -> tuple[dict[str, dict], dict[str, list[str]], dict[str, list[str]]]:
    """Name the settings of a study, the base setting first, and those of its sweeps and grids."""
    settings = {_setting_name(base, base): base}

    def names(varied: dict[str, list]) -> list[str]:
        made = {_setting_name(setting, base): setting for setting in _product(base, varied)}
        settings.update(made)  # settings that were there already keep their place
        return list(made)

    sweeps = {key: names({key: values}) for key, values in config["sweeps"].items() if values}
    grids, namesakes = {}, Counter()
    for grid in config["grids"]:
        name = "_x_".join(grid)
        namesakes[name] += 1
        grids[name if namesakes[name] == 1 else f"{name}_{namesakes[name]}"] = names(grid)
    return settings, sweeps, grids


def _chunks(first: int, end: int, together: int) -> list[str]:
    """Name the seeds first … end - 1 in chunks of at most `together`."""
    return [f"{start}-{min(start + together, end) - 1}" for start in range(first, end, together)]


def warnings(study: Study, catalogue: Catalogue) -> list[str]:
    """Return what will leave claims undecided whatever the measurements say, with the keys to raise, in one line.

    Another line names the files of given networks that the study does not use.

    Args:
        study: that is going to run.
        catalogue: whose measurements have sections in the config.
    """
    config, few = study.config, []
    judged = {name for file in catalogue.claiming for name in file.measurements_read("claims")}
    keys = [
        "seeds",
        *(f"{name}.seeds" for name in catalogue.measurements if "seeds" in config.get(name, ()) and name in judged),
    ]
    called = own_networks.COUNTS if study.networks else {}
    few += [
        f"{called.get(key, key)} from {_value(config, key)} to {FEWEST_UNITS}"
        for key in keys
        if _value(config, key) < FEWEST_UNITS
    ]
    needed = {}
    for key, _relation, other in _limits(catalogue.config_class(bool(config["model"]["file"]))):
        value = _value(config, key) if other == "base_seeds" else 0
        largest = max(value) if isinstance(value, list) else value or 0
        if FEWEST_UNITS * largest > config["base_seeds"]:
            needed[key] = largest
    if needed:
        largest, named = max(needed.values()), ", ".join(f"{largest} in {key}" for key, largest in needed.items())
        few.append(
            f"{called.get('base_seeds', 'base_seeds')} from {config['base_seeds']} to {FEWEST_UNITS * largest}, "
            f"{FEWEST_UNITS} times the number of optima in the largest set ({named})"
        )
    unused = own_networks.unused(study.unused) if study.unused else []
    if not few:
        return unused
    reason = f"Some claims will stay undecided, because a verdict needs {FEWEST_UNITS} independent seeds or sets"
    return ["\n  ".join([f"{reason}. To decide them, raise", *few]), *unused]


def seeds_in(chunk: str) -> list[int]:
    """The seeds of a chunk: ``seeds_in("5-7")`` is ``[5, 6, 7]``.

    Args:
        chunk: One of `Study.chunks`.
    """
    first, last = map(int, chunk.split("-"))
    return list(range(first, last + 1))


def _base(config: dict) -> dict:
    found = {key: (config[section.section()], name) for key, (section, name, _sweep) in swept().items()}
    return {key: section[name] for key, (section, name) in found.items() if name in section}  # of given networks, few


def _product(base: dict, varied: dict[str, list]) -> list[dict]:
    return [base | dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]


def _setting_name(setting: dict, base: dict) -> str:
    """Name of a setting; settings of one study share a name only if they are equal."""
    named = {
        sweep.short: setting[key]
        for key, (_section, _field, sweep) in swept().items()
        if key in setting and (sweep.place or setting[key] != base.get(key))
    }
    return "_".join(f"{short}~{_shortest(value)}" for short, value in named.items())


def _shortest(value: float | str) -> str:
    # `repr` is the shortest text that reads back as the same number; %g would give close numbers one name.
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _checked(
    given: dict, catalogue: Catalogue, command_line: Mapping
) -> tuple[dict, list[own_networks.Network] | None]:
    """Return a complete copy of a config without problems, and the networks that it gives."""
    elsewhere = isinstance(given.get("networks"), dict)
    lines = []
    if elsewhere:
        lines += own_networks.beside(given)
        given = {key: value for key, value in given.items() if key not in own_networks.REPLACED}
        given |= {"model": given["networks"]["model"]} if isinstance(given["networks"].get("model"), dict) else {}
    own_model = isinstance(given.get("model"), dict) and isinstance(given["model"].get("file"), str)
    kind = catalogue.config_class(own_model)
    if given.get("defaults") == "smoke":
        given = _with_smoke_values(given, kind)
    faulty = set()
    try:
        complete = kind.model_validate(given)
    except ValidationError as error:
        found = problems(error, given, kind, command_line)
        lines += [f"{dotted(path)}: {text}" for path, text in found.items()]
        whole = {"dataset", "loss", "networks"}  # which are useless without one of their keys
        nested = {name for name, value in given.items() if isinstance(value, dict)} - whole
        faulty = {path[:2] if path[0] in nested else path[:1] for path in found}
        # Contradictions are looked for in what is left without the faulty keys, so that one message lists all problems.
        rest = {"study": "s", "dataset": "digits"} | _without(given, faulty)
        if own_model:
            rest["model"] = {"name": "Model"} | rest.get("model", {})
        complete = kind.model_validate(rest)

    config, networks = complete.model_dump(), None
    config["grids"] = [{key: values for key, values in grid.items() if values} for grid in config["grids"]]
    if elsewhere and not lines:
        try:
            networks = _take_networks(config, given["model"])
        except InputError as error:
            raise InputError(f"The config cannot be used:\n  {error}") from None
    config["base_seeds"] = config["base_seeds"] or config["seeds"]
    limits = [limit for limit in _limits(kind) if not (elsewhere and limit[0].startswith("training."))]
    for path, _relation, other in limits:
        _fit_default(config, given, path, other)
    for keys, text in [*_beyond(config, limits), *_contradictions(config), *_unknown(config["leave_out"], catalogue)]:
        involved = {tuple(key.split(".")[:depth]) for key in keys for depth in (1, 2)}
        if not involved & faulty:
            lines.append(f"{keys[0]}: {text}")
    if lines:
        lines = [f"networks.{line}" if elsewhere and line.startswith("model.") else line for line in lines]
        raise InputError("\n  ".join(["The config cannot be used:", *lines]))
    return config, networks


def _take_networks(config: dict, model: dict) -> list[own_networks.Network]:
    """Find the given networks, and put into the config what follows from them: the base setting, how many there are.

    Args:
        config: complete; of `training`, what is not known is taken out.
        model: what the config says of the model; with a table, it chooses the base setting.
    """
    section, varied = config["networks"], swept()
    of_model = {key: name for key, (kind, name, _sweep) in varied.items() if kind is OwnModel}
    known = {key: config["model"][name] for key, name in of_model.items()}
    known["batch_size"] = config["training"]["batch_size"]  # that of the minibatches that measurements draw
    networks = own_networks.read(section, known)
    wanted = {key: config["model"][name] for key, name in of_model.items() if name in model}
    wanted |= own_networks.chosen(section)
    base = own_networks.base_of(networks, wanted, lambda base: _settings(config, base)[0].values())
    config["training"] = {}
    for key, value in base.items():
        kind, name, _sweep = varied[key]
        config[kind.section()][name] = value
    settings, *_ = _settings(config, base)
    files = own_networks.by_seed(networks, settings, next(iter(settings)))
    config["seeds"], config["base_seeds"] = (extreme(map(len, files.values())) for extreme in (min, max))
    if config["seeds"] < SEEDS_IN_A_PLANE:
        few = min(files, key=lambda setting: len(files[setting]))
        text = f"networks.files: found {config['seeds']} for the setting {few}"
        raise InputError(f"{text}; allowed: at least {SEEDS_IN_A_PLANE}, the optima that a plane goes through")
    config["first_seed"] = min(files[next(iter(settings))])
    return networks


def _with_smoke_values(given: dict, kind: type[Config]) -> dict:
    """Return a config in which keys that it does not give have their values of the smoke study."""
    filled = kind.smoke() | given
    for name, info in kind.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            section = filled.get(name)
            if section is None or isinstance(section, dict):
                filled[name] = info.annotation.smoke() | (section or {})
    return filled


def _without(config: dict, faulty: set[tuple]) -> dict:
    kept = copy.deepcopy(config)
    for *section, key in faulty:
        inner = kept[section[0]] if section else kept
        for one in [one for one in inner if str(one) == str(key)]:
            del inner[one]
    return kept


def _limits(kind: type[Section], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield what must not exceed another key: the key, the relation, the other key."""
    for name, info in kind.model_fields.items():
        note = kind.notes(name)
        for relation, other in (("at most", note.at_most), ("less than", note.below)):
            if other:
                yield f"{prefix}{name}", relation, other
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from _limits(info.annotation, f"{name}.")


def _value(config: dict, path: str):
    for key in path.split("."):
        config = config[key]
    return config


def _fit_default(config: dict, given: dict, path: str, other: str) -> None:
    """Make a default smaller that exceeds what other keys of the config allow, such as more optima than there are."""
    section, _, name = path.partition(".")
    chosen = given.get(section)
    if isinstance(chosen, dict) and name in chosen:
        return
    value, limit = config[section][name], _value(config, other)
    if isinstance(value, list):
        config[section][name] = [one for one in value if one <= limit] or value[:1]
    elif other in SEEDS:
        config[section][name] = min(value, max(2, limit))


def _beyond(config: dict, limits: list[tuple[str, str, str]]) -> Iterator[tuple[tuple[str, ...], str]]:
    for path, relation, other in limits:
        value, limit = _value(config, path), _value(config, other)
        found = max(value) if isinstance(value, list) else value or 0
        if found > limit or (found == limit and relation == "less than"):
            keys = (path, other, *(["seeds"] if other == "base_seeds" else []))  # the number of which it is by default
            yield keys, f"found {_shortest(found)}; allowed: {relation} {other}, {limit}"


def _unknown(left_out: list[str], catalogue: Catalogue) -> Iterator[tuple[tuple[str, ...], str]]:
    known = {*catalogue.measurements, *catalogue.figures} - {"training"}  # which says what networks fit
    if unknown := [name for name in left_out if name not in known]:
        yield ("leave_out",), f"found {', '.join(unknown)}; allowed: any of {', '.join(sorted(known))}"


def _contradictions(config: dict) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong between keys: the key to change and the others involved; what was found and what is allowed."""
    seeds = config["seeds"]
    if seeds < SEEDS_IN_A_PLANE:
        yield ("seeds",), f"found {seeds}; allowed: at least {SEEDS_IN_A_PLANE}, the optima that a plane goes through"

    if config["base_seeds"] < seeds:
        yield ("base_seeds", "seeds"), f"found {config['base_seeds']}; allowed: at least seeds, {seeds}"

    sweeps = [("sweeps", {key: values}) for key, values in config["sweeps"].items() if values]
    grids = [(f"grids[{number}]", grid) for number, grid in enumerate(config["grids"])]
    for place, grid in grids:
        if len(grid) < 2:
            yield (place,), f"found {len(grid)} keys with values; allowed: two or more (one alone is a sweep)"
    if not config["model"]["file"]:
        yield from _contradictions_of_models(config, sweeps + grids)
    for place, varied in sweeps + grids:
        if "momentum" in varied and "sgd" not in (
            unused := varied.get("optimizer", [config["training"].get("optimizer", "sgd")])
        ):
            keys = (f"{place}.momentum", "training.optimizer", f"{place}.optimizer")
            yield keys, f"found with {', '.join(unused)}, which has no momentum; allowed: with sgd only"
    yield from _contradictions_of_losses(config)
    if config["training"].get("nesterov"):
        yield from _contradictions_of_momentum(config, [("training", {}), *sweeps, *grids])


def _contradictions_of_models(config: dict, variations: list[tuple[str, dict]]) -> Iterator[tuple]:
    built_in = Model.model_fields["name"].annotation.__args__
    for place, varied in variations:
        models = varied.get("model", [config["model"]["name"]])
        unknown = [model for model in models if model not in built_in]
        if unknown and "model" in varied:
            keys = (f"{place}.model", "model.file")
            yield keys, f"found {', '.join(unknown)}; allowed: one of {', '.join(built_in)}, unless model.file is given"
        flat = [model for model in models if model in built_in and model not in MODELS_WITH_DEPTH]
        if flat and "depth" in varied:
            keys = (f"{place}.depth", "model.name", "model.file")
            yield keys, f"found with {', '.join(flat)}; allowed: with {', '.join(MODELS_WITH_DEPTH)} only"


def _contradictions_of_losses(config: dict) -> Iterator[tuple]:
    loss, dataset = config["loss"], config["dataset"]
    for name in ("label_smoothing", "class_weights"):
        if config["training"].get(name) and loss != "cross_entropy":
            text = f"found {config['training'][name]}; allowed: with loss: cross_entropy only"
            yield (f"training.{name}", "loss"), text
    if isinstance(dataset, str) and isinstance(loss, str):
        wanted = LOSS_OF.get(dataset, "cross_entropy")
        if loss != wanted:
            yield ("loss", "dataset"), f"found {loss}; allowed: {wanted}, or your own, for {dataset}"
        if dataset in LOSS_OF and config["model"]["name"] != "mlp" and not config["model"]["file"]:
            text = f"found {config['model']['name']}; allowed: mlp or your own, for {dataset}: vectors"
            yield ("model.name", "dataset"), text


def _contradictions_of_momentum(config: dict, variations: list[tuple[str, dict]]) -> Iterator[tuple]:
    for place, varied in variations:
        if any(one["optimizer"] == "sgd" and one["momentum"] == 0 for one in _product(_base(config), varied)):
            keys = (f"{place}.momentum", "training.momentum", "training.nesterov", "training.optimizer")
            yield keys, "found 0 with training.nesterov: true; Nesterov momentum needs momentum > 0"
            return  # every other variation would repeat it
