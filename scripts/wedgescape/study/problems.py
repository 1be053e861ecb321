"""Says what is wrong with a config in words that its author understands.

Of pydantic only the verdict is used: its messages speak of types, ours of the config. They name the key, what was found
there and what is allowed, which the JSON schema of the section's class says.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache

from pydantic import ValidationError

from wedgescape.study.sections import Section

SIGNS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
CLOSE = 0.7  # similarity above which a word may have been meant by another; gpu and cpu have 0.67
COMMAND_LINE = " (--config reads what is below a key as text: write this section into a config file)"


@cache
def schema_of(config: type[Section]) -> dict:
    """Return the JSON schema of a config, with each reference replaced by what it refers to."""
    schema = config.model_json_schema()
    definitions = schema.pop("$defs", {})

    def expanded(node: object) -> object:
        if isinstance(node, list):
            return [expanded(item) for item in node]
        if not isinstance(node, dict):
            return node
        own = {key: expanded(value) for key, value in node.items() if key != "$ref" and (key, value) != ("title", "")}
        return expanded(definitions[node["$ref"].removeprefix("#/$defs/")]) | own if "$ref" in node else own

    return expanded(schema)


def problems(
    error: ValidationError, given: dict, config: type[Section], command_line: Mapping | None = None
) -> dict[tuple, str]:
    """Return everything that is wrong in a config.

    Args:
        error: what pydantic said.
        given: the config.
        config: its class.
        command_line: the part of it that `--config` gave.

    Returns:
        Path of each faulty key, such as ``("training", "epochs")`` -> what was found there and what is allowed.
    """
    schema, found = schema_of(config), {}
    for one in error.errors(include_url=False, include_context=False):
        path, node, value = _place(one["loc"], schema, given)
        unknown = one["type"] == "extra_forbidden"
        if unknown and path[-1] != one["loc"][-1]:  # in a section that could also be a word or null
            path = (*path, one["loc"][-1])
        *above, last = path
        sections = [option for option in node.get("anyOf", ()) if "properties" in option]
        if sections and isinstance(value, dict) and not unknown:
            continue  # that a section is not one of the words either is no second problem
        if unknown:
            found = {path: _unknown(last, _place(above, schema, given)[1], schema)} | found
        elif one["type"] == "missing":
            found = {path: f"missing; allowed: {allowed(node)}"} | found
        else:
            found.setdefault(path, _misfit(value, node, _is_nested_in(command_line or {}, path, value)))
    return found


def _place(location, schema: dict, given) -> tuple[tuple, dict, object]:
    """Follow a location of pydantic's to its path in the config, its entry of the schema, and what was found there.

    A location also names which of several types was tried, which is no key of the config.
    """
    path, node, value = [], schema, given
    for part in location:
        options = [node, *node.get("anyOf", ())]
        section = next((one for one in options if "properties" in one), None)
        if isinstance(part, int):
            inner = next((one["items"] for one in options if "items" in one), {})
        elif section is None or ("anyOf" in node and part not in section["properties"]):
            continue
        else:
            further = section.get("additionalProperties") or {}
            inner = section["properties"].get(part, further)
        path.append(part)
        node, value = inner, _inside(value, part)
    return tuple(path), node, value


def _inside(value: object, part: object) -> object:
    if isinstance(value, dict):
        return next((inner for key, inner in value.items() if str(key) == part), None)
    return value[part] if isinstance(value, list) else None


def allowed(node: dict) -> str:
    """Return what an entry of the schema allows, in words."""
    if "anyOf" in node:
        # A list that may be null reads better the other way round.
        named = {"title": node["title"]} if "title" in node else {}  # of the text that is not null
        options = [named | one if one.get("type") == "string" else one for one in node["anyOf"]]
        options = sorted(options, key=lambda one: (one.get("type") == "null") != ("items" in node["anyOf"][0]))
        return " or ".join(map(allowed, options))
    if "enum" in node or "const" in node:
        return "one of " + ", ".join(node.get("enum", [node.get("const")]))
    kind = node.get("type", "")
    match kind:
        case "string":
            return node.get("title", "text")
        case "integer" | "number":
            bounds = " and ".join(f"{sign} {node[key]}" for key, sign in SIGNS.items() if key in node)
            return ("odd " if "not" in node else "") + f"{kind} {bounds}".strip()
        case "array" if node.get("items", {}).get("type") == "object":
            return "list of sections"
        case "array" if "title" in node:
            return node["title"]
        case "array" if "items" in node:
            fewest = "at least one, " if node.get("minItems") else ""
            return f"list ({fewest}none twice) of {allowed(node['items'])}"
        case "object" if "properties" in node:
            return "section with the keys " + ", ".join(node["properties"])
    return {"boolean": "true or false", "array": "list", "object": "section"}.get(kind, kind)


def dotted(path: tuple) -> str:
    """Return a path as a config's author writes it: ``sweeps.width[2]``."""
    return "".join(f"[{part}]" if type(part) is int else f".{part}" for part in path).removeprefix(".")


def _unknown(key: object, node: dict, schema: dict) -> str:
    options = [node, *node.get("anyOf", ())]
    known = next(one["properties"] for one in options if "properties" in one)
    elsewhere = [
        f"{name}.{key}" for name, section in schema["properties"].items() if key in section.get("properties", {})
    ]
    guesses = difflib.get_close_matches(str(key), known, 1, CLOSE) or elsewhere
    return f"unknown key{f' (did you mean {guesses[0]}?)' if guesses else ''}; allowed: {', '.join(known)}"


def _is_nested_in(command_line: Mapping, path: tuple, value: object) -> bool:
    """Return whether `--config` gave this value below another key."""
    inner: object = dict(command_line)
    for part in path:
        inner = None if isinstance(inner, list) and part >= len(inner) else _inside(inner, part)
    return len(path) > 1 and inner is not None and inner == value


def _misfit(found: object, node: dict, nested_in_command_line: bool) -> str:
    shown = json.dumps(found, default=str, ensure_ascii=False)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return f"found {shown}; allowed: {allowed(node)}{_hint(found, node, nested_in_command_line)}"


def _hint(found: object, node: dict, nested_in_command_line: bool) -> str:
    """Return how what was found was probably meant."""
    if node.get("type") == "string" and isinstance(found, int | float):
        return f' (write "{found}", with quotes)'
    if not isinstance(found, str):
        return ""
    options = [node, *node.get("anyOf", ())]
    if nested_in_command_line and {one.get("type") for one in options} - {"string", None}:
        return COMMAND_LINE
    number = re.fullmatch(r"([-+]?\d+)(\.\d*)?(?:[eE]([-+]?)(\d+))?", found)
    if number and any(one.get("type") in ("number", "integer") for one in options):
        whole, fraction, sign, exponent = number.groups()
        written = f"{whole}{fraction or '.0'}e{sign or '+'}{exponent}" if exponent else found
        return f" (to YAML this is text: write {written}, without quotes)"
    guesses = difflib.get_close_matches(found, [word for one in options for word in one.get("enum", ())], 1, CLOSE)
    return f" (did you mean {guesses[0]}?)" if guesses else ""


def table_of_keys(config: type[Section]) -> str:
    """Return a config's keys as a Markdown table of key, type and range, default, and meaning."""

    def rows(node: dict, prefix: str = "") -> Iterator[str]:
        for key, child in node["properties"].items():
            section = child.get("type") == "object"
            kind = "section" if section else allowed(child)
            default = "" if section else f"`{json.dumps(child['default'])}`" if "default" in child else "required"
            yield f"| `{prefix}{key}` | {kind} | {default} | {' '.join(child['description'].split())} |"
            yield from rows(child, f"{prefix}{key}.") if "properties" in child else ()
            for option in child.get("anyOf", ()):
                yield from rows(option, f"{prefix}{key}.") if "properties" in option else ()

    head = ["| key | type and range | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows(schema_of(config))])
