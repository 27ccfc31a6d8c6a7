"""What an editor would send back. One rule serves as metric, as guard in the product, and as reward."""

from collections.abc import Mapping
from typing import Any

from metier.contracts import Check, Finding, Value


def fits(given: Mapping[str, Any], output: Mapping[str, Any]) -> list[Finding]:
    """The title is no longer than the room there is."""
    room, title = given.get("max_chars") or 60, output["title"]
    if len(title) <= room:
        return []
    return [Finding(message=f"{len(title)} characters, room for {room}", rule="house rule", excerpt=title[room:])]


_DRAFT: Value = {"text": "It rained on Tuesday.", "max_chars": 12}

CHECKS = (
    Check(
        name="fits",
        title="Title fits",
        tasks=("mytrade.title",),
        run=fits,
        passing=(_DRAFT, {"title": "Wet Tuesday"}),
        failing=(_DRAFT, {"title": "Rain, on Tuesday of all days"}),
        description="no longer than the room there is",
    ),
)
