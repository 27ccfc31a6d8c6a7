"""Intercom conversations, as its API and exports give them: one, a list of them, or a page (`conversation.list`).

The opening is in `source.body`, what follows in `conversation_parts`. The team's notes, assignments and events are no
message. https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations/conversation
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, Sample
from metier_support.reading.cells import text
from metier_support.reading.dialogue import INTENTS, Message, replies_of
from metier_support.reading.json_records import first_record, read_listed
from metier_support.reading.order_facts import order_of
from metier_support.tasks import REPLY

CUSTOMERS = frozenset({"user", "lead", "contact", "visitor"})
AGENTS = frozenset({"admin", "bot", "team", "operator", "fin"})
VISIBLE = frozenset({"comment", "open", "close", "message", "quick_reply", "conversation"})
"""Types of parts whose body the customer sees; `note`, `assignment`, `snoozed` and others are the team's."""


class Intercom:
    """A conversation an object, with `source` and `conversation_parts`."""

    name, task = "intercom", REPLY
    example = Path(__file__).parents[1] / "examples" / "intercom.json"

    def accepts(self, path: Path) -> bool:
        """Whether its first object is a conversation of Intercom, or a page of them."""
        found = first_record(path)
        return found is not None and (_is_conversation(found) or found.get("type") == "conversation.list")

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """A sample for each reply that the customer sees, all of a conversation at the line it starts on."""
        for record in read_listed(path, "conversations"):
            if isinstance(record, BadRow):
                yield record
                continue
            conversation, place = record
            yield from replies_of(
                _messages(conversation), order_of(conversation), place, intent=_intent(conversation),
                none=BadRow(
                    provenance=place,
                    field="conversation_parts",
                    reason="no reply that the customer sees answers them",
                    remedy="export conversations with their parts, or leave this one out",
                ),
            )  # fmt: skip


def _is_conversation(found: dict[str, Any]) -> bool:
    parts = found.get("conversation_parts")
    return "source" in found and isinstance(parts, dict | list) and found.get("type", "conversation") == "conversation"


def _messages(conversation: dict[str, Any]) -> Iterator[Message]:
    """What both sides wrote, by time where every part has one."""
    source = conversation.get("source")
    if isinstance(source, dict):
        opening = ": ".join(part for part in (text(source.get("subject")), text(source.get("body"))) if part)
        if opening and (who := _who(source)):
            yield Message(who, opening)
    parts = conversation.get("conversation_parts")
    parts = parts.get("conversation_parts") if isinstance(parts, dict) else parts
    listed = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    if listed and all(isinstance(part.get("created_at"), int | float) for part in listed):
        listed = sorted(listed, key=lambda part: part["created_at"])
    for part in listed:
        body = text(part.get("body"))
        shown = str(part.get("part_type") or "comment") in VISIBLE and not part.get("redacted")
        if body and shown and (who := _who(part)):
            yield Message(who, body)


def _who(part: dict[str, Any]) -> str | None:
    author = part.get("author")
    kind = str(author.get("type") or "").casefold() if isinstance(author, dict) else ""
    return "customer" if kind in CUSTOMERS else "agent" if kind in AGENTS else None


def _intent(conversation: dict[str, Any]) -> str | None:
    tags = conversation.get("tags")
    tags = tags.get("tags") if isinstance(tags, dict) else tags
    names = [tag.get("name") if isinstance(tag, dict) else tag for tag in tags] if isinstance(tags, list) else []
    return next((name for name in names if isinstance(name, str) and name in INTENTS), None)
