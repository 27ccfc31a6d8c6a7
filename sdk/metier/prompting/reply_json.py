"""Reply format `json`: the output as JSON in one canonical spelling, decoded under its schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from metier.contracts import ContractError, TaskContract, Value
from metier.contracts.schema import JsonSchema, resolve
from metier.prompting.reply_format import unreadable

SEPARATORS = (", ", ": ")
"""JSON replies are written and decoded with these and no other white space: one text per value."""


def encode(contract: TaskContract, output: Value) -> str:
    ordered = _ordered(contract.reply_schema, contract.reply_schema, output)
    return json.dumps(ordered, ensure_ascii=False, separators=SEPARATORS)


def decode(contract: TaskContract, text: str) -> Any:
    try:
        value = json.loads(text, parse_float=_finite)
        return _without_surrogates(value) if "\\u" in text else value
    except ValueError as error:
        raise unreadable(contract, text, f"it is not JSON ({error})") from error


def grammar(contract: TaskContract) -> str:
    return json_grammar(contract.reply_schema)


def json_grammar(schema: JsonSchema) -> str:
    """llguidance's grammar of a JSON schema, in one canonical spelling; objects accept the properties they name.

    Raises:
        ContractError: llguidance cannot read the schema.
    """
    from llguidance import LLMatcher

    item, key = SEPARATORS
    options: Any = {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
    try:
        return str(LLMatcher.grammar_from_json_schema(closed(schema), overrides=options))
    except (ValueError, TypeError, RecursionError) as error:
        raise ContractError(f"the JSON schema cannot be read: {str(error)[:200]}") from error


def closed(node: Any) -> Any:
    """A schema whose objects accept only the properties they name: JSON Schema's default lets a model add its own."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    inner = {key: closed(value) if key not in ("enum", "const", "default") else value for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        inner.setdefault("additionalProperties", False)
    return inner


def _finite(number: str) -> float:
    """A number of JSON, which has no bound, as a double, which has one (RFC 8259, section 6)."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(number)))


def _without_surrogates(value: Any) -> Any:
    """`value` with each lone surrogate, which an escape such as `\\ud83d` can write and no file can hold, replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return {key: _without_surrogates(item) for key, item in value.items()} if isinstance(value, dict) else value


def _ordered(root: JsonSchema, node: Mapping[str, Any], value: Any) -> Any:
    """`value` with every object's keys in the schema's order, as the grammar decodes them."""
    node = resolve(root, node)
    if isinstance(value, Mapping):
        properties: Mapping[str, Any] = node.get("properties", {})
        names = [name for name in properties if name in value] + [name for name in value if name not in properties]
        return {name: _ordered(root, properties.get(name, {}), value[name]) for name in names}
    if isinstance(value, list):
        return [_ordered(root, node.get("items", {}), item) for item in value]
    return value
