"""Writing one row of the feedback store: each row can be read back, and is written once."""

from __future__ import annotations

import sqlite3

from pydantic import ValidationError

from metier.contracts import Answer, FeedbackEvent, UsageError

Row = Answer | FeedbackEvent


def write_row(db: sqlite3.Connection, row: Row, path: str) -> bool:
    """Write a row inside a transaction; False where the store holds it already.

    Args:
        db: in a transaction.
        row: an answer, or an event on an answer that the store holds.
        path: of the store, for errors.

    Raises:
        UsageError: the event's answer is missing, the id belongs to another row, or the row could not be read back.
    """
    body = _body(row, path)
    if isinstance(row, Answer):
        until = row.keep_until.timestamp() if row.keep_until else None
        done = db.execute(
            "INSERT OR IGNORE INTO answers (id, at, task, user, adapter, body, keep_until)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row.id, row.at.timestamp(), row.task, row.user, row.adapter, body, until),
        )
    elif db.execute("SELECT 1 FROM answers WHERE id = ?", (row.answer,)).fetchone() is None:
        raise UsageError(f"there is no answer {row.answer}", where=path, remedy="record the answer first")
    else:
        done = db.execute(
            "INSERT OR IGNORE INTO events (id, answer, at, kind, user, body) VALUES (?, ?, ?, ?, ?, ?)",
            (row.id, row.answer, row.at.timestamp(), row.kind.value, row.user, body),
        )
    if not done.rowcount:
        _check_same(db, row, path)
    return bool(done.rowcount)


def name_of(row: Row) -> str:
    """What error messages call a row: `answer 7`."""
    return f"{'answer' if isinstance(row, Answer) else 'event'} {row.id}"


def _body(row: Row, path: str) -> str:
    """The row as JSON that the store can read back.

    pydantic writes deeper nesting and longer integers than it reads, and a text may hold half a surrogate pair.
    """
    try:
        body = row.model_dump_json()
        type(row).model_validate_json(body)
    except (ValueError, RecursionError) as error:  # ValidationError and PydanticSerializationError are ValueErrors
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise UsageError(
            f"the {name_of(row)} cannot be stored: {reason}"[:400],
            where=path,
            remedy="store JSON with fewer than 200 levels, integers of at most 4300 digits and valid Unicode text",
        ) from error
    return body


def _check_same(db: sqlite3.Connection, row: Row, path: str) -> None:
    """Raise UsageError where the stored row of that id has other content."""
    table = "answers" if isinstance(row, Answer) else "events"
    (body,) = db.execute(f"SELECT body FROM {table} WHERE id = ?", (row.id,)).fetchone()
    times = {"at", "keep_until"}  # a repeated call comes a moment later
    if type(row).model_validate_json(body).model_dump(exclude=times) != row.model_dump(exclude=times):
        raise UsageError(
            f"the store holds another {name_of(row)}",
            where=path,
            remedy="give each row an id of its own, or none to get a random one",
        )
