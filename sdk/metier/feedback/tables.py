"""The feedback store's tables, version by version: a database of any earlier version is brought up to the last one.

It knows SQL only; what a row means is said in `records`.
"""

from __future__ import annotations

import sqlite3

from metier.contracts import DataError

MIGRATIONS = (
    """
    CREATE TABLE answers (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        at REAL NOT NULL,            -- seconds since 1970, UTC
        task TEXT NOT NULL,
        user TEXT,
        adapter TEXT,
        body TEXT NOT NULL           -- the Answer as JSON
    ) STRICT;
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        answer TEXT NOT NULL REFERENCES answers(id) ON DELETE CASCADE,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        user TEXT,
        body TEXT NOT NULL           -- the Event as JSON
    ) STRICT;
    CREATE INDEX events_answer ON events(answer);
    CREATE INDEX answers_user ON answers(user);
    CREATE INDEX events_user ON events(user);
    """,
    """
    ALTER TABLE answers ADD COLUMN keep_until REAL;
    CREATE INDEX answers_keep_until ON answers(keep_until) WHERE keep_until IS NOT NULL;
    CREATE INDEX answers_task ON answers(task);
    """,
    """
    CREATE TABLE erasures (
        number INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        answers INTEGER NOT NULL,    -- how many went
        events TEXT NOT NULL,        -- the numbers of those that went, as a JSON array
        settled INTEGER NOT NULL DEFAULT 0  -- 1 once the log was emptied and the caller was told
    ) STRICT;
    """,
    """
    CREATE TABLE erased_rows (
        sha256 TEXT PRIMARY KEY      -- of the id of an answer or event that went: no import brings it back
    ) STRICT;
    CREATE TABLE identity (
        id TEXT NOT NULL             -- random: what numbers of events are good for this file alone
    ) STRICT;
    INSERT INTO identity VALUES (lower(hex(randomblob(8))));
    """,
)
"""Each brings a database from the version of its place to the next. Never change one that was shipped: add another."""

VERSION = len(MIGRATIONS)


def migrate(db: sqlite3.Connection, path: str) -> None:
    """Bring the tables up to VERSION, all steps in one transaction.

    Raises:
        DataError: the file was written by a newer Metier, or is no feedback store.
    """
    if _version(db) == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        found = _version(db)  # another process may have been quicker
        if found > VERSION:
            raise DataError(
                f"the store has version {found}; this Metier reads up to {VERSION}",
                where=path,
                remedy="upgrade Metier",
            )
        if found == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise DataError("this database is not a feedback store", where=path, remedy="name another file")
        for step in MIGRATIONS[found:]:
            for statement in step.split(";"):
                if statement.strip():
                    db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # on a full disk SQLite has rolled back by itself
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
