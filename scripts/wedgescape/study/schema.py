"""Checks a config against its schema and fills in the defaults, in words that its author understands.

The schema is JSON Schema (2020-12) written in YAML. Of `jsonschema` only the verdict is used: its messages speak of
the schema, ours of the config. They name the key, what was found there and what is allowed.
"""

import difflib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import yaml

SIGNS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
CLOSE = 0.7  # similarity above which a word may have been meant by another; gpu and cpu have 0.67


def read_schema(path: Path) -> dict:
    """The schema with each reference replaced by what it refers to, so that every entry stands complete.

    Args:
        path: Path of the schema; its references lead to its own ``$defs``.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C: ten times as fast, where it is there
    schema = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)
    definitions = schema.pop("$defs", {})

    def expanded(node: object) -> object:
        if isinstance(node, list):
            return [expanded(item) for item in node]
        if not isinstance(node, dict):
            return node
        own = {key: expanded(value) for key, value in node.items() if key != "$ref"}
        return expanded(definitions[node["$ref"].removeprefix("#/$defs/")]) | own if "$ref" in node else own

    return expanded(schema)


def schema_problems(config: dict, schema: dict) -> dict[tuple, str]:
    """Everything in a config that its schema forbids.

    Args:
        config: The config.
        schema: The schema, as from `read_schema`.

    Returns:
        Path of each faulty key, such as ``("training", "epochs")`` -> what was found there and what is allowed.
    """
    problems = {}
    for error in _Validator(schema).iter_errors(config):
        path, node, found = tuple(error.absolute_path), error.schema, error.instance
        if error.validator in ("additionalProperties", "unevaluatedProperties"):
            texts = {key: _unknown(key, node, schema) for key in found if key not in node["properties"]}
        elif error.validator == "required":
            entries = node["properties"]
            texts = {key: f"missing; allowed: {allowed(entries[key])}" for key in node["required"] if key not in found}
        else:
            problems.setdefault(path, _misfit(found, node))
            continue
        problems = {(*path, key): text for key, text in texts.items()} | problems
    return problems


def with_defaults(node: dict, value: object) -> object:
    """A copy of a valid value with its defaults filled in, and each number of the type that the schema names.

    So 0 and 0.0, or 64 and 64.0, give one config, and what is computed from it is called the same.

    Args:
        node: The entry of the schema that the value belongs to.
        value: The value.
    """
    types = _types(node)
    if isinstance(value, dict):
        entries = node.get("properties", {})
        known = {k: value.get(k, n.get("default")) for k, n in entries.items() if k in value or "default" in n}
        return {key: with_defaults(entries.get(key, {}), item) for key, item in (known | value).items()}
    if isinstance(value, list):
        return [with_defaults(node.get("items", {}), item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if "integer" in types:
        return int(value)
    return float(value) + 0.0 if "number" in types else value  # -0.0 + 0.0 is 0.0


def allowed(node: dict) -> str:
    """What an entry of the schema allows, in words.

    Args:
        node: The entry.
    """
    if "enum" in node:
        return "one of " + ", ".join(node["enum"])
    return " or ".join(_allowed_type(node, kind) for kind in _types(node))


def schema_table(path: Path) -> str:
    """The schema as a Markdown table of key, type and range, default, and meaning.

    Args:
        path: Path of the schema.
    """

    def rows(node: dict, prefix: str = "") -> Iterator[str]:
        for key, child in node["properties"].items():
            kind, default = allowed(child), f"`{json.dumps(child['default'])}`" if "default" in child else "required"
            if child.get("type") == "object":
                kind, default = "section", ""
            yield f"| `{prefix}{key}` | {kind} | {default} | {child['description']} |"
            if "properties" in child:
                yield from rows(child, f"{prefix}{key}.")

    head = ["| key | type and range | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows(read_schema(path))])


def dotted(path: tuple) -> str:
    """A path as a config's author writes it: ``sweeps.width[2]``.

    Args:
        path: Keys and positions in lists, from the outermost.
    """
    return "".join(f"[{part}]" if type(part) is int else f".{part}" for part in path).removeprefix(".")


def _is_number(_checker: object, value: object) -> bool:
    # YAML has .nan and .inf, and a comparison with NaN lets it pass every range.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number),
)


def _types(node: dict) -> list[str]:
    types = node.get("type", [])
    return [types] if isinstance(types, str) else types


def _allowed_type(node: dict, kind: str) -> str:
    match kind:
        case "string" if "then" in node:
            return allowed(node["then"])
        case "string":
            return node.get("title", "text")
        case "integer" | "number":
            bounds = " and ".join(f"{sign} {node[key]}" for key, sign in SIGNS.items() if key in node)
            return ("odd " if "not" in node else "") + f"{kind} {bounds}".strip()
        case "array" if node.get("items", {}).get("type") == "object":
            return "list of sections"
        case "array" if "items" in node:
            return f"list (at least one, none twice) of {allowed(node['items'])}"
        case "object" if "properties" in node:
            return "section with the keys " + ", ".join(node["properties"])
    return {"boolean": "true or false", "array": "list", "object": "section"}.get(kind, kind)


def _unknown(key: object, node: dict, schema: dict) -> str:
    known = node["properties"]
    elsewhere = [
        f"{name}.{key}" for name, section in schema["properties"].items() if key in section.get("properties", {})
    ]
    guesses = difflib.get_close_matches(str(key), known, 1, CLOSE) or elsewhere
    return f"unknown key{f' (did you mean {guesses[0]}?)' if guesses else ''}; allowed: {', '.join(known)}"


def _misfit(found: object, node: dict) -> str:
    shown = json.dumps(found, default=str, ensure_ascii=False)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return f"found {shown}; allowed: {allowed(node)}{_hint(found, node)}"


def _hint(found: object, node: dict) -> str:
    """How what was found was probably meant."""
    if _types(node) == ["string"] and isinstance(found, int | float):
        return f' (write "{found}", with quotes)'
    if not isinstance(found, str):
        return ""
    number = re.fullmatch(r"([-+]?\d+)(\.\d*)?(?:[eE]([-+]?)(\d+))?", found)
    if number and {"number", "integer"} & set(_types(node)):
        whole, fraction, sign, exponent = number.groups()
        written = f"{whole}{fraction or '.0'}e{sign or '+'}{exponent}" if exponent else found
        return f" (to YAML this is text: write {written}, without quotes)"
    guesses = difflib.get_close_matches(found, node.get("enum", ()), 1, CLOSE)
    return f" (did you mean {guesses[0]}?)" if guesses else ""
