"""Reply format `spans`: one line `label: text` for each span of the output's list `spans`."""

from __future__ import annotations

import json
from typing import Any

from metier.contracts import TaskContract, Value
from metier.contracts.schema import resolve
from metier.prompting.reply_format import unreadable

GRAMMAR = r"""start: (span ("\n" span)*)?
span: LABEL ": " TEXT
LABEL: @LABEL
TEXT: /[^\n]+/"""


def encode(contract: TaskContract, output: Value) -> str:
    spans: Any = output.get("spans", [])
    return "\n".join(f"{span['label']}: {_one_line(span['text'])}" for span in spans)


def decode(contract: TaskContract, text: str) -> dict[str, Any]:
    return {"spans": [_span(contract, text, line) for line in text.splitlines() if line.strip()]}


def grammar(contract: TaskContract) -> str:
    labels = " | ".join(json.dumps(label, ensure_ascii=False) for label in _labels(contract))
    return GRAMMAR.replace("@LABEL", labels or r"/[^:\n]+/")


def _span(contract: TaskContract, text: str, line: str) -> dict[str, str]:
    label, colon, words = line.partition(": ")
    if not colon:
        raise unreadable(contract, text, f"the line {line!r} is not of the form 'label: text'")
    return {"label": label.strip(), "text": words.strip()}


def _labels(contract: TaskContract) -> list[str]:
    root = contract.output
    spans = resolve(root, resolve(root, root).get("properties", {}).get("spans", {}))
    item = resolve(root, spans.get("items", {}))
    label = resolve(root, item.get("properties", {}).get("label", {}))
    # A Literal of one value is a `const`, not an `enum`, in JSON Schema.
    return [str(value) for value in label.get("enum", [label["const"]] if "const" in label else [])]


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())
