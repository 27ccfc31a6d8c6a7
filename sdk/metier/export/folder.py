"""Writes a folder whole or not at all: a temporary sibling, fsync, then one rename."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from metier.contracts import ExportError, ResourceError, UsageError
from metier.contracts.bundle import MANIFEST

PART = ".metier-part-"
"""Prefix of temporary siblings; those of dead processes are removed by the next export to the same place."""


@contextlib.contextmanager
def whole_folder(out: Path, what: str = "a bundle", known_by: str = MANIFEST) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when the block ends, and vanishes when it fails.

    Killed at any moment, the process leaves the old bundle or the new one. Where the old one has to be moved away
    first (a folder cannot replace a full one in one step), it is put back by whoever exports there next, or found
    whole under its `.metier-part-` name.

    Args:
        out: the folder.
        what: kind of folder, in words.
        known_by: the file that a folder of this kind has: no other one is replaced.

    Raises:
        UsageError: `out` is something else.
        ResourceError: the disk is full.
    """
    out = out.expanduser().absolute()
    if out.exists() and not (out / known_by).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"this is not {what}, and will not be replaced", where=str(out), remedy="give a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(out)
    part = Path(tempfile.mkdtemp(prefix=f"{PART}{out.name}-{os.getpid()}-", dir=out.parent))
    part.chmod(0o755)  # mkdtemp's own 0700 would keep a bundle from the product's user
    try:
        yield part
        for file in part.rglob("*"):
            _sync(file)
        _sync(part)
        _exchange(part, out)
        _sync(out.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError("the disk is full", where=str(out.parent), remedy="free some space") from error
        raise ExportError(f"{what} cannot be written there: {error}", where=str(out)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def clear_leftovers(out: Path) -> None:
    """Remove what processes that are no more left beside `out`; put back an old bundle that was being replaced."""
    for leftover in out.parent.glob(f"{PART}{out.name}-*"):
        owner = leftover.name.removeprefix(f"{PART}{out.name}-").split("-")[0]
        if owner.isdigit() and _alive(int(owner)):
            continue
        if leftover.name.endswith("-old") and not out.exists():
            leftover.rename(out)
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def _exchange(part: Path, out: Path) -> None:
    if not out.exists() or not any(out.iterdir()):
        part.replace(out)  # an empty folder is replaced in one step
        return
    if _swap(part, out):
        return
    old = out.with_name(f"{PART}{out.name}-{os.getpid()}-old")
    out.rename(old)
    part.rename(out)
    shutil.rmtree(old)


def _swap(a: Path, b: Path) -> bool:
    """Exchange two folders in one step, where the system can (Linux's renameat2); False where it cannot."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
