"""Facts newer than the base: the documents that a bundle ships. Passages that bear on an input are put before the
model, and an answer names the ones it stands on.

A task takes part by its contract alone: an input field `passages`, a list of objects with `id` and `text` (and
`heading`, where it has one), as `support.reply` has it; its output names ids where it cites, which
`"x-metier-one-of": "passages[].id"` holds to those that were put before it. Documents are read elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metier.contracts import Provenance, TaskContract, UsageError, Value
from metier.contracts.task import PASSAGES
from metier.runtime.passage_index import Passage, PassageIndex

FILE = "search/passages.jsonl"
"""Where a bundle keeps them; the index is built when it is opened."""

BEST = 3
"""Passages put before the model: three of 150 tokens each leave a small base room for the rest of a prompt."""

QUERY = 400
"""Characters of an input that are searched for, its last ones: what is asked stands at the end of a dialogue."""


def open_documents(bundle: str | Path) -> PassageIndex | None:
    """The index of a bundle's documents; None where it has none. Its checksum is the bundle's business.

    Raises:
        UsageError: bm25s is not installed.
    """
    file = Path(bundle) / FILE
    if not file.is_file():
        return None
    rows = (json.loads(line) for line in file.read_text("utf-8").split("\n") if line)
    return PassageIndex(
        Passage(row["id"], tuple(row["headings"]), row["text"], Provenance(source=row["source"], line=row["line"]))
        for row in rows
    )


def add_passages(task: TaskContract, input: Value, index: PassageIndex, k: int = BEST) -> Value:
    """The input with the best `k` passages for what it asks; those that it brings itself stay in front.

    Raises:
        UsageError: the task takes no passages.
    """
    if not task.takes_passages:
        raise UsageError(f"{task.name} takes no passages", remedy=f"give its input a field `{PASSAGES}`")
    given: Any = input.get(PASSAGES) or []
    if len(given) >= k:
        return input
    query = " ".join(_strings({key: value for key, value in input.items() if key != PASSAGES}))[-QUERY:]
    taken = {passage["id"] for passage in given}
    new = [passage.as_input() for passage in index.search(query, k) if passage.id not in taken]
    passages = [*given, *new[: k - len(given)]]
    return {**input, PASSAGES: passages} if passages else input


def cited(index: PassageIndex, output: Value) -> list[Passage]:
    """The passages whose ids an answer names, in any field: file and line of what it stands on."""
    by_id = {passage.id: passage for passage in index.passages}
    return [by_id[text] for text in dict.fromkeys(_strings(output)) if text in by_id]


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _strings(item)]
