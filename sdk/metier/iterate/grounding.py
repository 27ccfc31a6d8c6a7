"""Facts newer than the base, from documents: a folder of them ships in the bundle as passages, those that bear on an
input are put before the model, and an answer says which it stands on.

A task takes part by its contract alone: an input field `passages`, a list of objects with `id` and `text` (and
`heading`, where it has one), as `support.reply` has it; its output names ids where it cites.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metier.bases.checksum import sha256_of
from metier.contracts import Provenance, TaskContract, UsageError, Value
from metier.contracts.bundle import FileEntry
from metier.contracts.schema import resolve
from metier.data.documents import read_folder
from metier.data.passage_index import PassageIndex
from metier.data.passages import Passage
from metier.export.edit import edited, write_manifest
from metier.runtime.bundle import open_bundle

FIELD = "passages"
FILE = "search/passages.jsonl"
"""Where a bundle keeps them. The index is built when they are opened: 1,000 passages take less than a second."""

QUERY = 400
"""Characters of an input that are searched for, its last ones: what is asked stands at the end of a dialogue."""


def add_documents(bundle: str | Path, folder: str | Path) -> int:
    """Put a folder of Markdown and HTML documents into a bundle, in place of those it had; the number of passages.

    Raises:
        DataError: the folder holds no document, or one cannot be read.
        BundleError: the bundle is damaged. In both cases it is what it was.
    """
    passages = list(read_folder(Path(folder)))
    with edited(Path(bundle)) as (part, manifest):
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


def open_documents(bundle: str | Path) -> PassageIndex | None:
    """The index of a bundle's documents; None where it has none. Its checksum is the bundle's business."""
    file = Path(bundle) / FILE
    if not file.is_file():
        return None
    rows = (json.loads(line) for line in file.read_text("utf-8").splitlines())
    return PassageIndex(
        Passage(row["id"], tuple(row["headings"]), row["text"], Provenance(source=row["source"], line=row["line"]))
        for row in rows
    )


def takes_passages(task: TaskContract) -> bool:
    """Whether a task's input has a field for passages."""
    return FIELD in resolve(task.input, task.input).get("properties", {})


def grounded(task: TaskContract, input: Value, index: PassageIndex, k: int = 3) -> Value:
    """The input with the best `k` passages for what it asks; those that it brings itself stay in front.

    Raises:
        UsageError: the task takes no passages.
    """
    if not takes_passages(task):
        raise UsageError(f"{task.name} takes no passages", remedy=f"give its input a field `{FIELD}`")
    given: Any = input.get(FIELD) or []
    query = " ".join(_strings({key: value for key, value in input.items() if key != FIELD}))[-QUERY:]
    taken = {passage["id"] for passage in given}
    new = [passage.as_input() for passage in index.search(query, k) if passage.id not in taken]
    passages = [*given, *new[: max(0, k - len(given))]]
    return {**input, FIELD: passages} if passages else input


def cited(index: PassageIndex, output: Value) -> list[Passage]:
    """The passages whose ids an answer names, in any field: file and line of what it stands on."""
    by_id = {passage.id: passage for passage in index.passages}
    return [by_id[text] for text in dict.fromkeys(_strings(output)) if text in by_id]


def _row(passage: Passage, folder: Path) -> dict[str, Any]:
    place = passage.provenance
    source = Path(place.source).relative_to(folder).as_posix()  # the product's machine has no such folder
    return {"id": passage.id, "headings": passage.headings, "text": passage.text, "source": source, "line": place.line}


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _strings(item)]
