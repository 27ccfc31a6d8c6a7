"""`metier npc-script`: inputs and the answers of `metier run`, written as a script that a writer opens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from metier.contracts import DataError, UsageError
from metier_npc.writing import WRITERS, Spoken, spoken_of


def script(
    inputs: Annotated[Path, typer.Option(help="JSONL, the inputs that were given to `metier run`.")],
    answers: Annotated[Path, typer.Option(help="JSONL, the answers that it wrote, in the same order.")],
    output: Annotated[Path, typer.Option(help="File to write; .ink, .yarn or .csv says the format.")],
) -> None:
    """Write answers as Ink, Yarn or a sheet."""
    kind = output.suffix.lower().lstrip(".")
    if kind not in WRITERS:
        raise UsageError(f"{output.name} ends in none of .{', .'.join(WRITERS)}", remedy="name such a file")
    output.write_text(WRITERS[kind](pairs(inputs, answers)), encoding="utf-8", newline="")


def pairs(inputs: Path, answers: Path) -> Iterator[Spoken]:
    """Spoken text, line by line of both files.

    Raises:
        DataError: a file cannot be read, a line is no input or answer, or one file is longer.
    """
    input_rows, answer_rows = list(_rows(inputs)), list(_rows(answers))
    if len(input_rows) != len(answer_rows):
        raise DataError(
            f"there are {len(answer_rows)} answers to {len(input_rows)} inputs",
            where=f"{answers}:{min(len(input_rows), len(answer_rows)) + 1}",
            remedy="give the inputs that were answered, in the same order",
        )
    for number, (one, other) in enumerate(zip(input_rows, answer_rows, strict=True), 1):
        given = one.get("input", one)
        if not isinstance(given, dict) or not given.get("speaker"):
            raise DataError("there is no speaker in it", where=f"{inputs}:{number}", remedy="give an npc input a line")
        if not {"line", "text", "variants"} & other.keys():
            raise DataError("it has no spoken text", where=f"{answers}:{number}", remedy="give an npc answer a line")
        yield spoken_of(given, other)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), 1):
            row = json.loads(line)
            if not isinstance(row, dict):
                raise DataError("this is not a JSON object", where=f"{path}:{number}", remedy="give one object a line")
            yield row
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except ValueError as error:
        raise DataError(f"a line is not JSON: {error}", where=str(path), remedy="give one object a line") from error
