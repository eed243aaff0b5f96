"""An example of what a JSON schema describes: the fields' own where they have some, else what their type says."""

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 8
_BY_FORMAT = {
    "uuid": "019ab2c4-5f00-7a3e-9d1c-0f4d2c1b9a77",
    "date-time": "2026-11-01T12:00:00Z",
    "date": "2026-11-01",
    "email": "ada@example.com",
    "uri": "https://example.com/",
}

Schema = Mapping[str, Any]


def example_of(schema: Schema, components: Schema, depth: int = 0) -> Any:
    """`components`: the schemas that a reference may name."""
    schema = _resolved(schema, components)
    given = _given(schema)
    if given is not None:
        return given[0]
    if depth > MAX_DEPTH:
        return None
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return example_of(_first_type(schema[name]), components, depth + 1)
    return _of_type(schema, components, depth)


def _of_type(schema: Schema, components: Schema, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            return _object(schema, components, depth)
        case "array":
            return [example_of(schema.get("items", {}), components, depth + 1)]
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case "string":
            return _BY_FORMAT.get(schema.get("format", ""), "text")
        case _:
            return None


def _object(schema: Schema, components: Schema, depth: int) -> dict[str, Any]:
    """What must be there, and what has an example of its own; the first field where nothing does."""
    properties, required = schema.get("properties", {}), schema.get("required", ())
    shown = [name for name, each in properties.items() if name in required or _has_examples(each)]
    return {name: example_of(properties[name], components, depth + 1) for name in shown or list(properties)[:1]}


def _has_examples(schema: Schema) -> bool:
    return "examples" in schema or any("examples" in each for each in schema.get("anyOf", ()))


def _given(schema: Schema) -> tuple[Any] | None:
    if schema.get("examples"):
        return (schema["examples"][0],)
    for name in ("example", "const", "default"):
        if schema.get(name) is not None:
            return (schema[name],)
    return (schema["enum"][0],) if "enum" in schema else None


def _resolved(schema: Schema, components: Schema) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    return components.get(name, {}) if name else schema


def _first_type(choices: list[Schema]) -> Schema:
    return next((each for each in choices if each.get("type") != "null"), choices[0])
