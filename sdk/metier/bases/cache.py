"""The cache of pulled bases: written atomically, checksummed, safe with two processes at once.

METIER_HOME/bases/<name>/<revision>/   the base's files and metier_base.json
METIER_HOME/locks/<name>.lock          held while that name is being pulled
METIER_HOME/hashes/                    fingerprints of the user's own folders
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_dir
from pydantic import AwareDatetime, ValidationError

from metier.bases.checksum import entries_of, sha256_of
from metier.contracts.base import Base
from metier.contracts.bundle import FileEntry
from metier.contracts.errors import BaseError, ResourceError
from metier.contracts.schema import Data
from metier.disk import PART, exchange, sync

RECORD = "metier_base.json"


class Record(Data):
    """The cache's record of one pulled base."""

    card: Base
    source: str
    pulled: AwareDatetime
    files: dict[str, FileEntry]


def home() -> Path:
    """`METIER_HOME`, else the user's cache folder of this platform."""
    return Path(os.environ.get("METIER_HOME") or user_cache_dir("metier")).expanduser()


def hashes_folder() -> Path:
    """The folder of fingerprints of the user's own folders."""
    return home() / "hashes"


def folder_of(name: str) -> Path:
    """The folder of one base's revisions."""
    return home() / "bases" / slug(name)


def slug(name: str) -> str:
    """A base's name as one folder name: `Qwen/Qwen2.5-0.5B` → `Qwen--Qwen2.5-0.5B`."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name.replace("/", "--")).lstrip(".") or "_"


@contextmanager
def locked(name: str, wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of one base across processes; `wait` is called once if another process holds it.

    The operating system releases the lock when a process dies, so a killed pull blocks no other.
    """
    path = home() / "locks" / f"{slug(name)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if wait:
            wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def workspace(name: str) -> Iterator[Path]:
    """An empty folder on the cache's own file system, removed at the end unless `install` moved it.

    Call it under `locked(name)`: what a killed pull of this name left is removed first.
    """
    parent = folder_of(name)
    parent.mkdir(parents=True, exist_ok=True)
    for stale in parent.glob(f"{PART}*"):
        shutil.rmtree(stale, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=PART, dir=parent))
    try:
        yield part
    except OSError as error:
        if error.errno in {28, 122}:  # ENOSPC, EDQUOT
            raise ResourceError(
                "the disk is full", where=str(parent), remedy="free some space, or point METIER_HOME elsewhere"
            ) from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if parent.exists() and not any(parent.iterdir()):
            parent.rmdir()


def install(part: Path, record: Record, name: str) -> Path:
    """Move a finished workspace to the base's folder: everything is flushed to disk first, then renamed once.

    An existing folder of the same revision (a damaged one) is replaced.
    """
    (part / RECORD).write_text(record.model_dump_json(indent=1), "utf-8")
    part.chmod(0o755)
    for path in [*part.rglob("*"), part]:
        if path.is_file() and path.stat().st_nlink == 1:
            path.chmod(0o644)  # safetensors writes 0600, which a shared METIER_HOME could not use
        sync(path)
    revision = slug(record.card.revision or (record.card.sha256 or "0" * 16)[:16])
    final = folder_of(name) / revision
    exchange(part, final)
    sync(final.parent)
    return final


def records(name: str) -> list[tuple[Path, Record]]:
    """Every revision of one base in the cache, in the order of their pulls: the default stays the first."""
    found: list[tuple[Path, Record]] = []
    parent = folder_of(name)
    for path in parent.iterdir() if parent.is_dir() else ():
        if path.name.startswith(".") or not (path / RECORD).is_file():
            continue
        try:
            found.append((path, Record.model_validate_json((path / RECORD).read_bytes())))
        except ValidationError:
            continue  # written by another version of Metier, or damaged: pulled again
    return sorted(found, key=lambda item: item[1].pulled)


def all_records() -> list[tuple[Path, Record]]:
    """Every base in the cache, by name."""
    root = home() / "bases"
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [item for name in names for item in records(name)]


def damage(folder: Path, record: Record, *, hashes: bool) -> list[str]:
    """What is wrong with a cached base: sizes always, contents too with `hashes`. Empty when it is intact."""
    found = []
    for name, entry in record.files.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif (size := path.stat().st_size) != entry.size:
            found.append(f"{name} has {size} bytes instead of {entry.size}")
        elif hashes and sha256_of(path) != entry.sha256:
            found.append(f"{name} has other contents than were pulled")
    return found


def check(folder: Path, record: Record, *, hashes: bool = False) -> None:
    """Raise BaseError where a cached base is damaged (see `damage`)."""
    if found := damage(folder, record, hashes=hashes):
        raise BaseError(
            f"the cached base {record.card.id} is damaged: {'; '.join(found[:3])}",
            where=str(folder),
            remedy=f"run `metier bases pull {record.card.id}` to fetch it again",
        )


def entries(folder: Path) -> dict[str, FileEntry]:
    """Manifest entries of a folder that is about to be installed."""
    return entries_of(folder, without=frozenset({RECORD}))
