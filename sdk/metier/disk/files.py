"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from metier.disk.parts import clear_leftovers, part_of


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Where to write a file, which takes the name `path` only when the block ends well. Its folder is made.

    A link is followed, and what is no file, such as /dev/null or a pipe, is written to as it is.
    """
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    with part_of(path) as part:
        yield part
        put(part, path)


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file, UTF-8 with Unix line ends, that takes its name only when the block ends well."""
    with whole_path(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        yield file


def write_whole(path: Path, text: str) -> None:
    """Write or replace a text file."""
    with whole_file(path) as file:
        file.write(text)


def put(part: Path, path: Path) -> None:
    """Give a file that is done its name, whatever has that name now."""
    sync(part)
    os.replace(part, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make what was written there survive a power cut."""
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
