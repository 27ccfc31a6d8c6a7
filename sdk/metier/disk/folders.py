"""Folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metier.contracts.errors import ResourceError, UsageError
from metier.disk.files import sync
from metier.disk.parts import OLD, clear_leftovers, part_of


@contextmanager
def whole_folder(out: Path, what: str, known_by: str | None = None) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when the block ends, and vanishes when it fails.

    Killed at any moment, the process leaves the old folder or the new one. Where the old one has to be moved away
    first (a folder cannot replace a full one in one step), it is put back by whoever writes there next.

    Args:
        out: the folder; a link is followed.
        what: kind of folder, in words.
        known_by: the file that a folder of this kind has: no other one is replaced. None replaces none.

    Raises:
        UsageError: `out` is something else.
        ResourceError: the disk is full, or cannot be written.
    """
    out = out.expanduser().resolve()
    known = known_by is not None and (out / known_by).is_file()
    if out.exists() and not known and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"this is not {what}, and will not be replaced", where=str(out), remedy="give a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(out)
        with part_of(out) as part:
            part.mkdir()
            yield part
            for inner in part.rglob("*"):
                sync(inner)
            sync(part)
            exchange(part, out)
        sync(out.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError("the disk is full", where=str(out.parent), remedy="free some space") from error
        raise ResourceError(f"{what} cannot be written there: {error}", where=str(out)) from error


@contextmanager
def scratch_beside(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` for what goes on the way to it, gone at the end.

    What a killed process leaves there is removed by whoever writes to `out` next.
    """
    with part_of(out.expanduser().resolve()) as scratch:
        scratch.mkdir(parents=True)
        yield scratch


def exchange(part: Path, out: Path) -> None:
    """Give a folder that is done its name, and remove what had that name: in one step, where the system can."""
    if not out.exists() or not any(out.iterdir()):
        if os.name == "nt" and out.exists():
            out.rmdir()
        part.replace(out)  # an empty folder is replaced in one step, but on Windows
        return
    if _swap(part, out):
        shutil.rmtree(part, ignore_errors=True)
        return
    with part_of(out, OLD) as old:
        out.rename(old)
        try:
            part.rename(out)
        except BaseException:
            old.rename(out)
            raise


def _swap(a: Path, b: Path) -> bool:
    """Exchange two folders in one step, where the system can (Linux's renameat2); False where it cannot."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(a), here, os.fsencode(b), swap) == 0)
