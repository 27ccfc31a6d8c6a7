"""Writes the engine's answers into the feedback store, many in one transaction: a disk syncs twenty rows as fast as
one."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Future

from metier.contracts import Answer, ResourceError
from metier.feedback.store import FeedbackStore


class StoreRecorder:
    """A `metier.runtime.recorder.Recorder`: `Engine(bundle, recorder=StoreRecorder(store))`.

    A caller waits until its own row is on the disk; meanwhile the engine decodes. One of the waiting callers writes all
    rows that have arrived by then, so that memory never holds more rows than there are callers.
    """

    def __init__(self, store: FeedbackStore) -> None:
        """
        Args:
            store: where answers are written; it must stay open as long as the engine.
        """
        self.store = store
        self._list_lock, self._write_lock = threading.Lock(), threading.Lock()
        self._waiting: list[tuple[Answer, Future[str]]] = []

    def record(self, answer: Answer) -> str:
        """Write an answer; its id, once it is on the disk.

        Raises:
            ResourceError: it cannot be written, so that it must not be returned to the user.
            UsageError: the id belongs to another answer, or the answer could not be read back.
        """
        written = Future[str]()
        with self._list_lock:
            self._waiting.append((answer, written))
        with self._write_lock:
            if not written.done():  # else the caller before has written this row too
                self._write()
        return written.result()

    def _write(self) -> None:
        """Write all waiting rows. Every one of their futures is done afterwards, whatever is raised."""
        with self._list_lock:
            batch, self._waiting = self._waiting, []
        try:
            try:
                self.store.add(*(answer for answer, _ in batch))
            except Exception:  # one row may be the cause: each is written alone, and fails its own caller only
                for answer, written in batch:
                    self._write_one(answer, written)
            else:
                for answer, written in batch:
                    written.set_result(answer.id)
        finally:  # a KeyboardInterrupt of this thread must not leave the others waiting
            for answer, written in batch:
                if not written.done():
                    written.set_exception(ResourceError(f"writing the answer {answer.id} was interrupted"))

    def _write_one(self, answer: Answer, written: Future[str]) -> None:
        try:
            self.store.add(answer)
        except sqlite3.Error as error:
            written.set_exception(
                ResourceError(
                    f"the answer {answer.id} cannot be written: {error}",
                    where=str(self.store.path),
                    remedy="free space on the disk, or close the file in other programs",
                )
            )
        except Exception as error:
            written.set_exception(error)
        else:
            written.set_result(answer.id)
