"""Feedback as JSON lines: the store, an answer with its events a line, so that a file read back gives the same rows;
and what a harvest made of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from metier.contracts import BadRow, DataError
from metier.contracts.schema import Data
from metier.data.load import as_error
from metier.data.samples_file import write_samples
from metier.disk import atomic_file, atomic_folder
from metier.feedback.harvest import Harvest
from metier.feedback.records import Answer, Event
from metier.feedback.store import FeedbackStore
from metier.readers.json_lines import read_json_lines


class Line(Data):
    """One line of the file."""

    answer: Answer
    events: tuple[Event, ...] = ()


def lines_of(store: FeedbackStore, task: str | None = None) -> list[Line]:
    """Every answer with its events, in the order of writing."""
    events: dict[str, list[Event]] = {}
    for told in store.told(task):
        events.setdefault(told.answer.id, []).append(told.event)
    return [Line(answer=answer, events=tuple(events.get(answer.id, ()))) for answer in store.answers(task)]


def export_jsonl(store: FeedbackStore, path: str | Path, task: str | None = None) -> int:
    """Write the store, or one task of it, whole or not at all; the number of answers."""
    lines = lines_of(store, task)
    with atomic_file(Path(path)) as file:
        file.writelines(line.model_dump_json() + "\n" for line in lines)
    return len(lines)


class Imported(NamedTuple):
    """What a file came to, in answers and events."""

    answers: int
    """New."""
    events: int
    """New."""
    known: int
    """Of both, there already, or twice in the file."""
    erased: int
    """Of both, erased from this store, or about an answer that was: they stay away."""


def import_jsonl(store: FeedbackStore, path: str | Path) -> Imported:
    """Add every line of a file, all or none; what is there already, or was erased, is passed over.

    Raises:
        DataError: naming file, line and field of the first that does not fit.
    """
    lines = []
    for row in read_json_lines(Path(path), encoding="utf-8"):
        if isinstance(row, BadRow):
            raise as_error(row)
        try:
            line = Line.model_validate(row.values)
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(
                f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                where=str(row.provenance),
                remedy='a line is {"answer": {"id": "a1", "task": …, "input": …, "output": …},'
                ' "events": [{"answer": "a1", "kind": …}, …]}',
            ) from error
        if stray := next((event for event in line.events if event.answer != line.answer.id), None):
            raise DataError(
                f"events: {stray.id} is about the answer {stray.answer}, not the line's own", where=str(row.provenance)
            )
        lines.append(line)
    return bring_in(store, lines)


def bring_in(store: FeedbackStore, lines: Iterable[Line]) -> Imported:
    """Add answers and events, all or none, but for what was erased: an older export still has it."""
    rows: list[Answer | Event] = []
    for line in lines:
        rows += [line.answer, *line.events]
    new, away = store.add_exported(rows)
    answers = sum(isinstance(row, Answer) for row in new)
    return Imported(answers, len(new) - answers, known=len(rows) - len(new) - len(away), erased=len(away))


def write_harvest(found: Harvest, out: Path) -> None:
    """Write a harvest as four files of JSON lines, in place of an earlier one: all of them or none.

    Raises:
        UsageError: the folder holds something else.
    """
    with atomic_folder(out, "a harvest", "left_out.jsonl") as part:
        write_samples(part / "samples.jsonl", found.samples)
        for name in ("preferences", "judged", "left_out"):
            rows = (row.model_dump_json() + "\n" for row in getattr(found, name))
            (part / f"{name}.jsonl").write_text("".join(rows), "utf-8")
