"""Convert JSON Schemas to Markdown: a sentence for the shape, and a table for each kind of object."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

ANY = "any JSON"

# The keywords of a value's lower and upper bound, and the unit.
_RANGES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " fields"),
)
_SINGLE = (("exclusiveMinimum", "over {}"), ("exclusiveMaximum", "below {}"), ("multipleOf", "a multiple of {}"))
_ATTRIBUTE = re.compile(r"^    (?P<name>\w+): (?P<text>.+)$")
_CONTINUED = re.compile(r"^ {5,}(?P<text>\S.*)$")


class Field(NamedTuple):
    """One field of an object, each part as Markdown, empty if there is none."""

    name: str
    type: str
    required: bool
    default: str
    constraints: str
    description: str


def shape_of(schema: Schema) -> str:
    """Describe a value's type: `BikeRecord` or list of `BikeRecord`."""
    if "$ref" in schema:
        return f"`{_name_of(schema)}`"
    if "anyOf" in schema:
        return " or ".join(shape_of(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{_json(each)}`" for each in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        return f"list of {shape_of(items)}" if isinstance(items, dict) and items else "list"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"object of {shape_of(values)}" if isinstance(values, dict) and values else "object"
    form = schema.get("format") or schema.get("contentEncoding")
    return f"{kind or ANY}{f' ({form})' if form else ''}"


def constraints_of(schema: Schema) -> str:
    """Describe the bounds of a value, or of each member of a union."""
    if "anyOf" in schema:
        kinds = [(shape_of(each), constraints_of(each)) for each in schema["anyOf"]]
        bounds = [(kind, words) for kind, words in kinds if words]
        plain = len(bounds) == 1 and all(kind == "null" for kind, words in kinds if not words)
        return bounds[0][1] if plain else "; ".join(f"{kind}: {words}" for kind, words in bounds)
    found = []
    for low, high, unit in _RANGES:
        if low in schema and high in schema:
            found.append(f"{_json(schema[low])} to {_json(schema[high])}{unit}")
        elif low in schema:
            found.append(f"at least {_json(schema[low])}{_unit(schema[low], unit)}")
        elif high in schema:
            found.append(f"at most {_json(schema[high])}{_unit(schema[high], unit)}")
    found += [words.format(_json(schema[key])) for key, words in _SINGLE if key in schema]
    if "pattern" in schema:
        found.append(f"matches `{schema['pattern']}`")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict) and (each := constraints_of(inner)):
            found.append(f"each {each}")
    return ", ".join(found)


def objects_of(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield each object of a schema once, in the order of first use."""
    definitions, seen = schema.get("$defs", {}), set()
    waiting = list(_names_in({key: value for key, value in schema.items() if key != "$defs"}))
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in definitions:
            continue
        seen.add(name)
        yield name, definitions[name]
        waiting += _names_in(definitions[name])


def fields_of(schema: Schema) -> list[Field]:
    """Return an object's fields, the required ones first."""
    described = _attributes(schema)
    required = schema.get("required", [])
    found = [
        Field(
            name,
            shape_of(each),
            name in required,
            f"`{_json(each['default'])}`" if "default" in each and name not in required else "",
            constraints_of(each),
            each.get("description") or described.get(name) or _described_within(each),
        )
        for name, each in schema.get("properties", {}).items()
    ]
    return sorted(found, key=lambda field: not field.required)


def summary_of(schema: Schema) -> str:
    """Return the first paragraph of an object's description, on one line."""
    paragraph, _, _ = inspect.cleandoc(schema.get("description", "")).partition("\n\n")
    return " ".join(paragraph.split())


def table(header: list[str], rows: list[list[str]]) -> str:
    """Make a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _attributes(schema: Schema) -> dict[str, str]:
    """Return the descriptions in the `Attributes` section of a docstring, by field."""
    found: dict[str, str] = {}
    _, _, section = inspect.cleandoc(schema.get("description", "")).partition("Attributes:\n")
    name = ""
    for line in section.splitlines():
        if begun := _ATTRIBUTE.match(line):
            name = begun["name"]
            found[name] = begun["text"]
        elif name and (more := _CONTINUED.match(line)):
            found[name] += f" {more['text']}"
        else:
            name = ""
    return found


def _described_within(union: Schema) -> str:
    """Return the description of the first described member of a union: of the number in `float | None`."""
    return next((each["description"] for each in union.get("anyOf", ()) if "description" in each), "")


def _names_in(value: Any) -> Iterator[str]:  # noqa: ANN401 - any part of a schema
    if isinstance(value, dict):
        if "$ref" in value:
            yield _name_of(value)
        for each in value.values():
            yield from _names_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _names_in(each)


def _name_of(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _unit(count: Any, unit: str) -> str:  # noqa: ANN401 - a number
    return unit.removesuffix("s") if count == 1 else unit


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
