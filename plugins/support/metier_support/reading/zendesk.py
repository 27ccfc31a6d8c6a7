"""Zendesk tickets with their comments, as the API (`GET /api/v2/tickets`, comments sideloaded) and the JSON export
give them. Internal notes (`public: false`) never leave the file.

https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, Sample
from metier_support.reading.cells import text
from metier_support.reading.dialogue import INTENTS, Message, replies_of
from metier_support.reading.json_records import Record, first_record, read_listed, records_under
from metier_support.reading.order_facts import order_of
from metier_support.tasks import REPLY

_NO_ONE = frozenset({"rule", "trigger", "automation", "system", "system_followup", "merge"})
"""Channels by which Zendesk writes by itself."""
_END_USERS = frozenset({"end-user", "end_user", "enduser"})
_MERGED = re.compile(
    r"(?:this|your)?\s*(?:ticket|request)\b.{0,60}\b(?:was|has been)\s+closed and merged into"
    r"|(?:ticket|request)\s*#?\d+\b.{0,120}\bwas closed and merged into this",
    re.IGNORECASE | re.DOTALL,
)


class Zendesk:
    """A ticket an object: `requester_id`, and `comments` with `author_id`, `public` and a body."""

    name, task = "zendesk", REPLY
    example = Path(__file__).parents[1] / "examples" / "zendesk.json"

    def accepts(self, path: Path) -> bool:
        """Whether its first object has a requester and comments with authors."""
        ticket = first_record(path)
        if ticket is not None and isinstance(ticket.get("tickets"), list):
            ticket = next((each for each in ticket["tickets"] if isinstance(each, dict)), None)
        return ticket is not None and "requester_id" in ticket and isinstance(ticket.get("comments"), list)

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """A sample for each public answer, all of a ticket at the line it starts on."""
        roles = _roles(path)
        for record in read_listed(path, "tickets"):
            if isinstance(record, BadRow):
                yield record
                continue
            ticket, place = record
            yield from replies_of(
                _public(ticket, roles | _roles_in(ticket)), order_of(ticket), place, intent=_intent(ticket),
                none=BadRow(
                    provenance=place,
                    field="comments",
                    reason="no public comment answers the requester",
                    remedy="export tickets with their comments, or leave this one out",
                ),
            )  # fmt: skip


def _roles(path: Path) -> dict[Any, str]:
    """User id → role, of the users that a page brings beside its tickets, ahead of them or behind."""
    users = (record for record in records_under(path, "users") if isinstance(record, Record))
    return _roles_in({"users": [record.values for record in users]})


def _roles_in(ticket: dict[str, Any]) -> dict[Any, str]:
    users = ticket.get("users")
    listed = [user for user in users if isinstance(user, dict)] if isinstance(users, list) else []
    return {user.get("id"): str(user.get("role") or "").casefold() for user in listed if _hashable(user.get("id"))}


def _hashable(value: Any) -> bool:
    return isinstance(value, str | int)


def _speaker(comment: dict[str, Any], requester: Any, roles: Mapping[Any, str]) -> str:
    """Who wrote a comment: the requester and other end users are customers; Zendesk itself, a rule or a merge is no
    one."""
    author = comment.get("author_id")
    own = comment.get("author")
    via = comment.get("via")
    channel = str(via.get("channel") or "").casefold() if isinstance(via, dict) else ""
    origin = via.get("source") if isinstance(via, dict) else None
    relation = str(origin.get("rel") or "").casefold() if isinstance(origin, dict) else ""
    if author == -1 or channel in _NO_ONE or relation == "merge" or _MERGED.match(_body(comment)):
        return "silent"
    if author == requester:
        return "customer"
    role = roles.get(author) if _hashable(author) else None
    role = role or (str(own.get("role") or "").casefold() if isinstance(own, dict) else "")
    return "customer" if role in _END_USERS else "agent"


def _public(ticket: dict[str, Any], roles: Mapping[Any, str]) -> Iterator[Message]:
    comments = ticket.get("comments")
    listed = [c for c in comments if isinstance(c, dict)] if isinstance(comments, list) else []
    if listed and all(isinstance(c.get("created_at"), str) for c in listed):
        listed = sorted(listed, key=lambda c: str(c["created_at"]))  # ISO 8601 in one time zone sorts as text
    requester = ticket.get("requester_id")
    # The description is the first comment; exports that leave it out of the comments have it here.
    opening = text(ticket.get("description"))
    if opening and not any(_body(c)[:60] == opening[:60] for c in listed[:1]):
        yield Message("customer", opening)
    for comment in listed:
        if comment.get("public") is not False and (body := _body(comment)):
            yield Message(_speaker(comment, requester, roles), body)


def _body(comment: dict[str, Any]) -> str:
    return next((body for key in ("plain_body", "body", "html_body") if (body := text(comment.get(key)))), "")


def _intent(ticket: dict[str, Any]) -> str | None:
    tags = ticket.get("tags")
    return (
        next((tag for tag in tags if isinstance(tag, str) and tag in INTENTS), None) if isinstance(tags, list) else None
    )
