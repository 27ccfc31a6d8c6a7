"""Atomic writes of single files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from metier.disk.temporary import clear_leftovers, temporary_sibling


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that is renamed to `path` when the block ends without an error. The folder is created.

    A link is followed. What is not a regular file, such as /dev/null or a pipe, is written to directly.
    """
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    with temporary_sibling(path) as part:
        yield part
        put(part, path)


@contextmanager
def atomic_file(path: Path) -> Iterator[TextIO]:
    """A text file, UTF-8 with Unix line ends, that replaces `path` when the block ends without an error."""
    with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        yield file


def write_atomic(path: Path, text: str) -> None:
    """Write or replace a text file atomically."""
    with atomic_file(path) as file:
        file.write(text)


def put(part: Path, path: Path) -> None:
    """Rename a finished file to `path`, and replace what has that name."""
    sync(part)
    os.replace(part, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file or folder to disk, so that it survives a power cut."""
    folder = path.is_dir()
    if folder and os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not folder:  # some network file systems refuse to sync folders
            raise
    finally:
        os.close(handle)
