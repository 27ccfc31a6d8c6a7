"""Reply format `label`: the text is one value of the output's single enum field."""

from __future__ import annotations

import json

from metier.contracts import TaskContract, Value
from metier.contracts.schema import resolve
from metier.prompting.reply_format import only_field, unreadable


def encode(contract: TaskContract, output: Value) -> str:
    return str(output[only_field(contract)])


def decode(contract: TaskContract, text: str) -> Value:
    """The enum value with this text; values that are not strings keep their type."""
    schema, field = contract.reply_schema, only_field(contract)
    node = resolve(schema, resolve(schema, schema)["properties"][field])
    for value in node.get("enum", [node.get("const")]):
        if str(value) == text.strip():
            return {field: value}
    raise unreadable(contract, text, f"it is none of {', '.join(contract.labels)}")


def grammar(contract: TaskContract) -> str:
    return "start: " + " | ".join(json.dumps(label, ensure_ascii=False) for label in contract.labels)
