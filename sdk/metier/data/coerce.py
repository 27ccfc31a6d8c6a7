"""A cell's text converted to the type of a contract's field: `3` as 3, `yes` as true, a JSON list as a list."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from metier.contracts.schema import resolve
from metier.readers.json_values import as_text

ABSENT = object()
"""Marks an empty cell of an optional field."""

_YES = {"true", "yes", "y", "1", "是", "真", "有"}
_NO = {"false", "no", "n", "0", "否", "假", "无"}


def coerce(schema: Mapping[str, Any], value: Any) -> Any:
    """`value` as the schema's type, or unchanged where it already fits or the schema has no type.

    Args:
        schema: a field's JSON Schema; `$root` in it is the full schema that its `$ref`s point into.
        value: a cell: text, or a plain JSON value from a typed format.

    Returns:
        The value, or ABSENT for an empty cell of a type that empty text cannot be.

    Raises:
        ValueError: the text does not have that type; the message is for the user.
    """
    root = schema.get("$root", schema)
    options = [resolve(root, s) for s in schema.get("anyOf", schema.get("oneOf", [schema]))]
    kinds = [k for s in options for k in ([s["type"]] if isinstance(s.get("type"), str) else s.get("type", []))]
    if value is None or (value == "" and "string" not in kinds):
        return None if value is None and "null" in kinds else ABSENT
    if choices := [c for s in options for c in s.get("enum", [s["const"]] if "const" in s else [])]:
        return ABSENT if value == "" and "" not in choices else _choice(choices, value)
    if not isinstance(value, str):
        return as_text(value) if kinds == ["string"] and not isinstance(value, list | dict) else _number(kinds, value)
    if "integer" in kinds and not {"number", "string"} & set(kinds):
        value = value.strip().removesuffix(".0")  # how a dataframe writes whole numbers where a column has gaps
    reasons = []
    for kind in sorted(kinds, key=_ORDER.index):
        try:
            return _AS[kind](value)
        except ValueError as error:
            reasons.append(str(error))
    if reasons:
        raise ValueError(reasons[0])
    return value


def _number(kinds: list[str], value: Any) -> Any:
    """Spreadsheets have no integers: 3.0 is 3 where an integer is wanted."""
    integral = isinstance(value, float) and value.is_integer() and "integer" in kinds and "number" not in kinds
    return int(value) if integral else value


def _integer(text: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        raise ValueError(f"{_short(text)} is not a whole number") from None


def _float(text: str) -> float | int:
    try:
        value = float(text.strip())
    except ValueError:
        raise ValueError(f"{_short(text)} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{_short(text)} is not a number that JSON has")
    return value


def _boolean(text: str) -> bool:
    word = text.strip().casefold()
    if word not in _YES | _NO:
        raise ValueError(f"{_short(text)} is neither yes nor no")
    return word in _YES


def _json(text: str, kind: type, name: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{_short(text)} is not a JSON {name}") from None
    if not isinstance(value, kind):
        raise ValueError(f"{_short(text)} is not a JSON {name}")
    return value


def _null(text: str) -> None:
    if text.strip().casefold() not in {"", "null", "none"}:
        raise ValueError(f"{_short(text)} is not empty")


_AS: dict[str, Callable[[str], Any]] = {
    "integer": _integer,
    "number": _float,
    "boolean": _boolean,
    "array": lambda text: _json(text, list, "list"),
    "object": lambda text: _json(text, dict, "object"),
    "string": str,
    "null": _null,
}
_ORDER = list(_AS)
"""Of several types that a field may have, text is tried last."""


def _choice(choices: list[Any], value: Any) -> Any:
    if value in choices:
        return value
    wanted = as_text(value).strip().casefold()
    for choice in choices:
        if as_text(choice).casefold() == wanted:
            return choice
    raise ValueError(f"{_short(as_text(value))} is not one of {', '.join(map(str, choices[:12]))}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "…")
