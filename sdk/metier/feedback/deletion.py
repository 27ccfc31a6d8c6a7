"""Deleting rows of the feedback store for good: their bytes are overwritten, and an import does not bring them back."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from metier.feedback.connection import Connection


class Erased(NamedTuple):
    """What `erase` or `sweep` deleted, including an earlier call that could not empty the log."""

    answers: int
    events: int
    numbers: tuple[int, ...] = ()
    """Numbers of the deleted events: `Registry.trained_on` and `erase_from_registry` look for them."""


USER = "user = :it", "user = :it OR answer IN (SELECT id FROM answers WHERE user = :it)"
"""WHERE clauses of the answers and events of a user: `:it` is the user."""

EXPIRED = "keep_until <= :it", "answer IN (SELECT id FROM answers WHERE keep_until <= :it)"
"""WHERE clauses of the answers whose time is over, and their events: `:it` is the time in seconds since 1970."""


def delete(connection: Connection, where: tuple[str, str], it: Any) -> Erased:
    """Delete answers and events, overwrite their bytes and empty the log.

    Args:
        connection: of the store.
        where: USER or EXPIRED.
        it: value of the clauses' parameter.

    Raises:
        ResourceError: another process is reading the log. The next call reports the rows of this one too.
    """
    answers, events = where
    with connection.transaction() as db:
        numbers = db.execute(f"SELECT number FROM events WHERE {events} ORDER BY number", {"it": it}).fetchall()
        for table, clause in (("events", events), ("answers", answers)):
            ids = db.execute(f"SELECT id FROM {table} WHERE {clause}", {"it": it}).fetchall()
            db.executemany("INSERT OR IGNORE INTO erased_rows VALUES (?)", [(_sha256(id),) for (id,) in ids])
        db.execute(f"DELETE FROM events WHERE {events}", {"it": it})
        count = db.execute(f"DELETE FROM answers WHERE {answers}", {"it": it}).rowcount
        if count or numbers:
            db.execute(
                "INSERT INTO erasures (at, answers, events) VALUES (?, ?, ?)",
                (datetime.now(UTC).timestamp(), count, json.dumps([row[0] for row in numbers])),
            )
    connection.empty_log()
    with connection.transaction() as db:
        rows = db.execute("UPDATE erasures SET settled = 1 WHERE NOT settled RETURNING answers, events").fetchall()
    erased = _numbers(events for _, events in rows)
    return Erased(sum(answers for answers, _ in rows), len(erased), erased)


def erased_numbers(connection: Connection) -> tuple[int, ...]:
    """Numbers of all events that were ever deleted."""
    return _numbers(events for (events,) in connection.rows("SELECT events FROM erasures"))


def was_erased(db: sqlite3.Connection, id: str) -> bool:
    """Whether the answer or event of that id was deleted from this store."""
    return db.execute("SELECT 1 FROM erased_rows WHERE sha256 = ?", (_sha256(id),)).fetchone() is not None


def _numbers(lists: Iterable[str]) -> tuple[int, ...]:
    return tuple(sorted(number for numbers in lists for number in json.loads(numbers)))


def _sha256(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()
