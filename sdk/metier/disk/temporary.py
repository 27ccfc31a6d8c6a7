"""Temporary siblings of files and folders that are being written, and what killed processes left of them."""

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
"""Prefix of their names; target, machine, process and a random suffix follow."""
OLD = "-old"
"""Suffix of a folder that was moved away for a new one."""
_OWNER = re.compile(rf"([0-9a-f]{{4}})-(\d+)-\w+(?:{OLD})?")
_ABANDONED = 24 * 3600
"""Seconds without a change after which a sibling of another machine, whose processes are not visible, is abandoned."""
_ours: set[str] = set()
"""Names that this process writes to: in a container, a killed process may have had the same number."""


@contextmanager
def temporary_sibling(path: Path, end: str = "") -> Iterator[Path]:
    """A new name beside `path`, which identifies target, machine and process; what has it at the end is removed."""
    owner = f"{machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    part = path.with_name(f"{PART}{path.name}-{owner}{end}")
    _ours.add(part.name)
    try:
        yield part
    finally:
        _remove(part)
        _ours.discard(part.name)


def clear_leftovers(path: Path) -> None:
    """Remove what ended processes left beside `path`; put back a folder that was being replaced."""
    for leftover in path.parent.glob(f"{glob.escape(PART + path.name)}-*"):
        owner = _OWNER.fullmatch(leftover.name.removeprefix(f"{PART}{path.name}-"))
        if owner is None or leftover.name in _ours or not _abandoned(leftover, owner[1], int(owner[2])):
            continue
        if leftover.name.endswith(OLD) and not path.exists():
            leftover.rename(path)
        else:
            _remove(leftover)


def machine() -> str:
    """Four characters that identify this machine, or container, among others on the same disk."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _abandoned(part: Path, where: str, pid: int) -> bool:
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
