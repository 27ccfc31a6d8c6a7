"""Reply formats `text` and a trade's own: the text is the output's single string field, unchanged."""

from __future__ import annotations

from metier.contracts import TaskContract, Value
from metier.prompting.reply_format import only_field


def encode(contract: TaskContract, output: Value) -> str:
    return str(output[only_field(contract)])


def decode(contract: TaskContract, text: str) -> Value:
    return {only_field(contract): text.strip()}


def grammar(contract: TaskContract) -> None:
    return None
