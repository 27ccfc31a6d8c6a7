"""The engine's own answers into the feedback store, many to a transaction: a disk takes no longer to be sure of twenty
rows than of one."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Future

from metier import contracts
from metier.contracts import MetierError, ResourceError
from metier.feedback.records import Answer
from metier.feedback.store import FeedbackStore


class StoreRecorder:
    """A `metier.runtime.recorder.Recorder`: `Engine(bundle, recorder=StoreRecorder(store))`.

    Whoever asks waits until the own row is on the disk, and no longer; meanwhile the engine decodes. One of those who
    wait writes for all that have come by then, so that there are never more rows in memory than callers.
    """

    def __init__(self, store: FeedbackStore) -> None:
        """
        Args:
            store: where answers are written down; it must stay open as long as the engine.
        """
        self.store = store
        self._gate, self._turn = threading.Lock(), threading.Lock()
        self._waiting: list[tuple[Answer, Future[str]]] = []

    def record(self, answer: contracts.Answer) -> str:
        """Write an answer down; its id, once it is on the disk.

        Raises:
            ResourceError: it cannot be written, so that it must not be handed out.
            UsageError: the id is another answer's already.
        """
        written = Future[str]()
        row = Answer(
            id=answer.id,
            at=answer.at,
            task=answer.task,
            input=answer.input,
            output=answer.output,
            language=answer.language,
            prompt=answer.prompt,
            user=answer.user,
            bundle=answer.bundle,
            adapter=answer.adapter,
            checks=answer.findings,
            consent=answer.consent,
            keep_until=answer.keep_until,
        )
        with self._gate:
            self._waiting.append((row, written))
        with self._turn:
            if not written.done():  # the one before wrote what had come, else this one writes for those behind
                self._write()
        return written.result()

    def _write(self) -> None:
        with self._gate:
            batch, self._waiting = self._waiting, []
        try:
            self.store.add(*(row for row, _ in batch))
        except (sqlite3.Error, MetierError):  # it may be one row's fault: each answers for its own
            for row, written in batch:
                self._write_one(row, written)
        else:
            for row, written in batch:
                written.set_result(row.id)

    def _write_one(self, row: Answer, written: Future[str]) -> None:
        try:
            self.store.add(row)
        except MetierError as error:
            written.set_exception(error)
        except sqlite3.Error as error:
            written.set_exception(
                ResourceError(
                    f"the answer {row.id} cannot be written down: {error}",
                    where=str(self.store.path),
                    remedy="make room on the disk, or let go of the file elsewhere",
                )
            )
        else:
            written.set_result(row.id)
