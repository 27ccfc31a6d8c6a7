"""The feedback store's tables, version by version: a database of an earlier version is migrated to the last one.

It knows SQL only; `contracts.Answer` and `contracts.FeedbackEvent` define what a row means.
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
        body TEXT NOT NULL           -- the FeedbackEvent as JSON
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
        answers INTEGER NOT NULL,    -- how many were deleted
        events TEXT NOT NULL,        -- the numbers of the deleted ones, as a JSON array
        settled INTEGER NOT NULL DEFAULT 0  -- 1 once the log was emptied and the caller informed
    ) STRICT;
    """,
    """
    CREATE TABLE erased_rows (
        sha256 TEXT PRIMARY KEY      -- of the id of a deleted answer or event: no import restores it
    ) STRICT;
    CREATE TABLE identity (
        id TEXT NOT NULL             -- random: numbers of events mean something in this file alone
    ) STRICT;
    INSERT INTO identity VALUES (lower(hex(randomblob(8))));
    """,
    """
    -- Answer.checks is now Answer.findings
    UPDATE answers SET body = json_set(json_remove(body, '$.checks'), '$.findings', json_extract(body, '$.checks'))
        WHERE json_type(body, '$.checks') IS NOT NULL;
    """,
)
"""Each migrates a database from the version of its place to the next. Do not change a released one: add another."""

VERSION = len(MIGRATIONS)


def migrate(db: sqlite3.Connection, path: str) -> None:
    """Bring the tables up to VERSION, all steps in one transaction.

    Raises:
        DataError: the file was written by a newer Metier, or is not a feedback store.
    """
    if _version(db) == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        found = _version(db)  # another process may have migrated it meanwhile
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
