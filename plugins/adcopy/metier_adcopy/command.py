"""`metier presenter-ssml`: the answers of `metier run` as SSML documents that a voice reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from metier.contracts import DataError, MetierError, Value
from metier_adcopy.ssml import to_ssml
from metier_adcopy.tasks import presenter


def presenter_ssml(
    answers: Annotated[Path, typer.Argument(help="JSON or JSONL: adcopy.presenter answers, one a line.")],
    output: Annotated[Path, typer.Option(help="Folder for 1.ssml, 2.ssml and so on.")],
    language: Annotated[str, typer.Option(help="Language spoken: en, zh, or any BCP 47 tag.")] = "en",
) -> None:
    """Write a presenter's scripts as SSML 1.1."""
    scripts = [to_ssml(answer, language) for answer in read_answers(answers)]
    output.mkdir(parents=True, exist_ok=True)
    for number, script in enumerate(scripts, 1):
        (output / f"{number}.ssml").write_text(script, encoding="utf-8")


def read_answers(path: Path) -> list[Value]:
    """The answers of a file: one JSON object, or one a line.

    Raises:
        DataError: the file cannot be read, or a line of it is not an answer of the task.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), remedy="check the path") from error
    try:
        return [presenter.check_output(json.loads(text))]
    except (ValueError, MetierError):
        lines = enumerate(text.splitlines(), 1)
        return [_answer(line, f"{path}:{number}") for number, line in lines if line.strip()]


def _answer(line: str, where: str) -> Value:
    try:
        return presenter.check_output(json.loads(line), where)
    except ValueError as error:
        raise DataError(f"this is not JSON: {error}", where=where, remedy="give one answer a line") from error
