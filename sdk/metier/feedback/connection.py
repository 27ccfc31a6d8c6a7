"""The SQLite connection of the feedback store: opening, transactions, reading in pages, emptying the log.

What a transaction has committed is on the disk: the journal is a write-ahead log with `synchronous=FULL`
(https://www.sqlite.org/pragma.html#pragma_synchronous). It does not know what the rows mean.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from metier.contracts import DataError, ResourceError
from metier.disk.private import FILE_MODE, private_folder
from metier.feedback.tables import migrate

BUSY_SECONDS = 30.0
"""How long a writer waits for another process's transaction."""

PAGE = 500
"""Rows read at a time: a reader does not lock the file while its caller works."""


class Connection:
    """One SQLite file, usable from any thread."""

    def __init__(self, path: Path) -> None:
        """Open the file; a missing one is created with mode 0600, its missing folders with 0700.

        Raises:
            DataError: it is not a feedback store, is damaged, or was written by a newer Metier.
        """
        self.path = path
        self._lock = threading.RLock()
        try:
            private_folder(path.parent)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE))  # SQLite would follow the umask
            self.db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = FULL")
            self.db.execute("PRAGMA foreign_keys = ON")
            self.db.execute("PRAGMA secure_delete = ON")  # deleted rows are overwritten, not only unlinked
            migrate(self.db, str(path))
        except (OSError, sqlite3.DatabaseError) as error:
            raise DataError(
                f"the feedback store cannot be opened: {error}", where=str(path), remedy="name another file"
            ) from error
        for suffix in ("", "-wal", "-shm"):  # of a store that was created before, or copied
            with suppress(OSError):
                path.with_name(path.name + suffix).chmod(FILE_MODE)

    def row(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a query; None without one."""
        with self._lock:
            found: tuple[Any, ...] | None = self.db.execute(query, values).fetchone()
            return found

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock:
            return self.db.execute(query, values).fetchall()

    def pages(self, query: str, number: str, after: int, **values: Any) -> Iterator[tuple[Any, ...]]:
        """Rows of a query with a WHERE clause, a page at a time, so that no lock is held between two pages.

        Args:
            query: its first column is the row's number.
            number: name of that column.
            after: only rows with a larger number.
            **values: named parameters of the query.
        """
        paged = f"{query} AND {number} > :after ORDER BY {number} LIMIT {PAGE}"
        while True:
            with self._lock:
                rows = self.db.execute(paged, {**values, "after": after}).fetchall()
            yield from rows
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is committed when the block ends and rolled back when it raises."""
        with self._lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:  # on a full disk SQLite has rolled back by itself
                    self.db.execute("ROLLBACK")
                raise

    def empty_log(self) -> None:
        """Copy the write-ahead log into the database and truncate it.

        Raises:
            ResourceError: another process is reading the log.
        """
        with self._lock:
            busy = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise ResourceError(
                "the rows are deleted, but not yet from the log: another process is reading it",
                where=str(self.path),
                remedy="run the same command again when that process has finished",
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.db.close()
