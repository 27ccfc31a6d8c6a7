"""Facts newer than the base: passages of the documents in a bundle are added to an input, and an answer cites them.

A task needs no code for this, only its contract: an input field `passages`, a list of objects with `id`, `text` and
optionally `heading`, as in `support.reply`. Its output cites ids, which `"x-metier-one-of": "passages[].id"` restricts
to those of the input. Documents are parsed elsewhere.
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
"""The passages' file in a bundle; the index is built when the engine opens the bundle."""

BEST = 3
"""Passages added to an input: three of 150 tokens each leave a small base room for the rest of a prompt."""

QUERY = 400
"""Characters of an input, its last ones, that make the query: the question is at the end of a dialogue."""


def open_documents(bundle: str | Path) -> PassageIndex | None:
    """The index of a bundle's documents; None where it has none. `open_bundle` has verified the file.

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
    """The input with the best `k` passages for its text; passages that it already has stay in front.

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
    """The passages whose ids an output contains, in any field, with their file and line."""
    by_id = {passage.id: passage for passage in index.passages}
    return [by_id[text] for text in dict.fromkeys(_strings(output)) if text in by_id]


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _strings(item)]
