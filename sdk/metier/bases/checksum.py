"""Fingerprints of files on disk: one file's sha256, a model's fingerprint, and a folder's manifest entries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from metier.contracts.bundle import FileEntry
from metier.disk import write_atomic

BLOCK = 4 << 20
"""Bytes read at a time: large enough that sha256, not the read call, is the cost."""


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """sha256 of a file's bytes, read in blocks; `progress` gets the bytes read so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            if progress:
                progress(done)
    return digest.hexdigest()


def entries_of(folder: Path, *, without: frozenset[str] = frozenset()) -> dict[str, FileEntry]:
    """Every file below `folder` as relative POSIX path → (sha256, size), except those named in `without`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: FileEntry(sha256=sha256_of(path), size=path.stat().st_size)
        for name, path in named.items()
        if name not in without
    }


def fingerprint(hashes: Mapping[str, str]) -> str:
    """A model's fingerprint (`Base.sha256`): sha256 over its safetensors' sorted (file name, sha256)."""
    weights = {name: value for name, value in hashes.items() if name.endswith(".safetensors")}
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name}\0{weights[name]}\n".encode())
    return digest.hexdigest()


def remembered_hashes(folder: Path, memory: Path) -> dict[str, str]:
    """sha256 of each safetensors file in a user's folder, hashed again only when a file changed.

    A file is unchanged while its size and modification time are. `memory` is the folder where hashes are stored;
    nothing is written beside the user's files.
    """
    note = memory / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]}.json"
    try:
        known = json.loads(note.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    found: dict[str, dict[str, object]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        stat = path.stat()
        old = known.get(path.name, {})
        same = old.get("size") == stat.st_size and old.get("mtime_ns") == stat.st_mtime_ns
        sha = old["sha256"] if same else sha256_of(path)
        found[path.name] = {"sha256": sha, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if found != known:
        write_atomic(note, json.dumps(found))
    return {name: str(entry["sha256"]) for name, entry in found.items()}
