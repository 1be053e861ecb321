"""Sections of the config: one class each, in which a key's name, default, range, unit and meaning are declared once.

From these classes follow the checks of a config, the JSON schema for editors, the tables of keys in the documentation,
and the values of the smoke study.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


@dataclass(frozen=True)
class Swept:
    """What a hyperparameter that `sweeps` and `grids` may vary is called.

    Args:
        short: in the names of settings, such as `lr`.
        label: in figures, with its unit if it has one.
        colour: in figures.
        help: the meaning of the key in `sweeps`.
        place: in every setting's name; None names it only where it differs from the base setting's.
        key: in `sweeps`, where it is not the field's own name.
    """

    short: str
    label: str
    colour: str
    help: str
    place: int | None = None
    key: str = ""


def key(
    default: Any = ...,
    help: str = "",
    *,
    smoke: Any = None,
    sweep: Swept | None = None,
    at_most: str | None = None,
    below: str | None = None,
    says: str | None = None,
    **limits,
):
    """Declare a key of a section.

    Args:
        default: its value where the config does not give one; without a default the key is required.
        help: its meaning, with the unit.
        smoke: its value in the smoke study (`defaults: smoke`), tiny; the default where it is not given.
        sweep: set where `sweeps` and `grids` may vary it.
        at_most: another key, such as `seeds`, that it must not exceed. A default loses what exceeds it.
        below: another key, such as `wedges.dimension`, that it must stay below.
        says: what a pattern allows, in words.
        limits: of pydantic's `Field`: `ge`, `gt`, `le`, `lt`, `min_length`, `pattern`, …
    """
    if says:
        limits["title"] = says
    field = Field(default, description=help or None, **limits)
    field.metadata.append(Notes(smoke, sweep, at_most, below))
    return field


@dataclass(frozen=True)
class Notes:
    """What a key declares beside its type and range; see `key`."""

    smoke: Any = None
    sweep: Swept | None = None
    at_most: str | None = None
    below: str | None = None


def _all_different(values: list) -> list:
    if any(value in values[:place] for place, value in enumerate(values)):
        raise ValueError("none twice")
    return values


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("odd")
    return value


PICTURE = "rows of equal length, made of # and of points, both at least once"


def _picture(rows: list[str]) -> list[str]:
    if len({len(row) for row in rows}) != 1 or set("".join(rows)) != {"#", "."}:
        raise ValueError(PICTURE)
    return rows


Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Odd = Annotated[int, AfterValidator(_odd), Field(json_schema_extra={"not": {"multipleOf": 2}})]
PositiveNumber = Annotated[float, Field(gt=0)]
AllDifferent = AfterValidator(_all_different)
Counts = Annotated[list[Count], Field(min_length=1), AllDifferent]
Sizes = Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1), AllDifferent]
Parts = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=1), AllDifferent]
Picture = Annotated[list[str], AfterValidator(_picture), Field(title=PICTURE)]
PositiveNumbers = Annotated[list[PositiveNumber], Field(min_length=1), AllDifferent]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", title="Python name")]


class Section(BaseModel):
    """A section of the config. Its class's docstring says what it is about.

    Values are checked strictly: text is no number, true is no integer, but 64.0 is the integer 64.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,
        field_title_generator=lambda _name, _info: "",
    )
    SECTION: ClassVar[str] = ""  # its key in the config; by default the name of the module that declares it

    @model_validator(mode="before")
    @classmethod
    def _one_form_of_numbers(cls, given):
        """Let 0 and 0.0, or 64 and 64.0, give one config, so that what is computed from it is called the same."""
        if not isinstance(given, dict):
            return given
        # A key that YAML does not read as text, such as `on`, is an unknown key like any other.
        return {str(name): _whole(value) if name in cls.model_fields else value for name, value in given.items()}

    @classmethod
    def notes(cls, name: str) -> Notes:
        """Return what a key declares beside its type and range."""
        return next((note for note in cls.model_fields[name].metadata if isinstance(note, Notes)), Notes())

    @classmethod
    def smoke(cls) -> dict:
        """Return the keys that have a value of their own in the smoke study, with that value."""
        notes = {name: cls.notes(name).smoke for name in cls.model_fields}
        return {name: value for name, value in notes.items() if value is not None}

    @classmethod
    def section(cls) -> str:
        """Return the section's key in the config."""
        return cls.SECTION or cls.__module__.rpartition(".")[2]


def _whole(value):
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
