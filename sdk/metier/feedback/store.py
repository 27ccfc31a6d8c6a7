"""The feedback store: one SQLite file that any number of threads and processes write, and that no crash empties.

What a call has returned from is on the disk, also after a kill or a power cut. The store knows answers and events; what
they teach is decided in `training_data`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from metier.contracts import Answer, DataError, EventKind, FeedbackEvent, UsageError
from metier.feedback.connection import Connection
from metier.feedback.deletion import EXPIRED, USER, Erased, delete, erased_numbers, was_erased
from metier.feedback.stored_event import StoredEvent
from metier.feedback.writing import Row, write_row

_Row = TypeVar("_Row", Answer, FeedbackEvent)


class FeedbackStore:
    """Answers and events in one file. Use as a context manager, or call `close`. Safe to use from any thread."""

    def __init__(self, path: str | Path) -> None:
        """Open the file and bring its tables up to date; a missing file is created, readable by its owner only.

        Raises:
            DataError: it is not a feedback store, is damaged, or was written by a newer Metier.
        """
        self.path = Path(path).expanduser()
        self._connection = Connection(self.path)

    def add(self, *rows: Row) -> list[Row]:
        """Write answers and events, all or none; they are on the disk when this returns. The new ones are returned.

        A row that the store holds already is skipped, so that a call can be repeated: its `at` and `keep_until` stay
        those of the first call.

        Raises:
            UsageError: an event's answer is missing, an id belongs to another row, or a row could not be read back
                (JSON nested 200 deep, an integer of 4,400 digits).
        """
        with self._connection.transaction() as db:
            return [row for row in rows if write_row(db, row, str(self.path))]

    def add_unless_erased(self, rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
        """Add exported rows, except those that were erased or swept here since, and events on such answers.

        Returns:
            (new rows, rows that were erased)

        Raises:
            UsageError: as `add`.
        """
        new, erased = [], []
        with self._connection.transaction() as db:
            for row in rows:
                ids = [row.id] if isinstance(row, Answer) else [row.id, row.answer]
                if any(was_erased(db, id) for id in ids):
                    erased.append(row)
                elif write_row(db, row, str(self.path)):
                    new.append(row)
        return new, erased

    def add_event(self, answer: str, kind: EventKind | str, **fields: Any) -> FeedbackEvent:
        """Write what a user did with an answer: `store.add_event(id, "edited", edited_to={…}, user="u7")`.

        Args:
            answer: id of an answer in the store.
            kind: accepted, edited, rejected, chosen, rated or comment.
            **fields: of `FeedbackEvent`.

        Raises:
            UsageError: there is no such answer, or a field is missing or wrong.
        """
        try:
            event = FeedbackEvent(answer=answer, kind=EventKind(kind), **fields)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"{field}: {first['msg']}" if field else first["msg"],
                remedy="set the fields that FeedbackEvent lists for this kind",
            ) from error
        except ValueError as error:
            raise UsageError(
                f"there is no event kind {kind!r}", remedy=f"use one of: {', '.join(EventKind)}"
            ) from error
        self.add(event)
        return event

    def answer(self, id: str) -> Answer | None:
        """The answer of that id."""
        row = self._connection.row("SELECT body FROM answers WHERE id = ?", id)
        return self._read(Answer, row[0], f"answer {id}") if row else None

    def answers(self, task: str | None = None) -> Iterator[Answer]:
        """Answers in the order of writing."""
        query = "SELECT number, body FROM answers WHERE (:task IS NULL OR task = :task)"
        for number, body in self._connection.pages(query, "number", 0, task=task):
            yield self._read(Answer, body, f"answer in row {number}")

    def events(self, task: str | None = None, *, after: int = 0) -> Iterator[StoredEvent]:
        """Events with their answers, in the order of writing.

        Args:
            task: only of this task.
            after: only events with a larger number.
        """
        query = (
            "SELECT e.number AS number, a.body, e.body FROM events e JOIN answers a ON a.id = e.answer"
            " WHERE (:task IS NULL OR a.task = :task)"
        )
        for number, answer, event in self._connection.pages(query, "e.number", after, task=task):
            yield StoredEvent(
                number=number,
                answer=self._read(Answer, answer, f"answer of event {number}"),
                event=self._read(FeedbackEvent, event, f"event {number}"),
            )

    def last_number(self) -> int:
        """Number of the newest event; 0 without events."""
        (number,) = self._connection.rows("SELECT coalesce(max(number), 0) FROM events")[0]
        return int(number)

    def counts(self, task: str | None = None) -> dict[str, int]:
        """How many answers there are, and how many events of each kind."""
        ((answers,),) = self._connection.rows("SELECT count(*) FROM answers WHERE ?1 IS NULL OR task = ?1", task)
        kinds = self._connection.rows(
            "SELECT kind, count(*) FROM events JOIN answers ON answers.id = events.answer"
            " WHERE ?1 IS NULL OR task = ?1 GROUP BY kind ORDER BY kind",
            task,
        )
        return {"answers": int(answers), **{str(kind): int(count) for kind, count in kinds}}

    @property
    def id(self) -> str:
        """Random id of this file: the numbers of its events mean nothing in another store."""
        return str(self._connection.rows("SELECT id FROM identity")[0][0])

    def erased_numbers(self) -> tuple[int, ...]:
        """Numbers of all events that were ever erased or swept: no event gets one of them again.

        They identify no user. A registry removes its samples by them, whenever it is opened.
        """
        return erased_numbers(self._connection)

    def erase(self, user: str) -> Erased:
        """Delete all answers that a user received, all events on them, and all events of the user.

        The bytes are overwritten and the log is emptied: the file does not hold them afterwards. Weights that were
        trained on them do, and so do a registry's files: `erase_from_registry` removes them there and names the
        versions.

        Raises:
            ResourceError: another process kept reading, so that the log could not be emptied. Call again; the result
                then includes this call's rows.
        """
        return delete(self._connection, USER, user)

    def sweep(self, now: datetime | None = None) -> Erased:
        """Delete every answer whose `keep_until` has passed, with its events.

        Raises:
            ResourceError: as `erase`.
        """
        return delete(self._connection, EXPIRED, (now or datetime.now(UTC)).timestamp())

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _read(self, model: type[_Row], body: str, what: str) -> _Row:
        """A row from its JSON; `add` writes only rows that can be read."""
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise DataError(
                f"the {what} cannot be read: {error.errors()[0]['msg']}",
                where=str(self.path),
                remedy="delete the row with sqlite3, or restore the file from a backup",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
