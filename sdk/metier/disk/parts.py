"""The temporary siblings that something is written to before it takes its name."""

from __future__ import annotations

import glob
import os
import re
import secrets
import shutil
from pathlib import Path

PART = ".metier-part-"
"""How their names begin; a name, the process and a random word follow."""
OLD = "-old"
"""How the name of a folder ends that was moved away for a new one."""
_OWNER = re.compile(rf"(\d+)-\w+(?:{OLD})?")


def part_of(path: Path, end: str = "") -> Path:
    """A new name beside `path` that tells what it is for and which process writes there."""
    return path.with_name(f"{PART}{path.name}-{os.getpid()}-{secrets.token_hex(4)}{end}")


def clear_leftovers(path: Path) -> None:
    """Remove what processes that are no more left beside `path`; put back a folder that was being replaced."""
    for leftover in path.parent.glob(f"{glob.escape(PART + path.name)}-*"):
        owner = _OWNER.fullmatch(leftover.name.removeprefix(f"{PART}{path.name}-"))
        if owner is None or _alive(int(owner[1])):
            continue
        if leftover.name.endswith(OLD) and not path.exists():
            leftover.rename(path)
        elif leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


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
