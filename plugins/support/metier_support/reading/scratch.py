"""A database for what a reader cannot hold in memory; it is gone with the block that opened it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def scratch_database(schema: str) -> Iterator[sqlite3.Connection]:
    """An empty SQLite database with one table, in a temporary folder; it makes no promise against a crash."""
    with tempfile.TemporaryDirectory(prefix="metier-chats-") as folder:
        disk = sqlite3.connect(f"{folder}/scratch.db", isolation_level=None)
        try:
            disk.execute("pragma journal_mode = off")
            disk.execute("pragma synchronous = off")
            disk.execute(schema)
            yield disk
        finally:
            disk.close()
