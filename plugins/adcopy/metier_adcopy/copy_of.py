"""The published texts of an answer, and the facts that its input allows: the two sides of every check."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from metier_adcopy.facts import Fact, known_facts, parse_facts

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def pieces(output: Mapping[str, Any]) -> list[str]:
    """Texts that are read or spoken on their own: a description; headlines, then descriptions; spoken lines."""
    lines = output.get("lines")
    found = [
        output.get("text"),
        *_list(output.get("headlines")),
        *_list(output.get("descriptions")),
        *(line.get("say") for line in _list(lines) if isinstance(line, Mapping)),
    ]
    return [str(text) for text in found if text is not None]


def sayable(input: Mapping[str, Any]) -> list[Fact]:
    """Known facts of the product, then of its landing page.

    Raises:
        ContractError: facts are missing or cannot be read.
    """
    page = str(input.get("page") or "").strip()
    return [*known_facts(input), *(fact for fact in (parse_facts(page) if page else ()) if fact.known)]


def brief(input: Mapping[str, Any]) -> str:
    """All words of the input that an answer may use, facts first."""
    facts = ", ".join(f"{_CAMEL.sub(' ', fact.key)}: {fact.value}" for fact in sayable(input))
    return ", ".join([facts, *(str(input[k]) for k in ("audience", "keyword", "presenter") if input.get(k))])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
