"""Feedback as JSON lines: the store, one answer with its events a line, and the training data made of it.

A file that is exported and imported again gives the same rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from metier.contracts import Answer, BadRow, DataError, FeedbackEvent
from metier.contracts.schema import Data
from metier.data.load import error_of_row
from metier.data.samples_file import write_samples
from metier.disk import atomic_file, atomic_folder
from metier.feedback.store import FeedbackStore
from metier.feedback.training_data import FeedbackData
from metier.feedback.writing import Row
from metier.readers.json_lines import read_json_lines


class Line(Data):
    """One line of the file."""

    answer: Answer
    events: tuple[FeedbackEvent, ...] = ()


def lines_of(store: FeedbackStore, task: str | None = None) -> list[Line]:
    """Every answer with its events, in the order of writing."""
    events: dict[str, list[FeedbackEvent]] = {}
    for stored in store.events(task):
        events.setdefault(stored.answer.id, []).append(stored.event)
    return [Line(answer=answer, events=tuple(events.get(answer.id, ()))) for answer in store.answers(task)]


def export_jsonl(store: FeedbackStore, path: str | Path, task: str | None = None) -> int:
    """Write the store, or one task of it, completely or not at all; the number of answers."""
    lines = lines_of(store, task)
    with atomic_file(Path(path)) as file:
        file.writelines(line.model_dump_json() + "\n" for line in lines)
    return len(lines)


class Imported(NamedTuple):
    """How many answers and events a file held."""

    answers: int
    """New."""
    events: int
    """New."""
    known: int
    """Answers and events that the store held already, or that are twice in the file."""
    erased: int
    """Answers and events that were erased from this store, and events on erased answers: they are not imported."""


def import_jsonl(store: FeedbackStore, path: str | Path) -> Imported:
    """Add every line of a file, all or none; rows that the store holds already, or that were erased, are skipped.

    Raises:
        DataError: naming file, line and field of the first invalid line.
    """
    lines = []
    for row in read_json_lines(Path(path), encoding="utf-8"):
        if isinstance(row, BadRow):
            raise error_of_row(row)
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
                f"events: {stray.id} belongs to the answer {stray.answer}, not to the answer of its line",
                where=str(row.provenance),
                remedy="move the event to the line of its answer",
            )
        lines.append(line)
    return import_lines(store, lines)


def import_lines(store: FeedbackStore, lines: Iterable[Line]) -> Imported:
    """Add answers and events, all or none, except rows that were erased: an older export still holds them."""
    rows: list[Row] = []
    for line in lines:
        rows += [line.answer, *line.events]
    new, erased = store.add_unless_erased(rows)
    answers = sum(isinstance(row, Answer) for row in new)
    return Imported(answers, len(new) - answers, known=len(rows) - len(new) - len(erased), erased=len(erased))


def write_feedback_data(data: FeedbackData, out: Path) -> None:
    """Write training data as four files of JSON lines, all or none; they replace those of an earlier call.

    Raises:
        UsageError: the folder holds other files.
    """
    with atomic_folder(out, "training data from feedback", "left_out.jsonl") as part:
        write_samples(part / "samples.jsonl", data.samples)
        for name in ("preferences", "judged", "left_out"):
            rows = (row.model_dump_json() + "\n" for row in getattr(data, name))
            (part / f"{name}.jsonl").write_text("".join(rows), "utf-8")
