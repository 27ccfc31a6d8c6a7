"""Atomic writes of folders."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metier.contracts.errors import ResourceError, UsageError
from metier.disk.files import sync
from metier.disk.temporary import OLD, clear_leftovers, temporary_sibling


@contextmanager
def atomic_folder(out: Path, what: str, known_by: str | None = None) -> Iterator[Path]:
    """A temporary folder beside `out` that replaces it when the block ends, and is removed when it fails.

    A process that is killed at any moment leaves the old folder or the new one. Where the old one has to be moved away
    first (not every system replaces a folder that is not empty in one step), the next write puts it back.

    Args:
        out: the folder; a link is followed.
        what: kind of folder, in words, such as `a bundle`.
        known_by: the file that identifies a folder of this kind; only such a folder is replaced. None replaces none.

    Raises:
        UsageError: `out` exists and is no folder of this kind.
        ResourceError: the disk is full, or cannot be written.
    """
    out = out.expanduser().resolve()
    known = known_by is not None and (out / known_by).is_file()
    if out.exists() and not known and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"this is not {what}, so it is not replaced", where=str(out), remedy="give a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(out)
        with temporary_sibling(out) as part:
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
def scratch_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` for intermediate files, removed at the end.

    What a killed process leaves there is removed by the next write to `out`.
    """
    with temporary_sibling(out.expanduser().resolve()) as scratch:
        scratch.mkdir(parents=True)
        yield scratch


def exchange(part: Path, out: Path) -> None:
    """Rename a finished folder to `out` and remove what had that name; in one step, where the system can."""
    if not out.exists() or not any(out.iterdir()):
        if os.name == "nt" and out.exists():
            out.rmdir()
        part.replace(out)  # an empty folder is replaced in one step, but on Windows
        return
    if _swap(part, out):
        shutil.rmtree(part, ignore_errors=True)
        return
    with temporary_sibling(out, OLD) as old:
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
