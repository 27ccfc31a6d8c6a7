"""The words of an answer and of what the writer gave, shared by all rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+(?:[.,]\d+)*")
HAN = re.compile(r"[\u3400-\u9fff]")


def spoken_lines(output: Mapping[str, Any]) -> Iterator[str]:
    """Each spoken text, of any of the three tasks."""
    for field in ("line", "text"):
        if isinstance(value := output.get(field), str):
            yield value
    yield from (v for v in output.get("variants", ()) if isinstance(v, str))


def given(input: Mapping[str, Any], *fields: str) -> str:
    """What the writer put into those fields, as one text; history counts with all who spoke."""
    parts: list[str] = []
    for field in fields:
        value = input.get(field)
        if isinstance(value, Mapping):
            parts += [f"{k} {v}" for k, v in value.items()]
        elif isinstance(value, list):
            parts += [str(v.get("text", "")) if isinstance(v, Mapping) else str(v) for v in value]
        elif value is not None:
            parts.append(str(value))
    return "\n".join(parts)


def grams(text: str, size: int = 3) -> frozenset[str]:
    """Character n-grams of the bare words, for likeness."""
    plain = "".join(c if c.isalnum() else " " for c in text.casefold())
    plain = " ".join(plain.split())
    return frozenset(plain[i : i + size] for i in range(max(1, len(plain) - size + 1)))


def shared(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard likeness of two sets of n-grams, 0 to 1."""
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def likeness(one: str, other: str) -> float:
    """Jaccard likeness of the trigrams, 0 to 1."""
    return shared(grams(one), grams(other))
