"""What a character says, ready to be written into a script: one line, or variants of it. It does not know formats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metier_npc.tasks import NONE


@dataclass(frozen=True)
class Spoken:
    """Interchangeable lines of one character in one place."""

    speaker: str
    lines: tuple[str, ...]
    node: str
    """Where they go: a knot, a Yarn node, a conversation."""
    situation: str = ""
    emotion: str | None = None
    action: str | None = None

    @property
    def name(self) -> str:
        """The node as an identifier: letters, digits and underscores, none at the start or twice."""
        plain = re.sub(r"\W+|_+", "_", self.node).strip("_")
        return plain if plain and not plain[0].isdigit() else f"n_{plain}".rstrip("_")

    @property
    def tags(self) -> tuple[str, ...]:
        """Emotion and action as script tags, those that say nothing left out."""
        tagged = (("emotion", self.emotion, "neutral"), ("action", self.action, NONE))
        return tuple(f"{key}:{value}" for key, value, plain in tagged if value and value != plain)


def spoken_of(input: Mapping[str, Any], output: Mapping[str, Any], *, node: str | None = None) -> Spoken:
    """An answer of any of the three tasks.

    Args:
        input: of the task.
        output: what was answered.
        node: where it goes; made of speaker and situation where not given.
    """
    lines = output.get("variants") or [output.get("line") or output.get("text") or ""]
    situation = str(input.get("situation") or "")
    return Spoken(
        speaker=str(input["speaker"]),
        lines=tuple(" ".join(str(line).split()) for line in lines),
        node=node or " ".join(filter(None, (str(input["speaker"]), situation))),
        situation=situation,
        emotion=output.get("emotion"),
        action=output.get("action"),
    )


def unique(names: list[str]) -> list[str]:
    """The names, later twins with a number behind."""
    seen: dict[str, int] = {}
    taken = set(names)
    out = []
    for name in names:
        count = seen[name] = seen.get(name, 0) + 1
        fresh = name
        while count > 1 and fresh in taken:
            fresh, count = f"{name}_{count}", count + 1
        taken.add(fresh)
        out.append(fresh)
    return out
