"""Which of the events that one user sent about one answer count: the last verdict, and the last rating unless the user
edited the answer. Training data and trials use the same rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from metier.contracts import EVENT_KINDS
from metier.feedback.stored_event import StoredEvent


class Superseded(NamedTuple):
    """An event that does not count any more."""

    event: StoredEvent
    reason: str


def latest_events(events: Iterable[StoredEvent]) -> tuple[list[StoredEvent], list[Superseded]]:
    """(events that count, events that do not); comments are in neither list.

    A rating does not withdraw an earlier edit or choice: it says how good the answer was, not what it should have been.
    A rating of an edited answer does not count, since it is unknown which of the two texts it rates.

    Args:
        events: in the order of writing.
    """
    latest: dict[tuple[str, str, str], StoredEvent] = {}
    superseded: list[Superseded] = []
    for item in events:
        group = EVENT_KINDS[item.event.kind].replaces
        if group is None:
            continue
        key = item.answer.id, item.voter, group
        if key in latest:
            superseded.append(Superseded(latest[key], f"event {item.number} of the same user replaces it"))
        latest[key] = item
    ratings = [key for key in latest if key[2] == "rating"]
    for answer, voter, rating in ratings:
        item, verdict = latest[answer, voter, rating], latest.get((answer, voter, "verdict"))
        if verdict is not None and verdict.event.rule(item.answer.output).judges == "edited_to":
            superseded.append(Superseded(item, f"the same user edited the answer in event {verdict.number}"))
            del latest[answer, voter, rating]
    return sorted(latest.values(), key=lambda item: item.number), superseded
