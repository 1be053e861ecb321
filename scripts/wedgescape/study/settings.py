"""The sections of the config that belong to no measurement: data, model, training, seeds, sweeps, intervals.

A measurement declares its section in its own file; `catalogue.config_class` puts all of them together.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, create_model, model_validator

from wedgescape.study.sections import AllDifferent, Count, Fraction, Identifier, PositiveNumber, Section, Swept, key

DATASETS = Literal["digits", "diabetes", "mnist", "fashion_mnist", "cifar10", "cifar100"]
LOSSES = Literal["cross_entropy", "mse", "binary_cross_entropy"]
Path = Annotated[str, Field(min_length=1)]
Files = Annotated[list[Path], AllDifferent]
Examples = Annotated[int, Field(ge=10)]


class OwnDataset(Section):
    """Your own data set."""

    file: Path = key(help="Python file with your own data set; relative to the folder that Snakemake runs in.")
    name: Identifier = key(
        help="Name of the function in that file that returns the data, and of the data set in paths."
    )
    files: Files = key(
        [],
        "Further files that the function reads, such as an .npz; relative to the folder that Snakemake runs in. When "
        "their content changes, the data are read again. Modules that `file` imports from its own folder count anyway.",
    )


class OwnLoss(Section):
    """Your own loss."""

    file: Path = key(help="Python file with your own loss; relative to the folder that Snakemake runs in.")
    name: Identifier = key(
        help="Name of the function in that file: (outputs (B, O), labels (B, ...)) -> the loss of each example (B,)."
    )
    score: Literal["accuracy", "R^2"] = key(
        help="What people read beside the loss: accuracy, where labels are classes; R^2, where they are numbers."
    )


class Data(Section):
    """Where the data come from and how much of them is used."""

    SECTION: ClassVar[str] = "data"

    folder: Path | None = key(None, "Folder that already holds the source files; null looks in the usual places.")
    download: bool = key(True, "Whether the workflow may download source files that it does not find.")
    train_examples: Examples | None = key(None, "Number of training examples used; null uses all.", smoke=400)
    test_examples: Examples | None = key(None, "Number of test examples used; null uses all.", smoke=200)


class Model(Section):
    """The network. With `file`, further keys are allowed; the workflow passes them to your class."""

    SECTION: ClassVar[str] = "model"

    name: Literal["mlp", "simple_cnn", "resnet20"] = key(
        "mlp", "One of mlp, simple_cnn, resnet20; with `file`, the name of a class in it (then required)."
    )
    width: Count = key(
        64,
        "Units per hidden layer (mlp), channels of the first stage (resnet20, 16 is standard), or a scale (simple_cnn, "
        "16 gives 16-32-32 channels).",
        smoke=16,
        sweep=Swept("width", "width (units or channels)", "#117733", "Widths.", place=3),
    )
    depth: Count = key(
        2,
        "Number of hidden layers; mlp only.",
        sweep=Swept("depth", "depth (hidden layers)", "#999933", "Numbers of hidden layers; mlp only."),
    )
    norm: Literal["batch", "group"] = key("batch", "Normalisation layers; resnet20 only.")
    file: Path | None = key(
        None,
        "Python file with your own model; relative to the folder that Snakemake runs in. null for a built-in. With it, "
        "`model.files` lists further files that your class reads, as `dataset.files` does for data.",
    )


class OwnModel(Model):
    """A network of your own. Further keys are passed on to your class."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, bool | int | float | str | list | dict | None]

    name: Identifier = key(
        help="Name of a class in `file`.",
        sweep=Swept("model", "model", "#b8862b", "Models; with `model.file`, classes in that file.", key="model"),
    )
    files: Files = key(
        [],
        "Further files that your class reads; relative to the folder that Snakemake runs in. When their content "
        "changes, networks are trained again. Modules that `file` imports from its own folder count anyway.",
    )


class Training(Section):
    """How every network is trained."""

    SECTION: ClassVar[str] = "training"

    optimizer: Literal["sgd", "adam", "adamw"] = key(
        "sgd",
        "Optimiser; momentum and nesterov are for sgd alone.",
        sweep=Swept("optimizer", "optimiser", "#aa4499", "Optimisers."),
    )
    learning_rate: float = key(
        0.05,
        "Learning rate; the highest one, where a schedule varies it.",
        gt=0,
        sweep=Swept("lr", "learning rate", "#cc6677", "Learning rates.", place=1),
    )
    momentum: float = key(0.9, "Momentum.", ge=0, lt=1, sweep=Swept("momentum", "momentum", "#44aa99", "Momenta."))
    nesterov: bool = key(False, "Whether the momentum is Nesterov's.")
    weight_decay: float = key(
        0.0,
        "L2 coefficient; decoupled from the gradient with adamw.",
        ge=0,
        sweep=Swept("wd", "L2 coefficient", "#332288", "L2 coefficients.", place=2),
    )
    dropout: float = key(
        0.0,
        "Probability that a unit is dropped.",
        ge=0,
        lt=1,
        sweep=Swept("dropout", "dropout probability", "#4499bb", "Dropout probabilities.", place=4),
    )
    batch_size: int = key(
        128,
        "Examples per step.",
        ge=1,
        smoke=64,
        sweep=Swept("batch", "batch size (examples)", "#882255", "Batch sizes.", place=5),
    )
    epochs: int = key(80, "Passes over the training examples.", ge=1, smoke=3)
    schedule: Literal["constant", "cosine", "step", "triangular", "cyclic_cosine"] = key(
        "cosine", "Course of the learning rate over training."
    )
    warmup_epochs: float = key(
        0.0,
        "Epochs over which the learning rate rises linearly from 0; fewer than `epochs`.",
        ge=0,
        below="training.epochs",
    )
    cycles: int = key(1, "Number of cycles of the schedules triangular and cyclic_cosine.", ge=1)
    clip_norm: float | None = key(
        None, "Largest Euclidean norm of a gradient; longer gradients are shortened to it. null never clips.", gt=0
    )
    snapshot_epochs: int | None = key(
        None,
        "Save a snapshot of the base setting's weights every N epochs, always including the first and last; with a "
        "schedule of cycles, at the lowest rate before each such epoch. null: no snapshots.",
        ge=1,
        smoke=1,
        at_most="training.epochs",
    )
    label_smoothing: float = key(
        0.0, "Share of each label that is spread evenly over all classes; cross_entropy only.", ge=0, lt=1
    )
    class_weights: list[PositiveNumber] | None = key(
        None, "Weight of each class in the loss, in their order; cross_entropy only. null weighs all alike."
    )
    sharpness_radius: float = key(
        0.0,
        "Radius of sharpness-aware minimisation, which takes each gradient this far up the slope and costs a second "
        "gradient per step; 0 is ordinary training.",
        ge=0,
        sweep=Swept("sam", "sharpness-aware radius (weights)", "#6b6b8f", "Radii of sharpness-aware minimisation."),
    )
    average_epochs: int | None = key(
        None,
        "Stochastic weight averaging: the final weights are the equal average of those at the ends of the last N "
        "epochs. null takes the last weights alone. Usual with a constant schedule.",
        ge=1,
        at_most="training.epochs",
    )


class Networks(Section):
    """Networks that were trained elsewhere, in place of `model` and `training`. Nothing is trained."""

    SECTION: ClassVar[str] = "networks"

    files: Path | Files | None = key(
        None,
        "Pattern of the files with the weights, such as `runs/*/model.safetensors`, or a list of patterns; relative to "
        "the folder that Snakemake runs in. Each file is one network: `.safetensors`, `.npz`, or `.pt` and `.pth` with "
        "a state_dict, alone or under a key. null: the files of `table`.",
    )
    model: dict[str, Any] = key(help="The network that the weights are of, with the keys of `model`.")
    table: Path | None = key(
        None,
        "CSV file with one row per file: `file`, relative to the CSV file; `seed`, a whole number; and keys "
        "of `sweeps`. Each combination of values is a setting. null: all networks are of one setting.",
    )
    base: dict[str, Any] = key(
        {},
        "Hyperparameters of the base setting, by the keys of `sweeps`; those that the table lacks are the same for all "
        "networks. Of the settings that agree, that of most networks is the base setting; of several, the first "
        "around which all sweeps and grids have networks.",
    )


class Archive(Section):
    """What `snakemake archive` puts into the archive beside all other results."""

    SECTION: ClassVar[str] = "archive"

    weights: bool = key(False, "Whether to include the networks' weights, so that others can repeat the measurements.")


class Judging(Section):
    """How intervals are computed. By which rules claims are judged stands in config/rules.yaml."""

    SECTION: ClassVar[str] = "claims"

    confidence: Fraction = key(0.95, "Confidence of all intervals, and of verdicts after correction in their family.")
    resamples: int = key(2000, "Resamples of the bootstrap over seeds and examples.", ge=100, smoke=200)


class Look(Section):
    """Look of the figures."""

    SECTION: ClassVar[str] = "figures"

    dpi: int = key(200, "Resolution of PNG figures, in dots per inch.", ge=50, le=1200, smoke=72)


@functools.cache
def swept() -> dict[str, tuple[type[Section], str, Swept]]:
    """Return what sweeps may vary: key in `sweeps` -> its section, its field there, and what it is called.

    They are in the order in which they stand in the names of settings.
    """
    found = {}
    for section in (OwnModel, Training):
        for name in section.model_fields:
            if sweep := section.notes(name).sweep:
                found[sweep.key or name] = (section, name, sweep)
    return dict(sorted(found.items(), key=lambda item: item[1][2].place or len(found)))


def _varied() -> type[Section]:
    """Return the section of `sweeps`, and of each of `grids`: a list of values per hyperparameter, in its own range."""
    fields: dict[str, Any] = {}
    for name, (section, field, sweep) in swept().items():
        info = section.model_fields[field]
        named = [Field(title=info.title)] if info.title else []
        item = Annotated[info.annotation, *info.metadata, *named]
        values = Annotated[list[item], Field(min_length=1), AllDifferent]
        fields[name] = (values | None, key(None, sweep.help))
    made = create_model("Varied", __base__=Section, **fields)
    made.__doc__ = "Hyperparameters and their values."
    return made


Varied = _varied()


class Matched(Section):
    """Sweeps trained a second time, to the same training loss, so that how far training went does not differ.

    The learning rate is constant. Each network is stopped after the first epoch whose training loss, without L2 and
    without dropout, is at most the target. A network that never reaches it is kept, flagged `unfit` and counted.
    """

    SECTION: ClassVar[str] = "matched"

    sweeps: Annotated[list[Literal[*swept()]], AllDifferent] = key(
        ["learning_rate", "weight_decay", "width", "dropout", "batch_size"],
        "Which of `sweeps` are trained again; those that the study does not have are passed over.",
        smoke=["learning_rate"],
    )
    loss: Fraction = key(
        0.05,
        "Training loss at which a network is stopped, as a share of that of chance.",
        smoke=0.95,
    )
    epochs_factor: PositiveNumber = key(4.0, "Longest such training, in units of `training.epochs`.", smoke=2.0)


class Fit(Section):
    """Which networks count as optima. Others are kept, flagged `unfit`, drawn and counted, and are in no verdict."""

    SECTION: ClassVar[str] = "fit"

    maximum_loss: Fraction = key(
        0.5,
        "Largest training loss of a network that counts as an optimum, as a share of that of chance.",
        smoke=0.99,
    )


class Config(Section):
    """Config of one study."""

    study: str = key(
        help="Name of the study; its results are in `results/<study>`.",
        pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$",
        says="text of letters, digits, - and _ that begins with a letter or digit",
    )
    dataset: DATASETS | OwnDataset = key(
        help="What the networks learn; or, for your own data, a section with the keys below."
    )
    confirms: str | None = key(
        None, "Name of a study whose verdicts this one confirms, by the same rules on seeds never used before; see "
        "`make confirm`.",
    )  # fmt: skip
    defaults: Literal["standard", "smoke"] = key(
        "standard",
        "Values of the keys that the config does not give: standard, or smoke, tiny values with which everything "
        "runs in minutes and no number means anything.",
    )
    data: Data = key(Data())
    loss: LOSSES | OwnLoss = key(
        "cross_entropy",
        "What is minimised: cross_entropy (labels are classes), mse (labels are numbers, brought to mean 0 and "
        "variance 1), binary_cross_entropy (labels are 0 or 1); or, for your own, a section with the keys below.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = key(
        "auto", "Where networks are computed; auto takes a GPU if there is one. Never changes what a result is called."
    )
    strategy: Literal["auto", "plain"] = key(
        "auto",
        "How networks are computed; auto takes what is fast on the device, plain computes one point after another, as "
        "a check. Never changes what a result is called.",
    )
    gpu_model: str | None = key(
        None,
        "Model of GPU that jobs ask a cluster for, by the name it has there, such as a100; null takes any. With device "
        "cpu no job asks for a GPU.",
        pattern="^[A-Za-z0-9_.]+$",
        says="text of letters, digits, . and _",
    )
    checkpoint_minutes: float = key(
        5.0, "Minutes between checkpoints, from which an interrupted training continues.", gt=0
    )
    model: Model = key(Model())
    training: Training = key(Training())
    networks: Networks | None = key(None, "Networks that were trained elsewhere; see docs/own-networks.md.")
    seeds: int = key(
        12,
        "Networks trained at every setting, with seeds `first_seed`, `first_seed` + 1, …; planes need 3, verdicts 4.",
        ge=1,
        smoke=4,
    )
    base_seeds: int | None = key(
        None,
        "Networks trained at the base setting, at least `seeds`: sets of m optima are drawn from them, of which no two "
        "share a seed, so verdicts about m optima need 4 m networks. null: as many as `seeds`.",
        ge=1,
    )
    first_seed: int = key(
        0, "The first seed. Another one repeats the whole study with networks that were never used before.", ge=0
    )
    seeds_per_job: int = key(12, "Seeds that one job trains together.", ge=1, smoke=4)
    sweeps: Varied = key(
        Varied(), "Keys varied one at a time around `model` and `training`; null drops a sweep of an earlier config."
    )
    grids: list[Varied] = key(
        [], "Full products, each a section that gives two or more of the keys of `sweeps` values."
    )
    matched: Matched = key(Matched())
    fit: Fit = key(Fit())
    leave_out: Annotated[list[Identifier], AllDifferent] = key(
        [],
        "Names of measurements and figures that the study does not make, such as `simplexes`; what reads them is left "
        "out with them, and so are their claims.",
    )
    archive: Archive = key(Archive())
    claims: Judging = key(Judging())
    figures: Look = key(Look())

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, given):
        """A section whose keys are all commented out reads as null: that is as good as leaving it out."""
        if not isinstance(given, dict):
            return given
        sections = {name for name, info in cls.model_fields.items() if isinstance(info.default, Section | list)}
        return {name: value for name, value in given.items() if value is not None or name not in sections}
