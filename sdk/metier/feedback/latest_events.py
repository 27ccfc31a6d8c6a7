"""Which of the things that one user did with one answer count: of what they did with it the last, and of their stars
the last, unless they mended it. The same for a harvest and for a trial; it knows nothing of either."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from metier.feedback.records import Told


class Superseded(NamedTuple):
    """An event that does not count any more."""

    told: Told
    reason: str


def last_words(told: Iterable[Told]) -> tuple[list[Told], list[Superseded]]:
    """(what counts, what does not), comments in neither.

    Stars do not take back an edit, or a choice, that came before them: they say how good the answer was, not what it
    should have been. Stars on an answer that was mended count for nothing, since who can say which text they are for.

    Args:
        told: events in the order of writing.
    """
    last: dict[tuple[str, str, bool], Told] = {}
    gone: list[Superseded] = []
    for item in told:
        if item.event.kind == "comment":
            continue
        key = item.answer.id, item.who, item.event.kind == "rated"
        if key in last:
            gone.append(Superseded(last[key], f"the user's later word is event {item.number}"))
        last[key] = item
    for (answer, who, rated), item in list(last.items()):
        verdict = last.get((answer, who, False))
        if rated and verdict is not None and verdict.event.kind == "edited" and not verdict.stood:
            gone.append(Superseded(item, f"the user's own edit, event {verdict.number}, says more"))
            del last[answer, who, rated]
    return sorted(last.values(), key=lambda item: item.number), gone
