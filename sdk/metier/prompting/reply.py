"""Outputs as the text a model writes, and back; and the grammar that keeps a model's text within the output type."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError

from metier.contracts import ContractError, TaskContract, Value
from metier.contracts.schema import JsonSchema, resolve
from metier.prompting.template import scope_of, template

SEPARATORS = (", ", ": ")
"""JSON replies are written and decoded with these and no other white space: one text per value."""

SPANS_GRAMMAR = r"""start: (span ("\n" span)*)?
span: LABEL ": " TEXT
LABEL: @LABEL
TEXT: /[^\n]+/"""


def encode_reply(contract: TaskContract, output: Value) -> str:
    """`output` as the text that the model shall write.

    Raises:
        ContractError: the output does not satisfy the contract.
    """
    contract.check_output(output)
    if contract.reply.name == "json":
        return json.dumps(_ordered(contract.output, contract.output, output), ensure_ascii=False, separators=SEPARATORS)
    if contract.reply.name == "spans":
        return "\n".join(f"{span['label']}: {_one_line(span['text'])}" for span in _spans(output))
    return str(next(iter(output.values())))


def decode_reply(contract: TaskContract, text: str) -> Value:
    """The output that `text` writes down.

    Raises:
        ContractError: it does not parse, or does not satisfy the contract.
    """
    if contract.reply.name == "json":
        try:
            value = json.loads(text, parse_float=_finite)
            value = _whole(value) if "\\u" in text else value
        except ValueError as error:
            raise _unreadable(contract, text, f"it is not JSON ({error})") from error
    elif contract.reply.name == "spans":
        value = {"spans": [_span(contract, text, line) for line in text.splitlines() if line.strip()]}
    elif contract.reply.name == "label":
        value = {_only_field(contract): _label(contract, text)}
    else:
        value = {_only_field(contract): text.strip()}
    return contract.check_output(value)


def grammar_of(contract: TaskContract, input: Value | None = None) -> str | None:
    """The llguidance grammar (JSON Schema or Lark form) of the contract's replies to one input; None where any text
    will do. Without an input, as for one whose fields have their defaults.

    Raises:
        ContractError: the grammar's template does not render.
    """
    if contract.reply.grammar is not None:
        try:
            return template(contract.reply.grammar).render(scope_of(contract, input or {}))
        except TemplateError as error:
            raise ContractError(
                f"the reply grammar of {contract.name} does not render: {error}",
                remedy=f"a template may use the input's fields: {', '.join(scope_of(contract, {})) or 'none'}",
            ) from error
    if contract.reply.name == "json":
        from llguidance import LLMatcher

        item, key = SEPARATORS
        options: Any = {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
        return str(LLMatcher.grammar_from_json_schema(closed(contract.output), overrides=options))
    if contract.reply.name == "label":
        return "start: " + " | ".join(json.dumps(label, ensure_ascii=False) for label in contract.labels)
    if contract.reply.name == "spans":
        named = " | ".join(json.dumps(label, ensure_ascii=False) for label in _span_labels(contract))
        return SPANS_GRAMMAR.replace("@LABEL", named or r"/[^:\n]+/")
    return None


def closed(node: Any) -> Any:
    """A schema whose objects take only the properties they name: JSON Schema's default lets a model add its own."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    inner = {key: closed(value) if key not in ("enum", "const", "default") else value for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        inner.setdefault("additionalProperties", False)
    return inner


def _finite(number: str) -> float:
    """A number of JSON, which knows no bound, as a double, which does (RFC 8259, section 6)."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(number)))


def _whole(value: Any) -> Any:
    """`value` without halves of characters, which an escape such as `\\ud83d` can write and no file can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return {key: _whole(item) for key, item in value.items()} if isinstance(value, dict) else value


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


def _only_field(contract: TaskContract) -> str:
    return str(next(iter(resolve(contract.output, contract.output)["properties"])))


def _label(contract: TaskContract, text: str) -> Any:
    """The enum value whose text this is; values that are not strings come back as themselves."""
    node = resolve(contract.output, next(iter(resolve(contract.output, contract.output)["properties"].values())))
    for value in node.get("enum", [node.get("const")]):
        if str(value) == text.strip():
            return value
    raise _unreadable(contract, text, f"it is none of {', '.join(contract.labels)}")


def _spans(output: Value) -> list[dict[str, Any]]:
    spans: Any = output.get("spans", [])
    return list(spans)


def _span(contract: TaskContract, text: str, line: str) -> dict[str, str]:
    label, colon, words = line.partition(": ")
    if not colon:
        raise _unreadable(contract, text, f"the line {line!r} is not of the form 'label: text'")
    return {"label": label.strip(), "text": words.strip()}


def _span_labels(contract: TaskContract) -> list[str]:
    root = contract.output
    spans = resolve(root, resolve(root, root).get("properties", {}).get("spans", {}))
    item = resolve(root, spans.get("items", {}))
    label = resolve(root, item.get("properties", {}).get("label", {}))
    return [str(value) for value in label.get("enum", [])]


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())


def _unreadable(contract: TaskContract, text: str, why: str) -> ContractError:
    shown = text if len(text) <= 80 else text[:77] + "…"
    return ContractError(
        f"the reply {shown!r} is no {contract.reply.name} output of {contract.name}: {why}",
        remedy="decode under the contract's grammar, or train on more samples",
    )
