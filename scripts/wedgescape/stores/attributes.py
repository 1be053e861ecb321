"""What a store says of itself: its version, what made it, and what determined the training behind it.

Snakemake imports this module with every job, so it reads stores as the zip files that they are, without zarr.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SCHEMA_VERSION = 4
SUFFIX = ".zarr.zip"


@dataclass(frozen=True)
class Origin:
    """What made a store. The chunk of seeds, paths and the study's name are not part of it.

    Attributes:
        rule: that wrote it.
        code: fingerprint of the code that the rule reached.
        sections: what determined it of the config, also through its inputs: key -> value, where a key such as
            `claims.confidence` stands for one entry of a section.
        settings: name of each setting of hyperparameters whose networks it rests on -> what determined their training
            (`Study.training`).
    """

    rule: str
    code: str = ""
    sections: dict = field(default_factory=dict)
    settings: dict[str, dict] = field(default_factory=dict)


def read_attributes(path: str | Path) -> dict:
    """Return the attributes of a store.

    Raises:
        KeyError: if it is no zarr store; what zipfile raises if it is no whole zip file.
    """
    with zipfile.ZipFile(path) as packed:
        return json.loads(packed.read("zarr.json"))["attributes"]


def training_of(attributes: Mapping) -> dict:
    """Return what determined the training of a weights store: `dataset`, `data`, `model`, `training`.

    Args:
        attributes: of the store.
    """
    (training,) = json.loads(attributes["config"])["settings"].values()
    return training
