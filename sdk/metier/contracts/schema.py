"""JSON Schema as the one form of a type: in a pydantic class, a bundle and a C# host.

A contract contains no Python class, so it serialises completely; values are validated against the schema wherever
they come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter

from metier.contracts.errors import ContractError

JsonSchema = dict[str, Any]

SCHEMA_VERSION: Literal["2"] = "2"
"""Version of every serialised contract type. Grows when a reader of the old form could misread the new."""


class Data(BaseModel):
    """Base class of all contract types: frozen, no unknown fields, no NaN (JSON has none)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, ser_json_bytes="base64", val_json_bytes="base64"
    )


def schema_of(type_or_schema: Any) -> JsonSchema:
    """JSON Schema (draft 2020-12) of a type; a schema given as a mapping is returned unchanged.

    Raises:
        ContractError: pydantic cannot describe the type, or a schema refers to something outside itself, which would
            have to be fetched.
    """
    if isinstance(type_or_schema, Mapping):
        if outside := next((ref for ref in _references(type_or_schema) if not ref.startswith("#")), None):
            raise ContractError(
                f"the schema refers to {outside!r}, outside itself", remedy="copy what it refers to into its $defs"
            )
        return dict(type_or_schema)
    try:
        return TypeAdapter(type_or_schema).json_schema(mode="validation")
    except Exception as error:
        name = getattr(type_or_schema, "__name__", repr(type_or_schema))
        raise ContractError(
            f"the type {name} has no JSON Schema: {error}".splitlines()[0],
            remedy="use str, numbers, enums, lists, pydantic models and Metier's payload types only",
        ) from error


def _references(schema: Any) -> Iterator[str]:
    pending = [schema]
    while pending:  # no recursion: a schema may be deep
        node = pending.pop()
        if isinstance(node, Mapping):
            for keyword in ("$ref", "$dynamicRef"):
                if isinstance(node.get(keyword), str):
                    yield node[keyword]
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


TypeSchema = Annotated[Any, BeforeValidator(schema_of)]
"""A field that accepts a Python type and stores its JSON Schema."""


def resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """`node`, or what its local `$ref` (`#/$defs/Name`) points to, with sibling keywords kept."""
    seen: set[str] = set()
    while "$ref" in node:
        ref = str(node["$ref"])
        if ref in seen or not ref.startswith("#/"):
            return {}
        seen.add(ref)
        target: Any = schema
        for part in ref[2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = {**target, **{k: v for k, v in node.items() if k != "$ref"}}
    return node


def nodes(schema: JsonSchema, stop_at: str | None = None) -> Iterator[Mapping[str, Any]]:
    """Every subschema reachable from the root, each `$ref` followed once; nothing below a node with `stop_at`."""
    seen: set[str] = set()
    stack: list[Mapping[str, Any]] = [schema]
    while stack:
        raw = stack.pop()
        if ref := raw.get("$ref"):
            if ref in seen:
                continue
            seen.add(str(ref))
        node = resolve(schema, raw)
        yield node
        if stop_at is not None and stop_at in node:
            continue
        for key in ("items", "additionalProperties", "contains", "not"):
            if isinstance(node.get(key), Mapping):
                stack.append(node[key])
        for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            stack.extend(child for child in node.get(key, ()) if isinstance(child, Mapping))
        stack.extend(child for child in node.get("properties", {}).values() if isinstance(child, Mapping))


ONE_OF = "x-metier-one-of"
"""On a string of an output schema: it is one of the strings that its path finds in the input.

`actions[]`, or `actions` for short, is each item of a list; `passages[].id` the `id` of each object in a list;
`choices[text=chosen].to` the `to` of those objects whose `text` equals the input's `chosen`.
"""


def narrowed(output: JsonSchema, input: JsonSchema, value: Mapping[str, Any]) -> JsonSchema:
    """An output schema for one input: each string with `x-metier-one-of` becomes an enum of that input's own strings.

    A schema without the key is returned unchanged. Strings that the node itself forbids do not count. Where none are
    left, a list of such strings must be empty, if it may be, and anything else stays free: the key narrows a type, and
    never produces one that nothing satisfies. A missing field counts as its default.
    """
    fields = resolve(input, input).get("properties", {})
    given = {**{name: resolve(input, node).get("default") for name, node in fields.items()}, **value}

    def strings(node: Mapping[str, Any]) -> list[str]:
        path, plain = str(node[ONE_OF]), dict(node)
        found = dict.fromkeys(text for text in _found(given, path) if isinstance(text, str))
        return [text for text in found if not problems(plain, text)]

    def at(node: Any) -> Any:
        if isinstance(node, list):
            changed = [at(item) for item in node]
            return node if changed == node else changed
        if not isinstance(node, Mapping):
            return node
        inner = {key: item if key in _VALUES else at(item) for key, item in node.items()}
        if isinstance(node.get(ONE_OF), str) and (among := strings(node)):
            inner["enum"] = among
        match node:
            case {"items": {"x-metier-one-of": str()} as items} if not node.get("minItems") and not strings(items):
                inner["maxItems"] = 0
        return node if inner == node else inner

    return cast(JsonSchema, at(output))


_STEP = re.compile(r"(?P<field>[^.\[\]]+)(?P<each>\[(?:(?P<key>[^=\]]+)=(?P<same>[^\]]+))?\])?(?:\.|$)")


def _found(given: Mapping[str, Any], path: str) -> list[Any]:
    """The values at a path in an input; empty where the path does not exist."""
    found: list[Any] = [given]
    for step in _STEP.finditer(path if "[" in path else f"{path}[]"):
        found = [item[step["field"]] for item in found if isinstance(item, Mapping) and step["field"] in item]
        if step["each"]:
            found = [item for items in found if isinstance(items, list) for item in items]
        if step["key"]:
            wanted = given.get(step["same"])
            found = [item for item in found if isinstance(item, Mapping) and item.get(step["key"]) == wanted]
    return found


_VALUES = frozenset({"enum", "const", "default", "examples"})
"""Keywords of JSON Schema whose contents are values, not subschemas."""


class Problem(NamedTuple):
    """One reason why a value does not satisfy its schema."""

    field: str
    """Dotted path into the value; empty for the value itself."""
    reason: str


def problems(schema: JsonSchema, value: Any) -> list[Problem]:
    """Every reason why `value` (plain JSON data) does not satisfy `schema`; empty when it does."""
    return [
        Problem(".".join(str(part) for part in error.absolute_path), _middle_out(error.message))
        for error in _validator(SchemaKey(schema)).iter_errors(value)
    ]


def _middle_out(message: str) -> str:
    # jsonschema puts the value first and the reason last: a long value must not hide the reason.
    return message if len(message) <= 300 else f"{message[:120]} … {message[-150:]}"


class SchemaKey:
    """A schema as a cache key: by identity, kept alive by the cache."""

    def __init__(self, schema: JsonSchema) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SchemaKey) and other.schema is self.schema


@lru_cache(maxsize=256)
def _validator(frozen: SchemaKey) -> Any:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(frozen.schema, registry=Registry())  # without it, jsonschema fetches remote references
