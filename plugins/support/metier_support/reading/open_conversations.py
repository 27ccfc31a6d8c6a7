"""Conversations that are still open while a log is read: the latest in memory, the others in a file beside it.

A log sorted by time mixes thousands of conversations. None is dropped, and memory stays bounded.
"""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from metier_support.reading.dialogue import Conversation
from metier_support.reading.scratch import scratch_database

IN_MEMORY = 4096
"""Conversations held in memory: some 20 MB."""


class OpenConversations:
    """Conversations by id. Use as a context manager: it deletes its file."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._limit = in_memory
        self._held: OrderedDict[str, Conversation] = OrderedDict()
        self._stack = ExitStack()
        self._disk: sqlite3.Connection | None = None

    def get(self, id: str) -> Conversation:
        """The conversation of that id, a new one where there is none."""
        talk = self._held.get(id)
        if talk is None:
            talk = self._from_disk(id) or Conversation()
            self._held[id] = talk
            if len(self._held) > self._limit:
                self._to_disk()
        else:
            self._held.move_to_end(id)
        return talk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _to_disk(self) -> None:
        """Move the quarter that was used longest ago."""
        if self._disk is None:
            table = "create table talks (id text primary key, state text not null) without rowid"
            self._disk = self._stack.enter_context(scratch_database(table))
        moved = [self._held.popitem(last=False) for _ in range(max(1, self._limit // 4))]
        self._disk.execute("begin")
        self._disk.executemany(
            "insert or replace into talks values (?, ?)", [(id, json.dumps(talk.state())) for id, talk in moved]
        )
        self._disk.execute("commit")

    def _from_disk(self, id: str) -> Conversation | None:
        if self._disk is None:
            return None
        found = self._disk.execute("select state from talks where id = ?", (id,)).fetchone()
        return None if found is None else Conversation.of_state(json.loads(found[0]))
