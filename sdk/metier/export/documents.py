"""Adds a folder of documents to a bundle, as the passages that its engine searches. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metier.bases.checksum import sha256_of
from metier.contracts import TaskContract, UsageError
from metier.contracts.bundle import FileEntry
from metier.contracts.task import PASSAGES
from metier.data.documents import read_folder
from metier.export.bundle_edit import edited, write_manifest
from metier.runtime.bundle import open_bundle
from metier.runtime.documents import FILE
from metier.runtime.passage_index import Passage


def add_documents(bundle: str | Path, folder: str | Path) -> int:
    """Add a folder of Markdown and HTML documents to a bundle, in place of its previous ones; the number of passages.

    Raises:
        DataError: the folder holds no document, or one cannot be read.
        UsageError: no task of the bundle takes passages.
        BundleError: the bundle is damaged. In all cases it is unchanged.
    """
    with edited(Path(bundle)) as (part, manifest):
        passages = check_documents(Path(folder), manifest.every_task)
        file = part / FILE
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)  # a link to the old bundle's own
        file.write_text(
            "".join(json.dumps(_row(p, Path(folder)), ensure_ascii=False) + "\n" for p in passages), "utf-8"
        )
        entry = FileEntry(sha256=sha256_of(file), size=file.stat().st_size)
        write_manifest(part, manifest.model_copy(update={"files": {**manifest.files, FILE: entry}}))
        open_bundle(part)
    return len(passages)


def check_documents(folder: Path, tasks: Sequence[TaskContract]) -> list[Passage]:
    """The passages of a folder, for tasks of which one takes them. Errors come before a long export.

    Raises:
        DataError, UsageError: as `add_documents`.
    """
    if not any(task.takes_passages for task in tasks):
        raise UsageError(
            f"no task takes passages: {', '.join(task.name for task in tasks)}",
            remedy=f"give the input of one a field `{PASSAGES}`: a list of objects with id and text",
        )
    return list(read_folder(folder))


def _row(passage: Passage, folder: Path) -> dict[str, Any]:
    place = passage.provenance
    source = Path(place.source).relative_to(folder).as_posix()  # the product's machine has no such folder
    return {"id": passage.id, "headings": passage.headings, "text": passage.text, "source": source, "line": place.line}
