"""From an input to what a head reads: one text or two, and the places in it to label. It knows contracts, not tokens.

A chat model gets an input with an instruction. A head needs no instruction, only the prompt's other words, so that its
text is the trade's own prompt without the system message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from metier.contracts import ContractError, TaskContract, TaskKind, UsageError, Value
from metier.contracts.modality import MODALITY_KEY
from metier.contracts.schema import resolve
from metier.contracts.task import HEADED
from metier.prompting.prompt import messages

Place = tuple[int, int]
"""First character and the one after the last."""

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]")
"""A unit that gets a tag: a word, a punctuation mark, a Han or kana character."""


class Shape(StrEnum):
    """What a head labels."""

    SEQUENCE = "sequence"
    """A text: classify."""
    TOKEN = "token"
    """Each word of it: extract."""
    PAIR = "pair"
    """Two spans of it: relate."""
    SIDES = "sides"
    """Two texts, each encoded alone (a bi-encoder): rank."""


_SHAPES = {
    TaskKind.CLASSIFY: Shape.SEQUENCE,
    TaskKind.EXTRACT: Shape.TOKEN,
    TaskKind.RELATE: Shape.PAIR,
    TaskKind.RANK: Shape.SIDES,
}


@dataclass(frozen=True)
class HeadInput:
    """Texts and the places in them whose tokens are pooled, text by text."""

    texts: tuple[str, ...]
    places: tuple[tuple[Place, ...], ...]


def shape_of(task: TaskContract) -> Shape:
    """The shape of a task's head.

    Raises:
        UsageError: the task has none, and why.
    """
    if task.kind not in HEADED:
        raise UsageError(
            f"a head cannot {task.kind}, as {task.name} requires",
            remedy="set produces: text in the recipe, with a decoder as base",
        )
    shape = _SHAPES[task.kind]
    if shape is Shape.TOKEN and not span_labels(task):
        raise UsageError(
            f"{task.name} has no output list `spans` of a label and a text, which a head could tag",
            remedy="set produces: text in the recipe, or give the output spans: list of {label: Literal[…], text: str}",
        )
    if shape is not Shape.TOKEN and not task.labels:
        raise UsageError(
            f"{task.name} has no single output field with a fixed list of values, which a head could predict",
            remedy="set produces: text in the recipe, or give the output one Literal or enum",
        )
    needed = {Shape.PAIR: 3, Shape.SIDES: 2}.get(shape, 1)
    if len(text_fields(task)) < needed:
        raise UsageError(
            f"{task.name}: to {task.kind} takes {needed} text fields of the input; it has "
            f"{', '.join(text_fields(task)) or 'none'}",
            remedy="give relate the text, then its two spans; give rank the query, then what is ranked",
        )
    return shape


def text_fields(task: TaskContract) -> tuple[str, ...]:
    """The input's fields of free text, in order; without `language`, which only selects the prompt."""
    fields = resolve(task.input, task.input).get("properties", {})
    return tuple(name for name, node in fields.items() if name != "language" and _is_text(task.input, node))


def span_labels(task: TaskContract) -> tuple[str, ...]:
    """Labels of an output's `spans`; empty where it has no such list."""
    root = resolve(task.output, task.output)
    spans = resolve(task.output, root.get("properties", {}).get("spans", {}))
    item = resolve(task.output, spans.get("items", {})).get("properties", {})
    if set(item) < {"label", "text"}:
        return ()
    node = resolve(task.output, item["label"])
    return tuple(str(v) for v in node.get("enum", [node["const"]] if "const" in node else []))


def head_input(task: TaskContract, input: Value, language: str | None = None) -> HeadInput:
    """What the task's head reads of an input.

    Raises:
        ContractError: the input does not satisfy the contract, or a span does not occur in its text.
    """
    shape = shape_of(task)
    if shape in {Shape.SEQUENCE, Shape.TOKEN}:
        prompt = messages(task, input, language=language)
        text = "\n".join(turn["content"] for turn in prompt if turn["role"] != "system")
        places = tuple(m.span() for m in WORD.finditer(text)) if shape is Shape.TOKEN else ((0, len(text)),)
        return HeadInput((text,), (places,))
    task.check_input(input)
    first, *others = text_fields(task)
    text = str(input.get(first) or "")
    if shape is Shape.PAIR:
        spans = tuple(_place_of(str(input.get(name) or ""), text, name, first) for name in others[:2])
        return HeadInput((text,), ((*spans, (0, len(text))),))
    other = ". ".join(str(input[name]) for name in others if input.get(name))
    return HeadInput((text, other), (((0, len(text)),), ((0, len(other)),)))


def _place_of(span: str, text: str, name: str, first: str) -> Place:
    start = text.find(span) if span else -1
    if start < 0:
        raise ContractError(
            f"{name} ({span!r}) does not occur in {first}", remedy=f"copy {name} word for word from {first}"
        )
    return start, start + len(span)


def _is_text(root: Any, node: Any) -> bool:
    node = resolve(root, node)
    if MODALITY_KEY in node or "enum" in node or "const" in node:
        return False
    if "anyOf" in node:
        return any(_is_text(root, child) for child in node["anyOf"])
    return bool(node.get("type") == "string")
