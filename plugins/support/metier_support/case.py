"""The parts of a `support.reply` input as text, as the checks need them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def text_by(input: Mapping[str, Any], who: str) -> str:
    """All that the customer, or the agent, has written so far."""
    turns = input.get("dialogue")
    return "\n".join(
        str(t.get("text", ""))
        for t in (turns if isinstance(turns, list) else ())
        if isinstance(t, Mapping) and t.get("who") == who
    )


def passages(input: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Id and text, heading included, of each passage."""
    listed = input.get("passages")
    for passage in listed if isinstance(listed, list) else ():
        if isinstance(passage, Mapping):
            heading = f"{passage['heading']}: " if passage.get("heading") else ""
            yield str(passage.get("id", "")), f"{heading}{passage.get('text', '')}"


def policy(input: Mapping[str, Any]) -> str:
    """The text of all passages."""
    return "\n".join(text for _, text in passages(input))


def order(input: Mapping[str, Any]) -> dict[str, str]:
    """Order facts as text."""
    facts = input.get("order")
    return {str(k): str(v) for k, v in facts.items() if v is not None} if isinstance(facts, Mapping) else {}


def order_text(input: Mapping[str, Any]) -> str:
    """All order facts, one a line."""
    return "\n".join(f"{k}: {v}" for k, v in order(input).items())
