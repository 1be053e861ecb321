"""A study: what one config asks for, checked and complete.

The Snakefile loads this module whenever it is parsed, so it imports nothing heavy. What a key means, its range and its
default stand in the schema (``workflow/schemas/config.schema.yaml``); this module adds what no schema can say, names
the points at which networks are trained, and says what determines the training at each of them.
"""

import copy
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wedgescape.errors import InputError
from wedgescape.study import methods
from wedgescape.study.schema import dotted, read_schema, schema_problems, with_defaults

# The parameters of a point and what they are called in its name. The first are always there; the others only where they
# differ from the base point's, so that names stay short.
ALWAYS_NAMED = {
    "learning_rate": "lr",
    "weight_decay": "wd",
    "width": "width",
    "dropout": "dropout",
    "batch_size": "batch",
}
NAMED_IF_VARIED = {
    "momentum": "momentum",
    "depth": "depth",
    "optimizer": "optimizer",
    "model": "model",
    "sharpness_radius": "sam",
}

MODELS_WITH_DEPTH = ("mlp",)
SEEDS_IN_A_PLANE = 3


@dataclass(frozen=True)
class Study:
    """One study, as the workflow sees it; made by `load_study`.

    Attributes:
        name: The study's name, and the folder of its results.
        config: The complete config, defaults included.
        base: Name of the base point, the one that `model` and `training` describe.
        points: Name of each point -> its parameters (model, width, depth, learning_rate, …); the base point first.
        sweeps: Varied key -> names of its points, in the order of the values.
        grids: Name of each grid, such as ``learning_rate_x_width`` -> names of its points, the last key fastest.
        methods: Each method of finding solutions (`methods.at_equal_budget`) -> name of its point.
        seed_chunks: The seeds that one job trains, such as ``["0-4", "5-9", "10-11"]``.
    """

    name: str
    config: dict
    base: str
    points: dict[str, dict]
    sweeps: dict[str, list[str]]
    grids: dict[str, list[str]]
    methods: dict[str, str]
    seed_chunks: list[str]

    def training(self, point: str) -> dict:
        """Everything in the config that determines the training at a point.

        Args:
            point: Name of the point.

        Returns:
            Plain JSON types with sorted keys: equal trainings give equal values, however the config was written.
        """
        if point in self.methods.values():
            return self._method_training(next(name for name, place in self.methods.items() if place == point))
        values = self.points[point]
        shape = {"name": values["model"], "width": values["width"], "depth": values["depth"]}
        determining = {
            "dataset": self.config["dataset"],
            "data": {key: self.config["data"][key] for key in ("train_examples", "test_examples")},
            "model": self.config["model"] | shape,
            "training": {key: values.get(key, value) for key, value in self.config["training"].items()},
        }
        if point != self.base:  # what reads trajectories reads the base point's; all of them would fill a disk
            determining["training"]["snapshot_epochs"] = None
        return json.loads(json.dumps(determining, sort_keys=True))

    def trainings(self) -> dict[str, dict]:
        """`training` at every point and of every method, by the points' names."""
        return {point: self.training(point) for point in [*self.points, *self.methods.values()]}

    def _method_training(self, method: str) -> dict:
        training = self.training(self.base)
        changes = methods.at_equal_budget(self.config["training"], self.config["ensembles"])[method]
        continued = {"starts": training} if method in methods.CONTINUED else {}
        return training | {"training": training["training"] | changes} | continued

    @property
    def continued(self) -> list[str]:
        """Names of the points whose trainings go on from the base point's optima."""
        return [self.methods[method] for method in methods.CONTINUED]

    @property
    def dataset(self) -> str:
        """Name of the data set, as it stands in paths."""
        dataset = self.config["dataset"]
        return dataset if isinstance(dataset, str) else dataset["name"]

    def models(self) -> list[dict]:
        """The different networks of the study, the base point's first."""
        models = [self.training(point)["model"] for point in self.points]
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


def load_study(config: dict, schema: Path) -> Study:
    """Check a config, fill in its defaults and lay out the study.

    Args:
        config: The config as Snakemake merged it; it is left as it is.
        schema: Path of the schema.

    Returns:
        The study.

    Raises:
        InputError: If the config has problems; it lists all of them, one a line.
    """
    config = _checked(config, read_schema(schema))
    base = _base(config)
    points = {_point_name(base, base): base}

    def names(varied: dict[str, list]) -> list[str]:
        varied_points = {_point_name(point, base): point for point in _product(base, varied)}
        points.update(varied_points)  # points that were there already keep their place
        return list(varied_points)

    sweeps = {key: names({key: values}) for key, values in config["sweeps"].items() if values}
    grids, namesakes = {}, Counter()
    for grid in config["grids"]:
        name = "_x_".join(grid)
        namesakes[name] += 1
        grids[name if namesakes[name] == 1 else f"{name}_{namesakes[name]}"] = names(grid)

    seeds, together = config["seeds"], config["seeds_per_job"]
    chunks = [f"{first}-{min(first + together, seeds) - 1}" for first in range(0, seeds, together)]
    name = next(iter(points))
    ways = methods.at_equal_budget(config["training"], config["ensembles"])
    named = {method: f"{name}_method~{method}" for method in ways}
    return Study(config["study"], config, name, points, sweeps, grids, named, chunks)


def seeds_in(chunk: str) -> list[int]:
    """The seeds of a chunk: ``seeds_in("5-7")`` is ``[5, 6, 7]``.

    Args:
        chunk: One of `Study.seed_chunks`.
    """
    first, last = map(int, chunk.split("-"))
    return list(range(first, last + 1))


def _base(config: dict) -> dict:
    model, training = config["model"], config["training"]
    trained = ("learning_rate", "weight_decay", "dropout", "batch_size", "momentum", "optimizer", "sharpness_radius")
    shape = {"model": model["name"], "width": model["width"], "depth": model["depth"]}
    return shape | {key: training[key] for key in trained}


def _product(base: dict, varied: dict[str, list]) -> list[dict]:
    return [base | dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]


def _point_name(point: dict, base: dict) -> str:
    """Name of a point; points of one study share a name only if they are equal."""
    named = ALWAYS_NAMED | {key: short for key, short in NAMED_IF_VARIED.items() if point[key] != base[key]}
    return "_".join(f"{short}~{_shortest(point[key])}" for key, short in named.items())


def _shortest(value: float | str) -> str:
    # `repr` is the shortest text that reads back as the same number; %g would give close numbers one name.
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _checked(config: dict, schema: dict) -> dict:
    """A complete copy of a config without problems."""
    # A section whose keys are all commented out reads as null: that is as good as leaving it out.
    sections = {key for key, node in schema["properties"].items() if isinstance(node.get("default"), dict | list)}
    config = {key: value for key, value in config.items() if value is not None or key not in sections}

    problems = schema_problems(config, schema)
    faulty = {path[:2] if isinstance(config.get(path[0]), dict) else path[:1] for path in problems}
    lines = [f"{dotted(path)}: {text}" for path, text in problems.items()]

    # Contradictions are looked for in what is left without the faulty keys, so that all problems are told at once.
    complete = with_defaults(schema, _without(config, faulty))
    for section in ("connectors", "subspaces"):  # a default cannot ask for more optima than there are
        if not isinstance(config.get(section), dict) or "sizes" not in config[section]:
            sizes = complete[section]["sizes"]
            complete[section]["sizes"] = [size for size in sizes if size <= complete["seeds"]] or sizes[:1]
    if not isinstance(config.get("ensembles"), dict) or "members" not in config["ensembles"]:
        complete["ensembles"]["members"] = min(complete["ensembles"]["members"], max(2, complete["seeds"]))
    complete["grids"] = [{key: values for key, values in grid.items() if values} for grid in complete["grids"]]
    built_in = schema["properties"]["model"]["else"]["properties"]["name"]["enum"]
    for keys, text in _contradictions(complete, built_in):
        involved = {tuple(key.split(".")[:depth]) for key in keys for depth in (1, 2)}
        if not involved & faulty:
            lines.append(f"{keys[0]}: {text}")

    if lines:
        raise InputError("\n  ".join(["The config cannot be used:", *lines]))
    return complete


def _without(config: dict, faulty: set[tuple]) -> dict:
    kept = copy.deepcopy(config)
    for *section, key in faulty:
        (kept[section[0]] if section else kept).pop(key, None)
    return kept


def _contradictions(config: dict, built_in: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong between keys: the key to change and the others involved; what was found and what is allowed."""
    training, wedges, seeds = config["training"], config["wedges"], config["seeds"]
    epochs, snapshot = training["epochs"], training["snapshot_epochs"] or 0
    limits = [
        ("connectors.sizes", max(config["connectors"]["sizes"]), "at most", "seeds", seeds),
        ("subspaces.sizes", max(config["subspaces"]["sizes"]), "at most", "seeds", seeds),
        ("wedges.short", max(wedges["short"]), "less than", "wedges.dimension", wedges["dimension"]),
        ("training.warmup_epochs", training["warmup_epochs"], "less than", "training.epochs", epochs),
        ("training.snapshot_epochs", snapshot, "at most", "training.epochs", epochs),
        ("training.average_epochs", training["average_epochs"] or 0, "at most", "training.epochs", epochs),
        ("ensembles.members", config["ensembles"]["members"], "at most", "seeds", seeds),
    ]
    for key, found, relation, other, limit in limits:
        if found > limit or (found == limit and relation == "less than"):
            yield (key, other), f"found {_shortest(found)}; allowed: {relation} {other}, {limit}"
    if seeds < SEEDS_IN_A_PLANE:
        yield ("seeds",), f"found {seeds}; allowed: at least {SEEDS_IN_A_PLANE}, the optima that a plane goes through"

    sweeps = [("sweeps", {key: values}) for key, values in config["sweeps"].items() if values]
    grids = [(f"grids[{number}]", grid) for number, grid in enumerate(config["grids"])]
    for place, grid in grids:
        if len(grid) < 2:
            yield (place,), f"found {len(grid)} keys with values; allowed: two or more (one alone is a sweep)"
    if not config["model"]["file"]:
        yield from _contradictions_of_models(config, sweeps + grids, built_in)
    if training["nesterov"]:
        yield from _contradictions_of_momentum(config, [("training", {}), *sweeps, *grids])


def _contradictions_of_models(config: dict, variations: list[tuple[str, dict]], built_in: list[str]) -> Iterator[tuple]:
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


def _contradictions_of_momentum(config: dict, variations: list[tuple[str, dict]]) -> Iterator[tuple]:
    for place, varied in variations:
        if any(point["optimizer"] == "sgd" and point["momentum"] == 0 for point in _product(_base(config), varied)):
            keys = (f"{place}.momentum", "training.momentum", "training.nesterov", "training.optimizer")
            yield keys, "found 0; allowed: number > 0, for training.nesterov is true"
            return  # every other variation would repeat it
