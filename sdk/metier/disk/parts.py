"""The temporary siblings that something is written to before it takes its name."""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".metier-part-"
"""How their names begin; what they are for, machine, process and a random word follow."""
OLD = "-old"
"""How the name of a folder ends that was moved away for a new one."""
_OWNER = re.compile(rf"([0-9a-f]{{4}})-(\d+)-\w+(?:{OLD})?")
_ABANDONED = 24 * 3600
"""Seconds without a change after which a part of another machine, whose processes cannot be asked, is left behind."""
_ours: set[str] = set()
"""Names that this process writes to now: in a container its number was the killed one's, too."""


@contextmanager
def part_of(path: Path, end: str = "") -> Iterator[Path]:
    """A new name beside `path` that tells what it is for and who writes there; what has it at the end is removed."""
    owner = f"{machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    part = path.with_name(f"{PART}{path.name}-{owner}{end}")
    _ours.add(part.name)
    try:
        yield part
    finally:
        _remove(part)
        _ours.discard(part.name)


def clear_leftovers(path: Path) -> None:
    """Remove what processes that are no more left beside `path`; put back a folder that was being replaced."""
    for leftover in path.parent.glob(f"{glob.escape(PART + path.name)}-*"):
        owner = _OWNER.fullmatch(leftover.name.removeprefix(f"{PART}{path.name}-"))
        if owner is None or leftover.name in _ours or not _left_behind(leftover, owner[1], int(owner[2])):
            continue
        if leftover.name.endswith(OLD) and not path.exists():
            leftover.rename(path)
        else:
            _remove(leftover)


def machine() -> str:
    """Four characters that tell this machine, or container, from others on the same disk."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _left_behind(part: Path, where: str, pid: int) -> bool:
    if where == machine():
        return pid == os.getpid() or not _alive(pid)
    try:
        return time.time() - part.stat().st_mtime > _ABANDONED
    except FileNotFoundError:
        return False


def _alive(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end it
        import ctypes

        kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
        if handle := kernel.OpenProcess(0x1000, False, pid):  # PROCESS_QUERY_LIMITED_INFORMATION
            kernel.CloseHandle(handle)
            return True
        return bool(kernel.GetLastError() == 5)  # ERROR_ACCESS_DENIED: it is there, and another user's
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
