"""Zendesk tickets with their comments, as the API (`GET /api/v2/tickets`, comments sideloaded) and the JSON export
give them. Internal notes (`public: false`) never leave the file.

https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, MetierError, Sample
from metier_support.reading.cells import text
from metier_support.reading.dialogue import INTENTS, Conversation, Message
from metier_support.reading.json_records import Record, read_records
from metier_support.reading.order_facts import order_of
from metier_support.tasks import REPLY

SUFFIXES = frozenset({".json", ".jsonl", ".ndjson", ".gz"})


def first_record(path: Path) -> dict[str, Any] | None:
    """The first object of a JSON file; None where there is none. Never raises."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        records = read_records(path)
        try:
            return next((r.values for r in records if isinstance(r, Record)), None)
        finally:
            records.close()  # type: ignore[attr-defined]
    except (MetierError, OSError, ValueError):
        return None


class Zendesk:
    """A ticket an object: `requester_id`, and `comments` with `author_id`, `public` and a body."""

    name, task = "zendesk", REPLY
    example = Path(__file__).parents[1] / "examples" / "zendesk.json"

    def accepts(self, path: Path) -> bool:
        """Whether its first object has a requester and comments with authors."""
        ticket = first_record(path)
        return ticket is not None and "requester_id" in ticket and isinstance(ticket.get("comments"), list)

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """A sample for each public answer, all of a ticket at the line it starts on."""
        for record in read_records(path):
            if isinstance(record, BadRow):
                yield record
                continue
            ticket, place = record
            thread = list(_public(ticket))
            talk = Conversation(order_of(ticket))
            given = False
            for one in thread:
                for sample in talk.add(one, place, intent=_intent(ticket)):
                    given = True
                    yield sample
            if not given:
                yield BadRow(
                    provenance=place,
                    field="comments",
                    reason="no public comment answers the requester",
                    remedy="export tickets with their comments, or leave this one out",
                )


def _public(ticket: dict[str, Any]) -> Iterator[Message]:
    comments = ticket.get("comments")
    listed = [c for c in comments if isinstance(c, dict)] if isinstance(comments, list) else []
    requester = ticket.get("requester_id")
    # The description is the first comment; exports that leave it out of the comments have it here.
    opening = text(ticket.get("description"))
    if opening and not any(_body(c)[:60] == opening[:60] for c in listed[:1]):
        yield Message("customer", opening)
    for comment in listed:
        if comment.get("public") is not False and (body := _body(comment)):
            yield Message("customer" if comment.get("author_id") == requester else "agent", body)


def _body(comment: dict[str, Any]) -> str:
    return next((body for key in ("plain_body", "body", "html_body") if (body := text(comment.get(key)))), "")


def _intent(ticket: dict[str, Any]) -> str | None:
    tags = ticket.get("tags")
    return (
        next((tag for tag in tags if isinstance(tag, str) and tag in INTENTS), None) if isinstance(tags, list) else None
    )
