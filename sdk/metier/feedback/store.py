"""The feedback store: one SQLite file that any number of threads and processes write, and that no crash empties.

What a call has returned from is on the disk: the journal is a write-ahead log with `synchronous=FULL`
(https://www.sqlite.org/pragma.html#pragma_synchronous), so that a killed process, or a power cut, loses nothing that
was acknowledged. It knows answers and events; what they teach is `harvest`'s business.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from pydantic import ValidationError

from metier.contracts import DataError, Feedback, ResourceError, UsageError, Value
from metier.feedback.records import Answer, Event, EventKind, Told
from metier.feedback.tables import migrate

BUSY_SECONDS = 30.0
"""How long a writer waits for another process's turn."""

PAGE = 500
"""Rows read at a time: a reader never holds the file while its caller works."""


class Erased(NamedTuple):
    """What `erase` or `sweep` took away, an earlier call that could not empty the log included."""

    answers: int
    events: int
    numbers: tuple[int, ...] = ()
    """Of the events: what `Registry.learnt_from` and `forget` look for."""


class FeedbackStore:
    """Answers and events in one file. Use as a context manager, or call `close`. Safe to use from any thread."""

    def __init__(self, path: str | Path) -> None:
        """Open the file, made where missing, its tables brought up to date.

        Raises:
            DataError: it is no feedback store, is damaged, or was written by a newer Metier.
        """
        self.path = Path(path).expanduser()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA secure_delete = ON")  # what was erased is overwritten, not only unlinked
            migrate(self._db, str(self.path))
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"the feedback store cannot be opened: {error}", where=str(self.path), remedy="name another file"
            ) from error

    def add(self, *rows: Answer | Event) -> list[Answer | Event]:
        """Write answers and events, all or none; on the disk when this returns. Those that were not there before.

        A row that is there already is passed over, so that a call can be repeated: its moment, and the time it is to
        be kept, stay those of the first.

        Raises:
            UsageError: an event is about an answer that the store does not hold, or an id is there already and stands
                for something else.
        """
        with self._writing() as db:
            return [row for row in rows if self._put(db, row)]

    def add_exported(self, rows: Iterable[Answer | Event]) -> tuple[list[Answer | Event], list[Answer | Event]]:
        """Add what an export holds, less what was erased or swept here since, and all about such an answer: it must not
        come back. What of it is new, and what stays away.

        Raises:
            UsageError: as `add`.
        """
        new, away = [], []
        with self._writing() as db:
            for row in rows:
                ids = [row.id] if isinstance(row, Answer) else [row.id, row.answer]
                if any(_was_erased(db, id) for id in ids):
                    away.append(row)
                elif self._put(db, row):
                    new.append(row)
        return new, away

    def tell(self, answer: str, kind: EventKind, **fields: Any) -> Event:
        """Write what a user did with an answer: `store.tell(id, "edited", edited_to={…}, user="u7")`.

        Args:
            answer: id of an answer in the store.
            kind: accepted, edited, rejected, chosen, rated or comment.
            **fields: of `Event`.

        Raises:
            UsageError: there is no such answer, or a field is missing or wrong.
        """
        try:
            event = Event(answer=answer, kind=kind, **fields)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"{field}: {first['msg']}" if field else first["msg"], remedy="see the fields of Event"
            ) from error
        self.add(event)
        return event

    def record(self, feedback: Feedback, *, consent: bool = False, among: Iterable[Value] = ()) -> str:
        """Write an answer and what was done with it in one call, for a product that keeps no ids; the answer's id.

        Args:
            feedback: as the contracts have it.
            consent: whether the user agreed that it may be learnt from.
            among: the other answers, where the event is `chosen`.
        """
        when = {"at": feedback.at} if feedback.at else {}
        answer = Answer(
            task=feedback.task,
            input=feedback.input,
            output=feedback.answer,
            language=feedback.language,
            user=feedback.user,
            bundle=feedback.bundle,
            adapter=feedback.adapter,
            consent=consent,
            **when,
        )
        event = Event(
            answer=answer.id,
            kind=feedback.event.value,
            user=feedback.user,
            edited_to=feedback.edited_to,
            among=tuple(among),
            rating=feedback.rating,
            comment=feedback.comment,
            **when,
        )
        self.add(answer, event)
        return answer.id

    def answer(self, id: str) -> Answer | None:
        """The answer of that id."""
        with self._lock:
            row = self._db.execute("SELECT body FROM answers WHERE id = ?", (id,)).fetchone()
        return Answer.model_validate_json(row[0]) if row else None

    def answers(self, task: str | None = None) -> Iterator[Answer]:
        """Answers in the order of writing."""
        for _, body in self._pages("SELECT number, body FROM answers WHERE (:task IS NULL OR task = :task)", "", task):
            yield Answer.model_validate_json(body)

    def told(self, task: str | None = None, *, after: int = 0) -> Iterator[Told]:
        """Events with their answers, in the order of writing.

        Args:
            task: of one task only.
            after: only those with a larger number.
        """
        query = (
            "SELECT e.number AS number, a.body, e.body FROM events e JOIN answers a ON a.id = e.answer"
            " WHERE (:task IS NULL OR a.task = :task)"
        )
        for number, answer, event in self._pages(query, "e.", task, after):
            yield Told(
                number=number,
                answer=Answer.model_validate_json(answer),
                event=Event.model_validate_json(event),
            )

    def last(self) -> int:
        """Number of the newest event; 0 where there is none."""
        with self._lock:
            return int(self._db.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0])

    def counts(self, task: str | None = None) -> dict[str, int]:
        """How many answers there are, and how many events of each kind."""
        with self._lock:
            answers = self._db.execute("SELECT count(*) FROM answers WHERE ?1 IS NULL OR task = ?1", (task,)).fetchone()
            kinds = self._db.execute(
                "SELECT kind, count(*) FROM events JOIN answers ON answers.id = events.answer"
                " WHERE ?1 IS NULL OR task = ?1 GROUP BY kind ORDER BY kind",
                (task,),
            ).fetchall()
        return {"answers": int(answers[0]), **{str(kind): int(count) for kind, count in kinds}}

    @property
    def id(self) -> str:
        """Tells this file from every other store, whose events have the same numbers."""
        with self._lock:
            return str(self._db.execute("SELECT id FROM identity").fetchone()[0])

    def erased(self) -> tuple[int, ...]:
        """Numbers of all events that were ever erased or swept: no event gets one of them again.

        They say nothing of anybody, and let a registry forget what it learnt from them, whenever it is at hand.
        """
        with self._lock:
            rows = self._db.execute("SELECT events FROM erasures").fetchall()
        return tuple(sorted(number for (numbers,) in rows for number in json.loads(numbers)))

    def erase(self, user: str) -> Erased:
        """Delete all answers that a user was given, with all that was done with them, and all that the user did.

        The bytes are overwritten and the log is emptied: the file does not hold them afterwards. Weights that were
        trained on them do, and so do a registry's files: `forget` removes them there, and names the versions.

        Raises:
            ResourceError: another process kept reading, so that the log could not be emptied; call again. What comes
                back then tells of this call, too.
        """
        return self._delete("user = :it", "user = :it OR answer IN (SELECT id FROM answers WHERE user = :it)", user)

    def sweep(self, now: datetime | None = None) -> Erased:
        """Delete every answer whose time to be kept is over, with its events."""
        moment = (now or datetime.now(UTC)).timestamp()
        over = "keep_until <= :it"
        return self._delete(over, f"answer IN (SELECT id FROM answers WHERE {over})", moment)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _delete(self, answers: str, events: str, it: Any) -> Erased:
        with self._writing() as db:
            numbers = db.execute(f"SELECT number FROM events WHERE {events} ORDER BY number", {"it": it}).fetchall()
            for table, which in (("events", events), ("answers", answers)):
                ids = db.execute(f"SELECT id FROM {table} WHERE {which}", {"it": it}).fetchall()
                db.executemany("INSERT OR IGNORE INTO erased_rows VALUES (?)", [(_sha256(id),) for (id,) in ids])
            db.execute(f"DELETE FROM events WHERE {events}", {"it": it})
            gone = db.execute(f"DELETE FROM answers WHERE {answers}", {"it": it}).rowcount
            if gone or numbers:
                db.execute(
                    "INSERT INTO erasures (at, answers, events) VALUES (?, ?, ?)",
                    (datetime.now(UTC).timestamp(), gone, json.dumps([row[0] for row in numbers])),
                )
        with self._lock:
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise ResourceError(
                "the rows are gone, but not yet from the log: another process is in the middle of reading it",
                where=str(self.path),
                remedy="do the same again when it has ended",
            )
        return self._settled()

    def _settled(self) -> Erased:
        """What went in this call, and in those before it whose log could not be emptied then."""
        with self._writing() as db:
            rows = db.execute("UPDATE erasures SET settled = 1 WHERE NOT settled RETURNING answers, events").fetchall()
        numbers = sorted(number for _, events in rows for number in json.loads(events))
        return Erased(sum(answers for answers, _ in rows), len(numbers), tuple(numbers))

    def _put(self, db: sqlite3.Connection, row: Answer | Event) -> bool:
        """Write one row; False where it is there already."""
        if isinstance(row, Answer):
            until = row.keep_until.timestamp() if row.keep_until else None
            done = db.execute(
                "INSERT OR IGNORE INTO answers (id, at, task, user, adapter, body, keep_until)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row.id, row.at.timestamp(), row.task, row.user, row.adapter, row.model_dump_json(), until),
            )
        elif db.execute("SELECT 1 FROM answers WHERE id = ?", (row.answer,)).fetchone() is None:
            raise UsageError(f"there is no answer {row.answer}", where=str(self.path), remedy="record the answer first")
        else:
            done = db.execute(
                "INSERT OR IGNORE INTO events (id, answer, at, kind, user, body) VALUES (?, ?, ?, ?, ?, ?)",
                (row.id, row.answer, row.at.timestamp(), row.kind, row.user, row.model_dump_json()),
            )
        if not done.rowcount:
            self._check_same(row)
        return bool(done.rowcount)

    def _check_same(self, row: Answer | Event) -> None:
        """Raise UsageError where the row of that id says something else."""
        kind = type(row)
        table = "answers" if isinstance(row, Answer) else "events"
        (body,) = self._db.execute(f"SELECT body FROM {table} WHERE id = ?", (row.id,)).fetchone()
        # Whoever tries again does so a moment later.
        moment = {"at", "keep_until"}
        if kind.model_validate_json(body).model_dump(exclude=moment) != row.model_dump(exclude=moment):
            raise UsageError(
                f"the {kind.__name__.lower()} {row.id} is there already, and says something else",
                where=str(self.path),
                remedy="give each an id of its own, or none: then one is made",
            )

    def _pages(self, query: str, table: str, task: str | None, after: int = 0) -> Iterator[tuple[Any, ...]]:
        paged = f"{query} AND {table}number > :after ORDER BY {table}number LIMIT {PAGE}"
        while True:
            with self._lock:
                rows = self._db.execute(paged, {"task": task, "after": after}).fetchall()
            yield from rows
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # on a full disk SQLite has rolled back by itself
                    self._db.execute("ROLLBACK")
                raise


def _sha256(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()


def _was_erased(db: sqlite3.Connection, id: str) -> bool:
    return db.execute("SELECT 1 FROM erased_rows WHERE sha256 = ?", (_sha256(id),)).fetchone() is not None
